# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of OrPool: random maps through 3x3 stride 2 windows against the slow model, windows of 1 to 9 rows."""

import itertools

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.golden.slow import max_pool
from ds2ta.hw.payloads import row_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSink, StreamSource, reset


def _ends(dut, stall: str, seed: int):
    shape = {"row_lanes": bench_parameters()["row_lanes"], "time_steps": bench_parameters()["time_steps"]}
    tap = data.StructLayout({"row": row_layout(**shape), "first": 1, "last": 1})
    return (
        StreamSource(dut, "i", tap, stall=stall, seed=seed),
        StreamSink(dut, "o", data.StructLayout({"row": row_layout(**shape)}), stall=stall, seed=seed + 1),
        *shape.values(),
    )


def _windows(spikes: np.ndarray, row_lanes: int, chance: float, generator: np.random.Generator):
    """Windows of a map [T, g, H, W], row-major: lists of taps. A padded tap is sent as a zero row with this chance,
    so windows have 1 to 9 rows."""
    _, _, height, width = spikes.shape
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            taps = []
            for at_y in range(y - 1, y + 2):
                for at_x in range(x - 1, x + 2):
                    if 0 <= at_y < height and 0 <= at_x < width:
                        taps += plane_rows(spikes[:, :, at_y, at_x], 1, row_lanes)
                    elif generator.random() < chance:
                        taps.append([0] * row_lanes)
            yield taps


async def _compare(dut, stall: str, seed: int):
    source, sink, row_lanes, steps = _ends(dut, stall, seed)
    generator = np.random.default_rng(seed)
    beats, expected, ends, sizes = [], [], [], set()
    shapes = [(1, 1), (1, 2), (5, 1), (1, 5), (2, 2), (4, 3), (5, 5), (6, 4)]
    for chance, (height, width) in itertools.product([0, 0.3, 0.7, 1], shapes):
        density = generator.choice([0.02, 0.2, 0.8])
        spikes = (generator.random((steps, row_lanes, height, width)) < density).astype(np.int64)
        pooled = max_pool(spikes)
        expected += [
            {"row": row}
            for y in range(pooled.shape[2])
            for x in range(pooled.shape[3])
            for row in plane_rows(pooled[:, :, y, x], 1, row_lanes)
        ]
        for taps in _windows(spikes, row_lanes, chance, generator):
            beats += [
                {"row": row, "first": index == 0, "last": index == len(taps) - 1} for index, row in enumerate(taps)
            ]
            ends.append(len(beats) - 1)
            sizes.add(len(taps))
    assert sizes == set(range(1, 10))
    source.start(beats)
    assert await sink.take(len(expected)) == expected
    return source, sink, ends


@cocotb.test()
async def full_speed(dut):
    """One tap a cycle without a bubble, the result one cycle after its last tap."""
    await reset(dut)
    source, sink, ends = await _compare(dut, "never", 1)
    assert np.diff(source.cycles).tolist() == [1] * (len(source.cycles) - 1)
    assert [found - source.cycles[end] for found, end in zip(sink.cycles, ends, strict=True)] == [1] * len(ends)


@cocotb.test()
@cocotb.parametrize(stall=["random:0.3", "random:0.7", "bursts"])
async def stalls(dut, stall):
    await reset(dut)
    await _compare(dut, stall, 2)


@cocotb.test()
async def empty_at_rest(dut):
    """Others OR their rows to the output: it is zero behind a window, and when a reset breaks one off."""
    source, sink, row_lanes, steps = _ends(dut, "never", 3)
    await reset(dut)
    full = [(1 << steps) - 1] * row_lanes
    for length in (1, 3):
        source.start({"row": full, "first": index == 0, "last": index == length - 1} for index in range(length))
        assert await sink.take(1) == [{"row": full}]
        await RisingEdge(dut.clk)
        assert not dut.o__payload.value
    for length in (1, 2):
        await source.send([{"row": full, "first": index == 0, "last": 0} for index in range(length)])
        await RisingEdge(dut.clk)
        assert dut.o__payload.value
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        assert not dut.o__payload.value
        assert not dut.o__valid.value
