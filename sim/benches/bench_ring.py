# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of WeightRing: every tile of several samples read back from the ring, and the cycles of words, writes and
grants, against a list of rows and the cycles in which words were taken and tiles freed."""

import random
from collections.abc import Iterator

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import memory_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSource, cycle, in_background, next_cycle, reset


class _Sample:
    """Layers of a sample, (rows of a tile, tiles), and what its rows hold. `first`: number of its first row in all
    that has ever come."""

    def __init__(self, layers: list[tuple[int, int]], first: int, generator: random.Random):
        p = bench_parameters()
        self.layers, self.first = layers, first
        self.rows = [generator.getrandbits(p["width"]) for _ in range(sum(rows * tiles for rows, tiles in layers))]

    def words(self) -> Iterator[dict]:
        p = bench_parameters()
        count, bits = -(-p["width"] // p["memory_bits"]), p["memory_bits"]
        for number, row in enumerate(self.rows):
            for index in range(count):
                last = number == len(self.rows) - 1 and index == count - 1
                yield {"word": row >> index * bits & (1 << bits) - 1, "last": last}


class _Bench:
    def __init__(self, dut, stall: str):
        self.dut, self.stall = dut, stall
        self.p = p = bench_parameters()
        self.generator = random.Random(f"{stall}{p}")
        self.names = ["", "second__"][: p["ports"]]
        self.frees: list[tuple[int, int]] = []  # cycle, rows that are free then, of all that came
        self.grants: list[int] = []
        self.held: list[int] = []  # cycles with `holds`
        self.asked: list[list[int | None]] = []  # for cycles to come, what each port must show

    async def start(self) -> None:
        dut = self.dut
        dut.claims.value = dut.frees.value = dut.restart.value = 0
        dut.tile_rows.value = 0
        for name in self.names:
            getattr(dut, f"{name}enable").value = 0
        self.source = StreamSource(dut, "i", memory_layout(self.p["memory_bits"]), stall=self.stall, seed=3)
        await reset(dut)
        self.asked = [[None] * self.p["ports"] for _ in range(self.p["latency"])]
        if self.p["ports"] == 2:
            in_background(dut, self._watch())

    async def _watch(self) -> None:
        while True:
            await next_cycle
            if self.dut.holds.value:
                self.held.append(cycle())

    def draws(self) -> list[tuple[int, int]]:
        """Layers with the edges among them: one row, the whole ring, tiles that end where the ring does."""
        most, draw = self.p["rows"], self.generator.randint
        sizes = [1, most, most // 2, draw(1, most), draw(1, most // 4), most - 1]
        return [(self.generator.choice(sizes), draw(1, 4)) for _ in range(draw(1, 5))]

    async def step(self, rows: dict[int, int]) -> None:
        """A cycle in which each port may read one of `rows`, {address: what it holds}; checks what comes now."""
        dut, wanted = self.dut, []
        for name in self.names:
            enabled = bool(rows) and self.generator.random() < 0.7
            address = self.generator.choice(list(rows)) if enabled else self.generator.randrange(self.p["rows"])
            getattr(dut, f"{name}enable").value = enabled
            getattr(dut, f"{name}address").value = address
            wanted.append(rows[address] if enabled else None)
        await RisingEdge(dut.clk)
        if self.p["ports"] == 2 and dut.holds.value:
            wanted = [None] * 2
        for name, expected in zip(self.names, self.asked.pop(0), strict=True):
            found = int(getattr(dut, f"{name}data").value)
            assert expected is None or found == expected, f"{found:x}, not {expected:x}"
        self.asked.append(wanted)

    async def use(self, sample: _Sample) -> None:
        """Claim, read and free the tiles of a sample, each claimed while the one before is at work."""
        p, dut, generator, at = self.p, self.dut, self.generator, 0
        for rows, tiles in sample.layers:
            # now and then a layer is known long before its first claim
            dut.tile_rows.value = rows
            for _ in range(1 + generator.choice([0, 0, generator.randint(1, 3 * p["rows"])])):
                await self.step({})
            mine: list[tuple[int, dict[int, int]]] = []  # tiles that were granted and not freed
            claimed, freed, claims_from, spare = 0, 0, None, 0
            while freed < tiles:
                claims = claimed < tiles and len(mine) < 2 and (claims_from is not None or generator.random() < 0.8)
                dut.claims.value = claims
                if claims and claims_from is None:
                    claims_from = cycle() + 1
                frees = bool(mine) and spare <= 0 and generator.random() < 0.3
                dut.frees.value = frees
                await self.step({} if frees or not mine else mine[0][1])
                now = cycle()
                if frees:
                    first, tile = mine.pop(0)
                    self.frees.append((now, sample.first + first + len(tile)))
                    freed, spare = freed + 1, generator.randint(0, 2 * rows)
                spare -= 1
                if claims_from is not None and dut.granted.value:
                    self.check_grant(sample.first + at + rows, claims_from, now)
                    numbers = range(at, at + rows)
                    mine.append((at, {number % p["rows"]: sample.rows[number] for number in numbers}))
                    at, claimed, claims_from = at + rows, claimed + 1, None
            dut.claims.value = dut.frees.value = 0

    def written(self, row: int) -> int:
        """The cycle in which a row, counted from the first ever, is written."""
        words = -(-self.p["width"] // self.p["memory_bits"])
        taken = self.source.cycles
        return taken[row * words + words - 1] + 1

    def check_grant(self, rows: int, claimed: int, now: int) -> None:
        """A grant comes as soon as it may, when so many rows have come in all."""
        before = self.grants[-1] + 2 if self.grants else 0
        wanted = max(claimed, before, self.written(rows - 1) + 2)
        assert now == wanted, f"granted in cycle {now}, not {wanted}"
        self.grants.append(now)

    def check_words(self, samples: list[_Sample]) -> None:
        """Words were taken as soon as there was room, where the source never waits; never before."""
        words = -(-self.p["width"] // self.p["memory_bits"])
        row, before = 0, None
        for sample in samples:
            for number in range(len(sample.rows)):
                taken = self.source.cycles[row * words]
                earliest = before + 1 if before is not None else taken
                if number == 0 and row:  # all rows of the samples before are free
                    freed = next(at for at, rows in self.frees if rows >= row)
                    earliest = max(earliest, freed + 2)
                if row >= self.p["rows"]:
                    freed = next(at for at, rows in self.frees if rows > row - self.p["rows"])
                    earliest = max(earliest, freed + 1)
                assert taken >= earliest, f"row {row} begins in cycle {taken}, before {earliest}"
                if self.stall == "never":
                    assert taken == earliest, f"row {row} begins in cycle {taken}, not {earliest}"
                before = self.source.cycles[row * words + words - 1]
                row += 1


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "bursts"])
async def samples(dut, stall):
    """Samples one after another; what each reads, and when."""
    bench = _Bench(dut, stall)
    await bench.start()
    found: list[_Sample] = []
    for number in range(6):
        layers = [(bench.p["rows"], 2)] if number == 1 else bench.draws()
        first = found[-1].first + len(found[-1].rows) if found else 0
        found.append(_Sample(layers, first, bench.generator))
    sending = bench.source.start(word for sample in found for word in sample.words())
    for sample in found:
        await bench.use(sample)
    await sending
    bench.check_words(found)
    if bench.p["ports"] == 2:
        rows = sum(len(sample.rows) for sample in found)
        assert bench.held == [bench.written(row) for row in range(rows)]


async def _begins_anew(bench: _Bench, port: str) -> None:
    """After a pulse of a port at any moment the ring is empty and begins with row 0."""
    dut = bench.dut

    async def begin() -> None:
        getattr(dut, port).value = 1
        await RisingEdge(dut.clk)
        getattr(dut, port).value = 0
        bench.source.cycles.clear()
        bench.frees.clear()
        bench.grants.clear()
        bench.asked = [[None] * bench.p["ports"] for _ in range(bench.p["latency"])]

    await bench.start()
    for _ in range(12):
        sample = _Sample(bench.draws(), 0, bench.generator)
        sending = bench.source.start(sample.words())
        using = cocotb.start_soon(bench.use(sample))
        for _ in range(bench.generator.randint(1, 6 * bench.p["rows"])):
            await RisingEdge(dut.clk)
        using.cancel()
        sending.cancel()
        dut.i__valid.value = dut.claims.value = dut.frees.value = 0
        await begin()
        sample = _Sample([(bench.generator.randint(1, bench.p["rows"]), 2)], 0, bench.generator)
        sending = bench.source.start(sample.words())
        await bench.use(sample)
        await sending
        await begin()  # the next sample would wait


@cocotb.test()
async def resets(dut):
    await _begins_anew(_Bench(dut, "never"), "rst")


@cocotb.test()
async def restarts(dut):
    await _begins_anew(_Bench(dut, "never"), "restart")
