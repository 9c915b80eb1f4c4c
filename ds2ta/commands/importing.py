# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Commands that take over networks that were trained elsewhere."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ds2ta.extras import require

if TYPE_CHECKING:
    from ds2ta.golden.training.importing import Found, Imported

__all__ = ["app"]

app = typer.Typer()
_console = Console(width=None if sys.stdout.isatty() else 140)


# longer than 80 lines: every option of the command
@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A Spikformer's .pth or .safetensors, or a NIR file.")],
    state: Annotated[
        Path | None, typer.Argument(help="Float checkpoint to write, with the network file .yaml beside it.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of what the checkpoint does not say.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is found, missing and unused.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set's files, to measure accuracy.")] = None,
    weights: Annotated[str | None, typer.Option(help="Which weights of the file; ema for the average.")] = None,
    like: Annotated[str | None, typer.Option(help="Preset that says the rest, such as spikformer.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the network; default: that of the file.")] = None,
    data_set: Annotated[str | None, typer.Option(help="Name of the data set, such as cifar10.")] = None,
    kind: Annotated[str | None, typer.Option(help="image or frames; default: frames for 2 channels.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width of a sample, such as 32x32.")] = None,
    bits: Annotated[int | None, typer.Option(help="Bits of a pixel or an event count.")] = None,
    steps: Annotated[int | None, typer.Option(help="Time steps T.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads.")] = None,
    pools: Annotated[
        str | None, typer.Option(help="Convolutions, from 0, with a max-pool behind: 2,3, or none.")
    ] = None,
    residual: Annotated[str | None, typer.Option(help="add, or or.")] = None,
    tau: Annotated[float | None, typer.Option(help="Time constant of the neurons: 2, 4, 8 or 16.")] = None,
    threshold: Annotated[float | None, typer.Option(help="v_threshold of the neurons.")] = None,
    reset: Annotated[str | None, typer.Option(help="v_reset of the neurons, a number; soft for None.")] = None,
    decay_input: Annotated[
        bool | None, typer.Option("--decay-input/--no-decay-input", help="Whether they divide inputs by tau too.")
    ] = None,
    attention_scale: Annotated[float | None, typer.Option(help="Factor of Q K^T V.")] = None,
    attention_threshold: Annotated[float | None, typer.Option(help="v_threshold of the neuron behind it.")] = None,
    one: Annotated[float | None, typer.Option(help="Pixel that training saw as 1.0: 255, or 1 for raw.")] = None,
    mean: Annotated[str | None, typer.Option(help="Of its inputs by channel after that, 0 for none.")] = None,
    deviation: Annotated[str | None, typer.Option(help="Likewise, 1 for none.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Of its batch norms; default: 1e-5, torch's own.")] = None,
    dt: Annotated[float | None, typer.Option(help="Seconds of a time step, of a NIR file.")] = None,
) -> None:
    """Take over a Spikformer that was trained elsewhere, of any size: the same spikes. What its checkpoint does not
    say is asked for, never guessed."""
    from ds2ta.errors import NetworkError
    from ds2ta.golden.training.importing import import_file, import_graph, is_graph, look

    if state is None and not dry_run:
        raise NetworkError("import: name the float checkpoint to write, or add --dry-run")
    given: dict[str, Any] = {
        "like": like,
        "name": name,
        "data": data_set,
        "kind": kind,
        "size": _numbers("--size", size, "x", int),
        "bits": bits,
        "time_steps": steps,
        "heads": heads,
        "pools": [] if pools == "none" else _numbers("--pools", pools, ",", int),
        "residual": residual,
        "epsilon": epsilon,
        "neuron": {
            "tau": tau,
            "threshold": threshold,
            "reset": reset if reset in (None, "soft") else _numbers("--reset", reset, ",", float)[0],
            "decay_input": decay_input,
        },
        "attention": {"scale": attention_scale, "threshold": attention_threshold},
        "normalization": {
            "one": one,
            "mean": _numbers("--mean", mean, ",", float),
            "deviation": _numbers("--deviation", deviation, ",", float),
        },
    }
    if is_graph(checkpoint):
        require("nir")
        if state is None:
            raise NetworkError(
                f"{checkpoint}: a NIR file says all that --dry-run would show; name the file to write"
            )
        _tell(import_graph(checkpoint, state, dt=dt, settings=settings, options=_said(given), folder=data))
        return
    if dt is not None:
        raise NetworkError("--dt: only a NIR file has times in seconds")
    found = look(checkpoint, weights=weights, settings=settings, options=_said(given))
    if dry_run:
        _show(found)
        return
    assert state is not None
    done = import_file(found, state, folder=data)
    for note in found.notes():
        print(f"note: {note}", file=sys.stderr)
    _tell(done)


def _tell(done: "Imported") -> None:
    """What was written."""
    measured = "not measured, its data set is not here; --data DIR names its folder"
    if done.accuracy is not None:
        measured = f"{done.accuracy:.2f} % of the held-out samples right"
    print(f"{done.state}: {measured}")
    print(f"{done.net}: the network, for ds2ta train {done.net} --origin {done.state}")


@app.command("export-nir")
def export_nir(
    checkpoint: Annotated[Path, typer.Argument(help="Float checkpoint of `ds2ta train` or `ds2ta import`.")],
    out: Annotated[Path, typer.Argument(help="NIR file to write.")],
) -> None:
    """Write the parts of a float network that NIR can say: all but the product of Q, K and V, where it is cut."""
    require("torch", "nir")
    from ds2ta.golden.training.checkpoint import load_checkpoint
    from ds2ta.golden.training.nirfile import write_graph

    write_graph(load_checkpoint(checkpoint).network, out)
    print(out)


def _numbers(option: str, text: str | None, between: str, kind: type) -> Any:
    """The numbers of an option, or None."""
    from ds2ta.errors import NetworkError

    if text is None:
        return None
    pattern = r"\s*[+-]?\d+\s*" if kind is int else r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
    parts = text.split(between)
    if not all(re.fullmatch(pattern, part, re.ASCII) and len(part) < 20 for part in parts):
        whole = "whole numbers" if kind is int else "numbers"
        raise NetworkError(f"{option} {text}: must be {whole} with {between!r} between them")
    return [kind(part) for part in parts]


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said."""
    found = {}
    for key, value in values.items():
        value = _said(value) if isinstance(value, dict) else value
        if value is not None and value != {}:
            found[key] = value
    return found


def _show(found: "Found") -> None:
    """What `--dry-run` prints."""
    table = Table(title=str(found.path))
    for column in ("found", "value", "from"):
        table.add_column(column, overflow="fold")
    for row in found.rows():
        table.add_row(*row)
    _console.print(table)
    for asked in found.missing:
        print(f"missing: {asked.told}")
    for name in found.shape.unused:
        print(f"unused: {name}")
    for note in found.notes():
        print(f"note: {note}")
