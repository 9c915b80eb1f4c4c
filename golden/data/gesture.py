# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""DVS128 Gesture, as published (AEDAT 3.1, and a table of gestures for each recording) and as tonic has it."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np

from ds2ta.errors import DataError
from ds2ta.golden.data.events import EVENT, Source, Window, after_comments, event_set, events_of, inner_folder
from ds2ta.golden.data.sets import DataSet, dataset

__all__ = ["GESTURE", "read_aedat31", "read_gesture_npy"]

GESTURE = Window(steps=10, height=128, width=128, bits=4)


def read_aedat31(path: Path) -> np.ndarray:
    """The polarity events of an AEDAT 3.1 recording: packets with a header of 28 bytes, little-endian. Event word
    bit 0: valid, 1: polarity, 2 to 16: row, 17 to 31: column."""
    content = path.read_bytes()
    start, found = after_comments(content, path, b"3.1"), [np.empty(0, EVENT)]
    while start < len(content):
        header = content[start : start + 28]
        if len(header) < 28:
            raise DataError(f"{path}: ends in the middle of a packet's header: damaged")
        kind = int.from_bytes(header[0:2], "little")
        size, _, overflow, capacity, number, _ = np.frombuffer(header[4:], "<u4").tolist()
        body = content[start + 28 : start + 28 + capacity * size]
        if len(body) < capacity * size or number > capacity or (kind == 1 and size != 8):
            raise DataError(f"{path}: a packet at byte {start} is cut off or impossible: damaged")
        if kind == 1:
            word = np.frombuffer(body, "<u4").reshape(-1, 2)[:number].astype(np.int64)
            word = word[(word[:, 0] & 1) == 1]
            data, t = word[:, 0], word[:, 1] + (overflow << 31)
            found.append(events_of(t, (data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF, (data >> 1) & 1))
        start += 28 + capacity * size
    return np.concatenate(found)


def read_gesture_npy(path: Path) -> np.ndarray:
    """One gesture of the extraction that tonic distributes: an array `[n, 4]` of x, y, polarity, milliseconds."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy file ({error})") from None
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise DataError(f"{path}: its array has shape {list(rows.shape)}, it must be [n, 4]")
    if rows.dtype.kind not in "iuf" or not np.isfinite(rows).all():
        raise DataError(f"{path}: its array of {rows.dtype} must hold finite numbers")
    return events_of(rows[:, 3] * 1000, rows[:, 0], rows[:, 1], rows[:, 2])


@dataset("dvs128-gesture", files=True)
def dvs128_gesture(folder: Path) -> DataSet:
    """`DvsGesture/` as published (`trials_to_train.txt`, `trials_to_test.txt`, `<name>.aedat` with
    `<name>_labels.csv`), or tonic's `ibmGestureTrain/<trial>/<class>.npy` and `ibmGestureTest`. 11 classes. T = 10
    frames of 128 x 128, counts up to 15."""
    published = inner_folder(folder, "DvsGesture", "DVSGesture")
    if any((published / f"ibmGesture{part}").is_dir() for part in ("Train", "Test")):
        parts: list[list[Source]] = []
        for part in ("ibmGestureTrain", "ibmGestureTest"):
            paths = sorted((published / part).glob("*/[0-9]*.npy"))
            if not paths:
                raise DataError(f"{published / part}: no gestures; unpack {part}.tar.gz there (TRIAL/CLASS.npy)")
            parts.append([(path, _gesture(path.stem, path), read_gesture_npy) for path in paths])
        return event_set("dvs128-gesture", 11, GESTURE, *parts)
    parts = []
    for part in ("train", "test"):
        index = published / f"trials_to_{part}.txt"
        if not index.is_file():
            raise DataError(f"{index}: no such file; unpack DvsGesture.tar.gz there")
        trials = _text(index).split()
        parts.append([source for trial in trials for source in _trial(published / trial)])
    return event_set("dvs128-gesture", 11, GESTURE, *parts)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); unpack DvsGesture.tar.gz there again") from None


class _Recording:
    """A recording of several gestures: read when the first is asked for, let go of after the last."""

    def __init__(self, path: Path, gestures: int):
        self.path, self._gestures, self._left = path, gestures, gestures
        self._events: np.ndarray | None = None
        self._lock = Lock()

    def reader(self, begin: int, end: int) -> Callable[[Path], np.ndarray]:
        """What reads the gesture between these times."""
        return lambda _: self.cut(begin, end)

    def cut(self, begin: int, end: int) -> np.ndarray:
        """Events of `begin <= t < end` microseconds."""
        with self._lock:
            events = self._events = read_aedat31(self.path) if self._events is None else self._events
            self._left -= 1
            if not self._left:
                self._events, self._left = None, self._gestures
        return events[(events["t"] >= begin) & (events["t"] < end)]


def _gesture(text: str, where: Path, first: int = 0) -> int:
    """Class 0..10; the published tables count from 1."""
    if not text.isdigit() or not first <= int(text) < 11 + first:
        raise DataError(f"{where}: class {text!r:.20} must lie in {first}..{10 + first}")
    return int(text) - first


def _trial(path: Path) -> list[Source]:
    """The gestures of one published recording, cut out by its table of classes and times."""
    table = path.with_name(f"{path.stem}_labels.csv")
    for file in (path, table):
        if not file.is_file():
            raise DataError(f"{file}: no such file; unpack DvsGesture.tar.gz there")
    rows = [line.split(",") for line in _text(table).split()]
    if not rows or rows[0] != ["class", "startTime_usec", "endTime_usec"]:
        raise DataError(f"{table}: must begin with class,startTime_usec,endTime_usec")
    found: list[Source] = []
    recording = _Recording(path, len(rows) - 1)
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 3 or not all(map(str.isdigit, row)):
            raise DataError(f"{table}: line {number} is not a class and two times in microseconds")
        begin, end = int(row[1]), int(row[2])
        found.append((path, _gesture(row[0], table, 1), recording.reader(begin, end)))
    return found
