# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Width analysis: sound for every input (tiny layers exhausted, adversaries elsewhere), tight where it can be."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2ta.errors import FitError
from ds2ta.golden import slow
from ds2ta.golden.random_model import models, random_model, with_leaks
from ds2ta.intervals import QUANTITIES, Interval, attention_widths, layer_widths, refuse_unless_held, widths
from ds2ta.model import IntegerModel, Synapse
from ds2ta.network import LayerSpec

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [
        (0, 0, 1),
        (-1, 0, 1),
        (0, 1, 2),
        (-2, 1, 2),
        (-2, 2, 3),
        (-3, 1, 3),
        (-4, 3, 3),
        (-128, 127, 8),
        (-129, 0, 9),
    ],
)
def test_signed_width_is_the_least_that_holds_both_ends(low: int, high: int, bits: int):
    assert Interval(low, high).bits == bits
    assert -(1 << bits - 1) <= low <= high < 1 << bits - 1
    assert bits == 1 or not (-(1 << bits - 2) <= low and high < 1 << bits - 2)


@pytest.mark.parametrize(("high", "bits"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (255, 8), (256, 9)])
def test_unsigned_width(high: int, bits: int):
    assert Interval(0, high).unsigned_bits == bits


def linear(weight: list, bias: list, threshold: list, tau: int = 0, window: int = 1) -> Synapse:
    weight = np.array(weight, np.int8)
    spec = LayerSpec(
        name="l", kernel=1, inputs=weight.shape[1], outputs=weight.shape[0], height=1, width=1, tasa=window > 1
    )
    return Synapse(spec, weight, np.array(bias, np.int64), np.array(threshold, np.int64), 8, tau, window)


