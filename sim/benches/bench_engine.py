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
from ds2ta.hw.payloads import drain_layout, event_layout
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
        self.largest = 1 << bits - 1  # magnitude of the most negative weight
        self.budget = 1 << parameters["acc_width"] - 1
        self.most_lines, self.most_rest = parameters["max_lines"], parameters["max_rest"]
        self.dut = dut
        generator = np.random.default_rng(21)
        rows = min(1 << parameters["address_width"], 64)
        self.weight = generator.integers(-self.largest, self.largest, (self.lanes, rows))
        self.weight[:, 0] = -self.largest
        self.weight[:, 1] = self.largest - 1
        row = data.ArrayLayout(signed(bits), self.lanes)
        words = [pack(row, column.tolist()) for column in self.weight.T]
        MemoryModel(dut, words, read=("weight_address", "weight_enable", "weight_data"))
        layout = event_layout(parameters["address_width"], self.max_shift, self.steps)
        self.source = StreamSource(dut, "i", layout, stall=source, seed=1)
        self.sink: StreamSink  # there once it is open
        if sink:
            self.open(sink)
        self.shape()

    def shape(self, groups: int | None = None, lines: int = 1, pixels: bool = False, rest: int = 0) -> None:
        """What a commit is like: drain groups of a line, lines, whether its accumulators are pixels, cycles of rest
        behind a group."""
        self.groups, self.lines = groups or self.lanes // self.drain, lines
        self.pixels, self.rest = pixels, rest
        for name, value in (("groups", self.groups), ("lines", lines), ("pixels", int(pixels)), ("rest", rest)):
            getattr(self.dut, name).value = value

    def open(self, stall: str) -> StreamSink:
        layout = drain_layout(self.drain, bench_parameters()["acc_width"])
        self.sink = StreamSink(self.dut, "o", layout, stall=stall, seed=2)
        return self.sink

    @property
    def beats(self) -> int:
        """Beats of a commit."""
        return self.lines * self.groups * self.steps * (self.steps if self.pixels else 1)

    def token(self, generator, events: int) -> list[dict]:
        """A token of at most `events` events (at least one) that cannot leave the accumulators' range."""
        found, left = [], self.budget
        for number in range(max(events, 1)):
            shift = int(generator.integers(0, self.max_shift + 1))
            left -= self.largest << shift
            if left < 0:
                break
            mask = int(generator.choice([0, (1 << self.steps) - 1, generator.integers(0, 1 << self.steps)]))
            address = int(generator.integers(0, self.weight.shape[1]))
            found.append({"address": address, "shift": shift, "mask": mask, "first": int(number == 0)})
        return found or [{"first": 1}]

    def sums(self, token: list[dict]) -> np.ndarray:
        """P [T, lanes]: the events as activations x[t][j]."""
        x = np.zeros((self.steps, self.weight.shape[1]), np.int64)
        for event in token:
            for t in range(self.steps):
                x[t, event.get("address", 0)] += (event.get("mask", 0) >> t & 1) << event.get("shift", 0)
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

    def schedule(self, events: list[dict], begin: int, taken: list[int]):
        """Predicts, for a source that never waits and a sink that accepted beats in cycles `taken`: the cycle in
        which each event is accepted, that in which it accumulates, and that of each commit."""
        accepted: list[int] = []
        done: list[int] = []
        commits: list[int] = []
        pending = False
        for number, event in enumerate(events):
            moment = done[-1] + 1 if done else begin + 2
            if pending and (event.get("first") or event.get("flush")):
                if commits:  # the shadow is free in the very cycle that accepts the final beat before
                    moment = max(moment, taken[len(commits) * self.beats - 1])
                commits.append(moment)
            if event.get("first") or event.get("flush"):
                pending = not event.get("flush")
            accepted.append(done[number - 2] if number >= 2 else begin + number)
            done.append(moment)
        return accepted, done, commits


async def _watch(dut, name: str, cycles: list[int]) -> None:
    """Keep the cycles in which an output is high."""
    while True:
        await next_cycle
        if getattr(dut, name).value:
            cycles.append(cycle())


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
    generator = np.random.default_rng(22)
    events: list[dict] = []
    for _ in range(150):
        events += machine.token(generator, int(generator.choice([1, 2, 3, machine.beats, 3 * machine.beats])))
        events += [FLUSH] * int(generator.choice([0, 0, 1, 2]))
    await machine.compare([*events, FLUSH])
    assert len(useful) == sum(bool(event.get("mask")) for event in events)
    assert not dut.busy.value


