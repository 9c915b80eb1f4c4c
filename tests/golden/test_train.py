# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Training: deterministic, resumable, and it learns. Real digits, very small networks."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ds2ta.errors import NetworkError
from ds2ta.golden.activity import layer_inputs, work_share
from ds2ta.golden.data.sets import dataset_names, load_data
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training import train as training
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import ShortStart, TrainingConfig, phases
from ds2ta.golden.training.release import export, integer_accuracy
from ds2ta.golden.training.run import accuracy
from ds2ta.golden.training.train import train
from ds2ta.intervals import widths
from ds2ta.modelfile import load_model, save_model
from ds2ta.network import network_from_dict

NETWORK = network_from_dict(
    {
        "name": "spark",
        "input": {"kind": "image", "channels": 1, "height": 8, "width": 8, "bits": 5},
        "time_steps": 2,
        "stem": [{"channels": 8, "pool": True}, {"channels": 16, "pool": True}],
        "embed_dim": 16,
        "heads": 2,
        "depth": 1,
        "hidden_dim": 16,
        "window": 2,
    }
)
CONFIG = TrainingConfig(
    epochs_float=2, epochs_quantized=1, epochs_frozen=1, batch=128, rate_float=0.01, sparsity=0.1, seed=7
)


def weights(checkpoint) -> dict[str, torch.Tensor]:
    return checkpoint.network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole():
    return train(NETWORK, CONFIG)


def test_equal_seeds_give_equal_weights(whole):
    torch.rand(5)  # the global generator plays no part
    assert same(weights(whole), weights(train(NETWORK, CONFIG)))
    other = train(NETWORK, CONFIG.model_copy(update={"seed": 8}))
    assert not same(weights(whole), weights(other))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_training_gives_the_same_weights(whole, tmp_path, stop):
    """Stopped inside a phase, at its end, and in a later one."""
    path = tmp_path / "run.ckpt"
    cut = train(NETWORK, CONFIG, path=path, stop_after=stop)
    assert cut.progress["epochs"] == load_checkpoint(path).progress["epochs"] == stop
    assert not same(weights(cut), weights(whole))
    resumed = train(NETWORK, CONFIG, path=path, resume=True)
    assert same(weights(resumed), weights(whole))
    for name in ("float_accuracy", "quantized_accuracy", "frozen_accuracy"):
        assert resumed.progress[name] == whole.progress[name]


def test_resume_refuses_another_recipe(tmp_path):
    path = tmp_path / "run.ckpt"
    train(NETWORK, CONFIG, path=path, stop_after=1)
    with pytest.raises(NetworkError, match="another network or recipe"):
        train(NETWORK, CONFIG.model_copy(update={"seed": 9}), path=path, resume=True)


def test_network_must_fit_the_data():
    other = NETWORK.model_copy(update={"classes": 7})
    with pytest.raises(
        NetworkError, match=r"its input or its classes \(7\) are not those of data set digits \(10\)"
    ):
        train(other, CONFIG)


def test_training_learns_and_reports(tmp_path):
    told = []
    config = CONFIG.model_copy(update={"epochs_float": 6, "batch": 64, "sparsity": 0.0})
    done = train(NETWORK, config, report=lambda epoch, total, text: told.append((epoch, total, text)))
    losses = [float(text.split("loss ")[1]) for _, _, text in told if "loss" in text]
    assert losses[0] <= math.log(10) * 1.1
    assert losses[5] < 0.8 * losses[0]
    whole = [epoch for epoch, _, text in told if "loss" in text and epoch == int(epoch)]
    assert whole == list(range(1, 9))
    assert [epoch for epoch, _, _ in told] == sorted(epoch for epoch, _, _ in told)
    assert done.progress["float_accuracy"] > 40  # chance is 10


