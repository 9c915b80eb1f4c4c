# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""TASA, temporally attenuated spatiotemporal attention, for training (paper, eq. 1 and 4).

    I[t] = sum_{m=0}^{window-1} 2**(-tau m) P[t-m],  P[t] = W s[t],  P[t<0] = 0

tau is learned as a real number, clamped to 0..7 (or less) and rounded: the hardware shifts by it. The rounding is
straight through, so that the gradient is the true one, d 2**(-tau k) / d tau = -k ln 2 2**(-tau k).
"""

import torch
from torch import nn

from ds2ta.golden.training.rounding import round_through
from ds2ta.modelrules import MAX_TAU

__all__ = ["Tasa"]


class Tasa(nn.Module):
    """One temporal window of `window` taps with its learnable attenuation."""

    def __init__(self, *, window: int, initial_tau: float, max_tau: int = MAX_TAU):
        super().__init__()
        self.window, self.max_tau = window, max_tau
        if window > 1:
            self.tau = nn.Parameter(torch.tensor(float(initial_tau)))

    def integer_tau(self) -> torch.Tensor:
        """The whole number 0..max_tau in use, differentiable straight through; without a window, 0."""
        if self.window == 1:
            return torch.zeros(())
        return round_through(self.tau.clamp(0.0, float(self.max_tau)))

    def whole_tau(self) -> int:
        """The same number, as the hardware gets it."""
        return int(self.integer_tau().detach())

    def factors(self) -> torch.Tensor | None:
        """`2**(-tau m)` of lags m = 1 .. window-1, differentiable; None without a window."""
        if self.window == 1:
            return None
        return torch.exp2(-self.integer_tau() * torch.arange(1, self.window, device=self.tau.device))

    def forward(self, P: torch.Tensor) -> torch.Tensor:
        """`P` `[T, ...]` to I of the same shape."""
        if self.window == 1:
            return P
        tau, total = self.integer_tau(), P
        for lag in range(1, min(self.window, len(P))):
            late = torch.exp2(-tau * lag) * P[:-lag]
            total = total + torch.cat([torch.zeros_like(P[:lag]), late])
        return total
