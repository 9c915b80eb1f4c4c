# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Residual over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.residual import Residual
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4, "address_width": 10, "max_planes": 3}


@pytest.mark.parametrize(
    ("row_lanes", "time_steps", "address_width", "max_planes"), [(8, 4, 6, 5), (4, 1, 5, 1), (16, 10, 6, 3)]
)
def test_bench(row_lanes, time_steps, address_width, max_planes):
    shape = {
        "row_lanes": row_lanes,
        "time_steps": time_steps,
        "address_width": address_width,
        "max_planes": max_planes,
    }
    run_bench(Residual(**shape), module="ds2ta.sim.benches.bench_residual", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24, not 0"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24, not 25"),
        ("max_planes", 1, 0, "Planes must be an integer from 1 to 8, not 0"),
        ("max_planes", 8, 9, "Planes must be an integer from 1 to 8, not 9"),
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32, not 2"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(Residual(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        Residual(**{**SHAPE, key: bad})