def test_export_carries_what_was_measured(whole, tmp_path):
    model = export(whole)
    save_model(model, tmp_path / "spark.safetensors")
    model = load_model(tmp_path / "spark.safetensors")
    data, about = load_data("digits"), model.provenance
    assert about["command"] == "ds2ta quantize"
    assert about["seed"] == 7
    assert about["test_samples"] == 360
    assert about["integer_accuracy"] == integer_accuracy(model, data.test_samples, data.test_labels)
    assert about["float_accuracy"] == whole.progress["float_accuracy"]
    assert (model.samples == data.test_samples[:64]).all()
    assert (model.labels == data.test_labels[:64]).all()
    # the last phase trains what is exported, so its accuracy is the integer one
    whole.network.quantize(True)
    assert about["integer_accuracy"] == accuracy(whole.network, data.test_samples, data.test_labels)
    assert about["integer_accuracy"] == about["quantized_accuracy"]


def test_phases():
    names = [phase.name for phase in phases(CONFIG)]
    assert names == ["float", "quantized", "frozen"]
    assert [phase.name for phase in phases(CONFIG.model_copy(update={"epochs_frozen": 0}))] == names[:2]


def test_short_starts_follow_one_another():
    starts = (ShortStart(epochs=2, steps=1), ShortStart(epochs=1, steps=3))
    config = TrainingConfig(epochs_float=4, short_starts=starts)
    assert [config.steps_of(epoch) for epoch in range(6)] == [1, 1, 3, None, None, None]
    assert TrainingConfig().steps_of(0) is None
    with pytest.raises(ValidationError, match="short_starts take 3 epochs, epochs_float is 2"):
        TrainingConfig(epochs_float=2, short_starts=starts)


