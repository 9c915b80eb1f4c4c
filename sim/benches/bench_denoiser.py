# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Denoiser: tables of every floor, holes, ends, stalls of its input and of the lists, cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.score import score_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSource, cycle, in_background, next_cycle, reset

TAG_WIDTH = 3


class Lists:
    """The lists behind the denoiser: takes entries and ends, says `lists_free`, keeps what came between swaps."""

    def __init__(self, dut, busy):
        self.dut, self._busy = dut, busy
        self.entries: list[tuple[int, int, int]] = []  # (j, t, value) of this query
        self.ends: list[int] = []
        self.queries: list[dict] = []
        self.swaps: list[int] = []  # cycles
        self._task = in_background(dut, self._watch())

    async def _watch(self) -> None:
        dut, key, wait, handed = self.dut, 0, 0, None
        dut.lists_free.value = 1
        while True:
            await next_cycle
            if dut.entry__valid.value:
                t = int(dut.entry__t.value)
                if dut.entry__end.value:
                    self.ends.append(t)
                else:
                    assert t not in self.ends, "an entry after the end of its list"
                    self.entries.append((key, t, int(dut.entry__value.value)))
            if handed and len(self.ends) == bench_parameters()["time_steps"]:
                self.queries.append({**handed, "entries": self.entries, "ends": self.ends})
                self.entries, self.ends, handed = [], [], None
            if dut.entry__pair.value:
                key = 0 if dut.entry__query_begins.value else key + 1
            if dut.swap.value:
                assert dut.lists_free.value, "swap while the lists are not free"
                assert not handed, "swap before the lists were ended"
                handed = {"head_ends": bool(dut.head_ends.value), "last_head": bool(dut.last_head.value)}
                self.swaps.append(cycle())
                wait = self._busy()
            dut.lists_free.value = wait == 0
            wait = max(0, wait - 1)

    async def take(self, count: int) -> list[dict]:
        for _ in range(20_000):
            if len(self.queries) >= count:
                break
            await RisingEdge(self.dut.clk)
        taken, self.queries[:] = self.queries[:count], self.queries[count:]
        return taken


def _source(dut, stall: str) -> StreamSource:
    parameters = bench_parameters()
    layout = score_layout(parameters["time_steps"], parameters["max_head_dim"], TAG_WIDTH)
    return StreamSource(dut, "i", layout, stall=stall, seed=1)


def _beats(S: np.ndarray) -> list[dict]:
    """Scores [T, heads, queries, keys] in the order of the stream."""
    _, heads, queries, keys = S.shape
    return [
        {
            "score": S[:, h, i, j].tolist(),
            "tag": (j == keys - 1) | (i == queries - 1) << 1 | (h == heads - 1) << 2,
        }
        for h in range(heads)
        for i in range(queries)
        for j in range(keys)
    ]


def _expected(S: np.ndarray, tables: np.ndarray) -> list[dict]:
    steps, heads, queries, keys = S.shape
    A = np.stack([slow.denoise(S[:, h], tables[h]) for h in range(heads)], axis=1)
    return [
        {
            "head_ends": i == queries - 1,
            "last_head": h == heads - 1,
            "entries": [(j, t, int(A[t, h, i, j])) for j in range(keys) for t in range(steps) if A[t, h, i, j]],
            "ends": list(range(steps)),
        }
        for h in range(heads)
        for i in range(queries)
    ]


def _case(number: int) -> tuple[np.ndarray, int]:
    """Tables [heads, head_dim] of a case of the driver and the entry at which they start."""
    case = bench_parameters()["cases"][number]
    return np.array(case["tables"]), case["base"]


async def _begin(dut, base: int, head_dim: int) -> int:
    dut.table_base.value = base
    dut.head_dim.value = head_dim
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    return cycle()


async def _compare(dut, source, lists, S: np.ndarray, number: int) -> int:
    tables, base = _case(number)
    started = await _begin(dut, base, tables.shape[1])
    sending = source.start(_beats(S))
    expected = _expected(S, tables)
    assert await lists.take(len(expected)) == expected
    await sending
    return started


