# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Cocotb side of test_build.py, which defines the component: it adds a constant to each value of a stream."""

import cocotb

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, reset

VALUES = [(index * 37 + 11) % 200 for index in range(300)]


def _ends(dut):
    given = bench_parameters()
    source = StreamSource(dut, "i", stall=given.get("source", "never"), seed=3)
    return source, StreamSink(dut, "o", stall=given.get("sink", "never"), seed=4), given["constant"]


@cocotb.test()
async def adds(dut):
    """Everything sent arrives, plus the constant, whatever stalls; without stalls one value a cycle."""
    source, sink, constant = _ends(dut)
    await reset(dut)
    sending = source.start(VALUES)
    assert await sink.take(len(VALUES)) == [value + constant for value in VALUES]
    await sending
    assert sink.received == []
    if "source" not in bench_parameters():
        assert source.cycles[-1] - source.cycles[0] == len(VALUES) - 1
        assert [late - early for early, late in zip(source.cycles, sink.cycles, strict=True)] == [1] * len(VALUES)


@cocotb.test()
async def waits_for_too_much(dut):
    """Must fail: one value more is awaited than was sent."""
    source, sink, _ = _ends(dut)
    await reset(dut)
    source.start(VALUES)
    await sink.take(len(VALUES) + 1, patience=100)


@cocotb.test()
async def never_ends(dut):
    """Must fail: only the watchdog can end it."""
    source, _, _ = _ends(dut)
    await reset(dut, limit=2000)
    while True:
        await source.send(VALUES)
