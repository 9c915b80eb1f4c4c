# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of SdramController: words through a model of the chip that refuses a violated time, and the cycles that
runs take."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import memory_layout, memory_write_layout, run_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.sdram_chip import ChipTimes, SdramModel
from ds2ta.sim.stream import StreamSink, StreamSource, cycle, in_background, next_cycle, reset

PINS = ("cke", "command", "bank", "address", "mask", "out", "drive")


class _Bench:
    def __init__(self, dut):
        p = self.p = bench_parameters()
        self.dut, self.bits = dut, 2 + p["row_bits"] + p["column_bits"]
        self.chip = SdramModel(
            row_bits=p["row_bits"],
            column_bits=p["column_bits"],
            times=ChipTimes(**p["times"]),
            period=1e9 / p["clock_hz"],
        )
        self.run = StreamSource(dut, "memory__run", run_layout(self.bits), seed=1)
        self.write = StreamSource(dut, "write", memory_write_layout(self.bits), seed=2)
        self.sink = StreamSink(dut, "memory__word", memory_layout(16), seed=3)
        self.generator = random.Random(f"{p}")
        in_background(dut, self._serve())

    async def _serve(self) -> None:
        dut, late = self.dut, [0] * (self.p["round_trip"] - 1)
        while True:
            await next_cycle
            late.append(self.chip.clocked(**{name: int(getattr(dut, f"pins__{name}").value) for name in PINS}))
            dut.pins__back.value = late.pop(0)

    def place(self, address: int) -> tuple[int, int, int]:
        """Bank, row, column of a word."""
        columns, rows = self.p["column_bits"], self.p["row_bits"]
        return address >> columns + rows, address >> columns & (1 << rows) - 1, address & (1 << columns) - 1

    async def start(self) -> None:
        """Reset, and wait until the chip is initialized."""
        await reset(self.dut)
        while not self.dut.memory__ready.value:
            await RisingEdge(self.dut.clk)

    def fill(self, address: int, words: int) -> list[int]:
        """Put words into the chip past the controller."""
        values = [self.generator.randrange(1 << 16) for _ in range(words)]
        self.chip.words.update({self.place(address + n): value for n, value in enumerate(values)})
        return values

    async def read(self, address: int, words: int) -> list[int]:
        """A run; its words, of which the last alone is marked."""
        await self.run.send([{"address": address, "words": words}])
        found = await self.sink.take(words)
        assert [one["last"] for one in found] == [0] * (words - 1) + [1]
        return [one["word"] for one in found]


@cocotb.test()
async def begins(dut):
    """Nothing is taken before the chip is initialized: two times eight refreshes around the mode register."""
    bench = _Bench(dut)
    await reset(dut)
    begin = cycle()
    dut.memory__run__valid.value = dut.write__valid.value = 1
    while not dut.memory__ready.value:
        assert not dut.memory__run__ready.value | dut.write__ready.value
        await RisingEdge(dut.clk)
    assert (cycle() - begin) * bench.chip.period >= bench.p["times"]["power_up"]
    assert bench.chip.refreshes == 16
    dut.memory__run__valid.value = dut.write__valid.value = 0


@cocotb.test()
async def runs(dut):
    """Runs across columns, rows and banks, of one word and of many, to the memory's very end."""
    bench = _Bench(dut)
    await bench.start()
    columns, size = 1 << bench.p["column_bits"], 1 << bench.bits
    rows = columns << bench.p["row_bits"]
    jobs = [(0, 1), (5, 1), (columns - 1, 2), (columns - 1, 1), (3, 5 * columns), (rows - 3, 6), (size - 9, 9)]
    jobs += [(bench.generator.randrange(size - 80), bench.generator.randint(1, 80)) for _ in range(12)]
    for address, words in jobs:
        values = bench.fill(address, words)
        assert await bench.read(address, words) == values, (address, words)
        if bench.generator.random() < 0.3:
            for _ in range(bench.generator.randint(1, 60)):
                await RisingEdge(dut.clk)


@cocotb.test()
async def a_word_a_cycle(dut):
    """A run over many rows and refreshes takes no more cycles than its words, row changes and refreshes do."""
    bench = _Bench(dut)
    await bench.start()
    columns, t = 1 << bench.p["column_bits"], bench.p["cycles"]
    words = 40 * columns
    values = bench.fill(0, words)
    before = bench.chip.refreshes
    begin = cycle()
    assert await bench.read(0, words) == values
    spent, refreshed = cycle() - begin, bench.chip.refreshes - before
    row = max(t["t_rp"] + t["t_rcd"] + 2, t["t_rc"] + 1 - columns)
    most = words + 40 * row + refreshed * (t["t_rp"] + t["t_rfc"] + t["t_rcd"] + 3) + 30
    assert words < spent <= most, (spent, most)
    assert refreshed >= spent // t["refresh"] - 1
    assert bench.chip.commands[5] == words


