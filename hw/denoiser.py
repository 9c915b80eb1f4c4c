# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Takes attention scores through the denoiser's tables and keeps what is not zero."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.nsad_table import NsadTable, load_signature
from ds2ta.hw.payloads import check_range
from ds2ta.hw.score import score_layout

__all__ = ["Denoiser", "EntryWrite"]


class EntryWrite(wiring.Signature):
    """A denoised score on its way into a list, seen from the denoiser: in a cycle with `valid`, `value` is kept for
    time step `t`, or, if `end`, the list of `t` is complete. `pair` comes in the cycle before the first entry of a
    (query, key) pair can come, `query_begins` with it if the pair is the query's first."""

    def __init__(self, time_steps: int, bits: int):
        super().__init__(
            {
                "valid": Out(1),
                "t": Out(max(1, (time_steps - 1).bit_length())),
                "value": Out(bits),
                "end": Out(1),
                "pair": Out(1),
                "query_begins": Out(1),
            }
        )


class _Pair:
    """The pair at hand, or the lists that are being ended behind the last pair of a query."""

    def __init__(self, unit: "Denoiser", time_steps: int):
        self.held = Signal.like(unit.i.payload.score, reset_less=True)
        self.pending = Signal(time_steps)  # scores of `held` still to be looked up, or lists still to be ended
        # the lowest of them, one-hot; nothing is pending behind it (a register, for every handshake of the
        # attention unit hangs on it)
        self.pick, self.single = Signal(time_steps), Signal(init=1)
        self.go = Signal()  # the pick is made in this cycle
        self.ending = Signal()  # the lists are being ended
        self.query_ends = Signal()  # the pair is the last of its query
        self.query_starts = Signal()


class _Head:
    """The table of the head at hand, and the search for its floor."""

    def __init__(self, unit: "Denoiser"):
        self.searching, self.search_valid = Signal(), Signal(name="search_valid")
        self.floor = Signal.like(unit.head_dim, reset_less=True)
        self.base = Signal.like(unit.table_base, reset_less=True)