def test_threads_and_determinism_are_restored():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with training._deterministic(1, torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def word_ratios(model, trace) -> dict[str, float]:
    """Share of non-zero spike words at the input of each layer that is fed by spikes, over all bit planes that the
    hardware keeps of an `add` residual. `trace` is that of the integer model: uint8, time second."""
    fed, found = layer_inputs(model.network), {}
    for layer in widths(model).layers:
        if layer.name in fed:
            value = trace[fed[layer.name]].numpy()
            planes = [np.bitwise_or.reduce(value >> plane & 1, axis=1) for plane in range(layer.shift + 1)]
            found[layer.name] = float(np.mean(planes))
    return found


def test_work_share_and_word_ratios_agree_on_binary_spikes(whole):
    """Two counts of the same thing, one differentiable and one on an integer trace (`or`: no bit planes)."""
    network = NETWORK.model_copy(update={"residual": "or"})
    done = train(network, CONFIG.model_copy(update={"epochs_float": 1}), stop_after=1)
    data = load_data("digits")
    model = quantize(done.network, samples=data.test_samples[:64], labels=data.test_labels[:64])
    trace = IntegerNetwork(model).trace(model.samples)
    ratios = word_ratios(model, trace)
    assert set(ratios) == set(layer_inputs(network)) == {layer.name for layer in network.layers()[1:-1]}
    specs = {spec.name: spec for spec in network.layers()}
    costs = {
        name: specs[name].inputs
        * specs[name].height
        * specs[name].width
        * specs[name].outputs
        * specs[name].kernel ** 2
        for name in ratios
    }
    costs = {name: cost for name, cost in costs.items() if not name.endswith(".proj")}
    wanted = sum(ratios[name] * costs[name] for name in costs) / sum(costs.values())
    share = work_share(network, {name: value.double() for name, value in trace.items()})
    assert share.item() == pytest.approx(wanted)
    assert 0 < share.item() < 1


def test_work_share_counts_words_not_steps():
    trace = {name: torch.zeros(1, 2, 16, 16) for name in ("embed", "block.0.attn", "block.0.x1", "block.0.fc1")}
    trace |= {"stem.0.pool": torch.zeros(1, 2, 8, 4, 4), "stem.1.pool": torch.zeros(1, 2, 16, 2, 2)}
    assert work_share(NETWORK, trace).item() == 0
    trace["embed"][0, 0, 3, 5] = 1.0
    once = work_share(NETWORK, trace).item()
    trace["embed"][0, 1, 3, 5] = 2.0
    assert work_share(NETWORK, trace).item() == once > 0


@pytest.mark.parametrize("name", ["digits-tiny", "digits-small"])
def test_presets(name):
    preset = PRESETS[name]
    assert preset.network.name == name
    assert preset.network.head_dim % 8 == 0
    assert preset.network.tokens == 16
    assert preset.network.window == 3
    assert preset.config.bits == 4
    data = load_data(preset.config.data)
    assert preset.network.input == data.input


def test_presets_of_the_paper():
    """Sizes that the paper states: ViT-4-384 has 12 heads of 32 channels, 64 tokens, ratio 4 and 9.32 M parameters
    with those of batch norm and denoisers; ViT-2-256 has 16 heads of 16 channels, T = 10 and 2.58 M."""
    for name, million in {"vit-4-384": 9.32, "vit-2-256": 2.58}.items():
        preset = PRESETS[name]
        network = preset.network
        weights = sum(layer.inputs * layer.outputs * layer.kernel**2 for layer in network.layers())
        scales = sum(2 * layer.outputs for layer in network.layers()[:-1])
        assert (weights + scales) / 1e6 == pytest.approx(million, abs=0.03)
        assert network.tokens == 64
        assert network.hidden_dim == 4 * network.embed_dim
        assert (network.window, preset.config.batch, preset.config.rate_float) == (3, 256, 1e-3)
    gesture, dvs = PRESETS["vit-2-256-gesture"], PRESETS["vit-2-256"].network
    assert gesture.network == dvs.model_copy(update={"name": "vit-2-256-gesture", "classes": 11})
    assert not gesture.config.events.flip
    base = dvs.model_copy(update={"name": "spikformer-dvs", "nsad": False, "window": 1})
    assert PRESETS["spikformer-dvs"].network == base
    static, event = PRESETS["vit-4-384"], PRESETS["vit-2-256"]
    assert (static.network.time_steps, event.network.time_steps) == (4, 10)
    assert (static.network.head_dim, event.network.head_dim) == (32, 16)
    assert (static.config.initial_tau, event.config.initial_tau) == (4, 2)
    assert (static.config.initial_denoiser_threshold, event.config.initial_denoiser_threshold) == (3, 2)
    assert (static.config.epochs_float, event.config.epochs_float) == (300, 200)
    assert (static.config.attention_threshold(1), event.config.attention_threshold(1)) == (8, 4)


def test_ablation_changes_one_thing_at_a_time():
    steps = [PRESETS[name].network for name in ("spikformer", "spikformer-nsad", "vit-4-384")]
    assert [(network.nsad, network.window) for network in steps] == [(False, 1), (True, 1), (True, 3)]
    alike = [network.model_copy(update={"name": "x", "nsad": True, "window": 1}) for network in steps]
    assert alike[0] == alike[1] == alike[2]
    configs = [PRESETS[name].config for name in ("spikformer", "spikformer-nsad", "vit-4-384")]
    assert configs[0] == configs[1] == configs[2]


def test_presets_for_chips():
    """Weights of cifar-ecp5 at 4 bits beside two spike banks in the 3.7 Mbit of an ECP5-85F."""
    network = PRESETS["cifar-ecp5"].network
    assert sum(layer.inputs * layer.outputs * layer.kernel**2 for layer in network.layers()) * 4 <= 2.5e6
    assert network.embed_dim % 64 == 0
    assert network.head_dim == 32
    assert PRESETS["nmnist-tiny"].network.sample_shape == (4, 2, 34, 34)


def test_every_preset_and_data_set_is_in_the_documents():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name in (*PRESETS, *dataset_names()):
        assert f"`{name}`" in page, name
