# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The layer program: one instruction for each pass over the network, and its bits.

`docs/layer-program.md` describes every field. The same description gives the layout that the sequencer decodes
and the words that the compiler stores, so the two cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.utils import bits_for, ceil_log2

from ds2ta.errors import FitError
from ds2ta.gateware.machine import Machine
from ds2ta.hw.residual import ResidualMode

__all__ = [
    "PROGRAM_WORD",
    "VERSION",
    "Instruction",
    "Opcode",
    "encode",
    "instruction_layout",
    "instruction_words",
    "program_words",
]

#: Of the instruction's bits: a new number when a program of an older compiler would do something else.
VERSION = 3
#: Bits of a word of the program store. An instruction takes several: a store as wide as one would take a block RAM
#: for every 16 bits (iCE40) of a few rows each, and its output would begin every control path of the machine.
PROGRAM_WORD = 64


class Opcode(IntEnum):
    """What a pass does."""

    INPUT = 0  # sample stream -> encoder -> bank
    SYNAPSE = 1  # convolution or linear layer -> TASA -> LIF -> (pool or residual) -> bank
    ATTENTION = 2  # Q, K, V -> scores -> denoiser -> A x V -> LIF -> bank
    HEAD = 3  # linear layer -> class sums -> result stream


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One pass. Counts are stored less one where the name ends in `_last`. All addresses are rows of the bank
    (modulo its address space), except `weights`, `parameters` and `table`, which index their own stores."""

    name: str  # of the layer or pass; this and the next three are not stored
    reads: str = ""  # tensor that the pass reads, by its name (attention: its block)
    writes: str = ""  # tensor that it writes
    first_line: int = 0  # of its output, or of the input's lines; not 0 in a band but the first
    opcode: Opcode
    final: bool = False
    source: int = 0
    source_bank: int = 0
    source_pitch: int = 0
    source_line: int = 0
    source_plane: int = 0
    kernel3: bool = False
    pixels: bool = False
    pad_right: bool = False
    lines: int = 1
    live_lines: int = 1
    above: bool = False
    below: bool = False
    live_pixels_last: int = 0
    live_rows_last: int = 0
    width_last: int = 0
    height_last: int = 0
    tiles_last: int = 0
    rows_last: int = 0
    planes_last: int = 0
    groups_last: int = 0
    lane_bits: int = 0
    weights: int = 0
    tap_weights: int = 0
    tile_rows: int = 0
    tau: int = 0
    window: int = 1
    drain_groups: int = 1
    rest: int = 0
    spacing_last: int = 0
    parameters: int = 0
    target: int = 0
    target_bank: int = 0
    mirror: bool = False
    target_pitch: int = 0
    target_line: int = 0
    positions_last: int = 0
    residual: ResidualMode = ResidualMode.STORE
    planes_in: int = 1
    planes_out: int = 1
    plane_pitch: int = 0
    keys: int = 0
    values: int = 0
    head_rows_last: int = 0
    heads_last: int = 0
    table: int = 0
    threshold: int = 0
    classes_last: int = 0
    frames: bool = False
    channels: int = 1
    bits: int = 1
    steps: int = 1


_UNSTORED = ("name", "reads", "writes", "first_line")

# fields that only some machines have
_OF_STREAMS = ("tile_rows",)
_OF_BANDS = ("above", "below")


def _widths(machine: Machine) -> dict[str, int]:
    """Bits of every stored field."""
    address = ceil_log2(machine.bank_rows)
    weight = max(1, ceil_log2(machine.tile_space))
    count = bits_for(machine.max_count - 1)
    lane = bits_for(ceil_log2(machine.row_lanes))
    wide = {
        "opcode": bits_for(max(Opcode)),
        "source": address,
        "source_pitch": address,
        "source_line": address,
        "source_plane": address,
        "lines": bits_for(machine.max_lines),
        "live_lines": bits_for(max(2, machine.max_lines)),
        "live_pixels_last": max(1, bits_for(machine.time_steps - 1)),
        "live_rows_last": max(1, bits_for(machine.lanes // machine.row_lanes - 1)),
        "planes_last": max(1, bits_for(machine.max_shift)),
        "lane_bits": lane,
        "weights": weight,
        "tap_weights": weight,
        "tile_rows": bits_for(machine.ring_rows),
        "tau": max(1, bits_for(machine.max_tau)),
        "window": bits_for(machine.max_window),
        "drain_groups": bits_for(machine.lanes // machine.drain_lanes),
        "rest": machine.max_rest.bit_length(),
        "spacing_last": bits_for(machine.max_spacing - 1),
        "parameters": max(1, ceil_log2(machine.parameter_rows)),
        "target": address,
        "target_pitch": address,
        "target_line": address,
        "residual": bits_for(max(ResidualMode)),
        "planes_in": bits_for(machine.max_planes),
        "planes_out": bits_for(machine.max_planes),
        "plane_pitch": address,
        "keys": address,
        "values": address,
        "head_rows_last": max(1, bits_for(max(machine.max_head_dim // machine.row_lanes - 1, 0))),
        "heads_last": max(1, bits_for(machine.max_heads - 1)),
        "table": max(1, ceil_log2(machine.denoiser_entries)),
        "threshold": machine.attention_width,
        "classes_last": bits_for(machine.max_classes - 1),
        "channels": bits_for(machine.max_channels),
        "bits": bits_for(machine.max_bits),
        "steps": bits_for(machine.time_steps),
    }
    for field in fields(Instruction):
        if field.name.endswith("_last") and field.name not in wide:
            wide[field.name] = count
    unstored = {*_UNSTORED, *(() if machine.streams else _OF_STREAMS), *(() if machine.bands else _OF_BANDS)}
    return {field.name: wide.get(field.name, 1) for field in fields(Instruction) if field.name not in unstored}


def instruction_layout(machine: Machine) -> data.StructLayout:
    """The stored instruction, first field in the least significant bits."""
    return data.StructLayout({name: unsigned(width) for name, width in _widths(machine).items()})


def instruction_words(machine: Machine) -> int:
    """Words of the program store that hold one instruction."""
    return -(-instruction_layout(machine).size // PROGRAM_WORD)


def program_words(instructions: Sequence[Instruction], machine: Machine) -> list[int]:
    """The program store: each instruction in `instruction_words` words, least significant first."""
    return [
        encode(instruction, machine) >> (PROGRAM_WORD * word) & ((1 << PROGRAM_WORD) - 1)
        for instruction in instructions
        for word in range(instruction_words(machine))
    ]


def encode(instruction: Instruction, machine: Machine) -> int:
    """The stored word. Raises `FitError` naming the field that does not fit."""
    word, position = 0, 0
    for name, width in _widths(machine).items():
        value = int(getattr(instruction, name))
        if not 0 <= value < 1 << width:
            raise FitError(
                f"layer {instruction.name}: {name} is {value}, its program field ends at {(1 << width) - 1}"
            )
        word |= value << position
        position += width
    return word
