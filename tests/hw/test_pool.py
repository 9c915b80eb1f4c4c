# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of OrPool over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.pool import OrPool
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4}


@pytest.mark.parametrize(("row_lanes", "time_steps"), [(8, 4), (4, 1), (16, 10)])
def test_bench(row_lanes, time_steps):
    shape = {"row_lanes": row_lanes, "time_steps": time_steps}
    run_bench(OrPool(**shape), module="ds2ta.sim.benches.bench_pool", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32, not 2"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32, not 64"),
        ("row_lanes", 8, 12, "Row lanes must be a power of two from 4 to 32, not 12"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16, not 0"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(OrPool(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        OrPool(**{**SHAPE, key: bad})
