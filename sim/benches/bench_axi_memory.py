# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of AxiMemory: words of random runs from cocotbext-axi's AxiRamRead, every burst looked at by a monitor;
and, from a memory of the bench's own that has a latency, cycles, errors, and answers that break the protocol."""

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from ds2ta.hw.payloads import run_layout
from ds2ta.sim.axi_memory import Burst, ReadMonitor
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSource, cycle, in_background, next_cycle, reset, stalls

OKAY, EXOKAY, SLVERR, DECERR = range(4)
Run = tuple[int, int]  # first word, number


@dataclass(frozen=True)
class _Beat:
    data: int
    resp: int = OKAY
    last: bool = False


class _Memory:
    """Answers bursts in order; the first beat of one `latency` cycles after its AR or later, one beat a cycle.

    `twist(number, beats)` gives what comes in place of a burst's beats. `dumb`: nothing is taken, nothing comes.
    `extra`: beats that come without a burst."""

    def __init__(self, dut, word_at: Callable[[int], int], *, latency: int = 1, stall: str = "never"):
        self.latency, self.twist, self.dumb = latency, lambda number, beats: beats, False
        self.extra: deque[_Beat] = deque()
        self.queue: deque[tuple[int, _Beat]] = deque()  # cycle from which it may come
        self._dut, self._word_at, self.number = dut, word_at, 0
        self._bytes = bench_parameters()["memory_bits"] // 8
        self._stalls = [stalls(stall, f"own{part}") for part in ("ar", "r")]
        dut.m_axi_arready.value = dut.m_axi_rvalid.value = dut.m_axi_rid.value = 0
        in_background(dut, self._serve())

    def _free(self, which: int) -> bool:
        mine = self._stalls[which]
        return not (self.dumb or (mine is not None and next(mine)))

    def _taken(self) -> None:
        address, beats = int(self._dut.m_axi_araddr.value), int(self._dut.m_axi_arlen.value) + 1
        answer = [_Beat(self._word_at(address + n * self._bytes), last=n == beats - 1) for n in range(beats)]
        due = cycle() + self.latency - 1
        self.queue += [(due, beat) for beat in self.twist(self.number, answer)]
        self.number += 1

    async def _serve(self) -> None:
        dut, sent = self._dut, False
        while True:
            await next_cycle
            if dut.rst.value:
                self.queue.clear()
                sent = False
                dut.m_axi_arready.value = dut.m_axi_rvalid.value = 0
                continue
            if dut.m_axi_arvalid.value and dut.m_axi_arready.value:
                self._taken()
            dut.m_axi_arready.value = self._free(0)
            if sent and not dut.m_axi_rready.value:
                continue
            beat = None
            if self.extra:
                beat = self.extra.popleft()
            elif self.queue and self.queue[0][0] <= cycle() and self._free(1):
                beat = self.queue.popleft()[1]
            sent = beat is not None
            dut.m_axi_rvalid.value = sent
            if beat is not None:
                dut.m_axi_rdata.value, dut.m_axi_rresp.value = beat.data, beat.resp
                dut.m_axi_rlast.value = beat.last


@dataclass(frozen=True)
class _Word:
    cycle: int
    value: int
    last: bool
    failed: bool


