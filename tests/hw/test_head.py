# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of ClassifierHead over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.head import ClassifierHead
from ds2ta.sim.build import run_bench

SHAPE = {
    "lanes": 2,
    "acc_width": 12,
    "logit_width": 18,
    "param_width": 17,
    "classes_max": 10,
    "positions_max": 64,
}
SHAPES = [
    ({}, 4),
    ({"lanes": 4, "classes_max": 11, "param_width": 20}, 3),
    ({"lanes": 1, "classes_max": 5}, 1),
    ({"lanes": 8, "classes_max": 7, "positions_max": 5}, 10),
    ({"lanes": 2, "classes_max": 2, "logit_width": 13, "acc_width": 10}, 1),
    ({"lanes": 2, "classes_max": 3, "logit_width": 14, "acc_width": 8, "param_width": 13, "positions_max": 32}, 4),
]


@pytest.mark.parametrize(("change", "time_steps"), SHAPES)
def test_bench(change, time_steps):
    shape = {**SHAPE, **change, "time_steps": time_steps}
    # without overflow, all tokens at the ends of their values take the logits to theirs from the other end's bias
    room = shape["positions_max"] * time_steps << shape["acc_width"] - 1
    reaches = room > 3 << shape["logit_width"] - 2 and shape["param_width"] < shape["logit_width"]
    parameters = {**shape, "reaches": reaches}
    run_bench(ClassifierHead(**shape), module="ds2ta.sim.benches.bench_head", parameters=parameters)


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("lanes", 32, 64, "Lanes must be a power of two from 1 to 32, not 64"),
        ("lanes", 4, 3, "Lanes must be a power of two from 1 to 32, not 3"),
        ("acc_width", 2, 1, "Accumulator width must be an integer from 2 to 48, not 1"),
        ("logit_width", 12, 11, "Logit width must be an integer from 12 to 64, not 11"),
        ("logit_width", 64, 65, "Logit width must be an integer from 12 to 64, not 65"),
        ("param_width", 2, 1, "Parameter width must be an integer from 2 to 48, not 1"),
        ("param_width", 48, 49, "Parameter width must be an integer from 2 to 48, not 49"),
        ("classes_max", 2, 1, "Classes must be an integer from 2 to 1024, not 1"),
        ("classes_max", 1024, 1025, "Classes must be an integer from 2 to 1024, not 1025"),
        ("time_steps", 1, 0, "Time steps must be an integer from 1 to 16, not 0"),
        ("time_steps", 16, 17, "Time steps must be an integer from 1 to 16, not 17"),
        ("positions_max", 1, 0, "Positions must be an integer from 1 to 65536, not 0"),
        ("positions_max", 65536, 65537, "Positions must be an integer from 1 to 65536, not 65537"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(ClassifierHead(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        ClassifierHead(**{**SHAPE, key: bad})
