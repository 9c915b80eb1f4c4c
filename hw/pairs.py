# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Fetches the rows of Q and K and pairs every query with every key of its head."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_range, row_layout
from ds2ta.hw.score import pair_layout
from ds2ta.hw.store import memory_attributes

__all__ = ["PairFetch", "column_increment"]


def column_increment(*, row_ends: Value, head_ends: Value, head_rows: Value) -> Value:
    """Step of a counter `h * head_rows + r` of rows within a position: on to the next row, at `row_ends` back to
    the head's first row, at `head_ends` (with `row_ends`) on to the next head's."""
    return Mux(row_ends & ~head_ends, 1 - head_rows, 1)


class _Loops:
    """Where the loops stand (head, query, first its own rows, then keys, row), and which of them end with this row.
    Counters run from 1."""

    def __init__(self, unit: "PairFetch"):
        self.running, self.keys = Signal(), Signal(name="keys")  # at work; fetching K, not Q
        self.row = Signal.like(unit.head_rows, init=1)
        self.key, self.query = Signal.like(unit.tokens, init=1), Signal.like(unit.tokens, name="query", init=1)
        self.head = Signal.like(unit.heads, init=1)
        self.query_position = Signal.like(unit.q_base, reset_less=True)
        self.key_position = Signal.like(unit.k_base, reset_less=True)
        self.column = Signal.like(unit.groups, reset_less=True)
        self.row_ends, self.key_ends, self.query_ends, self.head_ends = (Signal() for _ in range(4))


