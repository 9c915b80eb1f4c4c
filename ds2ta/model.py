# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The integer model: what a trained DS2TA checkpoint becomes. `ds2ta.modelfile` reads and writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ds2ta.about import About
from ds2ta.network import LayerSpec, Network

__all__ = ["IntegerModel", "Synapse"]


@dataclass(frozen=True)
class Synapse:
    """One synaptic layer in integers: `P = W x`, `I[t] = sum_m P[t-m] << tau (window-1-m)`, LIF with per-channel
    `bias` and `threshold` (both in units of `2**-(tau (window-1))` of a weight step). For the head, `bias` is
    added once to the logit and `threshold` is None."""

    spec: LayerSpec
    weight: np.ndarray  # int8 [outputs, inputs, 3, 3] or [outputs, inputs]
    bias: np.ndarray  # int64 [outputs]
    threshold: np.ndarray | None  # int64 [outputs], >= 1
    bits: int  # 2..8, weights lie in -(2**(bits-1)-1) .. 2**(bits-1)-1
    tau: int = 0
    window: int = 1

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def firing_threshold(self) -> np.ndarray:
        """The threshold of a layer with neurons, so of every one but the head."""
        if self.threshold is None:
            raise ValueError(f"layer {self.name} has no neurons")
        return self.threshold

    @property
    def guard_bits(self) -> int:
        """Fraction bits that keep the temporal window exact."""
        return self.tau * (self.window - 1)


@dataclass(frozen=True)
class IntegerModel:
    """A whole network in integers. `denoisers[block]` is uint8 `[heads, head_dim]`, the entry for score s at
    index s-1 (score 0 always gives 0); `attention_threshold[block]` is the threshold of the LIF after A x V.
    `samples` (uint8 `[n, *sample_shape]`) and `labels` are a few held-out inputs for self-tests, or none. `leaks`
    has the leak shift of each neuron layer (`Network.neuron_layers`) whose leak is not the network's."""

    network: Network
    synapses: dict[str, Synapse]
    denoisers: tuple[np.ndarray, ...]
    attention_threshold: tuple[int, ...]
    samples: np.ndarray
    labels: np.ndarray
    provenance: dict = field(default_factory=dict)
    leaks: Mapping[str, int] = field(default_factory=dict)
    about: About = field(default_factory=About)

    def leak_shift(self, name: str) -> int:
        """The leak shift of a neuron layer."""
        return self.leaks.get(name, self.network.leak_shift)
