# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of MemoryReader over shapes of rows and rings, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.memory_reader import MemoryReader
from ds2ta.sim.build import run_bench

SHAPE = {
    "memory_bits": 16,
    "address_bits": 12,
    "row_words": 3,
    "ring_rows": 16,
    "piece_words": 16,
    "settle": 4,
    "patience": 8,
}


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ({}, 43),
        ({"memory_bits": 64, "row_words": 1, "ring_rows": 64, "piece_words": 8, "settle": 1}, 150),
        ({"memory_bits": 32, "row_words": 40, "ring_rows": 4}, 7),
        ({"row_words": 2, "ring_rows": 13}, 50),
    ],
    ids=["16", "64", "long rows", "13 rows"],
)
def test_bench(change, rows):
    shape = {**SHAPE, **change}
    reader = MemoryReader(**shape)
    parameters = shape | {"rows": rows, "piece_rows": reader.piece_rows}
    run_bench(reader, module="ds2ta.sim.benches.bench_memory_reader", parameters=parameters)


@pytest.mark.parametrize(
    ("words", "ring", "piece"),
    [(3, 16, 4), (1, 64, 16), (1, 8, 8), (16, 16, 1), (17, 16, 1), (40, 4, 1), (1, 13, 8), (3, 7, 4)],
)
def test_pieces_are_a_power_of_two_of_rows(words, ring, piece):
    assert MemoryReader(**SHAPE | {"row_words": words, "ring_rows": ring}).piece_rows == piece


@pytest.mark.parametrize(
    ("key", "name", "low", "high"),
    [
        ("address_bits", "Address bits", 1, 32),
        ("row_words", "Row words", 1, 1 << 10),
        ("ring_rows", "Ring rows", 4, 1 << 16),
        ("piece_words", "Piece words", 1, 1 << 16),
        ("settle", "Settle", 1, 24),
        ("patience", "Patience", 2, 24),
    ],
)
def test_limits(key, name, low, high):
    for good, bad in ((low, low - 1), (high, high + 1)):
        assert "module" in rtlil.convert(MemoryReader(**{**SHAPE, key: good}))
        with pytest.raises(FitError, match=f"^{name} must be an integer from {low} to {high}, not {bad}$"):
            MemoryReader(**{**SHAPE, key: bad})
