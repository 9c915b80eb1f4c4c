# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Where things lie: the checkout, its documents and models, and what is slow to make.

The latter is kept under `build/`, in a folder named after the digest of all that it was made from. An installed
package has no checkout around it: it brings the models of the digits, and keeps no records.
"""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

from ds2ta.errors import Ds2taError, ModelFileError

__all__ = [
    "BUILD",
    "CHECKOUT",
    "DIGITS",
    "DIGIT_IMAGES",
    "DOCS",
    "FROM_FILES",
    "MODELS",
    "ROOT",
    "SHIPPED",
    "build_folder",
    "check_writable",
    "demand_checkout",
    "digest",
    "model_path",
]

_PACKAGE = Path(__file__).resolve().parent
#: Whether this is a checkout of the project, and not a package that was installed from a wheel.
CHECKOUT = (_PACKAGE.parent / "pyproject.toml").is_file()
#: The checkout; of an installed package its own folder, where nothing but the models has come along.
ROOT = _PACKAGE.parent if CHECKOUT else _PACKAGE
DOCS = ROOT / "docs"
MODELS = ROOT / "models"
#: Of the checkout, or of the present folder where the package is installed elsewhere.
BUILD = (ROOT if CHECKOUT else Path.cwd()) / "build"

#: Models of the digits, which an installed package brings too: their figures are those of all held-out images.
DIGITS = ("digits-tiny", "digits-small")
#: Samples for both, a .npy file: those that the model files hold too.
DIGIT_IMAGES = MODELS / "digits.npy"
#: Of data sets that are read from files, which not everybody has: tests take the held-out samples inside of the
#: model file, `ds2ta verify --data DIR` more; their figures stand in docs/results.md.
FROM_FILES = ("cifar-ecp5", "nmnist-tiny")
SHIPPED = (*DIGITS, *FROM_FILES)


def model_path(name: str) -> Path:
    """Where the model that comes with the project under that name lies; `gateware/machines.py` has its machine.
    `ModelFileError` for one that an installed package leaves out."""
    path = MODELS / f"{name}.safetensors"
    if name in FROM_FILES and not path.is_file():
        raise ModelFileError(
            f"{name}: an installed package brings {' and '.join(DIGITS)} alone; models/{path.name} of a checkout "
            "of the project is the file"
        )
    return path


def demand_checkout(what: str) -> None:
    """Raise an error, in one line, unless the project's documents are here to be read and written."""
    if not CHECKOUT:
        raise Ds2taError(
            f"{what}: reads and writes docs/ of a checkout of the project, and this is a package installed in "
            f"{_PACKAGE}; run it by the .venv/bin/ds2ta of a checkout"
        )


def check_writable(path: Path) -> None:
    """Raise an error unless a file can be written there: said before what takes minutes, not after it."""
    trial = path.with_name(path.name + ".partial")
    try:
        trial.touch()
        trial.unlink()
    except (OSError, ValueError) as error:
        raise Ds2taError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    if path.is_dir():
        raise Ds2taError(f"{path}: is a folder; name a file in it")


def digest(*parts: object) -> str:
    """Short stable name of some content."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def build_folder(kind: str, key: str) -> Iterator[Path]:
    """The folder `build/<kind>/<key>`, locked against every other process while the block runs."""
    folder = BUILD / kind / key
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
