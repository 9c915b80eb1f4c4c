# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Reads a serial flash, SPI mode 0: data in at the rising clock, data out behind the falling one.

What the data sheets of W25Q128JV (iCEBreaker, OrangeCrab) and IS25LP128 (ULX3S) ask for, the stricter of both:
command 03 up to 50 MHz, 0B (a dummy byte behind the address) up to 133 MHz; 5 us from the release of power-down
(AB) to the next command; CS high for 10 ns between commands and low for 5 ns before the clock rises.
"""

import math

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.hw.payloads import check_range

__all__ = ["READ_HZ", "WAKE_SECONDS", "SpiFlashReader", "half_cycles", "wake_cycles"]

#: Fastest clock of command 03.
READ_HZ = 50e6
#: From the release of power-down to the first command: six times what the data sheets ask for, for chips like them.
WAKE_SECONDS = 30e-6
_RELEASE, _READ, _FAST_READ = 0xAB, 0x03, 0x0B
_GAP = 3  # half periods with CS high between two readings


def half_cycles(*, clock_hz: float, most_hz: float) -> int:
    """Cycles of half a period of the fastest SPI clock of at most `most_hz`."""
    return max(1, math.ceil(clock_hz / (2 * most_hz)))


def wake_cycles(clock_hz: float) -> int:
    """Cycles of `WAKE_SECONDS`."""
    return math.ceil(clock_hz * WAKE_SECONDS)


class SpiFlashReader(wiring.Component):
    """Bytes of a serial flash in order, from one address on.

    After a reset the clock runs for 8 periods without CS, because a pin that was the configuration's may swallow
    the first of them; then the flash is released from power-down, and left alone for `wake` cycles. While `read` is
    high it is read from `address` on, for ever; behind the last byte of the chip comes its first. When `read`
    falls, reading ends at once, a byte that `o` still offers is withdrawn, and the next reading begins at `address`
    again.

    A bit is taken in the cycle in which the clock falls, right before the flash can change it: clock and data have
    a whole period for the way to the flash and back.

    Latency: with w = ceil(`wake` / `half`), the first byte of a flash whose `read` is high all the time is offered
    1 + (w + 117) `half` cycles after the last of the reset, with `fast` 16 `half` later. Throughput: a byte every
    16 `half` cycles, if each is taken in the first cycle in which it is offered. Back-pressure: the clock stands
    still, low, while a byte waits.

    Parameters: `half`, cycles of half a period of the clock; `wake`; `address`, 24 bits; `fast`: by command 0B.

    Members: `sck`, `cs` (1 selects), `copi`, `cipo`: the pins; `read`; `o` stream of {value}.
    """

    def __init__(self, *, half: int, wake: int, address: int, fast: bool = False):
        check_range("Half period", half, 1, 1 << 8)
        check_range("Wake cycles", wake, 1, 1 << 16)
        check_range("Flash address", address, 0, (1 << 24) - 1)
        self._half, self._wake = half, -(-wake // half)
        command = (_FAST_READ if fast else _READ) << 24 | address
        self._command, self._bits = (command << 8, 40) if fast else (command, 32)
        super().__init__(
            {
                "sck": Out(1),
                "cs": Out(1),
                "copi": Out(1),
                "cipo": In(1),
                "read": In(1),
                "o": Out(stream.Signature(data.StructLayout({"value": 8}))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        timer, tick = Signal(range(self._half)), Signal()
        m.d.comb += tick.eq(timer == self._half - 1)
        m.d.sync += timer.eq(Mux(tick, 0, timer + 1))

        # bits to come, or half periods to rest, behind this one
        left = Signal(bits_for(max(self._wake, self._bits - 1)), init=7)
        runs, ends, held = Signal(), Signal(), Signal()  # the clock may rise; the last bit's clock falls
        m.d.comb += [
            ends.eq(tick & self.sck & (left == 0)),
            held.eq(self.o.valid & ~self.o.ready),
        ]
        with m.If(tick & self.sck):
            m.d.sync += [self.sck.eq(0), left.eq(left - 1)]
        with m.Elif(tick & runs & ~held):
            m.d.sync += self.sck.eq(1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        awake = Signal()  # it was released
        with m.FSM():
            with m.State("CLEAR"):
                m.d.comb += runs.eq(1)
                with m.If(ends):
                    m.d.sync += left.eq(_GAP)
                    m.next = "REST"
            with m.State("RELEASE"):
                m.d.comb += [runs.eq(1), self.copi.eq(Const(_RELEASE, 8).bit_select(left[:3], 1))]
                with m.If(ends):
                    m.d.sync += [left.eq(self._wake), awake.eq(1)]
                    m.next = "REST"
            with m.State("REST"), m.If(tick):
                m.d.sync += [self.cs.eq(0), left.eq(left - 1)]
                with m.If(left == 0):
                    m.d.sync += left.eq(0)
                    with m.If(~awake):
                        m.d.sync += [self.cs.eq(1), left.eq(7)]
                        m.next = "RELEASE"
                    with m.Elif(self.read):
                        m.d.sync += [self.cs.eq(1), left.eq(self._bits - 1)]
                        m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [
                    runs.eq(self.read),
                    self.copi.eq(Const(self._command, self._bits).bit_select(left[:6], 1)),
                ]
                with m.If(ends):
                    m.d.sync += left.eq(7)
                    m.next = "GIVE"
                with m.If(~self.read):
                    m.next = "STOP"
            with m.State("GIVE"):
                m.d.comb += runs.eq(self.read)
                with m.If(tick & self.sck):
                    m.d.sync += self.o.payload.value.eq(self.o.payload.value << 1 | self.cipo)
                with m.If(ends):
                    m.d.sync += [left.eq(7), self.o.valid.eq(1)]
                with m.If(~self.read):
                    m.d.sync += self.o.valid.eq(0)
                    m.next = "STOP"
            with m.State("STOP"), m.If(~self.sck):
                m.d.sync += left.eq(_GAP)
                m.next = "REST"
        return m
