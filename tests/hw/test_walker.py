# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of RowWalker over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.walker import RowWalker
from ds2ta.sim.build import run_bench

SHAPE = {
    "lanes": 2,
    "row_lanes": 8,
    "time_steps": 4,
    "address_width": 10,
    "count_width": 8,
    "max_lines": 2,
    "tile_rows": 3,
}
SHAPES = {
    "R2-g8-T4": {"address_width": 6, "count_width": 3, "max_lines": 3},
    "R4-g4-T1": {"lanes": 4, "row_lanes": 4, "time_steps": 1, "address_width": 3, "count_width": 4, "max_lines": 1},
    "R4-g32-T10": {"lanes": 4, "row_lanes": 32, "time_steps": 10, "address_width": 9, "count_width": 2},
    "R8-g8-T3": {"lanes": 8, "time_steps": 3, "count_width": 2, "max_lines": 1, "tile_rows": 1},
    "R2-g4-T1-lines": {"row_lanes": 4, "time_steps": 1, "count_width": 2, "max_lines": 4},
    "R4-g8-T3-bands": {"lanes": 4, "time_steps": 3, "count_width": 2, "bands": True},
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(RowWalker(**shape), module="ds2ta.sim.benches.bench_walker", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24, not 0"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24, not 25"),
        ("count_width", 1, 0, "Count width must be an integer from 1 to 16, not 0"),
        ("count_width", 16, 17, "Count width must be an integer from 1 to 16, not 17"),
        ("max_lines", 1, 0, "Most lines must be an integer from 1 to 64, not 0"),
        ("max_lines", 64, 65, "Most lines must be an integer from 1 to 64, not 65"),
        ("tile_rows", 1, 0, "Rows of a tile must be an integer from 1 to 128, not 0"),
        ("tile_rows", 128, 129, "Rows of a tile must be an integer from 1 to 128, not 129"),
        ("lanes", 1, 0, "Lanes must be a power of two from 1 to 8, not 0"),
        ("lanes", 8, 16, "Lanes must be a power of two from 1 to 8, not 16"),
        ("lanes", 4, 3, "Lanes must be a power of two from 1 to 8, not 3"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32, not 64"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(RowWalker(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        RowWalker(**{**SHAPE, key: bad})
