# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Tasa over machine shapes, the bypass of a window of 1, and its parameter limits."""

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from ds2ta.errors import FitError
from ds2ta.golden import slow
from ds2ta.hw.tasa import Tasa
from ds2ta.sim.build import run_bench

SHAPE = {"lanes": 2, "acc_width": 8, "max_window": 3, "max_tau": 4, "current_width": 17}


@pytest.mark.parametrize(
    ("lanes", "acc_width", "max_window", "max_tau", "current_width", "multiply", "time_steps"),
    [
        (2, 8, 3, 7, 24, False, 4),
        (1, 12, 4, 3, 22, False, 5),
        (2, 6, 2, 7, 14, False, 1),
        (4, 12, 3, 4, 16, False, 10),  # currents narrower than the widest window of the widest sums
        (1, 9, 3, 0, 11, False, 4),
        (1, 9, 4, 0, 11, False, 6),  # terms that are all of one weight
        (2, 10, 4, 5, 27, True, 6),
        (1, 8, 2, 4, 13, True, 3),
    ],
)
def test_bench(lanes, acc_width, max_window, max_tau, current_width, multiply, time_steps):
    shape = {
        "lanes": lanes,
        "acc_width": acc_width,
        "max_window": max_window,
        "max_tau": max_tau,
        "current_width": current_width,
        "multiply": multiply,
    }
    block = Tasa(**shape)
    assert block.latency == (3 if multiply else max_window - 1)
    parameters = {**shape, "time_steps": time_steps, "latency": block.latency}
    run_bench(block, module="ds2ta.sim.benches.bench_tasa", parameters=parameters)


def test_window_of_one_is_wires():
    """max_window = 1: the current is the sum, in the same cycle, with both handshakes passed through."""
    block = Tasa(lanes=2, acc_width=6, max_window=1, max_tau=4, current_width=9)
    assert block.latency == 0
    sums = np.array([[[-32, 31]], [[5, -1]], [[0, -17]]])
    currents = slow.tasa(sums, 4, 1)

    async def bench(ctx):
        for t in range(len(sums)):
            for valid, ready in ((0, 0), (0, 1), (1, 0), (1, 1)):
                beat = {"value": sums[t, 0].tolist(), "t_first": t == 0, "t_last": t == 2}
                beat |= {"group_last": ready, "last": valid}
                ctx.set(block.i.payload, beat)
                ctx.set(block.i.valid, valid)
                ctx.set(block.o.ready, ready)
                assert (ctx.get(block.o.valid), ctx.get(block.i.ready)) == (valid, ready)
                found = ctx.get(block.o.payload)
                assert list(found.current) == currents[t, 0].tolist()
                assert (found.t_first, found.t_last, found.group_last, found.last) == (t == 0, t == 2, ready, valid)

    simulator = Simulator(block)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("lanes", 1, 0, "Lanes must be an integer from 1 to 1024, not 0"),
        ("acc_width", 2, 1, "Accumulator width must be an integer from 2 to 40, not 1"),
        ("acc_width", 40, 41, "Accumulator width must be an integer from 2 to 40, not 41"),
        ("max_window", 1, 0, "Largest window must be an integer from 1 to 4, not 0"),
        ("max_window", 4, 5, "Largest window must be an integer from 1 to 4, not 5"),
        ("max_tau", 0, -1, "Largest tau must be an integer from 0 to 7, not -1"),
        ("max_tau", 7, 8, "Largest tau must be an integer from 0 to 7, not 8"),
        ("max_tau", 3, 3.0, "Largest tau must be an integer from 0 to 7, not 3.0"),
        ("current_width", 2, 1, "Current width must be an integer from 2 to 64, not 1"),
        ("current_width", 64, 65, "Current width must be an integer from 2 to 64, not 65"),
        ("multiply", True, 1, "Multiply must be True or False, not 1"),
    ],
)
def test_limits(key, good, bad, message):
    assert "module" in rtlil.convert(Tasa(**{**SHAPE, key: good}))
    with pytest.raises(FitError, match=message):
        Tasa(**{**SHAPE, key: bad})


def test_most_lanes():
    assert Tasa(**{**SHAPE, "lanes": 1024}).lanes == 1024
    with pytest.raises(FitError, match="Lanes must be an integer from 1 to 1024, not 1025"):
        Tasa(**{**SHAPE, "lanes": 1025})
