# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Augmentation: every operation by an example that can be checked by eye; seeds; shares of processes."""

import pytest
import torch

from ds2ta.golden.training.augment import OPERATIONS, augment_images, crop_and_flip, mix, operate, random_numbers
from ds2ta.golden.training.augment_events import augment_events
from ds2ta.golden.training.recipe import EventAugmentation, ImageAugmentation

FULL = ImageAugmentation(crop=3, operations=2, strength=1.0, erase=4, mixup=0.4, cutmix=1.0)
EVENTS = EventAugmentation(flip=True, roll=2, rotation=20.0, shear=0.3, erase=3, drop=0.5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 16, size: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=seeded(9))


def test_crop_and_flip_by_hand():
    x = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(3, 1, 1, 1)
    # of 0..1: 0 is the largest shift one way, 0.99 the other, 0.5 none; a flip below one half
    draw = torch.tensor([[0.5, 0.5, 0.9], [0.5, 0.5, 0.1], [0.0, 0.99, 0.9]])
    same, mirrored, moved = crop_and_flip(x, reach=1, flip=True, draw=draw)[:, 0].tolist()
    assert same == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert mirrored == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert moved == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    upright = crop_and_flip(x, reach=1, flip=False, draw=draw)[1, 0].tolist()
    assert upright == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def one(name: str, x: torch.Tensor, amount: float) -> torch.Tensor:
    return operate(x, torch.full((len(x),), OPERATIONS.index(name)), torch.full((len(x),), amount))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("autocontrast", "equalize levels")])
def test_operations_of_no_strength_do_nothing(name):
    x = images()
    assert torch.equal(one(name, x, 0.0), x)


def test_operations_by_hand():
    x = torch.tensor([[[[0, 100], [200, 255]]] * 3], dtype=torch.uint8)
    grey = x[0, 0].tolist()
    assert one("identity", x, 1.0)[0, 1].tolist() == grey
    assert one("brightness", x, -1.0)[0, 2].tolist() == [[0, 10], [20, 26]]
    assert one("solarize", x, 0.5)[0, 0].tolist() == [[0, 100], [55, 0]]
    assert one("posterize", x, 1.0)[0, 0].tolist() == [[0, 96], [192, 240]]  # 4 bits are left
    assert one("saturation", x, -1.0)[0, 0].tolist() == grey  # it is grey already
    assert one("contrast", x, -1.0)[0, 0].tolist() == [[125, 135], [145, 150]]  # near its mean, 138.75
    assert one("equalize levels", x, 0.1)[0, 0].tolist() == [[0, 85], [170, 255]]
    low = torch.tensor([[[[10, 20], [30, 60]]] * 3], dtype=torch.uint8)
    assert one("autocontrast", low, 0.1)[0, 0].tolist() == [[0, 51], [102, 255]]
    flat = torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)
    assert torch.equal(one("autocontrast", flat, 0.1), flat)
    assert torch.equal(one("sharpness", flat, 1.0), flat)
    bar = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    bar[..., 16, :] = 255
    turned = one("rotate", bar, 1.0)[0, 0]  # by 30 degrees
    assert turned[16, 16] > 200
    rise = 33 // 3 * 0.577
    assert turned[16 - round(rise), 16 + 11] > 100 or turned[16 + round(rise), 16 + 11] > 100
    assert turned[16, 27] == 0
    column = bar.transpose(2, 3)
    assert one("shear x", column, 1.0)[0, 0, 16, 16] == 255
    assert one("shear x", column, 1.0)[0, 0, 0, 16] == 0
    assert torch.equal(one("shear y", column, 1.0)[0, 0, 1:-1], column[0, 0, 1:-1])


def test_every_image_has_its_own_operation():
    x = images(2).repeat_interleave(1, 0)
    found = operate(x, torch.tensor([0, OPERATIONS.index("solarize")]), torch.tensor([1.0, 1.0]))
    assert torch.equal(found[0], x[0])
    assert torch.equal(found[1], 255 - x[1])


@pytest.mark.parametrize("recipe", [FULL, ImageAugmentation(crop=0, flip=False)])
def test_images_are_seeded_whole_and_shared(recipe):
    x, numbers = images(), random_numbers(16, recipe=recipe, generator=seeded(1))
    found = augment_images(x, recipe=recipe, numbers=numbers)
    assert found.dtype == torch.uint8
    assert torch.equal(numbers, random_numbers(16, recipe=recipe, generator=seeded(1)))
    assert torch.equal(found, augment_images(x, recipe=recipe, numbers=numbers))
    assert torch.equal(found, x) == (recipe is not FULL)
    parts = [slice(0, 8), slice(8, 16)]
    halves = [augment_images(x[part], recipe=recipe, numbers=numbers[part]) for part in parts]
    assert torch.equal(torch.cat(halves), found)


