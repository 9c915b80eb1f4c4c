# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A user's own recordings: files of every format, frames against plain loops, and one line for whatever may be
wrong with a folder."""

import base64
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import aedat
import h5py
import numpy as np
import pytest

from ds2ta.commands import main as cli
from ds2ta.errors import DataError, Ds2taError
from ds2ta.golden.data import formats, recordings, sets
from ds2ta.golden.data.events import EVENT, Window, frames
from ds2ta.golden.data.formats import MAX_TIME, pieces
from ds2ta.golden.data.sets import load_data, validation_split
from ds2ta.modelfile import load_model
from ds2ta.network import InputSpec

#: Recordings of eight events that dv-processing 2.0.4 wrote, iniVation's own library: at 16 x 12 pixels, event i at
#: 1.7e15 + 100 i microseconds, column i, row 11 - i, brighter where 3 divides i. The first also has a stream of
#: triggers. zlib, base64.
AEDAT4 = {
    "none": (
        "eNrdVM1O4zAQHtgUSvkRBw4IrVZZwxGaFK321FYUKGwlaCWo+JG4RI1bLKgdOU4l9il4AA77IDwAD7QPwDhxtd00iApxQFiaZL7xNzOeeDLr"
        "32v1k639WvtH0V0sHOUAVgGg0fpVh3gVYAUsWIA8aslaQJmZSfQ15Jf9gT2gMmSCV8h20SXVgo2rzIVPbe71aYWISDV4VxA78NR1hTgGO4aa"
        "prtjRHeUGtM9paR9Q+8qpCP6gaShzk9sdRdggFBJxnuk2mw162VHU1/0FpL1GPduj4Uf3dIm5k8HORZc7KFdeueSKSonDNiKVBCprIB0QLkK"
        "XwmjXfZp2JEsUBmV7UWhEn3b95QX79giTlecIGrDx/Ssy6hMB62ftU8zA4zcDcu6R9dhqevMyB2y3/RimJJxRaqln1nZMtwu/3fbnsRNRLIz"
        "9ulVZnmOrm+kFdN4pPzSWO2lz9Sa+Or18F/+gM3ZPmkcvqk5SxM15/u0y1AvO/6gagbmH5QHlGUU/Yfh9MRpaoEeoRZKXpN2vq1uFLRlHqbw"
        "6Rs8Zabuk8HTMBfjzVqCv6C35t8bbMFsvP/X4Bwkg/piN8HaovmPBs/GJwC4Muc7aNd20+fT/JWYtQSbOP0tRF9hA9G/+rq5RM8b27CeYZ5n"
        "S2Obng=="
    ),
    "zstd": (
        "eNpTVnR0DdJ1cQwx0TPg5ZJhZmCQYGBg8PT3cGUAAy4GEQYWBh4GDiCLgQEoDWQzMCxnhsi+ZmJgsEkpUyhLLSrOzM+zVTLSM1Cy41IAApu8"
        "/JRUhbzE3FRbpfzSEs+8tHwlhYLEkgxbJX0oXx+qFF25AYZCA2SlYOWJJSVFCtmplbZKyfm5BUWpxSD7lRRKKguABhSXFGXmpSvZRQWHuNjo"
        "g5Ti1J1flJmemZeY45ufUpqT6ge0H90Q3/y8fGegeFFieFFmSWoRkQb6l5YUlJZgMzC1LDWvpJiAMSAtLqnFyUWZBSVYfOZcWlySn6uQkliS"
        "CJZRyAdbp0eEqZ4pQOsz0zJTi9ANdQ0LCcZqAFLcZGKLRwP9TLToxGJ3cWZVagTMysy8EiU7QzNstmHRFomqzYgYbfmlRckYQV+C1Xv6IP8h"
        "JUUkPoxto59SZscFTvOFQKyxVf+vwgJXZgYjV0H5DeprGXmYORIaGCaphJsvLN6z1o1TiPVQ3qbv9yZNmMv0f9k3i8DomggV22sBomERahNW"
        "J95h0WlKSKj4al0VaqK00MKmwJ2PIcHgjuGxAKl3rM0HZRM+hJQ3HHzQN7OzeVNymtR00/lgCxNMmRgWtfBJbVgaycxzeMJlnxQ/h0N57nd7"
        "+S4vERbc1TuN6b3B1lsPZZeFLYhkyOvYdGKLidrFkkdPt5u8V1PgqdsjwCLA0Dm70fuaMACkHTLs"
    ),
}


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory):
    """Frames of a test stay in a folder of its own."""
    monkeypatch.setattr("ds2ta.files.BUILD", tmp_path_factory.mktemp("build"))


def settings(**changes) -> dict:
    frames = {"kind": "frames", "channels": 2, "height": 12, "width": 16, "bits": 4}
    own = {"kind": "recordings", "width": 16, "height": 12, "steps": 3, "input": frames}
    return own | changes


def table(rows, fields="t:i8 x:i2 y:i2 p:i1") -> np.ndarray:
    """A structured array whose fields are of these types and in this order, from rows of t, x, y, p."""
    names = [tuple(field.split(":")) for field in fields.split()]
    found = np.zeros(len(rows), names)
    for column, name in enumerate("txyp"):
        found[name] = [row[column] for row in rows]
    return found


def some(count: int = 9, step: int = 1000, seed: int = 0) -> list[tuple[int, int, int, int]]:
    random = np.random.default_rng(seed)
    return [(index * step, *random.integers(0, (16, 12, 2)).tolist()) for index in range(count)]


def folder_of(top, recordings) -> None:
    """Files of events, by their places in the folder."""
    for place, rows in recordings.items():
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        np.save(top / place, table(rows))


def two_classes(top, rows=None) -> None:
    rows = some() if rows is None else rows
    folder_of(top, {f"{part}/{name}/a.npy": rows for part in ("train", "test") for name in ("cup", "pen")})


def read(path, width=16, height=12) -> list[tuple]:
    return np.concatenate([np.empty(0, EVENT), *pieces(path, width=width, height=height)]).tolist()


@pytest.mark.parametrize(
    "fields",
    ["t:i8 x:i2 y:i2 p:i1", "p:? y:u1 x:u4 t:u8", "t:>u4 p:<i8 x:u2 extra:f8 y:>i2"],
)
@pytest.mark.parametrize("at_once", [1, 4, 1000])
def test_npy(tmp_path, monkeypatch, fields, at_once):
    monkeypatch.setattr(formats, "AT_ONCE", at_once)
    np.save(tmp_path / "a.npy", table(some(), fields))
    assert read(tmp_path / "a.npy") == some()


@pytest.mark.parametrize("layout", ["events/{}", "{}", "events", "CD/events"])
def test_hdf5(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(formats, "AT_ONCE", 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["other"] = 3
        if "{}" in layout:
            for column, name in enumerate("txyp"):
                file[layout.format(name)] = np.array([row[column] for row in some()])
        else:
            file.create_dataset(layout, data=table(some()), compression="gzip")
    assert read(tmp_path / "a.h5") == some()


def test_aedat2(tmp_path, monkeypatch):
    """Columns from the right and rows from below, in pieces as in whole."""
    monkeypatch.setattr(formats, "AT_ONCE", 2)
    words = [(index, 127 - index, 127 - 2 * index, index % 2) for index in range(5)]
    data = b"".join(struct.pack(">II", (x << 8) | (y << 1) | (1 - p), t) for t, x, y, p in words)
    path = tmp_path / "a.AEDAT"
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n" + data)
    assert read(path, 128, 128) == [(t, 127 - x, 127 - y, p) for t, x, y, p in words]


@pytest.mark.parametrize("packed", AEDAT4)
@pytest.mark.parametrize("ending", ["aedat4", "aedat"])
def test_aedat4(tmp_path, monkeypatch, packed, ending):
    monkeypatch.setattr(formats, "AT_ONCE", 3)
    path = tmp_path / f"a.{ending}"
    path.write_bytes(zlib.decompress(base64.b64decode(AEDAT4[packed])))
    assert read(path) == [(1_700_000_000_000_000 + 100 * i, i, 11 - i, int(i % 3 == 0)) for i in range(8)]


def test_a_panic_of_the_decoder_is_an_error_of_the_file(tmp_path, monkeypatch):
    class PanicException(BaseException):
        """As Rust's binding has it: no `Exception`."""

    def fail(error):
        def decoder(_):
            raise error

        return decoder

    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    monkeypatch.setattr(aedat, "Decoder", fail(PanicException("range end out of range")))
    with pytest.raises(DataError, match=r"not a readable AEDAT 4 file \(range end"):
        read(tmp_path / "a.aedat4")
    monkeypatch.setattr(aedat, "Decoder", fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path / "a.aedat4")