class Denoiser(wiring.Component):
    """Takes the scores of each pair through the head's table and keeps what is not zero.

    `A[t] = table[S[t] - 1]`, an entry (t, A[t]) for each non-zero A[t], t ascending. Only scores that can be kept
    cost a cycle: at the start of a head the table is read from score 1 up to find its smallest score with a
    non-zero entry, the *floor* (u_h + 1 of eq. 6), and scores below it are skipped by a priority encoder.

    After the last pair of a query each list is ended (`entry.end`, t = 0..T-1), then `swap` hands the lists over.

    Throughput: a pair with n scores at or above the floor takes max(n, 1) cycles, the next pair is accepted in the
    last of them. Latency: an entry comes two cycles after its pair was accepted at the earliest. The end of a
    query takes T cycles, the last of them waits for `lists_free`; in it the next pair is accepted, unless a new
    head begins: finding a floor f takes min(f + 1, head_dim) cycles, starting in the cycle after `start` or
    `swap`.

    Parameters: `time_steps` T, `max_head_dim`, and those of `NsadTable`.

    Members: `i` stream of `score_layout` with a tag of three bits: bit 0 marks the last pair of a query, bit 1 the
    last query of a head, bit 2 the last head; `start` pulse before the first pair; `table_base` (entry of head 0,
    score 1) and `head_dim`, stable; `entry` out; `swap` out, with it `head_ends` and `last_head`; `lists_free` in;
    `load` of a ram. While no pairs come, `stored` is entry `scan_entry` two cycles after a cycle with `scan`.
    """

    def __init__(
        self,
        *,
        time_steps: int,
        max_head_dim: int,
        entries: int,
        bits: int,
        kind: str = "rom",
        init: Sequence[int] = (),
        fast: bool = False,
    ):
        check_range("Time steps", time_steps, 1, 16)
        check_range("Largest head dimension", max_head_dim, 1, 1024)
        self._steps = time_steps
        self._table = NsadTable(
            entries=entries, bits=bits, score_bits=max_head_dim.bit_length(), kind=kind, init=init, fast=fast
        )
        members = {
            "i": In(stream.Signature(score_layout(time_steps, max_head_dim, 3))),
            "start": In(1),
            "table_base": In(self._table.base.shape()),
            "head_dim": In(range(max_head_dim + 1)),
            "entry": Out(EntryWrite(time_steps, bits)),
            "swap": Out(1),
            "head_ends": Out(1),
            "last_head": Out(1),
            "lists_free": In(1),
            "scan": In(1),
            "scan_entry": In(self._table.base.shape()),
            "stored": Out(bits),
        }
        if kind != "rom":
            members["load"] = In(load_signature(entries))
        super().__init__(members)

    @property
    def table(self) -> NsadTable:
        """The tables inside."""
        return self._table

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.table = table = self._table
        if "load" in self.signature.members:
            wiring.connect(m, table=table.load, load=wiring.flipped(self.load))
        pair, head = _Pair(self, self._steps), _Head(self)
        self._look_up(m, pair, head)
        self._take(m, pair, head)
        self._find_floor(m, head)
        with m.If(self.start):
            m.d.sync += [
                head.base.eq(self.table_base),
                head.floor.eq(1),
                head.searching.eq(1),
                pair.query_starts.eq(1),
            ]
        with m.Elif(self.scan):  # the look-up adds a score, which is 0 now, and entry e lies in word e + 1
            m.d.sync += head.base.eq(self.scan_entry + 1)
        return m

    def _look_up(self, m: Module, pair: _Pair, head: _Head) -> None:
        """The lowest pending score to the table, and, a cycle later, what it says to the list; or the end of the
        lowest pending list."""
        T, table = self._steps, self._table
        for t in range(T):
            m.d.comb += pair.pick[t].eq(pair.pending[t] & ~pair.pending[:t].any())
        picked: Value = Const(0)
        for t in range(T):
            picked = picked | Mux(pair.pick[t], pair.held[t], 0)
        m.d.comb += [
            table.base.eq(head.base),
            table.score.eq(picked | Mux(head.searching, head.floor, 0)),
            self.entry.value.eq(table.value),
            self.stored.eq(table.stored),
        ]

        looked, looked_end = Signal(), Signal(reset_less=True)
        looked_t = Signal.like(self.entry.t, reset_less=True)
        m.d.comb += pair.go.eq(pair.pending.any() & ~(pair.ending & pair.single & ~self.lists_free))
        m.d.sync += [
            looked.eq(pair.go),
            looked_end.eq(pair.ending),
            looked_t.eq(sum((Mux(pair.pick[t], t, 0) for t in range(1, T)), start=0) if T > 1 else 0),
        ]
        m.d.comb += [
            self.entry.valid.eq(looked & (looked_end | table.value.any())),
            self.entry.t.eq(looked_t),
            self.entry.end.eq(looked_end),
            self.swap.eq(pair.ending & pair.single & self.lists_free),
        ]

    def _take(self, m: Module, pair: _Pair, head: _Head) -> None:
        """From pair to pair: what of the next one counts, and the end of the lists behind the last of a query."""
        T, offered = self._steps, self.i.payload
        take = Signal()
        through = Mux(pair.ending, self.lists_free & ~self.head_ends, ~pair.query_ends)
        m.d.comb += [
            take.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(~head.searching & pair.single & through),
        ]
        m.d.sync += [self.entry.pair.eq(take), self.entry.query_begins.eq(pair.query_starts | self.swap)]

        with m.If(pair.go):
            m.d.sync += [pair.pending.eq(pair.pending & ~pair.pick), pair.single.eq(sum(pair.pending) <= 2)]
        with m.If(pair.single & pair.query_ends & ~pair.ending):
            m.d.sync += [pair.ending.eq(1), pair.pending.eq(~0), pair.single.eq(T == 1)]
        with m.If(self.swap):
            m.d.sync += [pair.ending.eq(0), pair.query_ends.eq(0), pair.query_starts.eq(1)]
        counts = Signal(T)
        m.d.comb += counts.eq(Cat(offered.score[t] >= head.floor for t in range(T)))
        with m.If(take):
            m.d.sync += [
                pair.held.eq(offered.score),
                pair.query_ends.eq(offered.tag[0]),
                self.head_ends.eq(offered.tag[1]),
                self.last_head.eq(offered.tag[2]),
                pair.query_starts.eq(0),
                pair.pending.eq(counts),
                pair.single.eq(sum(counts) <= 1),
            ]

    def _find_floor(self, m: Module, head: _Head) -> None:
        """Reads the head's table from score 1 up to its first entry that is not zero."""
        table = self._table
        m.d.sync += head.search_valid.eq(head.searching & ~self.start)
        with m.If(head.searching):
            found = Signal()
            m.d.comb += found.eq(head.search_valid & table.value.any())
            at_end = head.floor == self.head_dim
            with m.If(found):
                m.d.sync += head.floor.eq(head.floor - 1)
            with m.Elif(~at_end):
                m.d.sync += head.floor.eq(head.floor + 1)
            with m.If(found | at_end):
                m.d.sync += head.searching.eq(0)
        with m.If(self.swap & self.head_ends):
            m.d.sync += [head.base.eq(head.base + self.head_dim), head.floor.eq(1), head.searching.eq(1)]
