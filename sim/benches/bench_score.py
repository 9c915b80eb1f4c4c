# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of ScoreUnit: empty, full and single-channel pairs, random pairs of any length, stalls, cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.score import pair_layout, score_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, reset

TAG_WIDTH = 5


def _shape() -> tuple[int, int, int, int]:
    return tuple(bench_parameters()[key] for key in ("row_lanes", "time_steps", "channels", "max_head_dim"))


def _source(dut, stall: str) -> StreamSource:
    lanes, steps, _, _ = _shape()
    return StreamSource(dut, "i", pair_layout(lanes, steps, TAG_WIDTH), stall=stall, seed=1)


def _sink(dut, stall: str) -> StreamSink:
    _, steps, _, largest = _shape()
    return StreamSink(dut, "o", score_layout(steps, largest, TAG_WIDTH), stall=stall, seed=2)


def _rows(Q: np.ndarray, K: np.ndarray, tag: int) -> list[dict]:
    """The rows of one pair, Q and K [T, d]."""
    lanes = _shape()[0]
    queries, keys = plane_rows(Q, 1, lanes), plane_rows(K, 1, lanes)
    last = len(queries) - 1
    return [
        # the tag of the last row counts, the others carry something else
        {"query": query, "key": key, "first": r == 0, "last": r == last, "tag": tag if r == last else ~tag & 31}
        for r, (query, key) in enumerate(zip(queries, keys, strict=True))
    ]


def _expected(Q: np.ndarray, K: np.ndarray, tag: int) -> dict:
    return {"score": slow.scores(Q[:, None], K[:, None])[:, 0, 0].tolist(), "tag": tag}


def _random(generator, head_rows: int) -> tuple[np.ndarray, np.ndarray]:
    lanes, steps, _, _ = _shape()
    shape = steps, head_rows * lanes
    return tuple((generator.random(shape) < generator.choice([0.1, 0.5, 0.9])).astype(int) for _ in "QK")


async def _compare(source, sink, pairs) -> None:
    tags = [index * 7 % 32 for index in range(len(pairs))]
    sending = source.start([row for (Q, K), tag in zip(pairs, tags, strict=True) for row in _rows(Q, K, tag)])
    found = await sink.take(len(pairs))
    assert found == [_expected(Q, K, tag) for (Q, K), tag in zip(pairs, tags, strict=True)]
    await sending


@cocotb.test()
async def ends_of_the_range(dut):
    """No channel, every channel of both (the score is the head dimension and must not wrap), of one only."""
    lanes, steps, _, largest = _shape()
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    for channels in range(lanes, largest + 1, lanes):
        ones, zeros = np.ones((steps, channels), int), np.zeros((steps, channels), int)
        await _compare(source, sink, [(ones, ones), (zeros, zeros), (ones, zeros), (zeros, ones), (ones, ones)])
        assert slow.scores(ones[:, None], ones[:, None]).max() == channels


@cocotb.test()
async def every_channel_and_step_counts_once(dut):
    _, steps, _, largest = _shape()
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    pairs = []
    for channel in range(largest):
        for t in range(steps):
            Q, K = np.zeros((steps, largest), int), np.ones((steps, largest), int)
            Q[t, channel] = 1
            pairs += [(Q, K), (1 - K, Q), (K, Q)]
    await _compare(source, sink, pairs)


@cocotb.test()
@cocotb.parametrize(
    source_stall=["never", "random:0.3", "bursts"], sink_stall=["never", "random:0.3", "random:0.9", "bursts"]
)
async def random_pairs(dut, source_stall, sink_stall):
    lanes, _, _, largest = _shape()
    source, sink = _source(dut, source_stall), _sink(dut, sink_stall)
    await reset(dut)
    generator = np.random.default_rng(3)
    await _compare(
        source, sink, [_random(generator, int(generator.integers(1, largest // lanes + 1))) for _ in range(80)]
    )


@cocotb.test()
async def full_speed(dut):
    """A row every g / B cycles across rows and pairs; scores two cycles after the pair's last row was accepted."""
    lanes, _, channels, largest = _shape()
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(4)
    lengths = [1, 1, largest // lanes, 1, largest // lanes] * 4
    await _compare(source, sink, [_random(generator, length) for length in lengths])
    assert np.diff(source.cycles).tolist() == [lanes // channels] * (sum(lengths) - 1)
    last_rows = [source.cycles[end - 1] for end in np.cumsum(lengths)]
    assert set(np.subtract(sink.cycles, last_rows).tolist()) == {2}


@cocotb.test()
async def shut_output_waits(dut):
    """With a pair waiting at a shut output only one chunk of the next is let in, and nothing is lost."""
    lanes, _, channels, _ = _shape()
    source = _source(dut, "never")
    await reset(dut)
    dut.o__ready.value = 0
    generator = np.random.default_rng(5)
    pairs = [_random(generator, 1) for _ in range(6)]
    source.start([row for Q, K in pairs for row in _rows(Q, K, 9)])
    for _ in range(6 * lanes // channels + 10):
        await RisingEdge(dut.clk)
    assert len(source.cycles) == (2 if lanes == channels else 1)
    sink = _sink(dut, "bursts")
    assert await sink.take(6) == [_expected(Q, K, 9) for Q, K in pairs]


@cocotb.test()
async def reset_at_any_cycle(dut):
    """After a reset in the middle of rows and pairs the next pair counts from zero."""
    lanes, steps, channels, largest = _shape()
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(6)
    ones = np.ones((steps, largest), int)
    for cut in range(1, 2 * largest // channels + 4):
        sending = source.start(_rows(ones, ones, 1) * 3)
        for _ in range(cut):
            await RisingEdge(dut.clk)
        await break_off(dut, sending, sink)
        assert not dut.o__valid.value
        await _compare(source, sink, [_random(generator, largest // lanes)])
