# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Sequencer: passes of random length, every counter and address, the ends of a program, reset."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, instruction_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import MemoryModel, cycle, in_background, next_cycle, reset


def _machine() -> Machine:
    return Machine(**bench_parameters()["machine"])


class _Bench:
    def __init__(self, dut, seed: int):
        self.dut, self.machine, self.generator = dut, _machine(), random.Random(seed)
        self.size = instruction_layout(self.machine).size
        self.words = -(-self.size // PROGRAM_WORD)
        self.memory = MemoryModel(dut, [], read=("fetch_address", "fetch", "word"))
        self.program: list[int] = []
        self.counts: dict[int, tuple[int, int]] = {}  # address -> (cycle, value)
        in_background(dut, self._watch_counts())

    def load(self, length: int) -> None:
        """Random instructions, of which the last alone is final; the store's rest is final too, to betray a fetch
        beyond the end."""
        final = 1 << instruction_layout(self.machine)["final"].offset
        program = [self.generator.randrange(1 << self.size) | final for _ in range(self.machine.instructions)]
        program = [word & ~final if at < length - 1 else word for at, word in enumerate(program)]
        mask = (1 << PROGRAM_WORD) - 1
        self.memory.words = [word >> PROGRAM_WORD * place & mask for word in program for place in range(self.words)]
        self.program = program[:length]

    async def _watch_counts(self) -> None:
        dut = self.dut
        while True:
            await next_cycle
            if dut.count_enable.value:
                address = int(dut.count_address.value)
                assert address not in self.counts, f"counter {address} written twice"
                self.counts[address] = (cycle(), int(dut.count_data.value))

    async def quiet(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            assert not self.dut.busy.value
            assert not self.dut.fetch.value
            assert not self.dut.start.value

    def take_counts(self, index: int, ended: int, cycles: int, events: int, rows: int) -> None:
        """The three counters of a pass that ended in cycle `ended`."""
        wrap = 1 << self.machine.counter_width
        for which, value in enumerate((cycles, events, rows)):
            at, written = self.counts.pop(4 * index + which)
            assert at == ended + 1 + which, f"counter {which} of pass {index}"
            assert written == value % wrap, f"counter {which} of pass {index}"

    async def fetch(self, index: int) -> int:
        """The cycles of a fetch, from the edge before the first of them; returns how many."""
        dut = self.dut
        for number in range(self.words):
            await RisingEdge(dut.clk)
            assert dut.busy.value == 1
            assert dut.start.value == 0
            more = number < self.words - 1
            assert dut.fetch.value == more
            if more:
                assert int(dut.fetch_address.value) == index * self.words + number + 1
        return self.words

    async def run_pass(self, index: int, length: int) -> tuple[int, int, int]:
        """One pass of `length` cycles from its start on, its fetch before; returns its counters. Pulses come at
        random, and `done` is high in the cycle of start."""
        dut, generator = self.dut, self.generator
        cycles = await self.fetch(index)
        await RisingEdge(dut.clk)
        assert dut.start.value == 1
        assert dut.busy.value == 1
        assert int(dut.index.value) == index
        assert int(dut.instruction.value) == self.program[index]
        final = index == len(self.program) - 1
        events = rows = 0
        for number in range(1, length):
            last = number == length - 1
            event, row = generator.random() < 0.7, generator.random() < 0.5
            events, rows = events + event, rows + row
            dut.useful.value, dut.row.value, dut.done.value = event, row, last
            await RisingEdge(dut.clk)
            assert dut.start.value == 0
            assert dut.busy.value == 1
            assert dut.fetch.value == (last and not final)
            assert int(dut.instruction.value) == self.program[index]
        assert int(dut.index.value) == index
        if not final:
            assert int(dut.fetch_address.value) == (index + 1) * self.words
        dut.useful.value, dut.row.value = 0, 0
        dut.done.value = generator.randint(0, 1)  # ignored in a fetch, in the cycle of start, and while idle
        return cycles + length, events, rows

    async def program_run(self, lengths: list[int]) -> int:
        """All passes, from the edge of the cycle of `go` on; returns the cycles of `busy`."""
        begin, total, before = cycle(), 0, None
        for index, length in enumerate(lengths):
            counters = await self.run_pass(index, length)
            total += counters[0]
            assert cycle() - begin == total
            if before is not None:
                self.take_counts(index - 1, *before)
            before = (cycle(), *counters)
        self.dut.go.value = 0
        await self.quiet(3)
        await RisingEdge(self.dut.clk)
        assert before is not None, "no pass"
        self.take_counts(len(lengths) - 1, *before)
        return total


@cocotb.test()
async def programs(dut):
    """Programs of all lengths from idle to idle: the words of each instruction, passes without a gap, `busy` from
    the first fetch to the last end, every counter written once and at its time, nothing without `go`."""
    bench = _Bench(dut, 1)
    generator, machine = bench.generator, bench.machine
    dut.go.value = 0
    await reset(dut)
    for length in [1, 2, machine.instructions, *(generator.randint(1, machine.instructions) for _ in range(10))]:
        bench.load(length)
        await bench.quiet(generator.randint(1, 4))
        dut.go.value = 1
        dut.done.value = 1
        await RisingEdge(dut.clk)
        assert dut.fetch.value
        assert not dut.busy.value
        assert int(dut.fetch_address.value) == 0
        dut.go.value = generator.randint(0, 1) if length > 1 else 0  # not looked at again before the end
        await bench.program_run([generator.choice([2, 3, 300 if i == 0 else 25]) for i in range(length)])
        assert not bench.counts


@cocotb.test()
async def samples_back_to_back(dut):
    """With `go` held, the next run's fetch is asked for in the cycle after the last pass, the program starts over
    at instruction 0, and the last pass's counters are still written."""
    bench = _Bench(dut, 7)
    bench.load(3)
    dut.go.value = 0
    await reset(dut)
    dut.go.value = 1
    before = None
    for _ in range(4):
        await RisingEdge(dut.clk)
        assert dut.fetch.value
        assert int(dut.fetch_address.value) == 0
        for index in range(3):
            counters = await bench.run_pass(index, bench.generator.randint(2, 9))
            if before is not None:
                bench.take_counts(*before)
            before = (index, cycle(), *counters)


@cocotb.test()
async def reset_in_a_pass(dut):
    """A reset in a fetch or in a pass ends the run; the next one starts at instruction 0."""
    bench = _Bench(dut, 8)
    bench.load(3)
    dut.go.value = 0
    await reset(dut)
    for wait in (1, 2, bench.words + 1, bench.words + 4, 2 * bench.words + 6):
        dut.go.value = 1
        dut.done.value = 1
        for _ in range(wait):
            await RisingEdge(dut.clk)
            dut.go.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value, dut.done.value = 0, 0
        await bench.quiet(3)
        bench.counts.clear()
        dut.go.value = 1
        await RisingEdge(dut.clk)
        await bench.program_run([4, 4, 4])
