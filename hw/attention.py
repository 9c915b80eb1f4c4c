# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Spiking self-attention of one block: scores, denoiser and A x V as one stream, the N x N map is never stored."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.av import AvAccumulator
from ds2ta.hw.denoiser import Denoiser
from ds2ta.hw.lists import EntryLists
from ds2ta.hw.pairs import PairFetch, column_increment
from ds2ta.hw.payloads import addressed_row_layout, check_range, row_layout
from ds2ta.hw.score import ScoreUnit
from ds2ta.hw.slices import skid_buffer

__all__ = ["AttentionUnit"]

_PAIR_INPUTS = ("q_base", "k_base", "tokens", "heads", "head_rows", "groups")


class AttentionUnit(wiring.Component):
    """`S = Q K^T`, `A = table[S]`, `Y = A V`, LIF, for every head and time step (paper: spiking self-attention with
    the nonlinear spiking attention denoiser, eq. 6 and 7), exact.

    For each head and each query the rows of Q are fetched into a small memory, then the rows of K stream past it
    (`PairFetch`, `ScoreUnit`), the `Denoiser` keeps the non-zero entries, and while the next query is scored,
    `AvAccumulator` adds up the rows of V that the entries name (`EntryLists` has two sets of lists) and emits the
    query's spikes.

    Row r of head h of token n lies at `base + n * groups + h * head_rows + r` of Q, K, V and of the output.

    Latency of a whole phase: see `gateware/attention_cycles.py`, which is exact. Throughput: a query takes
    head_rows cycles to fetch and tokens * head_rows * g / B cycles to score, or what its list takes, head_rows *
    (entries + T) + 1, if that is longer. Back-pressure: `o` stalls A x V, and with it, in the end, the scores.

    Parameters: `row_lanes` g, `time_steps` T, `score_channels` B, `max_tokens`, `max_heads`, `max_head_dim` (a
    multiple of g), `denoiser_bits`, `membrane_width`, `leak_shift`, `address_width` (of rows), `denoiser_entries`,
    `denoiser_kind`, `denoiser_init`, `fast` (small memories made of LUTs, see `hw/store.py`, and a skid
    buffer behind the scores), `waits` (the memory of Q and K cannot be read in each cycle).

    Members: configuration, stable from `start` to `done`: `q_base`, `k_base`, `v_base`, `o_base`, `tokens`,
    `heads`, `head_rows` (= head_dim / g), `head_dim`, `groups` (rows of a position), `table_base` (entry of head 0,
    score 1), `threshold` (at least 1). `start` pulse, only while `done`; `done` level, low from the cycle after
    `start` until the last row has been taken. `qk_address`, `qk_enable`, `qk_data` and `v_address`, `v_enable`,
    `v_data`: memories of latency 1 that hold their data while not enabled. `o` stream of rows and addresses.
    `qk_holds` (with `waits`): it cannot in this one. `entries`: a denoised score is kept in this cycle. `load` of a
    ram table. `scan`, `scan_entry`, `stored`: reads a table entry while `done`, see `Denoiser`. `trace_score` (in
    the order head, query, key) and `trace_entry` are for benches; what is only for them is free when not connected.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        score_channels: int,
        max_tokens: int,
        max_heads: int,
        max_head_dim: int,
        denoiser_bits: int,
        membrane_width: int,
        leak_shift: int,
        address_width: int,
        denoiser_entries: int,
        denoiser_kind: str = "rom",
        denoiser_init: Sequence[int] = (),
        fast: bool = False,
        waits: bool = False,
    ):
        self._fast, self._waits = fast, waits
        row = row_layout(row_lanes, time_steps)
        check_range("Tokens", max_tokens, 1, 1024)
        check_range("Heads", max_heads, 1, 64)
        check_range("Largest head dimension", max_head_dim, row_lanes, 128)
        check_range("Address width", address_width, 1, 24)
        if max_head_dim % row_lanes:
            raise FitError(
                f"Largest head dimension must be a multiple of the {row_lanes} row lanes, not {max_head_dim!r}"
            )
        max_rows = max_head_dim // row_lanes
        shape = {"row_lanes": row_lanes, "time_steps": time_steps}
        counts = {"max_tokens": max_tokens, "max_rows": max_rows}
        self._pairs = PairFetch(
            **shape, **counts, max_heads=max_heads, address_width=address_width, fast=fast, waits=waits
        )
        self._scores = ScoreUnit(**shape, channels=score_channels, max_head_dim=max_head_dim, tag_width=3)
        table: dict[str, Any] = {"entries": denoiser_entries, "kind": denoiser_kind, "init": denoiser_init}
        self._denoiser = Denoiser(
            time_steps=time_steps, max_head_dim=max_head_dim, bits=denoiser_bits, fast=fast, **table
        )
        self._lists = EntryLists(
            time_steps=time_steps, **counts, bits=denoiser_bits, position_width=address_width, fast=fast
        )
        self._accumulator = AvAccumulator(
            **shape,
            denoiser_bits=denoiser_bits,
            membrane_width=membrane_width,
            leak_shift=leak_shift,
            tag_width=address_width + 1,
        )
        memory = {"address": Out(address_width), "enable": Out(1), "data": In(row)}
        ports = {
            "q_base": In(address_width),
            "k_base": In(address_width),
            "v_base": In(address_width),
            "o_base": In(address_width),
            "tokens": In(range(max_tokens + 1)),
            "heads": In(range(max_heads + 1)),
            "head_rows": In(range(max_rows + 1)),
            "head_dim": In(range(max_head_dim + 1)),
            "groups": In(range(max_heads * max_rows + 1)),
            "table_base": In(self._denoiser.table_base.shape()),
            "threshold": In(membrane_width),
            "start": In(1),
            "done": Out(1, init=1),
            **({"qk_holds": In(1)} if waits else {}),
            **{f"{bank}_{name}": member for bank in ("qk", "v") for name, member in memory.items()},
            "o": Out(stream.Signature(addressed_row_layout(row_lanes, time_steps, address_width))),
            "entries": Out(1),
            "scan": In(1),
            "scan_entry": In(self._denoiser.scan_entry.shape()),
            "stored": Out(denoiser_bits),
            **self._traces(max_tokens, denoiser_bits),
        }
        if denoiser_kind != "rom":
            ports["load"] = self._denoiser.signature.members["load"]
        super().__init__(ports)

    def _traces(self, max_tokens: int, denoiser_bits: int) -> dict[str, wiring.Member]:
        """Scores and kept entries as they pass, for benches."""
        score = {"valid": Out(1), "score": Out(self._scores.o.payload.shape()["score"].shape)}
        entry = {
            "valid": Out(1),
            "t": Out(self._denoiser.entry.t.shape()),
            "j": Out(max(1, (max_tokens - 1).bit_length())),
            "value": Out(denoiser_bits),
        }
        return {"trace_score": Out(wiring.Signature(score)), "trace_entry": Out(wiring.Signature(entry))}

    @property
    def parts(self) -> dict[str, wiring.Component]:
        """The blocks inside, by name."""
        return {
            "pairs": self._pairs,
            "score": self._scores,
            "denoiser": self._denoiser,
            "lists": self._lists,
            "accumulator": self._accumulator,
        }

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.pairs = pairs = self._pairs
        m.submodules.scores = self._scores
        m.submodules.denoiser = denoiser = self._denoiser
        m.submodules.lists = lists = self._lists
        m.submodules.accumulator = accumulator = self._accumulator
        if "load" in self.signature.members:
            wiring.connect(m, denoiser=denoiser.load, load=wiring.flipped(self.load))
        wiring.connect(m, pairs.o, self._scores.i)
        scores = self._scores.o
        wiring.connect(m, skid_buffer(m, scores) if self._fast else scores, denoiser.i)
        self._collect(m)
        self._attend(m)

        m.d.comb += [
            *(getattr(pairs, name).eq(getattr(self, name)) for name in _PAIR_INPUTS),
            *([pairs.holds.eq(self.qk_holds)] if self._waits else []),
            pairs.start.eq(self.start),
            self.qk_address.eq(pairs.address),
            self.qk_enable.eq(pairs.enable),
            pairs.data.eq(self.qk_data),
            denoiser.start.eq(self.start),
            denoiser.table_base.eq(self.table_base),
            denoiser.head_dim.eq(self.head_dim),
            denoiser.scan.eq(self.scan),
            denoiser.scan_entry.eq(self.scan_entry),
            self.stored.eq(denoiser.stored),
            lists.rows.eq(self.head_rows),
            accumulator.threshold.eq(self.threshold),
        ]
        return m

    def _collect(self, m: Module) -> None:
        """Denoised scores into the lists, each with the position of its V."""
        denoiser, lists = self._denoiser, self._lists
        position = Signal.like(self.v_base, reset_less=True)
        key = Signal.like(self.trace_entry.j)
        wiring.connect(m, denoiser.entry, lists.write)
        with m.If(denoiser.entry.pair):
            m.d.sync += [
                position.eq(Mux(denoiser.entry.query_begins, self.v_base, position + self.groups)),
                key.eq(Mux(denoiser.entry.query_begins, 0, key + 1)),
            ]
        kept = denoiser.entry.valid & ~denoiser.entry.end
        m.d.comb += [
            lists.position.eq(position),
            lists.swap.eq(denoiser.swap),
            denoiser.lists_free.eq(lists.free),
            self.entries.eq(kept),
            self.trace_score.valid.eq(denoiser.i.valid & denoiser.i.ready),
            self.trace_score.score.eq(denoiser.i.payload.score),
            self.trace_entry.valid.eq(kept),
            self.trace_entry.t.eq(denoiser.entry.t),
            self.trace_entry.j.eq(key),
            self.trace_entry.value.eq(denoiser.entry.value),
        ]

    def _attend(self, m: Module) -> None:
        """Rows of V for the entries of the lists into the accumulator; the finished rows out."""
        denoiser, lists, term = self._denoiser, self._lists, self._accumulator.i
        column = Signal.like(self.groups, reset_less=True)
        position = Signal.like(self.o_base, reset_less=True)  # of the output
        head_ends, last_head = Signal(reset_less=True), Signal(reset_less=True)  # of the query that is read
        entry = lists.o.payload
        m.d.comb += [
            lists.o.ready.eq(~term.valid | term.ready),
            self.v_address.eq(entry.position + column),
            self.v_enable.eq(lists.o.valid & lists.o.ready & ~entry.end),
            term.payload.row.eq(self.v_data),
        ]
        with m.If(lists.o.ready):
            m.d.sync += term.valid.eq(lists.o.valid)
        with m.If(lists.o.valid & lists.o.ready):
            m.d.sync += [
                term.payload.value.eq(entry.value),
                term.payload.end.eq(entry.end),
                term.payload.tag.eq(
                    Cat((position + column)[: len(position)], entry.query_ends & head_ends & last_head)
                ),
            ]
            with m.If(entry.row_ends):
                m.d.sync += column.eq(
                    column
                    + column_increment(row_ends=entry.query_ends, head_ends=head_ends, head_rows=self.head_rows)
                )
            with m.If(entry.query_ends):
                m.d.sync += position.eq(Mux(head_ends, self.o_base, position + self.groups))
        with m.If(denoiser.swap):
            m.d.sync += [head_ends.eq(denoiser.head_ends), last_head.eq(denoiser.last_head)]

        done = self._accumulator.o
        final = Signal()
        m.d.comb += [
            self.o.valid.eq(done.valid),
            done.ready.eq(self.o.ready),
            self.o.payload.row.eq(done.payload.row),
            Cat(self.o.payload.address, final).eq(done.payload.tag),
        ]
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), column.eq(0), position.eq(self.o_base)]
        with m.Elif(self.o.valid & self.o.ready & final):
            m.d.sync += self.done.eq(1)
