"""Fetches the rows of Q and K and pairs every query with every key of its head."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_range, row_layout
from ds2ta.hw.score import pair_layout
from ds2ta.hw.store import memory_attributes

__all__ = ["PairFetch", "column_step"]


def column_step(*, row_ends: Value, head_ends: Value, head_rows: Value) -> Value:
    """Step of a counter `h * head_rows + r` of rows within a position: on to the next row, at `row_ends` back to
    the head's first row, at `head_ends` (with `row_ends`) on to the next head's."""
    return Mux(row_ends & ~head_ends, 1 - head_rows, 1)


class PairFetch(wiring.Component):
    """For each head h, for each query i: row r of Q_i into a small memory, then, for each key j, for each r, the
    pair (row r of Q_i, row r of K_j) to the stream. Row r lies at `base + position * groups + h * head_rows + r`.

    Latency: the first row of Q is fetched in the cycle after `start`; the first pair of a query is valid
    head_rows + 1 cycles after its first row of Q was fetched, one more if head_rows is 1 (the query memory does not
    read the row it is being given). Throughput: one row of a pair each cycle; a query costs head_rows cycles more
    (the memory has one port), which pass while the score unit works on the last row of the query before.
    Back-pressure: the row waits at the memory's output, whose `enable` is low. All addresses are made by adders.

    Parameters: `row_lanes` g, `time_steps` T, `max_tokens`, `max_heads`, `max_rows` (of a head), `address_width`,
    `fast` (LUT memory, see `hw/store.py`).

    Members: `q_base`, `k_base`, `tokens`, `heads`, `head_rows`, `groups`, counts of at least 1, stable while it
    works; `start` pulse, only when the last pair has been taken; `address`, `enable`, `data`: a memory of latency 1
    that holds its data while not enabled; `o` stream of `pair_layout` whose tag marks, in its bits 0, 1 and 2, the
    last key, the last query of a head and the last head.
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
    ):
        row = row_layout(row_lanes, time_steps)
        check_range("Tokens", max_tokens, 1, 1024)
        check_range("Heads", max_heads, 1, 64)
        check_range("Rows of a head", max_rows, 1, 32)
        check_range("Address width", address_width, 1, 24)
        self._max_rows, self._fast = max_rows, fast
        super().__init__(
            {
                "q_base": In(address_width),
                "k_base": In(address_width),
                "tokens": In(range(max_tokens + 1)),
                "heads": In(range(max_heads + 1)),
                "head_rows": In(range(max_rows + 1)),
                "groups": In(range(max_heads * max_rows + 1)),
                "start": In(1),
                "address": Out(address_width),
                "enable": Out(1),
                "data": In(row),
                "o": Out(stream.Signature(pair_layout(row_lanes, time_steps, 3))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        running, keys = Signal(), Signal()  # at work; fetching K, not Q
        row = Signal.like(self.head_rows, init=1)  # counted from 1, like all counters here
        key, query = Signal.like(self.tokens, init=1), Signal.like(self.tokens, init=1)
        head = Signal.like(self.heads, init=1)
        query_position = Signal.like(self.q_base, reset_less=True)
        key_position = Signal.like(self.k_base, reset_less=True)
        column = Signal.like(self.groups, reset_less=True)
        row_ends, key_ends, query_ends, head_ends = Signal(), Signal(), Signal(), Signal()
        advances, issues = Signal(), Signal()

        # the row at the memory's output: of Q (to be stored), or of K (a row of a pair)
        fetched, is_query = Signal(), Signal()
        stored_row = Signal(range(self._max_rows), reset_less=True)
        attributes = memory_attributes(depth=self._max_rows, fast=self._fast)
        if self._max_rows > 1 and not self._fast:
            attributes |= {"ram_style": "block"}  # flip-flops, else, where LUTs are no memory
        m.submodules.queries = queries = Memory(
            shape=unsigned(len(Cat(self.data))), depth=self._max_rows, init=[], attrs=attributes
        )
        store, load = queries.write_port(), queries.read_port()
        m.d.comb += [
            store.addr.eq(stored_row),
            store.data.eq(self.data),
            store.en.eq(fetched & is_query),
            load.addr.eq(row - 1),
            load.en.eq(issues),
            self.o.valid.eq(fetched & ~is_query),
            self.o.payload.query.eq(load.data),
            self.o.payload.key.eq(self.data),
        ]

        m.d.comb += [
            row_ends.eq(row == self.head_rows),
            key_ends.eq(row_ends & keys & (key == self.tokens)),
            query_ends.eq(query == self.tokens),
            head_ends.eq(key_ends & query_ends),
            advances.eq(~fetched | is_query | self.o.ready),
            # the only row of Q is being stored: it can be read in the next cycle
            issues.eq(running & advances & ~(keys & fetched & is_query & row_ends)),
            self.enable.eq(issues),
            self.address.eq(Mux(keys, key_position, query_position) + column),
        ]
        with m.If(advances):
            m.d.sync += fetched.eq(issues)
        with m.If(issues):
            m.d.sync += [
                is_query.eq(~keys),
                stored_row.eq(row - 1),
                self.o.payload.first.eq(row == 1),
                self.o.payload.last.eq(row_ends),
                self.o.payload.tag.eq(Cat(key_ends, query_ends, head == self.heads)),
                row.eq(Mux(row_ends, 1, row + 1)),
                column.eq(column + column_step(row_ends=row_ends, head_ends=head_ends, head_rows=self.head_rows)),
            ]
            with m.If(row_ends):
                m.d.sync += keys.eq(~key_ends)
                with m.If(keys):
                    m.d.sync += [
                        key.eq(Mux(key_ends, 1, key + 1)),
                        key_position.eq(Mux(key_ends, self.k_base, key_position + self.groups)),
                    ]
            with m.If(key_ends):
                m.d.sync += [
                    query.eq(Mux(query_ends, 1, query + 1)),
                    query_position.eq(Mux(query_ends, self.q_base, query_position + self.groups)),
                ]
            with m.If(head_ends):
                m.d.sync += [
                    head.eq(Mux(head == self.heads, 1, head + 1)),
                    running.eq(head != self.heads),
                ]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                query_position.eq(self.q_base),
                key_position.eq(self.k_base),
                column.eq(0),
            ]
        return m
