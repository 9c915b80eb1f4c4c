# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""SDR SDRAM: words read in the order of their addresses, at almost one a cycle; single words written.

The memory of weights is filled once and read from end to end for every sample, so the controller has one open row,
and no queue: a run of words is a READ in every cycle, each a burst of one, until the row ends. Opening the next
row, and a refresh, cost a few cycles in 512 and in 780. Nobody holds words up, so there is no buffer.
"""

from dataclasses import dataclass
from math import ceil

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range, memory_port, memory_write_layout

__all__ = [
    "AS4C32M16SB",
    "IS42S16160G",
    "SDRAM_BITS",
    "SdramChip",
    "SdramController",
    "pins_signature",
]

#: Bits of a word.
SDRAM_BITS = 16


@dataclass(frozen=True, kw_only=True)
class SdramChip:
    """A chip of four banks and 16 bits: its address bits, and its least times in ns (data sheet)."""

    name: str
    row_bits: int
    column_bits: int
    t_rp: float  # precharge to the next command of its bank
    t_rcd: float  # activate to read or write
    t_ras: float  # activate to precharge
    t_rc: float  # activate to activate of a bank
    t_rfc: float  # refresh to the next command
    t_wr: float  # last data written to precharge
    t_setup: float = 1.5  # before its clock, of what goes to it
    t_hold: float = 0.8  # behind it
    t_access: float = 5.4  # from its clock to a word, with a CAS latency of 3
    t_keep: float = 2.5  # for which a word stays behind the next clock
    t_mrd: int = 2  # cycles from the mode register to the next command
    refresh: float = 64e6 / 8192  # on average, from one to the next
    power_up: float = 200e3  # with a stable clock before the first command

    @property
    def address_bits(self) -> int:
        """Of a word: bank, row, column."""
        return 2 + self.row_bits + self.column_bits


#: -7 parts, as on the ULX3S; the slower of what their data sheets and revisions say.
IS42S16160G = SdramChip(
    name="IS42S16160G-7", row_bits=13, column_bits=9, t_rp=20, t_rcd=20, t_ras=45, t_rc=67.5, t_rfc=67.5, t_wr=15
)
AS4C32M16SB = SdramChip(
    name="AS4C32M16SB-7", row_bits=13, column_bits=10, t_rp=21, t_rcd=21, t_ras=42, t_rc=63, t_rfc=70, t_wr=14
)


class _Command(enum.Enum, shape=3):
    """RAS, CAS and WE, active low, RAS first."""

    MODE = 0b000
    REFRESH = 0b001
    PRECHARGE = 0b010
    ACTIVATE = 0b011
    WRITE = 0b100
    READ = 0b101
    NOP = 0b111


def pins_signature(row_bits: int) -> wiring.Signature:
    """The chip's pins but for its clock, seen from the controller, all from registers: `cke`, `command` {ras, cas,
    we from bit 2 down, active low}, `bank`, `address`, `mask` (of both bytes), `out` and `drive` (the 16 data lines
    and whether they are driven), `back` (what the lines show, taken at a clock edge)."""
    return wiring.Signature(
        {
            "cke": Out(1),
            "command": Out(3, init=_Command.NOP.value),
            "bank": Out(2),
            "address": Out(row_bits),
            "mask": Out(2, init=3),
            "out": Out(16),
            "drive": Out(1),
            "back": In(16),
        }
    )


class SdramController(wiring.Component):
    """Words of an SDRAM: runs of them read, single ones written, refreshed in between.

    Latency: `power_up` and some cycles after a reset until `ready`. From a run's acceptance to its first word:
    t_rp, t_rcd and `cas` + `round_trip` + 3 cycles at most, where no refresh is due. Throughput: a word each cycle,
    but for t_rp + t_rcd + 2 cycles where a row ends, t_rp + t_rfc + t_rcd + 2 for a refresh, and 2 between runs
    that follow each other in a row. Refresh comes first, so no stream starves it: it is never later than `refresh`
    + the longest time between two chances, t_rcd + t_wr + 4 cycles.

    Parameters
    ----------
    chip : the memory. clock_hz : of this domain and of the chip.
    cas : its CAS latency, 2 or 3 cycles.
    round_trip : cycles from `pins.command` to the edge at which `pins.back` shows the word of a READ, less `cas`:
        one for a chip whose clock is turned by half a cycle, or more where registers stand at the pads.

    Members
    -------
    memory : `memory_port`, seen from its other side; it never fails.
    write : stream of `memory_write_layout`. A run that has begun goes first, then a write, then the next run.
    busy : a run is being read, or a word written.
    pins : `pins_signature`.
    """

    def __init__(self, chip: SdramChip, *, clock_hz: float, cas: int = 3, round_trip: int = 2):
        check_range("CAS latency", cas, 2, 3)
        check_range("Round trip", round_trip, 1, 4)
        if not 1e6 <= clock_hz <= 200e6:
            raise FitError(f"SDRAM clock must be from 1 to 200 MHz, not {clock_hz / 1e6:g}")
        self.chip, self.cas, self.round_trip = chip, cas, round_trip

        def cycles(ns: float) -> int:
            return max(1, ceil(ns * clock_hz / 1e9 - 1e-9))

        self.t_rp, self.t_rcd, self.t_ras, self.t_rc, self.t_rfc = (
            cycles(ns) for ns in (chip.t_rp, chip.t_rcd, chip.t_ras, chip.t_rc, chip.t_rfc)
        )
        self.t_wr, self.power_up = max(2, cycles(chip.t_wr)), cycles(chip.power_up)
        # what a refresh may have to wait for: a row that was just opened for a write
        late = self.t_rcd + self.t_wr + self.t_ras + 6
        self.refresh = int(chip.refresh * clock_hz / 1e9) - late
        if self.refresh < 4 * late:
            raise FitError(f"SDRAM clock of {clock_hz / 1e6:g} MHz leaves no time between refreshes")
        super().__init__(
            {
                "memory": In(memory_port(SDRAM_BITS, chip.address_bits)),
                "write": In(stream.Signature(memory_write_layout(chip.address_bits))),
                "busy": Out(1),
                "pins": Out(pins_signature(chip.row_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        now = _State(self)
        self._refresh_clock(m, now)
        self._flights(m, now)
        m.d.sync += [self.pins.command.eq(_Command.NOP), self.pins.drive.eq(0), self.pins.cke.eq(1)]
        # counters of waiting run down to 0, that of the open row up to `t_rc`
        m.d.sync += [now.wait.eq(Mux(now.wait == 0, 0, now.wait - 1)), now.age.eq(now.age + (now.age != self.t_rc))]
        with m.If(now.wait == 0):
            self._initialize(m, now)
            with m.If(now.ready):
                self._step(m, now)
        m.d.comb += [
            self.memory.ready.eq(now.ready),
            self.busy.eq(now.left.any() | now.writes | now.flying.any()),
        ]
        return m

    def _command(self, m: Module, now: "_State", command: _Command, wait: int) -> None:
        """Give a command, and nothing else for so many cycles, its own included."""
        m.d.sync += [self.pins.command.eq(command), now.wait.eq(wait - 1)]

    def _refresh_clock(self, m: Module, now: "_State") -> None:
        """Periodic, whenever the refreshes themselves come."""
        with m.If(now.until_refresh == 0):
            m.d.sync += [now.until_refresh.eq(self.refresh - 1), now.due.eq(1)]
        with m.Else():
            m.d.sync += now.until_refresh.eq(now.until_refresh - 1)
        with m.If(now.refreshes):
            m.d.sync += now.due.eq(0)

    def _flights(self, m: Module, now: "_State") -> None:
        """Words on their way back."""
        m.d.sync += [now.flying.eq(Cat(now.reads, now.flying)), now.lasts.eq(Cat(now.left == 1, now.lasts))]
        m.d.comb += [
            self.memory.word.valid.eq(now.flying[-1]),
            self.memory.word.payload.word.eq(self.pins.back),
            self.memory.word.payload.last.eq(now.lasts[-1]),
        ]

    def _initialize(self, m: Module, now: "_State") -> None:
        """Precharge, eight refreshes, the mode, eight refreshes: some chips want them before it, some behind."""
        mode = self.cas << 4  # bursts of one, sequential
        with m.If(~now.ready):
            m.d.sync += now.turn.eq(now.turn + 1)
            with m.If(now.turn == 0):
                self._command(m, now, _Command.PRECHARGE, self.t_rp)
                m.d.sync += self.pins.address.eq(1 << 10)
            with m.Elif(now.turn == 9):
                self._command(m, now, _Command.MODE, self.chip.t_mrd)
                m.d.sync += [self.pins.address.eq(mode), self.pins.bank.eq(0)]
            with m.Elif(now.turn == 18):
                m.d.sync += [now.ready.eq(1), self.pins.mask.eq(0)]
            with m.Else():
                self._command(m, now, _Command.REFRESH, self.t_rfc)

    def _step(self, m: Module, now: "_State") -> None:
        """One command of the many that may come next."""
        columns = self.chip.column_bits
        column, row, bank = (
            now.at[:columns],
            now.at[columns : columns + self.chip.row_bits],
            now.at[columns + self.chip.row_bits :],
        )
        ready = now.open & ~now.due & ~now.row_ends & ~now.fresh
        m.d.comb += now.reads.eq(ready & now.left.any() & ~now.writes)
        with m.If(now.reads):
            self._command(m, now, _Command.READ, 1)
            m.d.sync += [self.pins.address.eq(column), now.at.eq(now.at + 1), now.left.eq(now.left - 1)]
            m.d.sync += now.row_ends.eq(column.all())
        with m.Elif(ready & now.writes), m.If(~now.flying.any()):  # no word of a read is on the lines any more
            self._command(m, now, _Command.WRITE, self.t_wr + 1)
            m.d.sync += [self.pins.address.eq(column), self.pins.out.eq(now.word), self.pins.drive.eq(1)]
            m.d.sync += [now.writes.eq(0), now.row_ends.eq(1)]
        with m.Elif(now.open & ~now.fresh & ~now.takes), m.If(now.age >= self.t_ras):
            self._command(m, now, _Command.PRECHARGE, self.t_rp)
            m.d.sync += [self.pins.address.eq(1 << 10), now.open.eq(0), now.row_ends.eq(0)]
        with m.Elif(~now.open & (now.age == self.t_rc)):
            with m.If(now.due):
                m.d.comb += now.refreshes.eq(1)
                self._command(m, now, _Command.REFRESH, self.t_rfc)
            with m.Elif(now.left.any() | now.writes):
                self._command(m, now, _Command.ACTIVATE, self.t_rcd)
                m.d.sync += [self.pins.address.eq(row), self.pins.bank.eq(bank), now.open.eq(1), now.age.eq(0)]
                m.d.sync += now.row.eq(Cat(row, bank))
        # a new job comes in behind the last one; whether its row is open is known a cycle later
        m.d.sync += now.fresh.eq(0)
        with m.If(now.fresh & now.open):
            m.d.sync += now.row_ends.eq(now.row_ends | (now.row != Cat(row, bank)))
        write, run = self.write, self.memory.run
        with m.If(~now.left.any() & ~now.writes & ~now.fresh):
            m.d.comb += [
                write.ready.eq(1),
                run.ready.eq(~write.valid),
                now.takes.eq(write.valid | run.valid),
            ]
            m.d.sync += now.fresh.eq(now.takes)
            with m.If(write.valid):
                m.d.sync += [now.at.eq(write.payload.address), now.word.eq(write.payload.word)]
                m.d.sync += now.writes.eq(1)
            with m.Elif(run.valid):
                m.d.sync += [now.at.eq(run.payload.address), now.left.eq(run.payload.words)]


class _State:
    """What the controller is at."""

    def __init__(self, owner: SdramController):
        chip = owner.chip
        self.ready, self.turn = Signal(name="is_ready"), Signal(range(19))  # of the initialization
        self.wait = Signal(range(max(owner.power_up, owner.t_rfc) + 1), init=owner.power_up)
        self.age = Signal(range(owner.t_rc + 1), init=owner.t_rc)  # of the row that was opened last, up to t_rc
        self.open, self.row_ends = Signal(name="row_open"), Signal(name="row_ends")
        self.at = Signal(chip.address_bits)  # address of the next word
        self.left = Signal(bits_for(1 << chip.address_bits))  # words of the run
        self.writes, self.word = Signal(name="writes"), Signal(16)
        # a job was taken in the cycle before; one is; its row must be the one that is open
        self.fresh, self.takes = Signal(name="fresh"), Signal(name="takes")
        self.row = Signal(chip.row_bits + 2)
        self.until_refresh = Signal(range(owner.refresh), init=owner.refresh - 1)
        self.due, self.refreshes = Signal(name="refresh_due"), Signal(name="refreshes")
        self.reads = Signal(name="reads")
        flight = owner.cas + owner.round_trip
        self.flying, self.lasts = Signal(flight), Signal(flight)
