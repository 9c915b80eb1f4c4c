# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of SynapticEngine over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.gateware.synthesis import area
from ds2ta.hw.engine import SynapticEngine
from ds2ta.sim.build import run_bench

SHAPE = {
    "lanes": 8,
    "time_steps": 4,
    "drain_lanes": 2,
    "weight_bits": 4,
    "max_shift": 3,
    "acc_width": 12,
    "address_width": 8,
}


@pytest.mark.parametrize(
    "values",
    [
        (8, 4, 2, 4, 4, 12, 12, 4, 0, False, 1, 1),
        (8, 1, 1, 2, 0, 8, 6, 3, 2, True, 1, 2),
        (16, 10, 8, 8, 1, 16, 9, 2, 0, False, 1, 1),
        (4, 3, 4, 3, 7, 12, 5, 1, 1, True, 1, 1),
        (6, 2, 2, 4, 2, 9, 8, 2, 1, True, 1, 1),
        (1, 1, 1, 2, 0, 5, 3, 1, 0, False, 1, 1),
        (8, 4, 2, 4, 4, 12, 12, 4, 0, False, 2, 1),
        (8, 1, 1, 2, 0, 8, 6, 3, 2, False, 2, 1),
        (16, 10, 8, 8, 1, 16, 9, 2, 0, False, 2, 1),
        (6, 2, 2, 3, 2, 9, 8, 2, 1, False, 2, 2),
        (1, 1, 1, 2, 0, 5, 3, 1, 0, False, 2, 1),
        (8, 4, 2, 4, 4, 12, 12, 4, 0, False, 2, 1, True),
        (6, 2, 2, 3, 2, 9, 8, 2, 1, False, 2, 3, True),
        (4, 3, 4, 3, 7, 12, 5, 1, 1, True, 1, 3),
    ],
    ids=lambda values: "-".join(map(str, values)),
)
def test_bench(values):
    names = (*SHAPE, "max_lines", "max_rest", "registered", "events", "weight_latency", "ring")
    shape = {"ring": False, **dict(zip(names, values, strict=False))}
    run_bench(SynapticEngine(**shape), module="ds2ta.sim.benches.bench_engine", parameters=shape)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("lanes", 2, 0, "Lanes must be an integer from 1 to 1024, not 0"),
        ("lanes", 8, 7, "Drain lanes must divide the 7 lanes, not 2"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16, not 0"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
        ("drain_lanes", 8, 9, "Drain lanes must be an integer from 1 to 8, not 9"),
        ("drain_lanes", 1, 0, "Drain lanes must be an integer from 1 to 8, not 0"),
        ("drain_lanes", 4, 3, "Drain lanes must divide the 8 lanes, not 3"),
        ("weight_bits", 2, 1, "Weight bits must be an integer from 2 to 8, not 1"),
        ("weight_bits", 8, 9, "Weight bits must be an integer from 2 to 8, not 9"),
        ("max_shift", 0, -1, "Largest shift must be an integer from 0 to 15, not -1"),
        ("acc_width", 7, 6, "Accumulator width must be an integer from 7 to 40, not 6"),
        ("acc_width", 40, 41, "Accumulator width must be an integer from 7 to 40, not 41"),
        ("max_lines", 1, 0, "Most lines must be an integer from 1 to 64, not 0"),
        ("max_lines", 64, 65, "Most lines must be an integer from 1 to 64, not 65"),
        ("max_rest", 16, 17, "Longest rest must be an integer from 0 to 16, not 17"),
        ("address_width", 1, 0, "Address width must be an integer from 1 to 32, not 0"),
        ("address_width", 32, 33, "Address width must be an integer from 1 to 32, not 33"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(SynapticEngine(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        SynapticEngine(**{**SHAPE, key: bad})


def test_largest_shift():
    shape = {**SHAPE, "acc_width": 24}
    assert "module" in rtlil.convert(SynapticEngine(**{**shape, "max_shift": 15}))
    with pytest.raises(FitError, match="Largest shift must be an integer from 0 to 15, not 16"):
        SynapticEngine(**{**shape, "max_shift": 16})


def test_most_lanes():
    assert SynapticEngine(**{**SHAPE, "lanes": 1024}).lanes == 1024
    with pytest.raises(FitError, match="Lanes must be an integer from 1 to 1024, not 1026"):
        SynapticEngine(**{**SHAPE, "lanes": 1026})


def test_one_lut_for_each_accumulator_and_shadow_bit():
    """iCE40: yosys folds the load into the adder, the mask into the clock enable, the clear into the reset. What is
    left is the issue with its counter, and the counters of the drain."""
    cells = area(SynapticEngine(**{**SHAPE, "max_shift": 0}, max_spacing=64), "ice40")
    bits = SHAPE["lanes"] * SHAPE["time_steps"] * SHAPE["acc_width"]
    assert cells.luts <= 2 * bits + 44
