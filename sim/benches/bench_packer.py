# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RowPacker: commits of every number of groups, time masks, rows from plain layout arithmetic."""

import cocotb
import numpy as np

from ds2ta.hw.payloads import last_row_layout, spikes_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSink, StreamSource, reset


def _ends(dut, stall: str):
    parameters = bench_parameters()
    return (
        StreamSource(dut, "i", spikes_layout(parameters["lanes"]), stall=stall, seed=1),
        StreamSink(
            dut, "o", last_row_layout(parameters["row_lanes"], parameters["time_steps"]), stall=stall, seed=2
        ),
    )


async def _compare(dut, source, sink, model_steps: int):
    """Commits of 1 .. two rows and a bit of groups, in random order; each is checked row by row. Returns the
    indices of the beats that end a row."""
    parameters = bench_parameters()
    lanes, row_lanes, steps = (parameters[key] for key in ("lanes", "row_lanes", "time_steps"))
    dut.time_mask.value = (1 << model_steps) - 1
    generator = np.random.default_rng(model_steps)
    beats, expected, ends = [], [], []
    slots = row_lanes // lanes
    for groups in generator.permutation(np.repeat(np.arange(1, 2 * slots + 2), 4)):
        density = generator.choice([0.1, 0.5, 1.0])
        spikes = (generator.random((steps, groups * lanes)) < density).astype(np.int64)
        masked = spikes * (np.arange(steps) < model_steps)[:, None]
        rows = plane_rows(masked, 1, row_lanes)
        expected += [{"row": row, "last": index == len(rows) - 1} for index, row in enumerate(rows)]
        for group in range(groups):
            for t in range(steps):
                bits = spikes[t, group * lanes : (group + 1) * lanes]
                beats.append(
                    {
                        "spike": sum(int(bit) << r for r, bit in enumerate(bits)),
                        "t_first": t == 0,
                        "t_last": t == steps - 1,
                        "last": t == steps - 1 and group == groups - 1,
                    }
                )
            if group == groups - 1 or group % slots == slots - 1:
                ends.append(len(beats) - 1)
    source.start(beats)
    assert await sink.take(len(expected)) == expected
    return ends


@cocotb.test()
async def full_speed(dut):
    """One beat a cycle without a bubble, each row one cycle after its final beat."""
    source, sink = _ends(dut, "never")
    await reset(dut)
    ends = await _compare(dut, source, sink, bench_parameters()["time_steps"])
    assert np.diff(source.cycles).tolist() == [1] * (len(source.cycles) - 1)
    assert [found - source.cycles[end] for found, end in zip(sink.cycles, ends, strict=True)] == [1] * len(ends)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def every_time_mask(dut, stall):
    """Spikes after the model's last step do not reach the row; a masked step costs a beat like any other."""
    source, sink = _ends(dut, stall)
    await reset(dut)
    for model_steps in range(1, bench_parameters()["time_steps"] + 1):
        await _compare(dut, source, sink, model_steps)
