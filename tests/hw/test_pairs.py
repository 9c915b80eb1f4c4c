# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of PairFetch over shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.pairs import PairFetch
from ds2ta.sim.build import run_bench

SHAPE = {
    "row_lanes": 8,
    "time_steps": 4,
    "max_tokens": 5,
    "max_heads": 3,
    "max_rows": 2,
    "address_width": 8,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_rows": 1, "max_tokens": 8, "row_lanes": 4, "time_steps": 1},
        {"max_rows": 5, "max_heads": 2, "max_tokens": 4, "time_steps": 10},
        {"max_rows": 16, "max_heads": 1, "max_tokens": 3, "row_lanes": 4, "address_width": 9},
        {"max_tokens": 1, "max_heads": 1, "max_rows": 1, "row_lanes": 16, "time_steps": 2, "address_width": 6},
        {"waits": True},
        {"max_rows": 1, "max_tokens": 8, "row_lanes": 4, "waits": True},
    ],
    ids=["g8-2", "g4-1", "g8-5", "g4-16", "least", "g8-2-waits", "g4-1-waits"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(PairFetch(**shape), module="ds2ta.sim.benches.bench_pairs", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16"),
        ("max_tokens", 1, 0, "Tokens must be an integer from 1 to 1024"),
        ("max_tokens", 1024, 1025, "Tokens must be an integer from 1 to 1024"),
        ("max_heads", 1, 0, "Heads must be an integer from 1 to 64"),
        ("max_heads", 64, 65, "Heads must be an integer from 1 to 64"),
        ("max_rows", 1, 0, "Rows of a head must be an integer from 1 to 32"),
        ("max_rows", 32, 33, "Rows of a head must be an integer from 1 to 32"),
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24"),
    ],
)
def test_limits(key, good, bad, rule):
    assert "module" in rtlil.convert(PairFetch(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^{rule}, not {bad}$"):
        PairFetch(**{**SHAPE, key: bad})
