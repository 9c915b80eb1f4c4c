# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of SpiFlashReader at the pins of a chip that refuses what its data sheet does not promise."""

import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.flash_chip import FlashChip
from ds2ta.sim.stream import StreamSink, cycle, in_background, next_cycle, reset

STALLS = ["never", "random:0.1", "random:0.97", "bursts"]
_VALUE = data.StructLayout({"value": 8})
_GIVEN = bench_parameters()
_HALF, _WAKE, _FAST, _PERIOD = (_GIVEN[key] for key in ("half", "wake", "fast", "period_ns"))
_ADDRESS = _GIVEN["address"]
_SIZE = 1 << 12  # of the chip: an address beyond it wraps
_FIRST = 1 + (-(-_WAKE // _HALF) + 117 + 16 * _FAST) * _HALF  # the first byte, by the contract


class _Flash:
    """The chip at the pins. `swallowed`: clock pulses behind each reset that do not reach it."""

    def __init__(self, dut, *, swallowed: int = 0):
        self.dut, self.swallowed = dut, swallowed
        self.chip = FlashChip(_SIZE)
        self.content = random.Random(5).randbytes(_SIZE)
        self.chip.put(0, self.content)
        self.lost = swallowed
        self.begun = 0  # cycle of the last reset
        self.clocked = False  # a clock was high since the last look
        dut.read.value = 0
        dut.cipo.value = 1
        in_background(dut, self._connect())

    async def _connect(self) -> None:
        """What is read here was there until now, what is written is taken at the end of the next cycle."""
        dut, high = self.dut, 0
        while True:
            await next_cycle
            if not self.begun:  # the pins show what a test before this one has left
                self.begun = cycle() if dut.rst.value else 0
                continue
            if dut.rst.value:
                self.lost, self.begun = self.swallowed, cycle()
            clock = int(dut.sck.value)
            self.clocked |= bool(clock)
            self.lost -= bool(high and not clock and self.lost)
            high = clock
            now = (cycle() - 1) * _PERIOD
            seen = clock if not self.lost else 0
            dut.cipo.value = self.chip.step(
                now, now + 2 * _PERIOD, selected=int(dut.cs.value), clock=seen, data=int(dut.copi.value)
            )


class _Bench(_Flash):
    """And somebody who takes its bytes."""

    def __init__(self, dut, stall: str = "never", **options):
        super().__init__(dut, **options)
        self.sink = StreamSink(dut, "o", _VALUE, stall=stall)

    def expected(self, count: int) -> list[int]:
        return [self.content[(_ADDRESS + index) % _SIZE] for index in range(count)]

    async def take(self, count: int) -> None:
        found = [beat["value"] for beat in await self.sink.take(count)]
        assert found == self.expected(count), self.chip.violations
        assert self.chip.violations == ""

    async def stop(self) -> None:
        """One cycle without `read`; what was taken is forgotten."""
        self.dut.read.value = 0
        await RisingEdge(self.dut.clk)
        self.dut.read.value = 1
        await RisingEdge(self.dut.clk)
        self.sink.received.clear()

    async def rest(self, count: int) -> None:
        for _ in range(count):
            await RisingEdge(self.dut.clk)


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def reads_in_order(dut, stall):
    """Over the end of the chip, too."""
    bench = _Bench(dut, stall)
    await reset(dut)
    dut.read.value = 1
    await bench.take(_SIZE - _ADDRESS % _SIZE + 40)
    assert not bench.chip.asleep


@cocotb.test()
async def cycles(dut):
    """The first byte, and each further one."""
    bench = _Bench(dut)
    await reset(dut)
    dut.read.value = 1
    await bench.take(60)
    assert bench.sink.cycles[0] - bench.begun == _FIRST
    assert set(np.diff(bench.sink.cycles).tolist()) == {16 * _HALF}


@cocotb.test()
async def rests_until_asked(dut):
    """The flash is awake, then its clock stands and it is not selected; it stands, low, while a byte waits."""
    bench = _Bench(dut)
    await reset(dut)
    await bench.rest(2 * _FIRST)
    assert not bench.chip.asleep
    bench.clocked = False
    for _ in range(40):
        await RisingEdge(dut.clk)
        assert not dut.cs.value
    assert not bench.clocked
    dut.read.value = 1
    await bench.take(3)


@cocotb.test()
async def stands_while_a_byte_waits(dut):
    bench = _Bench(dut, "bursts")
    await reset(dut)
    dut.read.value = 1
    stood = 0
    for _ in range(400 * _HALF):
        await RisingEdge(dut.clk)
        if dut.o__valid.value and not dut.o__ready.value:
            stood += 1
            assert stood <= _HALF or not dut.sck.value
        else:
            stood = 0
    assert bench.chip.violations == ""


@cocotb.test()
async def stops_at_any_moment(dut):
    """And begins at the first byte again."""
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(7)
    dut.read.value = 1
    for _ in range(60):
        await bench.rest(generator.randint(1, 150 * _HALF))
        await bench.stop()
        if generator.randrange(2):
            await bench.take(generator.randint(1, 6))
            await bench.stop()
    assert bench.chip.violations == ""


@cocotb.test()
async def an_offer_is_withdrawn(dut):
    """With `read`: the next byte is the first one."""
    dut.o__ready.value = dut.read.value = 0
    flash = _Flash(dut)
    await reset(dut)
    for _ in range(3):
        dut.read.value = 1
        for _ in range(2 * _FIRST):
            await RisingEdge(dut.clk)
        assert dut.o__valid.value
        assert int(dut.o__payload.value) == flash.content[_ADDRESS % _SIZE]
        dut.read.value = 0
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert not dut.o__valid.value
    assert flash.chip.violations == ""


@cocotb.test()
async def reset_at_any_moment(dut):
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(8)
    for _ in range(40):
        dut.read.value = 1
        await bench.rest(generator.randint(1, 2 * _FIRST))
        dut.rst.value = 1
        await bench.rest(1)
        dut.rst.value = 0
        await bench.rest(1)
        bench.sink.received.clear()
        await bench.take(2)


@cocotb.test()
async def first_clocks_may_be_lost(dut):
    bench = _Bench(dut, swallowed=7)
    await reset(dut)
    dut.read.value = 1
    await bench.take(5)
