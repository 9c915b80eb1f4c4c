# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The register file: what `gateware.registers` maps, kept in one block memory as far as possible.

Constants, notes, settings of the checker, counters of events and logits are words of a memory with one read and one
write port; flip-flops hold only what logic needs in every cycle. Bus, event counters and checker take turns on the
memory; a logit is written in the cycle in which it comes and the others wait.
"""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.errors import FitError
from ds2ta.gateware.registers import ADDRESS_BITS, REGISTERS, Access
from ds2ta.hw.payloads import check_range
from ds2ta.hw.store import Store

__all__ = ["COUNT_BITS", "EVENTS", "LIVE", "RegisterFile", "bus_signature"]

#: Counters of events, as bits of `RegisterFile.events`, in the order in which they are served.
EVENTS = ("result_number", "scans", "frames_good", "frames_dropped")
#: Registers that are read from inputs; all others are words of the memory (`counters`: of the accelerator's).
LIVE = ("status", "result_class", "sample_bytes", "pass")
#: Events are counted modulo 2**COUNT_BITS.
COUNT_BITS = 16
_WORD = 32
_SMALL = 1 << 7  # words of the memory before the logits


def bus_signature() -> wiring.Signature:
    """The register bus, seen from its initiator. `enable` is high for one cycle and begins an access; `address` (of
    a word), `write` and `write_data` stay from then until `done`, which is high for one cycle, `error` with it.
    `read_data` stays from `done` until the next. The next `enable` comes after `done`."""
    return wiring.Signature(
        {
            "enable": Out(1),
            "write": Out(1),
            "address": Out(ADDRESS_BITS),
            "write_data": Out(_WORD),
            "read_data": In(_WORD),
            "done": In(1),
            "error": In(1),
        }
    )


def _within(address: Value, base: int, count: int) -> Value:
    """`address` is one of `count` from `base` on; cheap where all of them differ in low bits only."""
    low = bits_for(count - 1)
    if base % (1 << low):
        return (address >= base) & (address < base + count)
    return (address[low:] == base >> low) & (address[:low] < count)


class _Turn:
    """Who has the memory: the bus, the checker, or an event that is counted."""

    def __init__(self):
        events = len(EVENTS)
        self.asked = Signal()  # the bus waits for its answer
        self.serves_bus, self.serves_checker = Signal(), Signal(name="serves_checker")
        # events that wait to be counted, counters that wait to be set to 0
        self.counts, self.clears = Signal(events), Signal(events, name="clears", init=(1 << events) - 1)
        # the event at work, one-hot; its counter is set to 0
        self.served, self.erases = Signal(events), Signal(name="erases")
        self.plus = Signal(COUNT_BITS)  # its new count, else 0
        self.puts = Signal(3)  # write, in this cycle: the bus's word, the checker's, the count


class RegisterFile(wiring.Component):
    """Serves the bus, counts events, keeps logits, gives settings to the checker.

    Latency: `bus.done` comes 4 cycles after `bus.enable`, later by 4 for each event that waits to be counted, by 3
    for a request of the checker and by 1 for each logit that comes meanwhile. A write has taken effect with `done`.
    Words of the memory survive a reset, except the counters of events, which are set to 0 after it.

    An error, which changes nothing, answers: an address without a register, a read of `command`, a write of what is
    read only, and a number of more than `count_width` bits for `sample_length`, of `row_width` for `check_rows`.

    Parameters: `classes`, `counters` (words that exist of `logits` and `counters`), `logit_width`, `counter_width`,
    `count_width`, `row_width`, `init` (word address -> contents of the memory at power-up, the rest 0).

    Members
    -------
    bus: see `bus_signature`.
    status, result_class, sample_bytes, pass_index: what the live registers read.
    counter_address, counter_data: a memory of latency 1 that reads in every cycle.
    sample_length: the register; it survives a reset. command: a pulse for each bit of the register, a cycle after
      its write; bit 0 (core_reset) and bit 1 (clear_frames) also clear their counters. changed: pulse, a cycle
      after a setting of the checker was written.
    keep {enable, index, logit}: a logit to keep.
    events: a pulse counts one event, bits as in EVENTS; the next of its kind 32 cycles later or more. An access
      that begins later sees it counted. clear_scans: pulse, sets `scans` to 0.
    fetch, fetch_expected, fetch_store: asks for check_rows or check_expected of a store, until `fetched`; in that
      cycle `word` is the register, and `found` goes to check_found of the store if it was check_expected. abandon:
      pulse, the request of this cycle or before is void.
    """

    def __init__(
        self,
        *,
        classes: int,
        counters: int,
        logit_width: int,
        counter_width: int,
        count_width: int,
        row_width: int,
        init: Mapping[int, int],
    ):
        check_range("Classes", classes, 2, REGISTERS["logits"].count)
        check_range("Counters", counters, 4, REGISTERS["counters"].count)
        check_range("Logit width", logit_width, 2, _WORD)
        check_range("Counter width", counter_width, 1, _WORD)
        check_range("Count width", count_width, 1, _WORD - 1)
        check_range("Row width", row_width, 1, count_width)
        self._row_width = row_width
        self._classes, self._counters, self._init = classes, counters, dict(init)
        for address, word in self._init.items():
            if not 0 <= address < _SMALL or not 0 <= word < 1 << _WORD:
                raise FitError(
                    f"Register contents must be words below address {_SMALL}, not {word!r} at {address!r}"
                )
        # the logits follow close behind the other words unless they are too many
        self._base = _SMALL if classes <= _SMALL else REGISTERS["logits"].address
        logit = {"enable": Out(1), "index": Out(range(classes)), "logit": Out(signed(logit_width))}
        super().__init__(
            {
                "bus": In(bus_signature()),
                "status": In(12),
                "result_class": In(range(classes)),
                "sample_bytes": In(count_width),
                "pass_index": In(range(max(2, counters // 4))),
                "counter_address": Out(range(counters)),
                "counter_data": In(counter_width),
                "sample_length": Out(count_width),
                "command": Out(len(REGISTERS["command"].fields)),
                "changed": Out(1),
                "keep": In(wiring.Signature(logit)),
                "events": In(len(EVENTS)),
                "clear_scans": In(1),
                "fetch": In(1),
                "fetch_expected": In(1),
                "fetch_store": In(2),
                "fetched": Out(1),
                "abandon": In(1),
                "word": Out(_WORD),
                "found": In(_WORD),
            }
        )

    def _decode(self, m: Module) -> Any:  # a view of the layout below
        """What the address of the bus means; registers, right from the cycle after `enable` on."""
        bus = self.bus
        kind = Signal(
            data.StructLayout({"memory": 1, "live": 1, "counters": 1, "command": 1, "setting": 1, "refused": 1})
        )
        first, reads, live, writes, length, rows, setting = (Signal() for _ in range(7))
        m.d.comb += first.eq(~bus.address[7:].any())
        with m.Switch(bus.address[:7]):
            for name, register in REGISTERS.items():
                if register.only or register.address >= _SMALL:
                    continue
                with m.Case(*range(register.address, register.address + register.count)):
                    m.d.comb += [
                        live.eq(name in LIVE),
                        reads.eq(register.access is not Access.WO),
                        writes.eq(register.access is not Access.RO),
                        length.eq(name == "sample_length"),
                        rows.eq(name == "check_rows"),
                        setting.eq(name in ("check_expected", "check_rows")),
                    ]
        logits, counters = REGISTERS["logits"].address, REGISTERS["counters"].address
        logit, counter, large = Signal(), Signal(), Signal()
        m.d.comb += [
            logit.eq(_within(bus.address, logits, self._classes)),
            counter.eq(_within(bus.address, counters, self._counters)),
            large.eq(
                (length & bus.write_data[len(self.sample_length) :].any())
                | (rows & bus.write_data[self._row_width :].any())
            ),
        ]
        m.d.sync += [
            kind.memory.eq((first & reads & ~live) | logit),
            kind.live.eq(first & live),
            kind.counters.eq(counter),
            kind.command.eq(bus.address == REGISTERS["command"].address),
            kind.setting.eq(setting),
            kind.refused.eq(Mux(bus.write, ~(first & writes) | large, ~((first & reads) | logit | counter))),
        ]
        return kind

    def _place(self, address: Value) -> Value:
        """Bus address -> word of the memory."""
        return Cat(address[:7], address[8]) if self._base == _SMALL else address

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.words = words = Store(
            width=_WORD,
            depth=self._base + self._classes,
            kind="ram",
            chunk_bits=_WORD,
            init=[self._init.get(address, 0) for address in range(max(self._init, default=0) + 1)],
        )
        m.d.comb += self.counter_address.eq(self.bus.address)
        kind = self._decode(m)
        turn = _Turn()
        m.d.comb += self.word.eq(words.data)
        self._take_turns(m, turn, kind, words)
        self._wait(m, turn)
        self._address(m, turn, kind, words)
        self._write_registers(m, turn, kind)
        self._answer(m, turn, kind, words)
        return m

    def _take_turns(self, m: Module, turn: _Turn, kind: data.View, words: Store) -> None:
        """Events first, then the bus, then the checker. A look-up takes two cycles, a count is written in the
        third; a logit that comes meanwhile has the memory for its cycle."""
        bus, keep = self.bus, self.keep
        m.d.sync += [bus.done.eq(0), self.command.eq(0), self.changed.eq(0)]
        with m.If(bus.enable):
            m.d.sync += turn.asked.eq(1)
        with m.FSM():
            with m.State("CHOOSE"):
                waiting = turn.counts | turn.clears
                m.d.sync += [
                    turn.served.eq(waiting & -waiting),
                    turn.erases.eq((waiting & -waiting & turn.clears).any()),
                    turn.serves_bus.eq(~waiting.any() & turn.asked),
                    turn.serves_checker.eq(~waiting.any() & ~turn.asked),
                    turn.plus.eq(0),
                ]
                with m.If(waiting.any() | turn.asked | (self.fetch & ~self.abandon)):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += words.enable.eq(~keep.enable)
                with m.If(~keep.enable):
                    m.next = "USE"
                with m.If(turn.serves_checker & self.abandon):
                    m.next = "CHOOSE"
            with m.State("USE"):
                with m.If(~turn.erases & ~turn.serves_bus & ~turn.serves_checker):
                    m.d.sync += turn.plus.eq(words.data[:COUNT_BITS] + 1)
                with m.If(turn.serves_checker & self.abandon):
                    m.next = "CHOOSE"
                with m.Elif(~keep.enable):
                    m.next = "CHOOSE"
                    with m.If(turn.serves_bus):
                        m.d.comb += turn.puts[0].eq(bus.write & ~kind.refused)
                        m.d.sync += [turn.asked.eq(0), bus.done.eq(1), bus.error.eq(kind.refused)]
                    with m.Elif(turn.serves_checker):
                        m.d.comb += [turn.puts[1].eq(self.fetch_expected), self.fetched.eq(1)]
                    with m.Else():
                        m.next = "PUT"
            with m.State("PUT"):
                m.d.comb += turn.puts[2].eq(~keep.enable)
                with m.If(~keep.enable):
                    m.next = "CHOOSE"

    def _wait(self, m: Module, turn: _Turn) -> None:
        """What waits for its turn: events that have come, counters that are to be set to 0."""
        done = turn.served & turn.puts[2].replicate(len(EVENTS))
        erases = turn.erases.replicate(len(EVENTS))
        erased = Cat(self.command[0], self.clear_scans, self.command[1], self.command[1])
        m.d.sync += [
            turn.counts.eq(((turn.counts & ~(done & ~erases)) | self.events) & ~erased),
            turn.clears.eq((turn.clears & ~(done & erases)) | erased),
        ]

    def _address(self, m: Module, turn: _Turn, kind: data.View, words: Store) -> None:
        """The memory's ports: where the one whose turn it is reads and writes, and what; a logit goes first."""
        bus, keep = self.bus, self.keep
        setting, found, place, word = Signal(7), Signal(7), Signal.like(words.address), Signal(_WORD)
        m.d.comb += [
            setting.eq(
                Mux(self.fetch_expected, REGISTERS["check_expected"].address, REGISTERS["check_rows"].address)
                | self.fetch_store
            ),
            found.eq(REGISTERS["check_found"].address | self.fetch_store),
        ]
        with m.If(turn.serves_bus):
            m.d.comb += place.eq(self._place(bus.address))
        with m.Elif(turn.serves_checker):
            m.d.comb += place.eq(setting)
        with m.Else():
            for bit, name in enumerate(EVENTS):
                with m.If(turn.served[bit]):
                    m.d.comb += place.eq(REGISTERS[name].address)
        m.d.comb += [
            words.address.eq(place),
            words.load.enable.eq(keep.enable | (turn.puts[0] & ~kind.command) | turn.puts[1:].any()),
            words.load.address.eq(Mux(turn.puts[1], found, place)),
            word.eq(
                (bus.write_data & turn.serves_bus.replicate(_WORD))
                | (self.found & turn.serves_checker.replicate(_WORD))
            ),
            words.load.data.eq(word | turn.plus),
        ]
        with m.If(keep.enable):
            m.d.comb += [words.load.address.eq(self._base + keep.index), words.load.data.eq(keep.logit)]

    def _write_registers(self, m: Module, turn: _Turn, kind: data.View) -> None:
        """Effects of a write beside the memory."""
        bus = self.bus
        length = Signal.like(
            self.sample_length, init=self._init.get(REGISTERS["sample_length"].address, 0), reset_less=True
        )
        m.d.comb += self.sample_length.eq(length)
        with m.If(turn.puts[0]):
            with m.If(kind.command):
                m.d.sync += self.command.eq(bus.write_data)
            with m.If(bus.address == REGISTERS["sample_length"].address):
                m.d.sync += length.eq(bus.write_data)
            m.d.sync += self.changed.eq(kind.setting)

    def _answer(self, m: Module, turn: _Turn, kind: data.View, words: Store) -> None:
        """What a read gives."""
        live = Signal(_WORD)
        values = (self.status, self.result_class, self.sample_bytes, self.pass_index)
        with m.Switch(self.bus.address[:4]):
            for name, value in zip(LIVE, values, strict=True):
                with m.Case(REGISTERS[name].address):
                    m.d.comb += live.eq(value)
        with m.If(turn.serves_bus):
            m.d.sync += self.bus.read_data.eq(
                (words.data & kind.memory.replicate(_WORD))
                | (self.counter_data & kind.counters.replicate(_WORD))
                | (live & kind.live.replicate(_WORD))
            )