def test_packages_that_are_not_there_are_named(tmp_path, monkeypatch):
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    (tmp_path / "a.h5").write_bytes(b"")
    monkeypatch.setattr("ds2ta.extras.has", lambda module: False)
    for name, package in (("a.aedat4", "aedat"), ("a.h5", "h5py")):
        with pytest.raises(
            Ds2taError, match=rf"{package} is not installed; pip install 'ds2ta\[events\]' brings it"
        ):
            read(tmp_path / name)


def nmnist(rows) -> bytes:
    return b"".join(((x << 32) | (y << 24) | (p << 23) | t).to_bytes(5, "big") for t, x, y, p in rows)


def test_bin(tmp_path):
    (tmp_path / "1.bin").write_bytes(nmnist(some()))
    assert read(tmp_path / "1.bin") == some()


def plain_samples(rows, own: dict) -> tuple[list[np.ndarray], int]:
    """Frames of each window and how many windows are empty, from docs/model-file.md in plain loops."""
    shape, steps = own["input"], own["steps"]
    length = None if own.get("window_ms") is None else round(own["window_ms"] * 1000)
    first, last = rows[0][0], rows[-1][0]
    found, empty, start = [], 0, first
    length = length or last - first + 1
    while start + length <= last + 1:
        inside = [row for row in rows if start <= row[0] < start + length]
        counts = np.zeros((steps, shape["channels"], shape["height"], shape["width"]), int)
        count = own.get("by") == "count"
        if len(inside) < (steps if count else 1):
            empty += 1
        else:
            for index, (t, x, y, p) in enumerate(inside):
                if count:
                    step = min(index // (len(inside) // steps), steps - 1)
                else:
                    step = next(s for s in range(steps) if (t - start) * steps < (s + 1) * length)
                row, column = y * shape["height"] // own["height"], x * shape["width"] // own["width"]
                counts[step, p if shape["channels"] == 2 else 0, row, column] += 1
            found.append(np.minimum(counts, 2 ** own.get("bits", 4) - 1).astype(np.uint8))
        start += length
    return found, empty


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"by": "count"},
        {"window_ms": 1.5},
        {"window_ms": 0.7, "by": "count", "steps": 5},
        {
            "window_ms": 3.0,
            "bits": 1,
            "input": {"kind": "frames", "channels": 1, "height": 5, "width": 3, "bits": 1},
        },
        {"window_ms": 0.003, "steps": 7},
    ],
)
def test_frames_are_those_of_plain_loops(tmp_path, monkeypatch, changes, seed):
    random = np.random.default_rng(seed)
    monkeypatch.setattr(formats, "AT_ONCE", int(random.integers(1, 60)))
    own = settings(**changes)
    files, wanted, empty = {}, [], 0
    for name in ("cup", "pen"):
        for number in range(2):
            times = np.sort(random.integers(0, 20_000, 150)) + int(random.integers(0, 10**9))
            if seed == 3:
                times = times // 4000 * 4000  # bursts, and silence between them
            rows = [(int(t), *random.integers(0, (16, 12, 2)).tolist()) for t in times]
            files[f"train/{name}/{number}.npy"] = rows
            more, missing = plain_samples(rows, own)
            wanted += [(sample, name) for sample in more]
            empty += missing
    folder_of(tmp_path, files | {f"test/{name}/0.npy": files[f"train/{name}/0.npy"] for name in ("cup", "pen")})
    data = load_data(own, tmp_path)
    assert data.train_samples.dtype == np.uint8
    assert np.array_equal(data.train_samples, np.stack([sample for sample, _ in wanted]))
    assert [("cup", "pen")[label] for label in data.train_labels] == [name for _, name in wanted]
    assert data.train_samples.any()
    assert len(data.test_samples) > 0
    told = [int(note.split()[1]) for note in data.notes if re.match(r"train: \d+ windows", note)]
    assert told == ([empty] if empty else [])