@cocotb.test()
async def runs_behind_each_other(dut):
    """One that waits while another is read: in the row that is open it follows two cycles later; in another row, or
    the same one of another bank, it gets that one's words."""
    bench = _Bench(dut)
    await bench.start()
    columns, rows = 1 << bench.p["column_bits"], 1 << bench.p["row_bits"]
    near = [(number * 8, 8) for number in range(columns // 8)]
    far = [
        (rows * columns, 3),
        (5, 4),
        (2 * columns, 1),
        (2 * columns + 1, 1),
        (3 * rows * columns + 2 * columns, 9),
    ]
    for jobs in (near, far, [(at, 7) for at in range(0, 4 * columns, 7)]):
        wanted = [value for address, words in jobs for value in bench.fill(address, words)]
        await bench.run.send([{"address": address, "words": words} for address, words in jobs])
        found = await bench.sink.take(len(wanted))
        assert [one["word"] for one in found] == wanted
        ends = [at for at, one in enumerate(found) if one["last"]]
        assert [end + 1 for end in ends] == [sum(words for _, words in jobs[: n + 1]) for n in range(len(jobs))]
        if jobs is near:
            cycles = bench.sink.cycles[-len(wanted) :]
            refresh = sum(bench.p["cycles"][name] for name in ("t_rp", "t_rfc", "t_rcd")) + 3
            assert cycles[-1] - cycles[0] in range(columns - 1, columns + 2 * len(near) + refresh)


@cocotb.test()
async def writes(dut):
    """Single words, some twice, between runs that may still be on their way; what is not written stays."""
    bench = _Bench(dut)
    await bench.start()
    size, known = 1 << bench.bits, {}
    base = bench.generator.randrange(size - 64)
    for n, value in enumerate(bench.fill(base, 64)):
        known[base + n] = value
    for _ in range(12):
        beats = []
        for _ in range(bench.generator.randint(1, 6)):
            address, word = base + bench.generator.randrange(64), bench.generator.randrange(1 << 16)
            known[address] = word
            beats.append({"address": address, "word": word})
        await bench.write.send(beats)
        assert await bench.read(base, 64) == [known[base + n] for n in range(64)]


@cocotb.test()
async def a_write_between_runs(dut):
    """A write that waits beside a run, while another is read, goes first: in the row that is open, or in another.
    The model refuses a row that is closed too soon behind it."""
    bench = _Bench(dut)
    await bench.start()
    columns = 1 << bench.p["column_bits"]
    for number in range(24):
        base = bench.generator.randrange(64) * columns
        values = bench.fill(base, columns)
        await bench.run.send([{"address": base, "words": columns - 4}])
        where = bench.generator.randrange(columns) + (columns << bench.p["row_bits"]) * (number % 3 == 2)
        address = (base + where) % (1 << bench.bits)
        writing = bench.write.start([{"address": address, "word": number}])
        if number % 2:  # nobody waits behind it
            await writing
            for _ in range(12):
                await RisingEdge(dut.clk)
        reading = bench.run.start([{"address": address, "words": 1}])
        found = await bench.sink.take(columns - 3)
        assert [one["word"] for one in found] == [*values[: columns - 4], number]
        await writing
        await reading


@cocotb.test()
async def nobody_starves_the_refresh(dut):
    """For many intervals: runs without end, writes without end, nothing at all. The model refuses what is late."""
    bench = _Bench(dut)
    await bench.start()
    interval = bench.p["cycles"]["refresh"]
    before = bench.chip.refreshes
    sending = bench.run.start({"address": n % 50, "words": 1 + n % 40} for n in range(10**6))
    for _ in range(6 * interval):
        await RisingEdge(dut.clk)
    assert bench.chip.refreshes - before >= 5
    sending.cancel()
    dut.memory__run__valid.value = 0
    sending = bench.write.start({"address": n % 50, "word": n} for n in range(10**6))
    before = bench.chip.refreshes
    for _ in range(6 * interval):
        await RisingEdge(dut.clk)
    sending.cancel()
    dut.write__valid.value = 0
    assert bench.chip.refreshes - before >= 5
    before = bench.chip.refreshes
    for _ in range(3 * interval):
        await RisingEdge(dut.clk)
    assert bench.chip.refreshes - before >= 2
    assert not dut.busy.value


@cocotb.test()
async def a_reset_begins_anew(dut):
    """In the middle of a run: the chip is initialized again, and no word of the old run leaves."""
    bench = _Bench(dut)
    await bench.start()
    await bench.run.send([{"address": 0, "words": 200}])
    for _ in range(20):
        await RisingEdge(dut.clk)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    bench.sink.received.clear()  # one may have left in that very cycle
    while not dut.memory__ready.value:
        await RisingEdge(dut.clk)
    assert not bench.sink.received
    values = bench.fill(7, 20)
    assert await bench.read(7, 20) == values
