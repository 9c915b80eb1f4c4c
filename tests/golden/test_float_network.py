# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The float DS2TA network: structure, switches, and a gradient in every parameter."""

import numpy as np
import pytest
import torch
from float_networks import BASE, batch, build

from ds2ta.golden import random_model
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.product import linear
from ds2ta.golden.training.recipe import Arithmetic, TrainingConfig


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("changes", [{"residual": "add"}, {"residual": "or"}, {"nsad": False}, {"window": 1}])
def test_gradient_reaches_every_parameter(changes, quantized):
    """Six numbers per denoiser, every tau, every weight, gain and bias: none is cut off, none is infinite."""
    network = build(config={"tau_sharing": "layer", "initial_tau": 1.0}, **changes).quantize(quantized)
    with torch.no_grad():  # at b = d = 0 the derivatives in c and e vanish, as they must
        for denoiser in network.denoisers:
            denoiser.b.fill_(0.01)
            denoiser.d.fill_(0.5)
    network.train()
    trace = {}
    logits = network(batch(network), trace=trace)
    torch.nn.functional.cross_entropy(logits, torch.arange(24) % 5).backward()
    for name in ("block.1.attn", "block.1.proj", "block.1.fc2"):
        assert 0 < trace[name].detach().mean() < 1, name
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_a_map_that_nobody_sees_is_not_computed(precision, monkeypatch):
    """Without NSAD and a trace, Q (K^T V) takes the place of (Q K^T) V: the same whole numbers, the same spikes."""
    arithmetic = None if precision == "float64" else Arithmetic(compiled=False, precision=precision)
    network = build(nsad=False, config={"arithmetic": arithmetic}).train()
    network = network.double() if precision == "float64" else network
    seen, attend = [], FloatNetwork._attend
    monkeypatch.setattr(FloatNetwork, "_attend", lambda *given: seen.append(given[-1]) or attend(*given))
    found = []
    for trace in ({}, None):
        network.zero_grad()
        logits = network(batch(network), trace=trace)
        torch.nn.functional.cross_entropy(logits, torch.arange(24) % 5).backward()
        found.append((logits, {name: value.grad for name, value in network.named_parameters()}))
    assert seen == [True, True, False, False]
    assert torch.equal(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        if precision == "bfloat16":  # what is rounded on the way back differs
            similar = torch.nn.functional.cosine_similarity(found[1][1][name].flatten(), gradient.flatten(), dim=0)
            assert similar > 0.99, name
        else:
            limit = 1e-5 * gradient.abs().max().item()
            torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-4, atol=limit)


def test_many_tokens_keep_the_map(monkeypatch):
    """Counts above 256 are not exact in bfloat16."""
    image = {"kind": "image", "channels": 1, "height": 34, "width": 32, "bits": 4}  # 17 x 16 tokens
    network, seen, attend = build(nsad=False, input=image), [], FloatNetwork._attend
    monkeypatch.setattr(FloatNetwork, "_attend", lambda *given: seen.append(given[-1]) or attend(*given))
    network(batch(network, 1))
    assert seen == [True, True]


