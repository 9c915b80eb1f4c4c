# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Denoiser over tables and time steps, and checks its parameter limits."""

import numpy as np
import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.denoiser import Denoiser
from ds2ta.sim.build import run_bench

SHAPE = {"time_steps": 4, "max_head_dim": 16, "entries": 32, "bits": 6}


def _tables(head_dim: int, bits: int) -> list[list[int]]:
    """A table for each floor, an empty one, one with holes, one with the last entry only, one with all entries."""
    generator = np.random.default_rng(head_dim)
    tables = generator.integers(1, 1 << bits, (head_dim + 4, head_dim))
    for floor in range(1, head_dim + 1):
        tables[floor, : floor - 1] = 0
    tables[head_dim + 1] = 0
    tables[head_dim + 2, 1::2] = 0
    tables[head_dim + 3, :-1] = 0
    return tables.tolist()


@pytest.mark.parametrize(
    ("time_steps", "max_head_dim", "head_dim", "bits"),
    [(4, 16, 16, 6), (1, 8, 8, 1), (2, 16, 4, 8), (3, 12, 12, 3), (10, 8, 8, 6), (16, 64, 32, 8)],
)
def test_bench(time_steps, max_head_dim, head_dim, bits):
    tables = _tables(head_dim, bits)
    few = [tables[at] for at in (2, head_dim + 1, 0, head_dim + 2)]  # another floor in each head
    cases = [
        {"tables": few, "base": 3},
        {"tables": tables if head_dim <= 16 else tables[-4:], "base": 3 + 4 * head_dim},
    ]
    image = [(1 << bits) - 1] * 3 + [value for case in cases for table in case["tables"] for value in table]
    unit = Denoiser(
        time_steps=time_steps, max_head_dim=max_head_dim, entries=len(image), bits=bits, kind="rom", init=image
    )
    run_bench(
        unit,
        module="ds2ta.sim.benches.bench_denoiser",
        parameters={"time_steps": time_steps, "max_head_dim": max_head_dim, "cases": cases},
    )


@pytest.mark.parametrize(
    ("change", "bad", "message"),
    [
        ({"time_steps": 1}, {"time_steps": 0}, "Time steps must be an integer from 1 to 16, not 0"),
        ({"time_steps": 16}, {"time_steps": 17}, "Time steps must be an integer from 1 to 16, not 17"),
        (
            {"max_head_dim": 1},
            {"max_head_dim": 0},
            "Largest head dimension must be an integer from 1 to 1024, not 0",
        ),
        (
            {"max_head_dim": 1024},
            {"max_head_dim": 1025},
            "Largest head dimension must be an integer from 1 to 1024, not 1025",
        ),
        ({"kind": "ram"}, {"kind": "spram"}, "Denoiser kind must be one of rom, ram, not 'spram'"),
        ({"bits": 8}, {"bits": 9}, "Denoiser bits must be an integer from 1 to 8, not 9"),
    ],
)
def test_limits(change, bad, message):
    assert "module" in rtlil.convert(Denoiser(**{**SHAPE, **change}))
    with pytest.raises(FitError, match=f"^{message}$"):
        Denoiser(**{**SHAPE, **bad})
