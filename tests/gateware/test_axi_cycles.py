# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What the docstrings of the AXI blocks promise in cycles, each against a bus of given slowness."""

import pytest
from amaranth.sim import Simulator

from ds2ta.gateware.axi.lite import AxiLiteBridge, BusArbiter
from ds2ta.gateware.axi.stream import PacketStreams
from ds2ta.gateware.registers import REGISTERS

SLOW = [1, 4, 9]  # cycles from `request` to `done`


def simulate(dut, *benches) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for bench, background in benches:
        simulator.add_testbench(bench, background=background)
    simulator.run_until(200e-6)  # whatever happens


def bus(port, cycles: int, answer):
    """A bus that ends each access after `cycles`; `answer(address)` is what is read."""

    async def serve(ctx) -> None:
        age = 0
        while True:
            age = age + 1 if ctx.get(port.request) else 0
            ctx.set(port.done, age > cycles)
            ctx.set(port.read_data, answer(ctx.get(port.address)) if age > cycles else 0)
            await ctx.tick()

    return serve, True


class Watch:
    """The cycles in which signals were high."""

    def __init__(self, **signals):
        self.signals, self.cycles = signals, {name: [] for name in signals}

    def bench(self, count: int):
        async def watch(ctx) -> None:
            for cycle in range(count):
                _, _, *values = await ctx.tick().sample(*self.signals.values())  # from before the edge
                for name, value in zip(self.signals, values, strict=True):
                    if value:
                        self.cycles[name].append(cycle)

        return watch, False


@pytest.mark.parametrize("slow", SLOW)
def test_bridge(slow):
    dut = AxiLiteBridge()
    watch = Watch(request=dut.bus.request, done=dut.bus.done, r=dut.r.valid, b=dut.b.valid)

    async def host(ctx) -> None:
        ctx.set(dut.ar.valid, 1)  # taken in cycle 0
        await ctx.tick()
        ctx.set(dut.ar.valid, 0)
        ctx.set(dut.r.ready, 1)
        ctx.set(dut.b.ready, 1)
        for _ in range(19):
            await ctx.tick()
        ctx.set(dut.aw.valid, 1)  # taken in cycle 20
        ctx.set(dut.w.valid, 1)
        ctx.set(dut.w.payload.strb, 0b0110)
        await ctx.tick()
        ctx.set(dut.aw.valid, 0)
        ctx.set(dut.w.valid, 0)

    simulate(dut, bus(dut.bus, slow, lambda address: 5), (host, False), watch.bench(40))
    assert watch.cycles["request"] == list(range(2, 3 + slow))
    assert watch.cycles["done"] == [2 + slow]
    assert watch.cycles["r"] == [3 + slow]
    assert watch.cycles["b"] == [22]


@pytest.mark.parametrize("slow", SLOW)
def test_packet(slow):
    dut = PacketStreams(logit_width=8, max_classes=2, count_width=4)
    length, status = 3, REGISTERS["status"].encode(result_valid=1, result_trusted=1)
    registers = {REGISTERS["sample_length"].address: length, REGISTERS["status"].address: status}
    watch = Watch(request=dut.bus.request, done=dut.bus.done, sample=dut.sample.valid, o=dut.o.valid)
    fell = 60  # the cycle in which `busy` is low

    async def source(ctx) -> None:
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.sample.ready, 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.busy, 1)
        for number in range(length):
            ctx.set(dut.i.payload.last, number == length - 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def core(ctx) -> None:
        for cycle in range(fell):
            logit = cycle in (40, 44)
            ctx.set(dut.result.valid, logit)
            ctx.set(dut.result.payload.last, cycle == 44)
            await ctx.tick()
        ctx.set(dut.busy, 0)

    access = bus(dut.bus, slow, lambda address: registers[address])
    simulate(dut, access, (source, False), (core, False), watch.bench(100))
    assert watch.cycles["request"] == [*range(2, 3 + slow), *range(fell + 1, fell + 2 + slow)]
    first = 3 + slow
    assert watch.cycles["sample"] == [first, first + 2, first + 4]
    assert watch.cycles["o"] == [41, 45, fell + 1 + slow + 2]


def test_arbiter():
    """The first initiator goes first; the bus is passed on in the cycle after `done`."""
    dut = BusArbiter()
    watch = Watch(enable=dut.bus.enable, first=dut.first.done, second=dut.second.done)
    seen = []

    async def target(ctx) -> None:
        left = 0
        while True:
            if ctx.get(dut.bus.enable):
                seen.append(ctx.get(dut.bus.address))
                left = 5
            ctx.set(dut.bus.done, left == 1)
            left -= left > 0
            await ctx.tick()

    def initiator(port, address: int):
        async def ask(ctx) -> None:
            ctx.set(port.address, address)
            ctx.set(port.request, 1)
            await ctx.tick().until(port.done)
            ctx.set(port.request, 0)

        return ask, False

    # the target looks after the initiators have asked
    simulate(dut, initiator(dut.second, 22), initiator(dut.first, 11), (target, True), watch.bench(30))
    assert seen == [11, 22]
    assert watch.cycles == {"enable": [0, 5], "first": [4], "second": [9]}
