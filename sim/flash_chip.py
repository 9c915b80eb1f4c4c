# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A serial flash at its pins, from the data sheets (flash_chip.h), for benches in Python; the virtual board has the
same chip in C++."""

import ctypes
import functools
from pathlib import Path

from ds2ta.errors import FitError
from ds2ta.sim.verilator import build_library

__all__ = ["HEADER", "PADS_NS", "FlashChip"]

HEADER = Path(__file__).with_name("flash_chip.h")
_SOURCE = HEADER.with_suffix(".cpp")
#: From the falling clock inside of the FPGA to the data inside of it: 8 ns of the chip, twice a pad and a trace.
PADS_NS = 25.0
_PS = 1000  # in a nanosecond


@functools.cache
def _library() -> ctypes.CDLL:
    sources = {path.name: path.read_text() for path in (HEADER, _SOURCE)}
    found = ctypes.CDLL(str(build_library("flash_chip", sources)))
    found.flash_new.restype = ctypes.c_void_p
    found.flash_new.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int]
    found.flash_free.argtypes = [ctypes.c_void_p]
    found.flash_put.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_uint64]
    found.flash_step.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_int] * 3]
    found.flash_asleep.argtypes = [ctypes.c_void_p]
    found.flash_violations.argtypes = [ctypes.c_void_p]
    found.flash_violations.restype = ctypes.c_char_p
    return found


class FlashChip:
    """An erased flash of `size` bytes, in deep power-down where it `sleeps`. `delay_ns`: from the falling clock to
    the data output, seen from whoever makes the clock."""

    def __init__(self, size: int = 1 << 24, *, sleeps: bool = True, delay_ns: float = PADS_NS):
        self._library, self._size = _library(), size
        self._chip = self._library.flash_new(size, round(delay_ns * _PS), sleeps)

    def __del__(self):
        self._library.flash_free(self._chip)

    def put(self, address: int, content: bytes) -> None:
        """Write, as from the factory."""
        if not 0 <= address <= self._size - len(content):
            raise FitError(f"flash: {len(content)} bytes at {address:#x} are not within its {self._size}")
        self._library.flash_put(self._chip, address, content, len(content))

    def step(self, now_ns: float, next_ns: float, *, selected: int, clock: int, data: int) -> int:
        """The pins as they are from `now_ns` on (`selected`: CS is low), until `next_ns`; its output then."""
        return self._library.flash_step(
            self._chip, round(now_ns * _PS), round(next_ns * _PS), int(selected), int(clock), int(data)
        )

    @property
    def asleep(self) -> bool:
        return bool(self._library.flash_asleep(self._chip))

    @property
    def violations(self) -> str:
        """What the chip was asked that its data sheet does not promise; nothing of it was understood."""
        return self._library.flash_violations(self._chip).decode()
