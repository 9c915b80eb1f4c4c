# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Data sets: uint8 samples with a fixed split. Nothing is downloaded.

`digits` is scikit-learn's bundled set of 1,797 handwritten digits of 8x8 pixels (raw values 0..16, so 5 input
bits): 1,437 to train on and 360 held out, stratified by class. Sets read from a folder register with
`@dataset("name", files=True)`; `golden/data/images.py`,
`golden/data/events.py` and `golden/data/gesture.py` have them. A user's own files have settings instead of a name:
`@data_kind("recordings", Recordings)` in `golden/data/recordings.py`.

Samples may be mapped from a file, of a set that is larger than memory: whoever goes through all of them takes them
in `parts`, or lets go of what was read.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ds2ta.about import About
from ds2ta.checked import BaseModel, from_plain
from ds2ta.errors import DataError, NetworkError
from ds2ta.network import InputSpec

__all__ = [
    "DataSet",
    "augment",
    "data_kind",
    "dataset",
    "dataset_names",
    "let_go",
    "load_data",
    "parts",
    "reads_files",
    "set_name",
    "spread",
    "validation_split",
]

SPLIT_SEED = 2025  # of the held-out part: never changes with the seed of a training run
DIGITS_HELD_OUT = 360
PART_BYTES = 64 << 20  # of samples that are taken at once


@dataclass(frozen=True)
class DataSet:
    """Samples uint8 `[n, *sample shape]` and labels int64 `[n]`, split once and for all. `about`: what a model file
    says of a user's own data; `notes`: what was read and what was left out, to tell the user."""

    name: str
    input: InputSpec
    classes: int
    train_samples: np.ndarray
    train_labels: np.ndarray
    test_samples: np.ndarray
    test_labels: np.ndarray
    about: About | None = None
    notes: tuple[str, ...] = ()


def validation_split(data: DataSet, held_out: int) -> tuple[DataSet, np.ndarray]:
    """The set that choices are made on: `held_out` of the training samples, each class in proportion, take the
    place of the test samples, which stay unseen. Also the indices, among all training samples, of those left."""
    count = len(data.train_labels)
    least = 2 * data.classes
    if not least <= held_out <= count // 2:
        raise DataError(
            f"data set {data.name}: a validation split takes {least} to {count // 2} of its {count} training "
            f"samples, not {held_out}"
        )
    left, out = stratified_split(data.train_labels, held_out, SPLIT_SEED)
    split = replace(
        data,
        train_samples=_rows(data.train_samples, left),
        train_labels=data.train_labels[left],
        test_samples=_rows(data.train_samples, out),
        test_labels=data.train_labels[out],
    )
    return split, left


