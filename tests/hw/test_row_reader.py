# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of RowReader over row shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.row_reader import RowReader
from ds2ta.sim.build import run_bench

SHAPE = {
    "row_lanes": 8,
    "time_steps": 4,
    "address_width": 6,
    "weight_width": 9,
    "plane_width": 3,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"row_lanes": 4, "time_steps": 1, "address_width": 4, "weight_width": 1, "plane_width": 1},
        {"row_lanes": 4, "time_steps": 2, "address_width": 5},
        {"row_lanes": 16, "time_steps": 3, "address_width": 5},
        {"row_lanes": 4, "address_width": 5, "waits": True},
    ],
    ids=["g8-T4", "g4-T1", "g4-T2", "g16-T3", "g4-T4-waits"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(RowReader(**shape), module="ds2ta.sim.benches.bench_row_reader", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32"),
        ("row_lanes", 16, 12, "Row lanes must be a power of two from 4 to 32"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16"),
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24"),
        ("weight_width", 1, 0, "Weight width must be an integer from 1 to 24"),
        ("weight_width", 24, 25, "Weight width must be an integer from 1 to 24"),
        ("plane_width", 1, 0, "Plane width must be an integer from 1 to 3"),
        ("plane_width", 3, 4, "Plane width must be an integer from 1 to 3"),
    ],
)
def test_limits(key, good, bad, rule):
    assert "module" in rtlil.convert(RowReader(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^{rule}, not {bad}$"):
        RowReader(**{**SHAPE, key: bad})
