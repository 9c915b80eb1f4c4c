# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of SynapticEngine: tokens against the slow sums, extremes, and the exact cycle of every transfer."""

import itertools

import cocotb
import numpy as np
from amaranth.hdl import signed
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.payloads import drain_layout, event_layout, pair_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import (
    MemoryModel,
    StreamSink,
    StreamSource,
    break_off,
    cycle,
    in_background,
    next_cycle,
    pack,
    reset,
)

STALLS = ["never", "random:0.3", "random:0.7", "bursts"]
FLUSH = {"flush": 1}


class _Machine:
    """The engine with a random weight memory whose first rows are the extremes, and what it must give."""

    def __init__(self, dut, *, source: str = "never", sink: str | None = "never"):
        parameters = bench_parameters()
        self.lanes, self.steps, self.drain = (parameters[key] for key in ("lanes", "time_steps", "drain_lanes"))
        self.max_shift, bits = parameters["max_shift"], parameters["weight_bits"]
        self.events = parameters["events"]
        self.memory, self.ring = parameters["weight_latency"], parameters["ring"]
        self.holds: set[int] = set()  # cycles in which the memory cannot be read
        self.latency = (3 if self.events == 1 else 4) + self.memory
        self.largest = 1 << bits - 1  # magnitude of the most negative weight
        self.budget = 1 << parameters["acc_width"] - 1
        self.most_lines, self.most_rest = parameters["max_lines"], parameters["max_rest"]
        self.full = (1 << self.steps) - 1  # a mask of all steps
        self.dut = dut
        if self.ring:
            in_background(dut, self._hold())
        generator = np.random.default_rng(21)
        rows = min(1 << parameters["address_width"], 64)
        self.weight = generator.integers(-self.largest, self.largest, (self.lanes, rows))
        self.weight[:, 0] = -self.largest
        self.weight[:, 1] = self.largest - 1
        row = data.ArrayLayout(signed(bits), self.lanes)
        words = [pack(row, column.tolist()) for column in self.weight.T]
        for port in range(self.events):
            names = tuple(f"weight_{name}__{port}" for name in ("address", "enable", "data"))
            MemoryModel(dut, words, read=names, latency=self.memory, void="holds" if self.ring else None)
        if self.events == 1:
            layout = event_layout(parameters["address_width"], self.max_shift, self.steps)
        else:
            layout = pair_layout(parameters["address_width"], self.steps)
        self.source = StreamSource(dut, "i", layout, stall=source, seed=1)
        self.sink: StreamSink  # there once it is open
        self.waits = sink != "never"
        if sink:
            self.open(sink)
        self.shape()

    async def _hold(self) -> None:
        """Rows come in one by one, or one close behind the other."""
        generator = np.random.default_rng(20)
        while True:
            for _ in range(int(generator.choice([1, 1, 2, 7, 30]))):
                self.dut.holds.value = 0
                await next_cycle
            for _ in range(int(generator.choice([1, 1, 1, 4]))):
                self.dut.holds.value = 1
                self.holds.add(cycle() + 1)
                await next_cycle

    def shape(self, groups: int | None = None, lines: int = 1, pixels: bool = False, rest: int = 0) -> None:
        """What a commit is like: drain groups of a line, lines, whether its accumulators are pixels, cycles of rest
        behind a group."""
        self.groups, self.lines = groups or self.lanes // self.drain, lines
        self.pixels, self.rest = pixels, rest
        self.spacing = self.beats + self.beats // self.steps * rest
        if self.waits:
            self.spacing = self.latency + 1
        ports = {"groups": self.groups, "lines": lines, "pixels": int(pixels), "rest": rest}
        ports |= {"spacing_last": self.spacing - 1, "waits": int(self.waits)}
        for name, value in ports.items():
            getattr(self.dut, name).value = value

    def open(self, stall: str) -> StreamSink:
        layout = drain_layout(self.drain, bench_parameters()["acc_width"])
        self.sink = StreamSink(self.dut, "o", layout, stall=stall, seed=2)
        return self.sink

    @property
    def beats(self) -> int:
        """Beats of a commit."""
        return self.lines * self.groups * self.steps * (self.steps if self.pixels else 1)

    def event(self, address: int, mask: int, *, shift: int = 0, double: int = 0, first: int = 0) -> dict:
        """An event; in a pair it stands twice."""
        if self.events == 1:
            return {"address": address, "mask": mask, "shift": shift, "first": first}
        half = {"address": address, "mask": mask}
        return {"low": half, "high": half, "double": double, "first": first}

    def token(self, generator, events: int) -> list[dict]:
        """A token of at most `events` events (at least one) that cannot leave the accumulators' range."""
        found: list[dict] = []
        most = 0  # magnitude that the sums may have reached
        masks = [0, self.full, int(generator.integers(0, 1 << self.steps))]
        rows = self.weight.shape[1]
        for number in range(max(events, 1)):
            shift, double = int(generator.integers(0, self.max_shift + 1)), int(generator.random() < 0.1)
            if self.events == 1:
                most += self.largest << shift
            else:
                most = (most << double) + 2 * self.largest
            if most > self.budget:
                break
            address = [int(generator.integers(0, rows)) for _ in range(2)]
            mask = [int(generator.choice(masks)) for _ in range(2)]
            event = self.event(address[0], mask[0], shift=shift, double=double, first=int(number == 0))
            halves = ({"address": row, "mask": some} for row, some in zip(address, mask, strict=True))
            found.append(
                event if self.events == 1 else {**event, **dict(zip(("low", "high"), halves, strict=True))}
            )
        return found or [{"first": 1}]

    def sums(self, token: list[dict]) -> np.ndarray:
        """P [T, lanes]: the events as activations x[t][j]."""
        x = np.zeros((self.steps, self.weight.shape[1]), np.int64)
        for event in token:
            x <<= event.get("double", 0)
            for half in self.halves(event):
                for t in range(self.steps):
                    x[t, half.get("address", 0)] += (half.get("mask", 0) >> t & 1) << event.get("shift", 0)
        return slow.synapse(self.weight, x)

    def expected(self, events: list[dict]) -> list[dict]:
        """All beats of the commits of an event sequence, in order."""
        tokens: list[list[dict]] = []
        token: list[dict] = []
        for event in events:
            if token and (event.get("first") or event.get("flush")):
                tokens.append(token)
                token = []
            if not event.get("flush"):
                token.append(event)
        return [
            {
                "value": P[pixel if self.pixels else t, first : first + self.drain].tolist(),
                "t_first": int(t == 0),
                "t_last": int(t == self.steps - 1),
                "group_last": int(not self.pixels or pixel == self.steps - 1),
                "last": int(group == self.groups - 1),
            }
            for P in map(self.sums, tokens)
            for line in range(self.lines)
            for group in range(self.groups)
            for pixel in range(self.steps if self.pixels else 1)
            for t in range(self.steps)
            for first in [(line * self.groups + group) * self.drain]
        ]

    async def compare(self, events: list[dict]) -> None:
        expected = self.expected(events)
        sending = self.source.start(events)
        assert await self.sink.take(len(expected)) == expected
        await sending

    def useful(self, event: dict) -> int:
        """Events with a non-zero mask."""
        return sum(bool(half.get("mask", 0)) for half in self.halves(event))

    def halves(self, event: dict) -> list[dict]:
        """The event, or the two of a pair."""
        return [event] if self.events == 1 else [event.get(name, {}) for name in ("low", "high")]

    def schedule(self, events: list[dict], begin: int, taken: list[int]):
        """Predicts, for a source that never waits and a sink that accepted beats in cycles `taken`: the cycle in
        which each event is accepted, that in which it is issued (None: a flush), those of the tokens' ends."""
        accepted: list[int] = []
        issued: list[int | None] = []
        ends: list[int] = []
        held = False
        for event in events:
            moment = accepted[-1] + 1 if accepted else begin
            closes = event.get("first") or event.get("flush")
            if held:
                if closes and ends:
                    moment = max(moment, ends[-1] + self.spacing)
                    if self.waits:
                        moment = max(moment, taken[len(ends) * self.beats - 1] + 1)
                while moment in self.holds:
                    moment += 1
                issued.append(moment)
                if closes:
                    ends.append(moment)
            held = not event.get("flush")
            if not held:
                issued.append(None)
            accepted.append(moment)
        return accepted, issued, ends


