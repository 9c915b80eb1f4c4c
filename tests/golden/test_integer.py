# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""golden/integer.py equals golden/slow.py in every tensor, and refuses what is no sample."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2ta.errors import ImageError
from ds2ta.golden import random_model, slow
from ds2ta.golden.integer import CHUNK, IntegerNetwork, carrier, classify
from ds2ta.intervals import Interval, widths

SMALL = {"max_dim": 16, "max_hidden": 24, "max_positions": 64, "samples": 2}


def assert_equal_to_slow(model) -> None:
    found = IntegerNetwork(model).trace(model.samples, inner=True)
    for index, sample in enumerate(model.samples):
        wanted = slow.run(model, sample, inner=True)
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            got = found[name][index].numpy()
            assert got.dtype == value.dtype, name
            np.testing.assert_array_equal(got, value, err_msg=name)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_model.models(**SMALL))
def test_equals_slow_on_random_models(model):
    assert_equal_to_slow(model)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_model.models(**SMALL, depth=(1, 2)), st.integers(0, 2**32 - 1))
def test_equals_slow_with_a_leak_for_each_layer(model, seed):
    assert_equal_to_slow(random_model.with_leaks(model, seed))


@pytest.mark.parametrize("name", ["stem.0", "block.0.q", "block.0.attn", "block.0.fc2"])
def test_a_leak_acts_on_its_layer(name):
    """Of one model, each layer that is given another leak has other potentials; those in front of it have not."""
    model = random_model.random_model(np.random.default_rng(11), depth=1, time_steps=6, leak_shift=1, **SMALL)
    other = dataclasses.replace(model, leaks={name: 4})
    first, second = (IntegerNetwork(one).trace(model.samples, inner=True) for one in (model, other))
    neurons = model.network.neuron_layers()
    differ = [
        layer for layer in neurons if not torch.equal(first[f"{layer}.membrane"], second[f"{layer}.membrane"])
    ]
    assert differ[0] == name
    assert_equal_to_slow(other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_equals_slow_in_every_carrier(dtype, monkeypatch):
    """The arithmetic is exact in each carrier type, not only in the one that the bounds choose. (float32 is
    forced only on models whose bounds allow it.)"""
    tried = 0
    for seed in range(12):
        narrow = {"tau": (0, 2), "bits": (2, 4), "input_bits": 2}
        model = random_model.random_model(np.random.default_rng(seed), **narrow, **SMALL)
        if widths(model).membrane < 24:
            with monkeypatch.context() as patch:
                patch.setattr("ds2ta.golden.integer.carrier", lambda *ranges: dtype)
                assert_equal_to_slow(model)
            tried += 1
    assert tried >= 5


def test_wide_models_leave_float32():
    model = random_model.random_model(np.random.default_rng(3), tau=7, window=4, bits=8, depth=1, **SMALL)
    network = IntegerNetwork(model)
    assert torch.float64 in {layer.dtype for layer in network._layers.values()}
    assert_equal_to_slow(model)


@pytest.mark.parametrize(
    ("limit", "dtype"),
    [
        (2**24 - 1, torch.float32),
        (2**24, torch.float64),
        (2**53 - 1, torch.float64),
        (2**53, torch.int64),
    ],
)
def test_carrier_limits(limit, dtype):
    assert carrier(Interval(0, limit)) is dtype
    assert carrier(Interval(-limit, 5), Interval(0, 1)) is dtype


def test_reduced_matmul_precision_is_not_trusted():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert carrier(Interval(0, 5)) is torch.float64
    finally:
        torch.set_float32_matmul_precision(before)


def test_batches_do_not_mix():
    """More samples than one chunk holds, in two orders: every sample keeps its own logits and trace."""
    model = random_model.random_model(np.random.default_rng(11), kind="image", **SMALL)
    rng = np.random.default_rng(0)
    shape = (CHUNK + 7, *model.network.sample_shape)
    samples = rng.integers(0, 1 << model.network.input.bits, shape).astype(np.uint8)
    network = IntegerNetwork(model)
    together = network.trace(samples)
    order = rng.permutation(len(samples))
    shuffled = network.trace(torch.from_numpy(samples[order]))
    for name, value in together.items():
        np.testing.assert_array_equal(value[order].numpy(), shuffled[name].numpy(), err_msg=name)
    alone = network.run(samples[5:6])
    np.testing.assert_array_equal(alone[0].numpy(), slow.run(model, samples[5])["logits"])
    assert len(np.unique(together["logits"].numpy(), axis=0)) > 1


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_ties_go_to_the_lowest_class(logits):
    assert classify(torch.tensor([logits]))[0] == logits.index(max(logits))


def test_samples_are_checked():
    model = random_model.random_model(np.random.default_rng(2), input_bits=4, **SMALL)
    network, good = IntegerNetwork(model), model.samples
    shape = list(good.shape[1:])
    with pytest.raises(ImageError, match="must be uint8, not float32"):
        network.run(good.astype(np.float32))
    with pytest.raises(ImageError, match="must be uint8, not list"):
        network.run(good.tolist())
    with pytest.raises(ImageError, match=r"shape \['n', .*\] with n >= 1, not"):
        network.run(good[0])
    with pytest.raises(ImageError, match="with n >= 1"):
        network.run(good[:0])
    edge = np.full((1, *shape), 15, np.uint8)
    network.run(edge)
    edge[..., -1] = 16
    with pytest.raises(ImageError, match="must be below 16, the limit of random, not 16"):
        network.run(edge)
