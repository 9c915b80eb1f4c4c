# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Widths by interval analysis: how many bits the worst input of a model can need, layer by layer.

The bounds hold for every input of the declared range, not for the samples at hand: activations are taken as free
in `0..largest` (input bits, spikes, or the residual limit), weights and parameters as they are. Hardware built
with these widths never overflows and needs no saturation. `docs/integer-contract.md` derives the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2ta.errors import FitError
from ds2ta.model import IntegerModel, Synapse

__all__ = [
    "QUANTITIES",
    "AttentionWidths",
    "HeadWidths",
    "Interval",
    "LayerWidths",
    "ModelWidths",
    "SynapseWidths",
    "attention_widths",
    "layer_widths",
    "refuse_unless_held",
    "rhythms",
    "widths",
]

QUANTITIES = ("acc", "current", "membrane", "gap", "param", "logit", "attention", "max_shift", "planes")


@dataclass(frozen=True)
class Interval:
    """All whole numbers from `low` to `high`."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """Width of the two's complement number that holds every member."""
        return max((value if value >= 0 else ~value).bit_length() + 1 for value in (self.low, self.high))

    @property
    def unsigned_bits(self) -> int:
        """Width of the unsigned number that holds every member (at least 1); `low` is not negative."""
        return max(self.high.bit_length(), 1)

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class SynapseWidths:
    """One synaptic layer, hulls over all channels. `partial`: P and every prefix of its sum, in any event order (of
    the head: the sum of one token at one step). `param`: B and the margin M = Theta - B."""

    name: str
    largest: int  # the largest activation that can enter
    partial: Interval
    param: Interval

    @property
    def shift(self) -> int:
        """Largest bit-plane index of the incoming activations."""
        return self.largest.bit_length() - 1

    def need(self, quantity: str) -> int:
        """The bits (for `max_shift`: the shift) that this layer needs of a quantity, 0 if it has none."""
        if quantity == "max_shift":
            return self.shift
        found = self.partial if quantity == "acc" else getattr(self, quantity, None)
        return found.bits if isinstance(found, Interval) else 0


@dataclass(frozen=True)
class LayerWidths(SynapseWidths):
    """A layer with neurons. `current`: I and every Horner intermediate. `drive`: J = B + I. `gap`: N = M - I.
    `membrane`: U, V and J."""

    current: Interval
    drive: Interval
    gap: Interval
    membrane: Interval


@dataclass(frozen=True)
class HeadWidths(SynapseWidths):
    """The head: `logit` is every prefix of it, bias included."""

    logit: Interval


@dataclass(frozen=True)
class AttentionWidths:
    """A x V and its LIF in one block, unsigned: `sums` is Y and every prefix, `membrane` is U and the threshold."""

    name: str
    sums: Interval
    membrane: Interval

    def need(self, quantity: str) -> int:
        return self.membrane.unsigned_bits if quantity == "attention" else 0


@dataclass(frozen=True)
class ModelWidths:
    """Every layer in running order, and the maxima that size a machine (signed bits unless said otherwise):
    `acc`, `current`, `membrane`, `param`, `logit`; `gap`, which also holds the largest margin of `param` bits, the
    filler of unused lanes; `attention` (unsigned); `max_shift`, the largest bit-plane index of any activation;
    `planes`, bit planes of the residual stream at its end."""

    name: str
    layers: tuple[LayerWidths | HeadWidths, ...]
    attentions: tuple[AttentionWidths, ...]
    planes: int

    @property
    def parts(self) -> tuple[LayerWidths | HeadWidths | AttentionWidths, ...]:
        return (*self.layers, *self.attentions)

    def _most(self, quantity: str) -> int:
        return max(part.need(quantity) for part in self.parts)

    @property
    def acc(self) -> int:
        return self._most("acc")

    @property
    def current(self) -> int:
        return self._most("current")

    @property
    def membrane(self) -> int:
        return self._most("membrane")

    @property
    def gap(self) -> int:
        return max(self._most("gap"), self.param)

    @property
    def param(self) -> int:
        return self._most("param")

    @property
    def logit(self) -> int:
        return self._most("logit")

    @property
    def attention(self) -> int:
        return self._most("attention")

    @property
    def max_shift(self) -> int:
        return self._most("max_shift")


