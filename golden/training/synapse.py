# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""One synaptic layer for training: weights, temporal window, batch norm, neurons; in float or on the integer grid.

Float:     s = LIF(BN(TASA(W x))) with threshold theta = tau_m * firing_threshold.
Quantized: the same function of integers that the exported layer is. With w = round(W / scale) sgn(gamma), unit u =
|gamma| scale / sigma 2**-G and G = tau (window-1):

    I = sum_m P[t-m] 2**(tau (window-1-m)),  B = round((beta - |gamma| mu / sigma) / u),  Theta = round(theta / u)

and the integer neuron runs on I + B; only gradients use the real numbers behind. In evaluation the spikes are
those of `golden/integer.py`, to the last bit (with a float64 network always, with float32 below 2**24).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ds2ta.golden.training.fused import Neurons, OnGrid, fire
from ds2ta.golden.training.lif import Grid, lif
from ds2ta.golden.training.product import linear
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.rounding import round_through
from ds2ta.golden.training.tasa import Tasa
from ds2ta.modelrules import MAX_PARAMETER
from ds2ta.network import LayerSpec

__all__ = ["Folded", "SpikingSynapse", "quantize_weight"]

EPSILON = 1e-5  # of batch norm
MOMENTUM = 0.1
LARGEST = MAX_PARAMETER / 4.0  # of a threshold: a bias of some thresholds must still fit
RESTING = 2.0**-30  # unit of a channel that its inputs do not reach: float32's own step for parameters of 2**-7 up