class _Bench:
    def __init__(self, dut):
        self.dut, self.p = dut, bench_parameters()
        self.bytes, self.burst = self.p["memory_bits"] // 8, self.p["burst"]
        self.size = 1 << self.p["address_bits"]
        self.generator = random.Random(str(self.p))
        self.words: list[_Word] = []
        self.strays = 0  # pulses of `failed` without a word
        self.run = StreamSource(dut, "memory__run", run_layout(self.p["address_bits"]), seed=1)
        self.monitor = ReadMonitor(
            dut,
            dut.clk,
            lambda: bool(dut.rst.value),
            memory_bits=self.p["memory_bits"],
            longest=self.burst,
            outstanding=self.p["outstanding"],
        )
        dut.memory__word__ready.value = 1
        dut.memory__run__valid.value = dut.m_axi_rvalid.value = dut.base.value = 0
        in_background(dut, self._collect())

    async def _collect(self) -> None:
        dut = self.dut
        while True:
            await next_cycle
            if dut.rst.value:
                continue
            failed = bool(dut.memory__failed.value)
            if dut.memory__word__valid.value:
                payload = int(dut.memory__word__payload.value)
                bits = self.p["memory_bits"]
                self.words.append(_Word(cycle(), payload & (1 << bits) - 1, bool(payload >> bits), failed))
            else:
                self.strays += failed

    def bases(self) -> list[int]:
        """0, one that is aligned to a word alone, a random page, and the highest."""
        highest = (1 << self.p["byte_address_bits"]) - self.size * self.bytes
        page = self.generator.randrange(highest >> 12) << 12
        return [0, page | 0x1000 - self.bytes if page < highest else 0, page, highest]

    def word_at(self, address: int) -> int:
        """Contents of the bench's own memory."""
        return random.Random(address).getrandbits(self.p["memory_bits"])

    async def start(self, base: int) -> None:
        self.dut.base.value = base
        self.base = base
        await reset(self.dut)
        while not self.dut.memory__ready.value:
            await RisingEdge(self.dut.clk)

    async def rest(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def take(self, count: int, *, patience: int = 4000) -> list[_Word]:
        """So many words, and no more for a while."""
        silent = 0
        while len(self.words) < count:
            before = len(self.words)
            await RisingEdge(self.dut.clk)
            silent = silent + 1 if len(self.words) == before else 0
            assert silent < patience, f"{before} words of {count}, then none"
        await self.rest(20)
        assert len(self.words) == count
        words, self.words = self.words, []
        return words

    def runs(self, count: int) -> list[Run]:
        """Lengths around bursts and pages, from addresses around their edges; the memory's ends; random ones."""
        page = 4096 // self.bytes
        edges = [0, self.burst, page, 2 * page, self.size]
        lengths = [1, 2, self.burst - 1, self.burst, self.burst + 1, 2 * self.burst, page, page + 1]
        found = [(0, 1), (self.size - 1, 1), (self.size - page - 1, page + 1), (1, 2 * page)]
        while len(found) < count:
            at = self.generator.choice(edges) + self.generator.randint(-3, 3)
            if self.generator.random() < 0.3:
                at = self.generator.randrange(self.size)
            length = max(1, self.generator.choice(lengths) + self.generator.randint(-1, 1))
            if at >= 0 and at + length <= self.size:
                found.append((at, length))
        return found

    def bursts_of(self, runs: list[Run]) -> list[Burst]:
        """Each ends with its run or before a multiple of the longest: beat by beat."""
        found: list[list[int]] = []
        for at, length in runs:
            for n in range(at, at + length):
                address = self.base + n * self.bytes
                if n == at or address // self.bytes % self.burst == 0:
                    found.append([])
                found[-1].append(address)
        return [Burst(one[0], len(one)) for one in found]

    def lasts_of(self, runs: list[Run]) -> list[bool]:
        return [n == length - 1 for _, length in runs for n in range(length)]

    def values_of(self, runs: list[Run]) -> list[int]:
        return [self.word_at(self.base + (at + n) * self.bytes) for at, length in runs for n in range(length)]

    async def ask(self, runs: list[Run]) -> None:
        await self.run.send({"address": at, "words": length} for at, length in runs)


@cocotb.test()
@cocotb.parametrize(stall=[("never", "never"), ("random:0.5", "random:0.3"), ("bursts", "bursts")])
async def words(dut, stall):
    """Exact words, `last`, and bursts, of runs that are asked for one behind the other, from AxiRamRead."""
    bench = _Bench(dut)
    logging.getLogger("cocotb").setLevel(logging.WARNING)  # cocotbext-axi tells of every burst
    # the model's memory is as large as an index of Python may be: one address bit less than the bus
    bits = min(bench.p["byte_address_bits"], 62)
    ram = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << bits)
    for channel, profile in zip((ram.ar_channel, ram.r_channel), stall, strict=True):
        if profile != "never":
            channel.set_pause_generator(stalls(profile, f"{channel}{profile}"))
    for number, base in enumerate(bench.bases()):
        base &= (1 << bits) - 1
        image = bench.generator.randbytes(bench.size * bench.bytes)
        ram.write(base, image)
        if number == 0:
            await bench.start(base)
        else:
            bench.base = dut.base.value = base
            await bench.rest(2)
        runs = bench.runs(16)
        bench.monitor.bursts.clear()
        sending = cocotb.start_soon(bench.ask(runs))
        got = await bench.take(sum(length for _, length in runs))
        await sending
        wanted = [
            int.from_bytes(image[n * bench.bytes :][: bench.bytes], "little")
            for at, length in runs
            for n in range(at, at + length)
        ]
        assert [one.value for one in got] == wanted
        assert [one.last for one in got] == bench.lasts_of(runs)
        assert not any(one.failed for one in got)
        assert bench.monitor.bursts == bench.bursts_of(runs)
    assert not bench.strays