def _hull(*values: np.ndarray | int) -> Interval:
    return Interval(min(int(np.min(v)) for v in values), max(int(np.max(v)) for v in values))


def _leak(V: np.ndarray, leak_shift: int) -> np.ndarray:
    return V + ((-V) >> leak_shift)  # floor(V (1 - 2**-k)), monotone in V


def _sums(layer: Synapse, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Per output channel, the least and the greatest `sum_j W_kj x_j` over x in 0..largest; both include 0. At the
    border of a convolution fewer taps exist, and a narrow grid has no position at all that sees every tap."""
    weight = layer.weight.astype(np.int64)
    only: tuple[int, ...] = (0,)
    if layer.spec.kernel == 1:
        weight = weight[:, :, None, None]
        rows, columns = {only}, {only}
    else:
        rows, columns = (
            {tuple(tap for tap in range(3) if 0 <= place + tap - 1 < size) for place in range(size)}
            for size in (layer.spec.height, layer.spec.width)
        )
    low = high = np.zeros(layer.spec.outputs, np.int64)
    for row in rows:
        for column in columns:
            seen = weight[:, :, row][:, :, :, column]
            low = np.minimum(low, largest * np.minimum(seen, 0).sum(axis=(1, 2, 3)))
            high = np.maximum(high, largest * np.maximum(seen, 0).sum(axis=(1, 2, 3)))
    return low, high


def layer_widths(layer: Synapse, *, largest: int, steps: int, leak_shift: int) -> LayerWidths:
    """Bounds of one spiking layer whose inputs lie in 0..largest, run for `steps` time steps."""
    low, high = _sums(layer, largest)
    bias, threshold = layer.bias, layer.firing_threshold
    margin = threshold - bias
    rest_low = rest_high = np.zeros_like(bias)  # V[t-1]
    membranes, currents = [], []
    for t in range(steps):
        gain = sum(1 << layer.tau * (layer.window - 1 - m) for m in range(min(layer.window, t + 1)))
        currents += [gain * low, gain * high]
        drive_low, drive_high = gain * low + bias, gain * high + bias
        U_low, U_high = _leak(rest_low, leak_shift) + drive_low, _leak(rest_high, leak_shift) + drive_high
        membranes += [U_low, U_high, drive_low, drive_high]
        # a neuron that fired rests at 0; one that did not keeps a U below its threshold
        rests, fires = U_low < threshold, U_high >= threshold
        rest_low = np.where(rests, np.where(fires, np.minimum(U_low, 0), U_low), 0)
        rest_high = np.where(rests, np.where(fires, threshold - 1, U_high), 0)
        membranes += [rest_low, rest_high]
    bound = _hull(*currents)
    lows, highs = np.minimum.reduce(currents), np.maximum.reduce(currents)
    return LayerWidths(
        name=layer.name,
        largest=largest,
        partial=_hull(low, high),
        param=_hull(bias, margin),
        current=bound,
        drive=_hull(lows + bias, highs + bias),
        gap=_hull(margin - highs, margin - lows),
        membrane=_hull(0, *membranes),
    )


def rhythms(layer: Synapse, *, largest: int, steps: int, leak_shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes that each neuron of a layer fires whatever its inputs, bool `[steps, outputs]`, and whether there is
    such a train at all, bool `[outputs]`: at every step all neurons of a channel fire, or none does."""
    low, high = _sums(layer, largest)
    bias, threshold = layer.bias, layer.firing_threshold
    rest_low = rest_high = np.zeros_like(bias)
    spikes, known = np.zeros((steps, len(bias)), bool), np.ones(len(bias), bool)
    for t in range(steps):
        gain = sum(1 << layer.tau * (layer.window - 1 - m) for m in range(min(layer.window, t + 1)))
        U_low = _leak(rest_low, leak_shift) + gain * low + bias
        U_high = _leak(rest_high, leak_shift) + gain * high + bias
        spikes[t] = U_low >= threshold
        known &= spikes[t] | (U_high < threshold)
        rest_low, rest_high = np.where(spikes[t], 0, U_low), np.where(spikes[t], 0, U_high)
    return spikes, known


def attention_widths(
    name: str, table: np.ndarray, *, threshold: int, tokens: int, steps: int, leak_shift: int
) -> AttentionWidths:
    """Bounds of A x V and its LIF: all `tokens` keys hit the largest entry of the table [heads, d] of a head."""
    top = np.max(table.astype(np.int64), axis=1) * tokens
    rest, most = np.zeros_like(top), 0
    for _ in range(steps):
        U = _leak(rest, leak_shift) + top
        most = max(most, int(U.max()))
        rest = np.minimum(U, threshold - 1)
    return AttentionWidths(name, sums=_hull(0, top), membrane=Interval(0, max(most, threshold)))


def _head_widths(layer: Synapse, *, largest: int, tokens: int, steps: int) -> HeadWidths:
    low, high = _sums(layer, largest)
    bias, terms = layer.bias, tokens * steps
    return HeadWidths(
        name=layer.name,
        largest=largest,
        partial=_hull(low, high),
        param=_hull(bias),
        logit=_hull(0, bias + terms * low, bias + terms * high),
    )


def widths(model: IntegerModel, *, time_steps: int | None = None) -> ModelWidths:
    """Interval analysis of a whole model. `time_steps`: the steps that the machine runs, if they are more than the
    model's (its neurons then go on after the model's last step, although their spikes are dropped)."""
    network = model.network
    steps = max(network.time_steps, time_steps or 0)
    layers: list[LayerWidths | HeadWidths] = []
    attentions: list[AttentionWidths] = []
    additions = 1  # the stream after the position embedding has one addition behind it
    for name, layer in model.synapses.items():
        part = name.rsplit(".", 1)[-1]
        if name == "head":
            largest = network.residual_limit(additions)
            layers.append(_head_widths(layer, largest=largest, tokens=network.tokens, steps=network.time_steps))
            continue
        if name == "stem.0":
            largest = (1 << network.input.bits) - 1
        elif part in ("q", "k", "v", "fc1"):
            largest = network.residual_limit(additions)
        else:
            largest = 1
        layers.append(layer_widths(layer, largest=largest, steps=steps, leak_shift=model.leak_shift(name)))
        if part in ("proj", "fc2"):
            additions += 1
        if part == "v":
            block = len(attentions)
            attn = f"block.{block}.attn"
            attentions.append(
                attention_widths(
                    attn,
                    model.denoisers[block],
                    threshold=model.attention_threshold[block],
                    tokens=network.tokens,
                    steps=steps,
                    leak_shift=model.leak_shift(attn),
                )
            )
    planes = network.residual_limit(additions).bit_length()
    return ModelWidths(network.name, tuple(layers), tuple(attentions), planes)


def refuse_unless_held(
    found: ModelWidths,
    limits: Mapping[str, int],
    names: Mapping[str, str] | None = None,
    cures: Mapping[str, str] | None = None,
) -> None:
    """Raise `FitError` for the first layer that needs more of a quantity than `limits` gives. Keys of `limits` are
    from `QUANTITIES`; a quantity that is not in it is not limited. `names`: what else to call them. `cures`:
    what ends the message about one."""
    names, cures = names or {}, cures or {}
    if unknown := sorted(set(limits) - set(QUANTITIES)):
        raise FitError(f"Width limit must be one of {', '.join(QUANTITIES)}, not {unknown[0]!r}")
    for part in found.parts:
        for quantity, limit in limits.items():
            if (need := part.need(quantity)) > limit:
                unit = "" if quantity == "max_shift" else " bits"
                where = f"{found.name}: layer {part.name}"
                name = names.get(quantity, quantity)
                cure = cures.get(quantity, "")
                raise FitError(f"{where}: {name} must be {need}{unit}, this machine has {limit}{unit}{cure}")
    if found.planes > (limit := limits.get("planes", found.planes)):
        name = names.get("planes", "planes")
        cure = cures.get("planes", "")
        raise FitError(
            f"{found.name}: residual stream: {name} must be {found.planes}, this machine has {limit}{cure}"
        )
