# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""CIFAR and IDX files, written here byte by byte from their publishers' descriptions."""

import gzip
import hashlib
import os
import pickle
import struct

import numpy as np
import pytest

from ds2ta.errors import DataError
from ds2ta.golden.data import images as data_images
from ds2ta.golden.data.images import read_cifar_binary, read_cifar_pickle, read_idx
from ds2ta.golden.data.sets import load_data

REAL = os.environ.get("DS2TA_DATA")  # a folder with real data sets, where somebody has them
BATCHES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def pickled(images: np.ndarray, labels: list[int], key: bytes) -> bytes:
    """A batch as Python 2 pickled it: byte strings for keys."""
    return pickle.dumps({b"data": images, key: labels, b"batch_label": b"a batch"}, protocol=2)


def write_python(folder, monkeypatch, names, *, inner: str, key: bytes, classes: int):
    """Batches of three images, and their MD5 in place of the published ones."""
    (folder / inner).mkdir(parents=True)
    for seed, name in enumerate(names):
        content = pickled(pixels(3, seed), [seed % classes, classes - 1, 0], key)
        (folder / inner / name).write_bytes(content)
        monkeypatch.setitem(data_images.CIFAR_MD5, f"{inner}/{name}", hashlib.md5(content).hexdigest())


def test_cifar10_python(tmp_path, monkeypatch):
    write_python(tmp_path, monkeypatch, BATCHES, inner="cifar-10-batches-py", key=b"labels", classes=10)
    data = load_data("cifar10", tmp_path)
    assert data.train_samples.shape == (15, 3, 32, 32)
    assert data.train_samples.dtype == np.uint8
    assert (data.train_samples[3:6] == pixels(3, 1).reshape(3, 3, 32, 32)).all()  # red rows, green rows, blue rows
    assert data.train_labels.tolist() == [0, 9, 0, 1, 9, 0, 2, 9, 0, 3, 9, 0, 4, 9, 0]
    assert data.test_labels.tolist() == [5, 9, 0]
    assert (data.classes, data.input.channels, data.input.bits) == (10, 3, 8)


def small_files(monkeypatch, **images: int):
    """So many images in the files of the binary version."""
    for name in data_images.CIFAR_IMAGES:
        monkeypatch.setitem(data_images.CIFAR_IMAGES, name, images.get(name, 1))


def test_cifar100_has_fine_labels_in_both_versions(tmp_path, monkeypatch):
    write_python(
        tmp_path, monkeypatch, ["train", "test"], inner="cifar-100-python", key=b"fine_labels", classes=100
    )
    data = load_data("cifar100", tmp_path)
    assert data.classes == 100
    assert data.train_labels.tolist() == [0, 99, 0]

    small_files(monkeypatch, train=2)
    inner = tmp_path / "binary" / "cifar-100-binary"
    inner.mkdir(parents=True)
    image = pixels(1, 7).tobytes()
    (inner / "train.bin").write_bytes(bytes([19, 11]) + image + bytes([3, 99]) + image)  # coarse, fine, pixels
    (inner / "test.bin").write_bytes(bytes([0, 42]) + image)
    data = load_data("cifar100", tmp_path / "binary")
    assert data.train_labels.tolist() == [11, 99]
    assert data.test_labels.tolist() == [42]
    assert (data.test_samples == pixels(1, 7).reshape(1, 3, 32, 32)).all()


def test_a_binary_batch_that_is_cut_between_images(tmp_path):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"
    path.write_bytes((bytes([2]) + pixels(1, 2).tobytes()) * 2)
    with pytest.raises(DataError, match=r"data_batch_1.bin: 2 images, the published file has 10000: damaged"):
        load_data("cifar10", tmp_path)


