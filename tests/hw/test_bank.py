# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of SpikeBank over row shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.bank import SpikeBank
from ds2ta.sim.build import run_bench

SHAPE = {"row_lanes": 8, "time_steps": 4, "slots": 4, "address_width": 4, "rows": 13}
SHAPES = {
    "4-slots": {},
    "1-slot": {"slots": 1, "address_width": 2, "rows": 4},
    "a-slot-a-lane": {"row_lanes": 16, "time_steps": 3, "slots": 16, "address_width": 3, "rows": 5},
    "bits": {"row_lanes": 4, "time_steps": 1, "slots": 4, "address_width": 1, "rows": 2},
    "wide": {"row_lanes": 32, "time_steps": 10, "slots": 2, "address_width": 5, "rows": 32},
    # cut into columns of 9 bits, the last of which has 5
    "columns": {"columns": True, "row_lanes": 32, "slots": 2, "rows": 2048, "address_width": 11},
    "single-port-4-slots": {"single_port": True},
    # a slot of two words of 16 bits, of which a nibble stays; nibbles of which one bit is used
    "single-port-1-slot": {"single_port": True, "slots": 1, "row_lanes": 4, "time_steps": 7},
    "single-port-bits": {"single_port": True, "row_lanes": 4, "time_steps": 1, "address_width": 1, "rows": 2},
    # slots that begin in one word and end in the next, where they leave bits of a nibble
    "single-port-wide": {"single_port": True, "slots": 8, "row_lanes": 16, "time_steps": 5},
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(SpikeBank(**shape), module="ds2ta.sim.benches.bench_bank", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("slots", 1, 0, "Slots must be a power of two from 1 to 8, not 0"),
        ("slots", 8, 16, "Slots must be a power of two from 1 to 8, not 16"),
        ("slots", 2, 3, "Slots must be a power of two from 1 to 8, not 3"),
        ("row_lanes", 4, 2, "Row lanes must be a power of two from 4 to 32, not 2"),
        ("row_lanes", 32, 64, "Row lanes must be a power of two from 4 to 32, not 64"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16, not 0"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
        ("rows", 1, 0, "Bank rows must be an integer from 1 to 4194304, not 0"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(SpikeBank(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        SpikeBank(**{**SHAPE, key: bad})
