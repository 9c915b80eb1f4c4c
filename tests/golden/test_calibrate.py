# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Quantization without training: the error that is minimized, the statistics, and what accuracy comes of it."""

import itertools

import pytest
import torch
from float_networks import batch, build, labels
from torch.nn import functional

from ds2ta.errors import DataError
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.calibrate import calibrated, least_error
from ds2ta.golden.training.checkpoint import Checkpoint, save_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.release import quantize_file
from ds2ta.golden.training.synapse import EPSILON, quantize_weight
from ds2ta.golden.training.train import train
from ds2ta.modelfile import load_model
from ds2ta.network import network_from_dict


def covariance(count: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(count, count, generator=random, dtype=torch.float64)
    return mixed @ mixed.T / count


def loss(whole: torch.Tensor, scale: torch.Tensor, weight: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
    """By its definition, channel by channel."""
    error = whole * scale[:, None] - weight
    return torch.stack([row @ C @ row for row in error])


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_error_is_less_than_that_of_plain_rounding(bits):
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(bits), dtype=torch.float64)
    C, top = covariance(30, 5), (1 << (bits - 1)) - 1
    whole, scale = least_error(weight, C, bits=bits)
    assert torch.equal(whole, whole.round())
    assert (whole.abs().amax(1) == top).all()  # which the scale is read from
    plain, step = quantize_weight(weight, bits, per_channel=True)
    found, before = loss(whole, scale, weight, C), loss(plain, step, weight, C)
    assert (found <= before).all()
    assert found.sum() < (0.5 if bits < 8 else 0.7) * before.sum()
    again, same = quantize_weight(whole * scale[:, None], bits, per_channel=True)
    assert torch.equal(again, whole)
    torch.testing.assert_close(same, scale)


def test_no_single_weight_would_lessen_the_error():
    """But for the one in each channel that stays at the limit."""
    weight = torch.randn(6, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    C = covariance(12, 2)
    whole, scale = least_error(weight, C, bits=3)
    best, better = loss(whole, scale, weight, C), 0
    for row, place, step in itertools.product(range(6), range(12), (-1.0, 1.0)):
        moved = whole.clone()
        moved[row, place] += step
        if whole[row, place].abs() < 3 and moved.abs().max() <= 3:
            assert loss(moved, scale, weight, C)[row] >= best[row] - 1e-12
            better += 1
    assert better > 60


def test_one_scale_for_the_head():
    weight = torch.randn(5, 30, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    C = covariance(30, 5)
    whole, scale = least_error(weight, C, bits=4, per_channel=False)
    assert len(set(scale.tolist())) == 1
    assert torch.equal(quantize_weight(whole * scale[:, None], 4, per_channel=False)[0], whole)
    plain, step = quantize_weight(weight, 4, per_channel=False)
    assert loss(whole, scale, weight, C).sum() < 0.7 * loss(plain, step.expand(5), weight, C).sum()


def test_channels_of_zeros():
    whole, scale = least_error(torch.zeros(2, 3, dtype=torch.float64), covariance(3, 1), bits=4)
    assert not whole.any()
    assert (scale > 0).all()


@pytest.mark.parametrize("changes", [{}, {"window": 1, "nsad": False}, {"residual": "or", "time_steps": 2}])
def test_normalized_currents_are_those_of_the_float_network(changes):
    """Their mean and deviation over the calibration samples, each channel, from the sums of the exported integers;
    running statistics that are not those of the samples count as they are."""
    network = build(seed=2, config={"initial_tau": 1.0}, **changes)
    network.train()
    with torch.no_grad():
        for seed in range(10):
            network(batch(network, 48, seed=seed))
        for synapse in network.synapses.values():
            synapse.mean.add_(synapse.variance.sqrt() * 0.3)
            synapse.variance.mul_(0.8)
    samples = batch(network, 48, seed=4)
    found, used = calibrated(network.eval(), samples.numpy(), bits=4)
    assert used == 48
    model = quantize(found, samples=samples.numpy(), labels=labels(samples))
    trace = IntegerNetwork(model).trace(samples, inner=True)
    inputs: dict = {}
    for spec in network.network.layers()[:-1]:
        inputs[spec.name] = None
        network.synapse(spec.name).register_forward_pre_hook(
            lambda _, given, name=spec.name: inputs.__setitem__(name, given[0])
        )
    with torch.no_grad():
        network(samples)
    compared = 0
    for name in ("stem.0", "stem.1", "rpe", "block.0.q", "block.0.fc2", "block.1.proj"):
        ours, theirs, tasa = found.synapse(name), network.synapse(name), found.tasa(name)
        sign = torch.where(ours.gamma < 0, -1.0, 1.0)
        scale = ours.integer_weight()[1] * sign
        P = trace[f"{name}.sum"].transpose(0, 1).double()
        P = P.movedim(2, -1) if name.startswith("stem") else P
        product = functional.conv2d if ours.spec.kernel == 3 else functional.linear
        x = inputs[name]
        flat = x.flatten(0, 1) if ours.spec.kernel == 3 else x
        real = product(flat, theirs.weight, **({"padding": 1} if ours.spec.kernel == 3 else {}))
        real = real.unflatten(0, x.shape[:2]).movedim(2, -1) if ours.spec.kernel == 3 else real
        pairs = []
        for synapse, sums in ((ours, tasa(P) * scale), (theirs, tasa(real))):
            normal = (sums.double() - synapse.mean.double()) / torch.sqrt(synapse.variance.double() + EPSILON)
            pairs.append(torch.stack([normal.flatten(0, -2).mean(0), normal.flatten(0, -2).std(0, correction=0)]))
        alive = torch.from_numpy(model.synapses[name].weight.any(axis=tuple(range(1, ours.weight.ndim))))
        alive &= pairs[1][1] > 0
        torch.testing.assert_close(pairs[0][:, alive], pairs[1][:, alive], rtol=1e-3, atol=1e-3)
        compared += int(alive.sum())
    assert compared > 60


def test_samples_are_those_asked_for_as_far_as_memory_goes(monkeypatch):
    network = build(seed=2)
    samples = batch(network, 40).numpy()
    told = []
    assert calibrated(network, samples, bits=4, count=7, report=lambda *found: told.append(found))[1] == 7
    names = [spec.name for spec in network.network.layers()]
    seen = [*(f"float {name}" for name in names), *names, "done"]
    assert told == [(index, 2 * len(names), name) for index, name in enumerate(seen)]
    monkeypatch.setattr("ds2ta.golden.training.calibrate.LARGEST_BYTES", 4 * 4 * 6 * 6 * 5 * 3)
    assert calibrated(network, samples, bits=4)[1] == 3
    with pytest.raises(DataError, match="needs training samples"):
        calibrated(network, samples[:0], bits=4)


def test_the_network_that_is_given_stays_as_it_is():
    network = build(seed=2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    calibrated(network, batch(network, 8).numpy(), bits=2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not network.head.quantized


@pytest.fixture(scope="module")
def trained():
    """A float network for digits that knows most of them, after a few seconds."""
    network = network_from_dict(
        {
            "name": "quick",
            "input": {"kind": "image", "channels": 1, "height": 8, "width": 8, "bits": 5},
            "time_steps": 4,
            "stem": [{"channels": 8}, {"channels": 16, "pool": True}],
            "embed_dim": 16,
            "heads": 1,
            "depth": 1,
            "hidden_dim": 32,
        }
    )
    config = TrainingConfig(epochs_float=6, epochs_quantized=1, batch=32, rate_float=0.02, attention_scale=0.25)
    return train(network, config, data=load_data("digits"), stop_after=6)


@pytest.mark.parametrize(("bits", "lost"), [(3, 8.0), (4, 4.0), (6, 2.0)])
def test_a_file_is_quantized_with_little_loss(trained, tmp_path, bits, lost):
    """Few bits of a small network that was trained for seconds: plain rounding loses far more."""
    state, out = tmp_path / "float.safetensors", tmp_path / "model.safetensors"
    save_checkpoint(Checkpoint(trained.network, trained.progress), state)
    path, model = quantize_file(state, out, bits=bits, count=200)
    about = model.provenance
    assert path == out
    assert load_model(out).provenance == about
    assert {layer.bits for layer in model.synapses.values()} == {bits}
    assert about["calibration_samples"] == 200
    assert about["command"] == f"ds2ta quantize CHECKPOINT --data DIR --bits {bits} --samples 200"
    assert about["float_accuracy"] > 80
    assert about["integer_accuracy"] > about["float_accuracy"] - lost
    if bits == 3:
        data = load_data("digits")
        plain = FloatNetwork(
            network=trained.network.network, config=trained.network.config.model_copy(update={"bits": 3})
        )
        plain.load_state_dict(trained.network.state_dict())
        rounded = quantize(plain, samples=data.test_samples[:1], labels=data.test_labels[:1])
        logits = IntegerNetwork(rounded).run(data.test_samples).numpy()
        assert 100 * (logits.argmax(1) == data.test_labels).mean() < about["integer_accuracy"] - 5
