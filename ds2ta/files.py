"""Where things lie: the checkout, its documents and models, and what is slow to make.

The latter is kept under `build/`, in a folder named after the digest of all that it was made from.
"""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "BUILD",
    "DIGITS",
    "DOCS",
    "FROM_FILES",
    "MODELS",
    "ROOT",
    "SHIPPED",
    "build_folder",
    "digest",
    "model_path",
]

#: The checkout; of an installed package, the folder that it lies in.
ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MODELS = ROOT / "models"
#: Of the checkout, or of the present folder where the package is installed elsewhere.
BUILD = (ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()) / "build"

#: Models of the digits that a package brings: their figures are those of all held-out images.
DIGITS = ("digits-tiny", "digits-small")
#: Of data sets that are read from files, which not everybody has: tests take the held-out samples inside of the
#: model file, `ds2ta verify --data DIR` more; their figures stand in docs/results.md.
FROM_FILES = ("cifar-ecp5", "nmnist-tiny")
SHIPPED = (*DIGITS, *FROM_FILES)


def model_path(name: str) -> Path:
    """Where the model that comes with the project under that name lies; `gateware/machines.py` has its machine."""
    return MODELS / f"{name}.safetensors"


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
