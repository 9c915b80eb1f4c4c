# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Row walker: gives each row of a layer's output its address in the spike bank."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import addressed_row_layout, check_range, last_row_layout

__all__ = ["RowWalker"]


class RowWalker(wiring.Component):
    """`address = base + position * position_pitch + tile * tile_pitch + r` for row r of commit (tile, position).

    Commits arrive tile-major: for each tile of output channels, for each position; `i.last` ends a commit. All
    arithmetic is modulo the address space. `start` loads the walk; it is only allowed while `done` is high.

    Latency: 0 (the row passes through beside its address). Throughput: one row each cycle. Back-pressure:
    `o.ready` goes straight to `i.ready`; without a walk in progress both sides stand still.

    Parameters: `row_lanes` g, `time_steps` T, `address_width`, `tile_width` (bits of the tile count).

    Members: `i` {row, last}; `start`; `base`, `position_pitch`, `tile_pitch`; `positions` and `tiles`, counts of at
    least 1 where 0 stands for the full `2**width`; all stable from `start` until `done`. `o` {row, address}.
    `done` is high from the cycle after the final row was taken (and before the first `start`).
    """

    def __init__(self, *, row_lanes: int, time_steps: int, address_width: int, tile_width: int = 8):
        check_range("Address width", address_width, 1, 24)
        check_range("Tile width", tile_width, 1, 16)
        super().__init__(
            {
                "i": In(stream.Signature(last_row_layout(row_lanes, time_steps))),
                "start": In(1),
                "base": In(address_width),
                "position_pitch": In(address_width),
                "tile_pitch": In(address_width),
                "positions": In(address_width),
                "tiles": In(tile_width),
                "o": Out(stream.Signature(addressed_row_layout(row_lanes, time_steps, address_width))),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        address = Signal.like(self.base, reset_less=True)  # of the next row
        commit = Signal.like(self.base, reset_less=True)  # of the first row of this commit
        column = Signal.like(self.base, reset_less=True)  # of the first row of this tile
        # counted from 1
        position = Signal.like(self.positions, reset_less=True)
        tile = Signal.like(self.tiles, reset_less=True)
        taken = Signal()
        wrap = Signal()
        m.d.comb += [
            self.o.valid.eq(self.i.valid & ~self.done),
            self.o.payload.row.eq(self.i.payload.row),
            self.o.payload.address.eq(address),
            self.i.ready.eq(self.o.ready & ~self.done),
            taken.eq(self.i.valid & self.i.ready),
            wrap.eq(position == self.positions),
        ]

        # one adder serves the three strides: a row on, a position on from the commit, a tile on from the column
        last, following = self.i.payload.last, Signal.like(address)
        origin = Signal.like(address)
        stride = Signal.like(address)
        m.d.comb += [
            origin.eq(Mux(self.start, self.base, Mux(~last, address, Mux(wrap, column, commit)))),
            stride.eq(Mux(self.start | ~last, ~self.start, Mux(wrap, self.tile_pitch, self.position_pitch))),
            following.eq(origin + stride),
        ]

        commit_end = Signal()
        tile_end = Signal()
        m.d.comb += [
            commit_end.eq(taken & self.i.payload.last),
            tile_end.eq(commit_end & wrap),
        ]
        with m.If(self.start | taken):
            m.d.sync += address.eq(following)
        with m.If(self.start | commit_end):
            m.d.sync += commit.eq(following)
        with m.If(self.start | tile_end):
            m.d.sync += column.eq(following)

        with m.If(commit_end):
            m.d.sync += position.eq(position + 1)
        with m.If(self.start | tile_end):
            m.d.sync += position.eq(1)
        with m.If(tile_end):
            m.d.sync += [tile.eq(tile + 1), self.done.eq(tile == self.tiles)]
        with m.If(self.start):
            m.d.sync += [tile.eq(1), self.done.eq(0)]
        return m
