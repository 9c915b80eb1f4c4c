# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of WordPacker over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.packer import WordPacker
from ds2ta.sim.build import run_bench

SHAPE = {"lanes": 2, "time_steps": 4}


@pytest.mark.parametrize(("lanes", "time_steps"), [(2, 4), (1, 1), (4, 3), (8, 10), (32, 2)])
def test_bench(lanes, time_steps):
    shape = {"lanes": lanes, "time_steps": time_steps}
    run_bench(WordPacker(**shape), module="ds2ta.sim.benches.bench_packer", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("lanes", 1, 0, "Lanes must be a power of two from 1 to 32, not 0"),
        ("lanes", 32, 64, "Lanes must be a power of two from 1 to 32, not 64"),
        ("lanes", 4, 3, "Lanes must be a power of two from 1 to 32, not 3"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16, not 0"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(WordPacker(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        WordPacker(**{**SHAPE, key: bad})
