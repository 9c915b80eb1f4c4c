# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of RegisterFile over sizes, and checks its parameter limits."""

import random

import pytest

from ds2ta.errors import FitError
from ds2ta.gateware.register_file import COUNT_BITS, RegisterFile
from ds2ta.gateware.registers import REGISTERS
from ds2ta.sim.build import run_bench

SHAPE = {
    "classes": 10,
    "counters": 60,
    "logit_width": 13,
    "counter_width": 24,
    "count_width": 12,
    "row_width": 11,
    "init": {},
}


def _contents(shape: dict) -> dict[int, int]:
    """Random words for everything that is constant or a setting."""
    generator = random.Random(7)
    small = {"sample_length": shape["count_width"], "check_rows": shape["row_width"]}
    return {
        register.at(index): generator.getrandbits(small.get(name, 32))
        for name, register in REGISTERS.items()
        if not register.only and register.reset is None and register.address < 0x80 and name != "status"
        for index in range(register.count)
    }


@pytest.mark.parametrize(
    ("classes", "counters", "logit_width", "counter_width", "count_width", "row_width", "counted"),
    [
        (10, 60, 13, 24, 12, 11, (1 << COUNT_BITS) + 2),
        (2, 8, 32, 32, 6, 1, 300),
        (130, 1024, 5, 8, 31, 20, 300),  # more logits than words before them
    ],
)
def test_bench(classes, counters, logit_width, counter_width, count_width, row_width, counted):
    shape = {
        "classes": classes,
        "counters": counters,
        "logit_width": logit_width,
        "counter_width": counter_width,
        "count_width": count_width,
        "row_width": row_width,
    }
    shape["init"] = _contents(shape)
    run_bench(
        RegisterFile(**shape),
        module="ds2ta.sim.benches.bench_register_file",
        parameters=shape | {"counted": counted},
    )


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("classes", 2, 1, "Classes must be an integer from 2 to 1024, not 1"),
        ("classes", 1024, 1025, "Classes must be an integer from 2 to 1024, not 1025"),
        ("counters", 4, 3, "Counters must be an integer from 4 to 1024, not 3"),
        ("counters", 1024, 1025, "Counters must be an integer from 4 to 1024, not 1025"),
        ("logit_width", 32, 33, "Logit width must be an integer from 2 to 32, not 33"),
        ("counter_width", 32, 33, "Counter width must be an integer from 1 to 32, not 33"),
        ("count_width", 31, 32, "Count width must be an integer from 1 to 31, not 32"),
        ("row_width", 12, 13, "Row width must be an integer from 1 to 12, not 13"),
        ("init", {0x7F: 1}, {0x80: 1}, "Register contents must be words below address 128, not 1 at 128"),
        ("init", {1: 2**32 - 1}, {1: 2**32}, "not 4294967296 at 1"),
    ],
)
def test_limits(key, good, bad, message):
    assert RegisterFile(**{**SHAPE, key: good}).signature.members["bus"]
    with pytest.raises(FitError, match=message):
        RegisterFile(**{**SHAPE, key: bad})