tiny = st.builds(
    lambda weight, bias, threshold, tau, window: linear([weight], [bias], [threshold], tau * (window > 1), window),
    st.lists(st.integers(-7, 7), min_size=1, max_size=2),
    st.integers(-12, 12),
    st.integers(1, 20),
    st.integers(0, 3),
    st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(tiny, st.integers(1, 3), st.integers(1, 4))
def test_exhausting_a_tiny_layer_meets_the_bounds_and_never_leaves_them(layer: Synapse, largest: int, shift: int):
    """All inputs over three steps. P, I, J and N reach both ends of their intervals; U stays inside its own,
    and reaches its ends when nothing can fire."""
    steps, inputs = 3, layer.spec.inputs
    largest = min(largest, 1) if inputs == 2 else largest
    found = layer_widths(layer, largest=largest, steps=steps, leak_shift=shift)
    every = itertools.product(range(largest + 1), repeat=steps * inputs)
    x = np.array(list(every), np.int64).reshape(-1, steps, inputs).swapaxes(0, 1)
    P = slow.synapse(layer.weight, x)
    I = slow.tasa(P, layer.tau, layer.window)  # noqa: E741
    _, U = slow.lif(I, layer.bias, layer.threshold, shift)
    J, N = layer.bias + I, layer.threshold - layer.bias - I
    for quantity, values in (("partial", P), ("current", I), ("drive", J), ("gap", N)):
        assert getattr(found, quantity) == Interval(values.min(), values.max()), quantity
    assert U.min() in found.membrane
    assert U.max() in found.membrane
    assert J.min() in found.membrane
    assert J.max() in found.membrane
    assert 0 in found.membrane
    quiet = layer_widths(
        dataclasses.replace(layer, threshold=layer.threshold + 10**6),
        largest=largest,
        steps=steps,
        leak_shift=shift,
    )
    _, U = slow.lif(I, layer.bias, layer.threshold + 10**6, shift)
    assert quiet.membrane == Interval(min(U.min(), J.min(), 0), max(U.max(), J.max(), 0))


def test_a_neuron_that_meets_its_threshold_exactly_rests_at_zero():
    """At U = Theta it fires: nothing of it is left in the next step, and what stays is at most Theta - 1."""
    always = layer_widths(linear([[0]], [5], [5]), largest=1, steps=8, leak_shift=1)
    assert always.membrane == Interval(0, 5)
    # an even threshold: leak(Theta) and leak(Theta - 1) differ
    sometimes = layer_widths(linear([[4]], [0], [4]), largest=1, steps=8, leak_shift=1)
    assert sometimes.membrane == Interval(0, 4 + 3 // 2)
    below = layer_widths(linear([[5]], [0], [6]), largest=1, steps=2, leak_shift=1)
    assert below.membrane == Interval(0, 5 + 5 // 2)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 10))
def test_prefixes_and_horner_steps_stay_inside(data: st.DataObject, window: int, planes: int, steps: int):
    """Bit-plane events in any order, and the barrel-shift accumulator tap by tap: nothing passes beyond the end."""
    inputs, tau = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 7)) * (window > 1)
    weight = data.draw(st.lists(st.integers(-127, 127), min_size=inputs, max_size=inputs))
    layer = linear([weight], [0], [1], tau, window)
    largest = (1 << planes) - 1
    found = layer_widths(layer, largest=largest, steps=steps, leak_shift=1)
    P = []
    for _ in range(steps):
        x = data.draw(st.lists(st.integers(0, largest), min_size=inputs, max_size=inputs))
        events = [w << p for w, value in zip(weight, x, strict=True) for p in range(planes) if value >> p & 1]
        total = 0
        for event in data.draw(st.permutations(events)):
            total += event
            assert total in found.partial
        P.append(total)
    for t in range(steps):
        horner = P[t]
        for m in range(1, window):
            assert horner << tau in found.current
            horner = (horner << tau) + (P[t - m] if t >= m else 0)
            assert horner in found.current


def adversaries(layer: Synapse, largest: int) -> list[np.ndarray]:
    """Inputs [J] that drive one output channel to the end of its sum, for every channel and both ends."""
    weight = layer.weight.astype(np.int64)
    return [np.where(sign * row > 0, largest, 0) for row in weight for sign in (1, -1)]


@settings(QUICK, max_examples=20)
@given(models(depth=(1, 2), max_dim=16, max_hidden=16), st.integers(0, 2**32 - 1))
def test_adversarial_activations_reach_the_sums_and_no_membrane_leaves(model: IntegerModel, seed: int):
    """Layer by layer: constant, alternating and random worst-case activations, which the network itself may never
    produce. The sums reach the interval's ends exactly."""
    rng, network = np.random.default_rng(seed), model.network
    found = widths(model)
    steps = network.time_steps
    for bound in found.layers:
        layer = model.synapses[bound.name]
        height, width = layer.spec.height, layer.spec.width
        if layer.spec.kernel == 3:
            if min(height, width) < 3:
                continue  # no position sees every tap; exhausted below
            patterns = adversaries(layer, bound.largest)
            stills = [np.zeros((layer.spec.inputs, height, width), np.int64) for _ in patterns]
            for still, pattern in zip(stills, patterns, strict=True):
                still[:, :3, :3] = pattern
            axes, operation = (-1, 1, 1), slow.convolve
        else:
            stills = adversaries(layer, bound.largest)
            axes, operation = (-1,), slow.synapse
        low = high = 0
        for still in stills:
            constant = np.stack([still] * steps)
            blink = constant * (np.arange(steps) % 2).reshape(-1, *[1] * still.ndim)
            mixed = constant * (rng.random(constant.shape) < 0.8)
            for x in (constant, blink, mixed):
                P = operation(layer.weight, x)
                low, high = min(low, P.min()), max(high, P.max())
                if bound.name == "head":
                    continue
                I = slow.tasa(P, layer.tau, layer.window)  # noqa: E741
                bias, threshold = layer.bias.reshape(axes), layer.threshold.reshape(axes)
                _, U = slow.lif(I, bias, threshold, network.leak_shift)
                for interval, values in (
                    (bound.current, I),
                    (bound.drive, I + bias),
                    (bound.gap, threshold - bias - I),
                    (bound.membrane, U),
                ):
                    assert values.min() in interval
                    assert values.max() in interval
        assert bound.partial == Interval(low, high)


@pytest.mark.parametrize(("height", "width"), list(itertools.product(range(1, 5), repeat=2)))
def test_convolution_bounds_are_tight_on_narrow_grids(height: int, width: int):
    """A grid narrower than the kernel never sees some taps: the bound is what the worst position can reach."""
    rng = np.random.default_rng(height * 10 + width)
    weight = rng.integers(-7, 8, (2, 2, 3, 3)).astype(np.int8)
    spec = LayerSpec(name="c", kernel=3, inputs=2, outputs=2, height=height, width=width, tasa=False)
    layer = Synapse(spec, weight, np.zeros(2, np.int64), np.ones(2, np.int64), 4)
    found = layer_widths(layer, largest=3, steps=1, leak_shift=1)
    low = high = 0
    unit = np.eye(2 * height * width, dtype=np.int64).reshape(-1, 2, height, width)
    effect = slow.convolve(weight, unit)  # [input, output channel, y, x]: every weight's place in every sum
    low = 3 * np.minimum(effect, 0).sum(axis=0).min()
    high = 3 * np.maximum(effect, 0).sum(axis=0).max()
    assert found.partial == Interval(low, high)


@QUICK
@given(models(), st.integers(0, 2**32 - 1))
def test_everything_the_slow_model_computes_lies_inside(model: IntegerModel, seed: int):
    model = with_leaks(model, seed) if seed % 2 else model
    found = widths(model)
    layers = {bound.name: bound for bound in found.layers}
    attentions = {bound.name: bound for bound in found.attentions}
    assert list(layers) == list(model.synapses)
    assert len(attentions) == model.network.depth
    for sample in (*model.samples, np.zeros_like(model.samples[0])):
        trace = slow.run(model, sample, inner=True)
        for name, bound in layers.items():
            P = trace[f"{name}.sum"]
            assert P.min() in bound.partial
            assert P.max() in bound.partial
            if name == "head":
                assert trace["logits"].min() in bound.logit
                assert trace["logits"].max() in bound.logit
            else:
                assert trace[f"{name}.membrane"].min() in bound.membrane
                assert trace[f"{name}.membrane"].max() in bound.membrane
        for name, bound in attentions.items():
            assert trace[f"{name}.sum"].max() in bound.sums
            assert trace[f"{name}.membrane"].max() in bound.membrane
        end = f"block.{model.network.depth - 1}.x2" if model.network.depth else "embed"
        assert int(trace[end].max()).bit_length() <= found.planes


def test_activation_ranges_follow_the_residual_stream():
    model = random_model(np.random.default_rng(0), depth=2, residual="add", input_bits=5, stem=2)
    found = {bound.name: bound for bound in widths(model).layers}
    parts = ("q", "k", "v", "proj", "fc1", "fc2")
    first = dict(zip([f"block.0.{part}" for part in parts], (2, 2, 2, 1, 3, 1), strict=True))
    second = dict(zip([f"block.1.{part}" for part in parts], (4, 4, 4, 1, 5, 1), strict=True))
    expected = {"stem.0": 31, "stem.1": 1, "rpe": 1, **first, **second, "head": 6}
    assert {name: bound.largest for name, bound in found.items()} == expected
    assert widths(model).max_shift == 4
    assert widths(model).planes == 3
    binary = widths(random_model(np.random.default_rng(0), depth=2, residual="or", input_bits=1))
    assert {bound.largest for bound in binary.layers} == {1}
    assert (binary.max_shift, binary.planes) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 63), min_size=1, max_size=4),
    st.integers(1, 200),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_attention_bounds_hold_for_any_scores(table: list, threshold: int, tokens: int, steps: int, shift: int):
    entries = np.array([table], np.uint8)
    found = attention_widths("a", entries, threshold=threshold, tokens=tokens, steps=steps, leak_shift=shift)
    top = max(table) * tokens
    assert found.sums == Interval(0, top)
    assert threshold in found.membrane
    rng = np.random.default_rng(0)
    worst = np.full((steps, 1), top)
    for Y in (worst, rng.integers(0, top + 1, (steps, 500))):
        _, U = slow.lif(Y, 0, threshold, shift)
        assert U.max() in found.membrane
    # with a threshold beyond reach the worst case is reached exactly
    far = attention_widths("a", entries, threshold=10**6, tokens=tokens, steps=steps, leak_shift=shift)
    _, U = slow.lif(worst, 0, 10**6, shift)
    assert far.membrane.high == max(U.max(), 10**6)


