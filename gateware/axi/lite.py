# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""AXI4-Lite to the register bus: the bridge, and the arbiter that lets a second initiator onto the same bus."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.register_file import bus_signature
from ds2ta.gateware.registers import ADDRESS_BITS

__all__ = [
    "AxiLiteBridge",
    "BusArbiter",
    "Response",
    "access_signature",
    "read_layout",
    "write_layout",
]

_STROBES = 4  # bytes of a word


class Response(enum.Enum, shape=2):
    """AXI's BRESP and RRESP, as far as they occur here."""

    OKAY = 0
    SLVERR = 2


def write_layout() -> data.StructLayout:
    """Payload of AXI's W channel."""
    return data.StructLayout({"data": 32, "strb": _STROBES})


def read_layout() -> data.StructLayout:
    """Payload of AXI's R channel."""
    return data.StructLayout({"data": 32, "resp": Response})


def access_signature() -> wiring.Signature:
    """One access, from the initiator's side: `request` and what belongs to it stay until `done`, which is high for
    one cycle; `read_data` and `error` belong to `done`."""
    return wiring.Signature(
        {
            "request": Out(1),
            "write": Out(1),
            "address": Out(ADDRESS_BITS),
            "write_data": Out(32),
            "read_data": In(32),
            "done": In(1),
            "error": In(1),
        }
    )


class AxiLiteBridge(wiring.Component):
    """An AXI4-Lite subordinate of 32 bits that turns each transaction into one access of a register.

    Byte address 4 a is word address a; the two lowest address bits are ignored, as AXI allows. Addresses and write
    data are taken in any order and kept until their answer is accepted. A write with all strobes set is an access;
    one with no strobe changes nothing and is answered OKAY; one with some strobes changes nothing and is answered
    SLVERR, as is an access that ends with `error`. Data of a failed read are 0. Reads and writes take turns when
    both wait, so neither can starve the other.

    Latency: an access begins 2 cycles after its last part was taken, when the bridge is idle, and is answered in
    the cycle after `done`; a write that is no access is answered 2 cycles after. Throughput: a channel takes its
    next transaction in the cycle of the answer to its last; the next access may begin in the cycle after. Every
    output is a register or one gate after it: no path leads from an input to an output.

    Members: `aw`, `ar` (byte addresses), `w`, `b`, `r`: the five channels; `bus`: the access.
    """

    def __init__(self):
        address = ADDRESS_BITS + 2
        super().__init__(
            {
                "aw": In(stream.Signature(address)),
                "w": In(stream.Signature(write_layout())),
                "b": Out(stream.Signature(Response)),
                "ar": In(stream.Signature(address)),
                "r": Out(stream.Signature(read_layout())),
                "bus": Out(access_signature()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        held = {}
        for name in ("aw", "w", "ar"):
            channel = getattr(self, name)
            full = Signal(name=f"{name}_full")
            kept = Signal.like(channel.payload, name=f"{name}_kept")
            m.d.comb += channel.ready.eq(~full)
            with m.If(channel.valid & channel.ready):
                m.d.sync += [full.eq(1), kept.eq(channel.payload)]
            held[name] = full, kept
        (aw_full, target), (w_full, word), (ar_full, source) = held["aw"], held["w"], held["ar"]
        active, reading = (Signal(name=name) for name in ("active", "reading"))
        can_write, can_read = (Signal(name=name) for name in ("can_write", "can_read"))
        m.d.comb += [
            can_write.eq(aw_full & w_full & ~self.b.valid),
            can_read.eq(ar_full & ~self.r.valid),
            self.bus.request.eq(active),
            self.bus.write.eq(~reading),
            self.bus.address.eq(Mux(reading, source, target) >> 2),
            self.bus.write_data.eq(word.data),
        ]
        with m.If(self.b.ready):
            m.d.sync += self.b.valid.eq(0)
        with m.If(self.r.ready):
            m.d.sync += self.r.valid.eq(0)

        def answer_write(failed) -> list:
            response = Mux(failed, Response.SLVERR, Response.OKAY)
            return [self.b.valid.eq(1), self.b.payload.eq(response), aw_full.eq(0), w_full.eq(0)]

        with m.If(active), m.If(self.bus.done):
            m.d.sync += active.eq(0)
            with m.If(reading):
                m.d.sync += [
                    self.r.valid.eq(1),
                    self.r.payload.data.eq(Mux(self.bus.error, 0, self.bus.read_data)),
                    self.r.payload.resp.eq(Mux(self.bus.error, Response.SLVERR, Response.OKAY)),
                    ar_full.eq(0),
                ]
            with m.Else():
                m.d.sync += answer_write(self.bus.error)
        with m.Elif(can_read):  # never right after a read, whose answer is still there: a write goes then
            m.d.sync += [active.eq(1), reading.eq(1)]
        with m.Elif(can_write & word.strb.all()):
            m.d.sync += [active.eq(1), reading.eq(0)]
        with m.Elif(can_write):
            m.d.sync += answer_write(word.strb.any())
        return m


class BusArbiter(wiring.Component):
    """Two initiators on one register bus. `first` goes first when both wait for a free bus.

    Latency: an access begins (`bus.enable`) in the cycle of its `request` when the bus is free, and ends in the
    cycle of the bus's `done`. Throughput: the bus is free again in the cycle after `done`.

    Members: `first`, `second`: initiators; `bus`: `register_file.bus_signature`.
    """

    def __init__(self):
        initiator = In(access_signature())
        super().__init__({"first": initiator, "second": initiator, "bus": Out(bus_signature())})

    def elaborate(self, platform) -> Module:
        m = Module()
        active = Signal()
        owner, chosen = (Signal(name=name) for name in ("owner", "chosen"))  # 0 first, 1 second
        with m.If(active):
            m.d.comb += chosen.eq(owner)
            with m.If(self.bus.done):
                m.d.sync += active.eq(0)
        with m.Else():
            m.d.comb += [
                chosen.eq(~self.first.request),
                self.bus.enable.eq(self.first.request | self.second.request),
            ]
            m.d.sync += [active.eq(self.bus.enable), owner.eq(chosen)]
        for name in ("write", "address", "write_data"):
            m.d.comb += getattr(self.bus, name).eq(
                Mux(chosen, getattr(self.second, name), getattr(self.first, name))
            )
        for number, initiator in enumerate((self.first, self.second)):
            m.d.comb += [
                initiator.read_data.eq(self.bus.read_data),
                initiator.error.eq(self.bus.error),
                initiator.done.eq(active & self.bus.done & (owner == number)),
            ]
        return m
