# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The four stores of a machine as its users see them: shapes, contents, how they are loaded and read back."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, instruction_words
from ds2ta.hw.parameters import parameter_layout

__all__ = [
    "CHUNK",
    "StoreShape",
    "load_layout",
    "memory_image",
    "scan_signature",
    "store_images",
    "store_shapes",
]

#: Bits of a store's row that are loaded, or scanned, at once.
CHUNK = 16


@dataclass(frozen=True)
class StoreShape:
    """One of the four stores as its users see it. `number`: on the load stream and the scan; `rows` of `width`
    bits, in `chunks` of CHUNK bits; `loadable`: through a shell; `external`: in a memory outside of the
    accelerator, which neither loads nor scans it, in rows of whole words of that memory."""

    number: int
    rows: int
    width: int
    loadable: bool
    external: bool = False

    @property
    def inside(self) -> bool:
        """The accelerator itself is loaded with it."""
        return self.loadable and not self.external

    @property
    def chunks(self) -> int:
        return -(-self.width // CHUNK)

    def split(self, row: int) -> list[int]:
        """A row in its chunks, the least significant first."""
        return [row >> CHUNK * index & (1 << CHUNK) - 1 for index in range(self.chunks)]

    def to_bytes(self, rows: Sequence[int]) -> bytes:
        """Rows as the checker reads them and hosts send them: each in its chunks, little endian."""
        return b"".join(row.to_bytes(self.chunks * CHUNK // 8, "little") for row in rows)

    def crc(self, rows: Sequence[int]) -> int:
        """CRC-32 of rows as the checker computes it; 0 for no rows."""
        return zlib.crc32(self.to_bytes(rows))


def store_shapes(machine: Machine) -> dict[str, StoreShape]:
    """The stores of a machine by name, in the order of their numbers."""
    tables = machine.tables != "rom"
    parameter = parameter_layout(lanes=machine.drain_lanes, param_width=machine.param_width)
    program_rows = machine.instructions * instruction_words(machine)
    return {
        "weights": StoreShape(
            0,
            machine.weight_rows,
            machine.row_words * machine.memory_bits if machine.streams else machine.lanes * machine.weight_bits,
            machine.memory_bits == CHUNK if machine.streams else machine.weights != "rom",
            machine.streams,
        ),
        "program": StoreShape(1, program_rows, PROGRAM_WORD, tables),
        "parameters": StoreShape(2, machine.parameter_rows, parameter.size, tables),
        "denoiser": StoreShape(3, machine.denoiser_entries, machine.denoiser_bits, tables),
    }


def store_images(program: Program) -> dict[str, list[int]]:
    """What a compiled model puts into the stores: rows from 0, by store name."""
    return {
        "weights": program.weight_image,
        "program": program.program_image,
        "parameters": program.parameter_image,
        "denoiser": program.denoiser_image,
    }


def memory_image(machine: Machine, program: Program) -> bytes:
    """What an external memory holds for a machine whose weights are a stream: the weight rows in their order, each
    in whole words of the memory, all of it little endian."""
    return store_shapes(machine)["weights"].to_bytes(program.weight_image)


def load_layout(machine: Machine) -> data.StructLayout:
    """One word of a store: `chunk` c holds bits 16 c .. 16 c + 15 of row `row`."""
    rows = max(shape.rows for shape in store_shapes(machine).values())
    return data.StructLayout({"store": 2, "row": bits_for(rows - 1), "chunk": 8, "data": CHUNK})


def scan_signature(machine: Machine) -> wiring.Signature:
    """Reading back the stores, seen from the accelerator, only while `busy` is low: `enable` with `store` and `row`
    held; `data` is chunk `chunk` of cycle c in cycle c + 1, from the third cycle of a row on, or the fourth where
    the weight store has a latency of 2."""
    layout = load_layout(machine)
    return wiring.Signature(
        {
            "enable": In(1),
            "store": In(layout["store"].shape),
            "row": In(layout["row"].shape),
            "chunk": In(layout["chunk"].shape),
            "data": Out(CHUNK),
        }
    )