def quantize_weight(weight: torch.Tensor, bits: int, *, per_channel: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric quantization: whole numbers in +-(2**(bits-1)-1) of the shape of `weight`, and their scale
    (`[K]`, or a scalar). Gradients pass straight to the weights; the scale is a constant to them."""
    top = float((1 << (bits - 1)) - 1)
    with torch.no_grad():
        largest = weight.abs().flatten(1).amax(1) if per_channel else weight.abs().max()
        scale = torch.where(largest > 0, largest, torch.ones_like(largest)) / top
        wide = scale.reshape(-1, *(1,) * (weight.ndim - 1)) if per_channel else scale
    return round_through(weight / wide).clamp(-top, top), scale


@dataclass(frozen=True)
class Folded:
    """Batch norm and scales folded for the integer neuron: `[K]` each, whole numbers but for `unit`. `reached` is 0
    for a channel whose gain is so small that its inputs never count beside the bias: its weights are 0 then."""

    bias: torch.Tensor
    threshold: torch.Tensor
    unit: torch.Tensor
    reached: torch.Tensor


class SpikingSynapse(nn.Module):
    """A convolution (3x3, padding 1, channels-first) or linear layer (channels last) with batch norm and LIF."""

    def __init__(self, *, spec: LayerSpec, config: TrainingConfig, leak_shift: int):
        super().__init__()
        self.spec, self.leak_shift, self.bits = spec, leak_shift, config.bits_of(spec.name)
        self.theta = 2**leak_shift * config.firing_threshold
        self.slope = config.surrogate_slope / 2**leak_shift
        self.least_gain = config.least_gain
        shape = spec.weight_shape
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        self.gamma = nn.Parameter(torch.ones(spec.outputs))
        self.beta = nn.Parameter(torch.zeros(spec.outputs))
        self.mean: torch.Tensor
        self.variance: torch.Tensor
        self.register_buffer("mean", torch.zeros(spec.outputs))
        self.register_buffer("variance", torch.ones(spec.outputs))
        self.quantized = False
        self.frozen_statistics = False
        self.fused, self.compiled = config.fused, config.compiled

    def integer_weight(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole weights with the sign of gamma inside, and the scale of each channel."""
        weight, scale = quantize_weight(self.weight, self.bits, per_channel=True)
        return weight * self._sign(weight.ndim), scale

    def _sign(self, ndim: int) -> torch.Tensor:
        sign = torch.where(self.gamma.detach() < 0, -1.0, 1.0).to(self.weight.dtype)
        return sign.reshape(-1, *(1,) * (ndim - 1))

    def gain(self) -> torch.Tensor:
        """The size of gamma that counts."""
        return torch.clamp(self.gamma.abs(), min=self.least_gain)

    def fold(self, mean: torch.Tensor, variance: torch.Tensor, scale: torch.Tensor, guard: float) -> Folded:
        """Integer bias and threshold for statistics of the sums in units of a weight step, in float64."""
        mean, variance, scale = (value.detach().double() for value in (mean, variance, scale))
        step = self.gain().detach().double() * scale / torch.sqrt(variance * scale**2 + EPSILON)
        reached = step * 2.0**-guard * LARGEST >= self.theta
        unit = torch.where(reached, step * 2.0**-guard, RESTING)
        bias = torch.round((self.beta.detach().double() - step * mean) / unit)
        threshold = torch.round(self.theta / unit).clamp(min=1.0)
        return Folded(bias, threshold, unit, reached.double())

    def running_fold(self, tasa: Tasa) -> Folded:
        """What is exported: the fold of the running statistics."""
        _, scale = self.integer_weight()
        sign = self._sign(1)
        guard = tasa.whole_tau() * (tasa.window - 1)
        scaled = scale.double()
        return self.fold(self.mean.double() * sign / scaled, self.variance.double() / scaled**2, scale, guard)

    def forward(self, x: torch.Tensor, *, tasa: Tasa, steps: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Spikes `[steps, B, ...]` of inputs `[steps or 1, B, ...]` (1: the same at every step), of type `dtype`
        (default: that of the inputs, which is also that of the synaptic sums)."""
        if self.quantized:
            weight, scale = self.integer_weight()
        else:
            weight, scale = self.weight * self._sign(self.weight.ndim), torch.ones_like(self.gamma)
        weight = weight.to(x.dtype)
        wide = (slice(None), None, None) if self.spec.kernel == 3 else (slice(None),)
        if self.spec.kernel == 3:
            P = functional.conv2d(x.flatten(0, 1), weight, padding=1).unflatten(0, x.shape[:2])
        else:
            P = linear(x, weight)
        if self.fused and self.weight.dtype == torch.float32:
            return self._fire(P, scale, tasa=tasa, steps=steps, dtype=dtype or x.dtype)
        if len(P) < steps:
            P = P.expand(steps, *P.shape[1:])
        I = tasa(P)  # noqa: E741
        mean, variance = self._statistics(I, scale)
        step = self.gain() * scale / torch.sqrt(variance * scale**2 + EPSILON)
        current = I * step[wide] + (self.beta - step * mean)[wide]
        grid = None
        if self.quantized:
            with torch.no_grad():
                guard = tasa.whole_tau() * (tasa.window - 1)
                live = self.training and not self.frozen_statistics
                folded = self.fold(mean, variance, scale, guard) if live else self.running_fold(tasa)
                bias, threshold, unit, reached = (
                    value.to(I.dtype)[wide]
                    for value in (folded.bias, folded.threshold, folded.unit, folded.reached)
                )
                grid = Grid(I * (reached * 2.0**guard) + bias, threshold, unit)
        return lif(current, threshold=self.theta, slope=self.slope, leak_shift=self.leak_shift, grid=grid)

    def _fire(
        self, P: torch.Tensor, scale: torch.Tensor, *, tasa: Tasa, steps: int, dtype: torch.dtype
    ) -> torch.Tensor:
        """The rest of `forward` in the fused passes of `golden/training/fused.py`."""
        live = self.training and not self.frozen_statistics
        known = None if live else (self.mean * self._sign(1) / scale, self.variance / scale**2)
        gain, guard = self.gain(), tasa.whole_tau() * (tasa.window - 1)

        def fold(mean: torch.Tensor, variance: torch.Tensor) -> OnGrid:
            folded = self.fold(mean, variance, scale, guard) if live else self.running_fold(tasa)
            bias, threshold, unit, reached = (
                value.to(mean.dtype) for value in (folded.bias, folded.threshold, folded.unit, folded.reached)
            )
            return reached * 2.0**guard, bias, threshold, unit

        neurons = Neurons(
            steps=steps,
            theta=self.theta,
            slope=self.slope,
            keep=1.0 - 2.0**-self.leak_shift,
            epsilon=EPSILON,
            compiled=self.compiled,
        )
        last = P.movedim(2, -1) if self.spec.kernel == 3 else P
        spikes, mean, variance = fire(
            last,
            neurons=neurons,
            dtype=dtype,
            gain=gain,
            beta=self.beta,
            factors=tasa.factors(),
            known=known,
            scale=scale,
            fold=fold if self.quantized else None,
        )
        if live:
            self._follow(mean, variance, scale)
        return spikes.movedim(-1, 2) if self.spec.kernel == 3 else spikes

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor, scale: torch.Tensor) -> None:
        """Running statistics, stored for the real weights: float and quantized phases share them."""
        with torch.no_grad():
            self.mean.lerp_(mean * scale * self._sign(1), MOMENTUM)
            self.variance.lerp_(variance * scale**2, MOMENTUM)

    def _statistics(self, I: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: E741
        """Mean and variance of the sums, in their own units: of this batch, or the running ones."""
        if not self.training or self.frozen_statistics:
            return self.mean * self._sign(1) / scale, self.variance / scale**2
        axes = (0, 1, 3, 4) if self.spec.kernel == 3 else (0, 1, 2)
        variance, mean = torch.var_mean(I, axes, correction=0)
        self._follow(mean, variance, scale)
        return mean, variance
