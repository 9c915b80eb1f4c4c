# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A compiled model as the requests that put it into a board, and as the checksums that its memories must have."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ds2ta.fpga.frames import MAX_PAYLOAD, load_payload
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import REGISTERS
from ds2ta.gateware.stores import store_images, store_shapes
from ds2ta.model import IntegerModel

__all__ = [
    "StoreContents",
    "check_settings",
    "digest_words",
    "load_payloads",
    "sample_settings",
    "store_contents",
]

_WORD = 2  # bytes of a chunk
_LOAD_BYTES = (MAX_PAYLOAD - len(load_payload(0, 0, 0, bytes(_WORD)))) // _WORD * _WORD + _WORD


@dataclass(frozen=True)
class StoreContents:
    """What one store must hold: `rows` rows from row 0, each `chunks` 16-bit little-endian words, least significant
    first, all together in `data`. A store that is not `loadable` holds it since the board was built."""

    name: str
    number: int
    rows: int
    chunks: int
    loadable: bool
    data: bytes

    @property
    def crc(self) -> int:
        """CRC-32 of the rows as the memory check computes it; 0 for no rows."""
        return zlib.crc32(self.data)


def store_contents(machine: Machine, program: Program) -> list[StoreContents]:
    """All stores, in the order of their numbers."""
    images, found = store_images(program), []
    for name, shape in store_shapes(machine).items():
        data = shape.to_bytes(images[name])
        found.append(StoreContents(name, shape.number, len(images[name]), shape.chunks, shape.loadable, data))
    return found


def load_payloads(store: StoreContents) -> Iterator[bytes]:
    """Payloads of the LOAD requests that fill a store, as few as can be."""
    for start in range(0, len(store.data), _LOAD_BYTES):
        row, chunk = divmod(start // _WORD, store.chunks)
        yield load_payload(store.number, row, chunk, store.data[start : start + _LOAD_BYTES])


def check_settings(stores: Sequence[StoreContents]) -> dict[str, list[int]]:
    """Registers by which the memory check knows what the stores must hold."""
    return {"check_rows": [store.rows for store in stores], "check_expected": [store.crc for store in stores]}


def sample_settings(model: IntegerModel) -> dict[str, list[int]]:
    """Registers that tell what a sample and a result of the model are."""
    return {"sample_length": [int(np.prod(model.network.sample_shape))], "classes": [model.network.classes]}


def digest_words(digest: str) -> list[int]:
    """A SHA-256 (hex) as the words of the register `model_digest`."""
    return list(struct.unpack(f"<{REGISTERS['model_digest'].count}I", bytes.fromhex(digest)))
