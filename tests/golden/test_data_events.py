"""Event recordings, written here bit by bit from their formats' descriptions."""

import os
import struct

import numpy as np
import pytest

from ds2ta.errors import DataError
from ds2ta.golden.data import load_data
from ds2ta.golden.data_events import EVENT, Window, frames, read_aedat2, read_aedat31, read_gesture_npy, read_nmnist

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


def aedat2_event(column_from_right: int, row: int, darker: int, t: int) -> bytes:
    return struct.pack(">II", (row << 8) | (column_from_right << 1) | darker, t)


def test_aedat2_bits(tmp_path):
    path = tmp_path / "cifar10_cat_0.aedat"
    path.write_bytes(AEDAT2 + aedat2_event(0, 5, 1, 10) + aedat2_event(127, 127, 0, 1 << 20))
    assert read_aedat2(path).tolist() == [(10, 127, 5, 0), (1 << 20, 0, 127, 1)]
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
        for number in (0, 2, 10):
            content = b"".join(aedat2_event(number, label, 0, step) for step in range(10))
            (tmp_path / name / f"cifar10_{name}_{number}.aedat").write_bytes(AEDAT2 + content)
    data = load_data("cifar10-dvs", tmp_path)
    assert data.train_samples.shape == (20, 10, 2, 128, 128)
    assert data.test_labels.tolist() == list(range(10))
    assert (data.test_samples[3, :, 1, 3, 127 - 10] == 1).all()  # number 10 comes after 2
    assert data.input.bits == 4
    for path in (tmp_path / "frog").glob("*"):
        path.unlink()
    with pytest.raises(DataError, match=r"frog: no recordings; unpack frog.zip of CIFAR10-DVS there"):
        load_data("cifar10-dvs", tmp_path)


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


def test_gestures_as_published(tmp_path):
    write_gestures(tmp_path / "DvsGesture")
    data = load_data("dvs128-gesture", tmp_path)
    assert data.classes == 11
    assert data.train_labels.tolist() == data.test_labels.tolist() == [1, 10]
    assert data.train_samples[0].sum() == 20  # the event at 95 comes before the gesture
    assert (data.train_samples[0, :, 1, 2, 1] == 2).all()
    assert data.train_samples[1, :, 0, 4, 3].tolist() == [1] * 10  # those at 400 and 410 come after it
    table = tmp_path / "DvsGesture" / "user01_led_labels.csv"
    table.write_text("class,startTime_usec,endTime_usec\n12,100,200\n")
    with pytest.raises(DataError, match=r"class '12' must lie in 1..11"):
        load_data("dvs128-gesture", tmp_path)
    table.write_text("class,startTime_usec,endTime_usec\n2,100\n")
    with pytest.raises(DataError, match="line 2 is not a class and two times"):
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
