# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A model of an SDR SDRAM from its data sheet, for benches: it keeps words, and refuses what the chip does not
allow.
It is written from the commands' truth table and the table of least times alone, and knows nothing of a controller.
`clocked` takes the pins at a clock edge and gives what the data lines show until the next one.
"""

import random
from dataclasses import dataclass, field

__all__ = ["ChipTimes", "SdramModel", "ViolationError"]

MODE, REFRESH, PRECHARGE, ACTIVATE, WRITE, READ, STOP, NOP = range(8)  # RAS, CAS, WE, active low, RAS highest


class ViolationError(AssertionError):
    """Something that the data sheet forbids."""


@dataclass(frozen=True, kw_only=True)
class ChipTimes:
    """In ns; t_mrd in cycles. refresh: the longest average interval."""

    t_rp: float
    t_rcd: float
    t_ras: float
    t_rc: float
    t_rfc: float
    t_wr: float
    t_rrd: float = 14.0
    t_mrd: int = 2
    t_ras_most: float = 100e3
    refresh: float = 64e6 / 8192
    power_up: float = 200e3
    fastest: tuple[float, float] = (10.0, 7.0)  # clock period with a CAS latency of 2, of 3


@dataclass
class _Bank:
    row: int | None = None
    activated: float = -1e12
    precharged: float = -1e12  # when it was, or will be, closed
    written: float = -1e12


@dataclass
class SdramModel:
    """`row_bits`, `column_bits`; `period` of the clock in ns; `extra`: cycles on the way back, at pads."""

    row_bits: int
    column_bits: int
    times: ChipTimes
    period: float
    extra: int = 0
    words: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._banks = [_Bank() for _ in range(4)]
        self._edge = -1
        self._enabled: float | None = None  # since when the clock is
        self._cas: int | None = None
        self._precharged_all = False
        self._refreshes: list[float] = []
        self._set_at: tuple[float, int] | None = None  # mode register: time, refreshes before
        self._coming: dict[int, int] = {}  # edge -> word on the lines
        self._busy_until = 0.0
        self._noise = random.Random(5)
        self.commands: dict[int, int] = {}

    @property
    def now(self) -> float:
        return self._edge * self.period

    @property
    def refreshes(self) -> int:
        return len(self._refreshes)

    def _refuse(self, what: str) -> None:
        raise ViolationError(f"edge {self._edge}, {self.now:.1f} ns: {what}")

    def _least(self, name: str, since: float) -> None:
        least = getattr(self.times, name)
        if self.now - since < least - 1e-6:
            self._refuse(f"{name} is {self.now - since:.1f} ns, the least is {least}")

    def clocked(self, *, cke: int, command: int, bank: int, address: int, mask: int, out: int, drive: int) -> int:
        """An edge with these pins; the answer: what the 16 lines show until the next edge."""
        self._edge += 1
        drives = self._coming.pop(self._edge, None)
        if drives is not None and drive:
            self._refuse("the lines are driven from both sides")
        if cke and self._enabled is None:
            self._enabled = self.now
        if command != NOP:
            if not cke:
                self._refuse("a command without clock enable")
            self._obey(command, bank, address, mask, out, drive)
            self.commands[command] = self.commands.get(command, 0) + 1
        self._check_refreshes()
        for one in self._banks:
            if one.row is not None and self.now - one.activated > self.times.t_ras_most:
                self._refuse("a row has been open for too long")
        shown = self._coming.get(self._edge + 1 - self.extra if self.extra else self._edge + 1)
        return self._noise.randrange(1 << 16) if shown is None else shown

    def _check_refreshes(self) -> None:
        if self._cas is None or self._set_at is None:
            return
        due = (self.now - self._set_at[0]) / self.times.refresh
        done = len(self._refreshes) - self._set_at[1]
        if done < due - 2:
            self._refuse(f"{done} refreshes where {due:.1f} are due")

    def _obey(self, command: int, bank: int, address: int, mask: int, out: int, drive: int) -> None:
        if self._enabled is None or self.now - self._enabled < self.times.power_up:
            self._refuse("a command during power-up")
        if self.now < self._busy_until - 1e-6:
            self._refuse(f"busy for another {self._busy_until - self.now:.1f} ns")
        place = self._banks[bank]
        if command == PRECHARGE:
            for one in self._banks if address >> 10 & 1 else [place]:
                self._precharge(one)
            self._precharged_all |= bool(address >> 10 & 1)
        elif command == REFRESH:
            self._idle("refresh")
            self._refreshes.append(self.now)
            self._busy_until = self.now + self.times.t_rfc
        elif command == MODE:
            self._idle("mode register")
            self._set_mode(bank, address)
        elif command == ACTIVATE:
            self._activate(place, address)
        elif command in (READ, WRITE):
            if place.row is None:
                self._refuse(f"a column of bank {bank}, which has no open row")
            self._least("t_rcd", place.activated)
            if address >> 10 & 1:
                self._refuse("auto-precharge, which this model does not have")
            if address >> self.column_bits:
                self._refuse(f"column {address}")
            self._move(command, place, bank, address, mask, out, drive)
        else:
            self._refuse(f"command {command:03b}")

    def _idle(self, what: str) -> None:
        if not self._precharged_all:
            self._refuse(f"{what} before all banks were precharged")
        for one in self._banks:
            if one.row is not None:
                self._refuse(f"{what} with an open row")
            self._least("t_rp", one.precharged)
            self._least("t_rc", one.activated)

    def _precharge(self, one: _Bank) -> None:
        if one.row is not None:
            self._least("t_ras", one.activated)
            self._least("t_wr", one.written)
            one.row, one.precharged = None, self.now

    def _set_mode(self, bank: int, address: int) -> None:
        if len(self._refreshes) < 8:
            self._refuse("fewer than eight refreshes before the mode register")
        if bank or address >> 7:
            self._refuse(f"mode register {bank:02b} {address:b}: reserved bits, or a mode that is not modelled")
        if address & 0b1111:
            self._refuse("mode register: a burst longer than one, or interleaved")
        self._cas = address >> 4 & 7
        if self._cas not in (2, 3):
            self._refuse(f"mode register: CAS latency {self._cas}")
        if self.period < self.times.fastest[self._cas - 2] - 1e-6:
            self._refuse(f"a clock of {self.period:.2f} ns with a CAS latency of {self._cas}")
        self._set_at = self.now, len(self._refreshes)
        self._busy_until = self.now + self.times.t_mrd * self.period

    def _activate(self, place: _Bank, row: int) -> None:
        if self._set_at is None or len(self._refreshes) - self._set_at[1] < 8:  # some chips want them behind it
            self._refuse("a row before the chip was initialized")
        if place.row is not None:
            self._refuse("a row in a bank that has one open")
        self._least("t_rp", place.precharged)
        self._least("t_rc", place.activated)
        for one in self._banks:
            if one is not place:
                self._least("t_rrd", one.activated)
        place.row, place.activated = row & (1 << self.row_bits) - 1, self.now

    def _move(self, command: int, place: _Bank, bank: int, column: int, mask: int, out: int, drive: int) -> None:
        assert place.row is not None
        assert self._cas is not None
        at = bank, place.row, column
        if command == READ:
            if mask:
                self._refuse("a read with masked bytes")
            word = self.words.get(at)
            self._coming[self._edge + self._cas] = self._noise.randrange(1 << 16) if word is None else word
            return
        if not drive:
            self._refuse("a write with nothing on the lines")
        if any(edge >= self._edge for edge in self._coming):
            self._refuse("a write while a read is on its way")
        place.written = self.now
        old = self.words.get(at, 0)
        keep = (0xFF if mask & 1 else 0) | (0xFF00 if mask & 2 else 0)
        self.words[at] = (old & keep) | (out & ~keep & 0xFFFF)
