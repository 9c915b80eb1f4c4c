# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RowWalker: every address against the formula, modulo the address space; start and done."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import addressed_row_layout, last_row_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, cycle, in_background, next_cycle, reset


def _ends(dut, stall: str):
    parameters = bench_parameters()
    shape = parameters["row_lanes"], parameters["time_steps"]
    width = parameters["address_width"]
    return (
        StreamSource(dut, "i", last_row_layout(*shape), stall=stall, seed=1),
        StreamSink(dut, "o", addressed_row_layout(*shape, width), stall=stall, seed=2),
        width,
    )


async def _start(dut, **configuration):
    for name, value in configuration.items():
        getattr(dut, name).value = value
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0


async def _walk(dut, source, sink, done, generator, width: int, positions: int, tiles: int):
    """One layer: `tiles * positions` commits of 1..3 rows, with random strides; `done` from the cycle after the
    final row on, and at no time earlier."""
    row_lanes, steps = bench_parameters()["row_lanes"], bench_parameters()["time_steps"]
    base, position_pitch, tile_pitch = (int(value) for value in generator.integers(0, 1 << width, 3))
    beats, expected = [], []
    for tile in range(tiles):
        for position in range(positions):
            rows = int(generator.integers(1, 4))
            for r in range(rows):
                row = generator.integers(0, 1 << steps, row_lanes).tolist()
                address = (base + position * position_pitch + tile * tile_pitch + r) % (1 << width)
                beats.append({"row": row, "last": r == rows - 1})
                expected.append({"row": row, "address": address})
    assert dut.done.value == 1
    await _start(
        dut,
        base=base,
        position_pitch=position_pitch,
        tile_pitch=tile_pitch,
        positions=positions % (1 << width),
        tiles=tiles % (1 << bench_parameters()["tile_width"]),
    )
    source.start(beats)
    begin = cycle()
    assert await sink.take(len(expected)) == expected
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    end = sink.cycles[-1]
    assert not any(done[at] for at in range(begin + 1, end + 1))
    assert done[end + 1]


async def _watch(dut, done: dict[int, bool]):
    """Keep the level of `done` in each cycle."""
    while True:
        await next_cycle
        done[cycle()] = bool(dut.done.value)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def walks(dut, stall):
    """Layers one after another; without stalls a row passes in every cycle, in the cycle in which it comes."""
    source, sink, width = _ends(dut, stall)
    await reset(dut)
    generator = np.random.default_rng(3)
    done: dict[int, bool] = {}
    in_background(dut, _watch(dut, done))
    full = 1 << width, 1 << bench_parameters()["tile_width"]
    for positions, tiles in [(1, 1), (5, 1), (1, 4), (3, 3), (full[0], 2), (2, full[1]), (full[0] - 1, 1), (7, 2)]:
        begin = len(sink.cycles)
        await _walk(dut, source, sink, done, generator, width, positions, tiles)
        assert source.cycles[begin:] == sink.cycles[begin:]
        if stall == "never":
            assert np.diff(sink.cycles[begin:]).tolist() == [1] * (len(sink.cycles) - begin - 1)


@cocotb.test()
async def idle_takes_nothing(dut):
    """Before the first start and after the end a waiting row is neither accepted nor shown."""
    source, sink, width = _ends(dut, "never")
    await reset(dut)
    rows = [{"row": [1] * bench_parameters()["row_lanes"], "last": 1}] * 3
    source.start(rows)
    for _ in range(5):
        await RisingEdge(dut.clk)
    assert not source.cycles
    await _start(dut, base=3, position_pitch=1, tile_pitch=0, positions=2, tiles=1)
    for _ in range(10):
        await RisingEdge(dut.clk)
    assert len(source.cycles) == 2
    assert [found["address"] for found in sink.received] == [3 % (1 << width), 4 % (1 << width)]