async def _watch(dut, name: str, cycles: list[int]) -> None:
    """Keep the cycles in which an output is high, as often as it says."""
    while True:
        await next_cycle
        cycles += [cycle()] * int(getattr(dut, name).value)


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def random_tokens(dut, stall):
    """Tokens of every length, empty ones among them, with and without flushes between them; the accumulators are
    pixels, or time steps."""
    machine = _Machine(dut, source=stall, sink=stall)
    machine.shape(pixels=stall in ("never", "random:0.7"))
    await reset(dut)
    useful: list[int] = []
    in_background(dut, _watch(dut, "useful", useful))
    overruns: list[int] = []
    in_background(dut, _watch(dut, "overrun", overruns))
    generator = np.random.default_rng(22)
    events: list[dict] = []
    for _ in range(150):
        events += machine.token(generator, int(generator.choice([1, 2, 3, machine.beats, 3 * machine.beats])))
        events += [FLUSH] * int(generator.choice([0, 0, 1, 2]))
    await machine.compare([*events, FLUSH])
    assert len(useful) == sum(map(machine.useful, events))
    assert not dut.busy.value
    assert not overruns


@cocotb.test()
async def every_shape(dut):
    """Every number of groups and lines that the lanes hold, steps and pixels, with every rest: the lowest lanes are
    drained, line by line, without a gap but for the rests, and marks stand where a group, a line, a commit ends."""
    machine = _Machine(dut)
    await reset(dut)
    overruns: list[int] = []
    in_background(dut, _watch(dut, "overrun", overruns))
    generator = np.random.default_rng(23)
    for groups in range(1, machine.lanes // machine.drain + 1):
        for lines in range(1, min(machine.most_lines, machine.lanes // machine.drain // groups) + 1):
            for pixels, rest in itertools.product((False, True), range(machine.most_rest + 1)):
                machine.shape(groups, lines, pixels, rest)
                begin = len(machine.sink.cycles)
                short = [event for _ in range(4) for event in machine.token(generator, 3)]
                await machine.compare([*short, FLUSH])
                gaps = np.diff(machine.sink.cycles[begin:])
                steps_end = np.arange(1, len(gaps) + 1) % machine.steps == 0
                commit_ends = np.arange(1, len(gaps) + 1) % machine.beats == 0
                # behind a commit the next one may not have come yet
                assert (gaps == 1 + rest * steps_end)[~commit_ends].all()
                assert (gaps >= 1 + rest * steps_end).all()
                for _ in range(1 + rest):
                    await RisingEdge(dut.clk)
                assert not dut.busy.value
    assert not overruns


@cocotb.test()
async def extremes(dut):
    """The most negative and the largest weight at every shift, until an accumulator stands at its very limit; and
    tokens that clear what they do not load."""
    machine = _Machine(dut)
    await reset(dut)
    full, events = machine.full, []
    for address in (0, 1):
        for shift in range(machine.max_shift + 1):
            for mask in (full, 1, 1 << machine.steps - 1):
                if machine.events == 1:
                    some = [machine.event(address, mask, shift=shift)] * (
                        machine.budget // (machine.largest << shift)
                    )
                else:  # as much as can be doubled so often, one single event among them where it fits
                    each, most = machine.largest << shift, machine.budget // machine.largest >> shift
                    assert each * most <= machine.budget
                    some = [machine.event(address, mask)] * (most // 2)
                    if most % 2:
                        some.append({**machine.event(address, mask), "high": {}})
                    some += [machine.event(address, 0, double=1)] * shift
                events += [{**some[0], "first": 1}, *some[1:]]
                # the loaded steps are cleared
                events += [machine.event(address, full & ~mask, first=1)]
            events += [machine.event(address, 0, first=1), machine.event(0, 0)]
    lowest = min(min(beat["value"]) for beat in machine.expected([*events, FLUSH]))
    assert lowest == -machine.budget, "the lower limit is not reached"
    await machine.compare([*events, FLUSH])


@cocotb.test()
async def flush_only_moves(dut):
    """A flush without a token gives nothing; its address, mask and all else count for nothing."""
    machine = _Machine(dut)
    await reset(dut)
    generator = np.random.default_rng(24)
    noise = {**machine.event(1, machine.full, shift=machine.max_shift, double=1, first=1), "flush": 1}
    await machine.compare([FLUSH, noise, *machine.token(generator, 5), noise, noise])
    await machine.compare([*machine.token(generator, 1), noise, FLUSH, *machine.token(generator, 5), FLUSH])
    for _ in range(2 * machine.beats + machine.latency):
        await RisingEdge(dut.clk)
    assert not machine.sink.received


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def every_cycle(dut, stall):
    """The cycle of each event's acceptance, of each useful accumulation, of each beat and of `busy`: no bubble
    between tokens that are as long as a drain, a wait exactly while a token's end meets the drain before. (The long
    tokens may leave the accumulators' range: their values are no matter here.)"""
    machine = _Machine(dut, sink=stall)
    if stall == "bursts":
        machine.shape(pixels=True)
    await reset(dut)
    useful: list[int] = []
    busy: list[int] = []
    in_background(dut, _watch(dut, "useful", useful))
    in_background(dut, _watch(dut, "busy", busy))
    generator = np.random.default_rng(25)
    lengths = [machine.beats, machine.beats, machine.beats + 1, 2 * machine.beats, *generator.integers(1, 9, 30)]
    events = [
        machine.event(int(generator.integers(8)), machine.full * int(generator.random() < 0.8), first=int(not n))
        for length in lengths
        for n in range(length)
    ]
    await machine.source.send([*events, FLUSH])
    total = len(lengths) * machine.beats
    await machine.sink.take(total)
    for _ in range(3):
        await RisingEdge(dut.clk)
    begin, taken = machine.source.cycles[0], machine.sink.cycles
    accepted, issued, ends = machine.schedule([*events, FLUSH], begin, taken)
    assert machine.source.cycles == accepted
    works = [moment + machine.events + machine.memory for moment in issued if moment is not None]
    assert useful == [
        moment for event, moment in zip(events, works, strict=True) for _ in range(machine.useful(event))
    ]
    flight = {
        moment + on
        for moment in issued
        if moment is not None
        for on in range(1, machine.events + machine.memory + 1)
    }
    for number, moment in enumerate(ends):
        flight |= set(range(moment + 1, taken[(number + 1) * machine.beats - 1] + 1))
    assert busy == sorted(flight)
    if stall == "never":
        first = [moment + machine.latency for moment in ends]
        assert taken == [moment + beat for moment in first for beat in range(machine.beats)]
        if not machine.ring:
            assert accepted[: sum(lengths[:4])] == list(range(begin, begin + sum(lengths[:4])))


@cocotb.test()
async def shut_drain(dut):
    """With the drain shut, a token waits in the shadow, and the next one's last event at the door."""
    machine = _Machine(dut, sink=None)
    await reset(dut)
    dut.o__ready.value = 0
    generator = np.random.default_rng(26)
    events = [event for _ in range(4) for event in machine.token(generator, 3)]
    starts = [number for number, event in enumerate(events) if event["first"]]
    sending = machine.source.start([*events, FLUSH])
    for _ in range(30):
        await RisingEdge(dut.clk)
    assert len(machine.source.cycles) == starts[2]
    machine.open("bursts")
    expected = machine.expected([*events, FLUSH])
    assert await machine.sink.take(len(expected)) == expected
    await sending


@cocotb.test()
async def reset_forgets(dut):
    """A reset after any number of events, while accumulating or draining, leaves neither a token nor a beat."""
    machine = _Machine(dut)
    await reset(dut)
    generator = np.random.default_rng(27)
    for cut in range(1, 3 * machine.beats + 4, 2):
        begin = len(machine.source.cycles)
        tokens = [machine.token(generator, max(machine.beats // 2, 1)) for _ in range(cut)]
        sending = machine.source.start([event for token in tokens for event in token])
        while len(machine.source.cycles) < begin + cut:
            await RisingEdge(dut.clk)
        await break_off(dut, sending, machine.sink)
        assert not dut.o__valid.value
        assert not dut.busy.value
        await machine.compare([*machine.token(generator, 4), *machine.token(generator, 1), FLUSH])
