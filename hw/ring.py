# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The ring of weights: a store whose rows come from an external memory, in the order in which they are first used.

A network's weights are read once for each sample: tile after tile of output channels, and inside of a tile every
row is used at every output position. The ring holds the tile at work and what comes behind it, so that the memory
is read while the engine works.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import MEMORY_BITS, check_range, memory_layout
from ds2ta.hw.store import Store

__all__ = ["WeightRing"]


class WeightRing(wiring.Component):
    """`rows` weight rows, of which the next ones come in while others are read.

    Row n of a sample's weights lies at `n mod rows`. It comes in `words` = ceil(width / memory_bits) words, the
    least significant first, and is written in the cycle after its last one; with two ports that takes the address
    of the second (`holds`). Words are taken while there is `room` for their row. After the word with `last` none is
    taken until all rows are freed; the next one begins row 0.

    Rows are handed over by tiles of `tile_rows`: `granted` answers `claims`, in that very cycle, when all rows of
    the tile that follows the one granted before are there. `frees` gives back the oldest tile that was granted.

    Latency: of a read that of `Store`. A tile can be granted from the third cycle after that of its last row's last
    word; two grants are at least 2 cycles apart. Room that is freed in cycle c takes words from c + 1 on; after
    `last` words are taken again from c + 2 on. Throughput: a word each cycle.

    Parameters: `width` of a row, `rows`, `memory_bits` of a word, `ports` and `latency` of reads.

    Members
    -------
    i : stream of `memory_layout`.
    address, enable, data, and with two ports second : as `Store` has them.
    holds (with two ports) : a row is written; reads of this cycle are void.
    tile_rows : of the layer at hand, from the cycle before `claims` on, through the last `frees`.
    claims, granted, frees : see above.
    restart : the ring is empty, and row 0 is next, from the next cycle on; no tile may be granted, or in use.
    """

    def __init__(self, *, width: int, rows: int, memory_bits: int, ports: int = 1, latency: int = 1):
        check_range("Ring width", width, 1, 1 << 14)
        check_range("Ring rows", rows, 4, 1 << 16)
        check_range("Ring ports", ports, 1, 2)
        check_range("Ring latency", latency, 1, 3)
        if memory_bits not in MEMORY_BITS:
            raise FitError(f"Memory bits must be one of {', '.join(map(str, MEMORY_BITS))}, not {memory_bits!r}")
        self.words = -(-width // memory_bits)
        self._width, self._rows, self._memory_bits = width, rows, memory_bits
        self._ports, self._latency = ports, latency
        read = {"address": In(range(rows)), "enable": In(1), "data": Out(width)}
        members = {
            "i": In(stream.Signature(memory_layout(memory_bits))),
            **read,
            "tile_rows": In(range(rows + 1)),
            "claims": In(1),
            "granted": Out(1),
            "frees": In(1),
            "restart": In(1),
        }
        if ports == 2:
            members |= {"second": Out(wiring.Signature(read)), "holds": Out(1)}
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.store = store = Store(
            width=self._width,
            depth=self._rows,
            kind="ram",
            chunk_bits=self._width,
            ports=self._ports,
            latency=self._latency,
        )
        # a row is written; its last word is taken; the sample's rows have all been used, and row 0 is next
        writes, full_row, restarts = Signal(), Signal(), Signal()
        self._assemble(m, store, writes, full_row, restarts)
        self._account(m, writes, full_row, restarts)
        ports: list[Any] = [(self, store)]
        if self._ports == 2:
            ports.append((self.second, store.second))
            m.d.comb += self.holds.eq(writes)
        for mine, its in ports:
            m.d.comb += [its.address.eq(mine.address), its.enable.eq(mine.enable), mine.data.eq(its.data)]
        return m

    def _assemble(self, m: Module, store: Store, writes: Signal, full_row: Signal, restarts: Signal) -> None:
        """Words to rows. A row is complete in the shift register for the one cycle in which it is written."""
        takes = Signal()
        row = Signal(self.words * self._memory_bits, reset_less=True)
        left = Signal(range(self.words), init=self.words - 1)  # words of this row behind the next
        m.d.comb += [
            takes.eq(self.i.valid & self.i.ready),
            full_row.eq(takes & ~left.any()),
            store.load.enable.eq(writes),
            store.load.data.eq(row[: self._width]),
        ]
        m.d.sync += writes.eq(full_row)
        with m.If(takes):
            m.d.sync += [row.eq(Cat(row, self.i.payload.word)[self._memory_bits :]), left.eq(left - 1)]
        with m.If(full_row):
            m.d.sync += left.eq(self.words - 1)
        with m.If(restarts | self.restart):
            m.d.sync += store.load.address.eq(0)
        with m.Elif(writes):
            m.d.sync += store.load.address.eq(store.load.address + 1)
            if self._rows != 1 << len(store.load.address):  # else it wraps by itself
                with m.If(store.load.address == self._rows - 1):
                    m.d.sync += store.load.address.eq(0)
        with m.If(self.restart):
            m.d.sync += [writes.eq(0), left.eq(self.words - 1)]

    def _account(self, m: Module, writes: Signal, full_row: Signal, restarts: Signal) -> None:
        """Rows that may still come, and rows that are there and belong to no tile yet."""
        room, there = Signal(range(self._rows + 1), init=self._rows), Signal(range(self._rows + 1))
        ended, enough, recent = Signal(), Signal(), Signal()
        # `room` is not zero, and not `ended`: a register, for the source may be at the other end of the chip
        takes_more, ends = Signal(init=1), Signal()
        m.d.comb += [
            self.i.ready.eq(takes_more),
            ends.eq((ended & ~restarts) | (full_row & self.i.payload.last)),
            self.granted.eq(self.claims & enough & ~recent),
            restarts.eq(ended & (room == self._rows)),
        ]
        m.d.sync += [
            room.eq(room + Mux(self.frees, self.tile_rows, 0) - full_row),
            there.eq(there + writes - Mux(self.granted, self.tile_rows, 0)),
            enough.eq(there >= self.tile_rows),
            recent.eq(self.granted),  # `enough` is of before the grant
            ended.eq(ends),
            takes_more.eq((self.frees | Mux(full_row, room != 1, room.any())) & ~ends),
        ]
        with m.If(self.restart):
            m.d.sync += [room.eq(self._rows), there.eq(0), enough.eq(0), ended.eq(0), takes_more.eq(1)]
