# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Row reader: turns gather beats into rows by reading a spike bank."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.gather import gather_layout
from ds2ta.hw.payloads import check_range, row_layout

__all__ = ["RowReader", "read_layout"]


def read_layout(*, row_lanes: int, time_steps: int, weight_width: int, shift_width: int) -> data.StructLayout:
    """A gather beat with the row in place of its address."""
    return data.StructLayout(
        {
            "row": row_layout(row_lanes, time_steps),
            "weight": weight_width,
            "shift": shift_width,
            "first": 1,
            "last": 1,
            "end": 1,
        }
    )


class RowReader(wiring.Component):
    """`o.row = i.pad ? 0 : bank[i.address]`.

    In a packed layer (`pixels`) a bit of a word is a pixel, and the words of the three taps of a line are the word itself and
    the same with its neighbours' outer pixels shifted in. `i.part` numbers the beats: 0 is the word to the left,
    which gives no row; 1 the word itself, for tap 0; 2 (no read) the same for tap 1; 3 the word to the right.

    Latency: one cycle, two if `registered`. Throughput: one row a cycle. Back-pressure: a stall holds the bank's
    output, so no buffer is needed; `i.ready` depends combinationally on `o.ready`.

    Parameters: `row_lanes` g, `time_steps` T, widths; `registered`: the row goes through a register, for a device
    whose block RAM is so slow that no logic may follow it.

    Members: `pixels`: the layer is packed, stable while rows come; `i` gather beats; `read_address`, `read_enable`, `read_data` the bank's synchronous read port (data
    one cycle after enable, held while enable is low); `o` rows.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        address_width: int,
        weight_width: int,
        shift_width: int,
        registered: bool = False,
    ):
        check_range("Address width", address_width, 1, 24)
        check_range("Weight width", weight_width, 1, 24)
        check_range("Shift width", shift_width, 1, 3)
        self._registered, self._steps = registered, time_steps
        shared = {"weight_width": weight_width, "shift_width": shift_width}
        super().__init__(
            {
                "pixels": In(1),
                "i": In(stream.Signature(gather_layout(address_width=address_width, **shared))),
                "read_address": Out(address_width),
                "read_enable": Out(1),
                "read_data": In(row_layout(row_lanes, time_steps)),
                "o": Out(stream.Signature(read_layout(row_lanes=row_lanes, time_steps=time_steps, **shared))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat, row = Signal.like(self.i.payload), Signal.like(self.o.payload.row)  # at the bank's output
        valid, advances, silent = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~valid | advances),
            self.read_address.eq(self.i.payload.address),
            self.read_enable.eq(
                self.i.valid & self.i.ready & ~self.i.payload.pad & ~(self.pixels & (self.i.payload.part == 2))
            ),
            silent.eq(self.pixels & (beat.part == 0)),
        ]
        self._shift(m, row, beat, valid & advances)
        with m.If(self.i.ready):
            m.d.sync += [beat.eq(self.i.payload), valid.eq(self.i.valid)]
        output = [self.o.valid.eq(valid & ~silent), self.o.payload.row.eq(row)]
        output += [self.o.payload[name].eq(beat[name]) for name in ("weight", "shift", "first", "last", "end")]
        if self._registered:
            m.d.comb += advances.eq(~self.o.valid | self.o.ready)
            with m.If(advances):
                m.d.sync += output
        else:
            m.d.comb += [advances.eq(self.o.ready | silent), *output]
        return m

    def _shift(self, m: Module, row: data.View, beat: data.View, leaves) -> None:
        """The row that is handed on: as it was read, or with pixels shifted. `held`: the word read before."""
        steps, shown = self._steps, Signal.like(self.read_data)
        held = Signal.like(self.read_data, reset_less=True)
        m.d.comb += shown.eq(
            Mux(beat.pad, Const(0, self.read_data.as_value().shape()), self.read_data.as_value())
        )
        with m.If(leaves & ~beat.part[0]):
            m.d.sync += held.eq(shown)
        for lane in range(len(row)):
            word, before = shown[lane], held[lane]
            with m.If(self.pixels & (beat.part == 1)):
                m.d.comb += row[lane].eq(Cat(before[-1], word)[:steps])
            with m.Elif(self.pixels & (beat.part == 3)):
                m.d.comb += row[lane].eq(Cat(before[1:], word[0]))
            with m.Else():
                m.d.comb += row[lane].eq(word)
