# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random models are valid, repeatable, within their limits, and alive down to the last bit of a threshold."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ds2ta.golden import slow
from ds2ta.golden.random_model import models, random_model
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.modelrules import check_model

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("seed", range(10))
def test_equal_generators_give_equal_models(seed: int):
    first, second, other = (random_model(np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert model_digest(first) == model_digest(second) != model_digest(other)


@QUICK
@given(models(row_lanes=8, max_dim=32, max_hidden=48, max_heads=2, max_tokens=9, time_steps=(2, 5), bits=(3, 4)))
def test_limits_are_kept(model: IntegerModel):
    check_model(model, "random")
    network = model.network
    assert network.embed_dim % 8 == network.head_dim % 8 == 0
    assert network.embed_dim <= 32
    assert network.hidden_dim <= 48
    assert network.heads <= 2
    assert network.tokens <= 9
    assert 2 <= network.time_steps <= 5
    assert all(3 <= layer.bits <= 4 for layer in model.synapses.values())


@pytest.mark.parametrize(
    "fixed",
    [
        {"depth": 2, "window": 4, "tau": 7, "leak_shift": 3, "time_steps": 10},
        {"residual": "or", "nsad": False, "kind": "frames", "channels": 4, "input_bits": 8},
        {"residual": "add", "nsad": True, "kind": "image", "channels": 1, "input_bits": 1, "stem": 4},
        {"row_lanes": 32, "max_dim": 32, "max_heads": 1, "classes": 12, "bits": 2, "ragged": False},
    ],
)
def test_a_plain_number_is_that_value(fixed: dict):
    for seed in range(5):
        model = random_model(np.random.default_rng(seed), **fixed)
        check_model(model, "random")
        network = model.network
        seen = {
            "depth": network.depth,
            "window": network.window,
            "leak_shift": network.leak_shift,
            "time_steps": network.time_steps,
            "residual": network.residual,
            "nsad": network.nsad,
            "kind": network.input.kind,
            "channels": network.input.channels,
            "input_bits": network.input.bits,
            "stem": len(network.stem),
            "classes": network.classes,
        }
        assert {key: seen[key] for key in fixed if key in seen} == {k: v for k, v in fixed.items() if k in seen}
        if "tau" in fixed:
            assert {layer.tau for layer in model.synapses.values() if layer.window > 1} <= {7}
        if not fixed.get("ragged", True):
            widths = [conv.channels for conv in network.stem] + [network.hidden_dim]
            assert all(width % 32 == 0 for width in widths)


def test_layers_are_alive_and_touch_their_thresholds():
    """Over 40 models: no layer is all silent or all firing, nearly every one has a potential exactly on some
    threshold and one just below."""
    layers = silent = full = exact = below = maps = dead_maps = 0
    for seed in range(40):
        model = random_model(np.random.default_rng(seed))
        runs = [slow.run(model, sample, inner=True) for sample in model.samples]
        for name, layer in model.synapses.items():
            if name == "head":
                continue
            shape = (-1, 1, 1) if name.startswith("stem") else (-1,)
            distance = [run[f"{name}.membrane"] - layer.threshold.reshape(shape) for run in runs]
            rate = np.mean([run[name].mean() for run in runs])
            layers += 1
            silent += rate == 0
            full += rate == 1
            exact += any((d == 0).any() for d in distance)
            below += any((d == -1).any() for d in distance)
        for block in range(model.network.depth):
            maps += 1
            dead_maps += not any(run[f"block.{block}.attn"].any() for run in runs)
    assert layers > 300
    assert silent == full == 0
    assert exact > 0.97 * layers
    assert below > 0.93 * layers
    assert maps > 20
    assert dead_maps <= maps // 5


def test_every_kind_of_shape_is_drawn():
    networks = [random_model(np.random.default_rng(seed)).network for seed in range(100)]
    assert {n.time_steps for n in networks} == set(range(1, 11))
    assert {n.window for n in networks} == {1, 2, 3, 4}
    assert {n.depth for n in networks} == {0, 1, 2}
    assert {n.leak_shift for n in networks} == {1, 2, 3, 4}
    assert {n.residual for n in networks} == {"add", "or"}
    assert {n.nsad for n in networks} == {True, False}
    assert {n.input.kind for n in networks} == {"image", "frames"}
    assert {n.input.channels for n in networks} == {1, 2, 3, 4}
    assert {n.input.bits for n in networks} == set(range(1, 9))
    assert {len(n.stem) for n in networks} == {1, 2, 3, 4}
    assert {conv.pool for n in networks for conv in n.stem} == {True, False}
    assert any(conv.channels % 4 for n in networks for conv in n.stem)
    assert len({n.tokens for n in networks}) > 8
