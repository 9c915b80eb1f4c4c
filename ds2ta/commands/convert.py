# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The command `convert`: a model file of an older version becomes one of the present version."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ds2ta.commands.options import ModelArgument
from ds2ta.errors import ModelFileError

if TYPE_CHECKING:
    from ds2ta.model import IntegerModel

__all__ = ["about_lines", "app"]

app = typer.Typer()


@app.command()
def convert(
    old: ModelArgument,
    new: Annotated[Path, typer.Argument(help="Model file to write; it must not be there.")],
    classes: Annotated[Path | None, typer.Option(help="Class names for it: a text file, one in a line.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=0, help="Keep so many of its self-test samples, the first ones.")
    ] = None,
) -> None:
    """Write a model file in the present version, its weights packed; what is known of its data set is added."""
    from ds2ta.golden.data.known import known_about
    from ds2ta.modelfile import VERSION, file_version, load_model, model_digest, save_model

    model = load_model(old)
    if new.exists() or new.is_symlink():
        raise ModelFileError(f"{new}: is there already, and is not overwritten; name another file or remove it")
    known = known_about(model.provenance.get("data"), model.network)
    about = known.model_copy(update={key: value for key, value in model.about if value})
    if classes is not None:
        about = about.model_copy(update={"classes": _names(classes)})
    made = replace(model, about=about)
    if samples is not None:
        made = replace(made, samples=model.samples[:samples], labels=model.labels[:samples])
    save_model(made, new)
    digest, before = model_digest(made), model_digest(model)
    print(f"{old}: version {file_version(old)}, {old.stat().st_size} bytes, SHA-256 {before}")
    print(
        f"{new}: version {VERSION}, {new.stat().st_size} bytes, SHA-256 "
        f"{'as before' if digest == before else f'{digest}, for its samples are others'}"
    )
    for line in about_lines(made):
        print(line)


def _names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be read ({error.strerror}); give a text file of class names"
        ) from None
    except UnicodeDecodeError:
        raise ModelFileError(f"{path}: not a text file in UTF-8; give one with a class name in each line") from None


def about_lines(model: "IntegerModel") -> Iterator[str]:
    """What a file says about its classes, its input and its samples."""
    about, shown = model.about, 10
    names = ", ".join(about.classes[:shown]) + (", ..." if len(about.classes) > shown else "")
    yield f"classes: {model.network.classes}, {names or 'without names'}"
    if about.pixels is not None:
        pixels = about.pixels
        yield f"pixels: {pixels.colours}, black {pixels.black}, white {pixels.white}, other shapes: {pixels.fit}"
    if about.events is not None:
        events = about.events
        span = "" if events.microseconds is None else f" in {events.microseconds} us"
        yield (
            f"events: frames of equal {events.cut}{span}, from a sensor of {events.sensor_width} x "
            f"{events.sensor_height} pixels"
        )
    origin = ""
    if about.samples is not None:
        words = {
            True: "may be passed on",
            False: "MUST NOT be passed on",
            None: "whether to pass them on is not said",
        }
        origin = f", of {about.samples.source}, licence: {about.samples.licence} ({words[about.samples.pass_on]})"
    yield f"self-test samples: {len(model.samples)}{origin}"
