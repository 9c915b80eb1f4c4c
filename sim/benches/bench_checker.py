# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of StoreChecker: CRCs by zlib, requests answered late, a machine that is busy at random, restarts."""

import random
import zlib

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.stores import CHUNK, store_shapes
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import cycle, in_background, next_cycle, reset


class _Bench:
    """Stores and register file around the checker, both by their documented timing."""

    def __init__(self, dut, seed: int, *, late: bool = True):
        self.dut, self.generator, self.late = dut, random.Random(seed), late
        machine = Machine(**bench_parameters()["machine"])
        self.latency, self.shapes = machine.weight_latency, list(store_shapes(machine).values())
        self.stores = [
            [self.generator.getrandbits(shape.width) for _ in range(shape.rows)] for shape in self.shapes
        ]
        self.rows = [self.generator.randint(1, shape.rows) for shape in self.shapes]
        self.expected: list[int] = []
        self.found: dict[int, int] = {}  # store -> CRC of the last comparison
        self.scans: list[tuple[int, int]] = []  # (store, row) in the order in which they were begun
        self.agreed = 0
        self.expect()

    def crc(self, store: int) -> int:
        shape = self.shapes[store]
        # written out, and not `shape.crc`: the bench of the CRC must not take it from where the design's users do
        rows = self.stores[store][: self.rows[store]]
        return zlib.crc32(b"".join(row.to_bytes(shape.chunks * 2, "little") for row in rows))

    def expect(self) -> None:
        self.expected = [self.crc(store) for store in range(len(self.stores))]

    async def start(self) -> None:
        dut = self.dut
        dut.idle.value = 1
        dut.restart.value, dut.fetched.value, dut.word.value, dut.scan__data.value = 0, 0, 0, 0
        await reset(dut, limit=2_000_000)
        in_background(dut, self._registers())
        in_background(dut, self._memories())
        in_background(dut, self._watch())

    async def restart(self) -> None:
        self.dut.restart.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.restart.value = 0
        self.agreed = 0
        self.scans.clear()
        self.found.clear()

    async def _registers(self) -> None:
        """Answers a request after a while; a restart makes it void."""
        dut = self.dut
        while True:
            await next_cycle
            dut.fetched.value = 0
            if not dut.fetch.value or dut.restart.value or dut.fetched.value:
                continue
            if self.late and self.generator.random() < 0.7:
                continue
            store, expected = int(dut.fetch_store.value), int(dut.fetch_expected.value)
            dut.word.value = self.expected[store] if expected else self.rows[store]
            dut.fetched.value = 1

    async def _memories(self) -> None:
        """The chunk of cycle c in cycle c + 1, and garbage before the stores have shown the row."""
        dut, before, age = self.dut, None, 0
        while True:
            await next_cycle
            if not dut.scan__enable.value:
                before = None
                dut.scan__data.value = self.generator.getrandbits(CHUNK)
                continue
            at = int(dut.scan__store.value), int(dut.scan__row.value)
            age = age + 1 if at == before else 0
            before = at
            row = self.stores[at[0]][at[1]]
            chunk = row >> CHUNK * int(dut.scan__chunk.value) & (1 << CHUNK) - 1
            dut.scan__data.value = chunk if age > self.latency else chunk ^ self.generator.randrange(1, 1 << CHUNK)

    async def _watch(self) -> None:
        """Rows in order and whole, begun only in idle cycles, quiet in between; what was compared."""
        dut, idle, reading = self.dut, True, False
        while True:
            await next_cycle
            enable = bool(dut.scan__enable.value)
            assert enable != bool(dut.quiet.value)
            if enable and not reading and not dut.restart.value:
                assert idle, "a row was begun while the machine was not idle"
                self.scans.append((int(dut.scan__store.value), int(dut.scan__row.value)))
            if dut.fetched.value and dut.fetch.value and dut.fetch_expected.value and not dut.restart.value:
                self.found[int(dut.fetch_store.value)] = int(dut.found.value)
            self.agreed += int(dut.agreed.value)
            idle, reading = bool(dut.idle.value), enable

    async def until(self, condition, limit: int = 200_000) -> None:
        for _ in range(limit):
            if condition():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError("the checker did not get there")

    def flags(self) -> tuple[int, int]:
        return int(self.dut.good.value), int(self.dut.bad.value)

    def order(self) -> list[tuple[int, int]]:
        """One scan."""
        return [(store, row) for store, rows in enumerate(self.rows) for row in range(rows)]


@cocotb.test()
async def agrees(dut):
    """Scan after scan: every row once and in order, the CRCs are zlib's, and `good` comes with the first end."""
    bench = _Bench(dut, 1)
    await bench.start()
    await bench.until(lambda: len(bench.scans) == len(bench.order()))
    assert bench.flags() == (0, 0)
    await bench.until(lambda: bench.agreed == 1)
    await RisingEdge(dut.clk)
    assert bench.flags() == (1, 0)
    assert bench.scans[: len(bench.order())] == bench.order()
    assert [bench.found[store] for store in range(4)] == bench.expected
    await bench.until(lambda: bench.agreed == 3)
    assert bench.scans[: 3 * len(bench.order())] == 3 * bench.order()


