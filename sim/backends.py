# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""One model, three independent ways to run it: fast golden, slow golden, RTL. And where two of them part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ds2ta.errors import FitError, ImageError
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.model import IntegerModel
from ds2ta.sim.photos import PICTURES, read_photo

__all__ = [
    "BACKENDS",
    "Difference",
    "Result",
    "best_classes",
    "first_difference",
    "load_images",
    "run_samples",
    "sample_names",
    "trace_order",
]

BACKENDS = ("golden", "slow", "rtl")


@dataclass(frozen=True)
class Result:
    """One sample's result. `cycles` only from the RTL; `trace` only when asked for."""

    class_index: int
    logits: tuple[int, ...]
    cycles: int | None = None
    trace: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Difference:
    """The first element, in the order of computation, in which two runs differ."""

    layer: str
    place: dict[str, int]  # step, token (or row and column), channel; for scores head, query, key
    left: int
    right: int


def load_images(path: str | Path, model: IntegerModel) -> np.ndarray:
    """uint8 samples `[n, *sample_shape]` from a .npy file (a single sample gets its batch axis), or one from a
    picture. Raises `ImageError` naming the file, what is wrong, and the limit."""
    path = Path(path)
    if path.suffix.lower() in PICTURES:
        return read_photo(path, model)[None]
    shape, top = model.network.sample_shape, (1 << model.network.input.bits) - 1
    if not path.is_file():
        raise ImageError(f"{path}: no such file; give a .npy array of uint8 {['n', *shape]}")
    try:
        with path.open("rb") as file:  # numpy leaves it open where it is a damaged archive
            images = np.load(file, allow_pickle=False)
            images = images if isinstance(images, np.ndarray) else None
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile):
        raise ImageError(f"{path}: not a .npy array of numbers; write one with numpy.save") from None
    if images is None:
        raise ImageError(f"{path}: an archive of arrays, give one .npy array of uint8 {['n', *shape]}")
    if images.dtype != np.uint8:
        raise ImageError(f"{path}: type {images.dtype}, the model takes uint8 values 0..{top}")
    if images.shape == shape:
        images = images[None]
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape or not len(images):
        raise ImageError(f"{path}: shape {list(images.shape)}, the model takes {['n', *shape]} with n >= 1")
    if images.max() > top:
        at = [int(i) for i in np.unravel_index(images.argmax(), images.shape)]
        raise ImageError(f"{path}: value {images.max()} at {at}, the model takes 0..{top}")
    return images


def sample_names(files: Sequence[tuple[Path, int]]) -> list[str]:
    """What the samples of files, each with their number, are called: a number where there is one array alone."""
    if len(files) == 1 and files[0][0].suffix.lower() not in PICTURES:
        return [str(number) for number in range(files[0][1])]
    return [
        path.name if path.suffix.lower() in PICTURES else f"{path.name}[{number}]"
        for path, count in files
        for number in range(count)
    ]


def best_classes(logits: Sequence[int], count: int = 3) -> list[int]:
    """The classes of the largest logits, the largest first; of equal ones the lower class, as the hardware does."""
    return sorted(range(len(logits)), key=lambda number: (-logits[number], number))[:count]


def run_samples(
    model: IntegerModel,
    images: np.ndarray,
    backend: str,
    *,
    fitted: tuple[Machine, Program] | None = None,
    trace: bool = False,
    waves: Path | None = None,
) -> Iterator[Result]:
    """Results in order, one at a time. The RTL needs `fitted`, what `fit` gives, and `waves` names a VCD for it."""
    if backend == "golden":
        from ds2ta.golden.integer import IntegerNetwork

        golden = IntegerNetwork(model)
        for image in images:
            tensors = golden.trace(image[None]) if trace else {"logits": golden.run(image[None])}
            yield _result({name: np.asarray(value)[0] for name, value in tensors.items()}, trace)
    elif backend == "slow":
        from ds2ta.golden import slow

        for image in images:
            yield _result(slow.run(model, image), trace)
    elif backend == "rtl":
        from ds2ta.sim.network import RtlNetwork

        if fitted is None:
            raise FitError(f"backend rtl: needs a machine and a program for model {model.network.name}")
        machine, program = fitted
        with RtlNetwork(model, machine, program=program, waves=waves) as rtl:
            for image in images:
                result = rtl.run(image, trace=trace)
                found = {**result.trace, "logits": result.logits} if trace else None
                yield Result(result.class_index, tuple(result.logits.tolist()), result.cycles, found)
    else:
        raise ImageError(f"backend {backend!r}: must be one of {', '.join(BACKENDS)}")


def _result(found: Mapping[str, np.ndarray], trace: bool) -> Result:
    logits = np.asarray(found["logits"])
    return Result(int(np.argmax(logits)), tuple(logits.tolist()), None, found if trace else None)


def trace_order(model: IntegerModel) -> list[str]:
    """Names of all tensors of a trace, in the order of computation."""
    network, names = model.network, []
    for index, conv in enumerate(network.stem):
        names += [f"stem.{index}"] + ([f"stem.{index}.pool"] if conv.pool else [])
    names += ["rpe", "embed"]
    parts = ("q", "k", "v", "score", "denoised", "attn", "proj", "x1", "fc1", "fc2", "x2")
    names += [f"block.{block}.{part}" for block in range(network.depth) for part in parts]
    return [*names, "logits"]


def first_difference(
    model: IntegerModel, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> Difference | None:
    """Where two runs first differ, over the tensors that both have; None when they are equal."""
    for name in trace_order(model):
        if name not in left or name not in right:
            continue
        one, other = np.asarray(left[name]), np.asarray(right[name])
        if one.shape != other.shape:
            raise ImageError(f"tensor {name}: shapes {one.shape} and {other.shape} differ")
        wrong = np.argwhere(one != other)
        if len(wrong):
            at = tuple(int(index) for index in wrong[0])
            return Difference(name, dict(zip(_axes(name, one.ndim), at, strict=True)), int(one[at]), int(other[at]))
    return None


def _axes(name: str, dimensions: int) -> tuple[str, ...]:
    if name == "logits":
        return ("class",)
    if name.endswith((".score", ".denoised")):
        return ("step", "head", "query", "key")
    return ("step", "channel", "row", "column") if dimensions == 4 else ("step", "token", "channel")
