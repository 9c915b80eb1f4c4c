# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The complete DS2TA network in float, differentiable: what is trained, in float and quantization-aware.

Structure and names are those of `ds2ta.network.Network` and of the integer model; a trace has the same names.
Inside, activations are time-first: `[T, B, C, H, W]` in the patch splitter, `[T, B, N, C]` in the encoder. The
Spikformer baseline and the ablation are `nsad=False` (the map is the score itself) and `window=1`.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from ds2ta.golden.training.fused import Neurons, OnGrid, fire
from ds2ta.golden.training.lif import Grid, lif
from ds2ta.golden.training.nsad import Denoiser
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.rounding import round_through
from ds2ta.golden.training.synapse import SpikingSynapse, quantize_weight
from ds2ta.golden.training.tasa import Tasa
from ds2ta.network import Network

__all__ = ["FloatNetwork", "Head"]

WHOLE = 256  # whole numbers up to here are exact in bfloat16


class Head(nn.Module):
    """Linear classifier on the mean over tokens and time. Quantized: whole weights with one scale, and a bias that
    is whole in units of `scale / (T N)`, so that logits are the integer ones times that unit."""

    def __init__(self, *, inputs: int, classes: int, count: int, bits: int):
        super().__init__()
        self.count, self.bits, self.quantized = count, bits, False
        self.weight = nn.Parameter(torch.empty(classes, inputs))
        nn.init.normal_(self.weight, std=0.02)
        self.bias = nn.Parameter(torch.zeros(classes))

    def integer(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whole weights, whole biases, and the value of one integer logit step."""
        weight, scale = quantize_weight(self.weight, self.bits, per_channel=False)
        unit = scale / self.count
        return weight, round_through(self.bias / unit), unit

    def forward(self, x: torch.Tensor, *, by_step: bool = False) -> torch.Tensor:
        """Logits `[B, classes]` of `x` `[T, B, N, C]`; `by_step`: those of each time step alone, `[T, B, classes]`,
        whose mean they are."""
        axes = (2,) if by_step else (0, 2)
        if not self.quantized:
            return functional.linear(x.mean(axes, dtype=self.weight.dtype), self.weight, self.bias)
        weight, bias, unit = self.integer()
        counts = x.sum(axes, dtype=self.weight.dtype) * (len(x) if by_step else 1)
        return functional.linear(counts, weight, bias) * unit


class FloatNetwork(nn.Module):
    """DS2TA with weights in float; `quantize(True)` makes the forward pass that of the integer model."""

    def __init__(self, *, network: Network, config: TrainingConfig):
        super().__init__()
        self.network, self.config = network, config
        self.attention_threshold = config.attention_threshold(network.leak_shift)
        self.fused = config.fused
        self.synapses = nn.ModuleDict()
        self.windows = nn.ModuleDict()
        self.denoisers = nn.ModuleList()
        for spec in network.layers()[:-1]:
            self.synapses[self._key(spec.name)] = SpikingSynapse(
                spec=spec, config=config, leak_shift=network.leak_shift
            )
            window = network.window if spec.tasa else 1
            if window > 1 and (key := self._window_key(spec.name)) not in self.windows:
                self.windows[key] = Tasa(window=window, initial_tau=config.initial_tau, max_tau=config.max_tau)
        self._plain = Tasa(window=1, initial_tau=0.0)
        for _ in range(network.depth if network.nsad else 0):
            self.denoisers.append(
                Denoiser(
                    heads=network.heads,
                    head_dim=network.head_dim,
                    bits=network.denoiser_bits,
                    initial_threshold=config.initial_denoiser_threshold,
                    compiled=config.compiled,
                )
            )
        head = network.layers()[-1]
        self.head = Head(
            inputs=head.inputs,
            classes=head.outputs,
            count=network.time_steps * network.tokens,
            bits=config.bits_of("head"),
        )

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "_")  # module names hold no dots

    def _window_key(self, name: str) -> str:
        if self.config.tau_sharing == "qkv" and name.rpartition(".")[2] in ("q", "k", "v"):
            name = name.rpartition(".")[0] + ".qkv"
        return self._key(name)

    def synapse(self, name: str) -> SpikingSynapse:
        """The layer of that name, as in `Network.layers()`."""
        return cast(SpikingSynapse, self.synapses[self._key(name)])

    def tasa(self, name: str) -> Tasa:
        """The temporal window of a layer; one of a single tap for layers without."""
        key = self._window_key(name)
        if key not in self.windows:
            return self._plain
        return cast(Tasa, self.windows[key])

    def denoiser(self, block: int) -> Denoiser:
        """NSAD of a block, where the network has it."""
        return cast(Denoiser, self.denoisers[block])

    def quantize(self, on: bool, *, frozen_statistics: bool = False) -> "FloatNetwork":
        """Switch quantization-aware arithmetic; frozen statistics use the running ones in training too."""
        for spec in self.network.layers()[:-1]:
            synapse = self.synapse(spec.name)
            synapse.quantized, synapse.frozen_statistics = on, frozen_statistics
        self.head.quantized = on
        return self

    def forward(
        self, samples: torch.Tensor, *, trace: dict | None = None, steps: int | None = None, by_step: bool = False
    ) -> torch.Tensor:
        """Logits of uint8 samples `[B, *sample_shape]`; `trace` is filled with every layer's spikes, batch first,
        still attached to the graph. `steps`: time steps of an image, where they are to be fewer. `by_step`: logits
        of each time step, `[T, B, classes]`."""
        network = self.network
        steps = network.time_steps if steps is None else steps

        def keep(name: str, value: torch.Tensor) -> torch.Tensor:
            if trace is not None:
                trace[name] = value.transpose(0, 1)
            return value

        def fire(name: str, x: torch.Tensor) -> torch.Tensor:
            dtype = self._activations(x.dtype)  # pixels and event counts are never rounded
            return keep(name, self.synapse(name)(x, tasa=self.tasa(name), steps=steps, dtype=dtype))

        x = samples.to(self.head.weight.dtype)
        x = x.transpose(0, 1) if network.input.kind == "frames" else x[None]
        if self.fused and x.dtype == torch.float32:  # channels last, as its neurons want the sums
            x = x.movedim(-3, -1).contiguous().movedim(-1, -3)
        for index, conv in enumerate(network.stem):
            x = fire(f"stem.{index}", x)
            if conv.pool:
                pooled = functional.max_pool2d(x.flatten(0, 1), 3, stride=2, padding=1)
                x = keep(f"stem.{index}.pool", pooled.unflatten(0, x.shape[:2]))
        rpe = self.synapse("rpe")(x, tasa=self._plain, steps=steps)
        x, rpe = (value.flatten(3).transpose(2, 3) for value in (x, rpe))
        x = keep("embed", self._residual(x, keep("rpe", rpe)))
        mapped = network.nsad or trace is not None or network.tokens > WHOLE
        for block in range(network.depth):
            at = f"block.{block}."
            q, k, v = (fire(at + part, x) for part in ("q", "k", "v"))
            attn = self._attend(block, q, k, v, keep, mapped)
            x = keep(at + "x1", self._residual(x, fire(at + "proj", attn)))
            x = keep(at + "x2", self._residual(x, fire(at + "fc2", fire(at + "fc1", x))))
        return self.head(x, by_step=by_step)

    def _activations(self, given: torch.dtype) -> torch.dtype:
        low = given == torch.float32 and self.config.low_precision
        return torch.bfloat16 if low else given

    def _residual(self, x: torch.Tensor, spikes: torch.Tensor) -> torch.Tensor:
        """Sum, or the OR of binary spikes written as a polynomial so that both sides have a gradient."""
        return x + spikes if self.network.residual == "add" else x + spikes - x * spikes

    def _attend(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, keep, mapped: bool
    ) -> torch.Tensor:
        """Spikes of the LIF after A x V. Its inputs are whole numbers, so the quantized neuron needs no scale."""
        heads = self.network.heads
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(2, 3) for part in (q, k, v))
        if mapped:
            score = keep(f"block.{block}.score", q @ k.transpose(-1, -2))
            denoised = self.denoiser(block)(score) if self.network.nsad else score
            current = keep(f"block.{block}.denoised", denoised) @ v
        else:  # nobody looks at the map: Q (K^T V) is half the work, and the same whole numbers
            current = q @ (k.transpose(-1, -2) @ v)
        current = current.transpose(2, 3).flatten(3, 4)
        grid = None
        if self.head.quantized:
            one = torch.ones((), dtype=current.dtype)
            grid = Grid(torch.round(current.detach()), one * self.attention_threshold, one)
        slope = self.config.surrogate_slope * self.config.attention_scale / 2**self.network.leak_shift
        if self.fused and self.head.weight.dtype == torch.float32:
            neurons = Neurons(
                steps=len(current),
                theta=float(self.attention_threshold),
                slope=slope,
                keep=1.0 - 2.0**-self.network.leak_shift,
                compiled=self.config.compiled,
            )

            def fold(mean: torch.Tensor, _variance: torch.Tensor) -> OnGrid:
                one = torch.ones_like(mean)
                return one, torch.zeros_like(mean), one * self.attention_threshold, one

            whole = fold if self.head.quantized else None
            spikes, _, _ = fire(current, neurons=neurons, dtype=q.dtype, fold=whole)
            return keep(f"block.{block}.attn", spikes)
        spikes = lif(
            current,
            threshold=float(self.attention_threshold),
            slope=slope,
            leak_shift=self.network.leak_shift,
            grid=grid,
        )
        return keep(f"block.{block}.attn", spikes)
