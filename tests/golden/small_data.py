# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A data set for tests of training: colour images of four classes that a small network tells apart."""

import numpy as np

from ds2ta.golden.data.sets import DataSet
from ds2ta.golden.training.recipe import Arithmetic, ImageAugmentation, ShortStart, TrainingConfig
from ds2ta.network import InputSpec, network_from_dict

__all__ = ["CONFIG", "NETWORK", "squares"]

NETWORK = network_from_dict(
    {
        "name": "squares",
        "input": {"kind": "image", "channels": 3, "height": 12, "width": 12, "bits": 8},
        "time_steps": 3,
        "stem": [{"channels": 8, "pool": True}, {"channels": 16, "pool": True}],
        "embed_dim": 16,
        "heads": 2,
        "depth": 1,
        "hidden_dim": 16,
        "window": 2,
        "classes": 4,
    }
)
CONFIG = TrainingConfig(
    data="squares",
    epochs_float=2,
    epochs_quantized=1,
    epochs_frozen=0,
    batch=16,
    rate_float=0.01,
    seed=3,
    arithmetic=Arithmetic(compiled=False, precision="float32"),
    short_starts=(ShortStart(epochs=1, steps=2),),
    images=ImageAugmentation(crop=1, operations=1, erase=3, mixup=0.3, cutmix=1.0, mixed=0.5),
)


def squares(size: int = 12) -> DataSet:
    """A bright square on noise; its colour and its side make the class."""
    random = np.random.default_rng(5)
    images = random.integers(0, 90, (288, 3, size, size), dtype=np.uint8)
    labels = np.arange(288) % 4
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(0, size - 5, 2)
        side = 3 if label % 2 else 5
        image[label // 2, row : row + side, column : column + side] = 250
    return DataSet(
        name="squares",
        input=InputSpec(kind="image", channels=3, height=size, width=size, bits=8),
        classes=4,
        train_samples=images[:256],
        train_labels=labels[:256],
        test_samples=images[256:],
        test_labels=labels[256:],
    )
