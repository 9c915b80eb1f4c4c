# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of WeightRing over widths, depths, ports and latencies, and checks its parameter
limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.ring import WeightRing
from ds2ta.sim.build import run_bench

SHAPE = {"width": 40, "rows": 16, "memory_bits": 16, "ports": 1, "latency": 1}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ports": 2, "latency": 2, "width": 64, "rows": 32},
        {"ports": 2, "width": 20, "memory_bits": 32, "rows": 4},  # a row each cycle
        {"latency": 2, "width": 130, "memory_bits": 128, "rows": 8},
        {"ports": 2, "rows": 13, "latency": 3},
        {"width": 33, "rows": 24},
    ],
    ids=["single", "pairs", "word-rows", "wide-words", "pairs-13-rows", "24-rows"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(WeightRing(**shape), module="ds2ta.sim.benches.bench_ring", parameters=shape)


@pytest.mark.parametrize(
    ("key", "name", "low", "high"),
    [
        ("width", "Ring width", 1, 1 << 14),
        ("rows", "Ring rows", 4, 1 << 16),
        ("ports", "Ring ports", 1, 2),
        ("latency", "Ring latency", 1, 3),
    ],
)
def test_limits(key, name, low, high):
    for good, bad in ((low, low - 1), (high, high + 1)):
        assert "module" in rtlil.convert(WeightRing(**{**SHAPE, key: good}))
        with pytest.raises(FitError, match=f"^{name} must be an integer from {low} to {high}, not {bad}$"):
            WeightRing(**{**SHAPE, key: bad})


def test_memory_bits():
    with pytest.raises(FitError, match=r"^Memory bits must be one of 16, 32, 64, 128, not 24$"):
        WeightRing(**{**SHAPE, "memory_bits": 24})
