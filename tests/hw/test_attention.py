# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of AttentionUnit over shapes and tables, and checks its parameter limits."""

import numpy as np
import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.attention import AttentionUnit
from ds2ta.sim.build import run_bench

SHAPE = {
    "row_lanes": 8,
    "time_steps": 4,
    "score_channels": 8,
    "max_tokens": 6,
    "max_heads": 2,
    "max_head_dim": 16,
    "denoiser_bits": 6,
    "membrane_width": 11,
    "leak_shift": 1,
    "address_width": 8,
}


def _tables(generator, heads: int, head_dim: int, bits: int) -> list[list[int]]:
    """Tables of some floor each, one empty now and then; the last entry is the largest value."""
    tables = generator.integers(0, 1 << bits, (heads, head_dim))
    for table in tables:
        table[: generator.integers(0, head_dim)] = 0
        table[-1] = (1 << bits) - 1
    if heads > 2:
        tables[1] = 0
    return tables.tolist()


@pytest.mark.parametrize(
    ("change", "kind", "cases"),  # cases: (tokens, heads, head_rows)
    [
        ({"fast": True}, "ram", [(6, 2, 2), (1, 1, 1), (5, 2, 1), (2, 1, 2)]),
        ({}, "rom", [(6, 2, 2), (1, 1, 1), (5, 2, 1), (2, 1, 2)]),
        ({"waits": True, "score_channels": 4}, "rom", [(6, 2, 2), (1, 1, 1), (5, 2, 1), (2, 1, 2)]),
        ({"score_channels": 1, "max_head_dim": 8, "max_tokens": 4}, "ram", [(4, 2, 1), (3, 1, 1)]),
        (
            {"score_channels": 2, "time_steps": 10, "max_head_dim": 24, "max_tokens": 3},
            "rom",
            [(3, 2, 3), (2, 2, 1)],
        ),
        (
            {"row_lanes": 4, "score_channels": 4, "time_steps": 1, "max_head_dim": 64, "max_heads": 1},
            "rom",
            [(6, 1, 16), (3, 1, 1), (2, 1, 5)],
        ),
        (
            {
                "score_channels": 4,
                "time_steps": 2,
                "max_heads": 4,
                "leak_shift": 2,
                "denoiser_bits": 8,
                "fast": True,
            },
            "ram",
            [(4, 4, 1), (6, 2, 2), (1, 4, 2), (3, 3, 2)],
        ),
        (
            {"row_lanes": 16, "score_channels": 16, "time_steps": 3, "denoiser_bits": 1, "leak_shift": 3},
            "rom",
            [(6, 2, 1), (4, 1, 1)],
        ),
        ({"row_lanes": 32, "score_channels": 32, "time_steps": 16, "max_head_dim": 32}, "rom", [(4, 2, 1)]),
    ],
    ids=["g8-b8-t4-fast", "g8-b8-t4", "g8-b4-t4-waits", "b1", "b2-t10", "g4-t1", "b4-t2", "g16-t3", "g32-t16"],
)
def test_bench(change, kind, cases):
    generator = np.random.default_rng(9)
    shape = {**SHAPE, "membrane_width": 13, "fast": False, **change}
    image, placed = [1, 2, 1], []  # the first table does not start at entry 0
    image = [min(value, (1 << shape["denoiser_bits"]) - 1) for value in image]
    for tokens, heads, head_rows in cases:
        tables = _tables(generator, heads, head_rows * shape["row_lanes"], shape["denoiser_bits"])
        placed.append({"tokens": tokens, "tables": tables, "base": len(image)})
        image += [value for table in tables for value in table]
    unit = AttentionUnit(
        **shape, denoiser_entries=len(image), denoiser_kind=kind, denoiser_init=image if kind == "rom" else ()
    )
    run_bench(
        unit, module="ds2ta.sim.benches.bench_attention", parameters={**shape, "cases": placed, "image": image}
    )


@pytest.mark.parametrize(
    ("change", "bad", "message"),
    [
        (
            {"row_lanes": 4, "score_channels": 4},
            {"row_lanes": 3},
            "Row lanes must be a power of two from 4 to 32, not 3",
        ),
        ({"time_steps": 1}, {"time_steps": 0}, "Time steps must be an integer from 1 to 16, not 0"),
        ({"time_steps": 16}, {"time_steps": 17}, "Time steps must be an integer from 1 to 16, not 17"),
        ({"score_channels": 1}, {"score_channels": 0}, "Score channels must be a power of two from 1 to 8, not 0"),
        (
            {"score_channels": 8},
            {"score_channels": 16},
            "Score channels must be a power of two from 1 to 8, not 16",
        ),
        ({"max_tokens": 1}, {"max_tokens": 0}, "Tokens must be an integer from 1 to 1024, not 0"),
        ({"max_tokens": 1024}, {"max_tokens": 1025}, "Tokens must be an integer from 1 to 1024, not 1025"),
        ({"max_heads": 1}, {"max_heads": 0}, "Heads must be an integer from 1 to 64, not 0"),
        ({"max_heads": 64}, {"max_heads": 65}, "Heads must be an integer from 1 to 64, not 65"),
        (
            {"max_head_dim": 8},
            {"max_head_dim": 7},
            "Largest head dimension must be an integer from 8 to 128, not 7",
        ),
        (
            {"max_head_dim": 128},
            {"max_head_dim": 129},
            "Largest head dimension must be an integer from 8 to 128, not 129",
        ),
        (
            {"max_head_dim": 24},
            {"max_head_dim": 20},
            "Largest head dimension must be a multiple of the 8 row lanes, not 20",
        ),
        ({"denoiser_bits": 1}, {"denoiser_bits": 0}, "Denoiser bits must be an integer from 1 to 8, not 0"),
        ({"denoiser_bits": 8}, {"denoiser_bits": 9}, "Denoiser bits must be an integer from 1 to 8, not 9"),
        ({"membrane_width": 1}, {"membrane_width": 0}, "Membrane width must be an integer from 1 to 40, not 0"),
        ({"membrane_width": 40}, {"membrane_width": 41}, "Membrane width must be an integer from 1 to 40, not 41"),
        ({"leak_shift": 1}, {"leak_shift": 0}, "Leak shift must be an integer from 1 to 4, not 0"),
        ({"leak_shift": 4}, {"leak_shift": 5}, "Leak shift must be an integer from 1 to 4, not 5"),
        ({"address_width": 1}, {"address_width": 0}, "Address width must be an integer from 1 to 24, not 0"),
        ({"address_width": 24}, {"address_width": 25}, "Address width must be an integer from 1 to 24, not 25"),
        (
            {"denoiser_entries": 1},
            {"denoiser_entries": 0},
            "Denoiser entries must be an integer from 1 to 1048576, not 0",
        ),
        (
            {"denoiser_kind": "ram"},
            {"denoiser_kind": "spram"},
            "Denoiser kind must be one of rom, ram, not 'spram'",
        ),
        (
            {"denoiser_init": [0] * 32},
            {"denoiser_init": [0] * 33},
            "Denoiser init must be at most 32 entries, not 33",
        ),
    ],
)
def test_limits(change, bad, message):
    shape = {**SHAPE, "denoiser_entries": 32}
    assert "module" in rtlil.convert(AttentionUnit(**{**shape, **change}))
    with pytest.raises(FitError, match=f"^{message}$"):
        AttentionUnit(**{**shape, **bad})