class PairFetch(wiring.Component):
    """For each head h, for each query i: row r of Q_i into a small memory, then, for each key j, for each r, the
    pair (row r of Q_i, row r of K_j) to the stream. Row r lies at `base + position * groups + h * head_rows + r`.

    Latency: the first row of Q is fetched in the cycle after `start`; the first pair of a query is valid
    head_rows + 1 cycles after its first row of Q was fetched, one more if head_rows is 1 (the query memory does not
    read the row it is being given). Throughput: one row of a pair each cycle; a query costs head_rows cycles more
    (the memory has one port), which pass while the score unit works on the last row of the query before.
    Back-pressure: the row waits at the memory's output, whose `enable` is low. All addresses are made by adders.

    Parameters: `row_lanes` g, `time_steps` T, `max_tokens`, `max_heads`, `max_rows` (of a head), `address_width`,
    `fast` (LUT memory, see `hw/store.py`), `waits` (the memory cannot be read in each cycle).

    Members: `holds` (with `waits`): no row is fetched, because the memory cannot be read in this cycle; `q_base`,
    `k_base`, `tokens`, `heads`, `head_rows`, `groups`, counts of at least 1, stable while it works; `start` pulse,
    only when the last pair has been taken; `address`, `enable`, `data`: a memory of latency 1 that holds its data
    while not enabled; `o` stream of `pair_layout` whose tag marks, in its bits 0, 1 and 2, the last key, the last
    query of a head and the last head.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        max_tokens: int,
        max_heads: int,
        max_rows: int,
        address_width: int,
        fast: bool = False,
        waits: bool = False,
    ):
        row = row_layout(row_lanes, time_steps)
        check_range("Tokens", max_tokens, 1, 1024)
        check_range("Heads", max_heads, 1, 64)
        check_range("Rows of a head", max_rows, 1, 32)
        check_range("Address width", address_width, 1, 24)
        self._max_rows, self._fast, self._waits = max_rows, fast, waits
        super().__init__(
            {
                "q_base": In(address_width),
                "k_base": In(address_width),
                "tokens": In(range(max_tokens + 1)),
                "heads": In(range(max_heads + 1)),
                "head_rows": In(range(max_rows + 1)),
                "groups": In(range(max_heads * max_rows + 1)),
                "start": In(1),
                **({"holds": In(1)} if waits else {}),
                "address": Out(address_width),
                "enable": Out(1),
                "data": In(row),
                "o": Out(stream.Signature(pair_layout(row_lanes, time_steps, 3))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        at = _Loops(self)
        advances, issues = Signal(), Signal()  # that output is free; the next row is fetched
        # the row at the memory's output: of Q (to be stored, as that of its number), or of K (a row of a pair)
        fetched, is_query = Signal(), Signal()
        stored_row = Signal(range(self._max_rows), reset_less=True)
        m.submodules.queries = queries = self._query_memory()
        store, load = queries.write_port(), queries.read_port()
        m.d.comb += [
            store.addr.eq(stored_row),
            store.data.eq(self.data),
            store.en.eq(fetched & is_query),
            load.addr.eq(at.row - 1),
            load.en.eq(issues),
            self.o.valid.eq(fetched & ~is_query),
            self.o.payload.query.eq(load.data),
            self.o.payload.key.eq(self.data),
        ]

        # the only row of Q is being stored: it can be read in the next cycle
        may = at.running & advances & ~(at.keys & fetched & is_query & at.row_ends)
        m.d.comb += [
            at.row_ends.eq(at.row == self.head_rows),
            at.key_ends.eq(at.row_ends & at.keys & (at.key == self.tokens)),
            at.query_ends.eq(at.query == self.tokens),
            at.head_ends.eq(at.key_ends & at.query_ends),
            advances.eq(~fetched | is_query | self.o.ready),
            issues.eq(may & ~self.holds if self._waits else may),
            self.enable.eq(issues),
            self.address.eq(Mux(at.keys, at.key_position, at.query_position) + at.column),
        ]
        with m.If(advances):
            m.d.sync += fetched.eq(issues)
        with m.If(issues):
            m.d.sync += [is_query.eq(~at.keys), stored_row.eq(at.row - 1)]
            self._next_row(m, at)
        with m.If(self.start):
            m.d.sync += [
                at.running.eq(1),
                at.query_position.eq(self.q_base),
                at.key_position.eq(self.k_base),
                at.column.eq(0),
            ]
        return m

    def _query_memory(self) -> Memory:
        """The rows of the query at hand."""
        attributes = memory_attributes(depth=self._max_rows, fast=self._fast)
        if self._max_rows > 1 and not self._fast:
            attributes |= {"ram_style": "block"}  # flip-flops, else, where LUTs are no memory
        return Memory(shape=unsigned(len(Cat(self.data))), depth=self._max_rows, init=[], attrs=attributes)

    def _next_row(self, m: Module, at: _Loops) -> None:
        """Marks of the row that is fetched, and the loops one step on."""
        m.d.sync += [
            self.o.payload.first.eq(at.row == 1),
            self.o.payload.last.eq(at.row_ends),
            self.o.payload.tag.eq(Cat(at.key_ends, at.query_ends, at.head == self.heads)),
            at.row.eq(Mux(at.row_ends, 1, at.row + 1)),
            at.column.eq(
                at.column + column_increment(row_ends=at.row_ends, head_ends=at.head_ends, head_rows=self.head_rows)
            ),
        ]
        with m.If(at.row_ends):
            m.d.sync += at.keys.eq(~at.key_ends)
            with m.If(at.keys):
                m.d.sync += [
                    at.key.eq(Mux(at.key_ends, 1, at.key + 1)),
                    at.key_position.eq(Mux(at.key_ends, self.k_base, at.key_position + self.groups)),
                ]
        with m.If(at.key_ends):
            m.d.sync += [
                at.query.eq(Mux(at.query_ends, 1, at.query + 1)),
                at.query_position.eq(Mux(at.query_ends, self.q_base, at.query_position + self.groups)),
            ]
        with m.If(at.head_ends):
            m.d.sync += [
                at.head.eq(Mux(at.head == self.heads, 1, at.head + 1)),
                at.running.eq(at.head != self.heads),
            ]
