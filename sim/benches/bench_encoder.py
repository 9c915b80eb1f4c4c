# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of InputEncoder: images and event frames of every shape, against plain layout arithmetic."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import input_rows, row_bits
from ds2ta.sim.stream import MemoryModel, StreamSource, cycle, in_background, next_cycle, reset


class _Bench:
    def __init__(self, dut, stall: str):
        parameters = bench_parameters()
        self.dut = dut
        self.row_lanes, self.steps = parameters["row_lanes"], parameters["time_steps"]
        self.max_channels, self.max_bits = parameters["max_channels"], parameters["max_bits"]
        self.size = 1 << parameters["address_width"]
        self.source = StreamSource(dut, "i", stall=stall, seed=4)
        self.memory = MemoryModel(dut, [0] * self.size, write=("write__address", "write__enable", "write__data"))
        self.kinds = (False, True) if parameters["event_frames"] else (False,)
        self.generator = np.random.default_rng(4)
        self.done_from: int | None = None
        in_background(dut, self._watch())

    async def _watch(self):
        """The cycle in which `done` rose last."""
        while True:
            await next_cycle
            if not self.dut.done.value:
                self.done_from = None
            elif self.done_from is None:
                self.done_from = cycle()

    async def sample(self, frames: bool, channels: int, bits: int, model_steps: int, positions: int, top: int):
        """Encode one random sample [positions, T, C] with values below `2**top`; return its cycles from start to
        `done`, and what they should be without stalls."""
        dut = self.dut
        shape = positions, model_steps if frames else 1, channels
        values = self.generator.integers(0, 1 << top, shape)
        values[self.generator.random(shape) < 0.2] = 0
        values[self.generator.random(shape) < 0.2] = (1 << top) - 1
        base = int(self.generator.integers(0, self.size))
        dut.frames.value, dut.channels.value, dut.bits.value = frames, channels, bits
        dut.base.value, dut.model_steps.value = base, model_steps
        dut.positions.value = positions % self.size
        expected = []
        for position in values:
            whole = np.broadcast_to(position, (model_steps, channels))
            rows = input_rows(whole & (1 << bits) - 1, bits, self.row_lanes)
            expected += [row_bits(row, self.steps) for row in rows]
        addresses = [(base + index) % self.size for index in range(len(expected))]
        self.memory.writes.clear()
        dut.start.value = 1
        await RisingEdge(dut.clk)
        begin = cycle()
        dut.start.value = 0
        await self.source.send(int(value) for position in values for value in position.T.flat)
        await RisingEdge(dut.clk)
        while not dut.done.value:
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert self.memory.writes == list(zip(addresses, expected, strict=True))
        assert self.done_from is not None
        return self.done_from - begin, 1 + values.size + len(expected) * self.row_lanes


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.4", "bursts"])
async def shapes(dut, stall):
    """Every channel count and bit depth, images and frames, fewer steps than the machine has; exact cycles."""
    bench = _Bench(dut, stall)
    await reset(dut)
    for channels in range(1, bench.max_channels + 1):
        for bits in range(1, bench.max_bits + 1):
            for frames in bench.kinds:
                for model_steps in sorted({1, max(1, bench.steps - 1), bench.steps}):
                    taken, promised = await bench.sample(frames, channels, bits, model_steps, 3, bits)
                    assert taken == promised if stall == "never" else taken >= promised


@cocotb.test()
async def every_step_count(dut):
    """Steps beyond the model's are zero, also after a longer model ran."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for frames in bench.kinds[::-1]:
        for model_steps in range(bench.steps, 0, -1):
            await bench.sample(frames, bench.max_channels, bench.max_bits, model_steps, 2, bench.max_bits)


@cocotb.test()
async def values_beyond_bits(dut):
    """A byte with bits above `bits` leaves no trace in other planes, padding lanes or the next position."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for bits in range(1, bench.max_bits + 1):
        for channels in range(1, bench.max_channels + 1):
            await bench.sample(bench.kinds[-1], channels, bits, bench.steps, 4, 8)


@cocotb.test()
async def all_positions(dut):
    """Positions up to the full address space (count 0 stands for it); the address wraps like every other."""
    bench = _Bench(dut, "random:0.1")
    await reset(dut)
    for positions in (1, bench.size - 1, bench.size):
        await bench.sample(False, 1, 1, bench.steps, positions, 1)


@cocotb.test()
async def idle_takes_nothing(dut):
    """Before the first start no byte is accepted, and after the last position none either."""
    bench = _Bench(dut, "never")
    await reset(dut)
    await bench.sample(False, 1, 1, 1, 1, 1)
    taken = len(bench.source.cycles)
    bench.source.start([0] * 3)
    for _ in range(20):
        await RisingEdge(dut.clk)
        assert dut.i__ready.value == 0
        assert dut.done.value == 1
    assert len(bench.source.cycles) == taken