def test_runs_of_equal_number_are_those_of_the_published_sets(tmp_path):
    two_classes(tmp_path, some(41))
    wanted = frames(table(some(41)).astype(EVENT), Window(steps=3, height=12, width=16, bits=4))
    assert np.array_equal(load_data(settings(by="count"), tmp_path).test_samples[1], wanted)


def test_the_sets_of_both_layouts(tmp_path):
    two_classes(tmp_path / "given")
    data = load_data(settings(window_ms=2.0), tmp_path / "given")
    assert (data.classes, data.about.classes) == (2, ("cup", "pen"))
    assert data.input == InputSpec(**settings()["input"])
    assert data.train_labels.tolist() == data.test_labels.tolist() == [0] * 4 + [1] * 4  # 8001 microseconds
    assert data.notes == (
        "train: 8 samples of 2 recordings (cup 4, pen 4)",
        "test: 8 samples of 2 recordings (cup 4, pen 4)",
    )
    events = data.about.events
    assert (events.cut, events.microseconds, events.sensor_width, events.sensor_height) == ("time", 2000, 16, 12)

    files = {f"{name}/{n}.npy": some(seed=n + 10 * (name == "pen")) for name in ("cup", "pen") for n in range(10)}
    folder_of(tmp_path / "split", files)
    data = load_data(settings(held_out=0.3), tmp_path / "split")
    assert (len(data.train_labels), np.bincount(data.test_labels).tolist()) == (14, [3, 3])
    every = {sample.tobytes() for sample in (*data.train_samples, *data.test_samples)}
    assert len(every) == 20, "a recording is in both parts, or in none"
    again = load_data(settings(held_out=0.3, source="the same"), tmp_path / "split")
    assert np.array_equal(again.test_samples, data.test_samples)

    # one class may be called train
    folder_of(tmp_path / "traffic", {f"{name}/{n}.npy": some() for name in ("bus", "train") for n in range(5)})
    assert load_data(settings(), tmp_path / "traffic").about.classes == ("bus", "train")
    (tmp_path / "given" / "test").rename(tmp_path / "given" / "Test")
    assert len(load_data(settings(), tmp_path / "given").test_labels) == 2


