# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bit-serial query-key scores: AND and population count, all time steps in parallel."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_power_of_two, check_range, row_layout

__all__ = ["ScoreUnit", "pair_layout", "score_layout"]


def pair_layout(row_lanes: int, time_steps: int, tag_width: int) -> data.StructLayout:
    """One row of a (query, key) pair; `first` and `last` bound the rows of the pair, `tag` comes out with the
    scores (the tag of the `last` row counts)."""
    row = row_layout(row_lanes, time_steps)
    return data.StructLayout({"query": row, "key": row, "first": 1, "last": 1, "tag": tag_width})


def score_layout(time_steps: int, max_head_dim: int, tag_width: int) -> data.StructLayout:
    """The scores of one pair: `score[t]` in 0..max_head_dim, which needs one bit more than an index of channels."""
    return data.StructLayout(
        {"score": data.ArrayLayout(range(max_head_dim + 1), time_steps), "tag": unsigned(tag_width)}
    )


class ScoreUnit(wiring.Component):
    """`S[t] = sum over the pair's channels c of Q[t][c] & K[t][c]` (paper: the integer map `Q K^T`), exact.

    A row of g channels takes g / B cycles, B channels each, for all T time steps at once; the rows from `first` to
    `last` make one pair. B = 1 is fully serial.

    Latency: the chunk of B channels that is worked on in cycle c is in the score in c + 2: `o.valid` rises two
    cycles after the cycle in which the pair's last row is accepted. Throughput: one row every g / B cycles, no
    bubble between rows or pairs. Back-pressure: `i.ready` is high in the last of a row's cycles only (the source
    holds the row); a pair that waits at `o` lets one chunk of the next pair in behind it.

    Parameters: `row_lanes` g, `time_steps` T, `channels` B (a power of two, at most g), `max_head_dim` (largest
    score), `tag_width` (bits that travel with a pair).

    Members: `i` stream of `pair_layout`, `o` stream of `score_layout`.
    """

    latency = 2

    def __init__(self, *, row_lanes: int, time_steps: int, channels: int, max_head_dim: int, tag_width: int = 0):
        pair = pair_layout(row_lanes, time_steps, tag_width)
        check_power_of_two("Score channels", channels, 1, row_lanes)
        check_range("Largest head dimension", max_head_dim, 1, 1024)
        if max_head_dim % row_lanes:
            raise FitError(
                f"Largest head dimension must be a multiple of the {row_lanes} row lanes, not {max_head_dim!r}"
            )
        self._lanes, self._steps, self._channels = row_lanes, time_steps, channels
        super().__init__(
            {
                "i": In(stream.Signature(pair)),
                "o": Out(stream.Signature(score_layout(time_steps, max_head_dim, tag_width))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        lanes, channels = self._lanes, self._channels
        chunks = lanes // channels
        row = self.i.payload

        counted = Signal()
        counted_first, counted_last = Signal(reset_less=True), Signal(reset_less=True)
        finished = Signal()
        counting_moves, summing_moves = Signal(), Signal()
        chunk = Signal(range(chunks))
        final_chunk = Signal()
        m.d.comb += [
            summing_moves.eq(~finished | self.o.ready),
            counting_moves.eq(~counted | summing_moves),
            final_chunk.eq(chunk == chunks - 1),
            self.i.ready.eq(counting_moves & final_chunk),
            self.o.valid.eq(finished),
        ]
        with m.If(self.i.valid & counting_moves):
            if chunks > 1:
                m.d.sync += chunk.eq(chunk + 1)
            m.d.sync += [
                counted_first.eq(row.first & (chunk == 0)),
                counted_last.eq(row.last & final_chunk),
            ]
        with m.If(counting_moves):
            m.d.sync += counted.eq(self.i.valid)
        with m.If(summing_moves):
            m.d.sync += finished.eq(counted & counted_last)

        tag, tag_out = Signal.like(row.tag, reset_less=True), Signal.like(row.tag, reset_less=True)
        m.d.comb += self.o.payload.tag.eq(tag_out)
        with m.If(self.i.valid & counting_moves):
            m.d.sync += tag.eq(row.tag)
        with m.If(counted & summing_moves):
            m.d.sync += tag_out.eq(tag)

        for t in range(self._steps):
            both = Cat(row.query[lane][t] & row.key[lane][t] for lane in range(lanes))
            hits = Signal(
                channels, name=f"hits_{t}", reset_less=True
            )  # the register behind the AND costs no logic cell
            with m.If(self.i.valid & counting_moves):
                m.d.sync += hits.eq(both.word_select(chunk, channels))
            total = Signal.like(self.o.payload.score[t], name=f"score_{t}", reset_less=True)
            m.d.comb += self.o.payload.score[t].eq(total)
            count = sum(hits)  # synthesis makes one carry-save tree of it
            # `first` selects the addend in the adder's own LUT: neither a cycle nor logic to clear the sum
            with m.If(counted & summing_moves):
                m.d.sync += total.eq(Mux(counted_first, count, total + count))
        return m
