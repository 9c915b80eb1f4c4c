"""Event data sets in their publishers' own layouts: N-MNIST, CIFAR10-DVS and DVS128 Gesture.

A recording becomes T frames uint8 `[T, 2, height, width]`: its events, in the order of the file, are cut into T
runs of equal number (the first T-1 have `n // T` events, the last takes the rest), and a frame counts those of each
pixel and polarity (channel 0: darker, 1: brighter). Counts are clipped to `2**bits - 1`, because the hardware's
input has so many bits; `DataSet.input.bits` says how many.

The readers are ours, a few lines of numpy each: tonic's classes would bring librosa, numba and h5py along, refuse a
folder that does not hold a complete set, want CIFAR10-DVS re-encoded, and may start a download.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2ta.errors import DataError
from ds2ta.golden.data import DataSet, dataset
from ds2ta.network import InputSpec

__all__ = ["EVENT", "frames", "read_aedat2", "read_aedat31", "read_gesture_npy", "read_nmnist"]

#: One event: microseconds, column, row, polarity (1: brighter).
EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Window:
    """How recordings of a set become frames."""

    steps: int
    height: int
    width: int
    bits: int


NMNIST = Window(steps=4, height=34, width=34, bits=2)
CIFAR10_DVS = Window(steps=10, height=128, width=128, bits=4)
GESTURE = Window(steps=10, height=128, width=128, bits=4)


def _events(t, x, y, p) -> np.ndarray:
    found = np.empty(len(t), EVENT)
    found["t"], found["x"], found["y"], found["p"] = t, x, y, p
    return found


def frames(events: np.ndarray, window: Window) -> np.ndarray:
    """Frames uint8 `[T, 2, H, W]` of a recording, as the module says."""
    size = len(events) // window.steps
    if not size:
        raise DataError(f"{len(events)} events cannot fill {window.steps} frames")
    if int(events["x"].max()) >= window.width or int(events["y"].max()) >= window.height:
        raise DataError(f"events lie outside of the {window.width} x {window.height} pixels of the sensor")
    step = np.minimum(np.arange(len(events)) // size, window.steps - 1)
    shape = (window.steps, 2, window.height, window.width)
    place = np.ravel_multi_index((step, events["p"], events["y"], events["x"]), shape)
    counts = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)
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
    return _events(t, word[:, 0], word[:, 1], word[:, 2] >> 7)[~overflow]


def _after_comments(content: bytes, path: Path, version: bytes) -> int:
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
    bits each. Address bit 0: polarity, 1 for darker; 1 to 7: column from the right; 8 to 14: row."""
    content = path.read_bytes()
    data = content[_after_comments(content, path, b"2.0") :]
    if not data or len(data) % 8:
        raise DataError(f"{path}: {len(data)} bytes of data are not whole events of 8: damaged")
    word = np.frombuffer(data, ">u4").reshape(-1, 2).astype(np.int64)
    address = word[:, 0]
    return _events(word[:, 1], 127 - ((address >> 1) & 127), (address >> 8) & 127, 1 - (address & 1))


def read_aedat31(path: Path) -> np.ndarray:
    """The polarity events of an AEDAT 3.1 recording: packets with a header of 28 bytes, little-endian. Event word
    bit 0: valid, 1: polarity, 2 to 16: row, 17 to 31: column."""
    content = path.read_bytes()
    start, found = _after_comments(content, path, b"3.1"), [np.empty(0, EVENT)]
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
            found.append(_events(t, (data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF, (data >> 1) & 1))
        start += 28 + capacity * size
    return np.concatenate(found)


def read_gesture_npy(path: Path) -> np.ndarray:
    """One gesture of the extraction that tonic distributes: an array `[n, 4]` of x, y, polarity, milliseconds."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable .npy file ({error})") from None
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise DataError(f"{path}: its array has shape {list(rows.shape)}, it must be [n, 4]")
    return _events(rows[:, 3] * 1000, rows[:, 0], rows[:, 1], rows[:, 2])


Source = tuple[Path, int, Callable[[Path], np.ndarray]]  # file, class, reader


def _all(sources: Sequence[Source], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Frames and labels of every recording, read in threads (numpy lets go of the interpreter where it matters)."""

    def one(source: Source) -> np.ndarray:
        path, _, read = source
        try:
            return frames(read(path), window)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(one, sources))
    return np.stack(found), np.array([label for _, label, _ in sources], np.int64)


