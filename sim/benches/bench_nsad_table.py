# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of NsadTable: every score of every table, in every order, one look-up a cycle; loading of a ram."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import reset


def _tables() -> np.ndarray:
    """[tables, head_dim], as the driver put them into the rom."""
    return np.array(bench_parameters()["tables"])


async def _load(dut, tables: np.ndarray) -> None:
    entries = tables.ravel().tolist()
    for address in np.random.default_rng(1).permutation(len(entries)).tolist():
        dut.load__enable.value = 1
        dut.load__address.value = address
        dut.load__data.value = entries[address]
        await RisingEdge(dut.clk)
    dut.load__enable.value = 0


async def _look_up(dut, tables: np.ndarray, picks: list[tuple[int, int]]) -> None:
    """One look-up (table, score) each cycle; each value one cycle later."""
    found = []
    for number, score in [*picks, (0, 0)]:
        dut.base.value = number * tables.shape[1]
        dut.score.value = score
        await RisingEdge(dut.clk)
        found.append(int(dut.value.value))
    assert found[1:] == [int(slow.denoise(np.array(score), tables[number])) for number, score in picks]


@cocotb.test()
async def every_score_of_every_table(dut):
    """0, which gives 0 beside non-zero neighbours, the first, the last (head_dim must not wrap), and all between;
    ascending, descending and in random order."""
    tables = _tables()
    await reset(dut)
    if bench_parameters()["kind"] == "ram":
        await _load(dut, tables)
    picks = [(number, score) for number in range(len(tables)) for score in range(tables.shape[1] + 1)]
    await _look_up(dut, tables, picks)
    await _look_up(dut, tables, picks[::-1])
    await _look_up(dut, tables, [picks[at] for at in np.random.default_rng(2).integers(0, len(picks), 300)])


@cocotb.test(skip="ram" not in str(bench_parameters()))
async def loads_again(dut):
    """A ram takes other tables without a reset."""
    tables = _tables()
    await reset(dut)
    picks = [(number, score) for number in range(len(tables)) for score in range(tables.shape[1] + 1)]
    for turned in (tables[::-1], tables.max() - tables, tables):
        await _load(dut, turned)
        await _look_up(dut, turned, picks)