@pytest.mark.parametrize("name", ["stem.0", "block.0.attn"])
def test_bounds_follow_the_leak_of_a_layer(name: str):
    """A neuron that leaks less gathers more; the bounds of the other layers stay. Thresholds that the largest
    input alone does not reach, so that something is left to leak."""
    model = random_model(np.random.default_rng(0), depth=1, time_steps=8, leak_shift=1, denoiser_bits=4)
    layer = model.synapses["stem.0"]
    layers = model.synapses | {"stem.0": dataclasses.replace(layer, threshold=np.full_like(layer.bias, 1 << 30))}
    top = int(model.denoisers[0].max()) * model.network.tokens
    assert top > 0
    model = dataclasses.replace(model, synapses=layers, attention_threshold=(top + 1,))
    slower = widths(dataclasses.replace(model, leaks={name: 4}))
    for one, two in zip(widths(model).parts, slower.parts, strict=True):
        if one.name == name:
            assert two.membrane.high > one.membrane.high
        else:
            assert one == two


def test_more_machine_steps_never_narrow():
    """A machine with more time steps than the model lets the neurons run on: the membrane may need more."""
    layer = linear([[0]], [-5], [100])
    spans = [layer_widths(layer, largest=1, steps=steps, leak_shift=1).membrane.low for steps in (1, 2, 3, 8)]
    assert spans == [-5, -8, -9, -10]
    model = random_model(np.random.default_rng(4), time_steps=2, depth=1)
    few, many = widths(model), widths(model, time_steps=16)
    for a, b in zip(few.layers, many.layers, strict=True):
        if a.name != "head":
            assert b.membrane.low <= a.membrane.low
            assert b.membrane.high >= a.membrane.high
            layer = model.synapses[a.name]
            silence = np.zeros((16, len(layer.bias)), np.int64)
            _, U = slow.lif(silence, layer.bias, layer.threshold, model.network.leak_shift)
            assert U.min() in b.membrane
            assert U.max() in b.membrane
    assert many.logit == few.logit
    assert widths(model, time_steps=1) == few


