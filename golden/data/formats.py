# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Recordings of any event camera, a piece at a time, so that a file may be larger than memory.

    .npy              a structured array with the fields t, x, y and p, in any order, whole numbers or bools
    .aedat, .aedat2   AEDAT 2.0 of a DVS128; AEDAT 3.1; AEDAT 4
    .aedat4           AEDAT 4, by the package aedat
    .bin              as N-MNIST has it
    .h5, .hdf5        datasets t, x, y and p, in the group `events` or in none; or one table with these columns

Times are microseconds. Of what a file holds beside its events nothing is read.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ds2ta.errors import DataError
from ds2ta.extras import require
from ds2ta.golden.data.events import aedat2_events, after_comments, events_of, read_nmnist
from ds2ta.golden.data.gesture import read_aedat31

__all__ = ["AT_ONCE", "MAX_TIME", "SUFFIXES", "pieces"]

AT_ONCE = 1 << 20  # events of a piece
MAX_TIME = 1 << 56  # microseconds, 2,283 years: what is above are not microseconds
_FIELDS = ("t", "x", "y", "p")
_HEADER = 1 << 16  # bytes: where the comments of an AEDAT file must have ended


def _fields(names: Iterable[str] | None, kinds: Callable[[str], np.dtype]) -> None:
    """Refuse what has not all four fields, or one of a kind that counts nothing."""
    have = tuple(names or ())
    if missing := [name for name in _FIELDS if name not in have]:
        there = f"it has {', '.join(have)}" if have else "it has none"
        raise DataError(f"no field {missing[0]}: {there:.100}, and must have {', '.join(_FIELDS)}")
    for name in _FIELDS:
        if kinds(name).kind not in "iub":
            raise DataError(f"field {name} is {kinds(name)}, it must be whole numbers or bools (t in microseconds)")


def _events(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The same as `EVENT`; times that no clock has are refused."""
    if len(t) and not (t.min() >= 0 and t.max() <= MAX_TIME):
        raise DataError(
            f"times {t.min()}..{t.max()} must lie in 0..{MAX_TIME} microseconds: other units, or a clock that "
            "overflowed"
        )
    return events_of(t, x, y, p)


def _npy(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(file)
        except Exception as error:  # whatever a damaged header may raise, it means one thing
            raise DataError(f"not a readable .npy file ({error!s:.80})") from None
        if kind.names is None or len(shape) != 1:
            raise DataError(
                f"its array is {kind}, of shape {list(shape)}; it must be a structured array [n] with the fields "
                f"{', '.join(_FIELDS)}"
            )
        _fields(kind.names, lambda name: kind[name])
        start, want = file.tell(), shape[0] * kind.itemsize
        if (size := path.stat().st_size - start) != want:
            raise DataError(f"{size} bytes of data, its header asks for {want}: damaged")
        for _ in range(0, shape[0], AT_ONCE):
            part = np.frombuffer(file.read(AT_ONCE * kind.itemsize), kind)
            yield _events(*(part[name] for name in _FIELDS))


def _nmnist(path: Path) -> Iterator[np.ndarray]:
    yield read_nmnist(path)  # its times have 23 bits: such recordings are short


def _aedat(path: Path) -> Iterator[np.ndarray]:
    """Whichever version the first line says."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if head.startswith(b"#!AER-DAT4"):
        yield from _aedat4(path)
    elif head.startswith(b"#!AER-DAT3.1"):
        yield read_aedat31(path)
    else:
        yield from _aedat2(path, head)


def _aedat2(path: Path, head: bytes) -> Iterator[np.ndarray]:
    start = after_comments(head, path, b"2.0")
    for line in head[:start].splitlines():
        name = line.partition(b"AEChip:")[2].strip().decode(errors="replace")
        if name and not name.endswith("DVS128"):
            raise DataError(f"is of the chip {name:.60}; of AEDAT 2.0 only a DVS128's is read: save it as .npy")
    size = path.stat().st_size - start
    if not size or size % 8:
        raise DataError(f"{size} bytes of data are not whole events of 8: damaged")
    with path.open("rb") as file:
        file.seek(start)
        while part := file.read(8 * AT_ONCE):
            yield aedat2_events(part)


def _aedat4(path: Path) -> Iterator[np.ndarray]:
    require("aedat")
    import aedat

    decoder = _decoded(lambda: aedat.Decoder(str(path)))
    streams = [number for number, stream in decoder.id_to_stream().items() if stream["type"] == "events"]
    if len(streams) != 1:
        raise DataError(f"has {len(streams)} streams of events, it must have one: save each as a recording")
    while (packet := _decoded(lambda: next(decoder, None))) is not None:
        if packet["stream_id"] == streams[0]:
            found = packet["events"]
            for start in range(0, len(found), AT_ONCE):
                part = found[start : start + AT_ONCE]
                yield _events(part["t"], part["x"], part["y"], part["on"])


def _decoded(step: Callable[[], Any]) -> Any:
    """What the decoder of AEDAT 4 returns. Its panics are no `Exception`."""
    try:
        return step()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise DataError(f"not a readable AEDAT 4 file ({error!s:.80})") from None


def _hdf5(path: Path) -> Iterator[np.ndarray]:
    require("h5py")
    import h5py

    with path.open("rb"):
        pass  # h5py's own words for a file that is not there, or not to be read, are long
    with _told("not a readable HDF5 file"):
        file = h5py.File(path, "r")
    with file:
        with _told("its tables cannot be read"):
            columns, count = _columns(file)
        for start in range(0, count, AT_ONCE):
            with _told("its events cannot be read, they are damaged or packed by a plugin that is not here"):
                part = columns(slice(start, start + AT_ONCE))
            yield _events(*part)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever h5py may raise means one thing."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} ({error!s:.80})") from None