@cocotb.test()
async def every_shape(dut):
    """Every number of groups and lines that the lanes hold, steps and pixels, with every rest: the lowest lanes are
    drained, line by line, without a gap but for the rests, and marks stand where a group, a line, a commit ends."""
    machine = _Machine(dut)
    await reset(dut)
    generator = np.random.default_rng(23)
    for groups in range(1, machine.lanes // machine.drain + 1):
        for lines in range(1, min(machine.most_lines, machine.lanes // machine.drain // groups) + 1):
            for pixels, rest in itertools.product((False, True), range(machine.most_rest + 1)):
                machine.shape(groups, lines, pixels, rest)
                begin = len(machine.sink.cycles)
                short = [event for _ in range(4) for event in machine.token(generator, 3)]
                await machine.compare([*short, FLUSH])
                gaps = np.diff(machine.sink.cycles[begin:])
                each = machine.steps * (machine.steps if pixels else 1)  # beats of a group
                group_ends = np.arange(1, len(gaps) + 1) % each == 0
                commit_ends = np.arange(1, len(gaps) + 1) % machine.beats == 0
                # behind a commit the next one may not have come yet
                assert (gaps == 1 + rest * group_ends)[~commit_ends].all()
                assert (gaps >= 1 + rest * group_ends).all()
                await RisingEdge(dut.clk)
                assert not dut.busy.value


@cocotb.test()
async def extremes(dut):
    """The most negative and the largest weight at every shift, until an accumulator stands at its very limit; and
    tokens that clear what they do not load."""
    machine = _Machine(dut)
    await reset(dut)
    full = (1 << machine.steps) - 1
    events = []
    for address in (0, 1):
        for shift in range(machine.max_shift + 1):
            most = machine.budget // (machine.largest << shift)
            for mask in (full, 1, 1 << machine.steps - 1):
                event = {"address": address, "shift": shift, "mask": mask}
                events += [{**event, "first": 1}, *[event] * (most - 1)]
                events += [{**event, "mask": full & ~mask, "first": 1}]  # the loaded steps are cleared
            events += [{**event, "mask": 0, "first": 1}, {"mask": 0}]
    lowest = min(min(beat["value"]) for beat in machine.expected([*events, FLUSH]))
    assert lowest == -machine.budget, "the lower limit is not reached"
    await machine.compare([*events, FLUSH])


@cocotb.test()
async def flush_only_moves(dut):
    """A flush without a token gives nothing; its address, shift, mask and first count for nothing."""
    machine = _Machine(dut)
    await reset(dut)
    generator = np.random.default_rng(24)
    noise = {"address": 1, "shift": machine.max_shift, "mask": (1 << machine.steps) - 1, "first": 1, "flush": 1}
    await machine.compare([FLUSH, noise, *machine.token(generator, 5), noise, noise])
    await machine.compare([*machine.token(generator, 1), noise, FLUSH, *machine.token(generator, 5), FLUSH])
    for _ in range(2 * machine.beats):
        await RisingEdge(dut.clk)
    assert not machine.sink.received


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def every_cycle(dut, stall):
    """The cycle of each event's acceptance, of each useful accumulation, of each beat and of `busy`: no bubble
    between tokens that are as long as a drain, a stall exactly while a commit meets a draining shadow. (The long
    tokens may leave the accumulators' range: their values are no matter here.)"""
    machine = _Machine(dut, sink=stall)
    await reset(dut)
    useful: list[int] = []
    busy: list[int] = []
    in_background(dut, _watch(dut, "useful", useful))
    in_background(dut, _watch(dut, "busy", busy))
    generator = np.random.default_rng(25)
    if stall == "bursts":
        machine.shape(pixels=True)
    mask = (1 << machine.steps) - 1
    lengths = [machine.beats, machine.beats, machine.beats + 1, 2 * machine.beats, *generator.integers(1, 9, 30)]
    events = [
        {"address": int(generator.integers(8)), "mask": mask * int(generator.random() < 0.8), "first": int(not n)}
        for length in lengths
        for n in range(length)
    ]
    await machine.source.send([*events, FLUSH])
    total = len(lengths) * machine.beats
    await machine.sink.take(total)
    for _ in range(3):
        await RisingEdge(dut.clk)
    begin, taken = machine.source.cycles[0], machine.sink.cycles
    accepted, done, commits = machine.schedule([*events, FLUSH], begin, taken)
    assert machine.source.cycles == accepted
    assert useful == [moment for event, moment in zip(events, done, strict=False) if event["mask"]]
    flight = {moment for start, end in zip(accepted, done, strict=True) for moment in range(start + 1, end + 1)}
    for number, moment in enumerate(commits):
        flight |= set(range(moment + 1, taken[(number + 1) * machine.beats - 1] + 1))
    assert busy == sorted(flight)
    if stall == "never":
        assert taken == [commit + 1 + beat for commit in commits for beat in range(machine.beats)]
        assert accepted[: sum(lengths[:4])] == list(range(begin, begin + sum(lengths[:4])))


@cocotb.test()
async def shut_drain(dut):
    """With the drain shut, a token waits in the shadow, one in the accumulators, and two events in the pipeline."""
    machine = _Machine(dut, sink=None)
    await reset(dut)
    dut.o__ready.value = 0
    generator = np.random.default_rng(26)
    events = [event for _ in range(4) for event in machine.token(generator, 3)]
    starts = [number for number, event in enumerate(events) if event["first"]]
    sending = machine.source.start([*events, FLUSH])
    for _ in range(30):
        await RisingEdge(dut.clk)
    assert len(machine.source.cycles) == starts[2] + 2
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
