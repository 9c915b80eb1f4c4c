# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The neurons of a layer as one node of the graph: temporal window, batch norm and LIF in five passes over memory.

The same function as `SpikingSynapse` computes step by step (`tests/golden/test_fused.py` compares them), for
networks that are too large to train that way. Sums lie channels-last, `[T, M, K]` with M = places of the whole
batch, and may be bfloat16; everything inside a pass is float32, and only the sums are kept for the way back:
currents, potentials and spikes are computed again. Each pass is a plain function that `torch.compile` turns into
one loop.

With several processes (torch.distributed) the statistics are those of the whole batch, so that the number of
processes does not change the result.
"""

import shlex
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import distributed

__all__ = ["Neurons", "OnGrid", "compiled_pass", "fire", "world"]

RECOMPILATIONS = 128  # shapes of layers, whether training, whether quantized: torch's own limit is 8

#: 2**G, bias, threshold and unit of integer neurons, and what makes them of mean and variance.
OnGrid = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
Fold = Callable[[torch.Tensor, torch.Tensor], OnGrid]


@dataclass(frozen=True)
class Neurons:
    """What the neurons of a layer are, apart from what is learned."""

    steps: int  # T
    theta: float
    slope: float  # of the surrogate sigmoid(slope (U - theta))
    keep: float  # 1 - 2**-k
    epsilon: float = 0.0  # of batch norm
    compiled: bool = False


def world() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def compiler_found() -> bool:
    """Whether torch.compile has what it needs: a C++ compiler; for a GPU, Triton, which its torch brings, needs one
    too."""
    return any(map(shutil.which, ("c++", "g++", "clang++", "cl")))


def _quote_libraries() -> None:
    """torch.compile gives the linker the folder of torch's libraries as it is, which fails where a name in its path
    has a space; it quotes all other folders itself."""
    from torch.utils import cpp_extension

    cpp_extension.TORCH_LIB_PATH = shlex.quote(str(Path(torch.__file__).parent / "lib"))


@cache
def compiled_pass(function: Callable, compiled: bool) -> Callable:
    """`function`, through torch.compile where that is wanted and a compiler is there, once for each shape; as it
    is, with a warning, where compiling fails (a compiler without Python's headers)."""
    if not compiled or not compiler_found():
        return function
    _quote_libraries()
    torch._dynamo.config.recompile_limit = max(RECOMPILATIONS, torch._dynamo.config.recompile_limit)
    found = torch.compile(function, dynamic=False)

    def call(*arguments):
        nonlocal found
        try:
            return found(*arguments)
        except RuntimeError as error:
            if not isinstance(error, torch._dynamo.exc.BackendCompilerFailed):
                raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"torch.compile fails, {function.__name__} runs uncompiled: {reason[0]}", stacklevel=2)
            found = function
            return function(*arguments)

    return call


def _currents(P: torch.Tensor, factors: torch.Tensor | None, steps: int) -> list[torch.Tensor]:
    """I of every step, float32: `sum_m factors[m-1] P[t-m]`, the factor of lag 0 being 1. One sum serves all steps
    of a static input."""
    taps = [P[step].float() for step in range(P.shape[0])]
    if len(taps) < steps:
        taps = taps * steps
    if factors is None:
        return taps
    found = []
    for step in range(steps):
        total = taps[step]
        for lag in range(1, min(factors.shape[0], step) + 1):
            total = total + factors[lag - 1] * taps[step - lag]
        found.append(total)
    return found


def _moments(P: torch.Tensor, factors: torch.Tensor | None, steps: int) -> torch.Tensor:
    """Sums of I and of its square over places and time, `[2, K]`."""
    first, *others = _currents(P, factors, steps)
    total, square = first, first * first
    for current in others:
        total, square = total + current, square + current * current
    return torch.stack([total.sum(0), square.sum(0)])


def _membranes(currents, gain, offset, threshold, keep: float, exact: bool) -> tuple[list, list]:
    V, potentials, fired = None, [], []
    for current in currents:
        I = current * gain + offset  # noqa: E741
        U = I if V is None else I + (torch.floor(V * keep) if exact else V * keep)
        spike = threshold <= U
        V = torch.where(spike, 0.0, U)
        potentials.append(U)
        fired.append(spike)
    return potentials, fired


def _spikes(P, factors, gain, offset, threshold, steps: int, keep: float, exact: bool, dtype) -> torch.Tensor:
    _, fired = _membranes(_currents(P, factors, steps), gain, offset, threshold, keep, exact)
    # through float32: a compiled comparison becomes bfloat16 element by element
    return torch.stack([torch.where(spike, 1.0, 0.0).to(dtype) for spike in fired])


def _deltas(gradient, P, factors, gain, offset, threshold, unit, neurons: tuple, exact: bool) -> torch.Tensor:
    """d loss / d current of every step, in the type of the gradient; their sum for a static input, whose current is
    the same at every step."""
    steps, slope, keep = neurons
    currents = _currents(P, factors, steps)
    potentials, fired = _membranes(currents, gain, offset, threshold, keep, exact)
    late = None
    found: list[Any] = [None] * steps
    for step in reversed(range(steps)):
        sigmoid = torch.sigmoid((potentials[step] - threshold) * (unit * slope))
        delta = gradient[step].float() * sigmoid * (1.0 - sigmoid) * slope
        late = delta if late is None else delta + torch.where(fired[step], 0.0, late) * keep
        found[step] = late
    if P.shape[0] < steps:
        return sum(found)[None].to(P.dtype)
    return torch.stack([delta.to(gradient.dtype) for delta in found])