def test_windows_that_are_no_samples_are_told(tmp_path):
    gap = [*some(3), *[(t + 100_000, x, y, p) for t, x, y, p in some(3)]]
    two_classes(tmp_path)
    folder_of(tmp_path, {"train/cup/gap.npy": gap, "train/cup/short.npy": some(2), "train/pen/none.npy": []})
    own = settings(window_ms=2.0)
    assert load_data(own, tmp_path).notes == (
        "train: 11 samples of 5 recordings (cup 7, pen 4)",
        "train: 49 windows without events are left out",
        "train: 1 recordings are shorter than a window of 2 ms",
        "test: 8 samples of 2 recordings (cup 4, pen 4)",
    )
    by_count = load_data(settings(window_ms=3.0, by="count"), tmp_path)
    assert by_count.notes[1] == "train: 34 windows of fewer than 3 events are left out"


def test_frames_are_kept_and_made_anew_where_a_file_changed(tmp_path, monkeypatch):
    two_classes(tmp_path)
    first = load_data(settings(), tmp_path)
    assert isinstance(first.train_samples, np.memmap)
    with monkeypatch.context() as patch:
        patch.setattr(recordings, "pieces", None)  # nothing is read
        again = load_data(settings(), tmp_path)
        assert np.array_equal(again.train_samples, first.train_samples)
        assert again.notes == first.notes
    folder_of(tmp_path, {"train/cup/a.npy": some(30, seed=5)})
    changed = load_data(settings(), tmp_path)
    assert changed.train_samples[0].sum() == 30
    assert np.array_equal(changed.test_samples, first.test_samples)
    again.train_samples[0] = 7  # in memory alone
    assert first.train_samples[0].max() < 7


