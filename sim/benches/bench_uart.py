# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of UartReceiver and UartTransmitter: a line driven and watched bit by bit, in time that no clock
divides."""

import itertools
import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from ds2ta.hw.uart import received_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import PERIOD, StreamSink, StreamSource, cycle, in_background, next_cycle, reset

OFFSETS = [-0.02, -0.01, 0.0, 0.01, 0.02]
_VALUE = data.StructLayout({"value": 8})
_SENDS = bench_parameters()["sends"]  # the component is the transmitter


class _Line:
    """The other side of a receiver. `offset`: how much longer its bits are."""

    def __init__(self, dut, offset: float = 0.0):
        self._pin = dut.rx
        self._pin.value = 1
        self._bit = bench_parameters()["divisor"] * PERIOD * (1 + offset)

    async def hold(self, level: int, bits: float) -> None:
        self._pin.value = level
        # steps of a picosecond, so that edges fall anywhere between those of the clock
        await Timer(round(bits * self._bit * 1000), unit="ps")

    async def send(self, value: int, *, stop: int = 1, pause: float = 0.0) -> None:
        await self.hold(0, 1)
        for index in range(8):
            await self.hold(value >> index & 1, 1)
        await self.hold(stop, 1 + pause)


def _bytes(count: int, seed: int) -> list[int]:
    """All bytes (a part of them where a byte takes many clocks), random ones, the longest and shortest runs."""
    generator = random.Random(seed)
    some = [*range(256), *(generator.randrange(256) for _ in range(count))]
    return [*some[:: max(1, bench_parameters()["divisor"] // 8)], *[0x00, 0xFF, 0x55, 0xAA] * 2]


def _good(values) -> list[dict]:
    return [{"value": value, "bad": 0} for value in values]


async def _receiver(dut, *, offset: float = 0.0, stall: str = "never"):
    line = _Line(dut, offset)
    sink = StreamSink(dut, "o", received_layout(), stall=stall)
    await reset(dut)
    await line.hold(1, 2)
    return line, sink


@cocotb.test(skip=_SENDS)
@cocotb.parametrize(offset=OFFSETS)
async def every_byte(dut, offset):
    """Without a pause, and with pauses of any length, at any baud rate that is allowed."""
    line, sink = await _receiver(dut, offset=offset)
    values = _bytes(40, 1)
    for value in values:
        await line.send(value)
    assert await sink.take(len(values)) == _good(values)
    generator = random.Random(2)
    values = values[-40:]
    for value in values:
        await line.send(value, pause=generator.random() * 3)
    assert await sink.take(len(values)) == _good(values)
    await line.hold(1, 30)
    assert sink.received == []


@cocotb.test(skip=_SENDS)
async def latency(dut):
    line, sink = await _receiver(dut)
    divisor = bench_parameters()["divisor"]
    for value in (0x00, 0xA5, 0xFF):
        await RisingEdge(dut.clk)
        before = cycle() + 1  # the first edge that can see the bit
        await FallingEdge(dut.clk)
        await line.send(value, pause=1)
        assert sink.cycles[-1] - before == 9 * divisor + (divisor - 1) // 2 + 3
    assert await sink.take(3) == _good([0x00, 0xA5, 0xFF])


@cocotb.test(skip=_SENDS)
async def broken_stop_bits(dut):
    """A byte with a stop bit of 0 is bad. A line held at 0 makes one bad byte, however long."""
    line, sink = await _receiver(dut)
    for value in (0x00, 0x41, 0xFF):
        await line.send(value, stop=0)
        await line.hold(1, 2)
        await line.send(value ^ 0x55, pause=1)
        assert await sink.take(2) == [{"value": value, "bad": 1}, {"value": value ^ 0x55, "bad": 0}]
    for bits in (9.9, 10.7, 25, 333):
        await line.hold(0, bits)
        await line.hold(1, 3)
        await line.send(0x80, pause=1)
        first, second = await sink.take(2)
        assert first["bad"] == 1
        assert second == {"value": 0x80, "bad": 0}
    assert sink.received == []


@cocotb.test(skip=_SENDS)
async def glitches(dut):
    """A 0 that is over before the middle of its bit is nothing, and a byte may follow at once."""
    line, sink = await _receiver(dut)
    divisor = bench_parameters()["divisor"]
    for clocks in (0.3, 0.6, max(0.9, 0.5 * (divisor - 1) // 1 - 1.1)):
        await line.hold(0, clocks / divisor)
        await line.hold(1, 1)
        assert sink.received == []
        await line.send(0x7E, pause=1)
        assert await sink.take(1) == _good([0x7E])


@cocotb.test(skip=_SENDS)
async def nobody_takes(dut):
    """The waiting byte stays; those behind it are lost; the first one that is received again says so."""
    dut.o__ready.value = 0
    line = _Line(dut)
    await reset(dut)
    await line.hold(1, 2)
    for lost in (1, 3):
        sink = None
        await line.send(0x11)
        for value in range(lost):
            await line.send(0xA0 + value)
        await line.hold(1, 2)
        await RisingEdge(dut.clk)  # the line goes by time: a sink that began at an edge could miss its transfer
        sink = StreamSink(dut, "o", received_layout())
        assert await sink.take(1) == _good([0x11])
        for value in (0x22, 0x33):
            await line.send(value)
        assert await sink.take(2) == [{"value": 0x22, "bad": 1}, {"value": 0x33, "bad": 0}]
        sink._task.cancel()
        dut.o__ready.value = 0
        await line.hold(1, 2)


@cocotb.test(skip=_SENDS)
async def reset_in_a_byte(dut):
    line, sink = await _receiver(dut)
    for bits in np.arange(0.2, 9.5, 0.7):
        sending = cocotb.start_soon(line.send(0x0F))
        await Timer(round(bits * line._bit * 1000), unit="ps")
        dut.rst.value = 1
        for _ in range(2):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        sending.cancel()
        await line.hold(1, 12)
        sink.received.clear()  # what is left of the byte may look like another
        await line.send(0xC3, pause=1)
        assert await sink.take(1) == _good([0xC3])


async def _watch(dut, levels: list[int]) -> None:
    while True:
        await next_cycle
        levels.append(int(dut.tx.value))


def _decode(levels: list[int], divisor: int) -> list[tuple[int, int]]:
    """(cycle of the start bit, byte): each bit must fill its `divisor` cycles exactly."""
    found, at = [], 0
    while at < len(levels):
        if levels[at]:
            at += 1
            continue
        bits = []
        for index in range(10):
            part = levels[at + index * divisor : at + (index + 1) * divisor]
            assert len(part) == divisor, "a byte is cut off"
            assert len(set(part)) == 1, f"bit {index} at cycle {at} changes"
            bits.append(part[0])
        assert bits[9] == 1, "no stop bit"
        found.append((at, sum(bit << index for index, bit in enumerate(bits[1:9]))))
        at += 10 * divisor
    return found


@cocotb.test(skip=not _SENDS)
@cocotb.parametrize(stall=["never", "random:0.9", "bursts"])
async def transmitter_sends(dut, stall):
    divisor = bench_parameters()["divisor"]
    source = StreamSource(dut, "i", _VALUE, stall=stall)
    levels: list[int] = []
    await reset(dut)
    in_background(dut, _watch(dut, levels))
    values = _bytes(20, 3)
    begin = cycle()
    for value in values:
        await source.send([{"value": value}])
    for _ in range(12 * divisor + 2):
        await RisingEdge(dut.clk)
    found = _decode(levels, divisor)
    assert [value for _, value in found] == values
    starts = [at for at, _ in found]
    if stall == "never":
        assert np.diff(starts).tolist() == [10 * divisor] * (len(values) - 1)
        # offered at once, taken as soon as the last data bit of the one before begins
        assert np.diff(source.cycles[2:]).tolist() == [10 * divisor] * (len(values) - 3)
    first = source.cycles[0] - begin
    assert divisor + 2 <= starts[0] - first + 1 <= 2 * divisor + 1


@cocotb.test(skip=not _SENDS)
async def transmitter_rests(dut):
    """From any moment of the grid: the start bit comes in time, and the line is 1 before and after."""
    divisor = bench_parameters()["divisor"]
    source = StreamSource(dut, "i", _VALUE)
    levels: list[int] = []
    await reset(dut)
    begin = cycle()
    in_background(dut, _watch(dut, levels))
    delays = set()
    for pause in itertools.islice(itertools.count(), divisor):
        await source.send([{"value": pause % 256}])
        for _ in range(13 * divisor + 1 + (pause > 0)):
            await RisingEdge(dut.clk)
    found = _decode(levels, divisor)
    assert [value for _, value in found] == [pause % 256 for pause in range(divisor)]
    for taken, (at, _) in zip(source.cycles, found, strict=True):
        delays.add(at - (taken - begin) + 1)
    assert min(delays) >= divisor + 2
    assert max(delays) <= 2 * divisor + 1
