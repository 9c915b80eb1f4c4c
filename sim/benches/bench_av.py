# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of AvAccumulator: membranes steered onto the threshold, full range, empty steps, stalls, cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.av import attended_layout, term_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, in_background, next_cycle, reset

TAG_WIDTH = 7
STALLS = ["never", "random:0.3", "random:0.8", "bursts"]


def _shape(*keys: str) -> list[int]:
    return [bench_parameters()[key] for key in keys]


def _source(dut, stall: str) -> StreamSource:
    lanes, steps, bits = _shape("row_lanes", "time_steps", "denoiser_bits")
    layout = term_layout(lanes, steps, bits, TAG_WIDTH)
    return StreamSource(dut, "i", layout, stall=stall, seed=1)


def _sink(dut, stall: str) -> StreamSink:
    lanes, steps = _shape("row_lanes", "time_steps")
    return StreamSink(dut, "o", attended_layout(lanes, steps, TAG_WIDTH), stall=stall, seed=2)


class Membranes:
    """Watches the membrane in every cycle of a comparison."""

    def __init__(self, dut):
        self.seen: list[list[int]] = []
        self._task = in_background(dut, self._watch(dut))

    async def _watch(self, dut) -> None:
        lanes, steps, width = _shape("row_lanes", "time_steps", "membrane_width")
        scaled = bench_parameters()["leak_shift"] == 1
        width += steps - 1 if scaled else 0
        while True:
            await next_cycle
            if dut.compared.value:
                bits, t = int(dut.membrane.value), len(self.seen) % steps
                values = [bits >> lane * width & (1 << width) - 1 for lane in range(lanes)]
                self.seen.append([value >> t if scaled else value for value in values])


class Row:
    """One row of output: A [T, N] of one query, V [T, N, g], in the order of the terms."""

    def __init__(self, A: np.ndarray, V: np.ndarray, tag: int):
        self.A, self.V, self.tag = A, V, tag

    def terms(self) -> list[dict]:
        steps, tokens = self.A.shape
        lanes = self.V.shape[2]
        rows = [plane_rows(self.V[:, j], 1, lanes)[0] for j in range(tokens)]
        found = []
        for t in range(steps):
            found += [
                {"row": rows[j], "value": int(self.A[t, j]), "tag": ~self.tag & 127}
                for j in range(tokens)
                if self.A[t, j]
            ]
            last = t == steps - 1
            # at an end neither row nor value counts
            found.append({"row": rows[0], "value": 1, "end": 1, "tag": self.tag if last else ~self.tag & 127})
        return found

    def expected(self, threshold: int) -> tuple[dict, list[list[int]]]:
        Y = slow.attend(self.A[:, None], self.V)
        spikes, U = slow.lif(Y, 0, threshold, bench_parameters()["leak_shift"])
        assert U.max() < 1 << bench_parameters()["membrane_width"], "the stimulus must not overflow the membrane"
        row = plane_rows(spikes[:, 0], 1, self.V.shape[2])[0]
        return {"row": row, "tag": self.tag}, U[:, 0].tolist()


