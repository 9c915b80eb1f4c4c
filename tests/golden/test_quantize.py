# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Float to integer: the exported model fires the very spikes of the network that was trained."""

import numpy as np
import pytest
import torch
from float_networks import batch, build, labels

from ds2ta.golden import random_model
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.quantize import _constant, quantize, settle_channels
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import Arithmetic, TrainingConfig
from ds2ta.golden.training.synapse import EPSILON, quantize_weight
from ds2ta.modelfile import load_model, save_model
from ds2ta.network import network_from_dict

EXACT = Arithmetic(compiled=False, precision="float32")


def lively(seed: int, config: dict | None = None, **changes) -> FloatNetwork:
    """A network with statistics, gains of both signs and offsets as training leaves them."""
    network = build(seed=seed, config=config, **changes)
    random = torch.Generator().manual_seed(seed)
    network.train()
    with torch.no_grad():
        for _ in range(25):
            network(batch(network, seed=seed))
        for synapse in network.synapses.values():
            count = len(synapse.gamma)
            sign = torch.where(torch.rand(count, generator=random) < 0.3, -1.0, 1.0)
            synapse.gamma.copy_(sign * (0.5 + torch.rand(count, generator=random)))
            synapse.beta.copy_(torch.randn(count, generator=random) * 0.2)
        network.head.bias.copy_(torch.randn(5, generator=random) * 0.1)
        for denoiser in network.denoisers:
            denoiser.b.copy_(torch.randn(2, generator=random) * 0.05)
            denoiser.d.copy_(torch.randn(2, generator=random) * 2)
    return network


def assert_same_spikes(network: FloatNetwork, samples: torch.Tensor) -> None:
    model = quantize(network, samples=samples.numpy(), labels=labels(samples))
    integer = IntegerNetwork(model).trace(samples)
    trace = {}
    with torch.no_grad():
        logits = network(samples, trace=trace)
    for name, value in trace.items():
        np.testing.assert_array_equal(value.numpy(), integer[name].numpy(), err_msg=name)
    assert (logits.argmax(1) == integer["logits"].argmax(1)).all()
    assert all(
        0 < trace[name].mean() < 1 for name in ("stem.0", "stem.1", "block.0.q", "block.0.attn", "block.1.fc1")
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"residual": "add"}, {}),
        ({"residual": "or"}, {}),
        ({"nsad": False}, {}),
        ({"window": 1}, {}),
        ({"leak_shift": 3}, {"attention_firing": 0.02, "firing_threshold": 0.1}),
    ],
)
def test_quantized_forward_is_the_integer_model(changes, config, seed):
    """Quantization-aware evaluation (float64) and the exported integers: equal in every tensor."""
    network = lively(seed, config={"initial_tau": seed * 1.7, **config}, **changes)
    assert_same_spikes(network.double().eval().quantize(True), batch(network, 40, seed=9))


def test_training_forward_with_frozen_statistics_is_the_integer_model():
    """The last phase of training sees the exported network, in float32 and in training mode."""
    network = lively(4).train().quantize(True, frozen_statistics=True)
    assert_same_spikes(network, batch(network, 40, seed=9))


@pytest.mark.parametrize("window", [1, 3])
def test_network_on_the_grid_is_exported_without_any_loss(window):
    """Weights whole with 7 as the largest, gains +-1, biases whole, tau_m = 2: plain *float* evaluation, which
    knows no floors and no rounding, fires the same spikes, because nested floors are exact."""
    network = build(seed=1, window=window, config={"initial_tau": 2.0, "firing_threshold": 8.0}).double()
    random = torch.Generator().manual_seed(2)

    def whole(low: int, high: int, shape: torch.Size) -> torch.Tensor:
        return torch.randint(low, high + 1, shape, generator=random, dtype=torch.float64)

    with torch.no_grad():
        for synapse in network.synapses.values():
            synapse.weight.copy_(whole(-7, 7, synapse.weight.shape))
            synapse.weight.flatten(1)[:, 0] = 7.0
            synapse.variance.fill_(1.0 - EPSILON)
            synapse.gamma.copy_(whole(0, 1, synapse.gamma.shape) * 2 - 1)
            synapse.mean.copy_(whole(-4, 4, synapse.mean.shape))
            synapse.beta.copy_(whole(-3, 5, synapse.beta.shape))
    assert_same_spikes(network.eval(), batch(network, 40))


