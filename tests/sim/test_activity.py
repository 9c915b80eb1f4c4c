# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The machine's counters on samples against the golden counts, and counts that are wrong on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from ds2ta.errors import FitError
from ds2ta.gateware.compiler import fit
from ds2ta.golden import slow
from ds2ta.golden.operations import measure
from ds2ta.golden.random_model import random_model
from ds2ta.sim.activity import count, unequal


@pytest.fixture(scope="module")
def run():
    """A model whose hidden layer takes several tiles: (model, machine, golden counts, the RTL's)."""
    model = random_model(
        np.random.default_rng(2), depth=2, time_steps=3, residual="add", max_hidden=48, nsad=True, kind="frames"
    )
    machine, program = fit(model, lanes=4, row_lanes=4, drain_lanes=2, score_channels=4)
    return model, machine, measure(model, model.samples), count(model, machine, program, model.samples)


def test_the_rtl_counts_kept_entries(run):
    """Against the slow model's maps, entry by entry."""
    model, _, _, rtl = run
    for number, sample in enumerate(model.samples):
        trace = slow.run(model, sample)
        for block in range(2):
            kept = sum(value != 0 for value in trace[f"block.{block}.denoised"].ravel())
            assert rtl.kept(2)[number, block] == kept
        assert rtl.logits[number].tolist() == trace["logits"].tolist()
    assert rtl.kept(2).sum() > 0
    assert (rtl.cycles > 0).all()


def test_every_pass_is_equal(run):
    _, machine, golden, rtl = run
    assert set(rtl.events) == set(golden.events)
    assert max(rtl.tiles.values()) > 1
    assert unequal(golden, rtl, machine) is None


def test_a_wrong_count_is_found(run):
    _, machine, golden, rtl = run
    for name in golden.events:
        wrong = golden.events[name].copy()
        wrong[1] += 1
        said = unequal(replace(golden, events=golden.events | {name: wrong}), rtl, machine)
        counted = rtl.events[name][1]
        assert said == f"sample 1: {name}: the RTL counts {counted} events, golden {counted + rtl.tiles[name]}"
    for name in rtl.events:
        wrong = rtl.events[name].copy()
        wrong[2] -= 1
        said = unequal(golden, replace(rtl, events=rtl.events | {name: wrong}), machine)
        assert said.startswith(f"sample 2: {name}: the RTL counts {wrong[2]} events")
    logits = rtl.logits.copy()
    logits[0, -1] += 1
    assert unequal(golden, replace(rtl, logits=logits), machine).startswith("sample 0: the RTL's logits are")


def test_counters_that_start_over_are_refused(run):
    _, machine, golden, rtl = run
    with pytest.raises(FitError, match=r"beyond the machine's counters of 8 bits; add --set counter_width=32"):
        unequal(golden, rtl, machine.model_copy(update={"counter_width": 8}))


def test_packed_passes_are_compared_with_the_cycle_model():
    """An image's first layer takes several pixels at a time, a narrow one several lines: their events are neither
    golden's nor left alone."""
    model = random_model(np.random.default_rng(5), depth=1, time_steps=2, kind="image")
    machine, program = fit(model, lanes=32, row_lanes=4, drain_lanes=2, score_channels=4)
    golden = measure(model, model.samples)
    rtl = count(model, machine, program, model.samples)
    assert "stem.0" in rtl.modelled
    assert set(rtl.events) == set(golden.events) == {*rtl.tiles, *rtl.modelled}
    assert unequal(golden, rtl, machine) is None
    wrong = rtl.events["stem.0"].copy()
    wrong[0] += 1
    said = unequal(golden, replace(rtl, events=rtl.events | {"stem.0": wrong}), machine)
    assert said == f"sample 0: stem.0: the RTL counts {wrong[0]} events, the cycle model {wrong[0] - 1}"
