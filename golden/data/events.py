# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Event data sets in their publishers' own layouts: N-MNIST and CIFAR10-DVS; `data_gesture.py` has DVS128 Gesture.

A recording becomes T frames uint8 `[T, 2, height, width]`: its events, in the order of the file, are cut into T
runs of equal number (the first T-1 have `n // T` events, the last takes the rest), and a frame counts those of each
pixel and polarity (channel 0: darker, 1: brighter). Counts are clipped to `2**bits - 1`, because the hardware's
input has so many bits; `DataSet.input.bits` says how many.

The readers are ours, a few lines of numpy each: tonic's classes would bring librosa, numba and h5py along, refuse a
folder that does not hold a complete set, want CIFAR10-DVS re-encoded, and may start a download.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2ta.errors import DataError
from ds2ta.golden.data.known import KNOWN
from ds2ta.golden.data.sets import DataSet, dataset
from ds2ta.network import InputSpec

__all__ = [
    "EVENT",
    "Source",
    "Window",
    "aedat2_events",
    "after_comments",
    "count_events",
    "event_set",
    "events_of",
    "frames",
    "inner_folder",
    "naming",
    "read_aedat2",
    "read_nmnist",
]

#: One event: microseconds, column, row, polarity (1: brighter).
EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])


@dataclass(frozen=True)
class Window:
    """How recordings of a set become frames."""

    steps: int
    height: int
    width: int
    bits: int


NMNIST = Window(steps=4, height=34, width=34, bits=2)
CIFAR10_DVS = Window(steps=10, height=128, width=128, bits=4)


def events_of(t, x, y, p) -> np.ndarray:
    """Events `[n]` of microseconds, columns, rows and polarities; those that no sensor has are refused."""
    for name, values, top in (("columns", x, 0xFFFF), ("rows", y, 0xFFFF), ("polarities", p, 1)):
        if len(values) and not (values.min() >= 0 and values.max() <= top):
            raise DataError(f"{name} {values.min()}..{values.max()} must lie in 0..{top}: damaged")
    found = np.empty(len(t), EVENT)
    found["t"], found["x"], found["y"], found["p"] = t, x, y, p
    return found


def count_events(counts: np.ndarray, step: np.ndarray, events: np.ndarray) -> None:
    """Add events to the counts `[T, channels, height, width]` of their frames; one channel has both polarities."""
    channel = np.minimum(events["p"], counts.shape[1] - 1)
    place = np.ravel_multi_index((step, channel, events["y"], events["x"]), counts.shape)
    np.add.at(counts.reshape(-1), place, 1)


def frames(events: np.ndarray, window: Window) -> np.ndarray:
    """Frames uint8 `[T, 2, H, W]` of a recording, as the module says."""
    size = len(events) // window.steps
    if not size:
        raise DataError(f"{len(events)} events cannot fill {window.steps} frames")
    if int(events["x"].max()) >= window.width or int(events["y"].max()) >= window.height:
        raise DataError(f"events lie outside of the {window.width} x {window.height} pixels of the sensor")
    step = np.minimum(np.arange(len(events)) // size, window.steps - 1)
    counts = np.zeros((window.steps, 2, window.height, window.width), np.uint32)
    count_events(counts, step, events)
    return np.minimum(counts, (1 << window.bits) - 1).astype(np.uint8)


def read_nmnist(path: Path) -> np.ndarray:
    """An N-MNIST recording: 40 bits an event, x, y, polarity and 23 bits of microseconds. Row 240 marks an overflow
    of the clock: 2**13 microseconds are added to all that follow."""
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(raw) or len(raw) % 5:
        raise DataError(f"{path}: {len(raw)} bytes are not whole events of 5: damaged")
    word = raw.reshape(-1, 5).astype(np.int64)
    t = ((word[:, 2] & 127) << 16) | (word[:, 3] << 8) | word[:, 4]
    overflow = word[:, 1] == 240
    t = t + (np.cumsum(overflow) << 13)
    return events_of(t, word[:, 0], word[:, 1], word[:, 2] >> 7)[~overflow]


def after_comments(content: bytes, path: Path, version: bytes) -> int:
    """Where the data of an AEDAT file begins: after all lines that begin with `#`."""
    if not content.startswith(b"#!AER-DAT" + version):
        raise DataError(f"{path}: does not begin with #!AER-DAT{version.decode()}: damaged or foreign")
    start = 0
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start)
        if end < 0:
            raise DataError(f"{path}: its header has no end: damaged")
        line, start = content[start:end].rstrip(), end + 1
        if line == b"#!END-HEADER":
            break
    return start


