# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Lists of denoised scores, one for each time step, between the scores and A x V."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.denoiser import EntryWrite
from ds2ta.hw.payloads import check_range
from ds2ta.hw.store import memory_attributes

__all__ = ["EntryLists", "entry_layout"]


def entry_layout(position_width: int, bits: int) -> data.StructLayout:
    """An entry of a list as it is read: `value` A of the key at `position`, or, if `end`, the end of the list of
    its time step (`row_ends`: of the last time step, `query_ends`: for the last time)."""
    return data.StructLayout({"position": position_width, "value": bits, "end": 1, "row_ends": 1, "query_ends": 1})


class EntryLists(wiring.Component):
    """Two sets of T lists of (position, value): one is written while the other is read.

    A list ends at an entry that is marked so, or after `max_tokens` entries. `swap` makes the written
    set the one to read; it may come with, or after, the acceptance of the last list's end by the writer
    (`write.valid` follows one cycle later). The set is read `rows` times: for each row, for each time step, all
    entries and then the end.

    Latency: the first entry is at `o` one cycle after `swap`; with T = 2 two and with T = 1 three, since the last
    end is still being written; where `fast`, with a register in front, T = 3: two, T = 2: three, T = 1: four.
    Throughput: one entry or end each cycle. Back-pressure: `o` holds. `free` is low from the cycle after `swap`
    through the cycle of the last end.

    Parameters: `time_steps` T, `max_tokens` (padded to a power of two), `max_rows`, `bits` of a value,
    `position_width`, `fast` (LUT memory, see `hw/store.py`).

    Members: `write` (`EntryWrite`), `position` of its key; `swap`; `rows` (1..max_rows, stable); `free`; `o` stream
    of `entry_layout`.
    """

    def __init__(
        self, *, time_steps: int, max_tokens: int, max_rows: int, bits: int, position_width: int, fast: bool = False
    ):
        check_range("Time steps", time_steps, 1, 16)
        check_range("Tokens", max_tokens, 1, 1024)
        check_range("Rows of a head", max_rows, 1, 32)
        check_range("Denoiser bits", bits, 1, 8)
        check_range("Position width", position_width, 1, 24)
        self._steps, self._max_rows, self._fast = time_steps, max_rows, fast
        self._latest = 4 if fast else 3  # time steps with which no list waits for its last end
        self._index_width = (max_tokens - 1).bit_length()
        self._step_width = (time_steps - 1).bit_length()
        super().__init__(
            {
                "write": In(EntryWrite(time_steps, bits)),
                "position": In(position_width),
                "swap": In(1),
                "rows": In(range(max_rows + 1)),
                "free": Out(1, init=1),
                "o": Out(stream.Signature(entry_layout(position_width, bits))),
            }
        )

    def _arrived(self, m: Module) -> tuple[Any, Signal]:
        """What is written, and its position, a cycle later: the denoiser's table may be block RAM, which shows its
        words late."""
        write = EntryWrite(self._steps, len(self.write.value)).create(path=("arrived",))
        position = Signal.like(self.position, name="arrived_position", reset_less=True)
        m.d.sync += [
            write.valid.eq(self.write.valid),
            *(getattr(write, name).eq(getattr(self.write, name)) for name in ("t", "value", "end")),
            position.eq(self.position),
        ]
        return write, position

    def elaborate(self, platform) -> Module:
        m = Module()
        T, width = self._steps, self._index_width
        word = data.StructLayout({"value": len(self.write.value), "position": len(self.position), "end": 1})
        depth = 2 << (self._step_width + width)
        memory: Memory = Memory(
            shape=unsigned(word.size),
            depth=depth,
            init=[],
            attrs=memory_attributes(depth=depth, fast=self._fast),
        )
        m.submodules.memory = memory
        store, fetch = memory.write_port(), memory.read_port()

        write, position = self._arrived(m) if self._fast else (self.write, self.position)

        # writing: one count for each time step, whose top bit says that the list is full
        write_set = Signal()
        counts = Array(Signal(width + 1, name=f"count_{t}") for t in range(T))
        count = Signal(width + 1)
        full = count[width]
        m.d.comb += [
            count.eq(counts[write.t]),
            store.addr.eq(Cat(count[:width], write.t[: self._step_width], write_set)),
            store.data.eq(Cat(write.value, position, write.end)),
            store.en.eq(write.valid & ~full),
        ]
        for t in range(T):
            with m.If(write.valid & (write.t == t)):
                m.d.sync += counts[t].eq(Mux(write.end, 0, counts[t] + 1))
        with m.If(write.valid & write.end & (write.t == T - 1)):
            m.d.sync += write_set.eq(~write_set)

        # reading: (row, t, index) of the entry that is at the memory's output. At rest they stand on the end of the
        # last list: what follows an end is the first entry of a list.
        at_rest = 1 << width
        read_set = Signal()
        row = Signal.like(self.rows, init=1)
        step, next_step = Signal(range(T), init=T - 1), Signal(range(T))
        index, following = Signal(width + 1, init=at_rest), Signal(width + 1)
        ended, row_ends, query_ends, moves, begins = Signal(), Signal(), Signal(), Signal(), Signal()
        found = data.View(word, fetch.data)
        m.d.comb += [
            ended.eq(found.end | index[width]),
            row_ends.eq(ended & (step == T - 1)),
            query_ends.eq(row_ends & (row == self.rows)),
            self.o.payload.position.eq(found.position),
            self.o.payload.value.eq(found.value),
            self.o.payload.end.eq(ended),
            self.o.payload.row_ends.eq(row_ends),
            self.o.payload.query_ends.eq(query_ends),
            moves.eq(self.o.valid & self.o.ready),
            following.eq(Mux(ended, 0, index + 1)),
            next_step.eq(Mux(ended, Mux(step == T - 1, 0, step + 1), step)),
            fetch.addr.eq(Cat(following[:width], next_step, read_set)),
            fetch.en.eq(begins | moves),
        ]
        with m.If(begins | moves):
            m.d.sync += [index.eq(following), step.eq(next_step)]
        with m.If(begins):
            m.d.sync += self.o.valid.eq(1)
        with m.If(moves & row_ends):
            m.d.sync += row.eq(Mux(query_ends, 1, row + 1))
        with m.If(moves & query_ends):
            m.d.sync += [self.o.valid.eq(0), self.free.eq(1), read_set.eq(~read_set)]
            m.d.sync += [index.eq(at_rest), step.eq(T - 1)]
        with m.If(self.swap):
            m.d.sync += self.free.eq(0)

        # the last list's end is in the memory two cycles after `swap`, or three; it is read T - 1 after the first
        starting = self.swap
        for delay in range(self._latest - T):
            late = Signal(name=f"starting_{delay}")
            m.d.sync += late.eq(starting)
            starting = late
        m.d.comb += begins.eq(starting)
        return m
