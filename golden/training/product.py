# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Products of activations and weights by the faster of the libraries that torch has on the CPU."""

import torch
from torch.nn import functional

__all__ = ["linear"]


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x W^T`: `[T, B, N, K]` of `x` `[T, B, N, C]` and `weight` `[K, C]`.

    In float32 on a CPU it is a convolution of size 1, forward and backward: those go to oneDNN, `functional.linear`
    goes to MKL, which is less than half as fast on processors that are not Intel's. oneDNN has bfloat16 anyway."""
    if x.dtype != torch.float32 or x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return functional.linear(x, weight)
    rows = x.flatten(0, 1).mT.unsqueeze(2)  # [T B, C, 1, N], channels last
    return functional.conv2d(rows, weight[:, :, None, None]).squeeze(2).mT.unflatten(0, x.shape[:2])
