# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random changes of event frames, after Li et al. 2022 (neuromorphic data augmentation); counts stay whole."""

import math

import torch
from torch.nn import functional

from ds2ta.golden.training.recipe import EventAugmentation

__all__ = ["augment_events"]


def augment_events(
    samples: torch.Tensor, *, recipe: EventAugmentation, generator: torch.Generator, rows: slice = slice(None)
) -> torch.Tensor:
    """Frames uint8 `[B, T, 2, H, W]` changed, every frame of a recording alike: flip, roll, rotation or shear (one
    of them, nearest neighbour), an erased square, and events dropped. Random numbers are drawn for the whole batch,
    of which only `rows` are computed and returned."""
    count = len(samples)
    draw = torch.rand(count, 10, generator=generator)[rows].to(samples.device)
    kept = torch.rand(samples.shape, generator=generator)[rows].to(samples.device) if recipe.drop else None
    x = samples[rows]
    height, width = x.shape[-2:]
    sign = draw * 2.0 - 1.0
    flip = torch.where((draw[:, 0] < 0.5) & recipe.flip, -1.0, 1.0)
    zero = torch.zeros_like(flip)
    turned = draw[:, 1] < 0.5
    angle = torch.where(turned, sign[:, 2] * recipe.rotation * math.pi / 180.0, zero)
    shear = torch.where(turned, zero, sign[:, 3] * recipe.shear)
    down, right = ((draw[:, axis] * (2 * recipe.roll + 1)).floor() - recipe.roll for axis in (4, 5))
    across, along = angle.cos(), angle.sin()
    matrix = torch.stack(
        [flip * across, shear - along, 2.0 * right / width, flip * along, across, 2.0 * down / height], dim=1
    ).reshape(-1, 2, 3)
    planes = x.flatten(1, 2)
    grid = functional.affine_grid(matrix, list(planes.shape), align_corners=False)
    moved = functional.grid_sample(planes.float(), grid, mode="nearest", align_corners=False)
    moved = moved.round().to(torch.uint8).view_as(x)
    if recipe.erase:
        centre = draw[:, 6:8] * torch.tensor([height, width], device=x.device)
        far_down = (torch.arange(height, device=x.device) + 0.5 - centre[:, :1]).abs() > recipe.erase / 2
        far_right = (torch.arange(width, device=x.device) + 0.5 - centre[:, 1:]).abs() > recipe.erase / 2
        moved = moved * (far_down[:, :, None] | far_right[:, None, :])[:, None, None]
    if kept is not None:
        moved = moved * (kept >= (draw[:, 8] * recipe.drop).reshape(-1, 1, 1, 1, 1))
    return moved.to(torch.uint8)
