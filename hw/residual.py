# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Residual connection: adds new spikes to a tensor of a spike bank, in place and bit-sliced."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import MemoryWrite, addressed_row_layout, check_range, row_layout

__all__ = ["Residual", "ResidualMode"]


class ResidualMode(enum.IntEnum, shape=2):
    """How a row joins what is at its address: as it is, OR-ed into the old row, added to the old bit planes."""

    STORE = 0
    OR = 1
    ADD = 2


class Residual(wiring.Component):
    """`x' = s`, `x | s` or `x + s` for one row of spikes s and the tensor x already at its address.

    The integers of an `add` stream are stored as bit planes, plane p at `address + p * plane_pitch`, so the sum is
    a ripple of half adders over the planes, `g * T` neurons side by side:
    `x'_p = x_p ^ c_p`, `c_{p+1} = x_p & c_p`, `c_0 = s`, for p in `0 .. planes_out - 1`, `x_p = 0` for
    p >= `planes_in`. `planes_out` must hold the sum (the compiler's interval analysis): no carry leaves.

    Latency: row accepted in cycle c, plane p written in cycle c+1+p. Throughput: one row each cycle with STORE and
    OR, one row every `planes_out` cycles with ADD; no bubbles. The memory takes its writes at once, so only the
    length of an addition holds the input.

    The read of a row's plane 0 shares its cycle with the last write of the row before: rows that follow each other
    directly must have different addresses (every row of a layer has). Then no cycle reads and writes one address.

    Parameters: `row_lanes` g, `time_steps` T, `address_width`, `max_planes` (bit planes of the largest sum).

    Members: `i` {row, address}; `mode`, `planes_in`, `planes_out` (1 .. max_planes, planes_in <= planes_out),
    `plane_pitch`: stable while `busy` or `i.valid`; `read_address`, `read_enable`, `read_data`: read port of a
    synchronous memory, latency 1; `write` {address, row, enable}; `busy`: a row is being written.
    Paper: residual connections of the encoder block; `or` is the binary variant.
    """

    def __init__(self, *, row_lanes: int, time_steps: int, address_width: int, max_planes: int):
        row_bits = unsigned(row_layout(row_lanes, time_steps).size)
        check_range("Address width", address_width, 1, 24)
        check_range("Planes", max_planes, 1, 8)
        self._max_planes = max_planes
        super().__init__(
            {
                "i": In(stream.Signature(addressed_row_layout(row_lanes, time_steps, address_width))),
                "mode": In(ResidualMode),
                "planes_in": In(range(max_planes + 1)),
                "planes_out": In(range(max_planes + 1)),
                "plane_pitch": In(address_width),
                "read_address": Out(address_width),
                "read_enable": Out(1),
                "read_data": In(row_bits),
                "write": Out(MemoryWrite(row_bits, address_width)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        new, old = self.i.payload.row.as_value(), self.read_data
        carry = Signal(new.shape(), reset_less=True)  # the row, then what is left of it to add
        address = Signal.like(self.read_address, reset_less=True)  # of the write
        present = Signal()  # the plane being written has an old value, now at the memory's output
        merging = Signal()
        accept = Signal()
        m.d.comb += [
            merging.eq((self.mode == ResidualMode.OR) | ((self.mode == ResidualMode.ADD) & (self.planes_in != 0))),
            accept.eq(self.i.valid & self.i.ready),
            self.write.address.eq(address),
            self.write.enable.eq(self.busy),
        ]
        m.d.sync += present.eq(self.read_enable)

        if self._max_planes == 1:
            # a sum that fits one plane is an OR, and a row is one write
            m.d.comb += [
                self.i.ready.eq(1),
                self.read_address.eq(self.i.payload.address),
                self.read_enable.eq(accept & merging),
                self.write.data.eq(carry | Mux(present, old, 0)),
            ]
            m.d.sync += [self.busy.eq(self.i.valid), address.eq(self.i.payload.address), carry.eq(new)]
            return m

        adding = Signal()
        last = Signal()
        plane = Signal.like(self.planes_out)  # number of the plane being written, from 1
        m.d.comb += [
            adding.eq(self.mode == ResidualMode.ADD),
            last.eq(~adding | (plane == self.planes_out)),
            self.i.ready.eq(~self.busy | last),
            self.read_address.eq(Mux(self.i.ready, self.i.payload.address, address + self.plane_pitch)),
        ]
        m.d.sync += address.eq(self.read_address)
        # a plane's old value is read while the plane before it is written
        with m.If(self.i.ready):
            m.d.comb += self.read_enable.eq(accept & merging)
            m.d.sync += [self.busy.eq(self.i.valid), plane.eq(1)]
        with m.Else():
            m.d.comb += self.read_enable.eq(present & (plane != self.planes_in))
            m.d.sync += plane.eq(plane + 1)

        # two LUTs a bit: the written row, and the carry with its load (its clear is the flip-flop's reset)
        with m.If(~present):
            m.d.comb += self.write.data.eq(carry)
        with m.Elif(adding):
            m.d.comb += self.write.data.eq(carry ^ old)
        with m.Else():
            m.d.comb += self.write.data.eq(carry | old)
        m.d.sync += carry.eq(Mux(self.i.ready, new, carry & old))
        with m.If(~self.i.ready & ~present):
            m.d.sync += carry.eq(0)
        return m
