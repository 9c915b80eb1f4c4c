# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of EntryLists over sizes and time steps, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.lists import EntryLists
from ds2ta.sim.build import run_bench

SHAPE = {"time_steps": 4, "max_tokens": 16, "max_rows": 2, "bits": 6, "position_width": 9}


# a list that is full has no end in memory if the tokens fill the address space (16, 1, 2), and has one if not
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"time_steps": 1, "max_tokens": 5, "max_rows": 3},
        {"time_steps": 2, "max_tokens": 2, "max_rows": 1},
        {"time_steps": 3, "max_tokens": 1, "bits": 1},
        {"time_steps": 10, "max_tokens": 7, "bits": 8, "position_width": 14},
        {"fast": True},
        {"fast": True, "time_steps": 3, "max_tokens": 7},
        {"fast": True, "time_steps": 1, "max_tokens": 2, "bits": 1},
    ],
    ids=["t4", "t1", "t2", "t3", "t10", "fast-t4", "fast-t3", "fast-t1"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(EntryLists(**shape), module="ds2ta.sim.benches.bench_lists", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16"),
        ("max_tokens", 1, 0, "Tokens must be an integer from 1 to 1024"),
        ("max_tokens", 1024, 1025, "Tokens must be an integer from 1 to 1024"),
        ("max_rows", 1, 0, "Rows of a head must be an integer from 1 to 32"),
        ("max_rows", 32, 33, "Rows of a head must be an integer from 1 to 32"),
        ("bits", 1, 0, "Denoiser bits must be an integer from 1 to 8"),
        ("bits", 8, 9, "Denoiser bits must be an integer from 1 to 8"),
        ("position_width", 1, 0, "Position width must be an integer from 1 to 24"),
        ("position_width", 24, 25, "Position width must be an integer from 1 to 24"),
    ],
)
def test_limits(key, good, bad, rule):
    assert "module" in rtlil.convert(EntryLists(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^{rule}, not {bad}$"):
        EntryLists(**{**SHAPE, key: bad})
