# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Row walker: gives the spike words of a layer's output their row and slot in the spike bank.

A 3x3 max-pool with stride 2 and padding 1 behind a layer costs no pass of its own: the words of pixel (y, x) belong
to window (y // 2, x // 2), where x is odd also to the one to its right, where y is odd to those a line below. The
walker counts in windows, and says which of them there are; the residual unit ORs the words into each.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_power_of_two, check_range, placed_words_layout, words_layout

__all__ = ["RowWalker"]


class _Walk:
    """Where the next words go, loop counters, and what they say."""

    def __init__(self, walker: "RowWalker"):
        # row of the next words, of the group's first pixel, of the output line's first pixel
        self.address, self.group_at, self.line_at = (
            Signal.like(walker.base, name=name, reset_less=True) for name in ("address", "group_at", "line_at")
        )
        # where the next commit in this line begins, the next line of commits, the tile
        self.next_column, self.next_line, self.tile_at = (
            Signal.like(walker.base, name=name, reset_less=True) for name in ("next_column", "next_line", "tile_at")
        )
        # a pixel on; the beginning of the next group, line or tile: one adder each
        self.pixel_on, self.beyond = Signal.like(walker.base), Signal.like(walker.base, name="beyond")
        # loops, outermost first: tile, lines at once, column, line of a commit, slot of a row, pixel
        self.tile, self.y, self.x = (
            Signal.like(getattr(walker, f"{loop}_last"), name=name)
            for loop, name in (("tiles", "tile"), ("height", "y"), ("width", "x"))
        )
        self.line, self.pixel = Signal.like(walker.lines), Signal.like(walker.live_pixels_last)
        self.slot, self.first_group = Signal(walker.slots, init=1), Signal()
        self.x_first, self.x_last, self.y_last = Signal(), Signal(), Signal(name="y_last")
        self.row = Signal.like(walker.live_rows_last, name="row")  # of the line's groups
        # of the picture: the words' pixel is in an odd column or line, its first, its last
        self.column_odd, self.column_first, self.column_last = (
            Signal(name=f"column_{what}") for what in ("odd", "first", "last")
        )
        self.line_odd, self.line_first, self.line_ends = (
            Signal(name=f"picture_line_{what}") for what in ("odd", "first", "last")
        )
        # rows to the next column and line
        self.column_step, self.line_step = (
            Signal.like(walker.base, name=name) for name in ("column_step", "line_step")
        )
        # which loops end with these words
        self.pixel_last, self.line_last = Signal(), Signal(name="line_last")
        self.group_ends, self.commit_ends, self.row_of_commits_ends, self.tile_ends = (
            Signal(name=name) for name in ("group_ends", "commit_ends", "row_of_commits_ends", "tile_ends")
        )
        self.taken = Signal()


class RowWalker(wiring.Component):
    """Row and slot of each group of spike words, in the order in which the engine drains them.

    Loops, outermost first: tile of output channels, line of commits y, column x, output line l of a commit, group j
    of R channels, pixel i (of T in a packed layer, `pixels`, else one). The words go to slot `j % S` of row

        base + tile tile_pitch + (y lines + l) line_pitch + (x n + i) position_pitch + j // S,

    n = T in a packed layer, else 1; S = slots of a row. `i.last` marks an output line's last group, which is
    the last of its row: groups come in whole rows. Words beyond the picture are dropped: those from l =
    `live_lines` of the last y on, and behind `live_pixels_last` of the last x in a packed layer; so are those
    beyond the layer's last channel: behind j // S = `live_rows_last` of the last tile. All arithmetic is modulo the
    address space. `start` loads the walk; it is only allowed while `done` is high.

    With `pool` the pitches are those of the pooled tensor, and half of line and column counts, rounded down: words
    of line Y = y lines + l and column X = x n + i go to line_pitch (Y // 2) + position_pitch (X // 2). They belong
    to the window `across` too if X is odd and not the last column, and `down` if Y is odd and not the last line.

    With `bands` the walk may be over some of the picture's lines, the first of them an even one: `above` and
    `below` say that there are others before and behind them, so that Y = 0 is not the picture's first line, and the
    last y not its last.

    Latency: 1. Throughput: one group each cycle. Back-pressure: an untaken group holds the next one, but not those
    that are dropped; without a walk in progress none is taken.

    Parameters: `lanes` R, `row_lanes` g, `time_steps` T, `address_width`, `count_width` (bits of the loop counts),
    `max_lines` (1: no loop over l), `tile_rows` (P / g, rows of a tile), `bands`.

    Members: `i` {words, last}; `start`; `base`, `position_pitch`, `line_pitch`, `tile_pitch`; `width_last`,
    `height_last`, `tiles_last`: counts less one; `lines`, at least 1; `live_lines`, `live_pixels_last`,
    `live_rows_last`, `pixels`, `pool`, `above`, `below` (with `bands`); all stable from `start` until `done`. `o`:
    `hw.payloads.placed_words_layout`. `done` is high from the cycle after the final words were taken (and before
    the first `start`); they may still stand in `o`. `trace_odd`, for benches: with `pool`, bit 0: the column of the
    words in `o` is odd, bit 1: their line is.
    Paper: max-pool layers of the spiking patch splitter.
    """

    latency = 1

    def __init__(
        self,
        *,
        lanes: int,
        row_lanes: int,
        time_steps: int,
        address_width: int,
        count_width: int,
        max_lines: int,
        tile_rows: int,
        bands: bool = False,
    ):
        check_power_of_two("Lanes", lanes, 1, row_lanes)
        check_power_of_two("Row lanes", row_lanes, 4, 32)
        check_range("Address width", address_width, 1, 24)
        check_range("Count width", count_width, 1, 16)
        check_range("Most lines", max_lines, 1, 64)
        check_range("Rows of a tile", tile_rows, 1, 128)
        self.slots, self._steps, self._max_lines = row_lanes // lanes, time_steps, max_lines
        self._bands = bands
        count, pixel = In(count_width), In(range(max(2, time_steps)))
        super().__init__(
            {
                "i": In(stream.Signature(words_layout(lanes, time_steps))),
                "start": In(1),
                "base": In(address_width),
                "position_pitch": In(address_width),
                "line_pitch": In(address_width),
                "tile_pitch": In(address_width),
                "width_last": count,
                "height_last": count,
                "tiles_last": count,
                "lines": In(range(max_lines + 1)),
                "live_lines": In(range(max(2, max_lines) + 1)),
                "live_pixels_last": pixel,
                "live_rows_last": In(range(max(2, tile_rows))),
                "pixels": In(1),
                "pool": In(1),
                **({"above": In(1), "below": In(1)} if bands else {}),
                "o": Out(stream.Signature(placed_words_layout(lanes, time_steps, self.slots, address_width))),
                "done": Out(1, init=1),
                "trace_odd": Out(2),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        now = _Walk(self)
        self._loops(m, now)
        self._picture(m, now)
        self._addresses(m, now)
        outside = (
            (now.x_last & self.pixels & (now.pixel > self.live_pixels_last))
            | (now.y_last & (now.line >= self.live_lines if self._max_lines > 1 else Const(0)))
            | ((now.tile == self.tiles_last) & (now.row > self.live_rows_last))
        )
        place, room = self.o.payload, Signal()
        m.d.comb += [
            room.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq((room | outside) & ~self.done),
            now.taken.eq(self.i.valid & self.i.ready),
        ]
        # a register parts the loops from what the residual unit makes of an address
        with m.If(room):
            m.d.sync += [
                self.o.valid.eq(now.taken & ~outside),
                place.words.eq(self.i.payload.words),
                place.address.eq(now.address),
                place.slot.eq(now.slot),
                place.across.eq(now.column_odd & ~now.column_last),
                place.down.eq(now.line_odd & ~now.line_ends),
                place.first_column.eq(now.column_first),
                place.first_line.eq(now.line_first),
                self.trace_odd.eq(Cat(now.column_odd, now.line_odd) & self.pool.replicate(2)),
            ]
        return m

    def _picture(self, m: Module, now: _Walk) -> None:
        """Where the words are in the picture, and so in the windows of a pool: what lies between."""
        several, odd_steps = self._max_lines > 1, self._steps % 2
        packed_odd = now.pixel[0] ^ (now.x[0] if odd_steps else 0)
        line: Value = now.line[0] if several else Const(0)
        first_y: Value = now.y == 0
        last_y: Value = now.y_last
        if self._bands:
            first_y, last_y = first_y & ~self.above, last_y & ~self.below
        m.d.comb += [
            now.column_odd.eq(Mux(self.pixels, packed_odd, now.x[0])),
            now.column_first.eq(now.x_first & (now.pixel == 0)),
            now.column_last.eq(now.x_last & (~self.pixels | (now.pixel == self.live_pixels_last))),
            now.line_odd.eq(line ^ (now.y[0] & (self.lines[0] if several else 1))),
            now.line_first.eq(first_y & (now.line == 0 if several else 1)),
            now.line_ends.eq(last_y & (now.line + 1 == self.live_lines if several else 1)),
            now.column_step.eq(Mux(self.pool & ~now.column_odd, 0, self.position_pitch)),
            now.line_step.eq(Mux(self.pool & ~now.line_odd, 0, self.line_pitch)),
        ]

    def _loops(self, m: Module, now: _Walk) -> None:
        """Counters, innermost loop first, each stepping when those inside of it end."""
        last = self.i.payload.last
        m.d.comb += [
            now.x_first.eq(now.x == 0),
            now.x_last.eq(now.x == self.width_last),
            now.y_last.eq(now.y == self.height_last),
            now.pixel_last.eq(~self.pixels | (now.pixel == self._steps - 1)),
            now.line_last.eq((now.line + 1 == self.lines) if self._max_lines > 1 else 1),
            now.group_ends.eq(now.taken & now.pixel_last),
            now.commit_ends.eq(now.group_ends & last & now.line_last),
            now.row_of_commits_ends.eq(now.commit_ends & now.x_last),
            now.tile_ends.eq(now.row_of_commits_ends & now.y_last),
        ]
        with m.If(now.taken):
            m.d.sync += now.pixel.eq(Mux(now.pixel_last, 0, now.pixel + 1))
        with m.If(now.group_ends):
            m.d.sync += [now.slot.eq(now.slot.rotate_left(1)), now.first_group.eq(now.commit_ends)]
            m.d.sync += now.row.eq(Mux(last, 0, now.row + now.slot[-1]))
            if self._max_lines > 1:
                with m.If(last):
                    m.d.sync += now.line.eq(Mux(now.line_last, 0, now.line + 1))
        with m.If(now.commit_ends):
            m.d.sync += now.x.eq(now.x + 1)
        with m.If(now.row_of_commits_ends):
            m.d.sync += now.y.eq(now.y + 1)
        with m.If(now.tile_ends):
            m.d.sync += [now.tile.eq(now.tile + 1), self.done.eq(now.tile == self.tiles_last)]
        with m.If(self.start | now.row_of_commits_ends):
            m.d.sync += now.x.eq(0)
        with m.If(self.start | now.tile_ends):
            m.d.sync += now.y.eq(0)
        with m.If(self.start):
            m.d.sync += [now.tile.eq(0), self.done.eq(0), now.first_group.eq(1), now.slot.eq(1), now.row.eq(0)]

    def _addresses(self, m: Module, now: _Walk) -> None:
        """Running pointers. A pixel behind the first group's last one is where the next column begins; a line below
        the first commit's last one, the next lines."""
        last = self.i.payload.last
        origin, stride, row_full = Signal.like(now.address), Signal.like(now.address), Signal()
        at_end, ends_tile = (
            Signal(),
            Signal(),
        )  # in the picture's last commit; ... a line's last group, which ends it
        m.d.comb += [
            row_full.eq(now.slot[-1]),
            at_end.eq(now.x_last & now.y_last),
            ends_tile.eq(now.line_last & at_end),
            now.pixel_on.eq(now.address + now.column_step),
            origin.eq(Mux(~last, now.group_at, Mux(ends_tile, now.tile_at, now.line_at))),
            stride.eq(Mux(~last, row_full, Mux(ends_tile, self.tile_pitch, now.line_step))),
            now.beyond.eq(origin + stride),
        ]
        column, saves = Signal.like(now.address), Signal()
        m.d.comb += [
            saves.eq(now.first_group & now.pixel_last),
            column.eq(Mux(saves, now.pixel_on, now.next_column)),
        ]
        with m.If(now.taken & saves):
            m.d.sync += now.next_column.eq(now.pixel_on)
        with m.If(now.commit_ends & now.x_first):
            m.d.sync += now.next_line.eq(now.beyond)

        following = Signal.like(now.address)
        with m.If(self.start):
            m.d.comb += following.eq(self.base)
        with m.Elif(~last | ~now.line_last | at_end):
            m.d.comb += following.eq(now.beyond)
        with m.Elif(now.x_last):
            m.d.comb += following.eq(Mux(now.x_first, now.beyond, now.next_line))
        with m.Else():
            m.d.comb += following.eq(column)

        # no words are taken in the cycle of `start`
        with m.If(self.start | now.taken):
            m.d.sync += now.address.eq(Mux(self.start | now.pixel_last, following, now.pixel_on))
        with m.If(self.start | now.group_ends):
            m.d.sync += now.group_at.eq(following)
        with m.If(self.start | (now.group_ends & last)):
            m.d.sync += now.line_at.eq(following)
        with m.If(self.start | now.tile_ends):
            m.d.sync += now.tile_at.eq(following)
