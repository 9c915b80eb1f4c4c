# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of AvAccumulator over shapes and leaks, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.av import AvAccumulator
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4, "denoiser_bits": 6, "membrane_width": 11, "leak_shift": 1}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"time_steps": 1, "row_lanes": 4, "denoiser_bits": 1, "membrane_width": 5},
        {"time_steps": 2, "leak_shift": 2, "membrane_width": 9},
        {"time_steps": 10, "denoiser_bits": 8, "membrane_width": 13},
        {"time_steps": 16, "row_lanes": 4, "leak_shift": 4, "denoiser_bits": 3, "membrane_width": 7},
        {"time_steps": 1, "leak_shift": 3, "row_lanes": 32},
        {"time_steps": 3, "membrane_width": 6, "row_lanes": 16},
    ],
    ids=["t4", "t1", "t2-leak2", "t10", "t16-leak4", "t1-leak3", "t3-narrow"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(AvAccumulator(**shape, tag_width=7), module="ds2ta.sim.benches.bench_av", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16"),
        ("denoiser_bits", 1, 0, "Denoiser bits must be an integer from 1 to 8"),
        ("denoiser_bits", 8, 9, "Denoiser bits must be an integer from 1 to 8"),
        ("membrane_width", 1, 0, "Membrane width must be an integer from 1 to 40"),
        ("membrane_width", 40, 41, "Membrane width must be an integer from 1 to 40"),
        ("leak_shift", 1, 0, "Leak shift must be an integer from 1 to 4"),
        ("leak_shift", 4, 5, "Leak shift must be an integer from 1 to 4"),
    ],
)
def test_limits(key, good, bad, rule):
    assert "module" in rtlil.convert(AvAccumulator(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=f"^{rule}, not {bad}$"):
        AvAccumulator(**{**SHAPE, key: bad})