def test_negative_gain_turns_the_weights():
    """gamma and W with both signs turned are the same function, so they export the same integers."""
    one, other = lively(6), lively(6)
    with torch.no_grad():
        for synapse in other.synapses.values():
            synapse.weight.neg_()
            synapse.gamma.neg_()
            synapse.mean.neg_()
    samples = batch(one)
    models = [quantize(network, samples=samples.numpy(), labels=labels(samples)) for network in (one, other)]
    for name, layer in models[0].synapses.items():
        np.testing.assert_array_equal(layer.weight, models[1].synapses[name].weight)
        np.testing.assert_array_equal(layer.bias, models[1].synapses[name].bias)
        np.testing.assert_array_equal(layer.threshold, models[1].synapses[name].threshold)
    assert any((synapse.gamma < 0).any() for synapse in one.synapses.values())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weight_quantization(bits):
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(bits), requires_grad=True)
    top = (1 << (bits - 1)) - 1
    whole, scale = quantize_weight(weight, bits, per_channel=True)
    assert torch.equal(whole, whole.round())
    assert (whole.abs().flatten(1).amax(1) == top).all()
    assert ((whole * scale[:, None, None, None] - weight).abs() <= scale[:, None, None, None] * 0.5001).all()
    whole.sum().backward()
    assert torch.allclose(weight.grad, (1 / scale)[:, None, None, None].expand_as(weight))
    single, one = quantize_weight(weight, bits, per_channel=False)
    assert one.ndim == 0
    assert single.abs().max() == top
    zero, _ = quantize_weight(torch.zeros(2, 3), bits, per_channel=True)
    assert (zero == 0).all()


def test_bits_of_single_layers_and_file(tmp_path):
    network = lively(8, config={"bits": 4, "layer_bits": {"stem.0": 8, "block.1.fc2": 2, "head": 6}})
    samples = batch(network)
    model = quantize(network, samples=samples.numpy(), labels=labels(samples), provenance={"made": "here"})
    assert {name: layer.bits for name, layer in model.synapses.items() if layer.bits != 4} == {
        "stem.0": 8,
        "block.1.fc2": 2,
        "head": 6,
    }
    assert abs(model.synapses["block.1.fc2"].weight).max() == 1
    assert abs(model.synapses["stem.0"].weight).max() == 127
    save_model(model, tmp_path / "model.safetensors")
    read = load_model(tmp_path / "model.safetensors")
    assert read.provenance == {"made": "here"}
    found, wanted = IntegerNetwork(read).run(samples), IntegerNetwork(model).run(samples)
    assert torch.equal(found, wanted)


def test_tau_and_window_are_frozen():
    model_of = {}
    for window in (1, 3):
        network = lively(2, window=window, config={"initial_tau": 2.6})
        samples = batch(network)
        model_of[window] = quantize(network, samples=samples.numpy(), labels=labels(samples))
    for layer in model_of[3].synapses.values():
        assert (layer.tau, layer.window) == ((3, 3) if layer.spec.tasa else (0, 1))
    assert {(layer.tau, layer.window) for layer in model_of[1].synapses.values()} == {(0, 1)}


NARROW = {"max_dim": 16, "max_hidden": 16, "samples": 3, "bits": 4, "tau": (0, 2), "depth": (1, 2)}


def test_settled_channels_change_nothing_but_numbers():
    """Channels that can never or must always fire are rewritten; no tensor changes, on random extreme models."""
    rewritten = 0
    for seed in range(8):
        model = random_model.random_model(np.random.default_rng(seed), **NARROW)
        for index, layer in enumerate(model.synapses.values()):
            if layer.threshold is not None:
                layer.threshold[0] = 10**9 if index % 2 else 1
                layer.bias[0] = 0 if index % 2 else 10**9
        settled = settle_channels(model)
        found, wanted = (IntegerNetwork(m).trace(model.samples) for m in (settled, model))
        for name, value in wanted.items():
            assert torch.equal(found[name], value), name
        for name, layer in settled.synapses.items():
            if layer.threshold is not None:
                rewritten += int((layer.weight != model.synapses[name].weight).any())
                assert layer.threshold.max() < 10**9
                assert layer.bias.max() < 10**9
    assert rewritten > 8


