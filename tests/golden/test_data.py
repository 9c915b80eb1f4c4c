# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The digits data set: its split never moves, and augmentation stays inside what the hardware can be given."""

import hashlib

import numpy as np
import pytest
import torch

from ds2ta.errors import NetworkError
from ds2ta.golden.data.sets import augment, dataset, dataset_names, load_data, stratified_split


def test_digits_split():
    data = load_data("digits")
    assert data.train_samples.shape == (1437, 1, 8, 8)
    assert data.test_samples.shape == (360, 1, 8, 8)
    assert data.train_samples.dtype == data.test_samples.dtype == np.uint8
    assert int(data.train_samples.max()) == 16 < 1 << data.input.bits
    counts = np.bincount(data.test_labels, minlength=10)
    assert counts.sum() == 360
    assert set(counts) <= {35, 36, 37}
    whole = np.concatenate([data.train_samples, data.test_samples]).reshape(1797, -1)
    from sklearn.datasets import load_digits

    assert sorted(map(bytes, whole)) == sorted(map(bytes, load_digits().images.reshape(1797, -1).astype(np.uint8)))


def test_digits_split_is_the_same_for_ever():
    """Pinned: accuracies of models in the repository refer to exactly these 360 samples."""
    data = load_data("digits")
    digest = hashlib.sha256(data.test_samples.tobytes() + data.test_labels.tobytes()).hexdigest()
    assert digest[:16] == "4cab6f1e31f6fe3a"


def test_stratified_split_is_exact_and_disjoint():
    labels = np.repeat([0, 1, 2], [7, 11, 5])
    train, test = stratified_split(labels, 8, seed=1)
    assert len(test) == 8
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(range(23))
    shares = np.bincount(labels[test]) / np.array([7, 11, 5]) * 23 / 8
    assert (abs(np.bincount(labels[test]) - np.array([7, 11, 5]) * 8 / 23) < 1).all(), shares
    other, _ = stratified_split(labels, 8, seed=2)
    assert not np.array_equal(train, other)


def test_augment_without_amounts_is_the_identity():
    samples = torch.from_numpy(load_data("digits").train_samples[:32])
    same = augment(samples, shift=0, rotation=0, zoom=0, top=16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(same, samples)


def test_augment_is_seeded_small_and_in_range():
    samples = torch.from_numpy(load_data("digits").train_samples[:200])

    def draw(seed: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        return augment(samples, shift=1.0, rotation=10.0, zoom=0.1, top=16, generator=random)

    first = draw(1)
    assert first.dtype == torch.uint8
    assert int(first.max()) <= 16
    assert torch.equal(first, draw(1))
    assert not torch.equal(first, draw(2))
    change = (first.float() - samples.float()).abs().mean()
    spread = (samples.float() - samples.float().mean(0)).abs().mean()
    assert 0 < change < spread


def test_registry():
    assert "digits" in dataset_names()
    with pytest.raises(NetworkError, match=r"data set must be one of cifar10, .*digits.*, not 'cifar'"):
        load_data("cifar")
    digits = load_data("digits")
    dataset("other")(lambda: digits)
    try:
        assert load_data("other") is digits
    finally:
        from ds2ta.golden.data import sets as data

        del data._LOADERS["other"]
