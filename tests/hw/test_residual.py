# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Residual over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.residual import Residual
from ds2ta.sim.build import run_bench

SHAPE = {"lanes": 2, "row_lanes": 8, "time_steps": 4, "address_width": 10, "max_planes": 3}
_SMALL = {"lanes": 4, "row_lanes": 4, "time_steps": 1, "address_width": 5, "max_planes": 1}
SHAPES = {
    "R2-g8-T4-5": {"address_width": 6, "max_planes": 5},
    "R4-g4-T1-1": _SMALL,
    "R1-g16-T10-3": {"lanes": 1, "row_lanes": 16, "time_steps": 10, "address_width": 6},
    "R8-g8-T3-2": {"lanes": 8, "time_steps": 3, "address_width": 5, "max_planes": 2},
    "R2-g8-T2-1": {"time_steps": 2, "address_width": 4, "max_planes": 1},
    "single-port-R2-g8-T4-5": {"address_width": 6, "max_planes": 5, "single_port": True},
    "single-port-R4-g4-T1-1": {**_SMALL, "single_port": True},
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(Residual(**shape), module="ds2ta.sim.benches.bench_residual", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24, not 0"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24, not 25"),
        ("max_planes", 1, 0, "Planes must be an integer from 1 to 8, not 0"),
        ("max_planes", 8, 9, "Planes must be an integer from 1 to 8, not 9"),
        ("lanes", 1, 0, "Lanes must be a power of two from 1 to 8, not 0"),
        ("lanes", 8, 16, "Lanes must be a power of two from 1 to 8, not 16"),
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32, not 2"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(Residual(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        Residual(**{**SHAPE, key: bad})
