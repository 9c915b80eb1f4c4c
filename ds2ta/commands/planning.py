# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The option --optimize: a machine that is chosen, not given."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ds2ta.commands.options import some_samples
from ds2ta.errors import FitError

if TYPE_CHECKING:
    from ds2ta.fpga.boards import Board
    from ds2ta.gateware.planner import Plan
    from ds2ta.model import IntegerModel

__all__ = ["OptimizeOption", "demand_board", "planned"]

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
