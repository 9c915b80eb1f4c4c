# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The models in models/: what their files claim is measured again, of digits on all 360 held-out images."""

import numpy as np
import pytest

from ds2ta.files import DIGITS, MODELS, SHIPPED, model_path
from ds2ta.golden import slow
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.train import _begin_at
from ds2ta.modelfile import load_model


@pytest.fixture(scope="module", params=DIGITS)
def model(request):
    return load_model(model_path(request.param))


def test_accuracy_is_what_the_file_says_and_what_is_promised(model):
    data, about = load_data("digits"), model.provenance
    assert len(data.test_labels) == about["test_samples"] == 360
    classes = classify(IntegerNetwork(model).run(data.test_samples))
    right = 100.0 * float((classes == data.test_labels).mean())
    assert right == about["integer_accuracy"]
    assert right >= 97.5
    assert right >= about["float_accuracy"] - 0.6


def test_self_test_samples_were_never_trained_on(model):
    data = load_data("digits")
    np.testing.assert_array_equal(model.samples, data.test_samples[:64])
    np.testing.assert_array_equal(model.labels, data.test_labels[:64])
    classes = classify(IntegerNetwork(model).run(model.samples))
    assert (classes == model.labels).mean() >= 0.95


def test_slow_model_agrees_at_every_tap(model):
    network = IntegerNetwork(model)
    for index in range(3):
        found = network.trace(model.samples[index : index + 1], inner=True)
        for name, wanted in slow.run(model, model.samples[index], inner=True).items():
            np.testing.assert_array_equal(found[name][0].numpy(), wanted, err_msg=name)


@pytest.mark.parametrize("name", SHIPPED)
def test_file_is_the_preset(name):
    """Network, recipe and command in the file are those of the repository: the file can be made again."""
    model = load_model(model_path(name))
    preset, about = PRESETS[name], model.provenance
    assert model.network == preset.network
    assert TrainingConfig(**about["config"]).model_copy(update={"threads": preset.config.threads}) == preset.config
    assert about["command"].startswith(f"ds2ta train {name}")
    assert {layer.bits for layer in model.synapses.values()} == {4}


@pytest.mark.parametrize("path", sorted((MODELS / "float").glob("*")), ids=lambda path: path.stem)
def test_float_weights_are_where_the_model_began(path):
    """What `--origin` takes for other bits: the end of the float phase of the shipped model's own recipe."""
    found, about = load_checkpoint(path), load_model(model_path(path.stem)).provenance
    preset = PRESETS[path.stem]
    assert found.network.network == preset.network
    assert found.progress["float_accuracy"] == about["float_accuracy"]
    checkpoint = Checkpoint(FloatNetwork(network=preset.network, config=preset.config))
    _begin_at(checkpoint, path)
    assert checkpoint.progress["epochs"] == preset.config.epochs_float


def test_every_part_of_the_network_is_at_work(model):
    """A trained model that had switched attention, window or denoiser off would prove little about the hardware."""
    data = load_data("digits")
    trace = IntegerNetwork(model).trace(data.test_samples)
    for block in range(model.network.depth):
        at = f"block.{block}."
        for part in ("q", "k", "v", "attn", "proj", "fc1", "fc2"):
            assert 0.005 < trace[at + part].double().mean() < 0.7, at + part
        score, denoised = trace[at + "score"], trace[at + "denoised"]
        assert (denoised != score).any()  # the denoiser is not the identity on scores that occur
        assert (denoised > 0).double().mean() > 0.005
    assert {layer.window for layer in model.synapses.values() if layer.spec.tasa} == {3}


def test_denoiser_of_digits_small_removes_scores():
    """Low scores become 0. (The one of digits-tiny has learned a threshold below 1: it only reshapes scores.)"""
    model = load_model(model_path("digits-small"))
    trace = IntegerNetwork(model).trace(load_data("digits").test_samples)
    for block in range(model.network.depth):
        score, denoised = trace[f"block.{block}.score"], trace[f"block.{block}.denoised"]
        assert (denoised == 0).double().mean() > (score == 0).double().mean() + 0.02
