# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Event recordings, written here bit by bit from their formats' descriptions."""

import os
import struct

import numpy as np
import pytest

from ds2ta.errors import DataError
from ds2ta.golden.data.events import EVENT, Window, events_of, frames, read_aedat2, read_nmnist
from ds2ta.golden.data.sets import load_data

REAL = os.environ.get("DS2TA_DATA")


def events(rows) -> np.ndarray:
    return np.array([tuple(row) for row in rows], EVENT)


def test_frames_by_hand():
    window = Window(steps=3, height=2, width=4, bits=2)
    rows = [(0, 3, 1, 1)] * 2 + [(1, 0, 0, 0), (2, 0, 0, 0)] + [(9, 2, 1, 1)] * 5  # t, x, y, p: runs of 3, 3, 3
    found = frames(events(rows), window)
    wanted = np.zeros((3, 2, 2, 4), np.uint8)
    wanted[0, 1, 1, 3], wanted[0, 0, 0, 0] = 2, 1
    wanted[1, 0, 0, 0], wanted[1, 1, 1, 2] = 1, 2
    wanted[2, 1, 1, 2] = 3
    assert found.dtype == np.uint8
    assert (found == wanted).all()
    late = frames(events([*rows, (9, 2, 1, 1), (9, 2, 1, 1)]), window)  # 11 events: the last run takes the rest
    assert late[2, 1, 1, 2] == 3  # five of them, clipped to two bits
    assert late[:2].sum() == 6
    with pytest.raises(DataError, match="2 events cannot fill 3 frames"):
        frames(events(rows[:2]), window)
    with pytest.raises(DataError, match="outside of the 4 x 2 pixels"):
        frames(events([(0, 4, 0, 0)] * 3), window)


def test_events_of_no_sensor_are_refused():
    one = np.array([1])
    for columns, rows, polarities in ((-1, 0, 0), (0, 1 << 16, 0), (0, 0, 2), (0, 0, -1)):
        with pytest.raises(DataError, match=r"must lie in 0\.\.(1|65535): damaged"):
            events_of(one, columns * one, rows * one, polarities * one)


def nmnist_event(x: int, y: int, p: int, t: int) -> bytes:
    """40 bits: x 8, y 8, polarity 1, microseconds 23, most significant first."""
    return ((x << 32) | (y << 24) | (p << 23) | t).to_bytes(5, "big")


def test_nmnist_bits(tmp_path):
    path = tmp_path / "00001.bin"
    path.write_bytes(nmnist_event(33, 1, 1, 5) + nmnist_event(2, 30, 0, 0x7FFFFF))
    assert read_nmnist(path).tolist() == [(5, 33, 1, 1), (0x7FFFFF, 2, 30, 0)]
    path.write_bytes(nmnist_event(1, 1, 0, 8000) + nmnist_event(0, 240, 0, 0) + nmnist_event(2, 2, 1, 7))
    assert read_nmnist(path).tolist() == [(8000, 1, 1, 0), (8192 + 7, 2, 2, 1)]
    for content in (b"", bytes(11)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{len(content)} bytes are not whole events of 5: damaged"):
            read_nmnist(path)


def test_nmnist_set(tmp_path):
    for part, label, number in (("Train", 3, 2), ("Train", 0, 1), ("Test", 7, 1)):
        folder = tmp_path / "N-MNIST" / part / str(label)
        folder.mkdir(parents=True)
        content = b"".join(nmnist_event(label, step, 1, step) for step in range(8))
        (folder / f"{number:05}.bin").write_bytes(content)
    data = load_data("nmnist", tmp_path)
    assert data.train_labels.tolist() == [0, 3]  # by number, not by class
    assert data.test_labels.tolist() == [7]
    assert data.train_samples.shape == (2, 4, 2, 34, 34)
    assert data.train_samples[1, 2, 1, 4:6, 3].tolist() == [1, 1]
    assert data.train_samples.sum() == 16
    (tmp_path / "N-MNIST" / "Train" / "0" / "00001.bin").write_bytes(nmnist_event(1, 1, 1, 1))
    with pytest.raises(DataError, match=r"00001.bin: 1 events cannot fill 4 frames"):
        load_data("nmnist", tmp_path)


AEDAT2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# created Thu Dec 03 2015\r\n"


def aedat2_event(column_from_right: int, row_from_below: int, darker: int, t: int) -> bytes:
    return struct.pack(">II", (column_from_right << 8) | (row_from_below << 1) | darker, t)


def test_aedat2_bits(tmp_path):
    path = tmp_path / "cifar10_cat_0.aedat"
    path.write_bytes(AEDAT2 + aedat2_event(0, 5, 1, 10) + aedat2_event(127, 127, 0, 1 << 20))
    assert read_aedat2(path).tolist() == [(10, 127, 122, 0), (1 << 20, 0, 0, 1)]
    path.write_bytes(AEDAT2 + bytes(7))
    with pytest.raises(DataError, match="7 bytes of data are not whole events of 8"):
        read_aedat2(path)
    path.write_bytes(b"#!AER-DAT3.1\r\n" + bytes(8))
    with pytest.raises(DataError, match=r"does not begin with #!AER-DAT2.0"):
        read_aedat2(path)


def test_cifar10_dvs_set(tmp_path):
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for label, name in enumerate(names):
        (tmp_path / name).mkdir()
        for number in (0, 10, 2):
            content = b"".join(aedat2_event(number, label, 0, step) for step in range(10))
            (tmp_path / name / f"cifar10_{name}_{number}.aedat").write_bytes(AEDAT2 + content)
    data = load_data("cifar10-dvs", tmp_path)
    assert data.train_samples.shape == (20, 10, 2, 128, 128)
    assert data.test_labels.tolist() == list(range(10))
    assert (data.test_samples[3, :, 1, 127 - 3, 127 - 2] == 1).all()  # as text, 2 comes after 10
    assert data.input.bits == 4
    for path in (tmp_path / "frog").glob("*"):
        path.unlink()
    with pytest.raises(DataError, match=r"frog: no recordings; unpack frog.zip of CIFAR10-DVS there"):
        load_data("cifar10-dvs", tmp_path)


@pytest.mark.parametrize("name", ["nmnist", "cifar10-dvs", "dvs128-gesture"])
def test_what_is_missing_is_said_in_one_line(tmp_path, name):
    with pytest.raises(DataError, match=r"unpack .*\.(zip|tar\.gz)( of .*)? there") as found:
        load_data(name, tmp_path)
    assert "\n" not in str(found.value)


@pytest.mark.skipif(REAL is None, reason="the variable DS2TA_DATA names no folder with real data")
def test_real_nmnist():
    data = load_data("nmnist", REAL)
    assert len(data.train_labels) >= 1000
    assert len(data.test_labels) >= 100
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]  # MNIST's own order
    assert 0.2 < data.train_samples.mean() < 0.5
    assert int(data.train_samples.max()) == 3
