# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The command `verify`: a data set through the emitted Verilog, compared with golden and the cycle model."""

import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ds2ta.commands.options import DataOption, ModelArgument, SetOption, data_needs
from ds2ta.errors import FitError
from ds2ta.extras import require
from ds2ta.files import SHIPPED, demand_checkout, model_path

__all__ = ["app"]

_SHOWN = 10  # differences that are spelled out

app = typer.Typer()
_console = Console(width=None if sys.stdout.isatty() else 140)


@app.command()
def verify(
    model: ModelArgument,
    data: DataOption = None,
    samples: Annotated[int, typer.Option(min=1, help="How many held-out samples, from the first on.")] = 100,
    settings: SetOption = None,
    record: Annotated[bool, typer.Option("--record", help="Put the result into docs/rtl-runs.json.")] = False,
) -> None:
    """Run held-out samples on the emitted Verilog and compare everything with golden and the cycle model: every
    layer, kept attention entry, logit, class and counter. Exit code 1 where something differs."""
    if record:
        demand_checkout("verify --record")
    require(*data_needs(data), "verilator")
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.golden.data.sets import reads_files, set_name
    from ds2ta.modelfile import load_model, model_digest
    from ds2ta.records.rtl_runs import RECORD, run_entry, write_run
    from ds2ta.sim.verify import held_out, summary
    from ds2ta.sim.verify import verify as run

    loaded = load_model(model)
    name = loaded.network.name
    if record:
        shipped = name in SHIPPED and model_path(name).is_file()
        if settings or not shipped or model_digest(load_model(model_path(name))) != model_digest(loaded):
            raise FitError("--record: shipped models are recorded, on their own machines; leave it out for others")
        if data is None and reads_files(loaded.provenance["data"]):
            raise FitError(f"--record: {name} is recorded on its data set; --data DIR names the folder")
    machine, program = fit(loaded, **machine_choices(loaded, settings))
    inputs, labels = held_out(loaded, data, samples)
    seen, started = [], time.perf_counter()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        checked = run(loaded, machine, program, inputs)
        for number, item in enumerate(progress.track(checked, total=samples, description=f"{name} on Verilog")):
            seen.append(item)
            if item.difference and sum(other.difference is not None for other in seen) <= _SHOWN:
                print(f"sample {number}: {item.difference}", flush=True)
    seconds = time.perf_counter() - started
    figures = summary(loaded, machine, seen, labels)
    _tables(name, figures)
    cycles, source = figures["cycles"], set_name(loaded.provenance.get("data") or "the file")
    print(
        f"{samples} samples of {source}: {figures['mismatches']} differ from golden or the "
        f"cycle model; {figures['accuracy']:.2f} % right; {cycles['mean']:.0f} cycles an image ({cycles['min']} to "
        f"{cycles['max']}); {seconds:.0f} s, of which {figures['rtl_seconds']:.0f} s simulation"
    )
    if figures["mismatches"]:
        raise typer.Exit(1)
    if record:
        command = (
            f"ds2ta verify models/{name}.safetensors{' --data DIR' if data else ''} --samples {samples} --record"
        )
        from ds2ta.records.figures_page import renew_pages

        write_run(run_entry(loaded, figures, command=command, seconds=seconds))
        renew_pages()
        print(f"recorded in {RECORD}")


def _tables(name: str, figures: dict) -> None:
    passes, blocks = Table(title=f"{name}: mean of {figures['samples']} samples"), Table(title="attention maps")
    for column in ("pass", "kind", "cycles", "events"):
        passes.add_column(column)
    for item in figures["passes"]:
        passes.add_row(item["pass"], item["kind"], f"{item['cycles']:.0f}", f"{item['events']:.0f}")
    for column in ("block", "zeros in S", "zeros after NSAD", "kept, an image"):
        blocks.add_column(column)
    for item in figures["blocks"]:
        shares = (f"{100 * (1 - item[key] / item['entries']):.2f} %" for key in ("scores", "kept"))
        blocks.add_row(str(item["block"]), *shares, f"{item['kept'] / figures['samples']:.0f}")
    _console.print(passes, blocks)