def _set(name: str, classes: int, window: Window, train: Sequence[Source], test: Sequence[Source]) -> DataSet:
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


def _inner(folder: Path, *names: str) -> Path:
    """The first of the folders that publishers and other programs make inside, or the folder itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


@dataset("nmnist", files=True)
def nmnist(folder: Path) -> DataSet:
    """`Train/<digit>/<number>.bin` and `Test/...` in `folder` or in its `NMNIST` or `N-MNIST`, however many there
    are. T = 4 frames of 34 x 34, counts up to 3."""
    folder, parts = _inner(folder, "NMNIST", "N-MNIST"), []
    for part in ("Train", "Test"):
        paths = sorted(folder.glob(f"{part}/[0-9]/*.bin"), key=lambda path: path.name)
        if not paths:
            raise DataError(
                f"{folder / part}: no recordings; unpack {part}.zip of N-MNIST there (0/00002.bin, ...)"
            )
        parts.append([(path, int(path.parent.name), read_nmnist) for path in paths])
    return _set("nmnist", 10, NMNIST, *parts)


@dataset("cifar10-dvs", files=True)
def cifar10_dvs(folder: Path) -> DataSet:
    """`<class>/cifar10_<class>_<number>.aedat` in `folder` or in its `CIFAR10DVS` or `extract`. Of each class the
    last tenth by number is held out, as in Spikformer's split. T = 10 frames of 128 x 128, counts up to 15."""
    folder = _inner(folder, "CIFAR10DVS", "extract")
    train, test = [], []
    for label, name in enumerate(_CIFAR10_CLASSES):
        paths = sorted((folder / name).glob("*.aedat"), key=lambda path: (len(path.name), path.name))
        if len(paths) < 2:
            raise DataError(f"{folder / name}: no recordings; unpack {name}.zip of CIFAR10-DVS there (*.aedat)")
        held_out = max(1, len(paths) // 10)
        sources = [(path, label, read_aedat2) for path in paths]
        train += sources[:-held_out]
        test += sources[-held_out:]
    return _set("cifar10-dvs", 10, CIFAR10_DVS, train, test)


@dataset("dvs128-gesture", files=True)
def dvs128_gesture(folder: Path) -> DataSet:
    """`DvsGesture/` as published (`trials_to_train.txt`, `trials_to_test.txt`, `<name>.aedat` with
    `<name>_labels.csv`), or tonic's `ibmGestureTrain/<trial>/<class>.npy` and `ibmGestureTest`. 11 classes. T = 10
    frames of 128 x 128, counts up to 15."""
    published = _inner(folder, "DvsGesture", "DVSGesture")
    if any((published / f"ibmGesture{part}").is_dir() for part in ("Train", "Test")):
        parts = []
        for part in ("ibmGestureTrain", "ibmGestureTest"):
            paths = sorted((published / part).glob("*/[0-9]*.npy"))
            if not paths:
                raise DataError(f"{published / part}: no gestures; unpack {part}.tar.gz there (TRIAL/CLASS.npy)")
            parts.append([(path, _gesture(path.stem, path), read_gesture_npy) for path in paths])
        return _set("dvs128-gesture", 11, GESTURE, *parts)
    parts = []
    for part in ("train", "test"):
        index = published / f"trials_to_{part}.txt"
        if not index.is_file():
            raise DataError(f"{index}: no such file; unpack DvsGesture.tar.gz there")
        trials = index.read_text().split()
        parts.append([source for trial in trials for source in _trial(published / trial)])
    return _set("dvs128-gesture", 11, GESTURE, *parts)


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

    def cut(begin: int, end: int) -> Callable[[Path], np.ndarray]:
        def read(file: Path) -> np.ndarray:
            events = read_aedat31(file)
            return events[(events["t"] >= begin) & (events["t"] < end)]

        return read

    rows = [line.split(",") for line in table.read_text().split()]
    if not rows or rows[0] != ["class", "startTime_usec", "endTime_usec"]:
        raise DataError(f"{table}: must begin with class,startTime_usec,endTime_usec")
    found = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 3 or not all(map(str.isdigit, row)):
            raise DataError(f"{table}: line {number} is not a class and two times in microseconds")
        found.append((path, _gesture(row[0], table, 1), cut(int(row[1]), int(row[2]))))
    return found
