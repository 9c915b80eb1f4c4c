# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A user's own recordings of an event camera, a folder for each class: what `data` of a network file says of them,
and the frames that they become.

    train/<class>/*  and  test/<class>/*      the split is given
    <class>/*                                 of each class some recordings are held out, always the same ones

A recording, or each window of it, becomes T frames of the network's input: `docs/model-file.md`, section 7, says
how, in its table of `events`. It is read twice, a piece at a time: first to know that all of it is good, and how
many events each window has; then to count them. Frames go to a file in `build/recordings/`, which the arrays of the
set are mapped from, so that a set may be larger than memory; the next run finds it there.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from ds2ta.about import About, Events, SampleOrigin
from ds2ta.checked import BaseModel, ConfigDict, Field
from ds2ta.errors import DataError
from ds2ta.files import build_folder, digest
from ds2ta.golden.data.events import count_events, naming
from ds2ta.golden.data.formats import SUFFIXES, pieces
from ds2ta.golden.data.sets import SPLIT_SEED, DataSet, data_kind, stratified_split
from ds2ta.modelrules import MAX_CLASS_NAME
from ds2ta.network import InputSpec

__all__ = ["KIND", "EventSettings", "Recordings", "load_recordings"]

KIND = "recordings"
VERSION = 1  # of the files in the cache: another one where the same recordings become other frames
SHOWN = 20  # classes, in what is told


class EventSettings(BaseModel):
    """What a network file says of its recordings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: Literal["recordings"]
    width: int = Field(ge=1, le=4096)  # of the sensor, pixels
    height: int = Field(ge=1, le=4096)
    window_ms: float | None = Field(None, ge=0.001, le=3_600_000)  # of a sample; None: a whole recording is one
    by: Literal["time", "count"] = "time"  # T equal spans, or T runs of equally many events
    bits: int = Field(4, ge=1, le=8)  # of a count of events
    held_out: float = Field(0.2, gt=0, le=0.5)  # share of the recordings, where there is no folder test
    skip: bool = False  # leave out what is no recording, or damaged, instead of refusing it
    source: str = Field("own recordings", min_length=1, max_length=200)  # for the model file
    licence: str = Field("not stated", min_length=1, max_length=200)
    pass_on: bool | None = None  # whether test samples may go into a model file; None: they do


class Recordings(EventSettings):
    """The same with what the network asks for."""

    steps: int = Field(ge=1, le=16)
    input: InputSpec

    @property
    def window(self) -> int | None:
        """Microseconds of a window."""
        return None if self.window_ms is None else round(self.window_ms * 1000)

    def about(self, classes: tuple[str, ...]) -> About:
        """What goes into the model file."""
        return About(
            classes=classes,
            events=Events(
                cut=self.by,
                microseconds=self.window if self.by == "time" else None,
                sensor_height=self.height,
                sensor_width=self.width,
            ),
            samples=SampleOrigin(source=self.source, licence=self.licence, pass_on=self.pass_on),
        )


@dataclass(frozen=True)
class _Recording:
    path: Path
    label: int


class _Skipping:
    """What is left out where the file says so, and refused where it does not."""

    def __init__(self, allowed: bool):
        self.allowed = allowed
        self.found: list[str] = []

    def leave(self, what: str) -> None:
        if not self.allowed:
            raise DataError(f"{what}; take it away, or say `skip: true` in the network file's data")
        self.found.append(what)


def _entries(folder: Path) -> list[Path]:
    with naming(folder):
        return sorted(folder.iterdir(), key=lambda path: path.name)


def _folders(folder: Path, skipping: _Skipping) -> list[Path]:
    found = []
    for path in _entries(folder):
        if path.is_dir():
            found.append(path)
        else:
            skipping.leave(f"{path}: is no folder of a class")
    return found


def _class_folders(folder: Path, skipping: _Skipping) -> dict[str, Path]:
    """Class -> its folder, in order of the names, which a model file must be able to hold."""
    found: dict[str, Path] = {}
    alike: dict[str, str] = {}
    for path in _folders(folder, skipping):
        name = path.name
        if not (len(name) <= MAX_CLASS_NAME and name.isprintable() and name == name.strip()):
            raise DataError(
                f"{folder / name!s:.300}: a class must have a name of 1..{MAX_CLASS_NAME} printable characters"
            )
        plain = unicodedata.normalize("NFKC", name).casefold()
        if plain in alike:
            raise DataError(
                f"{path}: differs from {alike[plain]} in the case or the code of letters alone: rename one"
            )
        alike[plain], found[name] = name, path
    if not found:
        raise DataError(f"{folder}: no class folders; put the recordings of each class into a folder of its name")
    return found


def _recordings(folder: Path, label: int, skipping: _Skipping) -> list[_Recording]:
    found: dict[str, Path] = {}
    for path in _entries(folder):
        if path.is_dir() or path.suffix.lower() not in SUFFIXES:
            skipping.leave(f"{path}: is no recording ({', '.join(SUFFIXES)})")
        elif path.stem in found:
            raise DataError(f"{path}: has the name of {found[path.stem].name}: leave one of the two")
        else:
            found[path.stem] = path
    if not found:
        raise DataError(f"{folder}: no recordings ({', '.join(SUFFIXES)}); fill it, or take the folder away")
    return [_Recording(path, label) for path in found.values()]


Parts = dict[str, list[_Recording]]  # of train and test


def _layout(folder: Path, settings: Recordings, skipping: _Skipping) -> tuple[tuple[str, ...], Parts]:
    """Classes in order, and the recordings of both parts."""
    given: dict[str, Path] = {}
    for path in _entries(folder):
        part = path.name.lower()
        if part in ("train", "test") and path.is_dir():
            if part in given:
                raise DataError(f"{path}: differs from {given[part].name} in the case of letters alone: rename one")
            given[part] = path
    if len(given) == 1:
        ((part, path),) = given.items()
        if any(inner.is_dir() for inner in _entries(path)):
            other = "test" if part == "train" else "train"
            raise DataError(
                f"{folder}: has {path.name}/<class> and no {other}/<class>: make both, or <class> alone"
            )
        given = {}
    if not given:
        classes = tuple(_class_folders(folder, skipping).items())
        every = [_recordings(path, label, skipping) for label, (_, path) in enumerate(classes)]
        names = tuple(name for name, _ in classes)
        return _two(folder, names), _split(folder, names, [one for part in every for one in part], settings)
    for path in _folders(folder, skipping):
        if path not in given.values():
            skipping.leave(f"{path}: is beside train and test")
    train, test = (_class_folders(given[part], skipping) for part in ("train", "test"))
    if foreign := [path for name, path in test.items() if name not in train]:
        raise DataError(f"{foreign[0]}: {given['train']} has no such class: {', '.join(train):.100}")
    names = _two(given["train"], tuple(train))
    parts = {
        part: [one for name, path in of.items() for one in _recordings(path, names.index(name), skipping)]
        for part, of in (("train", train), ("test", test))
    }
    return names, parts


def _two(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) < 2:
        raise DataError(f"{folder}: has one class alone, {names[0]}: a network tells at least two apart")
    return names


def _split(folder: Path, names: tuple[str, ...], every: list[_Recording], settings: Recordings) -> Parts:
    """Whole recordings are held out: windows of one and the same are too much alike."""
    labels = np.array([one.label for one in every])
    train, test = stratified_split(labels, round(settings.held_out * len(every)), SPLIT_SEED)
    for label, name in enumerate(names):
        if not (labels[test] == label).any() or not (labels[train] == label).any():
            raise DataError(
                f"{folder / name}: {(labels == label).sum()} recordings are too few to hold out "
                f"{100 * settings.held_out:g} % of each class: add some, or make train/<class> and test/<class>"
            )
    return {"train": [every[index] for index in train], "test": [every[index] for index in test]}


@dataclass(frozen=True)
class _Windows:
    """Those of a recording that become samples: number -> events, from the window of the first event on. `empty`:
    windows without events, or with fewer than there are frames to fill."""

    first: int
    length: int  # microseconds
    events: Mapping[int, int]
    empty: int


def _numbers(times: np.ndarray, first: int, length: int | None) -> np.ndarray:
    """Window of each event."""
    return np.zeros(len(times), np.int64) if length is None else (times - first) // length


def _windows(events: Iterable[np.ndarray], settings: Recordings) -> _Windows:
    """Read a recording through, and find its windows. What is left over at its end is dropped."""
    first = last = None
    counts: Counter[int] = Counter()
    for part in events:
        first, last = int(part["t"][0]) if first is None else first, int(part["t"][-1])
        numbers, events_of = np.unique(_numbers(part["t"], first, settings.window), return_counts=True)
        counts.update(dict(zip(numbers.tolist(), events_of.tolist(), strict=True)))
    if first is None or last is None:
        return _Windows(0, 1, {}, 1)
    span = last - first + 1
    length = settings.window or span
    least = 1 if settings.by == "time" else settings.steps
    kept = {number: count for number, count in counts.items() if number < span // length and count >= least}
    return _Windows(first, length, kept, span // length - len(kept))


def _samples(events: Iterable[np.ndarray], windows: _Windows, settings: Recordings) -> Iterator[np.ndarray]:
    """Frames uint8 `[T, channels, height, width]` of each window, in order."""
    shape, steps = settings.input, settings.steps
    counts = np.zeros((steps, shape.channels, shape.height, shape.width), np.uint32)
    top, present, done = (1 << settings.bits) - 1, -1, 0
    for part in events:
        numbers = _numbers(part["t"], windows.first, windows.length)
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(part)]
        for begin, end in pairwise(cuts):
            number, run = int(numbers[begin]), part[begin:end].copy()
            if number not in windows.events:
                continue
            if number != present:
                if present >= 0:
                    yield np.minimum(counts, top).astype(np.uint8)
                    counts[:] = 0
                present, done = number, 0
            if settings.by == "time":
                step = (run["t"] - windows.first - number * windows.length) * steps // windows.length
            else:
                size = windows.events[number] // steps
                step = np.minimum((done + np.arange(len(run))) // size, steps - 1)
            for axis, to, of in (("x", shape.width, settings.width), ("y", shape.height, settings.height)):
                run[axis] = run[axis].astype(np.int64) * to // of
            count_events(counts, step, run)
            done += len(run)
    if present >= 0:
        yield np.minimum(counts, top).astype(np.uint8)


@dataclass
class _Part:
    """Samples of one part, as they are written one after another."""

    name: str
    labels: list[int]
    recordings: int = 0
    empty: int = 0
    short: int = 0

    def add(self, one: _Recording, settings: Recordings, file: BinaryIO) -> None:
        def read() -> Iterator[np.ndarray]:
            with naming(one.path):
                yield from pieces(one.path, width=settings.width, height=settings.height)

        windows = _windows(read(), settings)
        if windows.events:
            for sample in _samples(read(), windows, settings):
                file.write(sample.tobytes())
        self.labels += [one.label] * len(windows.events)
        self.recordings += 1
        self.empty += windows.empty
        self.short += not windows.events and not windows.empty

    def told(self, names: tuple[str, ...], settings: Recordings) -> list[str]:
        counts = np.bincount(self.labels, minlength=len(names)).tolist()
        of = ", ".join(f"{name} {count}" for name, count in list(zip(names, counts, strict=True))[:SHOWN])
        more = ", ..." if len(names) > SHOWN else ""
        lines = [f"{self.name}: {len(self.labels)} samples of {self.recordings} recordings ({of}{more})"]
        if self.empty:
            fewer = "without events" if settings.by == "time" else f"of fewer than {settings.steps} events"
            lines.append(f"{self.name}: {self.empty} windows {fewer} are left out")
        if self.short:
            lines.append(
                f"{self.name}: {self.short} recordings are shorter than a window of {settings.window_ms:g} ms"
            )
        return lines


def _fill(cache: Path, names: tuple[str, ...], parts: Parts, settings: Recordings, skipping: _Skipping) -> None:
    """Write the frames of both parts, then, when all is good, what they are."""
    found: dict[str, list[int]] = {}
    notes: list[str] = []
    for name, recordings in parts.items():
        part = _Part(name, [])
        with _whole(cache / f"{name}.u8") as file:
            for one in recordings:
                before = file.tell()
                try:
                    part.add(one, settings, file)
                except DataError as error:
                    skipping.leave(str(error))
                    file.seek(before)
                    file.truncate()
        lacking = [label for label in range(len(names)) if label not in part.labels]
        if lacking and (name == "train" or not part.labels):
            left = f"{part.empty + part.short} windows or recordings are left out, {len(skipping.found)} skipped"
            first = f", the first: {skipping.found[0]}" if skipping.found else ""
            raise DataError(f"{name}: not one sample of class {names[lacking[0]]}: {left}{first}")
        found[name] = part.labels
        notes += part.told(names, settings)
    if skipping.found:
        notes.append(f"{len(skipping.found)} skipped, the first: {skipping.found[0]}")
    with _whole(cache / "set.json") as file:
        file.write(json.dumps({"labels": found, "notes": notes}).encode())


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does; of one that is not to be had the reader tells."""
    try:
        found = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns


def _mapped(path: Path, labels: np.ndarray, settings: Recordings) -> np.ndarray:
    shape = settings.input
    size = (len(labels), settings.steps, shape.channels, shape.height, shape.width)
    return np.memmap(path, np.uint8, "c", shape=size)


@data_kind(KIND, Recordings)
def load_recordings(folder: Path, settings: Recordings) -> DataSet:
    """The set of a folder; `DataError` for the first thing that is wrong with it."""
    skipping = _Skipping(settings.skip)
    names, parts = _layout(folder, settings, skipping)
    states = [_state(one.path) for part in parts.values() for one in part]
    key = digest(VERSION, settings.model_dump(mode="json"), folder.resolve(), names, skipping.found, states)
    try:
        with build_folder(KIND, key) as cache:
            if not (cache / "set.json").is_file():
                _fill(cache, names, parts, settings, skipping)
            about = json.loads((cache / "set.json").read_text())
            labels = {part: np.array(about["labels"][part], np.int64) for part in parts}
            samples = {part: _mapped(cache / f"{part}.u8", labels[part], settings) for part in parts}
    except OSError as error:
        raise DataError(
            f"{folder}: its frames cannot be kept in build/{KIND} ({error.strerror or error})"
        ) from None
    return DataSet(
        name=KIND,
        input=settings.input,
        classes=len(names),
        train_samples=samples["train"],
        train_labels=labels["train"],
        test_samples=samples["test"],
        test_labels=labels["test"],
        about=settings.about(names),
        notes=tuple(about["notes"]),
    )
