# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of MemoryReader over widths of a word, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.memory_reader import MemoryReader
from ds2ta.sim.build import run_bench

SHAPE = {"memory_bits": 16, "address_bits": 9, "piece": 8, "settle": 4, "patience": 6}


@pytest.mark.parametrize(
    "change",
    [{}, {"memory_bits": 64, "address_bits": 20, "piece": 64, "settle": 1, "patience": 5}],
    ids=["16", "64"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(MemoryReader(**shape), module="ds2ta.sim.benches.bench_memory_reader", parameters=shape)


@pytest.mark.parametrize(
    ("key", "name", "low", "high"),
    [
        ("address_bits", "Address bits", 1, 32),
        ("piece", "Piece", 1, 1 << 16),
        ("settle", "Settle", 1, 24),
        ("patience", "Patience", 2, 24),
    ],
)
def test_limits(key, name, low, high):
    for good, bad in ((low, low - 1), (high, high + 1)):
        assert "module" in rtlil.convert(MemoryReader(**{**SHAPE, key: good}))
        with pytest.raises(FitError, match=f"^{name} must be an integer from {low} to {high}, not {bad}$"):
            MemoryReader(**{**SHAPE, key: bad})
