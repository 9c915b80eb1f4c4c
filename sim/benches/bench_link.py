# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of HostLink on models of bus, stores and sample: stalls on all sides, offers that stay, accesses that
stay, the cycles of a request, a reset at any moment."""

import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.stores import load_layout, store_shapes
from ds2ta.hw.uart import received_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.link_model import CoreRules, LinkModel, wire
from ds2ta.sim.stream import (
    Background,
    StreamSink,
    StreamSource,
    break_off,
    cycle,
    in_background,
    next_cycle,
    reset,
    unpacker,
)

STALLS = ["never", "random:0.5", "bursts"]
_VALUE = data.StructLayout({"value": 8})


class _Bench:
    def __init__(self, dut, stall: str = "never"):
        machine = Machine(**bench_parameters()["machine"])
        self.dut = dut
        self.rules = CoreRules(store_shapes(machine))
        self.model = LinkModel(self.rules)
        self.random = random.Random(9)
        self.stalls = stall != "never"
        self.accesses: list[tuple[int, int, int]] = []  # cycle of enable, write, address
        self.writes: list[tuple[int, int]] = []
        for name in ("busy", "sample_full", "load_error", "bus__done", "bus__error"):
            getattr(dut, name).value = 0
        self.source = StreamSource(dut, "i", received_layout(), stall=stall)
        self.sink = StreamSink(dut, "o", _VALUE, stall=stall)
        self.load = StreamSink(dut, "load", load_layout(machine), stall=stall, seed=3)
        self.sample = StreamSink(dut, "sample", _VALUE, stall=stall, seed=4)
        in_background(dut, self._serve())
        in_background(dut, self._refuse())
        in_background(dut, self._count())
        self.counts = [0, 0]

    async def _serve(self) -> None:
        """The bus, 1 to 9 cycles for an access, which a reset ends. What describes it must stay until then, and no
        other may begin."""
        dut = self.dut

        def shown() -> list[int]:
            return [int(getattr(dut, f"bus__{name}").value) for name in ("write", "address", "write_data")]

        while True:
            await next_cycle
            dut.bus__done.value = 0
            dut.bus__error.value = self.random.randrange(2)  # means nothing without `done`
            dut.bus__read_data.value = self.random.randrange(1 << 32)
            if not dut.bus__enable.value or dut.rst.value:
                continue
            write, address, value = access = shown()
            self.accesses.append((cycle(), write, address))
            for _ in range(self.random.randint(0, 8) if self.stalls else 3):
                await next_cycle
                if dut.rst.value:
                    break
                assert shown() == access
                assert not dut.bus__enable.value
            else:
                read = self.rules.read(address)
                failed = not self.rules.writable(address) if write else read is None
                dut.bus__done.value = 1
                dut.bus__error.value = failed
                dut.bus__read_data.value = read or 0
                if write and not failed:
                    self.writes.append((address, value))
                await next_cycle
                assert dut.rst.value or (shown() == access and not dut.bus__enable.value)
                dut.bus__done.value = 0

    async def _refuse(self) -> None:
        """A word outside of its store: load_error in the cycle after it."""
        dut, word_of = self.dut, unpacker(load_layout(Machine(**bench_parameters()["machine"])))
        while True:
            await next_cycle
            word = word_of(int(dut.load__payload.value))
            outside = not self.rules.holds(word["store"], word["row"], word["chunk"])
            dut.load_error.value = bool(dut.load__valid.value and dut.load__ready.value) and outside

    async def _count(self) -> None:
        while True:
            await next_cycle
            self.counts[0] += int(self.dut.frame_good.value)
            self.counts[1] += int(self.dut.frame_dropped.value)

    def begin(self, frame: bytes) -> Background:
        return self.source.start([{"value": value, "bad": 0} for value in frame])

    async def ask(self, body: bytes) -> None:
        """One request: its response, and all that it does."""
        frame = wire(body)
        response = wire(self.model.answer(frame[:-1]))
        self.begin(frame)
        assert bytes(beat["value"] for beat in await self.sink.take(len(response))) == response
        model, rules = self.model, self.rules
        taken = [(word["store"], word["row"], word["chunk"], word["data"]) for word in self.load.received]
        assert [word for word in taken if rules.holds(*word[:3])] == model.loads
        assert self.writes == model.writes
        assert [beat["value"] for beat in self.sample.received] == model.samples
        for seen in (
            self.load.received,
            self.sample.received,
            self.writes,
            model.loads,
            model.samples,
            model.writes,
        ):
            seen.clear()

    def requests(self) -> list[bytes]:
        """Some of each kind, right and wrong."""
        store = self.random.choice(list(self.rules.shapes.values()))
        last = (store.rows - 1).to_bytes(4, "little")
        word = self.random.randbytes
        return [
            b"\x01\x01\x00\x00\x20",
            b"\x02\x01\x2e\x00\x03",
            b"\x03\x02\x00\x01" + word(28),
            b"\x04\x02\x05\x01" + word(12),
            bytes([5, 3, store.number, 0]) + bytes(4) + word(2 * self.random.randint(1, store.chunks * store.rows)),
            bytes([6, 3, store.number, store.chunks - 1]) + last + word(6),
            b"\x07\x04\x00\x00\x00\x00" + word(self.random.randint(1, 64)),
            b"\x08\x04\x01\x00\x00\x00" + word(9),
            b"\x00\x77",
            b"\x09\x01" + word(256),
        ]


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def every_kind(dut, stall):
    bench = _Bench(dut, stall)
    await reset(dut)
    for _ in range(4):
        bodies = bench.requests()
        bench.random.shuffle(bodies)
        for body in bodies:
            await bench.ask(body[: 2 + 256])
    assert bench.counts == [40, 0]


@cocotb.test()
async def cycles(dut):
    """What the contract says of time: 11 cycles a byte in, 2 at most while a request is acted upon."""
    bench = _Bench(dut)
    await reset(dut)
    body = b"\x01\x02\x00\x01" + bytes(range(1, 129))
    frame = wire(body)
    noise = b"\2\3\4" * 9
    response = bench.model.answer(frame[:-1])
    bench.begin(frame + noise)
    await bench.sink.take(len(wire(response)))
    taken = np.diff(bench.source.cycles)
    # A code byte is no byte of the body, unless it stands for a zero. The second byte of the body waits in a
    # register while the first is worked on, and the others keep that lead.
    spent = taken[: len(frame) - 1].tolist()
    assert set(spent) == {1, 2, 11}
    assert spent.count(2) == 1
    assert sum(spent) == 11 * (len(body) + 4) + len(frame) - 1 - (len(body) + 4) - 9
    assert max(taken[len(frame) :]) == 2
    # 32 accesses of 5 cycles, each behind four bytes of 11 cycles, and the way back
    assert set(np.diff([at for at, _, _ in bench.accesses]).tolist()) == {4 * 11 + 5}


@cocotb.test()
async def reset_at_any_moment(dut):
    """Nothing of a request is left: the next one is done right."""
    bench = _Bench(dut)
    await reset(dut)
    for body in bench.requests()[:8]:
        for _ in range(6):
            sending = bench.begin(wire(body[:130]))
            for _ in range(bench.random.randint(1, 900)):
                await RisingEdge(dut.clk)
            # until an access of before the reset ends
            await break_off(dut, sending, bench.sink, bench.load, bench.sample, rest=12)
            bench.writes.clear()
            await bench.ask(b"\x2a\x01\x00\x01\x02")
