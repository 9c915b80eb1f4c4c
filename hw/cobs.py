# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Consistent overhead byte stuffing (Cheshire and Baker, 1999): frames of any bytes over a line on which the byte 0
ends a frame.

A frame is cut into blocks, each the bytes up to a zero (which is left out), at most 254. A block goes out as a
code, its length plus one, and its bytes; code 255 stands for 254 bytes that no zero follows. The last block has no
zero of its own.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.store import DualPortMemory
from ds2ta.hw.uart import received_layout

__all__ = ["CobsDecoder", "CobsEncoder", "decoded_layout", "plain_layout"]

_FULL = 255  # code of a block that no zero follows


def decoded_layout() -> data.StructLayout:
    """A byte of a frame, or its end: with `last` there is no byte, and `bad` tells that the frame was damaged."""
    return data.StructLayout({"value": 8, "last": 1, "bad": 1})


def plain_layout() -> data.StructLayout:
    """A byte of a frame; `last` comes with the final one."""
    return data.StructLayout({"value": 8, "last": 1})


class CobsDecoder(wiring.Component):
    """Bytes from a line to frames.

    The bytes of a frame go out as soon as they are known, and behind them one beat with `last`; its `bad` is set
    when the frame ended within a block, or when a byte of it had `bad` set. Such a byte is never a code nor a
    delimiter. Zeros between frames make no beat. A frame that has bytes but no content (code 1 alone) makes the
    beat with `last` alone.

    Latency: 0 cycles, combinational. Throughput: one byte each cycle. Back-pressure: `i.ready` is `o.ready`.

    Members: `i` stream of `received_layout`; `o` stream of `decoded_layout`.
    """

    def __init__(self):
        super().__init__(
            {"i": In(stream.Signature(received_layout())), "o": Out(stream.Signature(decoded_layout()))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        source, sink = self.i.payload, self.o.payload
        left = Signal(8)  # bytes to come in this block
        due = Signal()  # a zero stands between this block and the next, if there is one
        inside, spoiled = Signal(), Signal()  # in a frame; a bad byte in it
        code, end, beat = Signal(), Signal(), Signal()
        m.d.comb += [
            code.eq(left == 0),
            end.eq((source.value == 0) & ~source.bad),
            beat.eq(~source.bad & Mux(end, inside, ~code | due)),
            self.o.valid.eq(self.i.valid & beat),
            self.i.ready.eq(self.o.ready),
            sink.value.eq(Mux(code, 0, source.value)),
            sink.last.eq(end),
            sink.bad.eq(~code | spoiled),
        ]
        take = Signal()
        m.d.comb += take.eq(self.i.valid & self.i.ready)
        with m.If(take & end):
            m.d.sync += left.eq(0)
        with m.Elif(take & ~source.bad):
            m.d.sync += left.eq(Mux(code, source.value, left) - 1)
        with m.If(take & (end | (code & ~source.bad))):
            m.d.sync += due.eq(~end & (source.value != _FULL))
        with m.If(take):
            m.d.sync += [inside.eq(~end), spoiled.eq(~end & (spoiled | source.bad))]
        return m


class _State(enum.Enum, shape=2):
    FILL = 0  # take the bytes of a block
    CODE = 1  # send its code
    SEND = 2  # send its bytes
    END = 3  # send the delimiter


class CobsEncoder(wiring.Component):
    """Frames to bytes for a line.

    A block is collected in a block RAM of 256 bytes, because its length goes first; then it is sent, behind the
    last one a zero. Frames of any length from one byte on.

    Latency: the code of a block is offered in the cycle after its last byte was taken. Throughput: a block of n
    bytes takes n + 1 cycles to fill (with the zero that ends it) and n + 1 to send, the delimiter one more.
    Back-pressure: `i` is not ready while a block is being sent.

    Members: `i` stream of `plain_layout`; `o` stream of {value}.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(plain_layout())),
                "o": Out(stream.Signature(data.StructLayout({"value": 8}))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.buffer = buffer = DualPortMemory(width=8, depth=1 << 8, block=True)
        source, sink = self.i.payload, self.o.payload
        state = Signal(_State)
        size = Signal(8, init=1)  # the code so far, the block's bytes are at 1 .. size - 1; then what is left of it
        at = Signal(8, init=1)  # next byte to be read
        closes, empty = Signal(), Signal()  # the frame ends with this block; and a block without bytes follows it
        take, give, zero, last = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(state == _State.FILL),
            self.o.valid.eq(~self.i.ready),
            take.eq(self.i.valid & self.i.ready),
            give.eq(self.o.valid & self.o.ready),
            zero.eq(source.value == 0),
            last.eq(size == 1),
            buffer.write.address.eq(size),
            buffer.write.data.eq(source.value),
            buffer.write.enable.eq(take),
            buffer.read_address.eq(at),
            buffer.read_enable.eq(give),
        ]
        with m.If((take & ~zero) | (give & ~last)):
            m.d.sync += size.eq(size + Mux(self.i.ready, 1, -1))
        with m.If(self.i.ready):
            m.d.sync += at.eq(1)
        with m.Elif(give):
            m.d.sync += at.eq(at + 1)
        with m.If(take):
            m.d.sync += closes.eq(source.last)
        with m.If(take | (give & last)):
            m.d.sync += empty.eq(take & source.last & zero)
        with m.Switch(state):
            with m.Case(_State.CODE):
                m.d.comb += sink.value.eq(size)
            with m.Case(_State.SEND):
                m.d.comb += sink.value.eq(buffer.read_data)
        with m.If(take & (zero | source.last | (size == _FULL - 1))):
            m.d.sync += state.eq(_State.CODE)
        with m.If(give):
            with m.If(state == _State.END):
                m.d.sync += state.eq(_State.FILL)
            with m.Elif(~last):
                m.d.sync += state.eq(_State.SEND)
            with m.Else():
                m.d.sync += state.eq(Mux(empty, _State.CODE, Mux(closes, _State.END, _State.FILL)))
        return m
