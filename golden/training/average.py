# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A moving average of the weights of a network in training: measured and exported in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["Average"]


class Average:
    """Weights `a <- a + (1 - d) (w - a)` after every step, with d the smaller of `decay` and `(1 + n) / (10 + n)`
    in step n, so that random first weights are soon forgotten; buffers (batch-norm statistics) likewise, whole
    numbers among them as they are."""

    def __init__(self, network: nn.Module, *, decay: float, steps: int = 0):
        self.decay, self.steps = decay, steps
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """One step of the average, after one of the optimizer."""
        share = 1.0 - min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        ours, theirs = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                ours.append(self.weights[name])
                theirs.append(value)
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(ours, theirs, share)
        self.steps += 1

    def restore(self, weights: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from a saved average."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
        self.steps = steps

    def into(self, network: nn.Module) -> None:
        """Make the average the network's own weights."""
        network.load_state_dict(self.weights)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """The network has the averaged weights for the length of the block."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.into(network)
        try:
            yield
        finally:
            network.load_state_dict(own)
