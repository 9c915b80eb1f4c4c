# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The sequencer: runs the layer program, one pass after another, and keeps the counters of every pass."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, Opcode, instruction_layout, instruction_words

__all__ = ["COUNTERS", "PassCounters", "Sequencer"]

#: Words of the counter store for each pass: cycles, events, rows, waits (written where weights are a stream).
COUNTERS = 4


@dataclass(frozen=True)
class PassCounters:
    """What the machine counts in one pass. `cycles`: from the first cycle of its fetch to the one in which it is
    done, both included. `events`: events with a spike that the engine added (attention: denoised scores kept).
    `rows`: spike rows scanned. `waits`: cycles in which the scan stood still because the weights of its next tile
    were not there. Each modulo 2**counter_width."""

    name: str
    opcode: Opcode
    cycles: int
    events: int
    rows: int
    waits: int = 0


class Sequencer(wiring.Component):
    """Fetch, start, wait, count.

    While idle it waits for `go` (a sample is at the door) and asks for the first program word in that cycle. A
    fetch takes one cycle for each word of an instruction; then comes one cycle of `start` with the instruction's
    fields valid, and the run until `done`. In that very cycle the next instruction's first word is asked for, so
    passes follow each other without a gap. `done` is ignored in the cycle of `start`. The sum of all `cycles` is
    the time of `busy`.

    `useful` and `row` are counted one cycle late, so that what makes them may end there; the three counters of a
    pass are written in the three cycles after its last, while the next is fetched. Where weights are a stream a
    fourth cycle writes the fourth.

    Members: `go`; `busy`; `fetch`, `fetch_address`, `word`: program store read port; `instruction`; `start`;
    `done`; `index` of the pass; `useful`, `row`: numbers to count, 0 in a fetch and in the cycle of `start`;
    `waits` (where weights are a stream): the scan waits for weights in this cycle;
    `count_enable`, `count_address`, `count_data`: write port of the counter store, address COUNTERS * pass + 0 for
    cycles, 1 for events, 2 for rows, 3 for waits.
    """

    def __init__(self, machine: Machine):
        self._words, self._streams = instruction_words(machine), machine.streams
        super().__init__(
            {
                "go": In(1),
                "busy": Out(1),
                "fetch": Out(1),
                "fetch_address": Out(range(max(2, machine.instructions * self._words))),
                "word": In(PROGRAM_WORD),
                "instruction": Out(instruction_layout(machine)),
                "start": Out(1),
                "done": In(1),
                "index": Out(range(machine.instructions)),
                "useful": In(range(machine.events + 1)),
                "row": In(1),
                **({"waits": In(1)} if machine.streams else {}),
                "count_enable": Out(1),
                "count_address": Out(range(machine.instructions * COUNTERS)),
                "count_data": Out(machine.counter_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ends = Signal()  # the last cycle of a pass
        self._fetch_and_run(m, ends)
        self._count(m, ends)
        return m

    def _fetch_and_run(self, m: Module, ends: Signal) -> None:
        size = len(self.instruction.as_value())
        held = Signal(size)
        words_left = Signal(range(self._words))
        pointer = Signal.like(self.fetch_address)  # the next word
        m.d.comb += [self.instruction.eq(held), self.fetch_address.eq(pointer)]
        with m.If(self.fetch):
            m.d.sync += pointer.eq(pointer + 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.fetch.eq(self.go)
                m.d.sync += [self.index.eq(0), words_left.eq(self._words - 1)]
                with m.If(self.go):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += [self.busy.eq(1), self.fetch.eq(words_left.any())]
                m.d.sync += words_left.eq(words_left - 1)
                for word in range(self._words):  # each has its own enable: no multiplexer, no bit that is not used
                    part = (
                        held.word_select(word, PROGRAM_WORD)
                        if word < self._words - 1
                        else held[word * PROGRAM_WORD :]
                    )
                    with m.If(words_left == self._words - 1 - word):
                        m.d.sync += part.eq(self.word)
                with m.If(~words_left.any()):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [self.start.eq(1), self.busy.eq(1)]
                m.d.sync += words_left.eq(self._words - 1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.busy.eq(1)
                with m.If(self.done):
                    m.d.comb += ends.eq(1)
                    with m.If(self.instruction.final):
                        m.d.sync += pointer.eq(0)
                        m.next = "IDLE"
                    with m.Else():
                        m.d.comb += self.fetch.eq(1)
                        m.d.sync += self.index.eq(self.index + 1)
                        m.next = "FETCH"

    def _count(self, m: Module, ends: Signal) -> None:
        cycles, events, rows = (Signal.like(self.count_data, name=name) for name in ("cycles", "events", "rows"))
        useful, row, started, ended = (
            Signal.like(self.useful),
            Signal(),
            Signal(),
            Signal(4 if self._streams else 3),
        )
        finished = Signal.like(self.index)
        m.d.sync += [
            useful.eq(self.useful),
            row.eq(self.row),
            started.eq(self.start),
            ended.eq(Cat(ends, ended)),
            cycles.eq(cycles + 1),
            events.eq(events + useful),
            rows.eq(rows + row),
        ]
        with m.If(ends):
            m.d.sync += finished.eq(self.index)
        with m.If(ended[0] | ~self.busy):  # the first cycle of a fetch, or none
            m.d.sync += cycles.eq(self.busy)
        with m.If(started):
            m.d.sync += [events.eq(useful), rows.eq(row)]
        m.d.comb += [self.count_enable.eq(ended.any()), self.count_data.eq(rows)]
        which = Signal(2)
        m.d.comb += [which.eq(2), self.count_address.eq(Cat(which, finished))]
        if self._streams:
            waits = Signal.like(self.count_data, name="waits")
            m.d.sync += waits.eq(Mux(started, self.waits, waits + self.waits))
            with m.If(ended[3]):
                m.d.comb += [which.eq(3), self.count_data.eq(waits)]
        with m.If(ended[0]):
            m.d.comb += [which.eq(0), self.count_data.eq(cycles)]
        with m.Elif(ended[1]):
            m.d.comb += [which.eq(1), self.count_data.eq(events)]
