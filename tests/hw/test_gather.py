# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Gather over bank and row shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.gather import Gather
from ds2ta.sim.build import run_bench

SHAPE = {
    "address_width": 9,
    "weight_width": 10,
    "count_width": 4,
    "plane_width": 3,
    "row_lanes": 8,
    "max_lines": 4,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"row_lanes": 4, "address_width": 5, "weight_width": 6, "max_lines": 1},
        {
            "row_lanes": 32,
            "address_width": 14,
            "weight_width": 12,
            "count_width": 6,
            "max_lines": 3,
        },
        {"tiles_wait": True},
        {"tiles_wait": True, "row_lanes": 32, "weight_width": 5, "max_lines": 3},
        {"bands": True, "row_lanes": 8, "max_lines": 2},
        {"bands": True, "tiles_wait": True, "row_lanes": 4, "weight_width": 7, "ring_rows": 68, "max_lines": 2},
    ],
    ids=["g8", "g4-small-bank", "g32", "g8-tiles-wait", "g32-tiles-wait", "g8-bands", "g4-bands-ring"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(Gather(**shape), module="ds2ta.sim.benches.bench_gather", parameters=shape)


@pytest.mark.parametrize("key", ["address_width", "weight_width", "count_width", "plane_width"])
@pytest.mark.parametrize(("good", "bad"), [(1, 0), (32, 33), (3, "3"), (3, 3.0)])
def test_limits(key, good, bad):
    assert "module" in rtlil.convert(Gather(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^Gather {key} must be in 1..32, not {bad!r}$"):
        Gather(**{**SHAPE, key: bad})


@pytest.mark.parametrize(("good", "bad"), [(4, 2), (8, 12), (16, True), (32, 64)])
def test_row_lanes(good, bad):
    assert "module" in rtlil.convert(Gather(**{**SHAPE, "row_lanes": good}))
    with pytest.raises(FitError, match=f"^Gather row_lanes must be 4, 8, 16 or 32, not {bad!r}$"):
        Gather(**{**SHAPE, "row_lanes": bad})


@pytest.mark.parametrize(("good", "bad"), [(0, -8), (96, 100), (1024, 1032), (8, 4)])
def test_ring(good, bad):
    """Whole rows of channels, which the zero skip chooses among; as many as there are addresses is no limit."""
    assert "module" in rtlil.convert(Gather(**{**SHAPE, "ring_rows": good}))
    with pytest.raises(
        FitError, match=f"^Gather ring_rows must be a multiple of row_lanes, 8, from 0 to 1024, not {bad}$"
    ):
        Gather(**{**SHAPE, "ring_rows": bad})


@pytest.mark.parametrize(("good", "bad"), [(1, 0), (64, 65), (2, 2.0)])
def test_lines(good, bad):
    assert "module" in rtlil.convert(Gather(**{**SHAPE, "max_lines": good}))
    with pytest.raises(FitError, match=f"^Gather max_lines must be an integer from 1 to 64, not {bad!r}$"):
        Gather(**{**SHAPE, "max_lines": bad})
