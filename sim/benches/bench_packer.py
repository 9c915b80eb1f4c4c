# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of WordPacker: groups of spikes against words from plain layout arithmetic, under every time mask."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import spikes_layout, words_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, reset


def _ends(dut, stall: str):
    lanes, steps = bench_parameters()["lanes"], bench_parameters()["time_steps"]
    return (
        StreamSource(dut, "i", spikes_layout(lanes), stall=stall, seed=1),
        StreamSink(dut, "o", words_layout(lanes, steps), stall=stall, seed=2),
    )


def _groups(generator: np.random.Generator, mask: int, count: int) -> tuple[list[dict], list[dict]]:
    """Beats of that many groups, some the last of their line, and the words that they make."""
    lanes, steps = bench_parameters()["lanes"], bench_parameters()["time_steps"]
    beats, expected = [], []
    for _ in range(count):
        last = int(generator.integers(0, 2))
        spikes = (generator.random((steps, lanes)) < generator.choice([0.1, 0.5, 1.0])).astype(np.int64)
        masked = spikes * (mask >> np.arange(steps) & 1)[:, None]
        (words,) = plane_rows(masked, 1, lanes)
        expected.append({"words": words, "last": last})
        for t in range(steps):
            spike = sum(int(bit) << r for r, bit in enumerate(spikes[t]))
            beats.append({"spike": spike, "t_first": t == 0, "t_last": t == steps - 1, "last": last})
    return beats, expected


async def _compare(dut, source, sink, mask: int):
    """Groups with and without spikes; each is checked word by word."""
    dut.time_mask.value = mask
    beats, expected = _groups(np.random.default_rng(mask), mask, 40)
    source.start(beats)
    assert await sink.take(len(expected)) == expected, f"mask {mask:b}"


@cocotb.test()
async def full_speed(dut):
    """One beat a cycle without a bubble, the words one cycle after their final beat."""
    source, sink = _ends(dut, "never")
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    await _compare(dut, source, sink, (1 << steps) - 1)
    assert source.cycles == list(range(source.cycles[0], source.cycles[0] + len(source.cycles)))
    assert sink.cycles == [at + 1 for at in source.cycles[steps - 1 :: steps]]


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def every_time_mask(dut, stall):
    """Spikes after the model's last step do not reach the words, nor those of any other step that the mask leaves
    out; a masked step costs a beat like any other."""
    source, sink = _ends(dut, stall)
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    masks = [(1 << some) - 1 for some in range(1, steps + 1)]
    for mask in masks + np.random.default_rng(2).integers(0, 1 << steps, 5).tolist():
        await _compare(dut, source, sink, mask)


@cocotb.test()
async def untaken_words_hold_the_input(dut):
    """With the output shut, a group's beats are taken, its words are shown, and no beat more; none is lost."""
    source, sink = _ends(dut, "never")
    sink._task.cancel()
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    dut.time_mask.value = (1 << steps) - 1
    dut.o__ready.value = 0
    beats, expected = _groups(np.random.default_rng(3), (1 << steps) - 1, 6)
    source.start(beats)
    for _ in range(3 * steps + 3):
        await RisingEdge(dut.clk)
    assert len(source.cycles) == steps
    assert dut.o__valid.value == 1
    sink = StreamSink(dut, "o", words_layout(bench_parameters()["lanes"], steps), stall="bursts")
    assert await sink.take(len(expected)) == expected


@cocotb.test()
async def reset_forgets(dut):
    """A reset after any number of beats of a group leaves no words, and the next group's are its own."""
    source, sink = _ends(dut, "never")
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    mask = (1 << steps) - 1
    generator = np.random.default_rng(4)
    dut.time_mask.value = mask
    for cut in range(1, 2 * steps + 2):
        begin = len(source.cycles)
        beats, _ = _groups(generator, mask, 4)
        sending = source.start([{**beat, "spike": (1 << bench_parameters()["lanes"]) - 1} for beat in beats])
        while len(source.cycles) < begin + cut:
            await RisingEdge(dut.clk)
        await break_off(dut, sending, sink)
        assert not dut.o__valid.value
        beats, expected = _groups(generator, mask, 3)
        source.start(beats)
        assert await sink.take(len(expected)) == expected
