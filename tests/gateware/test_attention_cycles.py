# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The attention cycle model on cases counted by hand, and against the hardware on drawn shapes, maps and tables."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.gateware.attention_cycles import attention_cycles
from ds2ta.golden import slow
from ds2ta.hw.attention import AttentionUnit
from ds2ta.sim.spike_rows import plane_rows, row_bits

ROW = {"row_lanes": 8, "channels": 8}


def test_one_empty_pair():
    """Q is fetched in cycle 1, K in 3; the empty table is searched in 1..8, the pair taken in 9; in 10 it is empty,
    in 11..14 four lists are ended, swapped in 14, read in 15..18; the row is out in 21 and done is high in 22."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.zeros((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 22


def test_early_floor():
    """The table's first entry is found in cycle 2, so the pair is taken when it is there, in 6, not in 9."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.ones((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 19


@pytest.mark.parametrize(("steps", "cycles"), [(1, 15), (2, 16), (3, 17), (4, 19), (5, 21)])
def test_time_steps(steps, cycles):
    """A step more is an end more to write and one more to read. One and two steps wait, two cycles and one, until
    the last end is in the memory."""
    scores, tables = np.zeros((steps, 1, 1, 1), int), np.ones((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == cycles


def test_entries_are_looked_up_and_read():
    """Two scores on the table cost one cycle more than one to look up, and two cycles to read."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.ones((1, 8), int)
    scores[1:3] = 5
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 19 + 1 + 2


@pytest.mark.parametrize(("channels", "chunks"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_serial_scores_bound_long_phases(channels, chunks):
    """Empty maps of two steps: a query costs its fetch and tokens * rows * chunks cycles, the rest is hidden."""
    tables = np.ones((1, 16), int)
    short, long = (
        attention_cycles(np.zeros((2, 1, n, n), int), tables, head_rows=2, row_lanes=8, channels=channels)
        for n in (20, 21)
    )
    assert long - short == 21 * (21 * 2 * chunks + 2) - 20 * (20 * 2 * chunks + 2)


def _simulated_cycles(unit: AttentionUnit, configuration: dict, keys: dict, values: dict, waits: bool) -> int:
    """Cycles from `start` to `done` in the Amaranth simulator, behind memories that hold their data. `waits`: that
    of Q and K is not read in a cycle in which a row comes out."""
    found = []

    async def bench(ctx):
        for name, value in {**configuration, "start": 1}.items():
            ctx.set(getattr(unit, name), value)
        ctx.set(unit.o.ready, 1)
        cycles = 0
        while cycles == 0 or not ctx.get(unit.done):
            if waits:
                ctx.set(unit.qk_holds, ctx.get(unit.o.valid))
                assert not (ctx.get(unit.o.valid) and ctx.get(unit.qk_enable))
            reads = [
                (ctx.get(getattr(unit, f"{bank}_enable")), ctx.get(getattr(unit, f"{bank}_address")), words, data)
                for bank, words, data in (("qk", keys, unit.qk_data), ("v", values, unit.v_data))
            ]
            await ctx.tick()
            cycles += 1
            ctx.set(unit.start, 0)
            for enable, address, words, data in reads:
                if enable:
                    ctx.set(data.as_value(), words[address])
        found.append(cycles)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found[0]


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    steps=st.integers(1, 6),
    lanes=st.sampled_from([4, 8]),
    chunks=st.sampled_from([1, 2, 4]),
    tokens=st.integers(1, 6),
    heads=st.integers(1, 3),
    head_rows=st.integers(1, 3),
    densities=st.tuples(*[st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])] * 2),
    floors=st.lists(st.integers(0, 24), min_size=3, max_size=3),
    fast=st.booleans(),
    waits=st.booleans(),
    seed=st.integers(0, 1 << 16),
)
def test_equals_the_hardware(steps, lanes, chunks, tokens, heads, head_rows, densities, floors, fast, waits, seed):
    generator = np.random.default_rng(seed)
    head_dim, groups = head_rows * lanes, heads * head_rows
    tables = generator.integers(0, 16, (heads, head_dim))
    for table, floor in zip(tables, floors, strict=False):
        table[:floor] = 0
    Q, K, V = (
        (generator.random((steps, tokens, heads * head_dim)) < part).astype(int) for part in (*densities, 0.5)
    )
    unit = AttentionUnit(
        row_lanes=lanes,
        time_steps=steps,
        score_channels=lanes // chunks,
        max_tokens=6,
        max_heads=3,
        max_head_dim=3 * lanes,
        denoiser_bits=4,
        membrane_width=8,
        leak_shift=1,
        address_width=8,
        denoiser_entries=tables.size,
        denoiser_init=tables.ravel().tolist(),
        fast=fast,
        waits=waits,
    )
    rows = {
        base: {
            base + n * groups + at: row_bits(row, steps)
            for n in range(tokens)
            for at, row in enumerate(plane_rows(X[:, n], 1, lanes))
        }
        for base, X in ((0, Q), (100, K), (30, V))
    }
    configuration = {
        **{"q_base": 0, "k_base": 100, "v_base": 30, "o_base": 0, "table_base": 0, "threshold": 9},
        **{"tokens": tokens, "heads": heads, "head_rows": head_rows, "head_dim": head_dim, "groups": groups},
    }
    parts = [slice(h * head_dim, (h + 1) * head_dim) for h in range(heads)]
    scores = np.stack([slow.scores(Q[..., part], K[..., part]) for part in parts], axis=1)
    shape = {"head_rows": head_rows, "row_lanes": lanes, "channels": lanes // chunks}
    predicted = attention_cycles(scores, tables, **shape, fast=fast, waits=waits)
    assert _simulated_cycles(unit, configuration, rows[0] | rows[100], rows[30], waits) == predicted