def read_aedat2(path: Path) -> np.ndarray:
    """An AEDAT 2.0 recording of a DVS128, as CIFAR10-DVS publishes them: big-endian address and microseconds, 32
    bits each. Address bit 0: polarity, 1 for darker; 1 to 7: row from below; 8 to 14: column from the right:
    frames lie as SpikingJelly's reader turns them."""
    content = path.read_bytes()
    data = content[after_comments(content, path, b"2.0") :]
    if not data or len(data) % 8:
        raise DataError(f"{path}: {len(data)} bytes of data are not whole events of 8: damaged")
    return aedat2_events(data)


def aedat2_events(data: bytes) -> np.ndarray:
    """The whole events of this piece of an AEDAT 2.0 recording of a DVS128."""
    word = np.frombuffer(data, ">u4").reshape(-1, 2).astype(np.int64)
    address = word[:, 0]
    return events_of(word[:, 1], 127 - ((address >> 8) & 127), 127 - ((address >> 1) & 127), 1 - (address & 1))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file of a recording is a `DataError` that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


Source = tuple[Path, int, Callable[[Path], np.ndarray]]  # file, class, reader


def _all(sources: Sequence[Source], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Frames and labels of every recording, read in threads (numpy lets go of the interpreter where it matters)."""

    def one(source: Source) -> np.ndarray:
        path, _, read = source
        with naming(path):
            return frames(read(path), window)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(one, sources))
    return np.stack(found), np.array([label for _, label, _ in sources], np.int64)


def event_set(name: str, classes: int, window: Window, train: Sequence[Source], test: Sequence[Source]) -> DataSet:
    """The data set of these recordings."""
    (train_samples, train_labels), (test_samples, test_labels) = (_all(part, window) for part in (train, test))
    return DataSet(
        name=name,
        input=InputSpec(kind="frames", channels=2, height=window.height, width=window.width, bits=window.bits),
        classes=classes,
        train_samples=train_samples,
        train_labels=train_labels,
        test_samples=test_samples,
        test_labels=test_labels,
    )


def inner_folder(folder: Path, *names: str) -> Path:
    """The first of the folders that publishers and other programs make inside, or the folder itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


@dataset("nmnist", files=True)
def nmnist(folder: Path) -> DataSet:
    """`Train/<digit>/<number>.bin` and `Test/...` in `folder` or in its `NMNIST` or `N-MNIST`, however many there
    are. T = 4 frames of 34 x 34, counts up to 3."""
    folder, parts = inner_folder(folder, "NMNIST", "N-MNIST"), []
    for part in ("Train", "Test"):
        paths = sorted(folder.glob(f"{part}/[0-9]/*.bin"), key=lambda path: path.name)
        if not paths:
            raise DataError(
                f"{folder / part}: no recordings; unpack {part}.zip of N-MNIST there (0/00002.bin, ...)"
            )
        parts.append([(path, int(path.parent.name), read_nmnist) for path in paths])
    return event_set("nmnist", 10, NMNIST, *parts)


@dataset("cifar10-dvs", files=True)
def cifar10_dvs(folder: Path) -> DataSet:
    """`<class>/cifar10_<class>_<number>.aedat` in `folder` or in its `CIFAR10DVS` or `extract`. Of each class the
    last tenth by name as text (91 comes behind 909) is held out, as in Spikformer's split. T = 10 frames of
    128 x 128, counts up to 15."""
    folder = inner_folder(folder, "CIFAR10DVS", "extract")
    train, test = [], []
    for label, name in enumerate(KNOWN["cifar10-dvs"].classes):
        paths = sorted((folder / name).glob("*.aedat"), key=lambda path: path.name)
        if len(paths) < 2:
            raise DataError(f"{folder / name}: no recordings; unpack {name}.zip of CIFAR10-DVS there (*.aedat)")
        held_out = max(1, len(paths) // 10)
        sources = [(path, label, read_aedat2) for path in paths]
        train += sources[:-held_out]
        test += sources[-held_out:]
    return event_set("cifar10-dvs", 10, CIFAR10_DVS, train, test)
