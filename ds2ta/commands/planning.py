# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta plan`, what a model takes on each board; the option --optimize, a machine that is chosen, not given."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ds2ta.commands.options import ModelArgument, SetOption, some_samples
from ds2ta.errors import FitError
from ds2ta.extras import require

if TYPE_CHECKING:
    from ds2ta.fpga.boards import Board
    from ds2ta.fpga.sizing import Sizing
    from ds2ta.gateware.planner import Plan
    from ds2ta.model import IntegerModel

__all__ = ["OptimizeOption", "app", "demand_board", "planned"]

app = typer.Typer()

_SAMPLES = 2  # whose cycles are counted

OptimizeOption = Annotated[
    str | None,
    typer.Option(
        "--optimize", help="Choose the machine for the board: cycles, the fewest, or area, the fewest LUTs."
    ),
]


def planned(model: "IntegerModel", board: "Board", goal: str, settings: list[str] | None) -> "Plan":
    """The machine for a board; what --set gives is not changed. Progress and the choices go to stderr."""
    from ds2ta.fpga.top import SDRAM_BITS, BoardTop
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.gateware.planner import External, plan
    from ds2ta.gateware.weight_feed import SDRAM
    from ds2ta.golden import slow

    console, samples = Console(stderr=True), some_samples(model, _SAMPLES)
    fixed: dict[str, int | str] = {"tables": "ram", "pipeline": "long" if board.family == "ecp5" else "short"}
    if model.network.input.kind != "image":
        fixed["samples"] = "any"
    with console.status("planning") as status:
        found = plan(
            model,
            [(sample, slow.run(model, sample)) for sample in samples],
            design=lambda machine: BoardTop(machine, clock_hz=round(board.core_hz), memory=board.sdram),
            family=board.family,
            limits=board.limits,
            fixed=fixed | machine_choices(None, settings),
            goal=goal,
            external=External(SDRAM_BITS, SDRAM) if board.sdram else None,
            progress=lambda number, told: status.update(f"planning: machine {number}, {told}"),
        )
    chosen = " ".join(f"--set {key}={value}" for key, value in sorted(found.choices.items()))
    area = found.area
    typer.echo(
        f"{model.network.name} on {board.name}: {found.cycles:.0f} cycles (exact, mean of "
        f"{len(samples)} samples); estimated: {area.luts} LUT, {area.packed_luts} packed, "
        f"{area.registers} FF, {area.block_rams} block RAM, {area.single_port_rams} SPRAM, {area.multipliers} DSP; "
        f"best of {found.tried} machines: {chosen}",
        err=True,
    )
    return found


def demand_board(goal: str | None, board: str | None) -> None:
    """Both or neither."""
    if (goal is None) != (board is None):
        raise FitError("--optimize and --board: give both, the goal and the device that must hold the machine")


@app.command()
def plan(
    model: ModelArgument,
    board: Annotated[str | None, typer.Option(help="A board; default: all.")] = None,
    settings: SetOption = None,
    optimize: OptimizeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, a board each.")] = False,
) -> None:
    """Say what a model takes on each board and how fast it is there, without synthesis: the machine that `build`
    would give it, estimated area, exact cycles, what limits it. Exit code 1 when it fits no board."""
    require("amaranth_boards")
    from ds2ta.fpga.boards import BOARDS, find_board
    from ds2ta.fpga.sizing import size
    from ds2ta.gateware.machines import machine_choices
    from ds2ta.gateware.planner import GOALS
    from ds2ta.golden import slow
    from ds2ta.modelfile import load_model

    # mistakes in the line are no boards that the model does not fit
    boards = list(BOARDS.values()) if board is None else [find_board(board)]
    given = machine_choices(None, settings)
    if optimize not in (None, *GOALS):
        raise FitError(f"--optimize {optimize}: must be {' or '.join(GOALS)}")
    loaded = load_model(model)
    samples = [(sample, slow.run(loaded, sample)) for sample in some_samples(loaded, _SAMPLES)]
    found: dict[str, Sizing | str] = {}
    for item in boards:
        try:
            choices = planned(loaded, item, optimize, settings).choices if optimize else given
            found[item.name] = size(loaded, item, samples, choices)
        except FitError as error:
            found[item.name] = str(error)
    if as_json:
        for name, one in found.items():
            print(json.dumps({"board": name, "refused": one} if isinstance(one, str) else one.row()))
    else:
        _show_sizes(loaded, found, len(samples))
    if all(isinstance(one, str) for one in found.values()):
        raise typer.Exit(1)


def _show_sizes(model: "IntegerModel", found: "dict[str, Sizing | str]", samples: int) -> None:
    """A column for each board that holds the model, a line for each that does not."""
    from ds2ta.fpga.report import RESOURCES

    fits = {name: one for name, one in found.items() if not isinstance(one, str)}
    if fits:
        print(f"{model.network.name}: cycles exact, mean of {samples}; area estimated")
        table = Table()
        for column in ("", *fits):
            table.add_column(column)

        def area(name: str) -> "Callable[[Sizing], str]":
            need = "packed_luts" if name == "luts" else name
            return lambda one: f"{getattr(one.area, need):,} of {one.board.limits[name]:,}"

        def limit(one: "Sizing") -> str:
            return f"{RESOURCES[one.limiting]}, {one.shares[one.limiting]:.0%}{', tight' if one.tight else ''}"

        rows: dict[str, Callable[[Sizing], str]] = {
            "lanes P x T": lambda one: f"{one.machine.lanes} x {one.machine.time_steps}",
            "events at once": lambda one: str(one.machine.events),
            "row, drain lanes": lambda one: f"{one.machine.row_lanes}, {one.machine.drain_lanes}",
            "weights": lambda one: "SDRAM" if one.machine.streams else one.machine.weights,
            **{title: area(name) for name, title in RESOURCES.items()},
            "limited by": limit,
            "cycles": lambda one: f"{one.cycles:,.0f}",
            "clock, MHz": lambda one: f"{one.clock_hz / 1e6:g}",
            "samples/s": lambda one: f"{one.images_per_second:,.0f}",
            "memory, MB/s": lambda one: f"{one.bandwidth / 1e6:.0f}" if one.bandwidth else "-",
        }
        for name, cell in rows.items():
            table.add_row(name, *map(cell, fits.values()))
        Console(width=None if sys.stdout.isatty() else 140).print(table)
    for name, one in found.items():
        if isinstance(one, str):
            print(f"{name}: does not fit: {one.removeprefix(f'{name}: ')}")
