# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What the adders do, against the fast golden model's count of operations, and against the peak."""

import numpy as np
import pytest

from ds2ta.gateware.compiler import fit
from ds2ta.golden.operations import measure
from ds2ta.golden.random_model import random_model
from ds2ta.records.work import measure_work, needed_additions
from ds2ta.sim.expected import expect


@pytest.mark.parametrize("seed", range(12))
def test_as_many_as_the_layers_have_operations(seed):
    """The count of the fast model, layer by layer, without attention; of an image the first layer once."""
    model = random_model(np.random.default_rng(seed), samples=2, row_lanes=4)
    machine, program = fit(model, lanes=64, row_lanes=4, drain_lanes=2, score_channels=1)
    operations = measure(model, model.samples).operations
    first = model.network.layers()[0].name
    for number, sample in enumerate(model.samples):
        wanted = 0
        for name in model.synapses:
            once = model.network.time_steps if name == first and model.network.input.kind == "image" else 1
            wanted += int(operations[name][number]) // once
        trace = expect(model, machine, program, sample).trace
        assert needed_additions(model, program, sample, trace) == wanted


def test_shares_are_of_the_peak():
    """The four shares multiply to the one, the sums are means, and two events at once double the peak."""
    model = random_model(np.random.default_rng(3), samples=3, row_lanes=4)
    found = {}
    for events in (1, 2):
        machine, program = fit(model, lanes=64, row_lanes=4, drain_lanes=4, score_channels=4, events=events)
        work = found[events] = measure_work(model, machine, program, model.samples)
        assert work.peak == 64 * model.network.time_steps * events
        assert work.done_percent == pytest.approx(100 * work.needed / work.cycles / work.peak)
        parts = (work.synaptic_percent, work.slots_percent, work.lanes_percent, work.words_percent)
        assert np.prod(np.array(parts) / 100) == pytest.approx(work.done_percent / 100)
        assert all(0 < part <= 100 for part in parts)
        assert f"{work.done_percent:.1f} % of the peak of {work.peak} (mean of 3 samples)" in work.line()
    assert found[1].needed == found[2].needed
