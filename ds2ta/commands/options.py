# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Arguments and options that several commands share, and what they mean where little is installed."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ds2ta.extras import has, missing_message
from ds2ta.files import DIGIT_IMAGES, DIGITS, SHIPPED, model_path
from ds2ta.model import IntegerModel

__all__ = [
    "DataOption",
    "ImageFilesArgument",
    "ImagesArgument",
    "ModelArgument",
    "ModelsOption",
    "SetOption",
    "data_needs",
    "golden_or_slow",
    "model_option",
    "some_samples",
]

_NAMES = " or ".join(DIGITS)
#: Weights that a command applies with the slow golden model to count cycles, at most: one or two minutes.
_APPLIED = 20_000_000_000


def _named(path: Path) -> Path:
    """A name stands for the model of the project, unless there is a file of that name."""
    return model_path(str(path)) if str(path) in SHIPPED and not path.is_file() else path


def _model(path: Path | None) -> Path | None:
    return None if path is None else _named(path)


def _models(paths: list[Path] | None) -> list[Path] | None:
    return None if paths is None else [_named(path) for path in paths]


def _images(path: Path) -> Path:
    return DIGIT_IMAGES if str(path) == "digits" and not path.is_file() else path


def _image_files(paths: list[Path]) -> list[Path]:
    return [_images(path) for path in paths]


def model_option(text: str, name: str = "--model") -> typer.models.OptionInfo:
    """The option --model of commands that take one, or another `name`; `text` says what the model is there for."""
    return typer.Option(name, help=f"{text} A file, or {_NAMES}.", callback=_model)


ModelArgument = Annotated[Path, typer.Argument(help=f"Integer model file, or {_NAMES}.", callback=_model)]
ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model", help="Integer model file; repeat for more; default: the two of digits.", callback=_models
    ),
]
_SAMPLES = "uint8 samples in a .npy file, a picture, or digits for some that are there"
ImagesArgument = Annotated[Path, typer.Argument(help=f"{_SAMPLES}.", callback=_images)]
ImageFilesArgument = Annotated[
    list[Path], typer.Argument(help=f"{_SAMPLES}; one or more.", callback=_image_files, metavar="images...")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Machine parameter KEY=VALUE, such as lanes=16; repeat for more.", metavar="KEY=VALUE"
    ),
]
DataOption = Annotated[Path | None, typer.Option(help="Folder of the data set's files.")]


def golden_or_slow() -> str:
    """The golden backend that is there: the fast one needs torch. Says so where it is not installed."""
    if has("torch"):
        return "golden"
    print(f"the slow backend answers, with the same numbers: {missing_message(['torch'])}", file=sys.stderr)
    return "slow"


def data_needs(folder: Path | None) -> tuple[str, ...]:
    """Modules that read a data set; digits, the one that needs no folder, comes with scikit-learn."""
    return ("torch",) if folder else ("torch", "sklearn")


def some_samples(model: IntegerModel, count: int | None = None) -> np.ndarray:
    """The first samples of a model's file, to count cycles on: `count`, or all; of a large network so many as take
    minutes at most. Noise where the file has none, which is said."""
    from ds2ta.sim.expected import noise

    if len(model.samples):
        applied = model.network.time_steps * sum(
            layer.weight.size * layer.spec.height * layer.spec.width for layer in model.synapses.values()
        )
        return model.samples[: min(count or len(model.samples), max(1, _APPLIED // applied))]
    print(f"{model.network.name}: its file has no samples; cycles are those of noise", file=sys.stderr)
    return noise(model)