def test_the_largest_parameters_do_not_wrap():
    """Biases of 40 bits, the widest window and the slowest leak: the analysis itself stays exact."""
    end = (1 << 40) - 1
    layer = linear([[127] * 64], [-end], [end], tau=7, window=4)
    found = layer_widths(layer, largest=26, steps=16, leak_shift=4)
    top = 127 * 64 * 26 * sum(1 << 7 * m for m in range(4))
    assert found.current == Interval(0, top)
    assert found.gap == Interval(2 * end - top, 2 * end)
    V = 0
    for _ in range(16):  # Python integers: never a wrap
        V = V - -(-V >> 4) - end
    assert found.membrane.low == V


@QUICK
@given(models())
def test_model_maxima_are_the_maxima_of_the_layers(model: IntegerModel):
    found = widths(model)
    spiking = [bound for bound in found.layers if bound.name != "head"]
    assert found.acc == max(bound.partial.bits for bound in found.layers)
    assert found.current == max(bound.current.bits for bound in spiking)
    assert found.membrane == max(bound.membrane.bits for bound in spiking)
    assert found.param == max(bound.param.bits for bound in found.layers)
    assert found.gap == max([bound.gap.bits for bound in spiking] + [found.param])
    assert found.logit == found.layers[-1].logit.bits
    assert found.attention == max([bound.membrane.unsigned_bits for bound in found.attentions], default=0)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_refusal_names_layer_quantity_need_and_limit(quantity: str):
    model = random_model(np.random.default_rng(11), depth=2, residual="add", input_bits=4, time_steps=4, window=3)
    found = widths(model)
    limits = {name: getattr(found, name) for name in QUANTITIES}
    refuse_unless_held(found, limits)
    refuse_unless_held(found, {})
    need = limits[quantity]
    if quantity == "gap":  # it also holds unused lanes, which no layer owns
        need = max(bound.gap.bits for bound in found.layers[:-1])
    with pytest.raises(FitError) as caught:
        refuse_unless_held(found, limits | {quantity: need - 1})
    message = str(caught.value)
    assert "\n" not in message
    assert f"{quantity} must be {need}" in message
    assert f"this machine has {need - 1}" in message
    layers = [bound.name for bound in (*found.layers, *found.attentions)]
    assert any(f"layer {name}: " in message for name in layers) or "residual stream" in message


def test_an_unknown_limit_is_refused():
    model = random_model(np.random.default_rng(1))
    with pytest.raises(FitError, match="'accumulator'"):
        refuse_unless_held(widths(model), {"accumulator": 99})
