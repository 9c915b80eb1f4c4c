# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of RowWalker over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.walker import RowWalker
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4, "address_width": 10, "tile_width": 8}


@pytest.mark.parametrize(
    ("row_lanes", "time_steps", "address_width", "tile_width"), [(8, 4, 6, 3), (4, 1, 3, 4), (32, 10, 9, 2)]
)
def test_bench(row_lanes, time_steps, address_width, tile_width):
    shape = {
        "row_lanes": row_lanes,
        "time_steps": time_steps,
        "address_width": address_width,
        "tile_width": tile_width,
    }
    run_bench(RowWalker(**shape), module="ds2ta.sim.benches.bench_walker", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24, not 0"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24, not 25"),
        ("tile_width", 1, 0, "Tile width must be an integer from 1 to 16, not 0"),
        ("tile_width", 16, 17, "Tile width must be an integer from 1 to 16, not 17"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32, not 64"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(RowWalker(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        RowWalker(**{**SHAPE, key: bad})