def test_erased_square():
    x = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    recipe = ImageAugmentation(crop=0, flip=False, erase=6)
    found = augment_images(x, recipe=recipe, numbers=random_numbers(64, recipe=recipe, generator=seeded()))
    area = (found[:, 0] == 128).flatten(1).sum(1)
    assert ((found == 0) | (found == 128)).all()
    assert area.max() in (36, 42, 49)
    assert 9 <= area.min() < 36  # cut off at the border, never more than half of each side
    assert (found[:, 0] == found[:, 2]).all()


def test_mix():
    x = images(8)
    same, share = mix(x, recipe=ImageAugmentation(), generator=seeded())
    assert share == 1.0
    assert same is x
    shares = []
    for seed in range(40):
        mixed, share = mix(x, recipe=ImageAugmentation(mixup=1.0), generator=seeded(seed))
        wanted = x.float() * share + x.float()[[1, 0, 3, 2, 5, 4, 7, 6]] * (1 - share)
        assert (mixed.float() - wanted).abs().max() <= 0.5 + 1e-3
        shares.append(share)
    assert 0.35 < sum(shares) / 40 < 0.65  # beta(1, 1) is uniform
    assert min(shares) < 0.2
    for seed in range(10):
        cut, share = mix(x, recipe=ImageAugmentation(cutmix=1.0), generator=seeded(seed))
        foreign = (cut != x).any(1)
        assert torch.equal(cut[0][:, foreign[0]], x[1][:, foreign[0]])
        assert foreign.float().mean().item() == pytest.approx(1 - share, abs=0.01)
    untouched = sum(
        mix(x, recipe=ImageAugmentation(mixup=1.0, mixed=0.3), generator=seeded(seed))[1] == 1.0
        for seed in range(200)
    )
    assert 110 < untouched < 170


def test_events_stay_counts_and_move_alike_in_every_frame():
    frame = torch.zeros(32, 1, 2, 9, 9, dtype=torch.uint8)
    frame[:, :, 0, 4, 4], frame[:, :, 1, 2, 4] = 3, 1
    x = frame.repeat(1, 4, 1, 1, 1)
    same = augment_events(x, recipe=EventAugmentation(roll=0, rotation=0, shear=0), generator=seeded())
    assert torch.equal(same, x)
    moved = augment_events(x, recipe=EVENTS.model_copy(update={"drop": 0.0, "erase": 0}), generator=seeded())
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {0, 1, 3}
    assert (moved == moved[:, :1]).all()
    assert not torch.equal(moved, x)
    assert (moved[:, 0, 0] == 3).flatten(1).any(1).sum() >= 28  # it seldom leaves the frame
    rolled = augment_events(x, recipe=EventAugmentation(roll=2, rotation=0, shear=0), generator=seeded())
    places = {tuple(place) for place in (rolled[:, 0, 0] == 3).nonzero()[:, 1:].tolist()}
    assert places <= {(row, column) for row in range(2, 7) for column in range(2, 7)}
    assert len(places) > 10
    flip = EventAugmentation(flip=True, roll=0, rotation=0, shear=0)
    mirrored = augment_events(x, recipe=flip, generator=seeded())
    assert torch.equal(mirrored, x)  # its own mirror image
    x[..., 4, 8] = 2
    mirrored = augment_events(x, recipe=flip, generator=seeded())
    left = (mirrored[:, 0, 0, 4, 0] == 2).sum().item()
    assert 8 < left < 24
    assert left + (mirrored[:, 0, 0, 4, 8] == 2).sum().item() == 32


def test_events_are_dropped_and_shared():
    x = torch.full((16, 3, 2, 8, 8), 2, dtype=torch.uint8)
    recipe = EventAugmentation(roll=0, rotation=0, shear=0, drop=0.5)
    found = augment_events(x, recipe=recipe, generator=seeded())
    share = (found == 0).float().flatten(1).mean(1)
    assert share.min() < 0.15
    assert 0.3 < share.max() < 0.6
    whole = augment_events(x, recipe=EVENTS, generator=seeded(2))
    halves = [augment_events(x, recipe=EVENTS, generator=seeded(2), rows=slice(at, at + 8)) for at in (0, 8)]
    assert torch.equal(torch.cat(halves), whole)