@pytest.mark.parametrize("leak_shift", [1, 2])
@pytest.mark.parametrize("window", [1, 3])
def test_a_channel_that_no_input_reaches_keeps_its_rhythm(window, leak_shift):
    """Gains of 0 and of next to nothing: neurons of the offset alone, written out here, in float, in the quantized
    forward pass, as integers before they are settled and after; the settled numbers are small."""
    config = {"least_gain": 0.0, "firing_threshold": 1.0}
    network = lively(5, window=window, leak_shift=leak_shift, config=config).double().eval()
    name, theta = "block.0.k", 2.0**leak_shift
    betas = torch.linspace(0.3, 1.2, 16, dtype=torch.float64) * theta
    betas[-4:] = theta * (1.0 - 2.0**-26)  # anything that is added fires them a step too early
    synapse = network.synapse(name)
    with torch.no_grad():
        synapse.gamma.copy_(torch.where(torch.arange(16) % 2 == 0, 0.0, 1e-13))
        synapse.beta.copy_(betas)
        synapse.mean.fill_(0.0)
        synapse.weight.abs_()
    v, wanted = torch.zeros(16, dtype=torch.float64), []
    for _ in range(4):
        v = v * (1.0 - 2.0**-leak_shift) + betas
        wanted.append(v >= theta)
        v = v.where(v < theta, 0.0)
    assert len({tuple(train) for train in torch.stack(wanted).T.tolist()}) >= 4
    fused = build(window=window, leak_shift=leak_shift, config=config | {"arithmetic": EXACT}).eval()
    fused.load_state_dict(network.state_dict())
    samples = batch(network, 4)
    for each in (network, fused):
        for quantized in (False, True):
            trace: dict = {}
            with torch.no_grad():
                each.quantize(quantized)(samples, trace=trace)
            same = trace[name] == torch.stack(wanted)[None, :, None].double()
            assert same[..., : 12 if each is fused else None].all(), quantized  # float32 rounds the last offsets
    model = quantize(network, samples=samples.numpy(), labels=labels(samples))
    assert (IntegerNetwork(model).trace(samples)[name] == torch.stack(wanted)[None, :, None]).all()
    assert not model.synapses[name].weight.any()
    assert model.synapses[name].threshold.max() <= 64


@pytest.mark.parametrize("leak_shift", [1, 2, 4])
def test_every_rhythm_has_small_numbers(leak_shift):
    """The bias and threshold that are found fire at every n-th step, by the neuron of the integer contract."""
    for every in range(1, 17):
        train = (np.arange(16) + 1) % every == 0
        bias, threshold = _constant(train, leak_shift)
        fired, U = [], 0
        for _ in range(16):
            U = U * ((1 << leak_shift) - 1) // (1 << leak_shift) + bias
            fired.append(threshold <= U)
            U = 0 if fired[-1] else U
        assert fired == train.tolist()
    assert _constant(np.zeros(4, bool), leak_shift) == (0, 1)
    assert _constant(np.array([True, False, False, True]), leak_shift) is None


def test_identity_tables_without_nsad():
    network = lively(3, nsad=False)
    samples = batch(network)
    model = quantize(network, samples=samples.numpy(), labels=labels(samples))
    assert [table.tolist() for table in model.denoisers] == [[list(range(1, 9))] * 2] * 2


def test_config_of_a_network_without_blocks():
    network = FloatNetwork(
        network=network_from_dict(
            {"name": "flat", "stem": [{"channels": 8}], "embed_dim": 8, "heads": 1, "depth": 0, "hidden_dim": 8}
        ),
        config=TrainingConfig(firing_threshold=0.25),
    )
    samples = batch(network, 4)
    model = quantize(network, samples=samples.numpy(), labels=labels(samples))
    assert set(model.synapses) == {"stem.0", "rpe", "head"}