def test_a_validation_split_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "PART_BYTES", 4000)  # three samples and a bit
    files = {f"{name}/{n}.npy": some(seed=n + 50 * (name == "pen")) for name in ("cup", "pen") for n in range(20)}
    folder_of(tmp_path, files)
    data = load_data(settings(), tmp_path)
    split, left = validation_split(data, 8)
    assert isinstance(split.train_samples, np.memmap)
    assert np.array_equal(split.train_samples, data.train_samples[left])
    out = np.setdiff1d(np.arange(32), left)
    assert np.array_equal(split.test_samples, data.train_samples[out])
    assert (len(left), split.about) == (24, data.about)
    assert [len(part) for part in sets.parts(split.train_samples)] == [3] * 8
    kept = {path.name for path in Path(data.train_samples.filename).parent.iterdir()}
    assert kept == {"lock", "set.json", "test.u8", "train.u8"}


FOOTPRINT = """
import resource, sys
import numpy as np
import torch
import ds2ta.files
from ds2ta.golden.data import sets
ds2ta.files.BUILD = ds2ta.files.Path(sys.argv[2])
sets.dataset_names()  # all that is imported later on
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = sets.load_data(eval(sys.argv[3]), sys.argv[1])
split, _ = sets.validation_split(data, 400)
for samples in (data.test_samples, split.train_samples, split.test_samples):
    print(sum(int(part.sum()) for part in sets.parts(samples)))
print(data.train_samples.nbytes, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_a_set_takes_less_memory_than_its_frames(tmp_path):
    """Read, split and gone through, by another process, whose memory is measured."""
    rows = np.zeros(800, EVENT)
    rows["t"], rows["x"] = np.arange(800) * 1000, np.arange(800) % 128
    for place in ("train/cup", "train/pen", "test/cup", "test/pen"):
        (tmp_path / "data" / place).mkdir(parents=True)
        np.save(tmp_path / "data" / place / "a.npy", rows[: 800 if "train" in place else 40])
    size = {"kind": "frames", "channels": 2, "height": 128, "width": 128, "bits": 4}
    own = settings(width=128, height=128, steps=10, window_ms=1, input=size)
    command = [sys.executable, "-c", FOOTPRINT, tmp_path / "data", tmp_path / "build", repr(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *sums, (frames_size, grown) = (list(map(int, line.split())) for line in done.stdout.splitlines())
    assert sums == [[78], [1198], [400]]  # an event a window; the last ones are not whole
    assert frames_size == 1598 * 10 * 2 * 128 * 128
    assert grown < 300e6 < frames_size / 1.7


def test_what_is_skipped_is_told(tmp_path):
    two_classes(tmp_path)
    (tmp_path / "train" / "cup" / "notes.txt").write_text("dusty")
    (tmp_path / "LICENCE").write_text("mine")
    (tmp_path / "train" / "pen" / "cut.npy").write_bytes((tmp_path / "train" / "pen" / "a.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match="skip: true"):
        load_data(settings(), tmp_path)
    data = load_data(settings(skip=True), tmp_path)
    assert data.train_labels.tolist() == [0, 1]
    (note,) = (note for note in data.notes if "skipped" in note)
    assert note.startswith(f"3 skipped, the first: {tmp_path / 'LICENCE'}: is no folder of a class")
    (tmp_path / "train" / "pen" / "a.npy").unlink()
    with pytest.raises(DataError, match=r"train: not one sample of class pen: .* 3 skipped, the first: .*LICENCE"):
        load_data(settings(skip=True), tmp_path)


def test_what_was_written_of_a_skipped_file_is_gone(tmp_path, monkeypatch):
    """Of a file that changes between its two readings."""
    two_classes(tmp_path)
    folder_of(tmp_path, {"train/cup/b.npy": some(seed=7), "train/cup/0.npy": some(seed=8)})
    read_it, seen = recordings.pieces, []

    def changing(path, **sensor):
        seen.append(path)
        yield from read_it(path, **sensor)
        if seen.count(path) == 2 and path.name == "0.npy":
            raise DataError("changed")

    monkeypatch.setattr(recordings, "pieces", changing)
    monkeypatch.setattr(formats, "AT_ONCE", 3)
    data = load_data(settings(skip=True, window_ms=2.0), tmp_path)
    assert data.train_labels.tolist() == [0] * 8 + [1] * 4
    wanted = [frame for seed in (0, 7) for frame in plain_samples(some(seed=seed), settings(window_ms=2.0))[0]]
    assert np.array_equal(data.train_samples[:8], wanted)


def test_time_may_not_run_backwards_between_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "AT_ONCE", 3)
    np.save(tmp_path / "a.npy", table([*some(3), (1999, 0, 0, 0)]))
    with pytest.raises(DataError, match="time runs backwards at event 3, from 2000 to 1999 microseconds"):
        read(tmp_path / "a.npy")


NET = """
like: digits-tiny
data: {kind: recordings, width: 16, height: 12, window_ms: 2}
network: {name: mine, classes: 2, time_steps: 3}
recipe: {epochs_float: 1, epochs_quantized: 1, epochs_frozen: 0, batch: 4}
"""


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Trains on the folder; exit code and error output."""

    def run(net: str = NET) -> tuple[int, str, str]:
        (tmp_path / "net.yaml").write_text(net)
        words = ["net.yaml", "--data", "data", "--out", "out", "--state", "state/x.safetensors"]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["ds2ta", "train", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    (tmp_path / "data").mkdir()
    return run


def test_training_on_recordings(tmp_path, train, monkeypatch):
    """From files to a model that knows its classes, its events and its data set."""
    files = {
        f"{name}/{n}.npy": some(30, seed=n + 50 * (name == "pen")) for name in ("cup", "pen") for n in range(5)
    }
    folder_of(tmp_path / "data", files)
    code, out, err = train()
    assert (code, err) == (0, ""), err
    assert "train: 112 samples of 8 recordings (cup 56, pen 56)" in out
    model = load_model(tmp_path / "out" / "mine.safetensors")
    assert model.about.classes == ("cup", "pen")
    assert model.about.events.microseconds == 2000
    assert model.network.sample_shape == (3, 2, 12, 16)
    held_out = load_data(model.provenance["data"], tmp_path / "data")
    assert np.array_equal(held_out.test_samples, model.samples)
    private = NET.replace("window_ms: 2", "window_ms: 2, pass_on: false, licence: none")
    (tmp_path / "state" / "x.safetensors").unlink()
    code, _, err = train(private)
    assert (code, err) == (0, "")
    model = load_model(tmp_path / "out" / "mine.safetensors")
    assert (len(model.samples), model.about.samples.licence) == (0, "none")
    assert model.provenance["test_samples"] == 28


def write(place, content) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content) if isinstance(content, bytes) else np.save(place, content)