@cocotb.test()
async def latencies(dut):
    """After a reset, silence first. Then ARVALID 3 cycles after the run, the word a cycle after its beat."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at, latency=5)
    dut.m_axi_arready.value = 1
    await bench.start(0x1000)
    begun = cycle()
    sending = cocotb.start_soon(bench.ask([(0, 1)]))
    while not dut.memory__run__ready.value:
        await RisingEdge(dut.clk)
    assert abs(cycle() - begun - (1 << bench.p["quiet"])) <= 2
    await sending
    await bench.take(1)
    for at, length in ((3, 1), (0, 2), (bench.burst - 1, 2)):
        await bench.ask([(at, length)])
        asked = bench.run.cycles[-1]
        while not dut.m_axi_arvalid.value:
            await RisingEdge(dut.clk)
        assert cycle() == asked + 3
        got = await bench.take(length)
        assert got[0].cycle == asked + 3 + memory.latency + 1


@cocotb.test()
@cocotb.parametrize(latency=[1, 30, None])
async def a_word_a_cycle(dut, latency):
    """Runs of many bursts, and pairs of runs as a ring's reader asks for them, without a bubble: bursts under way
    hide the latency, the longest that the block promises (None) too."""
    bench = _Bench(dut)
    reach = bench.burst * (bench.p["outstanding"] - 1) - 8  # while one ends
    latency = max(reach, 1) if latency is None else latency
    _Memory(dut, bench.word_at, latency=latency)
    if reach < latency or bench.burst < 2:  # too little is under way: the cases of the driver say which
        assert not bench.p["fast"]
        return
    assert bench.p["fast"]
    await bench.start(bench.bases()[2])
    many = min(bench.size, 8 * bench.burst * bench.p["outstanding"])
    run = min(bench.size // 8, 512)
    for runs in ([(0, many)], [(n * run, run) for n in range(8)]):
        await bench.ask(runs)
        count = sum(length for _, length in runs)
        got = await bench.take(count)
        assert got[-1].cycle - got[0].cycle == count - 1
        assert [one.value for one in got] == bench.values_of(runs)
    wanted = -(-(latency + 4) // bench.burst)
    assert bench.monitor.most >= min(wanted, bench.p["outstanding"])


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.4"])
async def errors(dut, stall):
    """Any answer but OKAY: its word is failed, no other, and the run goes on."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at, latency=7, stall=stall)
    wrong: list[bool] = []

    def twist(number: int, beats: list[_Beat]) -> list[_Beat]:
        changed = [
            _Beat(beat.data, bench.generator.choice([EXOKAY, SLVERR, DECERR]), beat.last)
            if bench.generator.random() < 0.1 or (number % 5 == 4 and beat.last)
            else beat
            for beat in beats
        ]
        wrong.extend(beat.resp != OKAY for beat in changed)
        return changed

    memory.twist = twist
    await bench.start(bench.bases()[1])
    runs = bench.runs(16)
    sending = cocotb.start_soon(bench.ask(runs))
    got = await bench.take(sum(length for _, length in runs))
    await sending
    assert any(wrong)
    assert [one.failed for one in got] == wrong
    assert [one.value for one in got] == bench.values_of(runs)
    assert [one.last for one in got] == bench.lasts_of(runs)
    assert bench.monitor.bursts == bench.bursts_of(runs)


def _early(beats: list[_Beat], at: int) -> list[_Beat]:
    """RLAST on a beat before the last, and on that."""
    return [_Beat(beat.data, OKAY, beat.last or n == at) for n, beat in enumerate(beats)]


