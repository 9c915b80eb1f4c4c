"""Bench of Sequencer: passes of random length, every counter and address, the ends of a program, reset."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import instruction_layout
from ds2ta.gateware.sequencer import counter_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import MemoryModel, cycle, reset, unpack


def _machine() -> Machine:
    return Machine(**bench_parameters()["machine"])


def _program(generator: random.Random, machine: Machine, length: int) -> list[int]:
    """Random instructions, of which the last alone is final; the store's rest is final too, to betray a fetch
    beyond the end."""
    layout = instruction_layout(machine)
    final = 1 << layout["final"].offset
    words = [generator.randrange(1 << layout.size) | final for _ in range(machine.instructions)]
    return [word & ~final if at < length - 1 else word for at, word in enumerate(words)]


async def _until(dut, name: str, limit: int) -> None:
    """Return after the edge of the first cycle in which the port is high."""
    for _ in range(limit):
        await RisingEdge(dut.clk)
        if getattr(dut, name).value:
            return
    raise AssertionError(f"no {name} within {limit} cycles")


async def _pass(dut, generator: random.Random, words: list[int], index: int, length: int) -> int:
    """One pass of `length` cycles, from the edge at the end of its start cycle to the edge of its end; returns the
    cycles that the counters must sum to. Pulses come at random, and `done` is high in the cycle of start."""
    assert dut.start.value == 1
    assert dut.busy.value == 1
    assert int(dut.index.value) == index
    assert int(dut.instruction.value) == words[index]
    final = index == len(words) - 1
    events = rows = 0
    for number in range(1, length):
        last = number == length - 1
        event, row = generator.random() < 0.7, generator.random() < 0.5
        events, rows = events + event, rows + row
        dut.useful.value, dut.row.value, dut.done.value = event, row, last
        await RisingEdge(dut.clk)
        assert dut.start.value == 0
        assert dut.busy.value == 1
        assert dut.record.value == last
        assert dut.fetch.value == (last and not final)
        assert int(dut.instruction.value) == words[index]
    assert int(dut.index.value) == index
    if not final:
        assert int(dut.fetch_address.value) == index + 1
    wrap = 1 << bench_parameters()["machine"]["counter_width"]
    counters = unpack(counter_layout(_machine()), int(dut.counters.value))
    assert counters == {"cycles": length % wrap, "events": events % wrap, "rows": rows % wrap}
    dut.useful.value, dut.row.value = generator.randint(0, 1), generator.randint(0, 1)
    dut.done.value = generator.randint(0, 1)  # ignored in the cycle of start, and while idle
    return length


@cocotb.test()
async def programs(dut):
    """Programs of all lengths from idle to idle: one cycle of fetch, passes without a gap, `busy` from the first
    start to the last end, nothing without `go`."""
    machine = _machine()
    generator = random.Random(str(machine))
    memory = MemoryModel(dut, [], read=("fetch_address", "fetch", "instruction"))
    dut.go.value = 0
    await reset(dut)
    for length in [1, 2, machine.instructions, *(generator.randint(1, machine.instructions) for _ in range(10))]:
        memory.words = words = _program(generator, machine, length)
        dut.go.value = 0
        for _ in range(generator.randint(1, 4)):
            await RisingEdge(dut.clk)
            assert not dut.busy.value
            assert not dut.fetch.value
            assert not dut.start.value
        dut.go.value = 1
        dut.done.value = 1
        await RisingEdge(dut.clk)
        assert dut.fetch.value
        assert not dut.busy.value
        assert int(dut.fetch_address.value) == 0
        assert not dut.record.value
        begin, total = cycle(), 0
        dut.go.value = generator.randint(0, 1)  # not looked at again before the end
        for index in range(length):
            await RisingEdge(dut.clk)
            long = 300 if index == 0 else 25
            total += await _pass(dut, generator, words[:length], index, generator.choice([2, 3, long]))
        assert cycle() - begin == total


@cocotb.test()
async def samples_back_to_back(dut):
    """With `go` held, the next run's fetch comes in the cycle after the last pass and the program starts over at
    instruction 0."""
    generator = random.Random(7)
    machine = _machine()
    words = _program(generator, machine, 3)
    MemoryModel(dut, words, read=("fetch_address", "fetch", "instruction"))
    dut.go.value = 0
    await reset(dut)
    dut.go.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
        assert dut.fetch.value
        assert int(dut.fetch_address.value) == 0
        for index in range(3):
            await RisingEdge(dut.clk)
            await _pass(dut, generator, words[:3], index, generator.randint(2, 9))


@cocotb.test()
async def reset_in_a_pass(dut):
    """A reset ends the run; the next one starts at instruction 0."""
    generator = random.Random(8)
    words = _program(generator, _machine(), 3)
    MemoryModel(dut, words, read=("fetch_address", "fetch", "instruction"))
    dut.go.value = 0
    await reset(dut)
    dut.go.value = 1
    await _until(dut, "start", 3)
    dut.done.value = 1
    await RisingEdge(dut.clk)
    dut.done.value, dut.go.value = 0, 0
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert dut.busy.value
    assert int(dut.index.value) == 1
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for _ in range(3):
        await RisingEdge(dut.clk)
        assert not dut.busy.value
    dut.go.value = 1
    await RisingEdge(dut.clk)
    for index in range(3):
        await RisingEdge(dut.clk)
        await _pass(dut, generator, words[:3], index, 4)