def hdf5(place, **columns) -> None:
    with h5py.File(place, "w") as file:
        for name, values in columns.items():
            file[f"events/{name}"] = values


def cut(place, size: int) -> None:
    place.write_bytes(place.read_bytes()[:size])


def whole(place, packed: str = "none") -> bytes:
    return zlib.decompress(base64.b64decode(AEDAT4[packed]))


A = "train/cup/a.npy"
#: What is done to a good folder, and what is said.
MISTAKES = {
    "npy cut off": (lambda d: cut(d / A, 200), rf"{A}: \d+ bytes of data, its header asks for 117: damaged"),
    "npy header cut off": (lambda d: cut(d / A, 40), rf"{A}: not a readable .npy file \("),
    "empty file": (lambda d: cut(d / A, 0), rf"{A}: not a readable .npy file \("),
    "no structure": (
        lambda d: write(d / A, np.zeros((9, 4), int)),
        rf"{A}: its array is int64, of shape \[9, 4\]; it must be a structured array \[n\] with the fields",
    ),
    "objects": (lambda d: np.save(d / A, np.array([{}]), allow_pickle=True), rf"{A}: its array is object"),
    "two dimensions": (lambda d: write(d / A, table(some(8)).reshape(4, 2)), r"of shape \[4, 2\]; it must be"),
    "missing field": (lambda d: write(d / A, table(some())[["t", "x", "p"]]), rf"{A}: no field y: it has t, x, p"),
    "seconds": (
        lambda d: write(d / A, table(some(), "t:f8 x:i2 y:i2 p:i1")),
        rf"{A}: field t is float64, it must be whole numbers or bools \(t in microseconds\)",
    ),
    "outside": (
        lambda d: write(d / A, table([*some(), (9000, 3, 12, 0)])),
        rf"{A}: event 9 at column 3, row 12 lies outside of the sensor of 16 x 12 pixels \(data.width",
    ),
    "negative column": (
        lambda d: write(d / A, table([(0, -1, 0, 0)])),
        rf"{A}: columns -1..-1 must lie in 0..65535",
    ),
    "polarity": (lambda d: write(d / A, table([(0, 1, 0, -1)])), rf"{A}: polarities -1..-1 must lie in 0..1"),
    "backwards": (
        lambda d: write(d / A, table([*some(), (7999, 3, 3, 0)])),
        rf"{A}: time runs backwards at event 9, from 8000 to 7999 microseconds",
    ),
    "negative time": (
        lambda d: write(d / A, table([(-5, 3, 3, 0)])),
        rf"{A}: times -5..-5 must lie in 0..{MAX_TIME}",
    ),
    "overflowing time": (
        lambda d: write(d / A, table([(2**63, 3, 3, 0)], "t:u8 x:u2 y:u2 p:?")),
        rf"{A}: times {2**63}..{2**63} must lie in 0..{MAX_TIME} microseconds: other units, or a clock",
    ),
    "aedat2 cut off": (
        lambda d: write(d / "train/cup/b.aedat", b"#!AER-DAT2.0\r\n" + bytes(9)),
        "b.aedat: 9 bytes of data are not whole events of 8",
    ),
    "aedat2 of another chip": (
        lambda d: write(d / "train/cup/b.aedat2", b"#!AER-DAT2.0\r\n# AEChip: a.b.Davis240C\r\n" + bytes(8)),
        "b.aedat2: is of the chip a.b.Davis240C; of AEDAT 2.0 only a DVS128's is read: save it as .npy",
    ),
    "aedat of no version": (
        lambda d: write(d / "train/cup/b.aedat", b"#!AER-DAT1.0\r\n" + bytes(8)),
        r"b.aedat: does not begin with #!AER-DAT2.0: damaged or foreign",
    ),
    "aedat4 cut off": (
        lambda d: write(d / "train/cup/b.aedat4", whole(d)[:1200]),
        r"b.aedat4: not a readable AEDAT 4 file \(",
    ),
    "aedat4 without events": (
        lambda d: write(d / "train/cup/b.aedat4", whole(d).replace(b"EVTS", b"TRIG")),
        r"b.aedat4: has 0 streams of events, it must have one",
    ),
    "bin cut off": (
        lambda d: write(d / "train/cup/b.bin", nmnist(some())[:-1]),
        "b.bin: 44 bytes are not whole events of 5",
    ),
    "no hdf5": (lambda d: write(d / "train/cup/b.h5", b"junk"), r"b.h5: not a readable HDF5 file \("),
    "hdf5 of other names": (
        lambda d: hdf5(d / "train/cup/b.h5", t=[1], xs=[1], ys=[1], p=[1]),
        "b.h5: no field x: it has p, t, xs, ys, and must have t, x, y, p",
    ),
    "hdf5 of other lengths": (
        lambda d: hdf5(d / "train/cup/b.hdf5", t=[1, 2], x=[1], y=[1, 1], p=[1, 1]),
        r"b.hdf5: field x has shape \[1\], all four must be \[n\], t is \[2\]",
    ),
    "hdf5 of seconds": (
        lambda d: hdf5(d / "train/cup/b.h5", t=[0.5], x=[1], y=[1], p=[1]),
        "b.h5: field t is float64, it must be whole numbers",
    ),
    "foreign file": (
        lambda d: write(d / "train/cup/b.raw", b"%"),
        r"b.raw: is no recording \(.npy, .*\); take it away, or say `skip: true` in the network file's data",
    ),
    "a folder inside": (lambda d: (d / "train/cup/b.npy").mkdir(), "b.npy: is no recording"),
    "file beside classes": (
        lambda d: write(d / "train/notes", b"%"),
        r"train/notes: is no folder of a class; take it",
    ),
    "folder beside train": (lambda d: (d / "val").mkdir(), r"val: is beside train and test; take it away"),
    "unreadable": (
        lambda d: (d / "train/cup/b.npy").symlink_to("nowhere"),
        r"b.npy: cannot be read \(No such file",
    ),
    "empty class": (
        lambda d: (d / "train/mug").mkdir(),
        r"train/mug: no recordings \(.npy, .*\); fill it, or take",
    ),
    "class that train lacks": (
        lambda d: write(d / "test/mug/a.npy", table(some())),
        "test/mug: data/train has no such class: cup, pen",
    ),
    "no test": (
        lambda d: (d / "test").rename(d.parent / "away"),
        "data: has train/<class> and no test/<class>: make both, or <class> alone",
    ),
    "names that differ in case": (
        lambda d: write(d / "train/Cup/a.npy", table(some())),
        "train/cup: differs from Cup in the case or the code of letters alone: rename one",
    ),
    "two files of a name": (
        lambda d: write(d / "train/cup/a.bin", nmnist(some())),
        "train/cup/a.npy: has the name of a.bin: leave one of the two",
    ),
    "two folders train": (
        lambda d: (d / "Train").mkdir(),
        "train: differs from Train in the case of letters alone",
    ),
    "name of no class": (
        lambda d: write(d / "train" / ("a" * 65) / "a.npy", table(some())),
        r"aaa: a class must have a name of 1..64 printable characters",
    ),
    "three classes": (
        lambda d: [write(d / part / "mug" / "a.npy", table(some())) for part in ("train", "test")],
        r"network mine: its input or its classes \(2\) are not those of data set recordings \(3\)",
    ),
    "nothing is long enough": (
        lambda d: write(d / A, table(some(2))),
        "train: not one sample of class cup: 1 windows or recordings are left out, 0 skipped",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(tmp_path, train, name):
    two_classes(tmp_path / "data")
    spoil, words = MISTAKES[name]
    spoil(tmp_path / "data")
    code, _, err = train()
    assert code == 2
    assert re.search(words, err), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "state").exists() or not list((tmp_path / "state").glob("*.safetensors"))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_mistakes_in_folders_without_a_split(tmp_path, train):
    code, _, err = train()
    assert (code, err.count("\n")) == (2, 1)
    assert "data: no class folders; put the recordings of each class into a folder of its name" in err
    folder_of(tmp_path / "data", {f"cup/{n}.npy": some() for n in range(5)})
    code, _, err = train()
    assert (code, err) == (2, "error: data: has one class alone, cup: a network tells at least two apart\n")
    folder_of(tmp_path / "data", {"pen/0.npy": some()})
    code, _, err = train()
    assert code == 2
    assert err == (
        "error: data/pen: 1 recordings are too few to hold out 20 % of each class: add some, or make train/<class> "
        "and test/<class>\n"
    )


def test_a_full_disk_is_not_the_fault_of_a_recording(tmp_path, train, monkeypatch):
    two_classes(tmp_path / "data")

    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(recordings._Part, "add", lambda self, one, own, file: Full().write(b""))
    code, _, err = train(NET.replace("window_ms: 2", "window_ms: 2, skip: true"))
    assert (code, err) == (
        2,
        "error: data: its frames cannot be kept in build/recordings (No space left on device)\n",
    )


def test_settings_that_are_none(tmp_path):
    """Such as those of a model file that somebody else wrote."""
    two_classes(tmp_path)
    for wrong, words in (
        ({"kind": "pictures"}, "data set must be one of .*, not 'pictures'"),
        ({"kind": ["recordings"]}, "data set must be one of"),
        ({"kind": "recordings"}, "data: width: Field required"),
        (settings(steps=0), "data: steps: .*greater"),
        (settings(window_ms=0), r"data: window_ms: .*greater than or equal to 0.001 \(got 0\)"),
    ):
        with pytest.raises(Ds2taError, match=words) as found:
            load_data(wrong, tmp_path)
        assert "\n" not in str(found.value)
    with pytest.raises(DataError, match="data set recordings is read from files"):
        load_data(settings())
