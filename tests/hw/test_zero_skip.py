# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of ZeroSkip over row shapes and buffer depths, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.zero_skip import ZeroSkip
from ds2ta.sim.build import run_bench

SHAPE = {
    "row_lanes": 8,
    "time_steps": 4,
    "weight_width": 9,
    "plane_width": 3,
    "max_shift": 7,
    "buffer_rows": 2,
    "events": 1,
    "registered": False,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"buffer_rows": 4},
        {"buffer_rows": 8, "row_lanes": 4, "time_steps": 2, "max_shift": 2, "plane_width": 2},
        {"buffer_rows": 16, "row_lanes": 16, "time_steps": 1, "max_shift": 0, "plane_width": 1},
        {"events": 2},
        {"events": 2, "buffer_rows": 8, "row_lanes": 4, "time_steps": 2, "max_shift": 2, "plane_width": 2},
        {"events": 2, "buffer_rows": 16, "row_lanes": 16, "time_steps": 1, "max_shift": 0, "plane_width": 1},
        {"registered": True, "buffer_rows": 4},
        {"registered": True, "events": 2, "row_lanes": 16},
    ],
    ids=[
        *("g8-2", "g8-4", "g4-8", "g16-16", "g8-2-pairs", "g4-8-pairs", "g16-16-pairs"),
        *("g8-4-registered", "g16-2-pairs-registered"),
    ],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(ZeroSkip(**shape), module="ds2ta.sim.benches.bench_zero_skip", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("buffer_rows", 2, 1, "Buffer rows must be a power of two from 2 to 64"),
        ("buffer_rows", 64, 128, "Buffer rows must be a power of two from 2 to 64"),
        ("buffer_rows", 4, 3, "Buffer rows must be a power of two from 2 to 64"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32"),
        ("row_lanes", 4, 3, "Row lanes must be a power of two from 4 to 32"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16"),
        ("weight_width", 1, 0, "Weight width must be an integer from 1 to 24"),
        ("weight_width", 24, 25, "Weight width must be an integer from 1 to 24"),
        ("plane_width", 1, 0, "Plane width must be an integer from 1 to 3"),
        ("plane_width", 3, 4, "Plane width must be an integer from 1 to 3"),
        ("events", 2, 3, "Events must be an integer from 1 to 2"),
        ("max_shift", 0, -1, "Largest shift must be an integer from 0 to 7"),
        ("max_shift", 7, 8, "Largest shift must be an integer from 0 to 7"),
    ],
)
def test_limits(key, good, bad, rule):
    assert "module" in rtlil.convert(ZeroSkip(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^{rule}, not {bad}$"):
        ZeroSkip(**{**SHAPE, key: bad})
