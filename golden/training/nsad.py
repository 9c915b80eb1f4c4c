# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""NSAD, the nonlinear spiking attention denoiser, for training (paper, eq. 6 and 7).

    AD[s] = round(1(s > u) (a s + b (s-c)**2 + d / (1 + exp(s-e)))),  clamped to 0..2**bits - 1,  AD[0] = 0

Six learnable numbers for each head. The forward value is always an entry of the table that is exported; the
gradient is that of the formula, with a sigmoid for the step and straight through the rounding.
"""

import torch
from torch import nn

from ds2ta.golden.training.fused import compiled_pass
from ds2ta.golden.training.rounding import round_half_up

__all__ = ["Denoiser"]


class _Above(torch.autograd.Function):
    """1 where x > 0 (strictly), with the gradient of a sigmoid."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        sigmoid = torch.sigmoid(ctx.saved_tensors[0] * ctx.slope)
        return gradient * ctx.slope * sigmoid * (1.0 - sigmoid), None


class _Held(torch.autograd.Function):
    """Clamp to 0..top. The gradient passes inside, and outside where it leads back in: a head whose entries have
    all sunk below zero would never come back otherwise."""

    @staticmethod
    def forward(ctx, x, top):
        ctx.save_for_backward(x)
        ctx.top = top
        return x.clamp(0.0, top)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        outward = ((x < 0) & (gradient > 0)) | ((x > ctx.top) & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None


class Denoiser(nn.Module):
    """The denoisers of one block, `heads` of them over scores 0..head_dim. It starts as a thresholded identity:
    a = 1, b = c = d = 0, e = head_dim / 2."""

    def __init__(
        self,
        *,
        heads: int,
        head_dim: int,
        bits: int,
        initial_threshold: float,
        slope: float = 1.0,
        compiled: bool = False,
    ):
        super().__init__()
        self.heads, self.head_dim, self.bits, self.slope = heads, head_dim, bits, slope
        self.a: nn.Parameter  # like b, c, d, e and u, which nobody asks for by name
        self.compiled = compiled
        for name, value in {
            "a": 1.0,
            "b": 0.0,
            "c": 0.0,
            "d": 0.0,
            "e": head_dim / 2,
            "u": initial_threshold,
        }.items():
            self.register_parameter(name, nn.Parameter(torch.full((heads,), float(value))))

    def formula(self, score: torch.Tensor) -> torch.Tensor:
        """The clamped, unrounded AD of `score` `[..., heads, x, y]`, differentiable in all parameters."""
        a, b, c, d, e, u = (getattr(self, name).to(score.dtype)[:, None, None] for name in "abcdeu")
        gate = _Above.apply(score - u.clamp(min=0.0), self.slope)
        value = a * score + b * (score - c) ** 2 + d * torch.sigmoid(e - score)
        return _Held.apply(gate * value, float((1 << self.bits) - 1))

    @torch.no_grad()
    def table(self) -> torch.Tensor:
        """Frozen entries for s = 1..head_dim, whole numbers, float64 `[heads, head_dim]`."""
        score = torch.arange(1, self.head_dim + 1, dtype=torch.float64, device=self.a.device)
        score = score.expand(self.heads, 1, -1)
        return round_half_up(self.formula(score))[:, 0]

    def forward(self, score: torch.Tensor) -> torch.Tensor:
        """Denoised map of `score` `[T, B, heads, N, N]`."""
        zero = torch.zeros(self.heads, 1, dtype=torch.float64, device=score.device)
        entries = torch.cat([zero, self.table()], dim=1).to(score.dtype)
        one_pass = compiled_pass(_map, self.compiled and score.dtype != torch.float64)
        return one_pass(self, score, entries, torch.is_grad_enabled())


def _map(denoiser: Denoiser, score: torch.Tensor, entries: torch.Tensor, learning: bool) -> torch.Tensor:
    row = torch.arange(denoiser.heads, device=score.device)[:, None, None] * (denoiser.head_dim + 1)
    frozen = entries.flatten()[score.detach().to(torch.int64) + row]
    if not learning:
        return frozen
    # bfloat16 carries scores exactly, but not the six parameters
    soft = denoiser.formula(score.float() if score.dtype == torch.bfloat16 else score)
    return (soft + (frozen - soft).detach()).to(score.dtype)
