# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a model takes on a board, and how fast it is there, without synthesis: the exact cycle model, and the
estimate of area that every build on record is checked against."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ds2ta.fpga.boards import Board
from ds2ta.fpga.design import area_on, check_memories, refuse_area
from ds2ta.gateware.area import Estimate
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.planner import FILL
from ds2ta.gateware.weight_feed import PERFECT, SDRAM
from ds2ta.model import IntegerModel

__all__ = ["Sizing", "size"]


@dataclass(frozen=True)
class Sizing:
    """A model on a board. cycles: exact, mean of the samples. memory_bytes: read from the board's memory for a
    sample. shares: resource -> part of what the device has, in which LUTs are counted as packed."""

    board: Board
    machine: Machine
    area: Estimate
    clock_hz: float
    cycles: float
    memory_bytes: int
    shares: Mapping[str, float]

    @property
    def images_per_second(self) -> float:
        return self.clock_hz / self.cycles

    @property
    def bandwidth(self) -> float:
        """Bytes a second from the memory beside the device."""
        return self.memory_bytes * self.images_per_second

    @property
    def tight(self) -> bool:
        """More LUTs are taken than the planner would: place and route may fail, or be slow."""
        return self.shares["luts"] > FILL[self.board.family]

    @property
    def limiting(self) -> str:
        """The resource of which the largest part is taken."""
        return max(self.shares, key=lambda name: self.shares[name])

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "board": self.board.name,
            "machine": self.machine.model_dump(),
            "estimate": asdict(self.area),
            "clock_hz": self.clock_hz,
            "cycles": self.cycles,
            "images_per_second": self.images_per_second,
            "memory_bytes_per_second": self.bandwidth,
            "limiting": self.limiting,
            "tight": self.tight,
        }


def size(
    model: IntegerModel,
    board: Board,
    samples: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
    choices: Mapping[str, int | str],
) -> Sizing:
    """The machine that a model gets on a board (`Board.fitting`, changed by `choices`), on some of its samples,
    each with its trace by a golden model. Raises `FitError` with what is short where it does not fit."""
    fitting = board.fitting(model, choices)
    machine, program = fit(model, **fitting.choices)
    check_memories(board, machine)
    area = area_on(board, machine, fitting.core_hz)
    refuse_area(board, area, most=1.0)
    memory = SDRAM if machine.streams else PERFECT
    cycles = [total_cycles(predict(program, machine, *sample, memory=memory)) for sample in samples]
    rows = sum(item.tile_rows * (item.tiles_last + 1) for item in program.instructions) if machine.streams else 0
    needs = asdict(area) | {"luts": area.packed_luts}
    return Sizing(
        board=board,
        machine=machine,
        area=area,
        clock_hz=fitting.core_hz,
        cycles=sum(cycles) / len(cycles),
        memory_bytes=rows * machine.row_words * machine.memory_bits // 8,
        shares={name: needs[name] / most for name, most in board.limits.items() if most},
    )
