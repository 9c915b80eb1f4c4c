# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The order in which a machine takes a sample."""

import numpy as np

from ds2ta.errors import ImageError
from ds2ta.model import IntegerModel

__all__ = ["sample_bytes"]


def sample_bytes(model: IntegerModel, sample: np.ndarray) -> np.ndarray:
    """A sample in the order in which the machine takes it: position, channel, then time step."""
    if sample.shape != model.network.sample_shape or sample.dtype != np.uint8:
        raise ImageError(
            f"sample: {sample.dtype} {list(sample.shape)}, the model takes uint8 {list(model.network.sample_shape)}"
        )
    axes = (1, 2, 0) if model.network.input.kind == "image" else (2, 3, 1, 0)
    return sample.transpose(axes).reshape(-1)
