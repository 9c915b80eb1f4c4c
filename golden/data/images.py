# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Image data sets in their publishers' own layouts: CIFAR-10 and CIFAR-100, MNIST and Fashion-MNIST.

CIFAR is read from the Python version (pickles: each is checked against its published MD5 *before* it is unpickled,
because unpickling runs whatever the file says) or from the binary version. Everything is held in memory as uint8,
`[n, channels, height, width]`, all 8 bits kept.
"""

import gzip
import hashlib
import math
import pickle
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ds2ta.errors import DataError
from ds2ta.golden.data.sets import DataSet, dataset
from ds2ta.network import InputSpec

__all__ = ["CIFAR_IMAGES", "CIFAR_MD5", "read_cifar_binary", "read_cifar_pickle", "read_idx"]

#: Published MD5 of the Python batches.
CIFAR_MD5 = {
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
#: Images in a file, by its name.
CIFAR_IMAGES = {**{f"data_batch_{index}": 10_000 for index in range(1, 6)}, "test_batch": 10_000}
CIFAR_IMAGES |= {"train": 50_000, "test": 10_000}
_PIXELS = 3 * 32 * 32
_CIFAR_SITE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
Part = tuple[np.ndarray, np.ndarray]


def _bytes(path: Path, mend: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {mend}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def read_cifar_pickle(path: Path, *, md5: str, labels: bytes, classes: int) -> Part:
    """Images and labels of one Python batch whose bytes have the given MD5. `labels` is the pickle's key."""
    mend = f"unpack the Python version of {_CIFAR_SITE} there"
    content = _bytes(path, mend)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: its MD5 is {found}, the published file's is {md5}: damaged or foreign; {mend} again"
        )
    batch = pickle.loads(content, encoding="bytes")
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    return images, _labels(path, np.asarray(batch[labels]), classes, len(images))


def read_cifar_binary(path: Path, *, label_bytes: int, classes: int) -> Part:
    """Images and labels of one binary batch: records of `label_bytes` bytes (the last is the class) and 3,072
    pixels, red, green, blue, row by row."""
    mend = f"unpack the binary version of {_CIFAR_SITE} there"
    content = np.frombuffer(_bytes(path, mend), np.uint8)
    record = label_bytes + _PIXELS
    if not len(content) or len(content) % record:
        raise DataError(f"{path}: {len(content)} bytes are not whole records of {record}: damaged; {mend} again")
    rows = content.reshape(-1, record)
    images = rows[:, label_bytes:].reshape(-1, 3, 32, 32).copy()
    return images, _labels(path, rows[:, label_bytes - 1], classes, len(images))


def _labels(path: Path, values: np.ndarray, classes: int, count: int) -> np.ndarray:
    if len(values) != count or int(values.max()) >= classes or int(values.min()) < 0:
        low, high = int(values.min()), int(values.max())
        raise DataError(
            f"{path}: {len(values)} labels {low}..{high} for {count} images, they must lie in 0..{classes - 1}"
        )
    return values.astype(np.int64)


def read_idx(path: Path) -> np.ndarray:
    """An IDX file (two zero bytes, type, number of dimensions, sizes, values; all big-endian), or the same with
    `.gz` at its name's end."""
    packed = path.with_name(path.name + ".gz")
    mend = f"put {path.name} or {packed.name} there"
    if path.is_file():
        content = _bytes(path, mend)
    else:
        try:
            content = gzip.decompress(_bytes(packed, mend))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{packed}: not a whole gzip file ({error}); {mend} again") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or not content[3]:
        raise DataError(
            f"{path}: its first bytes {content[:4].hex(' ')} are not those of an IDX file; {mend} again"
        )
    kind, rank = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    want = start + math.prod(shape) * kind.itemsize
    if len(content) != want:
        raise DataError(f"{path}: {len(content)} bytes, its header asks for {want}: damaged; {mend} again")
    return np.frombuffer(content, kind, offset=start).reshape(shape)


def _joined(parts: Iterable[Part]) -> Part:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _images(name: str, classes: int, train: Part, test: Part) -> DataSet:
    channels, height, width = train[0].shape[1:]
    return DataSet(
        name=name,
        input=InputSpec(kind="image", channels=channels, height=height, width=width, bits=8),
        classes=classes,
        train_samples=train[0],
        train_labels=train[1],
        test_samples=test[0],
        test_labels=test[1],
    )


def _cifar(folder: Path, name: str, *, python: str, binary: str, train: list[str], test: str, **of) -> DataSet:
    """Whichever version is there; the Python one where neither is, so that the message names it."""
    classes = of["classes"]

    def read(file: str) -> Part:
        if (folder / binary).is_dir() and not (folder / python).is_dir():
            path = folder / binary / f"{file}.bin"
            part = read_cifar_binary(path, label_bytes=of["label_bytes"], classes=classes)
            if len(part[1]) != CIFAR_IMAGES[file]:
                raise DataError(
                    f"{path}: {len(part[1])} images, the published file has {CIFAR_IMAGES[file]}: damaged; "
                    f"unpack the binary version of {_CIFAR_SITE} there again"
                )
            return part
        md5 = CIFAR_MD5[f"{python}/{file}"]
        return read_cifar_pickle(folder / python / file, md5=md5, labels=of["labels"], classes=classes)

    return _images(name, classes, _joined(map(read, train)), read(test))


@dataset("cifar10", files=True)
def cifar10(folder: Path) -> DataSet:
    """`folder/cifar-10-batches-py/` or `folder/cifar-10-batches-bin/`: 50,000 and 10,000 images, 10 classes."""
    return _cifar(
        folder,
        "cifar10",
        python="cifar-10-batches-py",
        binary="cifar-10-batches-bin",
        train=[f"data_batch_{index}" for index in range(1, 6)],
        test="test_batch",
        classes=10,
        labels=b"labels",
        label_bytes=1,
    )


@dataset("cifar100", files=True)
def cifar100(folder: Path) -> DataSet:
    """`folder/cifar-100-python/` or `folder/cifar-100-binary/`: the 100 fine classes."""
    return _cifar(
        folder,
        "cifar100",
        python="cifar-100-python",
        binary="cifar-100-binary",
        train=["train"],
        test="test",
        classes=100,
        labels=b"fine_labels",
        label_bytes=2,
    )


def _idx_set(folder: Path, name: str) -> DataSet:
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
        if images.ndim != 3 or images.dtype != np.uint8 or labels.ndim != 1:
            raise DataError(f"{folder}: its {part} files hold {images.ndim}-dimensional {images.dtype}, not images")
        parts.append((images[:, None].copy(), _labels(folder, labels, 10, len(images))))
    return _images(name, 10, *parts)


@dataset("mnist", files=True)
def mnist(folder: Path) -> DataSet:
    """`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two of `t10k`, plain or .gz, in `folder` or in
    its `MNIST/raw`, where other programs keep them."""
    return _idx_set(_deeper(folder, "MNIST/raw"), "mnist")


@dataset("fashion-mnist", files=True)
def fashion_mnist(folder: Path) -> DataSet:
    """The same four names as `mnist`, in `folder` or in its `FashionMNIST/raw`."""
    return _idx_set(_deeper(folder, "FashionMNIST/raw"), "fashion-mnist")


def _deeper(folder: Path, inner: str) -> Path:
    return folder / inner if (folder / inner).is_dir() else folder
