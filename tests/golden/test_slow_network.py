# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The slow golden model's whole network: plain-Python neurons from the trace, metamorphoses, refusals."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2ta.errors import ImageError
from ds2ta.golden import slow
from ds2ta.golden.random_model import models, random_model, with_leaks
from ds2ta.model import IntegerModel
from ds2ta.modelrules import check_model

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
sums = st.lists(st.integers(-3000, 3000), min_size=1, max_size=12)


def sources(model: IntegerModel) -> dict[str, str]:
    """Layer -> the tensor that feeds it, from the paper's figure and not from the code."""
    found, at = {}, "input"
    for i, conv in enumerate(model.network.stem):
        found[f"stem.{i}"] = at
        at = f"stem.{i}.pool" if conv.pool else f"stem.{i}"
    found["rpe"], at = at, "embed"
    for b in range(model.network.depth):
        found |= {f"block.{b}.{part}": at for part in ("q", "k", "v")}
        found |= {f"block.{b}.proj": f"block.{b}.attn", f"block.{b}.fc1": f"block.{b}.x1"}
        found[f"block.{b}.fc2"] = f"block.{b}.fc1"
        at = f"block.{b}.x2"
    return found | {"head": at}


@QUICK
@given(models(), st.integers(0, 2**32 - 1))
def test_single_neurons_recomputed_in_plain_python(model: IntegerModel, seed: int):
    """One random neuron of every layer, from the tensor that feeds it, with Python integers alone. Every second
    model has a leak for each layer."""
    model = with_leaks(model, seed) if seed % 2 else model
    rng, network = np.random.default_rng(seed), model.network
    trace = slow.run(model, model.samples[0], inner=True)
    trace["input"] = slow.encode(model, model.samples[0])
    for name, source in sources(model).items():
        if name == "head":
            continue
        layer, x = model.synapses[name], trace[source]
        k = int(rng.integers(0, layer.spec.outputs))
        y, z = int(rng.integers(0, layer.spec.height)), int(rng.integers(0, layer.spec.width))
        token, width = y * layer.spec.width + z, layer.spec.width
        sums = []
        for t in range(network.time_steps):
            total = 0
            for c in range(layer.spec.inputs):
                if layer.spec.kernel == 1:
                    total += int(layer.weight[k, c]) * int(x[t, token, c])
                    continue
                for i, j in np.ndindex(3, 3):
                    a, b = y + i - 1, z + j - 1
                    if 0 <= a < layer.spec.height and 0 <= b < width:
                        total += int(layer.weight[k, c, i, j]) * int(x[t, c, a, b])
            sums.append(total)
        V, at = 0, (k, y, z) if name.startswith("stem") else (token, k)
        shift = model.leaks.get(name, network.leak_shift)
        for t in range(network.time_steps):
            window = range(min(layer.window, t + 1))
            current = sum(sums[t - m] * 2 ** (layer.tau * (layer.window - 1 - m)) for m in window)
            U = V - -(-V // 2**shift) + current + int(layer.bias[k])
            spike = int(layer.threshold[k]) <= U
            V = 0 if spike else U
            assert trace[f"{name}.sum"][t][at] == sums[t]
            assert trace[f"{name}.membrane"][t][at] == U
            assert trace[name][t][at] == spike


@QUICK
@given(models())
def test_joins_attention_and_logits_follow_from_the_taps(model: IntegerModel):
    network = model.network
    trace = slow.run(model, model.samples[-1], inner=True)
    last_conv = sources(model)["rpe"]
    stream = trace[last_conv].reshape(network.time_steps, network.embed_dim, -1).swapaxes(1, 2)

    def joined(x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.where((x > 0) | (s > 0), 1, 0) if network.residual == "or" else x.astype(int) + s

    assert np.array_equal(trace["embed"], joined(stream, trace["rpe"]))
    x = trace["embed"]
    for b in range(network.depth):
        at = f"block.{b}."
        assert np.array_equal(trace[at + "x1"], joined(x, trace[at + "proj"]))
        assert np.array_equal(trace[at + "x2"], joined(trace[at + "x1"], trace[at + "fc2"]))
        x = trace[at + "x2"]
        q, k, v = (trace[at + part].astype(int) for part in "qkv")
        grouped = (network.time_steps, network.tokens, network.heads, network.head_dim)
        S = np.einsum("tihc,tjhc->thij", q.reshape(grouped), k.reshape(grouped))
        assert np.array_equal(trace[at + "score"], S)
        A = np.zeros_like(S)
        for h in range(network.heads):
            for s in range(1, network.head_dim + 1):
                A[:, h][S[:, h] == s] = model.denoisers[b][h, s - 1]
        assert np.array_equal(trace[at + "denoised"], A)
        Y = np.einsum("thij,tjhc->tihc", A, v.reshape(grouped)).reshape(v.shape)
        assert np.array_equal(trace[at + "attn.sum"], Y)
        fired = trace[at + "attn.membrane"] >= model.attention_threshold[b]
        assert np.array_equal(trace[at + "attn"], fired)
        assert np.array_equal(trace[at + "attn.membrane"][0], Y[0])
    head = model.synapses["head"]
    counts = [int(x[:, :, c].sum(dtype=int)) for c in range(network.embed_dim)]
    for o in range(network.classes):
        expected = int(head.bias[o]) + sum(int(w) * n for w, n in zip(head.weight[o], counts, strict=True))
        assert trace["logits"][o] == expected
    assert np.array_equal(trace["head.sum"].sum(axis=(0, 1)) + head.bias, trace["logits"])


@QUICK
@given(models())
def test_taps_have_their_names_shapes_and_types(model: IntegerModel):
    network = model.network
    T, N, D, H = network.time_steps, network.tokens, network.embed_dim, network.heads
    shapes = {}
    for spec in network.layers():
        if spec.name.startswith("stem"):
            shapes[spec.name] = (T, spec.outputs, spec.height, spec.width)
            if network.stem[int(spec.name[5:])].pool:
                shapes[f"{spec.name}.pool"] = (T, spec.outputs, (spec.height + 1) // 2, (spec.width + 1) // 2)
    shapes |= {"rpe": (T, N, D), "embed": (T, N, D)}
    for b in range(network.depth):
        shapes |= {f"block.{b}.{part}": (T, N, D) for part in "qkv"}
        shapes |= {f"block.{b}.{part}": (T, H, N, N) for part in ("score", "denoised")}
        shapes |= {f"block.{b}.{part}": (T, N, D) for part in ("attn", "proj", "x1")}
        shapes |= {f"block.{b}.fc1": (T, N, network.hidden_dim)}
        shapes |= {f"block.{b}.{part}": (T, N, D) for part in ("fc2", "x2")}
    shapes["logits"] = (network.classes,)
    trace = slow.run(model, model.samples[0])
    assert list(trace) == list(shapes)
    for name, shape in shapes.items():
        assert trace[name].shape == shape, name
        wide = name.rsplit(".", 1)[-1] in ("score", "denoised", "logits")
        assert trace[name].dtype == (np.int64 if wide else np.uint8), name
    inner = slow.run(model, model.samples[0], inner=True)
    layers = [*model.synapses, *(f"block.{b}.attn" for b in range(network.depth))]
    extra = {f"{name}.sum" for name in layers} | {f"{name}.membrane" for name in layers if name != "head"}
    assert set(inner) == set(trace) | extra
    assert all(np.array_equal(inner[name], trace[name]) for name in trace)


# metamorphoses


def changed(model: IntegerModel, name: str, **fields: object) -> IntegerModel:
    layer = dataclasses.replace(model.synapses[name], **fields)
    return dataclasses.replace(model, synapses={**model.synapses, name: layer})


@QUICK
@given(models())
def test_zero_input_without_positive_bias_is_silence(model: IntegerModel):
    for name in [name for name in model.synapses if name != "head"]:
        model = changed(model, name, bias=np.minimum(model.synapses[name].bias, 0))
    trace = slow.run(model, np.zeros_like(model.samples[0]))
    assert not any(value.any() for name, value in trace.items() if name != "logits")
    assert np.array_equal(trace["logits"], model.synapses["head"].bias)


@QUICK
@given(models(depth=(1, 2), time_steps=1, window=(2, 4)))
def test_a_single_step_has_no_window(model: IntegerModel):
    """T = 1: the window only scales, so the model with window 1 and parameters divided by 2^G fires alike."""
    plain = model
    for name, layer in model.synapses.items():
        if layer.window > 1:
            unit = 1 << layer.guard_bits  # sums are multiples of it: ceil keeps `P unit + B >= Theta` exact
            bias = np.zeros_like(layer.bias)
            threshold = -((layer.bias - layer.threshold) // unit)
            plain = changed(plain, name, bias=bias, threshold=threshold, tau=0, window=1)
    for sample in model.samples:
        first, second = slow.run(model, sample), slow.run(plain, sample)
        assert all(np.array_equal(first[name], second[name]) for name in first)


@QUICK
@given(models(depth=(1, 2), max_heads=4), st.randoms(use_true_random=False))
def test_permuted_heads_give_the_same_network(model: IntegerModel, random: object):
    network = model.network
    order = list(range(network.heads))
    random.shuffle(order)
    channels = np.arange(network.embed_dim).reshape(network.heads, -1)[order].ravel()
    other = dataclasses.replace(model, denoisers=tuple(table[order] for table in model.denoisers))
    for b in range(network.depth):
        for part in "qkv":
            layer = model.synapses[f"block.{b}.{part}"]
            moved = {"bias": layer.bias[channels], "threshold": layer.threshold[channels]}
            other = changed(other, layer.name, weight=layer.weight[channels], **moved)
        proj = model.synapses[f"block.{b}.proj"]
        other = changed(other, proj.name, weight=proj.weight[:, channels])
    check_model(other, "permuted")
    first, second = slow.run(model, model.samples[0]), slow.run(other, model.samples[0])
    for name, value in first.items():
        part = name.rsplit(".", 1)[-1]
        if part in ("q", "k", "v", "attn") and name.startswith("block"):
            value = value[:, :, channels]
        elif part in ("score", "denoised"):
            value = value[:, order]
        assert np.array_equal(second[name], value), name


@QUICK
@given(models(depth=(1, 2), nsad=False))
def test_identity_tables_leave_the_map_as_it_is(model: IntegerModel):
    trace = slow.run(model, model.samples[0])
    for b in range(model.network.depth):
        assert np.array_equal(trace[f"block.{b}.score"], trace[f"block.{b}.denoised"])


@QUICK
@given(models(time_steps=(2, 8)))
def test_fewer_steps_see_a_prefix(model: IntegerModel):
    """Everything is causal: the same network run for fewer steps has the same trace up to there."""
    network, steps = model.network, model.network.time_steps - 1
    shorter = dataclasses.replace(model, network=network.model_copy(update={"time_steps": steps}))
    sample = model.samples[0]
    first = slow.run(model, sample, inner=True)
    second = slow.run(shorter, sample[:steps] if network.input.kind == "frames" else sample, inner=True)
    for name in set(first) - {"logits"}:
        assert np.array_equal(first[name][:steps], second[name]), name


@QUICK
@given(models(kind="image"))
def test_constant_frames_are_an_image(model: IntegerModel):
    spec = model.network.input.model_copy(update={"kind": "frames"})
    frames = dataclasses.replace(model, network=model.network.model_copy(update={"input": spec}))
    sample = model.samples[0]
    first = slow.run(model, sample)
    second = slow.run(frames, np.stack([sample] * model.network.time_steps))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@QUICK
@given(models())
def test_no_state_is_left_behind(model: IntegerModel):
    """A, B, A: the third run equals the first, and neither model nor sample has changed."""
    a, b = model.samples[0].copy(), model.samples[1]
    first = slow.run(model, a, inner=True)
    slow.run(model, b)
    third = slow.run(model, a, inner=True)
    assert all(np.array_equal(first[name], third[name]) for name in first)
    assert np.array_equal(a, model.samples[0])


# refusals


@pytest.mark.parametrize("kind", ["image", "frames"])
def test_wrong_samples_are_refused(kind: str):
    model = random_model(np.random.default_rng(3), kind=kind, input_bits=4, time_steps=3)
    good = np.full(model.network.sample_shape, 15, np.uint8)
    one_beyond = good.copy()
    one_beyond.flat[-1] += 1
    slow.run(model, good)
    for bad, words in (
        (good.astype(np.int64), "int64"),
        (good.astype(float), "float64"),
        (good[..., :-1], "shape"),
        (good[None], "shape"),
        (good[:0], "shape"),
        (one_beyond, r"16, .* takes 0\.\.15"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            slow.run(model, bad)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("sample: ")