def _random(generator, tag: int, fill: float, limit: int) -> Row:
    """Random terms whose sum over a whole row stays at most `limit`."""
    lanes, steps, bits = _shape("row_lanes", "time_steps", "denoiser_bits")
    tokens = 6
    A = generator.integers(1, min(1 << bits, limit // (tokens * steps) + 2), (steps, tokens))
    A[generator.random(A.shape) >= fill] = 0
    while A.sum() > limit:
        A[tuple(generator.integers(0, A.shape))] = 0
    return Row(A, generator.integers(0, 2, (steps, tokens, lanes)), tag)


def _steered(generator, tag: int, threshold: int) -> Row:
    """In each time step random terms, then terms for one lane alone that take it to the threshold or just below."""
    lanes, steps, bits, k = _shape("row_lanes", "time_steps", "denoiser_bits", "leak_shift")
    most, tokens = (1 << bits) - 1, 8
    A = np.zeros((steps, tokens), int)
    V = generator.integers(0, 2, (steps, tokens, lanes))
    for t in range(steps):
        lane = int(generator.integers(lanes))
        _, U = slow.lif(slow.attend(A[: t + 1, None], V[: t + 1]), 0, threshold, k)  # no term in step t yet
        room = (1 << bench_parameters()["membrane_width"]) - 1 - int(U[t].max())
        A[t, 0] = generator.integers(0, min(most, threshold, room) + 1)
        V[t, 1:] = 0
        V[t, 1:, lane] = 1
        _, U = slow.lif(slow.attend(A[: t + 1, None], V[: t + 1]), 0, threshold, k)
        missing = threshold - int(generator.integers(2)) - int(U[t, 0, lane])
        for j in range(1, tokens):
            A[t, j] = max(0, min(most, missing))
            missing -= A[t, j]
    return Row(A, V, tag)


async def _compare(dut, source, sink, membranes, rows: list[Row], threshold: int) -> None:
    dut.threshold.value = threshold
    sending = source.start([term for row in rows for term in row.terms()])
    expected = [row.expected(threshold) for row in rows]
    assert await sink.take(len(rows)) == [row for row, _ in expected]
    assert membranes.seen == [U for _, steps in expected for U in steps]
    membranes.seen.clear()
    await sending


def _thresholds(generator) -> list[int]:
    """Both ends of the range, and some between (not so large that no row of terms reaches them)."""
    width, bits = _shape("membrane_width", "denoiser_bits")
    top = (1 << width) - 1
    return [1, 2, min(top, 4 << bits), *generator.integers(1, min(top, 6 << bits) + 1, 4).tolist(), top]


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def steered_onto_the_threshold(dut, stall):
    source, sink, membranes = _source(dut, stall), _sink(dut, stall), Membranes(dut)
    await reset(dut)
    generator = np.random.default_rng(11)
    gaps = []
    for threshold in _thresholds(generator)[:-1]:
        rows = [_steered(generator, tag, threshold) for tag in range(12)]
        for row in rows:
            U = slow.lif(slow.attend(row.A[:, None], row.V), 0, threshold, bench_parameters()["leak_shift"])[1]
            gaps += (U - threshold).ravel().tolist()
        await _compare(dut, source, sink, membranes, rows, threshold)
    assert gaps.count(0) > 40, "too few on the threshold"
    assert gaps.count(-1) > 40, "too few one below the threshold"


@cocotb.test()
@cocotb.parametrize(source_stall=STALLS, sink_stall=STALLS)
async def random_terms(dut, source_stall, sink_stall):
    source, sink, membranes = _source(dut, source_stall), _sink(dut, sink_stall), Membranes(dut)
    await reset(dut)
    generator = np.random.default_rng(12)
    limit = (1 << bench_parameters()["membrane_width"]) - 1
    for threshold in _thresholds(generator):
        rows = [_random(generator, tag, fill, limit) for tag, fill in enumerate([0, 0, 1, 0.2, 0.5, 0, 1, 0.8])]
        await _compare(dut, source, sink, membranes, rows, threshold)


@cocotb.test()
async def full_range(dut):
    """Every lane goes to the largest membrane: it fires at the largest threshold, one less does not, and what one
    less leaves behind leaks through all time steps."""
    lanes, steps, bits, width = _shape("row_lanes", "time_steps", "denoiser_bits", "membrane_width")
    source, sink, membranes = _source(dut, "never"), _sink(dut, "never"), Membranes(dut)
    await reset(dut)
    top, most = (1 << width) - 1, (1 << bits) - 1
    full, rest = divmod(top, most)
    if full > 2000:
        full, rest = 2000, 0  # far from the top; other shapes go there
    for short in (0, 1):
        for at in range(steps):
            A = np.zeros((steps, full + 2), int)
            A[at, :full] = most
            A[at, full] = rest
            A[at, 0] -= short
            rows = [Row(A, np.ones((steps, full + 2, lanes), int), 5)]
            await _compare(dut, source, sink, membranes, rows, top)


@cocotb.test()
async def each_lane_and_step_for_itself(dut):
    """One term reaches exactly the lane and step whose V spikes."""
    lanes, steps = _shape("row_lanes", "time_steps")
    source, sink, membranes = _source(dut, "never"), _sink(dut, "never"), Membranes(dut)
    await reset(dut)
    rows = []
    for lane in range(lanes):
        for t in range(steps):
            V = np.zeros((steps, 2, lanes), int)
            V[t, 0, lane] = 1
            V[:, 1] = 1 - V[:, 0]
            A = np.zeros((steps, 2), int)
            A[:, 0] = 1
            rows += [Row(A, V, lane), Row(A[:, ::-1], V, t)]
    await _compare(dut, source, sink, membranes, rows, 1)


@cocotb.test()
async def cycle_counts(dut):
    """A term each cycle across steps and rows; the row two cycles after its last end."""
    steps = bench_parameters()["time_steps"]
    source, sink, membranes = _source(dut, "never"), _sink(dut, "never"), Membranes(dut)
    await reset(dut)
    generator = np.random.default_rng(13)
    limit = (1 << bench_parameters()["membrane_width"]) - 1
    rows = [_random(generator, tag, fill, limit) for tag, fill in enumerate([1, 0, 0, 0.5, 0, 1, 0.3])]
    await _compare(dut, source, sink, membranes, rows, 3)
    lengths = [np.count_nonzero(row.A) + steps for row in rows]
    assert np.diff(source.cycles).tolist() == [1] * (sum(lengths) - 1)
    ends = [source.cycles[end - 1] for end in np.cumsum(lengths)]
    assert set(np.subtract(sink.cycles, ends).tolist()) == {2}


@cocotb.test()
async def shut_output_waits(dut):
    """While a row waits at a shut output the next row's terms go on until the end of its first time step."""
    lanes, steps = _shape("row_lanes", "time_steps")
    source = _source(dut, "never")
    await reset(dut)
    dut.o__ready.value = 0
    dut.threshold.value = 1
    V = np.ones((steps, 3, lanes), int)
    rows = [Row(np.full((steps, 3), 1), V, tag) for tag in range(4)]
    source.start([term for row in rows for term in row.terms()])
    for _ in range(12 * steps + 20):
        await RisingEdge(dut.clk)
    # a row's terms and ends, then three terms of the next and the end that waits
    assert len(source.cycles) == 4 * steps + 4
    sink = _sink(dut, "bursts")
    assert await sink.take(4) == [row.expected(1)[0] for row in rows]


@cocotb.test()
async def reset_at_any_cycle(dut):
    """After a reset in any cycle no membrane, no step and no row is left."""
    steps = bench_parameters()["time_steps"]
    source, sink, membranes = _source(dut, "never"), _sink(dut, "never"), Membranes(dut)
    await reset(dut)
    generator = np.random.default_rng(14)
    limit = (1 << bench_parameters()["membrane_width"]) - 1
    top = limit // 2 + 1
    for cut in range(1, 8 * steps + 4):
        dut.threshold.value = top
        sending = source.start(_random(generator, 1, 1, limit).terms() * 2)
        for _ in range(cut):
            await RisingEdge(dut.clk)
        await break_off(dut, sending, sink)
        assert not dut.o__valid.value
        membranes.seen.clear()
        await _compare(dut, source, sink, membranes, [_random(generator, 2, 0.3, limit)], top)