def test_float32_products_are_those_of_linear():
    generator = torch.Generator().manual_seed(0)
    x, weight, pull = (
        torch.randn(shape, generator=generator) for shape in ((2, 3, 7, 20), (12, 20), (2, 3, 7, 12))
    )
    found = []
    for product, dtype in ((linear, torch.float32), (torch.nn.functional.linear, torch.float64)):
        inputs = [value.to(dtype).requires_grad_() for value in (x, weight)]
        P = product(*inputs)
        found.append([P, *torch.autograd.grad((P * pull).sum(), inputs)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_parameters_of_the_paper_are_there():
    names = {name for name, _ in build(config={"tau_sharing": "layer"}).named_parameters()}
    for block in range(2):
        for part in ("q", "k", "v", "proj"):
            assert f"windows.block_{block}_{part}.tau" in names
        for letter in "abcdeu":
            assert f"denoisers.{block}.{letter}" in names
    shared = {name for name, _ in build(config={"tau_sharing": "qkv"}).named_parameters()}
    assert {name for name in shared if name.endswith("tau")} == {
        f"windows.block_{block}_{part}.tau" for block in range(2) for part in ("qkv", "proj")
    }


def test_ablation_switches():
    """The Spikformer baseline: without NSAD the map is the score and has no parameters; without a window no tau."""
    plain = build(nsad=False, window=1)
    assert not [name for name, _ in plain.named_parameters() if name.startswith(("denoisers", "windows"))]
    trace = {}
    plain.train()(batch(plain), trace=trace)
    for block in range(2):
        assert trace[f"block.{block}.score"].max() > 0
        assert torch.equal(trace[f"block.{block}.score"], trace[f"block.{block}.denoised"])


def test_nsad_off_equals_the_identity_denoiser():
    on, off = build(seed=3, config={"initial_denoiser_threshold": 0.0}), build(seed=3, nsad=False)
    state = {name: value for name, value in on.state_dict().items() if not name.startswith("denoisers")}
    off.load_state_dict(state)
    samples = batch(on)
    torch.testing.assert_close(on.train()(samples), off.train()(samples), rtol=0, atol=0)


def test_nsad_removes_entries_below_its_threshold():
    network = build(config={"initial_denoiser_threshold": 2.0})
    trace = {}
    network.train()(batch(network), trace=trace)
    score, denoised = trace["block.0.score"].detach(), trace["block.0.denoised"].detach()
    assert ((score > 0) & (score <= 2)).any()
    assert (score > 2).any()
    assert torch.equal(denoised, torch.where(score > 2, score, 0))


def test_window_of_one_differs_from_three_and_an_infinite_tau_does_not():
    """At tau = 7 two attenuated taps add at most 1 % of a weight, at tau = 0 they count in full."""
    plain = build(seed=5, window=1)
    samples = batch(plain)
    sums = {}
    for tau in (0.0, 7.0):
        windowed = build(seed=5, config={"initial_tau": tau})
        windowed.load_state_dict(plain.state_dict(), strict=False)
        sums[tau] = windowed.eval()(samples)
    wanted = plain.eval()(samples)
    assert (sums[7.0] - wanted).abs().mean() < (sums[0.0] - wanted).abs().mean()


@pytest.mark.parametrize("residual", ["add", "or"])
def test_residual(residual):
    network = build(residual=residual)
    trace = {}
    network.train()(batch(network), trace=trace)
    trace = {name: value.detach() for name, value in trace.items()}
    stem = trace["stem.1"].flatten(3).transpose(2, 3)
    pairs = [(stem, trace["rpe"], trace["embed"])]
    before = trace["embed"]
    for block in range(2):
        at = f"block.{block}."
        pairs += [
            (before, trace[at + "proj"], trace[at + "x1"]),
            (trace[at + "x1"], trace[at + "fc2"], trace[at + "x2"]),
        ]
        before = trace[at + "x2"]
    for x, spikes, joined in pairs:
        assert torch.equal(joined, x + spikes if residual == "add" else torch.maximum(x, spikes))
    assert before.max() <= network.network.residual_limit(5)
    if residual == "add":
        assert before.max() > 1


def test_event_frames():
    network = build(input={"kind": "frames", "channels": 2, "height": 4, "width": 4, "bits": 3})
    samples = batch(network)
    assert samples.shape[1:] == (4, 2, 4, 4)
    trace = {}
    logits = network.train()(samples, trace=trace)
    assert logits.shape == (24, 5)
    still = samples[:, :1].expand_as(samples).contiguous()
    other = {}
    network.train()(still, trace=other)
    assert not torch.equal(trace["stem.0"], other["stem.0"])


def test_static_image_equals_the_same_frame_at_every_step():
    image, frames = build(seed=7), build(seed=7, input={**BASE["input"], "kind": "frames"})
    samples = batch(image)
    repeated = samples[:, None].expand(-1, 4, -1, -1, -1).contiguous()
    torch.testing.assert_close(image.train()(samples), frames.train()(repeated))


def test_attention_threshold_folds_the_scale():
    """Scale 1/8 and firing at 0.5 with tau_m = 2 is a threshold of 8 counts, scale 1/4 one of 4."""
    assert TrainingConfig().attention_threshold(1) == 8
    assert TrainingConfig(attention_scale=0.25).attention_threshold(1) == 4


def test_labels_of_taps_are_those_of_the_integer_model():
    model = random_model.random_model(np.random.default_rng(0), depth=2, max_dim=16)
    integer = IntegerNetwork(model).trace(model.samples)
    trace = {}
    network = FloatNetwork(network=model.network, config=TrainingConfig())
    network.eval()(torch.from_numpy(model.samples), trace=trace)
    assert set(trace) == set(integer) - {"logits"}
    assert all(trace[name].shape == integer[name].shape for name in trace)
