# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The integer golden model in PyTorch: exact, batched, fast. It is the reference of the whole project.

Per layer, with all time steps of a batch computed together (docs/integer-contract.md has the equations):

    P[t] = W x[t];  I[t] = sum_m P[t-m] << (tau (window-1-m));  U[t] = leak(V[t-1]) + I[t] + B
    s[t] = U[t] >= Theta;  V[t] = s[t] ? 0 : U[t];  leak(V) = V - ceil(V / 2**leak_shift)

Floating point is only a fast carrier of integers here. Each layer is given the cheapest type that is exact for
every possible input, by interval analysis of its own weights: float32 while all sums stay below 2**24, float64
below 2**53, int64 otherwise. Convolutions are patches times a matrix, never a library convolution: those may use
Winograd transforms, which round. Activations lie channels-last and time-first, `[T, B, ..., C]`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ds2ta.errors import ImageError
from ds2ta.intervals import HeadWidths, Interval, widths
from ds2ta.model import IntegerModel, Synapse
from ds2ta.network import Network

__all__ = ["IntegerNetwork", "carrier", "check_samples", "classify"]

CHUNK = 64  # samples computed at once: their activations stay in the cache


def carrier(*ranges: Interval) -> torch.dtype:
    """The cheapest type that carries every integer of the ranges exactly."""
    bound = max(max(-found.low, found.high) for found in ranges)
    if bound < 1 << 24 and torch.get_float32_matmul_precision() == "highest":
        return torch.float32
    return torch.float64 if bound < 1 << 53 else torch.int64


def check_samples(network: Network, samples: object) -> torch.Tensor:
    """`samples` as a uint8 tensor `[B, *network.sample_shape]`, or `ImageError` saying what is wrong."""
    tensor = torch.from_numpy(np.ascontiguousarray(samples)) if isinstance(samples, np.ndarray) else samples
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.uint8:
        raise ImageError(f"samples must be uint8, not {getattr(samples, 'dtype', type(samples).__name__)}")
    if tuple(tensor.shape[1:]) != network.sample_shape or not len(tensor):
        want = ["n", *network.sample_shape]
        raise ImageError(f"samples must have the shape {want} with n >= 1, not {list(tensor.shape)}")
    if (top := int(tensor.max())) >= 1 << network.input.bits:
        raise ImageError(f"samples must be below {1 << network.input.bits}, the limit of {network.name}, not {top}")
    return tensor


def classify(logits: torch.Tensor) -> np.ndarray:
    """Class of each row of logits; ties go to the lowest index."""
    return np.argmax(logits.numpy(), axis=-1)  # numpy promises the first maximum, torch does not


@dataclass(frozen=True)
class _Neurons:
    """The LIF of a layer, or after A x V, ready to run in its carrier type."""

    name: str
    bias: torch.Tensor
    threshold: torch.Tensor
    dtype: torch.dtype


@dataclass(frozen=True)
class _Layer(_Neurons):
    """A synaptic layer and its neurons."""

    matrix: torch.Tensor  # [inputs (x 9, tap-major), outputs]
    tau: int
    window: int


