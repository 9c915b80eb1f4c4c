# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of EntryLists: empty, partial and full lists, both sets at work, stalls, cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, Timer

from ds2ta.hw.lists import entry_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, cycle, in_background, next_cycle, reset


def _query(generator, fill: float) -> list[list[tuple[int, int]]]:
    """Lists [T] of (position, value), each key with probability `fill`."""
    parameters = bench_parameters()
    steps, tokens = parameters["time_steps"], parameters["max_tokens"]
    positions = generator.integers(0, 1 << parameters["position_width"], tokens).tolist()
    values = generator.integers(1, 1 << parameters["bits"], (steps, tokens)).tolist()
    return [
        [(position, value) for position, value in zip(positions, row, strict=True) if generator.random() < fill]
        for row in values
    ]


def _expected(query: list[list[tuple[int, int]]], rows: int) -> list[dict]:
    found = []
    for row in range(rows):
        for t, entries in enumerate(query):
            found += [{"position": position, "value": value, "end": 0} for position, value in entries]
            found.append({"end": 1, "row_ends": t == len(query) - 1})
            found[-1]["query_ends"] = found[-1]["row_ends"] and row == rows - 1
    return found


def _masked(payload: dict) -> dict:
    """What of an entry counts: an end has no position and no value, an entry ends nothing."""
    keys = ("end", "row_ends", "query_ends") if payload["end"] else ("position", "value", "end")
    return {key: payload[key] for key in keys}


def _sink(dut, stall: str) -> StreamSink:
    layout = entry_layout(bench_parameters()["position_width"], bench_parameters()["bits"])
    return StreamSink(dut, "o", layout, stall=stall, seed=2)


async def _write(dut, t: int, value: int, position: int, end: bool) -> None:
    dut.write__valid.value = 1
    dut.write__t.value = t
    dut.write__value.value = value
    dut.write__end.value = end
    dut.position.value = position
    await RisingEdge(dut.clk)
    dut.write__valid.value = 0
    dut.swap.value = 0


async def _fill(dut, query, generator, gaps: float, late: int) -> None:
    """Write the lists, all but the last end if not `late`, and wait until they can be swapped in this cycle."""
    order = [(t, *entry) for t, entries in enumerate(query) for entry in entries]
    generator.shuffle(order)  # any order of time steps; within one the order of the list
    taken = [iter(entries) for entries in query]
    for t, _, _ in order:
        while generator.random() < gaps:
            await RisingEdge(dut.clk)
        position, value = next(taken[t])
        await _write(dut, t, value, position, end=False)
    steps = len(query)
    for t in range(steps - 1):
        await _write(dut, t, 0, 0, end=True)
    if late:
        await _write(dut, steps - 1, 0, 0, end=True)
        for _ in range(late - 1):
            await RisingEdge(dut.clk)
    await Timer(1, "ns")  # the register's value in this cycle
    while not dut.free.value:
        await RisingEdge(dut.clk)
        await Timer(1, "ns")


async def _swap(dut, query, late: int) -> None:
    dut.swap.value = 1
    await RisingEdge(dut.clk)
    dut.swap.value = 0
    if not late:
        await _write(dut, len(query) - 1, 0, 0, end=True)


async def _run(dut, sink, queries, *, rows: int, gaps: float, lates) -> list[int]:
    """All queries through the lists, compared; the cycles of the swaps."""
    generator = np.random.default_rng(7)
    dut.rows.value = rows
    swaps = []
    for query, late in zip(queries, lates, strict=True):
        await _fill(dut, query, generator, gaps, late)
        swaps.append(cycle() + 1)
        await _swap(dut, query, late)
    expected = [entry for query in queries for entry in _expected(query, rows)]
    assert [_masked(payload) for payload in await sink.take(len(expected))] == expected
    return swaps


def _queries(generator) -> list:
    return [_query(generator, fill) for fill in (1, 0, 1, 0.5, 0, 0, 0.1, 0.9, 1, 1, 0.3)]


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.8", "bursts"], gaps=[0, 0.6])
async def lists_come_out(dut, stall, gaps):
    sink = _sink(dut, stall)
    await reset(dut)
    queries = _queries(np.random.default_rng(1))
    lates = [index % 3 for index in range(len(queries))]
    for rows in range(1, bench_parameters()["max_rows"] + 1):
        await _run(dut, sink, queries, rows=rows, gaps=gaps, lates=lates)
    for _ in range(10):
        await RisingEdge(dut.clk)
    assert not sink.received
    assert dut.free.value


@cocotb.test()
async def cycle_counts(dut):
    """First entry one cycle after the swap (T = 2: two, T = 1: three; where `fast`, T = 3, 2, 1: two to four), then
    one each cycle; free right after."""
    sink = _sink(dut, "never")
    await reset(dut)
    steps, rows = (bench_parameters()[key] for key in ("time_steps", "max_rows"))
    delay = max(1, (5 if bench_parameters().get("fast") else 4) - steps)
    frees = []

    async def watch() -> None:
        while True:
            await next_cycle
            frees.append((cycle(), bool(dut.free.value)))

    in_background(dut, watch())
    queries = _queries(np.random.default_rng(2))
    swaps = await _run(dut, sink, queries, rows=rows, gaps=0, lates=[0] * len(queries))
    begin, busy = 0, set()
    for query, swap in zip(queries, swaps, strict=True):
        length = rows * (sum(map(len, query)) + steps)
        assert sink.cycles[begin : begin + length] == list(range(swap + delay, swap + delay + length))
        busy |= set(range(swap + 1, swap + delay + length))
        begin += length
    assert {at for at, free in frees if not free} == busy


@cocotb.test()
async def reset_at_any_cycle(dut):
    sink = _sink(dut, "random:0.3")
    await reset(dut)
    generator = np.random.default_rng(3)
    for cut in range(1, 30):
        filling = cocotb.start_soon(_run(dut, sink, [_query(generator, 0.5)] * 2, rows=1, gaps=0, lates=[0, 0]))
        for _ in range(cut):
            await RisingEdge(dut.clk)
        filling.cancel()
        sink._task.cancel()
        dut.write__valid.value = 0
        dut.swap.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        sink = _sink(dut, "random:0.3")
        await _run(dut, sink, [_query(generator, 0.5) for _ in range(3)], rows=1, gaps=0, lates=[0, 1, 0])
