# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of MemoryReader between a memory and a ring: readings and checks, CRCs against zlib, room, breaks at any
moment."""

import random
import zlib

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import memory_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.run_memory import RunMemory
from ds2ta.sim.stream import cycle, in_background, next_cycle, reset, unpack


class _Bench:
    """Plays the ring: takes what comes, gives rows back by tiles, and knows how many may be on their way."""

    def __init__(self, dut, stall: str = "never", latency: int = 0):
        p = self.p = bench_parameters()
        self.dut = dut
        self.generator = random.Random(f"{stall}{p}")
        size = p["row_words"] * p["rows"]
        self.words = self.new_words(size)
        self.memory = RunMemory(
            dut,
            self.words,
            memory_bits=p["memory_bits"],
            address_bits=p["address_bits"],
            stall=stall,
            latency=latency,
        )
        self.dones: list[tuple[int, int, int]] = []  # cycle, differs, found
        self.taken: list[dict] = []  # since the last break
        self.cycles: list[int] = []
        self.rows = 0  # of a reading
        self.held = 0  # rows that were asked for or came, and were not given back
        self.frees = True  # gives rows back
        self.fails = 0  # cycles with `failed`
        self.voids = False
        for name in ("rows", "expected", "restart", "resync", "idle", "starved", "freed"):
            getattr(dut, name).value = 0
        dut.o__ready.value = 1

    def new_words(self, count: int) -> list[int]:
        return [self.generator.getrandbits(self.p["memory_bits"]) for _ in range(count)]

    async def start(self) -> None:
        await reset(self.dut)
        in_background(self.dut, self._ring())

    async def _ring(self) -> None:
        dut, row_words, ring_rows = self.dut, self.p["row_words"], self.p["ring_rows"]
        layout = memory_layout(self.p["memory_bits"])
        pauses, freed, came, done_rows = 0, 0, 0, 0  # came: rows since the reading began; done_rows: given back
        while True:
            await next_cycle
            if dut.done.value:
                self.dones.append((cycle(), int(dut.differs.value), int(dut.found.value)))
            self.fails += int(dut.failed.value)
            if dut.restart.value or dut.resync.value or dut.rst.value:
                self.taken.clear()
                self.cycles.clear()
                came = done_rows = 0
            elif dut.o__valid.value:
                self.taken.append(unpack(layout, int(dut.o__payload.value)))
                self.cycles.append(cycle())
                came = -(-len(self.taken) // row_words)
                assert came - done_rows <= ring_rows, "words without room"
            freed, pauses = 0, max(0, pauses - 1)
            whole = len(self.taken) // row_words
            if self.frees and not pauses and whole > done_rows:
                ended = self.rows and whole % self.rows == 0
                tile = min(self.generator.randint(1, ring_rows), self.rows - done_rows % self.rows)
                if whole - done_rows >= tile or (ended and whole - done_rows):
                    freed = min(tile, whole - done_rows)
                    done_rows += freed
                    pauses = self.generator.choice((0, 1, 5, 60))
            dut.freed.value = freed

    async def pulse(self, name: str) -> None:
        getattr(self.dut, name).value = 1
        await RisingEdge(self.dut.clk)
        getattr(self.dut, name).value = 0

    def crc(self, rows: int) -> int:
        size = self.p["memory_bits"] // 8
        words = self.words[: rows * self.p["row_words"]]
        return zlib.crc32(b"".join(word.to_bytes(size, "little") for word in words))

    def reading(self, rows: int) -> list[dict]:
        count = rows * self.p["row_words"]
        return [{"word": word, "last": at == count - 1} for at, word in enumerate(self.words[:count])]

    async def contents(self, rows: int, expected: int | None = None) -> None:
        """Other words: a restart, and a while later their number."""
        self.dut.rows.value = 0
        await self.pulse("restart")
        self.dut.expected.value = self.crc(rows) if expected is None else expected
        self.dut.rows.value = self.rows = rows

    async def until(self, done, limit: int = 60_000) -> None:
        for _ in range(limit):
            if done():
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError("this never comes")

    async def next_dones(self, count: int) -> None:
        """So many more readings end."""
        count += len(self.dones)
        await self.until(lambda: len(self.dones) >= count)

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def take(self, readings: int) -> None:
        """So many readings come, whole and in order."""
        wanted = readings * self.reading(self.rows)
        await self.until(lambda: len(self.taken) >= len(wanted))
        assert self.taken[: len(wanted)] == wanted


@cocotb.test()
@cocotb.parametrize(memory=[("never", 0), ("random:0.4", 3), ("bursts", 30)])
async def readings(dut, memory):
    """The first reading is a check and goes nowhere, the next ones go to the ring; each has its CRC. Runs are whole
    rows, and end at multiples of a piece, or where the ring or the reading does."""
    bench = _Bench(dut, *memory)
    await bench.start()
    await bench.wait(5)
    assert not bench.memory.runs  # no rows, no run
    row, piece, most = bench.p["row_words"], bench.p["piece_rows"], bench.p["rows"]
    for rows in (1, 2, piece, piece + 1, most - 1, most):
        await bench.contents(rows)
        bench.memory.runs.clear()
        bench.dones.clear()
        for _ in range((1 << bench.p["settle"]) - 2):
            assert not bench.memory.runs
            await RisingEdge(dut.clk)
        await bench.until(lambda: len(bench.dones) == 1)
        assert dut.checked.value
        assert bench.memory.runs[: -(-rows // piece)] == [
            (first * row, min(piece, rows - first) * row) for first in range(0, rows, piece)
        ]
        assert not bench.taken
        await bench.take(3)
        await bench.wait(3)
        if memory == ("never", 0):
            assert bench.dones[3][0] == bench.cycles[3 * rows * row - 1] + 2
        assert [one[1:] for one in bench.dones[:4]] == [(0, bench.crc(rows))] * 4
        for first, size in bench.memory.runs:
            assert first % row == size % row == 0
            assert size <= piece * row
            assert first // row % piece * row + size <= piece * row


@cocotb.test()
async def a_word_a_cycle(dut):
    """The next run is asked for before the last one ends: where the memory takes two, no cycle is lost in a ring
    that is large enough."""
    bench = _Bench(dut)
    await bench.start()
    bench.frees = False
    rows = min(bench.p["rows"], bench.p["ring_rows"])
    await bench.contents(rows)
    await bench.take(1)
    long_enough = min(bench.p["piece_rows"] * bench.p["row_words"], 8) == 8
    assert bench.cycles[-1] - bench.cycles[0] == rows * bench.p["row_words"] - 1 or not long_enough


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.5"])
async def checks(dut, stall):
    """While the machine is idle and the ring full, checks follow each other; else there is none. A reading of the
    ring goes on where it was, and begins again without a wait for the check."""
    bench = _Bench(dut, stall)
    await bench.start()
    bench.frees = False
    rows = bench.p["rows"]
    assert rows > bench.p["ring_rows"]
    await bench.contents(rows)
    await bench.until(lambda: len(bench.taken) == bench.p["ring_rows"] * bench.p["row_words"])
    runs = len(bench.memory.runs)
    await bench.wait(500)
    assert len(bench.memory.runs) == runs
    bench.dones.clear()
    dut.idle.value = 1
    await bench.until(lambda: len(bench.dones) == 3)
    assert [one[1:] for one in bench.dones] == [(0, bench.crc(rows))] * 3
    bit = 1 << bench.generator.randrange(bench.p["memory_bits"])
    where = bench.generator.randrange(len(bench.words))
    bench.words[where] ^= bit  # flipped, and back
    bench.dones.clear()
    await bench.until(lambda: len(bench.dones) == 2)
    assert bench.dones[1][1] == 1
    bench.words[where] ^= bit
    dut.idle.value = 0
    await bench.wait(2 * bench.p["piece_rows"] * bench.p["row_words"] + 40)
    runs = len(bench.memory.runs)
    await bench.wait(500)
    assert len(bench.memory.runs) == runs
    bench.frees = True
    await bench.take(2)
    dut.idle.value = 1
    await bench.take(4)
    bench.frees = False
    bench.dones.clear()
    await bench.until(lambda: len(bench.dones) >= 4)
    assert [one[1] for one in bench.dones[2:4]] == [0, 0]


@cocotb.test()
async def wrong_words(dut):
    """One bit in a reading differs, and no reading before or after; so does another expectation. What the memory
    says of a word goes on."""
    bench = _Bench(dut)
    await bench.start()
    rows = bench.p["rows"]
    await bench.contents(rows)
    await bench.take(1)
    for number in range(1, 7):
        bench.dones.clear()
        where = bench.generator.randrange(len(bench.words))
        bench.memory.glitches[where] = 1 << bench.generator.randrange(bench.p["memory_bits"])
        if number % 2:
            bench.memory.fails.add(bench.generator.randrange(len(bench.words)))
        await bench.until(lambda: not bench.memory.glitches and not bench.memory.fails)
        await bench.next_dones(2)
        assert sum(one[1] for one in bench.dones) == 1
        assert bench.fails == (number + 1) // 2
    await bench.contents(rows, bench.crc(rows) ^ 1 << bench.generator.randrange(32))
    bench.dones.clear()
    await bench.until(lambda: len(bench.dones) == 3)
    assert {one[1] for one in bench.dones} == {1}


@cocotb.test()
@cocotb.parametrize(memory=[("random:0.2", 0), ("never", 40)])
async def breaks(dut, memory):
    """A resync at any moment: the next word is the first; a restart: and before that comes a check. What was under
    way has no effect, not even a failure that the memory reports."""
    bench = _Bench(dut, *memory)
    await bench.start()
    rows = bench.p["rows"]
    await bench.contents(rows)
    await bench.take(1)
    for number in range(90):
        dut.idle.value = bench.generator.randrange(2)
        bench.frees = bool(bench.generator.randrange(4))
        await bench.wait(bench.generator.randint(1, 3 * len(bench.words)))
        bench.frees = True
        if number % 3:
            checked = dut.checked.value
            await bench.pulse("resync")
            await RisingEdge(dut.clk)
            assert dut.checked.value or not checked
        else:
            fails = bench.fails
            bench.memory.fails.update(range(len(bench.words)))  # those that are under way
            dut.rows.value = 0
            await bench.pulse("restart")
            await bench.wait(300)
            bench.memory.fails.clear()
            assert bench.fails <= fails + 1  # in the very cycle
            bench.words[:] = bench.new_words(len(bench.words))
            await bench.contents(rows)
            await RisingEdge(dut.clk)
            bench.dones.clear()
            assert not dut.checked.value
        await bench.take(1)
        assert not any(one[1] for one in bench.dones)


@cocotb.test()
async def late(dut):
    """A memory that does not answer, or takes no run, or is not ready, shows in `stalled`; a full ring does not."""
    bench = _Bench(dut)
    long = 2 << bench.p["patience"]
    await bench.start()
    bench.frees = False
    await bench.contents(bench.p["rows"])
    await bench.until(lambda: len(bench.taken) == bench.p["ring_rows"] * bench.p["row_words"])
    await bench.wait(long)
    assert not dut.stalled.value
    bench.frees = True
    for number in range(6):
        await bench.wait(bench.generator.randrange(40))
        bench.memory.dumb = True
        await bench.wait(long)
        assert dut.stalled.value
        bench.memory.dumb = False
        if number % 2:
            await bench.wait(long)
            assert dut.stalled.value
        await bench.contents(bench.p["rows"])
        await bench.wait(2)
        assert not dut.stalled.value
        await bench.take(1)
    dut.starved.value = 1
    await bench.wait(long)
    dut.starved.value = 0
    assert dut.stalled.value
    dut.rst.value = 1
    bench.memory.ready = False
    await bench.wait(2)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    assert not dut.stalled.value
    await bench.wait(long)
    assert dut.stalled.value
    assert not dut.memory__run__valid.value
    bench.memory.ready = True
    await bench.contents(bench.p["rows"])
    await bench.take(1)
    assert not dut.stalled.value