def _rows(samples: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """These samples; of a mapped array in a file beside it, which goes when the array does."""
    if not isinstance(samples, np.memmap) or samples.filename is None:
        return samples[chosen]
    with tempfile.TemporaryFile(dir=Path(samples.filename).parent) as file:
        found = np.memmap(file, samples.dtype, "w+", shape=(len(chosen), *samples.shape[1:]))
    for part in parts(np.arange(len(chosen)), PART_BYTES // max(1, samples[0].nbytes)):
        found[part] = samples[chosen[part]]
        let_go(samples)
        found.flush()
        let_go(found)
    return found


def parts(samples: np.ndarray, count: int = 0) -> Iterator[np.ndarray]:
    """The samples, `count` at a time, or as many as `PART_BYTES` hold; what was read is let go of."""
    count = max(1, count or PART_BYTES // max(1, samples[:1].nbytes))
    for start in range(0, len(samples), count):
        yield samples[start : start + count]
        let_go(samples)


def let_go(samples: np.ndarray) -> None:
    """Pages of a mapped array that were read take no memory of this process any more."""
    mapped = getattr(samples, "_mmap", None)  # numpy's name, of views too
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class _Loader:
    load: Callable[..., DataSet]
    files: bool


@dataclass(frozen=True)
class _Kind:
    settings: type[BaseModel]
    load: Callable[[Path, Any], DataSet]


_LOADERS: dict[str, _Loader] = {}
_KINDS: dict[str, _Kind] = {}
#: Modules whose sets register when they are imported.
_FURTHER = tuple(f"ds2ta.golden.data.{kind}" for kind in ("images", "events", "gesture", "recordings"))


def dataset(name: str, *, files: bool = False) -> Callable[[Callable[..., DataSet]], Callable[..., DataSet]]:
    """Decorator that registers a loader; with `files` it is given the folder of the data, a `Path`."""

    def register(loader: Callable[..., DataSet]) -> Callable[..., DataSet]:
        _LOADERS[name] = _Loader(loader, files)
        return loader

    return register


def data_kind(kind: str, settings: type[BaseModel]) -> Callable[[Callable], Callable]:
    """Decorator that registers a loader of users' own files; it is given their folder and checked settings."""

    def register(loader: Callable[[Path, Any], DataSet]) -> Callable[[Path, Any], DataSet]:
        _KINDS[kind] = _Kind(settings, loader)
        return loader

    return register


def dataset_names() -> list[str]:
    """Names that `load_data` knows, sorted."""
    for module in _FURTHER:
        import_module(module)
    return sorted(_LOADERS)


def load_data(name: str | Mapping | BaseModel, folder: str | os.PathLike | None = None) -> DataSet:
    """The data set of that name, read from `folder` where it is one of files; or, for settings, as plain values
    too, the user's own that lies there. `NetworkError` lists the known names; `DataError` says which file is
    missing or damaged, and what to put where."""
    if isinstance(name, BaseModel):
        name = name.model_dump(mode="json")
    known, own = dataset_names(), isinstance(name, Mapping)
    kind = name.get("kind") if isinstance(name, Mapping) else name
    if not isinstance(kind, str) or kind not in (_KINDS if own else known):
        raise NetworkError(f"data set must be one of {', '.join(known)}, not {kind!r:.60}")
    if not own and not _LOADERS[kind].files:
        return _LOADERS[kind].load()
    if folder is None:
        raise DataError(f"data set {kind} is read from files: name the folder that holds them with --data DIR")
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder; --data DIR names the one that holds the files of {kind}")
    if isinstance(name, Mapping):
        return _KINDS[kind].load(Path(folder), from_plain(_KINDS[kind].settings, dict(name), "data", DataError))
    return _LOADERS[kind].load(Path(folder))


def reads_files(name: str | Mapping | BaseModel) -> bool:
    """Whether the data set of that name, one of `dataset_names`, or of these settings is read from a folder."""
    return not isinstance(name, str) or (name in dataset_names() and _LOADERS[name].files)


def set_name(name: str | Mapping) -> str:
    """How people call the data set of that name or of these settings, as the provenance of a model has them."""
    return str(name.get("kind")) if isinstance(name, Mapping) else name


def spread(total: int, count: int) -> np.ndarray:
    """Indices of `count` of `total` samples (at most all), evenly spaced: some sets are in order of class."""
    count = min(count, total)
    return np.arange(count) * total // count


def stratified_split(labels: np.ndarray, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, test), both sorted; the test part has `held_out` samples, each class in proportion (largest
    remainders first, so that the total is exact). The same on every machine and with every NumPy >= 1.17."""
    classes, counts = np.unique(labels, return_counts=True)
    share = counts * held_out / len(labels)
    take = np.floor(share).astype(int)
    order = np.argsort(-(share - take), kind="stable")
    take[order[: held_out - take.sum()]] += 1
    random = np.random.default_rng(seed)
    of_class = (random.permutation(np.flatnonzero(labels == c)) for c in classes)
    test = np.sort(np.concatenate([found[:count] for found, count in zip(of_class, take, strict=True)]))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return train, test


@dataset("digits")
def _digits() -> DataSet:
    from sklearn.datasets import load_digits  # slow to import, and only this set needs it

    found = load_digits()
    samples = found.images.astype(np.uint8)[:, None]
    labels = found.target.astype(np.int64)
    train, test = stratified_split(labels, DIGITS_HELD_OUT, SPLIT_SEED)
    return DataSet(
        name="digits",
        input=InputSpec(kind="image", channels=1, height=8, width=8, bits=5),
        classes=10,
        train_samples=samples[train],
        train_labels=labels[train],
        test_samples=samples[test],
        test_labels=labels[test],
    )


def augment(
    samples: torch.Tensor, *, shift: float, rotation: float, zoom: float, top: int, generator: torch.Generator
) -> torch.Tensor:
    """Images uint8 `[B, C, H, W]` under small random shifts (pixels), rotations (degrees) and zooms (relative),
    bilinear, rounded back to whole values 0..top: an augmented image is a possible input of the hardware."""
    count, _, height, width = samples.shape
    draw = torch.rand(4, count, generator=generator) * 2.0 - 1.0
    angle, size = draw[0] * rotation * torch.pi / 180.0, 1.0 + draw[1] * zoom
    cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
    move = torch.stack([draw[2] * 2.0 * shift / width, draw[3] * 2.0 * shift / height])
    matrix = torch.stack([cosine, -sine, move[0], sine, cosine, move[1]], dim=1).reshape(count, 2, 3)
    grid = functional.affine_grid(matrix, list(samples.shape), align_corners=False)
    moved = functional.grid_sample(samples.float(), grid, mode="bilinear", align_corners=False)
    return moved.round().clamp(0, top).to(torch.uint8)
