# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Reads an external memory row by row: for the ring of weights, over and over, and for a check while the ring is
full."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import crc, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ds2ta.hw.payloads import check_range, memory_layout, memory_port

__all__ = ["MemoryReader"]


class MemoryReader(wiring.Component):
    """Rows 0 .. `rows` - 1 of an external memory, again and again, to a ring; and, apart from that, as a check.

    Words are asked for in runs of whole rows, at most `piece_rows`, up to a multiple of it, and only when the ring
    has room for all of them. So no run ever waits, and a break is over after two short runs at most. The next run
    is asked for while the words of the last one come. A new reading begins when all rows of the last one were
    given back.

    A reading that goes nowhere is done first of all, and from then on whenever the machine is `idle` and the ring
    takes no more. Both kinds of readings have a CRC each (that of zlib, of the words as little endian bytes).

    Latency: a word that comes in cycle c is offered in c. Throughput: a word each cycle, but for what the memory
    needs between two runs. `done` comes 2 cycles after a reading's last word, with `differs` and `found`, which
    stay.

    Parameters: `memory_bits` of a word, `address_bits` of its number, `row_words` of a row, `ring_rows` of the
    ring, a power of two; `piece_words`: a run has no more, if a row has no more; `settle`: log2 of the cycles for
    which nothing must change before the first reading begins; `patience`: log2 of the cycles without a word after
    which the memory counts as `stalled`.

    Members
    -------
    memory : `memory_port`.
    o : stream of `memory_layout`, `last` with the last word of a reading. Whoever takes it has room.
    freed : rows that the ring gives back in this cycle.
    rows : of a reading, 0: none is begun. expected : CRC. Both stable while `rows` is not 0.
    restart : pulse: words of the memory, their number, or the CRC are other ones. Also at the beginning.
    resync : the ring is empty, and takes the first row next. What `o` offers in that cycle may be taken back.
    idle : a check may be read. starved : someone waits for rows of which there are none.
    checked : a whole check has ended since the last `restart`. done : pulse, a reading or a check has ended.
    differs, found : its CRC was not `expected`; its CRC.
    failed : pulse: the memory knows that a word was wrong, one that counts.
    stalled : no word came for long though some were asked for, the memory is not ready, or someone starves; until
      `restart`.
    """

    def __init__(
        self,
        *,
        memory_bits: int,
        address_bits: int,
        row_words: int,
        ring_rows: int,
        piece_words: int = 512,
        settle: int = 12,
        patience: int = 16,
    ):
        check_range("Address bits", address_bits, 1, 32)
        check_range("Row words", row_words, 1, 1 << 10)
        check_range("Ring rows", ring_rows, 4, 1 << 16)
        check_range("Piece words", piece_words, 1, 1 << 16)
        check_range("Settle", settle, 1, 24)
        check_range("Patience", patience, 2, 24)
        self.piece_rows = 1 << max(1, min(ring_rows, piece_words // row_words)).bit_length() - 1
        self._memory_bits, self._row_words, self._ring_rows = memory_bits, row_words, ring_rows
        self._settle, self._patience = settle, patience
        self._row_bits = address_bits + 1
        super().__init__(
            {
                "memory": Out(memory_port(memory_bits, address_bits)),
                "o": Out(stream.Signature(memory_layout(memory_bits))),
                "freed": In(range(ring_rows + 1)),
                "rows": In(self._row_bits),
                "expected": In(32),
                "restart": In(1),
                "resync": In(1),
                "idle": In(1),
                "starved": In(1),
                "checked": Out(1),
                "done": Out(1),
                "differs": Out(1),
                "found": Out(32),
                "failed": Out(1),
                "stalled": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        feed, check = (self._reading(m, name) for name in ("feed", "check"))
        credit = Signal(range(self._ring_rows + 1), init=self._ring_rows)  # rows of the ring that may be asked for
        breaks = Signal()  # what is under way for the ring is void
        flights = _Flights()
        m.d.comb += breaks.eq(self.restart | self.resync)
        self._begin(m, feed, check, credit, breaks, flights)
        self._ask(m, feed, check, credit, breaks, flights)
        self._land(m, feed, check, breaks, flights)
        self._watch(m, flights)
        return m

    def _reading(self, m: Module, name: str) -> SimpleNamespace:
        """`next` row to ask for, rows `left` from there on, `full`: its words so far are all right for a CRC."""
        m.submodules[f"{name}_crc"] = unit = crc.Processor(CRC32_ISO_HDLC(data_width=self._memory_bits))
        return SimpleNamespace(
            unit=unit,
            next=Signal(self._row_bits, name=f"{name}_next"),
            address=Signal(self.memory.run.payload.address.shape(), name=f"{name}_address"),
            left=Signal(self._row_bits, name=f"{name}_left"),
            begins=Signal(name=f"{name}_begins"),
            takes=Signal(name=f"{name}_takes"),  # a word
            ends=Signal(name=f"{name}_ends"),  # it was the last
            ended=Signal(name=f"{name}_ended"),  # a cycle later
        )

    def _begin(self, m: Module, feed, check, credit: Signal, breaks: Signal, flights: "_Flights") -> None:
        """A reading follows the last one when the ring is empty; two cycles later, which the ring takes to
        notice."""
        settled, empty = Signal(self._settle), Signal(3)
        m.d.sync += settled.eq(Mux(self.restart | ~self.memory.ready, 0, settled + ~settled.all()))
        m.d.sync += empty.eq(Cat((credit == self._ring_rows) & ~breaks, Mux(breaks, 0, empty[:2])))
        feeds, checks = flights.of(0), flights.of(1)
        m.d.comb += [
            feed.begins.eq(self.rows.any() & self.checked & ~breaks & ~feed.left.any() & ~feeds & empty.all()),
            check.begins.eq(self.rows.any() & settled.all() & ~breaks & ~check.left.any() & ~checks),
        ]
        for one in (feed, check):
            m.d.comb += one.unit.start.eq(one.begins)
            with m.If(one.begins):
                m.d.sync += [one.left.eq(self.rows), one.next.eq(0), one.address.eq(0)]

    def _ask(self, m: Module, feed, check, credit: Signal, breaks: Signal, flights: "_Flights") -> None:
        """For the ring first. The size of a run is counted in one cycle, multiplied in the next."""
        run, piece = self.memory.run, self.piece_rows
        bits = exact_log2(piece)
        size = Signal(range(piece + 1))
        one = SimpleNamespace(
            next=Mux(flights.asked.checking, check.next, feed.next),
            left=Mux(flights.asked.checking, check.left, feed.left),
            address=Mux(flights.asked.checking, check.address, feed.address),
        )
        most = Signal(range(piece + 1))
        m.d.comb += most.eq(piece - one.next[:bits] if bits else 1)
        m.d.sync += credit.eq(Mux(breaks, self._ring_rows, credit + self.freed))
        with m.FSM():
            with m.State("REST"):
                serves = Signal()
                m.d.comb += serves.eq(feed.left.any() & credit.any())
                m.d.sync += flights.asked.checking.eq(~serves)
                goes = serves | (check.left.any() & (self.idle | ~self.checked) & ~flights.first.there)
                with m.If(goes & ~breaks & ~flights.second.there):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += flights.asks.eq(1)
                limit = Signal(range(self._ring_rows + 1))
                m.d.comb += limit.eq(Mux(flights.asked.checking | (credit > most), most, credit))
                m.d.sync += [
                    size.eq(Mux(one.left > limit, limit, one.left)),
                    flights.asked.final.eq(one.left <= limit),
                ]
                m.next = "SIZE"
                with m.If(breaks):
                    m.next = "REST"
            with m.State("SIZE"):
                m.d.comb += flights.asks.eq(1)
                m.d.sync += [
                    run.payload.address.eq(one.address),
                    run.payload.words.eq(size * self._row_words),
                    flights.asked.void.eq(0),
                ]
                m.next = "ASK"
                with m.If(breaks):
                    m.next = "REST"
                with m.Elif(~flights.asked.checking):
                    m.d.sync += credit.eq(credit + self.freed - size)
            with m.State("ASK"):
                m.d.comb += [flights.asks.eq(1), run.valid.eq(1)]
                m.d.comb += flights.leaves.eq(run.ready)
                m.d.sync += flights.asked.void.eq(flights.voids(breaks, self.restart))
                with m.If(run.ready):
                    m.next = "REST"
        for number, reading in enumerate((feed, check)):
            with m.If(flights.leaves & (flights.asked.checking == number) & ~flights.voids(breaks, self.restart)):
                m.d.sync += [
                    reading.next.eq(reading.next + size),
                    reading.left.eq(reading.left - size),
                    reading.address.eq(reading.address + run.payload.words),
                ]
            with m.If(self.restart if number else breaks):
                m.d.sync += reading.left.eq(0)

    def _land(self, m: Module, feed, check, breaks: Signal, flights: "_Flights") -> None:
        """Words come in the order in which they were asked for. `first` and `second`: the runs that are under
        way."""
        word, first = self.memory.word, flights.first
        lands = word.valid & word.payload.last
        m.d.comb += [
            word.ready.eq(1),
            feed.takes.eq(word.valid & first.there & ~first.checking & ~first.void),
            check.takes.eq(word.valid & first.there & first.checking & ~first.void),
            self.o.valid.eq(feed.takes),
            self.o.payload.word.eq(word.payload.word),
            self.o.payload.last.eq(word.payload.last & first.final),
            self.failed.eq(self.memory.failed & first.there & ~first.void),
        ]
        flights.move(m, lands, breaks, self.restart)
        for one, voids in ((feed, breaks), (check, self.restart)):
            m.d.comb += [
                one.unit.data.eq(word.payload.word),
                one.unit.valid.eq(one.takes),
                one.ends.eq(one.takes & word.payload.last & first.final & ~voids),
            ]
            m.d.sync += one.ended.eq(one.ends)
        m.d.sync += self.done.eq(0)
        for one in (feed, check):
            with m.If(one.ended & ~self.restart):
                m.d.sync += [
                    self.found.eq(one.unit.crc),
                    self.differs.eq(one.unit.crc != self.expected),
                    self.done.eq(1),
                ]
        with m.If(self.restart):
            m.d.sync += [self.checked.eq(0), self.differs.eq(0)]
        with m.Elif(check.ended):
            m.d.sync += self.checked.eq(1)

    def _watch(self, m: Module, flights: "_Flights") -> None:
        """The memory is late."""
        late, waits = Signal(self._patience), Signal()
        m.d.comb += waits.eq(
            (flights.first.there & ~self.memory.word.valid)
            | (self.memory.run.valid & ~self.memory.run.ready & ~flights.first.there)
            | (self.rows.any() & ~self.memory.ready)
            | self.starved
        )
        m.d.sync += late.eq(Mux(waits, late + 1, 0))
        with m.If(late.all()):
            m.d.sync += self.stalled.eq(1)
        with m.If(self.restart):
            m.d.sync += [self.stalled.eq(0), late.eq(0)]


class _Flights:
    """The run that is being asked for, and two that are under way; `first` brings its words before `second`."""

    def __init__(self):
        self.asks, self.leaves = Signal(name="asks"), Signal(name="leaves")
        self.asked, self.first, self.second = (
            SimpleNamespace(
                there=Signal(name=f"{name}_there"),
                checking=Signal(name=f"{name}_checking"),  # of a check, not of a reading for the ring
                final=Signal(name=f"{name}_final"),  # its reading ends with it
                void=Signal(name=f"{name}_void"),
            )
            for name in ("asked", "first", "second")
        )

    def of(self, checking: int):
        """A run of this kind is asked for or under way."""
        mine = [run.there & (run.checking == checking) for run in (self.first, self.second)]
        return mine[0] | mine[1] | (self.asks & (self.asked.checking == checking))

    def voids(self, breaks, restart, run: SimpleNamespace | None = None):
        """A run has no effect any more, from this cycle on."""
        run = run or self.asked
        return run.void | Mux(run.checking, restart, breaks)

    def move(self, m: Module, lands, breaks, restart) -> None:
        """The first run has landed; one that leaves is the last in the line."""
        m.d.comb += self.asked.there.eq(self.leaves)
        now = {
            name: SimpleNamespace(**vars(run) | {"void": self.voids(breaks, restart, run)})
            for name, run in (("asked", self.asked), ("first", self.first), ("second", self.second))
        }
        for key in ("there", "checking", "final", "void"):
            asked, first, second = (getattr(now[name], key) for name in ("asked", "first", "second"))
            with m.If(lands | ~self.first.there):
                m.d.sync += getattr(self.first, key).eq(Mux(self.second.there, second, asked))
                m.d.sync += getattr(self.second, key).eq(Mux(self.second.there, asked, 0))
            with m.Else():
                m.d.sync += getattr(self.first, key).eq(first)
                m.d.sync += getattr(self.second, key).eq(Mux(self.second.there, second, asked))