def _totals(deltas, P, factors, mean, rate) -> torch.Tensor:
    """Sums of the deltas by channel, and of their products with the normalized current, `[2, K]`. A pass of
    its own: in one with `_deltas`, a compiler keeps float32 copies of bfloat16 deltas for it."""
    found = [delta.float() for delta in deltas.unbind()]
    currents = _currents(P, factors, len(found))
    normal = sum(delta * (current - mean) for delta, current in zip(found, currents, strict=True)) * rate
    return torch.stack([sum(found).sum(0), normal.sum(0)])


def _sums(deltas, P, factors, mean, rate, gain, pulled, steps: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """d loss / d P, and that of the window's factors. `pulled`: by channel, what batch statistics take back of the
    gradient, constant and per normalized current."""
    if P.shape[0] < steps:
        pulled = pulled * steps
    currents = _currents(P, factors, len(deltas))
    back = [
        gain * (delta.float() - pulled[0] - (current - mean) * rate * pulled[1])
        for delta, current in zip(deltas.unbind(), currents, strict=True)
    ]
    if factors is None or P.shape[0] < steps:
        return torch.stack([each.to(P.dtype) for each in back]), None
    lags = range(1, min(factors.shape[0], steps - 1) + 1)
    shares = [sum((back[step] * P[step - lag].float()).sum() for step in range(lag, steps)) for lag in lags]
    shares += [torch.zeros_like(factors[0])] * (factors.shape[0] - len(shares))
    found = []
    for step in range(steps):
        total = back[step]
        for lag in lags:
            if step + lag < steps:
                total = total + factors[lag - 1] * back[step + lag]
        found.append(total)
    return torch.stack([each.to(P.dtype) for each in found]), torch.stack(shares)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, P, gain, beta, factors, known, scale, fold, neurons, dtype):
        steps, channels = neurons.steps, P.shape[-1]
        compiled = neurons.compiled
        ones = torch.ones(channels, dtype=torch.float32, device=P.device)
        ctx.normed, ctx.live = gain is not None, gain is not None and known is None
        mean, variance, rate = torch.zeros_like(ones), ones, ones
        if ctx.live:
            moments = compiled_pass(_moments, compiled)(P, factors, steps)
            if world() > 1:
                distributed.all_reduce(moments)
            moments /= steps * P.shape[1] * world()
            mean, variance = moments[0], (moments[1] - moments[0] ** 2).clamp(min=0.0)
        elif ctx.normed:
            mean, variance = known
        threshold, unit, exact = ones * neurons.theta, ones, fold is not None
        step, offset = ones, torch.zeros_like(ones)
        if ctx.normed:
            rate = scale / torch.sqrt(variance * scale**2 + neurons.epsilon)
            step = gain * rate
            offset = beta - step * mean
        inner = step
        if exact:
            inner, offset, threshold, unit = fold(mean, variance)
        spikes = compiled_pass(_spikes, compiled)(
            P, factors, inner, offset, threshold, steps, neurons.keep, exact, dtype
        )
        ctx.save_for_backward(P, factors, inner, offset, threshold, unit, mean, rate, step)
        ctx.neurons, ctx.exact = neurons, exact
        ctx.mark_non_differentiable(mean, variance)
        return spikes, mean, variance

    @staticmethod
    def backward(ctx, gradient, _mean, _variance):
        P, factors, inner, offset, threshold, unit, mean, rate, step = ctx.saved_tensors
        neurons = ctx.neurons
        shape = (neurons.steps, neurons.slope, neurons.keep)
        deltas = compiled_pass(_deltas, neurons.compiled)(
            gradient.contiguous(), P, factors, inner, offset, threshold, unit, shape, ctx.exact
        )
        if not ctx.normed and factors is None and len(P) == neurons.steps:  # P is the current
            return deltas.to(P.dtype), *(None,) * 8
        totals = compiled_pass(_totals, neurons.compiled)(deltas, P, factors, mean, rate)
        pulled = torch.zeros_like(totals)
        if ctx.live:
            pulled = totals.clone()
            if world() > 1:
                distributed.all_reduce(pulled)
            pulled /= neurons.steps * P.shape[1] * world()
        back, shares = compiled_pass(_sums, neurons.compiled)(
            deltas, P, factors, mean, rate, step, pulled, neurons.steps
        )
        d_gain, d_beta = (totals[1], totals[0]) if ctx.normed else (None, None)
        return back, d_gain, d_beta, shares, None, None, None, None, None


def fire(
    P: torch.Tensor,
    *,
    neurons: Neurons,
    dtype: torch.dtype,
    gain: torch.Tensor | None = None,
    beta: torch.Tensor | None = None,
    factors: torch.Tensor | None = None,
    known: tuple[torch.Tensor, torch.Tensor] | None = None,
    scale: torch.Tensor | None = None,
    fold: Fold | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Spikes `[T, ..., K]` of type `dtype` from sums `P` `[T or 1, ..., K]`, and the mean and variance used.

    `gain`, `beta`: of batch norm (absent: none, P is the current); `known`: mean and variance to use instead of
    those of this batch; `scale`: value of one unit of P, per channel; `factors`: of lags 1, 2, ... of the window;
    `fold`: mean and variance to (2**G, bias, threshold, unit) of the integer neuron, which then decides."""
    flat = P.flatten(1, -2).contiguous()
    spikes, mean, variance = _Fire.apply(flat, gain, beta, factors, known, scale, fold, neurons, dtype)
    return spikes.unflatten(1, P.shape[1:-1]), mean, variance