@cocotb.test()
async def every_score(dut):
    """For each table: all time steps at each score from 0 to head_dim, and each time step alone."""
    source, lists = _source(dut, "never"), Lists(dut, lambda: 0)
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    for number in range(len(bench_parameters()["cases"])):
        heads, head_dim = _case(number)[0].shape
        S = np.zeros((steps, heads, steps + 1, head_dim + 1), int)
        S[:, :, steps] = np.arange(head_dim + 1)
        for t in range(steps):
            S[t, :, t] = np.arange(head_dim + 1)
        await _compare(dut, source, lists, S, number)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.5", "bursts"], busy=[0, 12])
async def random_scores(dut, stall, busy):
    generator = np.random.default_rng(3)
    source = _source(dut, stall)
    lists = Lists(dut, lambda: int(generator.integers(busy + 1)))
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    for number in range(len(bench_parameters()["cases"])):
        heads, head_dim = _case(number)[0].shape
        for keys in (1, 2, 7):
            S = generator.integers(0, head_dim + 1, (steps, heads, 3, keys))
            S[generator.random(S.shape) < generator.choice([0, 0.5, 0.9])] = 0
            await _compare(dut, source, lists, S, number)


@cocotb.test()
async def cycle_counts(dut):
    """The documented timing, exactly: pairs, ends of queries, searches of the floor."""
    generator = np.random.default_rng(4)
    source, lists = _source(dut, "never"), Lists(dut, lambda: 0)
    await reset(dut)
    steps = bench_parameters()["time_steps"]
    for number in range(len(bench_parameters()["cases"])):
        tables, _ = _case(number)
        heads, head_dim = tables.shape
        S = generator.integers(0, head_dim + 1, (steps, heads, 3, 4))
        begin, begin_swaps = len(source.cycles), len(lists.swaps)
        started = await _compare(dut, source, lists, S, number)
        taken, swapped = source.cycles[begin:], lists.swaps[begin_swaps:]
        expected_taken, expected_swaps, free = [], [], started
        for h in range(heads):
            # the smallest score with a non-zero entry; the last score is not tried
            floor = next((s for s in range(1, head_dim) if slow.denoise(np.array(s), tables[h])), head_dim)
            free += 1 + min(floor + 1, head_dim)
            for i in range(3):
                for j in range(4):
                    expected_taken.append(free)
                    free += max(1, int(np.sum(S[:, h, i, j] >= floor)))
                free += steps
                expected_swaps.append(free)
        assert taken == expected_taken
        assert swapped == expected_swaps


@cocotb.test()
async def waits_for_the_lists(dut):
    """While the lists are not free the ends but the last come out, then nothing moves; then it goes on."""
    tables, base = _case(0)
    steps = bench_parameters()["time_steps"]
    source, lists = _source(dut, "never"), Lists(dut, lambda: 60)
    await reset(dut)
    S = np.full((steps, len(tables), 2, 2), tables.shape[1])
    await _begin(dut, base, tables.shape[1])
    source.start(_beats(S))
    while not lists.swaps:
        await RisingEdge(dut.clk)
    for _ in range(50):
        await RisingEdge(dut.clk)
    assert lists.ends == list(range(steps - 1))
    assert len(source.cycles) == 4
    assert await lists.take(len(tables) * 2) == _expected(S, tables)
    assert np.diff(lists.swaps).min() > 60


@cocotb.test()
async def reset_and_restart(dut):
    """A reset at any cycle, also in a search, leaves nothing behind."""
    tables, base = _case(0)
    steps, head_dim = bench_parameters()["time_steps"], tables.shape[1]
    source = _source(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(5)
    for cut in range(1, 30):
        S = generator.integers(0, head_dim + 1, (steps, len(tables), 2, 3))
        lists = Lists(dut, lambda: 0)
        await _begin(dut, base, head_dim)
        sending = source.start(_beats(S))
        for _ in range(cut):
            await RisingEdge(dut.clk)
        sending.cancel()
        lists._task.cancel()
        dut.i__valid.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        lists = Lists(dut, lambda: 0)
        await _compare(dut, source, lists, S, 0)
        lists._task.cancel()
