# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of PairFetch: every pair in order with its marks, any shape within the limits, stalls, cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.hw.score import pair_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows, row_bits
from ds2ta.sim.stream import Holds, MemoryModel, StreamSink, cycle, reset


class Case:
    """Random Q and K somewhere in a memory, and the pairs that must come of them."""

    def __init__(self, generator, tokens: int, heads: int, head_rows: int):
        parameters = bench_parameters()
        lanes, steps = parameters["row_lanes"], parameters["time_steps"]
        self.tokens, self.heads, self.head_rows, self.groups = tokens, heads, head_rows, heads * head_rows
        depth, needed = 1 << parameters["address_width"], tokens * self.groups
        # Q ends where K begins, or the other way round, or K wraps around the address space
        self.q_base = int(generator.integers(depth - needed + 1))
        self.k_base = (self.q_base + int(generator.choice([needed, depth - needed]))) % depth
        Q, K = generator.integers(0, 2, (2, steps, tokens, self.groups * lanes))
        rows = {
            name: [plane_rows(X[:, n], 1, lanes) for n in range(tokens)] for name, X in (("query", Q), ("key", K))
        }
        noise = generator.bytes(depth * lanes * steps)
        self.words = [int.from_bytes(noise[at::depth]) % (1 << lanes * steps) for at in range(depth)]
        for name, base in (("query", self.q_base), ("key", self.k_base)):
            for n in range(tokens):
                for group in range(self.groups):
                    at = (base + n * self.groups + group) % depth
                    self.words[at] = row_bits(rows[name][n][group], steps)
        self.expected = [
            {
                "query": rows["query"][i][h * head_rows + r],
                "key": rows["key"][j][h * head_rows + r],
                "first": int(r == 0),
                "last": int(r == head_rows - 1),
                "tag": (j == tokens - 1) | (i == tokens - 1) << 1 | (h == heads - 1) << 2,
            }
            for h in range(heads)
            for i in range(tokens)
            for j in range(tokens)
            for r in range(head_rows)
        ]


def _sink(dut, stall: str) -> StreamSink:
    parameters = bench_parameters()
    layout = pair_layout(parameters["row_lanes"], parameters["time_steps"], 3)
    return StreamSink(dut, "o", layout, stall=stall, seed=2)


async def _begin(dut, memory: MemoryModel, case: Case) -> int:
    """Start; the answer is the cycle of the pulse."""
    memory.words[:] = case.words
    for name in ("q_base", "k_base", "tokens", "heads", "head_rows", "groups"):
        getattr(dut, name).value = getattr(case, name)
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    return cycle()


def _compare(found: list[dict], case: Case) -> None:
    """The tag only counts on the last row of a pair."""
    assert len(found) == len(case.expected)
    for number, (got, want) in enumerate(zip(found, case.expected, strict=True)):
        if not want["last"]:
            got, want = {**got, "tag": 0}, {**want, "tag": 0}
        assert got == want, f"row {number}"


def _cases(generator) -> list[Case]:
    parameters = bench_parameters()
    tokens, heads, rows = (parameters[key] for key in ("max_tokens", "max_heads", "max_rows"))
    shapes = [(tokens, heads, rows), (1, 1, 1), (tokens, 1, rows), (1, heads, rows), (min(2, tokens), heads, 1)]
    shapes += [
        (
            int(generator.integers(1, tokens + 1)),
            int(generator.integers(1, heads + 1)),
            int(generator.integers(1, rows + 1)),
        )
        for _ in range(3)
    ]
    return [Case(generator, *shape) for shape in shapes]


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.8", "bursts"])
async def every_pair(dut, stall):
    memory = MemoryModel(dut, [], read=("address", "enable", "data"))
    sink = _sink(dut, stall)
    await reset(dut)
    Holds(dut, "holds", "enable")
    for case in _cases(np.random.default_rng(1)):
        await _begin(dut, memory, case)
        _compare(await sink.take(len(case.expected)), case)
        for _ in range(6):
            await RisingEdge(dut.clk)
        assert not sink.received, "a pair too many"


@cocotb.test()
async def cycle_counts(dut):
    """A row each cycle, head_rows + 1 cycles (one more for a single row) from the last pair of a query, or from the
    start, to the first of the next."""
    memory = MemoryModel(dut, [], read=("address", "enable", "data"))
    sink = _sink(dut, "never")
    await reset(dut)
    Holds(dut, "holds", "enable", stall="never")
    for case in _cases(np.random.default_rng(2)):
        started = await _begin(dut, memory, case)
        seen = len(sink.cycles)
        _compare(await sink.take(len(case.expected)), case)
        fetch = case.head_rows + (2 if case.head_rows == 1 else 1)
        gaps = np.ones(len(case.expected), int)
        gaps[:: case.tokens * case.head_rows] = fetch
        gaps[0] += 1
        assert np.diff([started, *sink.cycles[seen:]]).tolist() == gaps.tolist()


@cocotb.test()
async def reset_at_any_cycle(dut):
    memory = MemoryModel(dut, [], read=("address", "enable", "data"))
    sink = _sink(dut, "random:0.3")
    await reset(dut)
    Holds(dut, "holds", "enable")
    generator = np.random.default_rng(3)
    case = _cases(generator)[0]
    for cut in range(1, 40):
        await _begin(dut, memory, case)
        for _ in range(cut):
            await RisingEdge(dut.clk)
        sink._task.cancel()
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        sink = _sink(dut, "random:0.3")
        small = Case(generator, min(2, case.tokens), case.heads, case.head_rows)
        await _begin(dut, memory, small)
        _compare(await sink.take(len(small.expected)), small)