def _short(beats: list[_Beat], at: int) -> list[_Beat]:
    """RLAST on a beat before the last, and none behind it."""
    return _early(beats, at)[: at + 1]


def _late(beats: list[_Beat], at: int) -> list[_Beat]:
    """Some beats more, RLAST on the last of them."""
    more = [_Beat(n, OKAY, n == at) for n in range(at + 1)]
    return [_Beat(beat.data, OKAY, False) for beat in beats] + more


def _never(beats: list[_Beat], at: int) -> list[_Beat]:
    return [_Beat(beat.data, OKAY, False) for beat in beats]


@cocotb.test()
@cocotb.parametrize(fault=[_early, _short, _late, _never], stall=["never", "random:0.4"])
async def broken_bursts(dut, fault, stall):
    """RLAST in a wrong place: that word and all behind it of the runs that were taken are failed, each run ends
    with its `last`, and after a silence the next run is right."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at, latency=9, stall=stall)
    bench.monitor.lawful = False
    await bench.start(bench.bases()[2])
    longest = 3 * bench.burst
    for _ in range(10):
        runs = [
            (bench.generator.randrange(bench.size - longest), bench.generator.randint(2, longest)) for _ in range(3)
        ]
        bursts = bench.bursts_of(runs)
        # a burst of one beat has none before its last
        victims = [n for n, burst in enumerate(bursts) if burst.beats > 1 or fault in (_late, _never)]
        if not victims:
            continue
        victim = bench.generator.choice(victims)
        place = bench.generator.randrange(max(1, bursts[victim].beats - 1))
        first = memory.number

        def twist(n: int, beats: list[_Beat], wanted=first + victim, at=place) -> list[_Beat]:
            return fault(beats, at) if n == wanted else beats

        memory.twist = twist
        seen = sum(burst.beats for burst in bursts[:victim])
        bad = seen + (place if fault in (_early, _short) else bursts[victim].beats - 1)  # the first failed word
        sending = cocotb.start_soon(bench.ask(runs))
        total = sum(length for _, length in runs)
        got = await bench.take(total, patience=(1 << bench.p["quiet"]) + 4000)
        await sending
        ends = [n + 1 for n, one in enumerate(got) if one.last]
        assert ends == [sum(length for _, length in runs[: n + 1]) for n in range(3)]
        failed = [one.failed for one in got]
        assert failed.index(True) == bad
        # the runs that were taken when it happened are failed to their ends; those behind come after the silence
        until = failed.index(False, bad) if False in failed[bad:] else total
        assert until in ends
        assert not any(failed[until:])
        assert [one.value for one in got[:bad]] == bench.values_of(runs)[:bad]
        assert [one.value for one in got[until:]] == bench.values_of(runs)[until:]
        if stall == "never":
            for before, after in zip(got[bad + 1 : until], got[bad + 2 : until], strict=False):
                assert after.cycle - before.cycle <= 2  # two where a burst was not yet asked for
        if until < total:
            assert got[until].cycle - got[bad].cycle > 1 << bench.p["quiet"]
        await bench.ask([(7, 5)])
        more = await bench.take(5)
        assert [(one.value, one.failed) for one in more] == [(word, False) for word in bench.values_of([(7, 5)])]
        assert more[0].cycle - got[bad].cycle > 1 << bench.p["quiet"]
    assert not bench.strays


@cocotb.test()
async def beats_of_no_burst(dut):
    """One is told; runs are not taken before they have stopped for a while; the next run is right."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at, latency=3)
    quiet = 1 << bench.p["quiet"]
    await bench.start(bench.bases()[2])
    await bench.ask([(0, 3)])
    await bench.take(3)
    memory.extra += [_Beat(1, OKAY, True)]
    await bench.rest(5)
    assert bench.strays == 1
    assert not bench.words
    sending = cocotb.start_soon(bench.ask([(5, 2)]))
    for _ in range(4):  # a beat in time begins the silence anew
        await bench.rest(quiet - 8)
        assert not dut.memory__run__ready.value
        memory.extra += [_Beat(2, OKAY, False)] * 3
    await bench.rest(3)
    ended = cycle()
    assert [one.value for one in await bench.take(2)] == bench.values_of([(5, 2)])
    await sending
    assert abs(bench.run.cycles[-1] - ended - quiet) <= 6
    assert bench.strays == 1
    # while a burst is offered, but not yet taken, a beat is of no burst either
    memory.dumb = True
    await bench.ask([(9, 4)])
    await bench.rest(8)
    assert dut.m_axi_arvalid.value
    memory.extra += [_Beat(3, OKAY, False)]
    await bench.rest(6)
    assert bench.strays == 2
    assert not bench.words
    assert dut.m_axi_arvalid.value, "an offer stays, whatever happens"
    memory.dumb = False
    got = await bench.take(4)
    assert [(one.failed, one.last) for one in got] == [(True, False)] * 3 + [(True, True)]
    await bench.ask([(11, 4)])
    assert [(one.value, one.failed) for one in await bench.take(4)] == [
        (value, False) for value in bench.values_of([(11, 4)])
    ]


