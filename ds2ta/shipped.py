"""The models that come with the project, in `models/NAME.safetensors`; `gateware/presets.py` has their machines."""

from pathlib import Path

__all__ = ["DIGITS", "FROM_FILES", "SHIPPED", "model_path"]

_MODELS = Path(__file__).resolve().parent.parent / "models"

#: Of the digits that a package brings: their figures are those of all held-out images.
DIGITS = ("digits-tiny", "digits-small")
#: Of data sets that are read from files, which not everybody has: tests take the held-out samples inside of the
#: model file, `ds2ta verify --data DIR` more; their figures stand in docs/results.md.
FROM_FILES = ("cifar-ecp5", "nmnist-tiny")
SHIPPED = (*DIGITS, *FROM_FILES)


def model_path(name: str) -> Path:
    """Where the model file of that name lies."""
    return _MODELS / f"{name}.safetensors"
