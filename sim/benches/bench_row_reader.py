# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RowReader: every beat's row against the bank's content, stalls on both sides, padding, exact cycles."""

import random

import cocotb

from ds2ta.hw.gather import gather_layout
from ds2ta.hw.row_reader import read_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import MemoryModel, StreamSink, StreamSource, in_background, next_cycle, pack, reset

_PASSED = ("weight", "shift", "first", "last", "end")


def _ends(dut, stall_in: str, stall_out: str):
    p = bench_parameters()
    widths = {"weight_width": p["weight_width"], "shift_width": p["shift_width"]}
    beat = gather_layout(address_width=p["address_width"], **widths)
    read = read_layout(row_lanes=p["row_lanes"], time_steps=p["time_steps"], **widths)
    source = StreamSource(dut, "i", beat, stall=stall_in, seed=1)
    return source, StreamSink(dut, "o", read, stall=stall_out, seed=2), read["row"].shape


def _beat(generator: random.Random, pad: bool) -> dict:
    p = bench_parameters()
    return {
        "address": generator.randrange(1 << p["address_width"]),
        "pad": pad,
        "weight": generator.randrange(1 << p["weight_width"]),
        "shift": generator.randrange(1 << p["shift_width"]),
        **{name: generator.randint(0, 1) for name in ("first", "last", "end")},
    }


async def _watch_reads(dut, addresses: list[int]):
    while True:
        await next_cycle
        if dut.read_enable.value:
            addresses.append(int(dut.read_address.value))


@cocotb.test()
@cocotb.parametrize(
    stall_in=["never", "random:0.4", "bursts"],
    stall_out=["never", "random:0.4", "random:0.8", "bursts"],
    padding=[0.0, 0.4, 1.0],
)
async def rows(dut, stall_in, stall_out, padding):
    """A padding beat gives zeros and reads nothing; every other beat reads its address once. Unstalled, beats
    follow each other in successive cycles and a row is there one cycle after its beat, two if `registered`."""
    p = bench_parameters()
    generator = random.Random(f"{stall_in}{stall_out}{padding}")
    source, sink, row_shape = _ends(dut, stall_in, stall_out)
    content = [
        [generator.randrange(1 << p["time_steps"]) for _ in range(p["row_lanes"])]
        for _ in range(1 << p["address_width"])
    ]
    MemoryModel(
        dut,
        [pack(row_shape, row) for row in content],
        read=("read_address", "read_enable", "read_data"),
    )
    reads: list[int] = []
    await reset(dut)
    in_background(dut, _watch_reads(dut, reads))
    beats = [_beat(generator, generator.random() < padding) for _ in range(300)]
    source.start(beats)
    zeros = [0] * p["row_lanes"]
    for number, (found, beat) in enumerate(zip(await sink.take(len(beats)), beats, strict=True)):
        wanted = {"row": zeros if beat["pad"] else content[beat["address"]]}
        wanted |= {name: beat[name] for name in _PASSED}
        assert found == wanted, f"beat {number}: {found}, not {wanted}"
    assert reads == [beat["address"] for beat in beats if not beat["pad"]]
    assert all(out > taken for out, taken in zip(sink.cycles, source.cycles, strict=True))
    if stall_out == "never":
        assert [out - taken for out, taken in zip(sink.cycles, source.cycles, strict=True)] == [
            1 + p["registered"]
        ] * len(beats)
        if stall_in == "never":
            assert source.cycles == list(range(source.cycles[0], source.cycles[0] + len(beats)))
