# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Store and DualPortMemory against a list of integers: contents, chunk loads, latency, held data."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import reset


class _Bench:
    def __init__(self, dut):
        self.dut = dut
        self.parameters = parameters = bench_parameters()
        self.width, self.depth, self.kind = parameters["width"], parameters["depth"], parameters["kind"]
        self.chunk_bits = parameters.get("chunk_bits", 16)
        self.chunks = -(-self.width // self.chunk_bits)
        self.generator = random.Random(6)
        init = list(parameters.get("init", ()))
        # spram starts undefined: nothing is read there before it was written
        self.words: list[int | None] = init + [None if self.kind == "spram" else 0] * (self.depth - len(init))

    async def start(self):
        self.dut.enable.value = 0
        if self.kind != "rom":
            self.dut.load__enable.value = 0
        await reset(self.dut)

    async def load(self, address: int, word: int):
        """All chunks of a row, in random order, at random moments."""
        for chunk in self.generator.sample(range(self.chunks), self.chunks):
            await self.load_chunk(address, chunk, word >> chunk * self.chunk_bits)
        self.words[address] = word

    async def load_chunk(self, address: int, chunk: int, value: int):
        dut = self.dut
        dut.load__enable.value = 1
        dut.load__address.value = address
        dut.load__chunk.value = chunk
        dut.load__data.value = value % (1 << self.chunk_bits)
        await RisingEdge(dut.clk)
        dut.load__enable.value = 0
        # without enable the other load inputs mean nothing
        dut.load__address.value = self.generator.randrange(self.depth)
        dut.load__data.value = self.generator.randrange(1 << self.chunk_bits)
        if self.generator.random() < 0.2:
            await RisingEdge(dut.clk)

    async def read(self, addresses, idle: float = 0.0):
        """Read in the given order; `idle` is the chance of a cycle with enable low, in which data must hold."""
        dut, expected = self.dut, None
        for address in addresses:
            while True:
                enabled = self.generator.random() >= idle
                dut.enable.value = enabled
                dut.address.value = address if enabled else self.generator.randrange(self.depth)
                await RisingEdge(dut.clk)
                if expected is not None:
                    assert int(dut.data.value) == expected
                if enabled:
                    expected = self.words[address]
                    break
        dut.enable.value = 0
        for _ in range(4):
            dut.address.value = self.generator.randrange(self.depth)
            await RisingEdge(dut.clk)
            assert int(dut.data.value) == expected

    def edges(self) -> list[int]:
        """Addresses around the ends of the store and of each stacked SPRAM."""
        near = {0, 1, self.depth - 1, self.depth - 2, 1023, 1024, 2047, 2048, 16383, 16384, 16385}
        return sorted(address for address in near if 0 <= address < self.depth)


@cocotb.test()
async def contents(dut):
    """What a Store holds at power-up, then rows loaded chunk by chunk, at the ends and anywhere."""
    bench = _Bench(dut)
    await bench.start()
    if bench.kind != "spram":
        order = list(range(bench.depth))
        bench.generator.shuffle(order)
        await bench.read(order)
        await bench.read(order, idle=0.5)
    if bench.kind == "rom":
        assert not hasattr(dut, "load__enable")
        return
    rows = bench.edges() + [bench.generator.randrange(bench.depth) for _ in range(60)]
    for address in rows:
        await bench.load(address, bench.generator.randrange(1 << bench.width))
    bench.generator.shuffle(rows)
    await bench.read(rows)
    await bench.read(rows, idle=0.5)
    for address in rows[:20]:  # a chunk leaves its neighbours alone
        chunk = bench.generator.randrange(bench.chunks)
        size = min(bench.chunk_bits, bench.width - chunk * bench.chunk_bits)
        mask = (1 << size) - 1 << chunk * bench.chunk_bits
        value = bench.generator.randrange(1 << size)
        await bench.load_chunk(address, chunk, value)
        bench.words[address] = bench.words[address] & ~mask | value << chunk * bench.chunk_bits
        await bench.read([address])
    await bench.read(rows, idle=0.3)
    for address in bench.edges():
        for word in (0, (1 << bench.width) - 1):
            await bench.load(address, word)
            await bench.read([address])


@cocotb.test()
async def every_port(dut):
    """Each port reads a row of its own in every cycle, or none; then again after rows were loaded. With a latency
    of 1, data hold while enable is low."""
    bench = _Bench(dut)
    ports, latency = bench.parameters.get("ports", 1), bench.parameters.get("latency", 1)
    names = ["", "second__"][:ports]
    await bench.start()

    async def reads(cycles: int) -> None:
        shown: list[list[int | None]] = [[None] * ports for _ in range(latency)]  # of this cycle, of the next
        for _ in range(cycles):
            asked: list[int | None] = []
            for port, name in enumerate(names):
                enabled = bench.generator.random() < 0.8
                address = bench.generator.choice([bench.generator.randrange(bench.depth), *bench.edges()])
                getattr(dut, f"{name}enable").value = enabled
                getattr(dut, f"{name}address").value = address
                held = shown[-1][port] if latency == 1 else None
                asked.append(bench.words[address] if enabled else held)
            await RisingEdge(dut.clk)
            for name, expected in zip(names, shown.pop(0), strict=True):
                assert expected is None or int(getattr(dut, f"{name}data").value) == expected
            shown.append(asked)

    await reads(600)
    if bench.kind == "rom":
        return
    for _ in range(10):
        for address in [*bench.edges(), *(bench.generator.randrange(bench.depth) for _ in range(9))]:
            await bench.load(address, bench.generator.randrange(1 << bench.width))
        await reads(100)


@cocotb.test()
async def traffic(dut):
    """DualPortMemory: reads and writes at random, mostly both; every collision is announced, and no other."""
    width, depth = bench_parameters()["width"], bench_parameters()["depth"]
    generator = random.Random(12)
    words, expected, collisions = [0] * depth, None, 0
    dut.read_enable.value = 0
    dut.write__enable.value = 0
    await reset(dut)
    for _ in range(3000):
        reading, writing = generator.random() < 0.7, generator.random() < 0.7
        source, sink = generator.randrange(depth), generator.randrange(depth)
        row = generator.randrange(1 << width)
        dut.read_enable.value, dut.read_address.value = reading, source
        dut.write__enable.value, dut.write__address.value, dut.write__data.value = writing, sink, row
        await RisingEdge(dut.clk)
        if expected is not None:
            assert int(dut.read_data.value) == expected
        collides = reading and writing and source == sink
        assert dut.collision.value == collides
        collisions += collides
        if reading:
            expected = None if collides else words[source]  # what a collision reads is open
        if writing:
            words[sink] = row
    assert collisions
