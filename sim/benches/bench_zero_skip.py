# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of ZeroSkip: the events of whole layers and, with a free-running output, the cycle of each of them.

Expected events are computed here from the rows as plain lists. Expected cycles come from a model of the documented
queue: rows are accepted while fewer than `buffer_rows` wait, and the row at its output spends one cycle on each
event, or on each two.
"""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import event_layout, pair_layout
from ds2ta.hw.row_reader import read_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, in_background, next_cycle, reset

FLUSH = None  # stands for the flush event, of which only that flag means anything


def _ends(dut, stall_in: str, stall_out: str):
    p = bench_parameters()
    row = read_layout(**{key: p[key] for key in ("row_lanes", "time_steps", "weight_width", "plane_width")})
    if p["events"] == 1:
        event = event_layout(p["weight_width"], p["max_shift"], p["time_steps"])
    else:
        event = pair_layout(p["weight_width"], p["time_steps"])
    return (
        StreamSource(dut, "i", row, stall=stall_in, seed=3),
        StreamSink(dut, "o", event, stall=stall_out, seed=4),
    )


def _layer(generator: random.Random, lane_bits: int, positions: int, density: float) -> list[dict]:
    """Rows of a layer. `density`: chance of a spike word to be non-zero; with a third of it also whole rows, whole
    planes and whole positions are empty."""
    p = bench_parameters()
    lanes, steps = p["row_lanes"], p["time_steps"]
    share = lanes >> lane_bits  # planes in a row
    found = []
    for position in range(positions):
        rows = generator.choice([1, 1, 2, 3, 9])
        planes = generator.randint(1, p["max_shift"] + 1)
        empty = 0 < density < 1 and generator.random() < 0.2
        for plane in reversed(range(planes)):
            hollow = empty or (0 < density < 1 and generator.random() < 0.2)
            for r in range(rows):
                chance = 0.0 if hollow or (0 < density < 1 and generator.random() < 0.3) else density
                first, ends = plane == planes - 1 and r == 0, r == rows - 1
                found.append(
                    {
                        "row": [
                            generator.randrange(1, 1 << steps) if generator.random() < chance else 0
                            for _ in range(lanes)
                        ],
                        "weight": generator.randrange(1 << p["weight_width"]) >> lane_bits << lane_bits,
                        "plane": plane,
                        "part": plane % share,
                        "plane_last": ends,
                        "first": first,
                        "last": ends and plane == 0,
                        "end": ends and plane == 0 and position == positions - 1,
                    }
                )
    return found


def _row_events(row: dict, lane_bits: int) -> list[dict]:
    """One event for each non-zero word of the row's part, in the order of the lanes; or pairs from both ends."""
    p, interleave = bench_parameters(), 1 << lane_bits
    words = [
        (row["weight"] + lane % interleave, word)
        for lane, word in enumerate(row["row"])
        if word and lane // interleave == row["part"]
    ]
    marks = {"first": 0, "flush": 0}
    if p["events"] == 1:
        return [{"address": address, "shift": row["plane"], "mask": word, **marks} for address, word in words]
    found = []
    while words:
        low, high = words[0], words[-1] if len(words) > 1 else (words[0][0], 0)
        pair = {name: {"address": half[0], "mask": half[1]} for name, half in (("low", low), ("high", high))}
        found.append({**pair, "double": 0, **marks})
        words = words[1:-1]
    return found


def _null(**marks: int) -> dict:
    """An event that adds nothing; its address and shift mean nothing."""
    if bench_parameters()["events"] == 1:
        return {"mask": 0, "first": 0, "flush": 0, **marks}
    return {"low": {"mask": 0}, "high": {"mask": 0}, "double": 0, "first": 0, "flush": 0, **marks}


def _kept(layer: list[dict], lane_bits: int) -> list[list[dict] | None]:
    """For each row its events, or None if it is dropped."""
    pairs = bench_parameters()["events"] == 2
    found, position_has_one, plane_has_one = [], False, False
    for row in layer:
        events = _row_events(row, lane_bits)
        closes = row["plane_last"] and not plane_has_one  # its plane has had no event
        needed = pairs or not position_has_one if row["last"] else pairs and position_has_one
        if not events and closes and needed:
            events = [_null()]
        if events and not position_has_one:
            events[0]["first"] = 1
        elif events and pairs and not plane_has_one:
            events[0]["double"] = 1
        position_has_one = not row["last"] and (position_has_one or bool(events))
        plane_has_one = not row["plane_last"] and (plane_has_one or bool(events))
        found.append(events or None)
    return found


def _compare(found: list[dict], expected: list[dict | None]) -> None:
    for number, (event, wanted) in enumerate(zip(found, expected, strict=True)):
        wanted = wanted or {"flush": 1}
        seen = {
            name: {part: event[name][part] for part in value} if isinstance(value, dict) else event[name]
            for name, value in wanted.items()
        }
        assert seen == wanted, f"event {number}: {seen}, not {wanted}"


