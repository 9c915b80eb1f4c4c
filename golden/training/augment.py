# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random changes of training images, in plain torch on the device that holds them. What comes out is uint8 again:
an augmented image is a possible input of the hardware.

All randomness is drawn for the whole batch before a process takes its share, so that the number of processes does
not change what is drawn.
"""

import math

import torch
from torch.nn import functional

from ds2ta.golden.training.recipe import ImageAugmentation

__all__ = ["OPERATIONS", "augment_images", "crop_and_flip", "mix", "operate", "random_numbers"]

#: Of RandAugment's kind, by number: (value at strength 0 does nothing, full range at strength 1).
OPERATIONS = (
    "identity",
    "rotate",
    "shear x",
    "shear y",
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "solarize",
    "posterize",
    "autocontrast",
    "equalize levels",
)


def random_numbers(count: int, *, recipe: ImageAugmentation, generator: torch.Generator) -> torch.Tensor:
    """All that `augment_images` needs of chance for `count` images: `[count, 6 + 2 operations]`, in 0..1."""
    return torch.rand(count, 6 + 2 * recipe.operations, generator=generator)


def augment_images(samples: torch.Tensor, *, recipe: ImageAugmentation, numbers: torch.Tensor) -> torch.Tensor:
    """Images uint8 `[B, C, H, W]` changed as the `random_numbers` `[B, ...]` say."""
    draw = numbers.to(samples.device)
    x = crop_and_flip(samples, reach=recipe.crop, flip=recipe.flip, draw=draw[:, :3])
    for index in range(recipe.operations):
        chosen, amount = draw[:, 6 + 2 * index], draw[:, 7 + 2 * index] * 2.0 - 1.0
        x = operate(x, (chosen * len(OPERATIONS)).long(), amount * recipe.strength)
    if recipe.erase:
        x = _erase(x, side=recipe.erase, draw=draw[:, 3:5])
    return x


def crop_and_flip(x: torch.Tensor, *, reach: int, flip: bool, draw: torch.Tensor) -> torch.Tensor:
    """Whole-pixel shifts of -reach..reach with black outside, and flips; `draw` `[B, 3]` in 0..1."""
    _, channels, height, width = x.shape
    padded = functional.pad(x, (reach,) * 4)
    down, right = ((draw[:, axis] * (2 * reach + 1)).long() for axis in (0, 1))
    across = torch.arange(width, device=x.device).expand(len(x), width)
    if flip:
        across = torch.where(draw[:, 2:3] < 0.5, width - 1 - across, across)
    row = down[:, None] + torch.arange(height, device=x.device)
    column = right[:, None] + across
    place = row[:, :, None] * (width + 2 * reach) + column[:, None, :]
    flat = place.flatten(1)[:, None].expand(-1, channels, -1)
    return padded.flatten(2).gather(2, flat).view_as(x)


def operate(x: torch.Tensor, chosen: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """One operation of `OPERATIONS` on each image, with its own signed `amount` in -1..1."""
    value, result = x.float(), x.float()
    wide = amount[:, None, None, None]
    for number, name in enumerate(OPERATIONS):
        rows = (chosen == number).nonzero()[:, 0]
        if name != "identity" and len(rows):
            result = result.index_copy(0, rows, _operation(name, value[rows], wide[rows]))
    return result.round().clamp(0, 255).to(torch.uint8)


def _operation(name: str, x: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    if name in ("rotate", "shear x", "shear y"):
        return _warp(name, x, amount.flatten())
    if name == "brightness":
        return x * (1.0 + 0.9 * amount)
    if name == "contrast":
        return _blend(x.mean((1, 2, 3), keepdim=True), x, amount)
    if name == "saturation":
        return _blend(x.mean(1, keepdim=True), x, amount)
    if name == "sharpness":
        smooth = functional.avg_pool2d(functional.pad(x, (1,) * 4, mode="replicate"), 3, stride=1)
        return _blend(smooth, x, amount)
    if name == "solarize":
        return torch.where(x >= 256.0 * (1.0 - amount.abs()), 255.0 - x, x)
    if name == "posterize":
        step = torch.exp2(torch.floor(4.0 * amount.abs() + 0.5))  # 8 down to 4 bits
        return torch.floor(x / step) * step
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    if name == "autocontrast":
        return torch.where(high > low, (x - low) * 255.0 / (high - low).clamp(min=1.0), x)
    order = x.flatten(2).argsort(stable=True, dim=2)  # equalize levels
    rank = order.argsort(dim=2).view_as(x)
    return rank * (255.0 / max(1, x[0, 0].numel() - 1))


def _blend(plain: torch.Tensor, x: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """`x` at amount 0, moved towards or away from `plain`."""
    return x + (x - plain) * 0.9 * amount


def _warp(name: str, x: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    one, zero = torch.ones_like(amount), torch.zeros_like(amount)
    if name == "rotate":
        angle = amount * math.pi / 6.0
        rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]
    elif name == "shear x":
        rows = [one, 0.3 * amount, zero, zero, one, zero]
    else:
        rows = [one, zero, zero, 0.3 * amount, one, zero]
    matrix = torch.stack(rows, dim=1).reshape(-1, 2, 3)
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", align_corners=False)


def _square(shape: torch.Size, side_down, side_right, draw: torch.Tensor) -> torch.Tensor:
    """Mask `[B, 1, H, W]` of a rectangle around a uniform centre, cut off at the border."""
    height, width = shape[-2:]
    device = draw.device
    centre = draw * torch.tensor([height, width], device=device)
    down = (torch.arange(height, device=device) + 0.5 - centre[:, :1]).abs() <= side_down / 2
    right = (torch.arange(width, device=device) + 0.5 - centre[:, 1:]).abs() <= side_right / 2
    return (down[:, :, None] & right[:, None, :])[:, None]


def _erase(x: torch.Tensor, *, side: int, draw: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(_square(x.shape, side, side, draw), 128)


def mix(
    samples: torch.Tensor, *, recipe: ImageAugmentation, generator: torch.Generator
) -> tuple[torch.Tensor, float]:
    """Mixup or cutmix of neighbours in a batch (its order is random anyway, and neighbours stay in one process):
    sample i with sample i ^ 1. Returns the images and the share of each one's own label."""
    draw = torch.rand(4, generator=generator).tolist()
    weights = {"mixup": recipe.mixup, "cutmix": recipe.cutmix}
    kinds = [kind for kind, alpha in weights.items() if alpha > 0]
    if not kinds or draw[0] >= recipe.mixed or len(samples) % 2:
        return samples, 1.0
    kind = kinds[int(draw[1] * len(kinds))]
    own = _beta(weights[kind], generator)
    other = samples.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    if kind == "mixup":
        mixed = samples.float() * own + other.float() * (1.0 - own)
        return mixed.round().to(torch.uint8), own
    height, width = samples.shape[-2:]
    side = math.sqrt(1.0 - own)
    mask = _square(samples.shape, side * height, side * width, torch.tensor([draw[2:]], device=samples.device))
    share = 1.0 - mask.float().mean().item()
    return torch.where(mask, other, samples), share


def _beta(alpha: float, generator: torch.Generator) -> float:
    """Beta(alpha, alpha) from two gamma draws of this generator."""
    shape = torch.full((2,), float(alpha), dtype=torch.float64)
    one, other = torch._standard_gamma(shape, generator=generator).tolist()
    return one / max(one + other, 1e-12)
