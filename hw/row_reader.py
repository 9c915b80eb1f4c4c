# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Row reader: turns gather beats into rows by reading a spike bank."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.gather import gather_layout
from ds2ta.hw.payloads import check_range, row_layout

__all__ = ["RowReader", "read_layout"]


def read_layout(*, row_lanes: int, time_steps: int, weight_width: int, plane_width: int) -> data.StructLayout:
    """A gather beat with the row in place of its address."""
    return data.StructLayout(
        {
            "row": row_layout(row_lanes, time_steps),
            "weight": weight_width,
            "plane": plane_width,
            "part": plane_width,
            "plane_last": 1,
            "first": 1,
            "last": 1,
            "end": 1,
        }
    )


class RowReader(wiring.Component):
    """`o.row = i.pad ? 0 : bank[i.address]`.

    In a packed layer (`pixels`) bit t of a word is pixel t of a line from some pixel on; the word of kx = 1 is that
    of kx = 0 and the right neighbour's first bit behind it, less its own first, and so on for kx = 2: the row is
    shifted in place. With kx = 1 the neighbour is read; with `i.edge` there is none.

    Latency: 2 cycles. Throughput: one row a cycle. Back-pressure: a stall holds the bank's output, so no buffer is
    needed; `i.ready` depends combinationally on `o.ready`.

    Parameters: `row_lanes` g, `time_steps` T, widths; `waits`: the bank cannot be read in each cycle.

    Members: `pixels`: the layer is packed, stable while rows come; `holds` (with `waits`): the bank cannot be read
    in this cycle, and no beat is taken; `i` gather beats; `read_address`, `read_enable`, `read_data` the bank's
    synchronous read port (data one cycle after enable, held while enable is low); `o` rows.
    """

    #: Cycles from a beat's acceptance to its row.
    latency = 2

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        address_width: int,
        weight_width: int,
        plane_width: int,
        waits: bool = False,
    ):
        check_range("Address width", address_width, 1, 24)
        check_range("Weight width", weight_width, 1, 24)
        check_range("Plane width", plane_width, 1, 3)
        self._waits = waits
        shared = {"weight_width": weight_width, "plane_width": plane_width}
        super().__init__(
            {
                "pixels": In(1),
                **({"holds": In(1)} if waits else {}),
                "i": In(stream.Signature(gather_layout(address_width=address_width, **shared))),
                "read_address": Out(address_width),
                "read_enable": Out(1),
                "read_data": In(row_layout(row_lanes, time_steps)),
                "o": Out(stream.Signature(read_layout(row_lanes=row_lanes, time_steps=time_steps, **shared))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat, row = Signal.like(self.i.payload), self.o.payload.row  # beat: that at the bank's output
        valid, advances = Signal(), Signal()
        room = ~valid | advances
        m.d.comb += [
            advances.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(room & ~self.holds if self._waits else room),
            self.read_address.eq(self.i.payload.address),
            self.read_enable.eq(
                self.i.valid & self.i.ready & ~self.i.payload.pad & ~(self.pixels & self.i.payload.kx[1])
            ),
        ]
        with m.If(self.i.ready):
            m.d.sync += [beat.eq(self.i.payload), valid.eq(self.i.valid)]
        if self._waits:
            with m.Elif(advances):
                m.d.sync += valid.eq(0)
        with m.If(advances):
            m.d.sync += self.o.valid.eq(valid)
            m.d.sync += [
                self.o.payload[name].eq(beat[name])
                for name in ("weight", "plane", "part", "plane_last", "first", "last", "end")
            ]
        shifts, steps = Signal(), len(row[0])
        m.d.comb += shifts.eq(self.pixels & beat.kx.any())
        # the reset stands beside the data, so that a bit's multiplexer is all that is in front of its flip-flop
        with m.If(advances & valid & beat.pad):
            m.d.sync += row.as_value().eq(0)
        with m.Elif(advances & valid):
            for word, read in zip(row, self.read_data, strict=True):
                enters = Mux(beat.kx[1] & (steps > 1), read[min(1, steps - 1)], read[0]) & ~beat.edge
                m.d.sync += word.eq(Mux(shifts, Cat(word[1:], enters), read))
        return m
