# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Residual: tensors of integers in a memory of bit planes, joined with spikes as the slow model does."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden.slow import residual
from ds2ta.hw.payloads import addressed_row_layout
from ds2ta.hw.residual import ResidualMode
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows, row_bits
from ds2ta.sim.stream import MemoryModel, StreamSource, cycle, in_background, next_cycle, reset


class _Bench:
    def __init__(self, dut, stall: str):
        parameters = bench_parameters()
        self.dut = dut
        self.row_lanes, self.steps = parameters["row_lanes"], parameters["time_steps"]
        self.max_planes, self.address_width = parameters["max_planes"], parameters["address_width"]
        layout = addressed_row_layout(self.row_lanes, self.steps, self.address_width)
        self.source = StreamSource(dut, "i", layout, stall=stall, seed=5)
        self.generator = np.random.default_rng(7)
        self.memory = MemoryModel(
            dut,
            [0] * (1 << self.address_width),
            read=("read_address", "read_enable", "read_data"),
            write=("write__address", "write__enable", "write__data"),
        )
        self.write_cycles: list[int] = []
        in_background(dut, self._watch())

    async def _watch(self):
        while True:
            await next_cycle
            if self.dut.write__enable.value:
                self.write_cycles.append(cycle())

    def rows(self, values: np.ndarray, planes: int) -> list[int]:
        return [row_bits(row, self.steps) for row in plane_rows(values, planes, self.row_lanes)]

    async def join(self, mode: str, planes_in: int, planes_out: int, old: np.ndarray, spikes: np.ndarray):
        """`old` and `spikes` [positions, T, g]: place old in the memory, send the spikes, compare the memory.
        Position n has its planes at `n`, `n + stride`, ..., as a tensor of bit planes outside positions."""
        positions, stride = len(old), len(old)
        assert positions * max(planes_in, planes_out) <= len(self.memory.words)
        noise = self.generator.integers(0, 1 << 30, len(self.memory.words))
        self.memory.words[:] = [int(word) % (1 << self.row_lanes * self.steps) for word in noise]
        expected = list(self.memory.words)
        for n in range(positions):
            for plane, bits in enumerate(self.rows(old[n], planes_in)):
                self.memory.words[n + plane * stride] = expected[n + plane * stride] = bits
            joined = spikes[n] if mode == "store" else residual(old[n], spikes[n], mode)
            for plane, bits in enumerate(self.rows(joined, planes_out)):
                expected[n + plane * stride] = bits
        self.dut.mode.value = ResidualMode[mode.upper()].value
        self.dut.planes_in.value = planes_in
        self.dut.planes_out.value = planes_out
        self.dut.plane_pitch.value = stride % len(self.memory.words)
        begin, begin_write = len(self.source.cycles), len(self.write_cycles)
        order = self.generator.permutation(positions)
        await self.source.send(
            {"row": plane_rows(spikes[n], 1, self.row_lanes)[0], "address": int(n)} for n in order
        )
        await RisingEdge(self.dut.clk)
        assert self.dut.busy.value == 1
        while self.dut.busy.value:
            await RisingEdge(self.dut.clk)
        assert self.memory.words == expected
        accepted, written = self.source.cycles[begin:], self.write_cycles[begin_write:]
        planes = planes_out if mode == "add" else 1
        assert written == [at + 1 + plane for at in accepted for plane in range(planes)]
        return accepted

    def spikes(self, positions: int, chance: float) -> np.ndarray:
        return (self.generator.random((positions, self.steps, self.row_lanes)) < chance).astype(np.int64)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.5", "bursts"])
async def modes(dut, stall):
    """All modes and plane counts, random values; STORE and OR a row each cycle, ADD a row each `planes_out`."""
    bench = _Bench(dut, stall)
    await reset(dut)
    positions = len(bench.memory.words) // bench.max_planes
    jobs = [("store", 0, 1), ("or", 1, 1)]
    jobs += [("add", some, more) for more in range(1, bench.max_planes + 1) for some in range(more + 1)]
    for mode, planes_in, planes_out in jobs:
        for chance in (0.1, 0.5, 1.0):
            spikes = bench.spikes(positions, chance)
            top = (1 << planes_in) - (planes_in == planes_out and mode == "add")  # room for the sum
            old = bench.generator.integers(0, top, spikes.shape)
            accepted = await bench.join(mode, planes_in, planes_out, old, spikes)
            if stall == "never":
                period = planes_out if mode == "add" else 1
                assert np.diff(accepted).tolist() == [period] * (positions - 1)


@cocotb.test()
async def carries(dut):
    """Each value 2**p - 1 plus one carries through p planes; neighbours without a spike stay."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for planes_out in range(1, bench.max_planes + 1):
        values = (1 << np.arange(planes_out)) - 1  # 0, 1, 3, 7 .. : the sum has one more bit, the widest fills it
        for spikes in (np.ones, np.zeros):
            old = np.stack([np.full((bench.steps, bench.row_lanes), value) for value in values])
            await bench.join("add", planes_out, planes_out, old, spikes(old.shape, np.int64))
        mixed = bench.spikes(len(values), 0.5)
        await bench.join("add", planes_out, planes_out, old, mixed)


@cocotb.test()
async def idle_is_silent(dut):
    """Without a row there is neither a read nor a write, whatever the configuration."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for mode in ResidualMode:
        dut.mode.value = mode.value
        dut.planes_in.value = 1
        dut.planes_out.value = bench.max_planes
        for _ in range(4):
            await RisingEdge(dut.clk)
            assert not dut.read_enable.value
            assert not dut.write__enable.value
            assert not dut.busy.value
            assert dut.i__ready.value == 1
