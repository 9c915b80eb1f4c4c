# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Rounding that training can see through: the forward value is exact, the gradient is that of the identity."""

import torch

__all__ = ["round_half_up", "round_through"]


def round_through(value: torch.Tensor) -> torch.Tensor:
    """Nearest whole number (ties to even); gradient 1."""
    return value + (torch.round(value) - value).detach()


def round_half_up(value: torch.Tensor) -> torch.Tensor:
    """Nearest whole number, ties up: the bracket of the paper's eq. 7. No gradient."""
    return torch.floor(value.detach() + 0.5)