def _columns(file: Any) -> tuple[Callable[[slice], list[np.ndarray]], int]:
    """What reads t, x, y and p of some events of an HDF5 file, and how many events there are."""
    found = next((file[name] for name in ("events", "CD/events") if name in file), file)
    if hasattr(found, "dtype"):  # one table
        _fields(found.dtype.names, lambda name: found.dtype[name])
        shapes = dict.fromkeys(_FIELDS, found.shape)

        def read(part: slice) -> list[np.ndarray]:
            rows = found[part]
            return [rows[name] for name in _FIELDS]
    else:
        _fields([name for name in found if hasattr(found[name], "dtype")], lambda name: found[name].dtype)
        shapes = {name: found[name].shape for name in _FIELDS}

        def read(part: slice) -> list[np.ndarray]:
            return [found[name][part] for name in _FIELDS]

    for name, shape in shapes.items():
        if len(shape) != 1 or shape != shapes["t"]:
            raise DataError(f"field {name} has shape {list(shape)}, all four must be [n], t is {list(shapes['t'])}")
    return read, shapes["t"][0]


#: Ending of a file's name -> what reads it.
SUFFIXES: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {
    ".npy": _npy,
    ".aedat": _aedat,
    ".aedat2": _aedat,
    ".aedat4": _aedat,
    ".bin": _nmnist,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}


def pieces(path: Path, *, width: int, height: int) -> Iterator[np.ndarray]:
    """The recording's events `EVENT`, in order, some `AT_ONCE` at a time. `DataError` for those that lie outside of
    the sensor, and for times that run backwards."""
    last = seen = 0
    for part in SUFFIXES[path.suffix.lower()](path):
        if not len(part):
            continue
        if (outside := (part["x"] >= width) | (part["y"] >= height)).any():
            at = int(outside.argmax())
            raise DataError(
                f"event {seen + at} at column {part['x'][at]}, row {part['y'][at]} lies outside of the sensor of "
                f"{width} x {height} pixels (data.width, data.height)"
            )
        times = np.concatenate([[last], part["t"]])
        if (back := times[1:] < times[:-1]).any():
            at = int(back.argmax())
            raise DataError(
                f"time runs backwards at event {seen + at}, from {times[at]} to {times[at + 1]} microseconds: not "
                "in order, or a clock that overflowed"
            )
        last, seen = int(part["t"][-1]), seen + len(part)
        yield part
