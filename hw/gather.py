# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Gather address generator: walks a tensor in a spike bank as the taps of a convolution or linear layer.

One beat names one row to read. The loops, outermost first: tile of output channels, output position (y, x), bit
plane, highest first, tap (ky, kx), row of the tap (channel group). Planes that share a row read it one after the
other. A tap outside the image is one beat with `pad` set and no read. Only adders and counters: every product of
the address polynomial is kept as a running pointer, modulo the address space, so that a pointer may lie before the
tensor while its tap is padding.

Where a layer leaves lanes idle, they compute the output lines below: y advances by `lines` at once, and ky has
`lines + 2` taps; the weight row of a tap holds zeros in the lanes whose line it does not touch.

In a packed layer (the first of an image) a word holds T neighbouring pixels of a line as tap 0 sees them, and x
counts words. The other taps are the word shifted towards its right neighbour, so kx is the innermost loop: its
first beat reads the word, its second the neighbour, its third nothing.
"""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range

__all__ = ["Gather", "gather_layout"]


def gather_layout(*, address_width: int, weight_width: int, plane_width: int) -> data.StructLayout:
    """`address` of the row; `pad`: a row of zeros instead; `kx`; `edge`: a packed layer's neighbour is missing,
    zeros instead; `weight`: weight row of its lane 0; `plane`: its bit plane, `part`: which of those that share the
    row; `plane_last`: last beat of a plane; `first`/`last` beat of a position; `end`: last beat of the layer
    (where tiles wait: of each tile)."""
    return data.StructLayout(
        {
            "address": address_width,
            "pad": 1,
            "kx": 2,
            "edge": 1,
            "weight": weight_width,
            "plane": plane_width,
            "part": plane_width,
            "plane_last": 1,
            "first": 1,
            "last": 1,
            "end": 1,
        }
    )


class _Loops:
    """Where the walk is: loop counters, what they say, running pointers; and the statements that enter a tap, a
    column, a line."""

    def __init__(self, gather: "Gather"):
        self._gather = gather
        # loop counters, outermost first
        self.tile, self.y, self.x = (Signal.like(gather.tiles_last, name=name) for name in ("tile", "y", "x"))
        self.ky, self.kx = Signal(range(gather.max_lines + 2)), Signal(2, name="kx")
        self.plane, self.part = (Signal.like(gather.planes_last, name=name) for name in ("plane", "part"))
        self.group = Signal.like(gather.groups_last)
        # what the counters say, in registers: all else hangs on it
        self.x_first, self.x_last = Signal(name="x_first"), Signal(name="x_last")
        self.y_first, self.y_last = Signal(name="y_first"), Signal(name="y_last")
        self.plane_first, self.group_last = Signal(), Signal(name="group_last")
        self.pad_x, self.pad_y = Signal(name="pad_x"), Signal(name="pad_y")
        # ... and what follows at once: which loops end with this beat
        self.tile_last = Signal()
        self.ky_last, self.kx_last, self.rows_done = (Signal() for _ in range(3))
        self.planes_done, self.position_last = Signal(name="planes_done"), Signal(name="position_last")
        # running pointers: first tap of the next lines, of the position, of the plane, tap line, tap;
        # the weights of the tile, of the tap, of its row
        self.next_line, self.at_position, self.at_plane, self.at_tap_line, self.at_tap = (
            Signal.like(gather.source, name=name)
            for name in ("next_line", "at_position", "at_plane", "at_tap_line", "at_tap")
        )
        self.tile_weights, self.tap_weights, self.row_weights = (
            Signal.like(gather.weights, name=name) for name in ("tile_weights", "tap_weights_at", "row_weights")
        )
        # the next tap and its weights
        self.next_tap, self.next_weights = Signal.like(gather.source), Signal.like(gather.weights)

    def enter_tap(self, address, weights) -> list:
        """Begin a tap."""
        return [self.at_tap.eq(address), self.tap_weights.eq(weights), self.row_weights.eq(weights)]

    def enter_rows(self) -> list:
        """Begin the rows of a tap."""
        return [self.group.eq(0), self.group_last.eq(~self._gather.groups_last.any())]

    def enter_line_of_taps(self, address, weights) -> list:
        """Begin a tap line."""
        return [
            self.at_tap_line.eq(address),
            self.kx.eq(0),
            *self.enter_tap(address, weights),
            *self.enter_rows(),
        ]

    def enter_planes(self, address) -> list:
        """Begin with the highest bit plane, the last of those that share its row."""
        gather = self._gather
        part = gather.planes_last & gather.parts_last
        return [
            self.plane.eq(gather.planes_last),
            self.part.eq(part),
            self.plane_first.eq(1),
            self.at_plane.eq(address),
        ]

    # tests for a count of one are no comparisons, lest synthesis put `start` in front of a shared comparator
    def enter_column(self, number, first=False) -> list:
        """Go to output column `number`."""
        ends = ~self._gather.width_last.any() if first else number == self._gather.width_last
        return [self.x.eq(number), self.x_first.eq(first), self.x_last.eq(ends)]

    def enter_line(self, number, first=False) -> list:
        """Go to output line `number`."""
        ends = ~self._gather.height_last.any() if first else number == self._gather.height_last
        return [self.y.eq(number), self.y_first.eq(first), self.y_last.eq(ends)]


class Gather(wiring.Component):
    """Address generator for `y[n] = f(x[tap_0(n)], x[tap_1(n)], ...)`.

    Latency: the first beat is valid one cycle after `start`. Throughput: one beat a cycle. A stalled beat is held.

    Parameters
    ----------
    address_width: bits of a row address (bank).
    weight_width: bits of a weight row address.
    count_width: bits of every loop count.
    plane_width: bits of a bit-plane index.
    row_lanes: channels in a row, g (power of two).
    max_lines: most output lines at once.
    ring_rows: weight addresses are modulo this number, a multiple of g; 0: modulo their address space.
    bands: a layer may be a part of its picture, from the top or from lines below it on.
    tiles_wait: each tile waits until it is granted, the first one a cycle at least; `end` marks the last beat of
        each tile.

    Members (all configuration is held while the layer runs)
    -------
    source: row of tap (0, 0) of position 0 and its highest bit plane, modulo the address space.
    source_pitch, source_line: rows from one position to the next in x and in y.
    source_plane: from a bit plane to the one below, modulo the address space (where planes do not share a row).
    kernel3: 3x3 taps with padding 1, else one tap. pixels: the layer is packed (with kernel3 and one group).
    pad_right: tap 2 of the last column lies outside; of a packed layer, the last word has no right neighbour.
    lines: output lines at once, at least 1 (1 without kernel3). live_lines: source lines that
    exist from the last y on: taps ky > live_lines of the last y lie outside.
    above, below (with bands): there are source lines above the first y, and from `live_lines` on below the last.
    width_last, height_last, tiles_last, planes_last, groups_last: loop counts less one (`groups`: rows of one bit
    plane).
    lane_bits: log2 of the channels interleaved in a row; `g >> lane_bits` bit planes share a row, of one group.
    weights: weight row of the first tile; tap_weights: weight rows of a tap.
    claims, granted, waits (with tiles_wait): claims are answered when the weights of the next tile are there;
    `waits`: no beat, for want of them.
    """

    def __init__(
        self,
        *,
        address_width: int,
        weight_width: int,
        count_width: int,
        plane_width: int,
        row_lanes: int,
        max_lines: int = 1,
        ring_rows: int = 0,
        bands: bool = False,
        tiles_wait: bool = False,
    ):
        for name, value in {
            "address_width": address_width,
            "weight_width": weight_width,
            "count_width": count_width,
            "plane_width": plane_width,
        }.items():
            if not isinstance(value, int) or not 1 <= value <= 32:
                raise FitError(f"Gather {name} must be in 1..32, not {value!r}")
        if row_lanes not in (4, 8, 16, 32):
            raise FitError(f"Gather row_lanes must be 4, 8, 16 or 32, not {row_lanes!r}")
        check_range("Gather max_lines", max_lines, 1, 64)
        if ring_rows % row_lanes or not 0 <= ring_rows <= 1 << weight_width:
            raise FitError(
                f"Gather ring_rows must be a multiple of row_lanes, {row_lanes}, from 0 to {1 << weight_width}, "
                f"not {ring_rows!r}"
            )
        self._ring_rows = 0 if ring_rows == 1 << weight_width else ring_rows
        self._row_lanes, self.max_lines, self._bands, self._tiles_wait = row_lanes, max_lines, bands, tiles_wait
        count = In(count_width)
        super().__init__(
            {
                "start": In(1),
                "source": In(address_width),
                "source_pitch": In(address_width),
                "source_line": In(address_width),
                "source_plane": In(address_width),
                "kernel3": In(1),
                "pad_right": In(1),
                "pixels": In(1),
                "lines": In(range(max_lines + 1)),
                "live_lines": In(range(max(2, max_lines) + 1)),
                **({"above": In(1), "below": In(1)} if bands else {}),
                "width_last": count,
                "height_last": count,
                "tiles_last": count,
                "planes_last": In(plane_width),
                "groups_last": count,
                "lane_bits": In(range(ceil_log2(row_lanes) + 1)),
                "weights": In(weight_width),
                "tap_weights": In(weight_width),
                **({"claims": Out(1), "granted": In(1), "waits": Out(1)} if tiles_wait else {}),
                "o": Out(
                    stream.Signature(
                        gather_layout(
                            address_width=address_width, weight_width=weight_width, plane_width=plane_width
                        )
                    )
                ),
            }
        )

    @property
    def parts_last(self):
        """Bit planes that share a row, less one."""
        return ((self._row_lanes >> self.lane_bits) - 1)[: len(self.planes_last)]

    @property
    def _lines(self):
        """`lines`, where there is a choice."""
        return self.lines if self.max_lines > 1 else Const(1)

    @property
    def _begins_above(self) -> Value:
        """The first tap of the first line lies outside."""
        return self.kernel3 & ~self.above if self._bands else self.kernel3

    def _further(self, m: Module, weights: Value) -> Value:
        """The weights of the next tap. Around a ring that is no power of two there are two sums, of which the one
        that is not negative is right."""
        if not self._ring_rows:
            return weights + self.tap_weights
        back = Signal(signed(len(weights) + 1), name="weights_back")
        m.d.sync += back.eq(self.tap_weights - self._ring_rows)  # held while the layer runs, and used a cycle later
        around = Signal(signed(len(weights) + 2), name="weights_around")
        m.d.comb += around.eq(weights + back)
        return Mux(around < 0, weights + self.tap_weights, around)

    def _ends_below(self, now: _Loops) -> Value:
        """The last lines, below which there are none."""
        return now.y_last & ~self.below if self._bands else now.y_last

    def elaborate(self, platform):
        m = Module()
        now = _Loops(self)
        self._show(m, now)
        m.d.comb += now.next_weights.eq(self._further(m, now.tap_weights))
        running = Signal()
        going = running & ~self._claim(m, now, running) if self._tiles_wait else running
        m.d.comb += self.o.valid.eq(going)
        with m.If(going & self.o.ready):
            with m.If(~now.rows_done):
                m.d.sync += [now.group.eq(now.group + 1), now.group_last.eq(now.group + 1 == self.groups_last)]
                m.d.sync += now.row_weights.eq(now.row_weights + self._row_lanes)
                if self._ring_rows:
                    with m.If(now.row_weights == self._ring_rows - self._row_lanes):
                        m.d.sync += now.row_weights.eq(0)
            with m.Elif(~now.kx_last):
                m.d.comb += now.next_tap.eq(now.at_tap + self.source_pitch)
                m.d.sync += [now.kx.eq(now.kx + 1), *now.enter_tap(now.next_tap, now.next_weights)]
                m.d.sync += [
                    now.pad_x.eq((now.kx[0] | self.pixels) & now.x_last & self.pad_right),
                    *now.enter_rows(),
                ]
            with m.Elif(~now.ky_last):
                m.d.comb += now.next_tap.eq(now.at_tap_line + self.source_line)
                m.d.sync += [now.pad_x.eq(now.x_first & ~self.pixels), now.ky.eq(now.ky + 1)]
                m.d.sync += now.pad_y.eq(self._ends_below(now) & (now.ky >= self.live_lines))
                m.d.sync += now.enter_line_of_taps(now.next_tap, now.next_weights)
            with m.Elif(~now.planes_done):
                self._next_plane(m, now)
            with m.Elif(~now.position_last):
                self._next_position(m, now)
            with m.Elif(~now.tile_last):
                m.d.sync += [now.tile.eq(now.tile + 1), now.tile_weights.eq(now.next_weights)]
                self._enter_tile(m, now, now.next_weights)
            with m.Else():
                m.d.sync += running.eq(0)
        # where the next lines begin, some taps of their predecessors have begun
        with m.If(now.x_first & now.plane_first & (now.ky == self._lines)):
            m.d.sync += now.next_line.eq(now.at_tap_line)

        with m.If(self.start):
            m.d.sync += [running.eq(1), now.tile.eq(0), now.tile_weights.eq(self.weights)]
            self._enter_tile(m, now, self.weights)
        return m

    def _claim(self, m: Module, now: _Loops, running: Signal) -> Signal:
        """Claims the weights of each tile, while the one before is walked. The answer: they are not there, and the
        tile waits at its door."""
        unclaimed = Signal.like(self.tiles_last)  # tiles behind the one that is claimed
        claiming, there, waits = Signal(), Signal(), Signal(name="tile_waits")
        last = self.o.payload.last & now.position_last & ~now.tile_last
        m.d.comb += [self.claims.eq(claiming & ~there), self.waits.eq(running & waits)]
        with m.If(self.start | (self.o.valid & self.o.ready & last)):
            m.d.sync += [waits.eq(~there & ~self.granted), there.eq(0)]
        with m.Elif(self.granted):
            m.d.sync += [waits.eq(0), there.eq(~waits)]
        with m.If(self.start):
            m.d.sync += [claiming.eq(1), unclaimed.eq(self.tiles_last)]
        with m.Elif(self.granted):
            m.d.sync += [claiming.eq(unclaimed.any()), unclaimed.eq(unclaimed - 1)]
        return waits

    def _show(self, m: Module, now: _Loops) -> None:
        """The beat at hand, and which loops end with it."""
        beat = self.o.payload
        m.d.comb += [
            now.tile_last.eq(now.tile == self.tiles_last),
            now.ky_last.eq(~self.kernel3 | (now.ky == self._lines + 1)),
            now.kx_last.eq(~self.kernel3 | now.kx[1]),
            beat.pad.eq((now.pad_x & ~self.pixels) | now.pad_y),
            beat.edge.eq(now.pad_x),
            now.rows_done.eq(beat.pad | now.group_last),  # a tap outside is one beat
            now.planes_done.eq(now.plane == 0),
            now.position_last.eq(now.x_last & now.y_last),
            beat.address.eq(now.at_tap + now.group),
            beat.kx.eq(now.kx),
            beat.weight.eq(now.row_weights),
            beat.plane.eq(now.plane),
            beat.part.eq(now.part),
            beat.plane_last.eq(now.ky_last & now.kx_last & now.rows_done),
            beat.first.eq(now.plane_first & (now.ky == 0) & (now.kx == 0) & (now.group == 0)),
            beat.last.eq(beat.plane_last & now.planes_done),
            beat.end.eq(beat.last & now.position_last & (Const(1) if self._tiles_wait else now.tile_last)),
        ]

    def _next_plane(self, m: Module, now: _Loops) -> None:
        """First tap of the next lower bit plane, in the same row or in that of the plane below."""
        m.d.comb += now.next_tap.eq(now.at_plane + Mux(now.part.any(), 0, self.source_plane))
        m.d.sync += [now.plane.eq(now.plane - 1), now.plane_first.eq(0), now.at_plane.eq(now.next_tap)]
        m.d.sync += now.part.eq(Mux(now.part.any(), now.part - 1, self.parts_last))
        m.d.sync += [now.ky.eq(0), *now.enter_line_of_taps(now.next_tap, now.tile_weights)]
        m.d.sync += now.pad_x.eq(self.kernel3 & ~self.pixels & now.x_first)
        m.d.sync += now.pad_y.eq(self._begins_above & now.y_first)

    def _next_position(self, m: Module, now: _Loops) -> None:
        """First tap of the next column, or, where a line ends, of the next lines."""
        m.d.sync += [now.ky.eq(0), now.at_position.eq(now.next_tap), *now.enter_planes(now.next_tap)]
        m.d.sync += now.enter_line_of_taps(now.next_tap, now.tile_weights)
        with m.If(now.x_last):
            m.d.comb += now.next_tap.eq(now.next_line)
            m.d.sync += [*now.enter_column(0, True), *now.enter_line(now.y + 1)]
            m.d.sync += [now.pad_x.eq(self.kernel3 & ~self.pixels), now.pad_y.eq(0)]
        with m.Else():
            m.d.comb += now.next_tap.eq(now.at_position + self.source_pitch)
            m.d.sync += [
                *now.enter_column(now.x + 1),
                now.pad_x.eq(0),
                now.pad_y.eq(self._begins_above & now.y_first),
            ]

    def _enter_tile(self, m: Module, now: _Loops, weights) -> None:
        """First position, with the weights of a tile."""
        m.d.sync += [*now.enter_column(0, True), *now.enter_line(0, True), now.ky.eq(0)]
        m.d.sync += [now.pad_x.eq(self.kernel3 & ~self.pixels), now.pad_y.eq(self._begins_above)]
        m.d.sync += [now.at_position.eq(self.source), *now.enter_planes(self.source)]
        m.d.sync += now.enter_line_of_taps(self.source, weights)
