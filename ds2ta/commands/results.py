# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Commands that look at a trained model on real data: `sparsity`, `plot`, and `results`, which keeps the record."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ds2ta.commands.options import DataOption, ModelArgument, SetOption, data_needs
from ds2ta.errors import DataError
from ds2ta.extras import require
from ds2ta.files import demand_checkout

__all__ = ["app"]

app = typer.Typer()
_console = Console(width=None if sys.stdout.isatty() else 160)


def _held_out(model, path: Path, data: Path | None):
    """Held-out samples and labels of the data set that a model was trained on."""
    from ds2ta.golden.data.sets import load_data

    name = model.provenance.get("data")
    if not name:
        raise DataError(f"{path}: its provenance does not say which data set it was trained on")
    found = load_data(name, data)
    return found.test_samples, found.test_labels


@app.command()
def sparsity(
    model: ModelArgument,
    data: DataOption = None,
    samples: Annotated[int, typer.Option(min=1, help="How many held-out samples, evenly spread, at most.")] = 1000,
    rtl: Annotated[int, typer.Option(min=0, help="Of these, how many on the RTL too, with its counters.")] = 0,
    settings: SetOption = None,
    record: Annotated[bool, typer.Option("--record", help="Put it into docs/results.json and results.md.")] = False,
) -> None:
    """Zeros in the attention map by block, before and after NSAD, and the energy model of the paper's table 3;
    where in the network the operations are. Exit code 1 when the RTL counts otherwise than the golden model."""
    if record:
        demand_checkout("sparsity --record")
    require(*data_needs(data), *(["verilator"] if rtl else []))
    from ds2ta.golden.data.sets import spread
    from ds2ta.golden.operations import measure
    from ds2ta.modelfile import load_model

    loaded = load_model(model)
    name = None
    if record:
        from ds2ta.records.results import shipped_name

        name = shipped_name(loaded, model)
    held_out, labels = _held_out(loaded, model, data)
    chosen = spread(len(labels), samples)
    held_out, labels = held_out[chosen], labels[chosen]
    activity, both = measure(loaded, held_out), spread(len(labels), rtl)
    counted = _count_rtl(loaded, held_out[both], activity.of(both), settings) if rtl else None
    _show(loaded.network, activity, both, counted and counted[1])
    right = int((activity.logits.argmax(axis=1) == labels).sum())
    _console.print(f"golden: {right} of {len(labels)} right")
    if counted is not None:
        print(
            f"RTL: {len(both)} samples, equal to golden: the kept entries, the events of every layer, the logits; "
            f"{counted[1].cycles.mean():.0f} cycles a sample"
        )
    if name is not None:
        from ds2ta.records import results

        command = f"ds2ta sparsity models/{name}.safetensors --samples {samples}"
        command += (" --data DIR" if data else "") + (f" --rtl {rtl}" if rtl else "")
        command += "".join(f" --set {setting}" for setting in settings or ())
        found = results.read_results()
        found["activity"][name] = results.activity_entry(
            loaded, activity, labels, command=command, rtl=counted and (both, *counted)
        )
        _store(found)


def _count_rtl(model, samples, golden, settings: list[str] | None) -> tuple:
    """(machine, its counts); ends the command where they are not golden's."""
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.sim.activity import count, unequal

    machine, program = fit(model, **machine_choices(model, settings))

    with Progress(console=Console(stderr=True), transient=True) as progress:
        found = count(
            model,
            machine,
            program,
            samples,
            progress=lambda items: progress.track(items, description="RTL", total=len(items)),
        )
    if (wrong := unequal(golden, found, machine)) is not None:
        print(f"error: {wrong}", file=sys.stderr)
        raise typer.Exit(1)
    return machine, found


