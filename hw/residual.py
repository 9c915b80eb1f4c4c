# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Residual connection: adds new spikes to a tensor of a spike bank, in place and bit-sliced."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import RowWrite, check_power_of_two, check_range, placed_words_layout, row_layout

__all__ = ["Residual", "ResidualMode"]


class ResidualMode(enum.IntEnum, shape=2):
    """How words join what is at their place: as they are, OR-ed into the old ones, added to the old bit planes."""

    STORE = 0
    OR = 1
    ADD = 2


class Residual(wiring.Component):
    """`x' = s`, `x | s` or `x + s` for the spike words s of a group of neurons and the tensor x already at their
    place.

    The integers of an `add` stream are stored as bit planes, plane p at `address + p * plane_pitch`, so the sum is
    a ripple of half adders over the planes, `R * T` neurons side by side:
    `x'_p = x_p ^ c_p`, `c_{p+1} = x_p & c_p`, `c_0 = s`, for p in `0 .. planes_out - 1`, `x_p = 0` for
    p >= `planes_in`. `planes_out` must hold the sum (the compiler's interval analysis): no carry leaves.

    Latency: words accepted in cycle c, plane p written in cycle c+1+p. Throughput: one group each cycle with STORE
    and OR, one every `planes_out` cycles with ADD; no bubbles. The memory takes its writes at once, so only the
    length of an addition holds the input.

    The read of a group's plane 0 shares its cycle with the last write of the group before: groups that follow each
    other directly must have different places (all of a layer have). Then no cycle reads and writes one slot of a
    row.

    Parameters: `lanes` R, `row_lanes` g, `time_steps` T, `address_width`, `max_planes` (bit planes of the largest
    sum).

    Members: `i` {words, address, slot}; `mode`, `planes_in`, `planes_out` (1 .. max_planes, planes_in <=
    planes_out), `plane_pitch`: stable while `busy` or `i.valid`; `read_address`, `read_enable`, `read_data`: read
    port of a synchronous memory of rows, latency 1; `write` {address, row, slots, enable}: the words,
    in their slot alone; `busy`: words are being written.
    Paper: residual connections of the encoder block; `or` is the binary variant.
    """

    def __init__(self, *, lanes: int, row_lanes: int, time_steps: int, address_width: int, max_planes: int):
        row = row_layout(row_lanes, time_steps)
        check_power_of_two("Lanes", lanes, 1, row_lanes)
        check_range("Address width", address_width, 1, 24)
        check_range("Planes", max_planes, 1, 8)
        self._max_planes, self._slots, self._bits = max_planes, row_lanes // lanes, lanes * time_steps
        shape = {"row_lanes": row_lanes, "time_steps": time_steps, "slots": self._slots}
        words = placed_words_layout(lanes, time_steps, self._slots, address_width)
        super().__init__(
            {
                "i": In(stream.Signature(words)),
                "mode": In(ResidualMode),
                "planes_in": In(range(max_planes + 1)),
                "planes_out": In(range(max_planes + 1)),
                "plane_pitch": In(address_width),
                "read_address": Out(address_width),
                "read_enable": Out(self._slots),
                "read_data": In(row.size),
                "write": Out(RowWrite(**shape, address_width=address_width)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        new = self.i.payload.words.as_value()
        carry = Signal(self._bits, reset_less=True)  # the words, then what is left of them to add
        address = Signal.like(self.read_address, reset_less=True)  # of the write
        slot = Signal(self._slots, reset_less=True)
        old: Value = self.read_data[: self._bits]
        for index in range(1, self._slots):
            old = Mux(slot[index], self.read_data.word_select(index, self._bits), old)
        written = Signal(self._bits)
        present = Signal()  # the plane being written has an old value, now at the memory's output
        merging, accept, reads = Signal(), Signal(), Signal()
        m.d.comb += [
            merging.eq((self.mode == ResidualMode.OR) | ((self.mode == ResidualMode.ADD) & (self.planes_in != 0))),
            accept.eq(self.i.valid & self.i.ready),
            self.write.address.eq(address),
            self.write.enable.eq(self.busy),
            self.write.slots.eq(slot),
            self.write.row.eq(written.replicate(self._slots)),
        ]
        with m.If(self.i.ready):
            m.d.sync += slot.eq(self.i.payload.slot)
        m.d.sync += present.eq(reads)

        if self._max_planes == 1:
            # a sum that fits one plane is an OR, and a group is one write
            m.d.comb += [
                self.i.ready.eq(1),
                self.read_address.eq(self.i.payload.address),
                reads.eq(accept & merging),
                self.read_enable.eq(self.i.payload.slot & reads.replicate(self._slots)),
                written.eq(carry | Mux(present, old, 0)),
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
            m.d.comb += [
                reads.eq(accept & merging),
                self.read_enable.eq(self.i.payload.slot & reads.replicate(self._slots)),
            ]
            m.d.sync += [self.busy.eq(self.i.valid), plane.eq(1)]
        with m.Else():
            m.d.comb += [
                reads.eq(present & (plane != self.planes_in)),
                self.read_enable.eq(slot & reads.replicate(self._slots)),
            ]
            m.d.sync += plane.eq(plane + 1)

        # two LUTs a bit: what is written, and the carry with its load (its clear is the flip-flop's reset)
        with m.If(~present):
            m.d.comb += written.eq(carry)
        with m.Elif(adding):
            m.d.comb += written.eq(carry ^ old)
        with m.Else():
            m.d.comb += written.eq(carry | old)
        m.d.sync += carry.eq(Mux(self.i.ready, new, carry & old))
        with m.If(~self.i.ready & ~present):
            m.d.sync += carry.eq(0)
        return m