@cocotb.test()
async def takes_its_time(dut):
    """An undisturbed scan takes 5 chunks + 2 + `weight_latency` cycles a row, and 6 for each store whose settings
    come at once."""
    bench = _Bench(dut, 2, late=False)
    await bench.start()
    await bench.until(lambda: bench.agreed == 1)
    begin = cycle()
    await bench.until(lambda: bench.agreed == 2)
    rows = sum(
        rows * (5 * shape.chunks + 2 + bench.latency) for rows, shape in zip(bench.rows, bench.shapes, strict=True)
    )
    assert cycle() - begin == rows + 6 * len(bench.shapes)


@cocotb.test()
async def nothing_to_check(dut):
    """Stores without rows have the CRC 0, alone or among others."""
    bench = _Bench(dut, 3)
    for empty in ((0, 1, 2, 3), (0, 2), (3,)):
        bench.rows = [0 if store in empty else bench.shapes[store].rows for store in range(4)]
        bench.expect()
        assert all(bench.expected[store] == 0 for store in empty)
        if empty == (0, 1, 2, 3):
            await bench.start()
        await bench.restart()
        await bench.until(lambda: bench.agreed == 1)
        await RisingEdge(dut.clk)
        assert bench.flags() == (1, 0)


@cocotb.test()
async def flipped_bits(dut):
    """Any flipped bit of a checked row is found and named, kept when the bit comes back, forgotten by a restart; a
    bit beyond the checked rows is nobody's business."""
    bench = _Bench(dut, 4)
    bench.rows = [max(1, shape.rows - 1) for shape in bench.shapes]
    bench.expect()
    await bench.start()
    for store, shape in enumerate(bench.shapes):
        for bit in (0, shape.width - 1, bench.generator.randrange(shape.width)):
            await bench.restart()
            await bench.until(lambda: bench.agreed == 1)
            row = bench.generator.choice([0, bench.rows[store] - 1])
            bench.stores[store][row] ^= 1 << bit
            await bench.until(lambda: bench.flags() == (0, 1 << store))  # noqa: B023
            assert bench.found[store] == bench.crc(store)
            bench.stores[store][row] ^= 1 << bit
            before = bench.agreed
            await bench.until(lambda: bench.agreed == before + 1)  # noqa: B023
            await RisingEdge(dut.clk)
            assert bench.flags() == (1, 1 << store)
        if bench.rows[store] < shape.rows:
            await bench.restart()
            bench.stores[store][shape.rows - 1] ^= 1
            await bench.until(lambda: bench.agreed == 2)
            assert bench.flags() == (1, 0)


@cocotb.test()
async def one_bad_among_good(dut):
    """A scan with a disagreement in any store does not agree as a whole, even if the others do."""
    bench = _Bench(dut, 5)
    await bench.start()
    for store in range(4):
        bench.expect()
        bench.expected[store] ^= 1 << bench.generator.randrange(32)
        await bench.restart()
        await bench.until(lambda: len(bench.scans) > 2 * len(bench.order()))
        assert bench.agreed == 0
        assert bench.flags() == (0, 1 << store)


@cocotb.test()
async def busy_machine(dut):
    """A machine that is idle at random delays the scan, never spoils it; a row that was begun is ended."""
    bench = _Bench(dut, 6)
    await bench.start()
    await bench.restart()
    while bench.agreed < 2:
        dut.idle.value = bench.generator.random() < 0.3
        for _ in range(bench.generator.randint(1, 60)):
            await RisingEdge(dut.clk)
    assert bench.flags() == (1, 0)
    assert bench.scans[: 2 * len(bench.order())] == 2 * bench.order()
    dut.idle.value = 0
    for _ in range(5 * max(shape.chunks for shape in bench.shapes) + 3 + bench.latency):
        await RisingEdge(dut.clk)
    for _ in range(100):
        assert dut.quiet.value
        await RisingEdge(dut.clk)


@cocotb.test()
async def restarts_anywhere(dut):
    """After a restart in any cycle the scan begins at row 0 of store 0 and is right."""
    bench = _Bench(dut, 7)
    bench.rows = [min(3, shape.rows) for shape in bench.shapes]
    bench.expect()
    await bench.start()
    for wait in range(1, 90):
        for _ in range(wait):
            await RisingEdge(dut.clk)
        bench.stores[wait % 4][0] ^= 1
        bench.expect()
        await bench.restart()
        assert bench.agreed == 0
        await RisingEdge(dut.clk)
        assert bench.flags() == (0, 0)
        await bench.until(lambda: bench.agreed == 1)
        await RisingEdge(dut.clk)
        assert bench.flags() == (1, 0)
        assert bench.scans[: len(bench.order())] == bench.order()
