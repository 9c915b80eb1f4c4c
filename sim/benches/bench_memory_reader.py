# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of MemoryReader in front of a memory that answers runs with its words: readings, CRCs against zlib, breaks
at any moment."""

import random
import zlib

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import memory_layout, run_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, cycle, in_background, next_cycle, reset, unpack


class _Memory:
    """Words, and the runs that were asked for; `flips`: {(number of the reading, word): bits that come wrong}."""

    def __init__(self, dut, words: list[int], stall: str):
        p = bench_parameters()
        self.dut, self.words, self.readings = dut, words, 0
        self.runs: list[tuple[int, int]] = []  # first word, and the one behind the last
        self.flips: dict[tuple[int, int], int] = {}
        self._layout = run_layout(p["address_bits"])
        self.source = StreamSource(dut, "memory__word", memory_layout(p["memory_bits"]), stall=stall, seed=9)
        self.patience = random.Random(f"runs{stall}")
        dut.memory__ready.value = 1
        dut.memory__run__ready.value = dut.memory__word__valid.value = 0

    def start(self) -> None:
        """Serve from now on."""
        in_background(self.dut, self._serve())

    async def _serve(self) -> None:
        dut, held = self.dut, None
        while True:
            ready = self.patience.random() < 0.5
            dut.memory__run__ready.value = ready
            await next_cycle
            offered = int(dut.memory__run__payload.value) if dut.memory__run__valid.value else None
            assert held is None or offered == held, "a run that was asked for is taken back or changed"
            held = None if ready else offered
            if not ready or offered is None:
                continue
            dut.memory__run__ready.value = 0
            run = unpack(self._layout, offered)
            first, end = run["address"], run["address"] + run["words"]
            self.readings += first == 0
            self.runs.append((first, end))
            sending = self.source.start(
                {"word": self.words[at] ^ self.flips.get((self.readings - 1, at), 0), "last": at == end - 1}
                for at in range(first, end)
            )
            while not sending.ended:
                await next_cycle


def _crc(words: list[int]) -> int:
    size = bench_parameters()["memory_bits"] // 8
    return zlib.crc32(b"".join(word.to_bytes(size, "little") for word in words))


class _Bench:
    def __init__(self, dut, stall: str = "never"):
        self.dut, self.p = dut, bench_parameters()
        self.generator = random.Random(f"{stall}{self.p}")
        self.words = [self.generator.getrandbits(self.p["memory_bits"]) for _ in range(200)]
        self.memory = _Memory(dut, self.words, stall)
        self.dones: list[tuple[int, int, int]] = []  # cycle, differs, found
        for name in ("words", "expected", "restart", "resync"):
            getattr(dut, name).value = 0

    async def start(self, stall: str) -> None:
        self.sink = StreamSink(self.dut, "o", memory_layout(self.p["memory_bits"]), stall=stall, seed=8)
        await reset(self.dut)
        self.memory.start()
        in_background(self.dut, self._watch())

    async def _watch(self) -> None:
        while True:
            await next_cycle
            if self.dut.done.value:
                self.dones.append((cycle(), int(self.dut.differs.value), int(self.dut.found.value)))

    async def pulse(self, name: str) -> None:
        getattr(self.dut, name).value = 1
        await RisingEdge(self.dut.clk)
        getattr(self.dut, name).value = 0

    async def contents(self, count: int, expected: int | None = None) -> None:
        """Other words: a restart, and a while later their number."""
        self.dut.words.value = 0
        await self.pulse("restart")
        self.dut.expected.value = _crc(self.words[:count]) if expected is None else expected
        self.dut.words.value = count

    async def ended(self, count: int) -> None:
        for _ in range(40_000):
            if len(self.dones) >= count:
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"{len(self.dones)} readings of {count}")


@cocotb.test()
@cocotb.parametrize(stalls=[("never", "never"), ("random:0.4", "random:0.3"), ("bursts", "bursts")])
async def readings(dut, stalls):
    """The first reading goes nowhere, the next ones to the output; each is checked."""
    bench = _Bench(dut, stalls[0])
    await bench.start(stalls[1])
    for _ in range(5):  # no words, no run
        await RisingEdge(dut.clk)
    assert not bench.memory.runs
    for count in (1, 2, 37, 200):
        bench.dones.clear()
        bench.memory.runs.clear()
        await bench.contents(count)
        for _ in range((1 << bench.p["settle"]) - 2):
            assert not bench.memory.runs
            await RisingEdge(dut.clk)
        await bench.ended(4)
        dut.words.value = 0
        wanted = [{"word": word, "last": at == count - 1} for at, word in enumerate(bench.words[:count])]
        assert await bench.sink.take(3 * count) == 3 * wanted
        assert [item[1:] for item in bench.dones[:4]] == [(0, _crc(bench.words[:count]))] * 4
        piece = bench.p["piece"]
        runs = [(first, min(first + piece, count)) for first in range(0, count, piece)]
        assert bench.memory.runs[: 4 * len(runs)] == 4 * runs
        if stalls == ("never", "never"):
            ends = bench.sink.cycles[-1]
            assert bench.dones[3][0] == ends + 2
        for _ in range(3 * count + 20):  # a reading that had begun
            await RisingEdge(dut.clk)
        bench.sink.received.clear()
        bench.sink.cycles.clear()


@cocotb.test()
async def wrong_words(dut):
    """One bit in any reading, and no reading before or after, differs; so does another expectation."""
    bench = _Bench(dut)
    await bench.start("never")
    count = 23
    bits = bench.p["memory_bits"]
    for number in range(1, 12, 2):
        bench.memory.flips[number, bench.generator.randrange(count)] = 1 << bench.generator.randrange(bits)
    await bench.contents(count)
    await bench.ended(12)
    assert [differs for _, differs, _ in bench.dones[:12]] == [0, 1] * 6
    bench.dones.clear()
    await bench.contents(count, _crc(bench.words[:count]) ^ 1 << bench.generator.randrange(32))
    await bench.ended(2)
    assert {differs for _, differs, _ in bench.dones[:2]} == {1}


@cocotb.test()
async def breaks(dut):
    """A resync at any moment: the next word is the first; a restart: and before that comes a reading that goes
    nowhere. What was under way has no effect."""
    bench = _Bench(dut, "random:0.2")
    await bench.start("never")
    count = 19
    await bench.contents(count)
    await bench.ended(2)
    wanted = [{"word": word, "last": at == count - 1} for at, word in enumerate(bench.words[:count])]
    for number in range(80):
        for _ in range(bench.generator.randint(1, 4 * count)):
            await RisingEdge(dut.clk)
        if number % 3:
            await bench.pulse("resync")
            await RisingEdge(dut.clk)
        else:
            bench.words[:] = [bench.generator.getrandbits(bench.p["memory_bits"]) for _ in range(200)]
            wanted = [{"word": word, "last": at == count - 1} for at, word in enumerate(bench.words[:count])]
            await bench.contents(count)
            await RisingEdge(dut.clk)
            bench.dones.clear()
            assert not dut.checked.value
        bench.sink.received.clear()  # what came in the very cycle too
        assert await bench.sink.take(count) == wanted
        assert not any(differs for _, differs, _ in bench.dones)


@cocotb.test()
async def late(dut):
    """A memory that does not answer shows in `stalled`; one that is not ready does not, nor a waiting output."""
    bench = _Bench(dut)
    long = 3 << bench.p["patience"]
    await bench.start("never")
    dut.memory__ready.value = 0
    await bench.contents(5)
    for _ in range(long):
        await RisingEdge(dut.clk)
    assert not bench.memory.runs
    assert not dut.stalled.value
    dut.memory__ready.value = 1
    await bench.ended(2)
    assert not dut.stalled.value
    bench.sink._task.cancel()
    dut.o__ready.value = 0
    for _ in range(long):
        await RisingEdge(dut.clk)
    assert not dut.stalled.value
    dut.o__ready.value = 1
    while not (dut.memory__run__valid.value and dut.memory__run__ready.value):
        await RisingEdge(dut.clk)
    bench.memory.source._valid.value = 0
    bench.memory.source._stall = iter([True] * long)
    for _ in range(long):
        await RisingEdge(dut.clk)
    assert dut.stalled.value
    bench.memory.source._stall = None
    await bench.contents(5)
    await RisingEdge(dut.clk)
    assert not dut.stalled.value