@cocotb.test()
async def slow_memory(dut):
    """Nothing is taken, nothing comes, for long: the master waits, and all is right when the memory goes on."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at)
    await bench.start(bench.bases()[2])
    runs = [(1, 3 * bench.burst), (0, 2 * bench.burst)]
    sending = cocotb.start_soon(bench.ask(runs))
    for _ in range(12):
        memory.dumb = True
        await bench.rest(3 << bench.p["quiet"])
        memory.dumb = False
        await bench.rest(bench.burst // 2 + 3)
    got = await bench.take(5 * bench.burst)
    await sending
    assert [(one.value, one.failed) for one in got] == [(value, False) for value in bench.values_of(runs)]


@cocotb.test()
async def refused_bases(dut):
    """Not aligned to a word, or too high for the memory: not ready, no run is taken, no burst asked for."""
    bench = _Bench(dut)
    _Memory(dut, bench.word_at)
    highest = (1 << bench.p["byte_address_bits"]) - bench.size * bench.bytes
    await bench.start(0)
    await bench.rest(2 << bench.p["quiet"])
    bad = [highest + (n + 1) * bench.bytes for n in (0, 1, bench.size - 2)]
    bad += [bench.bytes + (1 << bit) for bit in range(bench.bytes.bit_length() - 1)]
    sending = None
    for base in bad:
        bench.base = dut.base.value = highest
        await bench.rest(2)
        assert dut.memory__ready.value, "the highest base"
        assert dut.memory__run__ready.value
        bench.base = dut.base.value = base
        await bench.rest(2)
        sending = cocotb.start_soon(bench.ask([(bench.size - 1, 1)]))
        await bench.rest(20)
        assert not dut.memory__ready.value | dut.memory__run__ready.value | dut.m_axi_arvalid.value, hex(base)
        bench.base = dut.base.value = highest
        got = await bench.take(1)
        await sending
        assert got[0].value == bench.word_at((1 << bench.p["byte_address_bits"]) - bench.bytes)


@cocotb.test()
async def resets(dut):
    """At any moment: no offer, no ready in reset; beats of bursts from before are dropped; then a run is right."""
    bench = _Bench(dut)
    memory = _Memory(dut, bench.word_at, latency=12)
    await bench.start(bench.bases()[2])
    for number in range(16):
        sending = bench.run.start([{"address": 3, "words": 2 * bench.burst}, {"address": 0, "words": bench.burst}])
        await bench.rest((1 << bench.p["quiet"]) + number * 3)
        sending.cancel()
        dut.memory__run__valid.value = 0
        left = [beat for _, beat in memory.queue]
        dut.rst.value = 1
        await bench.rest(2)
        for name in ("m_axi_arvalid", "m_axi_rready", "memory__ready", "memory__run__ready", "memory__word__valid"):
            assert not getattr(dut, name).value, name
        dut.rst.value = 0
        await bench.rest(2)
        bench.words.clear()
        memory.extra += left  # of a memory that was not reset
        runs = [(bench.generator.randrange(bench.size - 9), 9)]
        await bench.ask(runs)
        got = await bench.take(9)
        assert [(one.value, one.failed) for one in got] == [(value, False) for value in bench.values_of(runs)]
    assert not bench.strays
