# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Sparsity of the attention map against the slow model, and the energy of the paper's own settings."""

import numpy as np
import pytest

from ds2ta.golden import slow
from ds2ta.golden.operations import measure
from ds2ta.golden.random_model import random_model
from ds2ta.golden.sparsity import E_AC, BlockSparsity, attention_sparsity
from ds2ta.golden.training.presets import PRESETS


@pytest.mark.parametrize("seed", [0, 1])
def test_counts_are_those_of_the_slow_model(seed):
    model = random_model(np.random.default_rng(seed), depth=2, time_steps=3, nsad=True)
    network = model.network
    activity = measure(model, model.samples)
    trace = [slow.run(model, sample) for sample in model.samples]
    for row in attention_sparsity(network, activity):
        for name, counts in (("score", activity.scored), ("denoised", activity.kept)):
            maps = [found[f"block.{row.block}.{name}"] for found in trace]
            assert counts[:, row.block].tolist() == [sum(value != 0 for value in m.ravel()) for m in maps]
            assert getattr(row, name) == pytest.approx(np.mean([(m == 0).mean() for m in maps]))
        assert row.denoised >= row.score > 0  # a score of 0 stays 0
        assert row.operations == 3 * network.tokens**2 * network.embed_dim


def test_energy():
    network = PRESETS["vit-4-384"].network
    entries = network.time_steps * network.heads * network.tokens**2
    row = BlockSparsity(
        block=0, samples=10_000, entries=entries, head_dim=32, scored=entries * 2574, kept=entries * 301
    )
    assert row.operations == network.time_steps * network.tokens**2 * network.embed_dim == 6_291_456
    assert row.energy_before == pytest.approx(E_AC * 6_291_456 * 0.2574)
    assert row.energy_before / row.energy_after == pytest.approx(7.69 / 0.90, rel=2e-3)  # the paper's block 1