def _schedule(layers: list[list[list[dict] | None]], places: int) -> tuple[list[int], list[int]]:
    """Cycles in which rows are taken and events leave, the first row being offered in cycle 0 and every row at once
    when the one before it is taken."""
    incoming = []  # (events of the row, whether it is taken from the input)
    for layer in layers:
        incoming += [(None if events is None else len(events), True) for events in layer] + [(1, False)]
    waiting: list[tuple[int, int]] = []  # (events, the cycle from which the row can be fetched)
    serving, from_cycle = 0, 0  # events left of the row at the output, the cycle from which it is there
    taken, left, now = [], [], 0
    while incoming or waiting or serving:
        room = len(waiting) < places
        if serving and now >= from_cycle:
            left.append(now + 1)  # an event is offered in the cycle after it was made
            serving -= 1
        if not serving and waiting and waiting[0][1] <= now:
            serving, from_cycle = waiting.pop(0)[0], now + 1
        if incoming and room:
            events, from_input = incoming.pop(0)
            if events is not None:
                waiting.append((events, now + 1))
            if from_input:
                taken.append(now)
        now += 1
    return taken, left


async def _count_rows(dut, count: list[int]):
    while True:
        await next_cycle
        count[0] += int(dut.rows.value)


async def _bench(dut, stall_in: str, stall_out: str, density: float) -> None:
    p = bench_parameters()
    generator = random.Random(f"{stall_in}{stall_out}{density}{p}")
    source, sink = _ends(dut, stall_in, stall_out)
    await reset(dut)
    count = [0]
    in_background(dut, _count_rows(dut, count))
    for lane_bits in range(p["row_lanes"].bit_length()):
        dut.lane_bits.value = lane_bits
        sizes = [1, 2, 30] if lane_bits == p["row_lanes"].bit_length() - 1 else [1, 12]
        layers = [_layer(generator, lane_bits, size, density) for size in sizes]
        kept = [_kept(layer, lane_bits) for layer in layers]
        expected = [event for layer in kept for event in [*(event for row in layer if row for event in row), FLUSH]]
        source.cycles.clear()
        sink.cycles.clear()
        count[0] = 0
        source.start(row for layer in layers for row in layer)
        _compare(await sink.take(len(expected)), expected)
        if stall_in == stall_out == "never":
            taken, left = _schedule(kept, p["buffer_rows"])
            if p["registered"]:  # a row comes into the register when the one before goes on
                taken, left = [0, *(at + 1 for at in taken[:-1])], [at + 1 for at in left]
            start = source.cycles[0]
            assert [at - start for at in source.cycles] == taken
            assert [at - start for at in sink.cycles] == left
            # the contract's latency
            first = next(number for number, row in enumerate(kept[0]) if row)
            assert sink.cycles[0] - source.cycles[first] == 3 + p["registered"]
        for _ in range(4):
            await RisingEdge(dut.clk)
        assert not sink.received
        assert count[0] == sum(map(len, layers))


@cocotb.test()
@cocotb.parametrize(density=[0.0, 0.05, 0.3, 0.7, 1.0])
async def cycle_by_cycle(dut, density):
    """Every event and the cycle of every transfer."""
    await _bench(dut, "never", "never", density)


@cocotb.test()
@cocotb.parametrize(
    stalls=[("random:0.3", "never"), ("never", "random:0.3"), ("random:0.5", "random:0.5"), ("bursts", "bursts")],
    density=[0.0, 0.1, 0.5, 1.0],
)
async def stalled(dut, stalls, density):
    """The same events in the same order under stalls on both sides."""
    before, behind = stalls
    await _bench(dut, before, behind, density)


@cocotb.test()
async def one_word(dut):
    """A single spike in each lane and step in turn, and all lanes at once: position 2 of 3, the others empty."""
    p = bench_parameters()
    lanes, steps = p["row_lanes"], p["time_steps"]
    source, sink = _ends(dut, "never", "never")
    dut.lane_bits.value = lanes.bit_length() - 1
    await reset(dut)

    def row(words: list[int], end: bool) -> dict:
        marks = {"plane_last": 1, "first": 1, "last": 1, "end": end}
        return {"row": words, "weight": 0, "plane": 0, "part": 0, **marks}

    patterns = [[(lane == at) << step for lane in range(lanes)] for at in range(lanes) for step in range(steps)]
    for words in [*patterns, [(1 << steps) - 1] * lanes]:
        layer = [row([0] * lanes, False), row(words, False), row([0] * lanes, True)]
        source.start(layer)
        events = _row_events(layer[1], lanes.bit_length() - 1)
        null = _null(first=1)
        expected = [null, {**events[0], "first": 1}, *events[1:], null, FLUSH]
        _compare(await sink.take(len(expected)), expected)
