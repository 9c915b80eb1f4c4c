# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Small float networks for the tests of this folder."""

import numpy as np
import torch

from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.network import network_from_dict

__all__ = ["BASE", "batch", "build", "labels"]

BASE = {
    "name": "probe",
    "input": {"kind": "image", "channels": 1, "height": 6, "width": 5, "bits": 4},
    "time_steps": 4,
    "stem": [{"channels": 6, "pool": True}, {"channels": 16}],
    "embed_dim": 16,
    "heads": 2,
    "depth": 2,
    "hidden_dim": 20,
    "window": 3,
    "classes": 5,
}
EASY = {
    "firing_threshold": 0.25,
    "initial_denoiser_threshold": 0.5,
    "attention_firing": 0.1,
}  # keeps all layers alive


def build(seed: int = 0, config: dict | None = None, **changes) -> FloatNetwork:
    torch.manual_seed(seed)
    network = network_from_dict({**BASE, **changes})
    return FloatNetwork(network=network, config=TrainingConfig(**{**EASY, **(config or {})}))


def batch(network: FloatNetwork, count: int = 24, seed: int = 0) -> torch.Tensor:
    shape = (count, *network.network.sample_shape)
    top = 1 << network.network.input.bits
    return torch.randint(0, top, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def labels(samples: torch.Tensor) -> np.ndarray:
    """Labels for samples that nobody will be asked to classify."""
    return np.zeros(len(samples), np.int64)