class IntegerNetwork:
    """A network ready to classify. Holds no state between runs: equal samples give equal results in any batch."""

    def __init__(self, model: IntegerModel):
        self.model = model
        self.network = network = model.network
        self._layers: dict[str, _Layer] = {}
        bounds = widths(model)
        for found in bounds.layers:
            if isinstance(found, HeadWidths):
                continue
            name, synapse = found.name, model.synapses[found.name]
            limits = Interval(0, int(synapse.firing_threshold.max()))  # which no U may reach
            dtype = carrier(found.partial, found.current, found.drive, found.membrane, limits)
            self._layers[name] = _Layer(
                name=name,
                matrix=_matrix(synapse).to(dtype),
                bias=torch.from_numpy(synapse.bias).to(dtype),
                threshold=torch.from_numpy(synapse.firing_threshold).to(dtype),
                tau=synapse.tau,
                window=synapse.window,
                dtype=dtype,
            )
        head = model.synapses["head"]  # a few sums of sums, always in integers
        self._head = _matrix(head).to(torch.int64), torch.from_numpy(head.bias)
        self._tables: list[torch.Tensor] = []
        self._attention: list[_Neurons] = []
        for block, table in enumerate(model.denoisers):
            dtype = carrier(bounds.attentions[block].membrane)
            full = np.concatenate([np.zeros((network.heads, 1), np.uint8), table], axis=1)  # score 0 gives 0
            self._tables.append(torch.from_numpy(full).flatten().to(dtype))
            threshold = torch.tensor(model.attention_threshold[block]).to(dtype)
            zero = torch.zeros((), dtype=dtype)
            self._attention.append(_Neurons(f"block.{block}.attn", zero, threshold, dtype))

    def run(self, samples: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Logits, int64 `[B, classes]`."""
        tensor = check_samples(self.network, samples)
        with torch.inference_mode():
            return torch.cat([self._chunk(part, None, inner=False) for part in tensor.split(CHUNK)])

    def trace(self, samples: torch.Tensor | np.ndarray, *, inner: bool = False) -> dict[str, torch.Tensor]:
        """Every layer's spikes, scores, sums and the logits by name, a batch axis first; with `inner` also
        `<layer>.sum` (P; Y for `block.i.attn`) and `<layer>.membrane` (U before the reset; not for the head),
        int64. Names and shapes are those of `golden.slow.run`."""
        tensor, found = check_samples(self.network, samples), []
        with torch.inference_mode():
            for part in tensor.split(CHUNK):
                sink: dict[str, torch.Tensor] = {}
                logits = self._chunk(part, sink, inner)
                found.append({**sink, "logits": logits})
        return {name: torch.cat([part[name] for part in found]) for name in found[0]}

    def _chunk(self, samples: torch.Tensor, sink: dict[str, torch.Tensor] | None, inner: bool) -> torch.Tensor:
        network, steps = self.network, self.network.time_steps

        def keep(name: str, value: torch.Tensor, dtype: torch.dtype = torch.uint8) -> None:
            if sink is not None:
                sink[name] = value.transpose(0, 1).to(dtype)  # batch first

        def planes(name: str, value: torch.Tensor) -> None:
            keep(name, value.movedim(-1, 2))  # channels before height and width

        def fire(name: str, x: torch.Tensor) -> torch.Tensor:
            """One synaptic layer and its neurons: spikes `[T, B, ..., K]` from inputs `[T, B, ..., C]`."""
            layer = self._layers[name]
            P = _synapse(layer, x, kernel=self.model.synapses[name].spec.kernel)
            if len(P) < steps:  # a static image: one sum serves all time steps
                P = P.expand(steps, *P.shape[1:])
            return neurons(layer, P, _tasa(P, layer.tau, layer.window))

        def neurons(layer: _Neurons, sums: torch.Tensor, currents: torch.Tensor) -> torch.Tensor:
            U: list[torch.Tensor] = []
            spikes = _lif(currents, layer, self.model.leak_shift(layer.name), U if inner else None)
            if inner:
                for kind, value in (("sum", sums), ("membrane", torch.stack(U))):
                    if value.ndim == 5:
                        value = value.flatten(2, 3) if layer.name == "rpe" else value.movedim(-1, 2)
                    keep(f"{layer.name}.{kind}", value, torch.int64)
            return spikes

        x = samples.to(torch.float32)
        x = x.movedim(2, -1).transpose(0, 1) if network.input.kind == "frames" else x.movedim(1, -1)[None]
        for index, conv in enumerate(network.stem):
            x = fire(f"stem.{index}", x)
            planes(f"stem.{index}", x)
            if conv.pool:
                x = _pool(x)
                planes(f"stem.{index}.pool", x)
        rpe = fire("rpe", x).flatten(2, 3)
        keep("rpe", rpe)
        x = self._residual(x.flatten(2, 3), rpe)
        keep("embed", x)
        for block in range(network.depth):
            at = f"block.{block}."
            q, k, v = (fire(at + part, x) for part in ("q", "k", "v"))
            score, denoised, sums = self._attend(block, q, k, v)
            attn = neurons(self._attention[block], sums, sums)
            proj = fire(at + "proj", attn)
            x1 = self._residual(x, proj)
            fc1 = fire(at + "fc1", x1)
            fc2 = fire(at + "fc2", fc1)
            x = self._residual(x1, fc2)
            parts = {"q": q, "k": k, "v": v, "attn": attn, "proj": proj, "x1": x1, "fc1": fc1, "fc2": fc2, "x2": x}
            for part, value in parts.items():
                keep(at + part, value)
            keep(at + "score", score, torch.int64)
            keep(at + "denoised", denoised, torch.int64)
        weight, bias = self._head
        if inner:
            keep("head.sum", x.to(torch.int64) @ weight, torch.int64)
        return x.sum((0, 2), dtype=torch.float64).to(torch.int64) @ weight + bias

    def _residual(self, x: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
        return x + spikes if self.network.residual == "add" else torch.maximum(x, spikes)

    def _attend(self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple:
        """Scores S and denoised map A, `[T, B, H, N, N]`, and the sums Y = A V, `[T, B, N, C]`."""
        layer, heads = self._attention[block], self.network.heads
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(2, 3) for part in (q, k, v))
        S = q @ k.transpose(-1, -2)
        row = torch.arange(heads)[:, None, None] * (self.network.head_dim + 1)
        A = self._tables[block][S.to(torch.int64) + row]
        return S, A, (A @ v.to(layer.dtype)).transpose(2, 3).flatten(3, 4)


def _matrix(synapse: Synapse) -> torch.Tensor:
    """Weights as `[inputs (x 9, tap-major), outputs]`."""
    weight = torch.from_numpy(synapse.weight)
    if synapse.spec.kernel == 3:
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(len(weight), -1).T.contiguous()


def _synapse(layer: _Layer, x: torch.Tensor, *, kernel: int) -> torch.Tensor:
    """P = W x on the last axis; a 3x3 kernel first gathers each position's nine neighbours, padding zero."""
    x = x.to(layer.dtype)
    if kernel == 3:
        height, width = x.shape[2:4]
        padded = functional.pad(x, (0, 0, 1, 1, 1, 1))
        taps = padded.unfold(2, 3, 1).unfold(3, 3, 1)  # [T, B, H, W, C, 3, 3], a view
        x = taps.movedim(4, -1).reshape(*x.shape[:2], height, width, -1)
    return x @ layer.matrix


def _tasa(P: torch.Tensor, tau: int, window: int) -> torch.Tensor:
    """I[t] = sum_m P[t-m] 2**(tau (window-1-m)), nothing before step 0: exact, all powers are whole."""
    if window == 1:
        return P
    total = P * (1 << (tau * (window - 1)))
    for lag in range(1, min(window, len(P))):
        total[lag:].add_(P[:-lag], alpha=1 << (tau * (window - 1 - lag)))
    return total


def _lif(I: torch.Tensor, layer: _Neurons, leak_shift: int, membranes: list | None) -> torch.Tensor:  # noqa: E741
    """Spikes (float32) of leaky integrate-and-fire neurons over the first axis; U is appended to `membranes`."""
    spikes = torch.empty(I.shape, dtype=torch.float32)
    V = None
    for step, current in enumerate(I):
        U = current + layer.bias
        if V is not None:
            if V.dtype == torch.int64:
                U += V - ((V + (1 << leak_shift) - 1) >> leak_shift)
            elif leak_shift == 1:
                U += V.mul_(0.5).floor_()
            else:
                U += V - torch.ceil(V * 2.0**-leak_shift)
        if membranes is not None:
            membranes.append(U.clone())
        quiet = layer.threshold > U
        torch.logical_not(quiet, out=spikes[step])
        V = U.mul_(quiet)
    return spikes


def _pool(x: torch.Tensor) -> torch.Tensor:
    """3x3 maximum, stride 2, padding 1 (of spikes: an OR) on `[T, B, H, W, C]`."""
    pooled = functional.max_pool2d(x.flatten(0, 1).movedim(-1, 1), 3, stride=2, padding=1)
    return pooled.movedim(1, -1).unflatten(0, x.shape[:2])
