# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of LifArray over machine shapes, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.lif import LifArray
from ds2ta.sim.build import run_bench

SHAPE = {"lanes": 2, "current_width": 9, "param_width": 8, "membrane_width": 11, "leak_shift": 1}


# Biases have bias_width bits, margins param_width. Membranes hold I + B of either sign 2**leak_shift times, in the
# first shape with no bit to spare.
@pytest.mark.parametrize(
    ("lanes", "current_width", "param_width", "bias_width", "membrane_width", "leak_shift", "time_steps"),
    [
        (2, 9, 9, 9, 11, 1, 8),
        (1, 14, 6, 6, 17, 2, 4),
        (3, 7, 12, 12, 16, 3, 10),
        (2, 10, 10, 8, 16, 4, 16),
        (4, 8, 8, 8, 24, 1, 1),
        (2, 6, 10, 6, 8, 1, 6),  # thresholds far outside the membrane
    ],
)
def test_bench(lanes, current_width, param_width, bias_width, membrane_width, leak_shift, time_steps):
    shape = {
        "lanes": lanes,
        "current_width": current_width,
        "param_width": param_width,
        "membrane_width": membrane_width,
        "leak_shift": leak_shift,
    }
    parameters = {**shape, "bias_width": bias_width, "time_steps": time_steps}
    run_bench(LifArray(**shape), module="ds2ta.sim.benches.bench_lif", parameters=parameters)


@pytest.mark.parametrize(
    ("current_width", "param_width", "membrane_width", "leak_shift"),
    [(10, 8, 10, 1), (11, 9, 10, 2), (11, 10, 8, 3)],
    ids=["wide-membrane", "equal", "wide-threshold"],
)
def test_opposite_ends(current_width, param_width, membrane_width, leak_shift):
    """Currents as wide as the membrane, which random ones would carry out of it: only the steered ones run."""
    shape = {
        "lanes": 1,
        "current_width": current_width,
        "param_width": param_width,
        "membrane_width": membrane_width,
        "leak_shift": leak_shift,
    }
    run_bench(
        LifArray(**shape),
        module="ds2ta.sim.benches.bench_lif",
        parameters={**shape, "bias_width": param_width, "time_steps": 5, "reaches": True},
        testcase="opposite_ends",
    )


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("lanes", 1, 0, "Lanes must be an integer from 1 to 1024, not 0"),
        ("current_width", 2, 1, "Current width must be an integer from 2 to 64, not 1"),
        ("current_width", 64, 65, "Current width must be an integer from 2 to 64, not 65"),
        ("param_width", 2, 1, "Parameter width must be an integer from 2 to 64, not 1"),
        ("param_width", 64, 65, "Parameter width must be an integer from 2 to 64, not 65"),
        ("membrane_width", 2, 1, "Membrane width must be an integer from 2 to 64, not 1"),
        ("membrane_width", 64, 65, "Membrane width must be an integer from 2 to 64, not 65"),
        ("leak_shift", 1, 0, "Leak shift must be an integer from 1 to 4, not 0"),
        ("leak_shift", 4, 5, "Leak shift must be an integer from 1 to 4, not 5"),
        ("leak_shift", 2, True, "Leak shift must be an integer from 1 to 4, not True"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(LifArray(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        LifArray(**{**SHAPE, key: bad})


def test_most_lanes():
    assert LifArray(**{**SHAPE, "lanes": 1024}).lanes == 1024
    with pytest.raises(FitError, match="Lanes must be an integer from 1 to 1024, not 1025"):
        LifArray(**{**SHAPE, "lanes": 1025})
