# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of InputEncoder over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.encoder import InputEncoder
from ds2ta.sim.build import run_bench

SHAPE = {
    "row_lanes": 8,
    "time_steps": 4,
    "max_channels": 4,
    "max_bits": 8,
    "address_width": 6,
    "count_width": 4,
}
SHAPES = {
    "g8-T4": SHAPE,
    "g4-T1": {**SHAPE, "row_lanes": 4, "time_steps": 1, "max_bits": 3, "address_width": 5, "count_width": 3},
    "g32-T10": {**SHAPE, "row_lanes": 32, "time_steps": 10, "max_channels": 2, "count_width": 5},
    "g16-T3": {**SHAPE, "row_lanes": 16, "time_steps": 3, "max_channels": 3, "max_bits": 5},
    "g8-T2-bit": {**SHAPE, "time_steps": 2, "max_channels": 1, "max_bits": 1, "address_width": 4},
    "images": {**SHAPE, "max_channels": 2, "address_width": 5, "event_frames": False},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_bench(shape):
    parameters = {"event_frames": True, **shape}
    run_bench(InputEncoder(**shape), module="ds2ta.sim.benches.bench_encoder", parameters=parameters)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32, not 2"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32, not 64"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
        ("max_channels", 1, 0, "Input channels must be an integer from 1 to 4, not 0"),
        ("max_channels", 4, 5, "Input channels must be an integer from 1 to 4, not 5"),
        ("max_bits", 1, 0, "Input bits must be an integer from 1 to 8, not 0"),
        ("max_bits", 8, 9, "Input bits must be an integer from 1 to 8, not 9"),
        ("address_width", 1, 0, "Address width must be an integer from 1 to 24, not 0"),
        ("address_width", 24, 25, "Address width must be an integer from 1 to 24, not 25"),
        ("count_width", 1, 0, "Count width must be an integer from 1 to 16, not 0"),
        ("count_width", 16, 17, "Count width must be an integer from 1 to 16, not 17"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(InputEncoder(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        InputEncoder(**{**SHAPE, key: bad})
