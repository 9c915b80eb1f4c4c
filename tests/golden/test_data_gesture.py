# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""DVS128 Gesture, written here bit by bit from its formats' descriptions."""

import struct

import numpy as np
import pytest

from ds2ta.errors import DataError
from ds2ta.golden.data import gesture as data_gesture
from ds2ta.golden.data.gesture import read_aedat31, read_gesture_npy
from ds2ta.golden.data.sets import load_data

AEDAT31 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def packet(body: list[tuple[int, int, int, int, int]], *, kind: int = 1, overflow: int = 0) -> bytes:
    """Of AEDAT 3.1: type and source 16 bits, then size, offset of time, overflow, capacity, number, valid ones."""
    words = b"".join(struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | valid, t) for t, x, y, p, valid in body)
    valid = sum(event[4] for event in body)
    return struct.pack("<HHIIIIII", kind, 1, 8, 4, overflow, len(body), len(body), valid) + words


def test_aedat31_bits(tmp_path):
    path = tmp_path / "user01.aedat"
    path.write_bytes(
        AEDAT31
        + packet([(7, 127, 3, 1, 1), (8, 1, 1, 1, 0), (9, 0, 126, 0, 1)])
        + packet([(7, 1, 1, 1, 1)], kind=0)  # a special event
        + packet([(35, 35, 35, 1, 1)], overflow=1)  # 35 is `#`: the header has ended
    )
    assert read_aedat31(path).tolist() == [(7, 127, 3, 1), (9, 0, 126, 0), ((1 << 31) + 35, 35, 35, 1)]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"a packet at byte .* is cut off or impossible"):
        read_aedat31(path)
    path.write_bytes(AEDAT31 + bytes(20))
    with pytest.raises(DataError, match="ends in the middle of a packet's header"):
        read_aedat31(path)


def write_gestures(folder):
    """One recording for each part: gesture 2 in microseconds 100..200, gesture 11 in 300..400."""
    folder.mkdir()
    for part, name in (("train", "user01_led"), ("test", "user24_lab")):
        body = [(t, 1, 2, 1, 1) for t in range(95, 200, 5)] + [(t, 3, 4, 0, 1) for t in range(300, 420, 10)]
        (folder / f"{name}.aedat").write_bytes(AEDAT31 + packet(body[:7]) + packet(body[7:]))
        (folder / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n2,100,200\n11,300,400\n")
        (folder / f"trials_to_{part}.txt").write_text(f"{name}.aedat\n")


def test_gestures_as_published(tmp_path, monkeypatch):
    write_gestures(tmp_path / "DvsGesture")
    data = load_data("dvs128-gesture", tmp_path)
    assert data.classes == 11
    assert data.train_labels.tolist() == data.test_labels.tolist() == [1, 10]
    assert data.train_samples[0].sum() == 20  # the event at 95 comes before the gesture
    assert (data.train_samples[0, :, 1, 2, 1] == 2).all()
    assert data.train_samples[1, :, 0, 4, 3].tolist() == [1] * 10  # those at 400 and 410 come after it
    read = []
    monkeypatch.setattr(data_gesture, "read_aedat31", lambda path: read.append(path.name) or read_aedat31(path))
    load_data("dvs128-gesture", tmp_path)
    assert sorted(read) == ["user01_led.aedat", "user24_lab.aedat"]  # once, for all their gestures
    table = tmp_path / "DvsGesture" / "user01_led_labels.csv"
    table.write_text("class,startTime_usec,endTime_usec\n12,100,200\n")
    with pytest.raises(DataError, match=r"class '12' must lie in 1..11"):
        load_data("dvs128-gesture", tmp_path)
    table.write_text("class,startTime_usec,endTime_usec\n2,100\n")
    with pytest.raises(DataError, match="line 2 is not a class and two times"):
        load_data("dvs128-gesture", tmp_path)
    table.write_bytes(bytes([0xFF, 0xFE]))
    with pytest.raises(DataError, match=r"user01_led_labels.csv: cannot be read as text"):
        load_data("dvs128-gesture", tmp_path)
    table.unlink()
    with pytest.raises(DataError, match=r"user01_led_labels.csv: no such file; unpack DvsGesture.tar.gz there"):
        load_data("dvs128-gesture", tmp_path)


def test_gestures_as_tonic_distributes_them(tmp_path):
    for part in ("ibmGestureTrain", "ibmGestureTest"):
        folder = tmp_path / part / "user01_fluorescent"
        folder.mkdir(parents=True)
        np.save(folder / "10.npy", np.array([[5.0, 6.0, 1.0, t] for t in range(30)]))
    path = tmp_path / "ibmGestureTrain" / "user01_fluorescent" / "10.npy"
    assert read_gesture_npy(path)[2].tolist() == (2000, 5, 6, 1)
    data = load_data("dvs128-gesture", tmp_path)
    assert data.test_labels.tolist() == [10]
    assert (data.train_samples[0, :, 1, 6, 5] == 3).all()
    np.save(path, np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"its array has shape \[4, 3\], it must be \[n, 4\]"):
        load_data("dvs128-gesture", tmp_path)
    for content in (b"", b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"10.npy: not a readable .npy file"):
            load_data("dvs128-gesture", tmp_path)
    for bad, message in (([5.0, 6.0, 2.0, 0.0], "polarities 0.0..2.0 must lie in 0..1"), ([np.nan] * 4, "finite")):
        np.save(path, np.array([[5.0, 6.0, 0.0, t] for t in range(30)] + [bad]))
        with pytest.raises(DataError, match=rf"10.npy: .*{message}"):
            load_data("dvs128-gesture", tmp_path)
