# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Leaky integrate-and-fire neurons for training (paper, eq. 2 and 3), with a sigmoid surrogate gradient.

    U[t] = leak(V[t-1]) + I[t];  s[t] = H(U[t] - theta);  V[t] = U[t] (1 - s[t]);  V[-1] = 0

Float: leak(V) = (1 - 2**-k) V. On a grid (quantization-aware training) the forward pass runs the integer neuron of
the hardware, leak(V) = floor((1 - 2**-k) V), and only the backward pass treats it as the real one. The gradient
does not flow through the reset, as in SpikingJelly's `detach_reset`.
"""

from dataclasses import dataclass

import torch

__all__ = ["Grid", "lif"]


@dataclass(frozen=True)
class Grid:
    """The integers behind a real current: `current ~ steps * unit`, `theta ~ threshold * unit`, per channel."""

    steps: torch.Tensor  # [T, ..., K], whole numbers (bias included)
    threshold: torch.Tensor  # [K] or scalar, whole numbers
    unit: torch.Tensor  # [K] or scalar, > 0


class _Lif(torch.autograd.Function):
    """Whole recurrence in one node: a fifth of the time of step-by-step autograd."""

    @staticmethod
    def forward(ctx, current, threshold, slope, leak_shift, grid):
        exact = grid is not None
        source = grid.steps if exact else current
        limit = grid.threshold if exact else threshold
        keep = 1.0 - 2.0**-leak_shift
        spikes, distance = torch.empty_like(current), torch.empty_like(current)
        V = None
        for step, I in enumerate(source):  # noqa: E741
            U = I if V is None else I + (torch.floor(V * keep) if exact else V * keep)
            torch.sub(U, limit, out=distance[step])
            fired = limit <= U
            spikes[step] = fired
            V = torch.where(fired, 0.0, U)
        if exact:
            distance.mul_(grid.unit)
        ctx.save_for_backward(spikes, distance)
        ctx.slope, ctx.keep = slope, keep
        return spikes

    @staticmethod
    def backward(ctx, gradient):
        spikes, distance = ctx.saved_tensors
        sigmoid = torch.sigmoid(distance * ctx.slope)
        result = gradient * (sigmoid * (1.0 - sigmoid)).mul_(ctx.slope)
        for step in range(len(result) - 2, -1, -1):
            result[step].addcmul_(result[step + 1], 1.0 - spikes[step], value=ctx.keep)
        return result, None, None, None, None


def lif(
    current: torch.Tensor, *, threshold: float, slope: float, leak_shift: int, grid: Grid | None = None
) -> torch.Tensor:
    """Spikes 0.0/1.0 of `current` `[T, ...]` over its first axis; `slope` is that of the surrogate
    `sigmoid(slope (U - theta))`. With `grid`, the spikes are those of the integer neuron."""
    return _Lif.apply(current, threshold, slope, leak_shift, grid)
