# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of ScoreUnit over shapes and degrees of serialism, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.score import ScoreUnit
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4, "channels": 8, "max_head_dim": 16}


@pytest.mark.parametrize(
    ("row_lanes", "time_steps", "channels", "max_head_dim"),
    [(8, 4, 8, 16), (8, 4, 1, 8), (8, 10, 2, 24), (4, 1, 4, 4), (4, 3, 1, 64), (16, 2, 4, 32), (32, 1, 32, 32)],
)
def test_bench(row_lanes, time_steps, channels, max_head_dim):
    shape = {
        "row_lanes": row_lanes,
        "time_steps": time_steps,
        "channels": channels,
        "max_head_dim": max_head_dim,
    }
    run_bench(ScoreUnit(**shape, tag_width=5), module="ds2ta.sim.benches.bench_score", parameters=shape)


@pytest.mark.parametrize(
    ("change", "bad", "message"),
    [
        ({"row_lanes": 4, "channels": 4}, {"row_lanes": 2}, "Row lanes must be a power of two from 4 to 32, not 2"),
        (
            {"row_lanes": 32, "max_head_dim": 32},
            {"row_lanes": 64},
            "Row lanes must be a power of two from 4 to 32, not 64",
        ),
        ({"time_steps": 1}, {"time_steps": 0}, "Time steps must be an integer from 1 to 16, not 0"),
        ({"time_steps": 16}, {"time_steps": 17}, "Time steps must be an integer from 1 to 16, not 17"),
        ({"channels": 1}, {"channels": 0}, "Score channels must be a power of two from 1 to 8, not 0"),
        ({"channels": 8}, {"channels": 16}, "Score channels must be a power of two from 1 to 8, not 16"),
        ({"channels": 4}, {"channels": 3}, "Score channels must be a power of two from 1 to 8, not 3"),
        (
            {"max_head_dim": 8},
            {"max_head_dim": 0},
            "Largest head dimension must be an integer from 1 to 1024, not 0",
        ),
        (
            {"max_head_dim": 1024},
            {"max_head_dim": 1025},
            "Largest head dimension must be an integer from 1 to 1024, not 1025",
        ),
        (
            {"max_head_dim": 24},
            {"max_head_dim": 20},
            "Largest head dimension must be a multiple of the 8 row lanes, not 20",
        ),
    ],
)
def test_limits(change, bad, message):
    assert "module" in rtlil.convert(ScoreUnit(**{**SHAPE, **change}))
    with pytest.raises(FitError, match=f"^{message}$"):
        ScoreUnit(**{**SHAPE, **bad})