def test_cifar10_binary(tmp_path, monkeypatch):
    small_files(monkeypatch)
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    for seed, name in enumerate(BATCHES):
        (inner / f"{name}.bin").write_bytes(bytes([seed]) + pixels(1, seed).tobytes())
    data = load_data("cifar10", tmp_path)
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert (data.train_samples[4, 2, 31] == pixels(1, 4)[0, -32:]).all()  # last row of blue
    (inner / "data_batch_3.bin").write_bytes(bytes([2]) + pixels(1, 2).tobytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3.bin: 3072 bytes are not whole records of 3073: damaged"):
        load_data("cifar10", tmp_path)
    (inner / "data_batch_3.bin").write_bytes(bytes([10]) + pixels(1, 2).tobytes())
    with pytest.raises(DataError, match=r"labels 10..10 for 1 images, they must lie in 0..9"):
        load_data("cifar10", tmp_path)


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return os.mkdir, (str(self.where),)


def test_a_foreign_pickle_is_never_opened(tmp_path):
    inner = tmp_path / "cifar-10-batches-py"
    inner.mkdir()
    content = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    (inner / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=r"its MD5 is .*, the published file's is c99cafc152244af753f735de768cd75f"):
        load_data("cifar10", tmp_path)
    assert not (tmp_path / "sprung").exists()
    own = hashlib.md5(content).hexdigest()
    with pytest.raises(TypeError):  # the trap itself works: with the right MD5 it springs
        read_cifar_pickle(inner / "data_batch_1", md5=own, labels=b"labels", classes=10)
    assert (tmp_path / "sprung").exists()


def idx(shape: tuple[int, ...], values: bytes, kind: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values


def write_mnist(folder, *, packed: bool):
    folder.mkdir(parents=True)
    for part, count in (("train", 4), ("t10k", 2)):
        image = np.arange(count * 28 * 28, dtype=np.uint32).astype(np.uint8).tobytes()
        for name, content in (
            (f"{part}-images-idx3-ubyte", idx((count, 28, 28), image)),
            (f"{part}-labels-idx1-ubyte", idx((count,), bytes(range(9, 9 - count, -1)))),
        ):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "inner"), [("mnist", "MNIST/raw"), ("fashion-mnist", "."), ("mnist", ".")])
def test_idx_sets(tmp_path, name, inner, packed):
    write_mnist(tmp_path / "set" / inner, packed=packed)
    data = load_data(name, tmp_path / "set")
    assert data.train_samples.shape == (4, 1, 28, 28)
    assert data.train_samples[1, 0, 0, :3].tolist() == [784 % 256, 785 % 256, 786 % 256]
    assert data.train_labels.tolist() == [9, 8, 7, 6]
    assert data.test_labels.tolist() == [9, 8]


def test_idx_types_and_damage(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(idx((2, 1), struct.pack(">2i", -5, 70000), kind=0x0C))
    assert read_idx(path).tolist() == [[-5], [70000]]
    for content, message in [
        (b"", "are not those of an IDX file"),
        (b"\0\1\x08\1" + bytes(8), "first bytes 00 01 08 01 are not those of an IDX file"),
        (b"\0\0\x07\1" + bytes(8), "are not those of an IDX file"),
        (idx((3,), b"ab"), "10 bytes, its header asks for 11: damaged; put values or values.gz there again"),
        (b"\0\0\x08\3\0\0", "damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(path)
    path.unlink()
    with pytest.raises(DataError, match=r"values.gz: no such file; put values or values.gz there"):
        read_idx(path)
    (tmp_path / "values.gz").write_bytes(gzip.compress(idx((1,), b"a"))[:-9])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_idx(path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion-mnist"])
def test_what_is_missing_is_said_in_one_line(tmp_path, name):
    with pytest.raises(DataError, match=f"data set {name} is read from files: .* --data DIR"):
        load_data(name)
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load_data(name, tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"no such file; (unpack the Python version of https://|put .* there)"
    ) as found:
        load_data(name, tmp_path)
    assert "\n" not in str(found.value)


def test_binary_reader_keeps_the_order_of_bytes(tmp_path):
    raw = bytes([4]) + bytes(range(256)) * 12
    (tmp_path / "one.bin").write_bytes(raw)
    images, labels = read_cifar_binary(tmp_path / "one.bin", label_bytes=1, classes=10)
    assert labels.tolist() == [4]
    assert images[0, 1, 0, :4].tolist() == [0, 1, 2, 3]  # green begins at byte 1024 = 4 * 256
    assert images[0, 2, 31, 31] == 255


@pytest.mark.skipif(REAL is None, reason="the variable DS2TA_DATA names no folder with real data")
def test_real_cifar10():
    data = load_data("cifar10", REAL)
    assert data.train_samples.shape == (50000, 3, 32, 32)
    assert (np.bincount(data.train_labels) == 5000).all()
    assert (np.bincount(data.test_labels) == 1000).all()
    assert data.test_labels[:5].tolist() == [3, 8, 8, 0, 6]  # cat, ship, ship, airplane, frog
    mean = data.train_samples.mean((0, 2, 3)) / 255.0
    assert np.allclose(mean, [0.4914, 0.4822, 0.4465], atol=2e-4)  # the constants that everybody uses
