"""Gather address generator: walks a tensor in a spike bank as the taps of a convolution, linear layer or pool.

One beat names one row to read. The loops, outermost first: tile of output channels, output position (y, x), tap
(ky, kx), row of the tap (bit plane, channel group). A tap outside the image is one beat with `pad` set and no
read. Only adders and counters: every product of the address polynomial is kept as a running pointer, modulo the
address space, so that a pointer may lie before the tensor while its tap is padding.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.errors import FitError

__all__ = ["Gather", "gather_layout"]


def gather_layout(*, address_width: int, weight_width: int, shift_width: int) -> data.StructLayout:
    """`address` of the row; `pad`: a row of zeros instead; `weight`: weight row of its lane 0; `shift`: bit plane
    of its lane 0; `first`/`last` beat of a position; `end`: last beat of the layer."""
    return data.StructLayout(
        {
            "address": address_width,
            "pad": 1,
            "weight": weight_width,
            "shift": shift_width,
            "first": 1,
            "last": 1,
            "end": 1,
        }
    )


class Gather(wiring.Component):
    """Address generator for `y[n] = f(x[tap_0(n)], x[tap_1(n)], ...)`.

    Latency: the first beat is valid one cycle after `start`. Throughput: one beat a cycle. A stalled beat is held.

    Parameters
    ----------
    address_width: bits of a row address (bank).
    weight_width: bits of a weight row address.
    count_width: bits of every loop count.
    shift_width: bits of a bit-plane index.
    row_lanes: channels in a row, g (power of two).

    Members (all configuration is held while the layer runs)
    -------
    source: row of tap (0, 0) of position 0, modulo the address space.
    source_step, source_line: rows from one position to the next in x and in y.
    kernel3: 3x3 taps with padding 1, else one tap. stride2: positions advance by two.
    pad_right, pad_bottom: tap 2 of the last column / line lies outside.
    width_last, height_last, tiles_last, rows_last, groups_last: loop counts less one (`rows`: rows read of a tap,
    `groups`: rows of one bit plane).
    tile_rows: source rows to advance for each tile (pool: 1, else 0).
    lane_bits: log2 of the channels interleaved in a row; `g >> lane_bits` bit planes share a row.
    weights: weight row of the first tile; tap_weights: weight rows of a tap.
    """

    def __init__(
        self, *, address_width: int, weight_width: int, count_width: int, shift_width: int, row_lanes: int
    ):
        for name, value in {
            "address_width": address_width,
            "weight_width": weight_width,
            "count_width": count_width,
            "shift_width": shift_width,
        }.items():
            if not isinstance(value, int) or not 1 <= value <= 32:
                raise FitError(f"Gather {name} must be in 1..32, not {value!r}")
        if row_lanes not in (4, 8, 16, 32):
            raise FitError(f"Gather row_lanes must be 4, 8, 16 or 32, not {row_lanes!r}")
        self._row_lanes = row_lanes
        count = In(count_width)
        super().__init__(
            {
                "start": In(1),
                "source": In(address_width),
                "source_step": In(address_width),
                "source_line": In(address_width),
                "kernel3": In(1),
                "stride2": In(1),
                "pad_right": In(1),
                "pad_bottom": In(1),
                "width_last": count,
                "height_last": count,
                "tiles_last": count,
                "rows_last": count,
                "groups_last": count,
                "tile_rows": In(1),
                "lane_bits": In(range(ceil_log2(row_lanes) + 1)),
                "weights": In(weight_width),
                "tap_weights": In(weight_width),
                "o": Out(
                    stream.Signature(
                        gather_layout(
                            address_width=address_width, weight_width=weight_width, shift_width=shift_width
                        )
                    )
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat = self.o.payload

        # loop counters, outermost first
        tile, y, x = (Signal.like(self.tiles_last, name=name) for name in ("tile", "y", "x"))
        ky, kx = Signal(2), Signal(2)
        row, group = Signal.like(self.rows_last), Signal.like(self.groups_last)
        # what the counters say, in registers: all else hangs on it
        x_first, x_last, y_first, y_last, row_last, pad_x, pad_y = (
            Signal(name=name) for name in ("x_first", "x_last", "y_first", "y_last", "row_last", "pad_x", "pad_y")
        )
        # running pointers: first tap of the tile, line, position, tap line, tap
        at_tile, at_line, at_position, at_tap_line, at_tap = (
            Signal.like(self.source, name=name)
            for name in ("at_tile", "at_line", "at_position", "at_tap_line", "at_tap")
        )
        tile_weights, tap_weights, row_weights = (
            Signal.like(self.weights, name=name) for name in ("tile_weights", "tap_weights_at", "row_weights")
        )
        shift = Signal.like(beat.shift)

        tile_last = Signal()
        ky_last, kx_last, tap_done, group_last = Signal(), Signal(), Signal(), Signal()
        tap_last, position_last = Signal(), Signal()
        m.d.comb += [
            tile_last.eq(tile == self.tiles_last),
            ky_last.eq(~self.kernel3 | ky[1]),
            kx_last.eq(~self.kernel3 | kx[1]),
            beat.pad.eq(pad_x | pad_y),
            tap_done.eq(beat.pad | row_last),
            group_last.eq(group == self.groups_last),
            tap_last.eq(ky_last & kx_last),
            position_last.eq(x_last & y_last),
            beat.address.eq(at_tap + row),
            beat.weight.eq(row_weights),
            beat.shift.eq(shift),
            beat.first.eq((ky == 0) & (kx == 0) & (row == 0)),
            beat.last.eq(tap_last & tap_done),
            beat.end.eq(beat.last & position_last & tile_last),
        ]

        step, line = Signal.like(self.source), Signal.like(self.source)
        next_tap, next_weights = Signal.like(self.source), Signal.like(self.weights)
        m.d.comb += [
            step.eq(self.source_step << self.stride2),
            line.eq(self.source_line << self.stride2),
            next_weights.eq(tap_weights + self.tap_weights),
        ]

        def enter_tap(address, weights):
            """Begin the rows of a tap."""
            return [
                at_tap.eq(address),
                tap_weights.eq(weights),
                row_weights.eq(weights),
                row.eq(0),
                row_last.eq(~self.rows_last.any()),
                group.eq(0),
                shift.eq(0),
            ]

        # tests for a count of one are no comparisons, lest synthesis put `start` in front of a shared comparator
        def enter_column(number, first=False):
            ends = ~self.width_last.any() if first else number == self.width_last
            return [x.eq(number), x_first.eq(first), x_last.eq(ends)]

        def enter_line(number, first=False):
            ends = ~self.height_last.any() if first else number == self.height_last
            return [y.eq(number), y_first.eq(first), y_last.eq(ends)]

        running = Signal()
        m.d.comb += self.o.valid.eq(running)
        with m.If(running & self.o.ready):
            with m.If(~tap_done):
                m.d.sync += [row.eq(row + 1), row_last.eq(row + 1 == self.rows_last)]
                with m.If(group_last):
                    m.d.sync += [
                        group.eq(0),
                        row_weights.eq(tap_weights),
                        shift.eq(shift + (self._row_lanes >> self.lane_bits)),
                    ]
                with m.Else():
                    m.d.sync += [group.eq(group + 1), row_weights.eq(row_weights + self._row_lanes)]
            with m.Elif(~kx_last):
                m.d.comb += next_tap.eq(at_tap + self.source_step)
                m.d.sync += [kx.eq(kx + 1), *enter_tap(next_tap, next_weights)]
                m.d.sync += pad_x.eq(kx[0] & x_last & self.pad_right)
            with m.Elif(~ky_last):
                m.d.comb += next_tap.eq(at_tap_line + self.source_line)
                m.d.sync += [pad_x.eq(x_first), pad_y.eq(ky[0] & y_last & self.pad_bottom)]
                m.d.sync += [kx.eq(0), ky.eq(ky + 1), at_tap_line.eq(next_tap), *enter_tap(next_tap, next_weights)]
            with m.Elif(~position_last):
                m.d.sync += [kx.eq(0), ky.eq(0), at_position.eq(next_tap), at_tap_line.eq(next_tap)]
                m.d.sync += enter_tap(next_tap, tile_weights)
                with m.If(x_last):
                    m.d.comb += next_tap.eq(at_line + line)
                    m.d.sync += [*enter_column(0, True), *enter_line(y + 1), at_line.eq(next_tap)]
                    m.d.sync += [pad_x.eq(self.kernel3), pad_y.eq(0)]
                with m.Else():
                    m.d.comb += next_tap.eq(at_position + step)
                    m.d.sync += [*enter_column(x + 1), pad_x.eq(0), pad_y.eq(self.kernel3 & y_first)]
            with m.Elif(~tile_last):
                m.d.comb += next_tap.eq(at_tile + self.tile_rows)
                m.d.sync += [kx.eq(0), ky.eq(0), *enter_column(0, True), *enter_line(0, True)]
                m.d.sync += [tile.eq(tile + 1), tile_weights.eq(next_weights)]
                m.d.sync += [pad_x.eq(self.kernel3), pad_y.eq(self.kernel3)]
                m.d.sync += [pointer.eq(next_tap) for pointer in (at_tile, at_line, at_position, at_tap_line)]
                m.d.sync += enter_tap(next_tap, next_weights)
            with m.Else():
                m.d.sync += running.eq(0)

        with m.If(self.start):
            m.d.sync += [running.eq(1), *(counter.eq(0) for counter in (tile, ky, kx))]
            m.d.sync += [*enter_column(0, True), *enter_line(0, True)]
            m.d.sync += [pad_x.eq(self.kernel3), pad_y.eq(self.kernel3)]
            m.d.sync += [pointer.eq(self.source) for pointer in (at_tile, at_line, at_position, at_tap_line)]
            m.d.sync += [tile_weights.eq(self.weights), *enter_tap(self.source, self.weights)]
        return m
