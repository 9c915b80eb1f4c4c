# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random integer models that are alive: for benches and property tests, never for accuracy.

Shapes come from the caller's limits; weights are random; biases, thresholds and denoiser tables are chosen from the
potentials that the slow golden model computes on the model's own samples, so that some neurons fire and some do
not, and some potentials land exactly on the threshold and on threshold - 1. A bench on such a model exercises
the low bits of every adder and comparator, which uniformly random thresholds hide.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ds2ta.golden import slow
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelrules import MAX_TAU
from ds2ta.network import LayerSpec, Network, network_from_dict

__all__ = ["Limits", "models", "random_model", "random_network", "with_leaks"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What to draw from. A pair is an inclusive range, a plain integer is that value. `row_lanes` divides the
    embedding and every head; `ragged` allows stem and hidden widths that are not multiples of it."""

    row_lanes: int = 4
    max_dim: int = 32
    max_hidden: int = 64
    max_heads: int = 8
    depth: tuple[int, int] | int = (0, 2)
    time_steps: tuple[int, int] | int = (1, 10)
    window: tuple[int, int] | int = (1, 4)
    tau: tuple[int, int] | int = (0, MAX_TAU)
    bits: tuple[int, int] | int = (2, 8)
    leak_shift: tuple[int, int] | int = (1, 4)
    classes: tuple[int, int] | int = (2, 12)
    channels: tuple[int, int] | int = (1, 4)
    input_bits: tuple[int, int] | int = (1, 8)
    denoiser_bits: tuple[int, int] | int = (1, 8)
    stem: tuple[int, int] | int = (1, 4)
    max_tokens: int = 16
    max_positions: int = 144  # pixels of the input grid
    ragged: bool = True
    residual: str | None = None
    nsad: bool | None = None
    kind: str | None = None
    samples: int = 3


Draw = Callable[[int, int], int]  # inclusive range -> integer


def random_network(draw: Draw, limits: Limits) -> Network:
    """A valid network within `limits`; every choice is one call of `draw(low, high)`."""

    def ranged(limit: tuple[int, int] | int) -> int:
        return limit if isinstance(limit, int) else draw(*limit)

    def pick(fixed: object, options: tuple) -> object:
        return options[draw(0, len(options) - 1)] if fixed is None else fixed

    def width(most: int) -> int:
        if limits.ragged and draw(0, 3) == 0:
            return draw(min(4, most), most)
        return limits.row_lanes * draw(1, max(most // limits.row_lanes, 1))

    groups = max(limits.max_dim // limits.row_lanes, 1)
    heads = draw(1, min(limits.max_heads, groups))
    embed_dim = limits.row_lanes * heads * draw(1, groups // heads)
    nsad = pick(limits.nsad, (True, False))
    denoiser_bits = ranged(limits.denoiser_bits)
    if not nsad:
        denoiser_bits = max(denoiser_bits, (embed_dim // heads).bit_length())
    height = draw(1, min(limits.max_tokens, 5))
    columns = draw(1, min(limits.max_tokens // height, 5))
    stem: list[dict] = []
    for _ in range(ranged(limits.stem)):  # from the tokens back to the input, which is why it is reversed below
        pool = bool(draw(0, 1)) and 4 * height * columns <= limits.max_positions
        stem.append({"channels": width(limits.max_dim) if stem else embed_dim, "pool": pool})
        if pool:
            height, columns = 2 * height - draw(0, 1), 2 * columns - draw(0, 1)
    return network_from_dict(
        {
            "name": "random",
            "input": {
                "kind": pick(limits.kind, ("image", "frames")),
                "channels": ranged(limits.channels),
                "height": height,
                "width": columns,
                "bits": ranged(limits.input_bits),
            },
            "time_steps": ranged(limits.time_steps),
            "stem": stem[::-1],
            "embed_dim": embed_dim,
            "heads": heads,
            "depth": ranged(limits.depth),
            "hidden_dim": width(limits.max_hidden),
            "window": ranged(limits.window),
            "leak_shift": ranged(limits.leak_shift),
            "residual": pick(limits.residual, ("add", "or")),
            "nsad": nsad,
            "denoiser_bits": denoiser_bits,
            "classes": ranged(limits.classes),
        }
    )


def random_model(rng: np.random.Generator, **limits: Any) -> IntegerModel:
    """A lively random model; the keywords are those of `Limits`. Equal generators give equal models."""
    chosen = Limits(**limits)
    network = random_network(lambda low, high: int(rng.integers(low, high + 1)), chosen)
    return _Steering(rng, network, chosen).model()


def with_leaks(model: IntegerModel, seed: int) -> IntegerModel:
    """The model with a random leak for each layer of neurons. Thresholds stay, so fewer of them are just met."""
    random, usual = np.random.default_rng(seed), model.network.leak_shift
    leaks = {name: int(random.integers(1, 5)) for name in model.network.neuron_layers()}
    return replace(model, leaks={name: shift for name, shift in leaks.items() if shift != usual})


def models(**limits: Any):
    """Hypothesis strategy of `random_model`: shapes are drawn (and shrink) singly, tensors follow from a seed."""
    from hypothesis import strategies as st  # only tests have it

    chosen = Limits(**limits)

    @st.composite
    def build(draw: Callable) -> IntegerModel:
        network = random_network(lambda low, high: draw(st.integers(low, high)), chosen)
        seed = draw(st.integers(0, 2**32 - 1))
        return _Steering(np.random.default_rng(seed), network, chosen).model()

    return build()


class _Steering:
    """Walks the network once over all samples and settles each layer from the potentials that reach it."""

    def __init__(self, rng: np.random.Generator, network: Network, limits: Limits):
        self.rng, self.network, self.limits = rng, network, limits
        self.synapses: dict[str, Synapse] = {}

    def _ranged(self, limit: tuple[int, int] | int) -> int:
        return limit if isinstance(limit, int) else int(self.rng.integers(limit[0], limit[1] + 1))

    def _weight(self, spec: LayerSpec, bits: int) -> np.ndarray:
        """Uniform over the whole range with some zeros; both extremes present as often as the size allows."""
        shape = spec.weight_shape
        top = (1 << (bits - 1)) - 1
        weight = self.rng.integers(-top, top + 1, shape)
        weight[self.rng.random(shape) < self.rng.choice([0.0, 0.2, 0.5])] = 0
        weight.flat[self.rng.integers(0, weight.size, 2)] = (-top, top)
        return weight.astype(np.int8)

    def _threshold(self, records: np.ndarray) -> int:
        """One threshold from the values at which a potential that has not fired reaches a new maximum: there the
        neuron's U equals the record, so U lands exactly on the threshold (or one below it)."""
        positive = np.sort(records[records > 0])
        if not len(positive):
            return int(self.rng.integers(1, 4))
        value = positive[int(self.rng.uniform(0.05, 0.9) * len(positive))]
        return max(1, int(value) + int(self.rng.choice([0, 0, 1])))

    def _records(self, currents: list[np.ndarray], bias: np.ndarray | int) -> np.ndarray:
        """[all samples and positions, channels] of running maxima of the potential without firing; 0 where the
        maximum does not grow. Channels are the last axis of every current."""
        found = []
        for current in currents:
            never = np.iinfo(np.int64).max
            _, U = slow.lif(current, bias, never, self.network.leak_shift)
            top = np.maximum.accumulate(U, axis=0)
            grows = np.concatenate([np.ones_like(U[:1], bool), U[1:] > top[:-1]])
            found.append(np.where(grows, U, 0).reshape(-1, U.shape[-1]))
        return np.concatenate(found)

    def _settle(self, spec: LayerSpec, xs: list[np.ndarray]) -> list[np.ndarray]:
        """Weights, then biases and thresholds of one layer; returns its spikes for every sample."""
        bits = self._ranged(self.limits.bits)
        windowed = spec.tasa and self.network.window > 1 and self.rng.random() < 0.85
        window = self.network.window if windowed else 1
        tau = self._ranged(self.limits.tau) if windowed else 0
        weight = self._weight(spec, bits)
        operation = slow.convolve if spec.kernel == 3 else slow.synapse
        currents = [slow.tasa(operation(weight, x), tau, window) for x in xs]
        if spec.kernel == 3:  # channels last, as _records wants them
            currents = [np.moveaxis(current, 1, -1) for current in currents]
        spread = max(1, int(np.mean([np.abs(current).mean() for current in currents])))
        bias = self.rng.integers(-spread, spread + 1, spec.outputs)
        tops = self._records(currents, bias).max(axis=0)
        bias = np.where(tops > 0, bias, bias + 1 + self.rng.integers(0, spread + 1, spec.outputs) - tops)
        records = self._records(currents, bias)
        threshold = np.array([self._threshold(records[:, k]) for k in range(spec.outputs)], np.int64)
        self.synapses[spec.name] = Synapse(
            spec=spec,
            weight=weight,
            bias=bias.astype(np.int64),
            threshold=threshold,
            bits=bits,
            tau=tau,
            window=window,
        )
        spikes = [slow.lif(current, bias, threshold, self.network.leak_shift)[0] for current in currents]
        return [np.moveaxis(s, -1, 1) for s in spikes] if spec.kernel == 3 else spikes

    def _samples(self) -> np.ndarray:
        """Noise, one sample with many zeros, and full-scale pixels in all of them."""
        shape = (self.limits.samples, *self.network.sample_shape)
        top = (1 << self.network.input.bits) - 1
        samples = self.rng.integers(0, top + 1, shape)
        samples[0][self.rng.random(shape[1:]) < 0.6] = 0
        samples[self.rng.random(shape) < 0.1] = top
        return samples.astype(np.uint8)

    def _table(self) -> np.ndarray:
        """NSAD tables: thresholded and clamped curves for some heads, arbitrary entries for others."""
        network, rng = self.network, self.rng
        identity = np.arange(1, network.head_dim + 1)
        if not network.nsad:
            return np.tile(identity, (network.heads, 1)).astype(np.uint8)
        top = (1 << network.denoiser_bits) - 1
        rows = []
        for _ in range(network.heads):
            floor = int(rng.integers(0, max(network.head_dim // 2, 1)))
            free = rng.integers(0, top + 1, network.head_dim)
            rows.append(np.where(identity > floor, free if rng.random() < 0.5 else np.minimum(identity, top), 0))
        return np.stack(rows).astype(np.uint8)

    def _attention(self, table: np.ndarray, qs: list, ks: list, vs: list) -> tuple[int, list[np.ndarray]]:
        d = self.network.head_dim
        sums = []
        for q, k, v in zip(qs, ks, vs, strict=True):
            parts = [slice(h * d, (h + 1) * d) for h in range(self.network.heads)]
            maps = [slow.denoise(slow.scores(q[..., p], k[..., p]), table[h]) for h, p in enumerate(parts)]
            sums.append(
                np.concatenate([slow.attend(A, v[..., p]) for A, p in zip(maps, parts, strict=True)], axis=2)
            )
        threshold = self._threshold(self._records(sums, 0).ravel())
        return threshold, [slow.lif(Y, 0, threshold, self.network.leak_shift)[0] for Y in sums]

    def model(self) -> IntegerModel:
        network = self.network
        specs = {spec.name: spec for spec in network.layers()}
        samples = self._samples()

        def settle(name: str, xs: list[np.ndarray]) -> list[np.ndarray]:
            return self._settle(specs[name], xs)

        def join(xs: list[np.ndarray], spikes: list[np.ndarray]) -> list[np.ndarray]:
            return [slow.residual(x, s, network.residual) for x, s in zip(xs, spikes, strict=True)]

        def tokens(xs: list[np.ndarray]) -> list[np.ndarray]:
            return [x.reshape(*x.shape[:2], -1).swapaxes(1, 2) for x in xs]

        repeat = 1 if network.input.kind == "frames" else network.time_steps
        xs = [s.astype(np.int64) if repeat == 1 and s.ndim == 4 else np.stack([s] * repeat) for s in samples]
        for index, conv in enumerate(network.stem):
            xs = settle(f"stem.{index}", xs)
            if conv.pool:
                xs = [slow.max_pool(x) for x in xs]
        xs = join(tokens(xs), tokens(settle("rpe", xs)))
        tables, thresholds = [], []
        for block in range(network.depth):
            at = f"block.{block}"
            qs, ks, vs = settle(f"{at}.q", xs), settle(f"{at}.k", xs), settle(f"{at}.v", xs)
            tables.append(self._table())
            threshold, attended = self._attention(tables[block], qs, ks, vs)
            thresholds.append(threshold)
            xs = join(xs, settle(f"{at}.proj", attended))
            xs = join(xs, settle(f"{at}.fc2", settle(f"{at}.fc1", xs)))
        bits = self._ranged(self.limits.bits)
        weight = self._weight(specs["head"], bits)
        spread = int(np.abs(slow.head(xs[0], weight, np.zeros(network.classes, np.int64))).mean()) + 1
        bias = self.rng.integers(-spread, spread + 1, network.classes).astype(np.int64)
        self.synapses["head"] = Synapse(spec=specs["head"], weight=weight, bias=bias, threshold=None, bits=bits)
        labels = np.array([int(np.argmax(slow.head(x, weight, bias))) for x in xs], np.int64)
        return IntegerModel(
            network=network,
            synapses={name: self.synapses[name] for name in specs},
            denoisers=tuple(tables),
            attention_threshold=tuple(thresholds),
            samples=samples,
            labels=labels,
            provenance={"made_by": "random_model"},
        )
