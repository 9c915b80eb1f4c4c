# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Two pieces of the host link that stand for themselves: where a LOAD goes on, whether a SAMPLE fits."""

from collections.abc import Iterable

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.stores import StoreShape

__all__ = ["ChunkCounter", "OffsetCheck"]


class ChunkCounter(wiring.Component):
    """Store and chunk of a LOAD's next word. Latency: 1 cycle from `set` or `up`. Throughput: one word each cycle.

    Members: `set` takes `first_store` and `first_chunk`, of which `foreign` says (at once) that they have bits
    that no store or chunk has; `up` goes to the next chunk, from the store's `last` one to 0; `store`, `chunk`.
    """

    def __init__(self, shapes: Iterable[StoreShape]):
        self._shapes = list(shapes)
        chunk = range(max(2, *(shape.chunks for shape in self._shapes)))
        super().__init__(
            {
                "set": In(1),
                "first_store": In(8),
                "first_chunk": In(8),
                "foreign": Out(1),
                "up": In(1),
                "store": Out(2),
                "chunk": Out(chunk),
                "last": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        end = Signal.like(self.chunk)
        with m.Switch(self.store):
            for shape in self._shapes:
                with m.Case(shape.number):
                    m.d.comb += end.eq(shape.chunks - 1)
        m.d.comb += [
            self.last.eq(self.chunk == end),
            self.foreign.eq(self.first_store[2:].any() | self.first_chunk[len(self.chunk) :].any()),
        ]
        with m.If(self.set):
            m.d.sync += [self.store.eq(self.first_store), self.chunk.eq(self.first_chunk)]
        with m.Elif(self.up):
            m.d.sync += self.chunk.eq(Mux(self.last, 0, self.chunk + 1))
        return m


class OffsetCheck(wiring.Component):
    """Compares three numbers that come bit by bit, least significant first: `beyond` = offset + length > reference,
    `other` = offset != reference, for the bits that came since `clear`.

    Latency: 1 cycle. Throughput: a bit of each in every cycle with `shift`.

    Members: `clear`; `shift`, `offset`, `length`, `reference`; `beyond`, `other`.
    """

    def __init__(self):
        names = ("clear", "shift", "offset", "length", "reference")
        super().__init__({**{name: In(1) for name in names}, "beyond": Out(1), "other": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        carry, more = Signal(), Signal()  # of the sum; the sum so far is more than the reference so far
        total = self.offset ^ self.length ^ carry
        with m.If(self.clear):
            m.d.sync += [carry.eq(0), more.eq(0), self.other.eq(0)]
        with m.Elif(self.shift):
            m.d.sync += [
                carry.eq((self.offset & self.length) | (carry & (self.offset | self.length))),
                more.eq(Mux(total ^ self.reference, total, more)),
                self.other.eq(self.other | (self.offset ^ self.reference)),
            ]
        m.d.comb += self.beyond.eq(more | carry)
        return m
