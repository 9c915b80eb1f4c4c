# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of ParameterFetch over lane counts and widths, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.parameters import ParameterFetch
from ds2ta.sim.build import run_bench

SHAPE = {
    "lanes": 2,
    "current_width": 12,
    "param_width": 10,
    "address_width": 6,
    "count_width": 4,
    "registered": False,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"registered": True},
        {"lanes": 1, "param_width": 20, "address_width": 4, "count_width": 3},
        {"lanes": 8, "current_width": 5},
    ],
    ids=["R2", "registered", "R1-full-store", "R8"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(ParameterFetch(**shape), module="ds2ta.sim.benches.bench_parameters", parameters=shape)


@pytest.mark.parametrize(
    ("key", "name", "low", "high"),
    [
        ("current_width", "Current width", 1, 64),
        ("param_width", "Parameter width", 2, 48),
        ("address_width", "Address width", 1, 24),
        ("count_width", "Count width", 1, 16),
    ],
)
def test_limits(key, name, low, high):
    for good, bad in ((low, low - 1), (high, high + 1)):
        assert "module" in rtlil.convert(ParameterFetch(**{**SHAPE, key: good}))
        with pytest.raises(FitError, match=f"^{name} must be an integer from {low} to {high}, not {bad}$"):
            ParameterFetch(**{**SHAPE, key: bad})


@pytest.mark.parametrize(("good", "bad"), [(1, 0), (4, 3), (32, 64)])
def test_lanes(good, bad):
    assert "module" in rtlil.convert(ParameterFetch(**{**SHAPE, "lanes": good}))
    with pytest.raises(FitError, match=f"^Lanes must be a power of two from 1 to 32, not {bad}$"):
        ParameterFetch(**{**SHAPE, "lanes": bad})
