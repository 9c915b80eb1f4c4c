# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta report`, a page about a model on hardware."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ds2ta.commands.options import ModelArgument, SetOption, some_samples
from ds2ta.errors import Ds2taError, FitError
from ds2ta.files import check_writable

if TYPE_CHECKING:
    from ds2ta.model import IntegerModel

__all__ = ["app"]

app = typer.Typer()


@app.command()
def report(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    count: Annotated[
        int, typer.Option("--samples", min=1, help="So many of the model's samples at most are counted on.")
    ] = 4,
    settings: SetOption = None,
) -> None:
    """Write a page about a model on hardware: network, cycles by pass, activity, attention maps and denoisers,
    memories, boards. One file that needs no network, for a screen, a phone or a printer."""
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.modelfile import load_model
    from ds2ta.sim.report import page

    loaded = load_model(model)
    choices = machine_choices(loaded, settings)
    check_writable(out)
    samples = list(some_samples(loaded, count))
    text = page(loaded, choices, samples, _boards(loaded, samples))
    part = out.with_name(f"{out.name}.partial")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Ds2taError(f"{out}: cannot be written ({error.strerror or error})") from None
    plural = "s" if len(samples) > 1 else ""
    print(f"{out}: {loaded.network.name}, {len(text) / 1000:.0f} kB, counted on {len(samples)} sample{plural}")


def _boards(model: "IntegerModel", samples: list) -> list[dict[str, Any]] | None:
    """What each board takes of the model, or why not; nothing where the package of boards is not installed."""
    if importlib.util.find_spec("amaranth_boards") is None:
        return None
    from ds2ta.fpga.boards import BOARDS
    from ds2ta.fpga.report import RESOURCES
    from ds2ta.fpga.sizing import size
    from ds2ta.golden import slow

    traced = [(sample, slow.run(model, sample)) for sample in samples]
    found: list[dict[str, Any]] = []
    for board in BOARDS.values():
        try:
            one = size(model, board, traced, {})
        except FitError as error:
            found.append({"title": board.title, "refused": str(error).removeprefix(f"{board.name}: ")})
        else:
            limit = f"{RESOURCES[one.limiting]}, {one.shares[one.limiting]:.0%}"
            found.append(one.row() | {"title": board.title, "limit": limit})
    return found
