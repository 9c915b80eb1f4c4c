# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of SpikeBank against arrays of integers, one for each slot: writes of any slots, reads of any slots, held
data, collisions; with a single port a cycle reads or writes."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import reset


class _Bench:
    def __init__(self, dut):
        p = bench_parameters()
        self.dut = dut
        self.slots, self.rows, self.single_port = p["slots"], p["rows"], p.get("single_port", False)
        self.bits = p["row_lanes"] * p["time_steps"] // p["slots"]
        self.every = (1 << self.slots) - 1
        self.generator = random.Random(11)
        self.content = [[0] * self.rows for _ in range(self.slots)]
        self.shown: list[int | None] = [None] * self.slots  # None: open

    async def start(self, *, fill: bool = True):
        """Reset; `fill` gives every row a content, as a reset clears none."""
        self.dut.read_enable.value = 0
        self.dut.write__enable.value = 0
        await reset(self.dut)
        for row in range(self.rows * fill):
            await self.cycle(0, 0, row, self.every)

    def row(self) -> int:
        return self.generator.randrange(1 << self.slots * self.bits)

    def slot_of(self, row: int, slot: int) -> int:
        return row >> slot * self.bits & (1 << self.bits) - 1

    async def cycle(self, source: int, reads: int, sink: int, writes: int, enable: bool = True) -> bool:
        """One cycle: the slots `reads` of row `source` are read, the slots `writes` of row `sink` written if
        `enable`. The output is that of the cycles before, and what collides is announced."""
        dut, row = self.dut, self.row()
        dut.read_address.value, dut.read_enable.value = source, reads
        dut.write__address.value, dut.write__slots.value, dut.write__row.value = sink, writes, row
        dut.write__enable.value = enable
        await RisingEdge(dut.clk)
        found = int(dut.read_data.value)
        for slot, wanted in enumerate(self.shown):
            assert wanted is None or self.slot_of(found, slot) == wanted, (
                f"slot {slot} of {found:x}, not {wanted:x}"
            )
        collides = bool(enable and (reads if self.single_port else source == sink and reads & writes))
        assert bool(dut.collision.value) == collides
        for slot in range(self.slots):
            written = enable and writes >> slot & 1
            if reads:  # what a collision reads is open, and so is a slot beside those that are read
                known = reads >> slot & 1 and not (written and source == sink)
                self.shown[slot] = self.content[slot][source] if known else None
            if enable and self.single_port:
                self.shown[slot] = None
            if written:
                self.content[slot][sink] = self.slot_of(row, slot)
        return collides

    async def contents(self):
        """Read every row whole and compare."""
        for row in range(self.rows):
            await self.cycle(row, self.every, 0, 0, enable=False)
        await self.cycle(0, 0, 0, 0, enable=False)


@cocotb.test()
async def slots_are_memories_of_their_own(dut):
    """The first test: empty at power-up, but for single-port RAM. Each slot written alone, each mask, each row: the
    others keep theirs."""
    bench = _Bench(dut)
    await bench.start(fill=bench.single_port)
    await bench.contents()
    for row in range(bench.rows):
        for slot in range(bench.slots):
            await bench.cycle(0, 0, row, 1 << slot)
    await bench.contents()
    masks = {0, bench.every, *(bench.every << slot & bench.every for slot in range(bench.slots))}
    masks |= {bench.generator.randrange(1 << bench.slots) for _ in range(20)}
    for mask in sorted(masks):
        await bench.cycle(0, 0, bench.generator.randrange(bench.rows), mask)
        await bench.cycle(0, 0, bench.generator.randrange(bench.rows), bench.every, enable=False)
    await bench.contents()


@cocotb.test()
async def a_slot_is_read_while_another_is_written(dut):
    """In one cycle and of one row: neither disturbs the other, nothing collides. The same slot does, and with a
    single port any two do."""
    bench = _Bench(dut)
    await bench.start()
    for row in range(bench.rows):
        for read in range(bench.slots):
            for write in range(bench.slots):
                assert await bench.cycle(row, 1 << read, row, 1 << write) == (read == write or bench.single_port)
                await bench.cycle(row, 1 << read, row, 1 << write, enable=False)
        await bench.cycle(row, bench.every, (row + 1) % bench.rows, bench.every, enable=bench.rows > 1)
    await bench.contents()


@cocotb.test()
async def slots_hold(dut):
    """Without a read the slots show what they showed, whatever the address and the writes do."""
    bench = _Bench(dut)
    await bench.start()
    draw = bench.generator.randrange
    for reads in [bench.every, *(1 << slot for slot in range(bench.slots))]:
        await bench.cycle(draw(bench.rows), reads, 0, 0, enable=False)
        for _ in range(8):
            await bench.cycle(draw(bench.rows), 0, draw(bench.rows), bench.every, enable=draw(2) == 1)


@cocotb.test()
async def traffic(dut):
    """Reads and writes at random, mostly both, of random slots; every collision is announced, and no other."""
    bench = _Bench(dut)
    await bench.start()
    draw, collisions = bench.generator.randrange, 0
    for _ in range(3000):
        reads = draw(1 << bench.slots) if draw(4) else 0
        writes = draw(1 << bench.slots)
        read = draw(bench.rows)
        written = draw(bench.rows) if draw(4) else read
        collisions += await bench.cycle(read, reads, written, writes, enable=bool(draw(4)))
    assert collisions
    await bench.contents()