def _show(network, activity, both, counted) -> None:
    from ds2ta.golden.operations import where
    from ds2ta.golden.sparsity import E_AC, attention_sparsity

    table = Table(title=f"{network.name}: attention map, {len(activity.kept)} held-out samples")
    columns = ["block", "zeros in S", "zeros after NSAD", "operations", "energy before", "energy after"]
    if counted is not None:
        columns += [f"kept, golden, {len(both)} samples", "kept, RTL"]
    for column in columns:
        table.add_column(column, justify="right")
    for row in attention_sparsity(network, activity):
        shares = (f"{100 * row.score:.2f} %", f"{100 * row.denoised:.2f} %")
        energies = (f"{1e9 * row.energy_before:.2f} nJ", f"{1e9 * row.energy_after:.2f} nJ")
        kept: tuple[str, ...] = ()
        if counted is not None:
            golden = activity.kept[both, row.block].sum()
            kept = (str(golden), str(counted.kept(network.depth)[:, row.block].sum()))
        table.add_row(str(row.block), *shares, str(row.operations), *energies, *kept)
    _console.print(table)
    _console.print(
        f"operations: dense additions of A x V, T N N D a sample; energy: {1e12 * E_AC:g} pJ x operations x "
        "(1 - zeros), a model"
    )
    table = Table(title=f"{network.name}: where the operations are, a sample")
    for column in ("part", "dense", "share", "done", "share", "done of dense"):
        table.add_column(column, justify="right")
    parts = where(activity)
    dense, done = sum(part.dense for part in parts), sum(part.done for part in parts)
    for part in parts:
        shares = f"{100 * part.dense / dense:.1f} %", f"{100 * part.done / done:.1f} %"
        own = f"{100 * part.done / part.dense:.1f} %"
        table.add_row(part.part, str(part.dense), shares[0], f"{part.done:.0f}", shares[1], own)
    _console.print(table)


def _store(found: dict) -> None:
    from ds2ta.records import figures_page, results
    from ds2ta.records.results_page import render_page

    results.write_results(found)
    figures_page.renew_pages()
    results.PAGE.write_text(render_page(results.PAGE.read_text(), results.read_results(), results.shipped_models()))
    print(f"renewed: {results.RECORD.name}, {results.PAGE.name}")


@app.command("results")
def results_(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Trained models to put on record: of models/, or other widths for accuracy by bits."),
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Renew docs/results.json and docs/results.md.")] = False,
    hardware: Annotated[
        str | None, typer.Option(help="What MODELS were trained on; default: this machine.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="When, as 2025-01-31; default: today.")] = None,
    speed: Annotated[Path | None, typer.Option(help="JSON file with the rows of the table of speed.")] = None,
) -> None:
    """Keep docs/results.md: put rows on record and make the page anew. Without --record: is it up to date? Exit
    code 1 when not."""
    demand_checkout("results")
    from ds2ta.records import results
    from ds2ta.records.results_page import render_page

    if not record:
        if any(item for item in (models, hardware, date, speed)):
            raise DataError("ds2ta results: rows are put on record with --record")
        page = results.PAGE.read_text()
        current = render_page(page, results.read_results(), results.shipped_models()) == page
        print(f"{results.PAGE.name} is {'up to date' if current else 'stale: run ds2ta results --record'}")
        raise typer.Exit(0 if current else 1)
    found = results.read_results()
    for path in models or ():
        section = results.add_trained_model(found, path, on=hardware, when=date)
        print(f"{path}: a row of {section}")
    if speed is not None:
        print(f"{speed}: {results.add_speed(found, speed)} rows of speed")
    _store(found)


@app.command()
def plot(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")],
    data: DataOption = None,
    kind: Annotated[str, typer.Option("--format", help="png or svg.")] = "png",
    sample: Annotated[int, typer.Option(help="Number of the held-out sample under the attention maps.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint that the model comes from, for the formulas of NSAD.")
    ] = None,
) -> None:
    """Draw attention maps by block and head, before and after NSAD, whole and over a sample; the denoisers' integer
    tables and learned curves; accuracy against bits, where docs/results.json has it for this network."""
    require(*data_needs(data), "matplotlib")
    from ds2ta.golden.plot import plot as draw
    from ds2ta.modelfile import load_model
    from ds2ta.records.results import read_results, shipped_models
    from ds2ta.records.results_page import bits_rows

    loaded = load_model(model)
    paths = draw(
        loaded,
        *_held_out(loaded, model, data),
        folder=out,
        kind=kind,
        sample=sample,
        checkpoint=checkpoint,
        bits=bits_rows(read_results(), shipped_models()),
    )
    for path in paths:
        print(path)
