"""What is slow to make is kept under `build/`, in a folder named after the digest of all that it was made from."""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BUILD", "build_folder", "digest"]

_TOP = Path(__file__).resolve().parents[1]
#: Of the checkout, or of the present folder where the package is installed elsewhere.
BUILD = (_TOP if (_TOP / "pyproject.toml").is_file() else Path.cwd()) / "build"


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
