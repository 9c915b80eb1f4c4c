# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""An asynchronous serial line, 8N1: a start bit (0), eight data bits, least significant first, a stop bit (1)."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range

__all__ = ["UartReceiver", "UartTransmitter", "baud_divisor", "received_layout"]

_LEAST = 4  # clocks per bit below which sampling in mid-bit has no margin
_WORST = 0.02  # of the baud rate; half a bit in ten is 5 %, and the other side wants its share


def baud_divisor(*, clock_hz: float, baud: float) -> int:
    """Clocks per bit. Raises `FitError` where the clock is too slow for the baud rate or hits it too badly."""
    if not (clock_hz > 0 and baud > 0):
        raise FitError(f"Clock and baud rate must be positive, not {clock_hz!r} Hz and {baud!r} baud")
    divisor = round(clock_hz / baud)
    if divisor < _LEAST:
        raise FitError(
            f"Baud rate must be at most 1/{_LEAST} of the clock, {clock_hz / _LEAST:.0f}, not {baud!r}: "
            f"lower it or raise the clock"
        )
    if abs(clock_hz - divisor * baud) > _WORST * divisor * baud:
        error = clock_hz / divisor / baud - 1
        raise FitError(
            f"Baud rate {baud!r}: {clock_hz:.0f} Hz divided by {divisor} is off by {error:+.1%}, the limit is "
            f"{_WORST:.0%}: choose {clock_hz / divisor:.0f} baud or another clock"
        )
    return divisor


def received_layout() -> data.StructLayout:
    """A byte from a line. `bad`: it cannot be trusted, or bytes before it are missing."""
    return data.StructLayout({"value": 8, "bad": 1})


def _check(divisor: int) -> None:
    check_range("Divisor", divisor, _LEAST, 1 << 20)


class UartReceiver(wiring.Component):
    """A line to bytes.

    A falling edge begins a byte; the line is looked at in the middle of each bit, `divisor` clocks apart, and an
    edge whose bit is 1 in the middle was a glitch. A byte whose stop bit is 0 has `bad` set; then the line must
    have been 1 again before another byte can begin, so a line that is held at 0 makes one bad byte. The byte is
    kept in the register that collects it: a byte that begins while `o` still offers the last one is lost, and the
    next one that is received has `bad` set.

    Latency: a byte can be taken 9 divisor + (divisor - 1) // 2 + 3 clocks after the first that saw its start bit.
    Throughput: what the line carries; baud rates off by 2 % and more are understood. Back-pressure: `o` must be
    ready within half a bit, or the next byte is lost.

    Parameters: `divisor`, clocks per bit.

    Members: `rx` the pin, asynchronous; `o` stream of `received_layout`.
    """

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(received_layout()))})

    def elaborate(self, platform) -> Module:
        m = Module()
        line, before = Signal(init=1), Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        m.d.sync += before.eq(line)

        active, first = Signal(), Signal()  # in a byte; in its start bit
        missed = Signal()
        bits = Signal(9, init=-1)  # all ones; after nine shifts the start bit is at the end: all is there
        timer = Signal(range(self._divisor))
        edge, begin, tick, full, done = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            edge.eq(before & ~line & ~active),
            begin.eq(edge & ~(self.o.valid & ~self.o.ready)),
            # an edge is seen half a clock late on average
            tick.eq(active & (timer == Mux(first, (self._divisor - 1) // 2 - 1, self._divisor - 1))),
            full.eq(~bits[0]),
            done.eq(tick & full),
            self.o.payload.value.eq(bits[1:]),
        ]
        m.d.sync += timer.eq(timer + 1)
        with m.If(tick | ~active):
            m.d.sync += timer.eq(0)
        with m.If(begin):
            m.d.sync += bits.eq(-1)
        with m.Elif(tick & ~full):
            m.d.sync += bits.eq(Cat(bits[1:], line))
        with m.If(begin | tick):
            m.d.sync += [active.eq(begin | ~(full | (first & line))), first.eq(begin)]
        with m.If(done | self.o.ready):
            m.d.sync += self.o.valid.eq(done)
        with m.If(done):
            m.d.sync += self.o.payload.bad.eq(~line | missed)
        with m.If(done | (edge & ~begin)):
            m.d.sync += missed.eq(~done)
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line that rests at 1.

    Latency: bits begin on a free-running grid of `divisor` clocks, so the start bit of a byte that finds the line
    at rest begins divisor + 2 to 2 divisor + 1 clocks after the cycle in which it is taken. Throughput: a byte
    every 10 divisor clocks, without pause while `i` is valid. Back-pressure: `i` is ready from the beginning of a
    byte's last data bit on.

    Parameters: `divisor`, clocks per bit.

    Members: `i` stream of {value}; `tx` the pin.
    """

    def __init__(self, *, divisor: int):
        _check(divisor)
        self._divisor = divisor
        super().__init__(
            {"i": In(stream.Signature(data.StructLayout({"value": 8}))), "tx": Out(1, init=1)},
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        timer = Signal(range(self._divisor))
        tick = Signal()
        m.d.comb += tick.eq(timer == self._divisor - 1)
        m.d.sync += timer.eq(timer + 1)
        with m.If(tick):
            m.d.sync += timer.eq(0)
        # the stop bit of the byte before (or rest), the start bit, the byte, and its stop bit; when that one is
        # left alone, it goes out with the next byte
        bits = Signal(11, init=1)
        m.d.comb += self.i.ready.eq(~bits[1:].any())
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += bits.eq(Cat(C(1), C(0), self.i.payload.value, C(1)))
        with m.Elif(tick):
            m.d.sync += bits.eq(bits >> 1)
        with m.If(tick):
            m.d.sync += self.tx.eq(bits[0])
        return m
