# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of ParameterFetch: each beat against the row that its tile and group of neurons name, in every output
line and for every pixel."""

import itertools
import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.lif import neuron_layout
from ds2ta.hw.parameters import parameter_layout
from ds2ta.hw.tasa import current_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import MemoryModel, StreamSink, StreamSource, cycle, pack, reset

#: (tiles, output lines of a tile, groups of a line, pixels of a group, time steps)
DIRECTED = [
    (1, 1, 1, 1, 1),
    (1, 3, 1, 1, 1),
    (3, 1, 1, 1, 1),
    (2, 2, 1, 1, 1),
    (1, 1, 4, 1, 2),
    (3, 5, 2, 1, 3),
    (2, 1, 3, 1, 1),
    (1, 1, 1, 4, 1),
    (2, 3, 1, 4, 4),
    (2, 2, 3, 2, 2),
    (1, 2, 3, 4, 1),
]


def _ends(dut, stall: str):
    p = bench_parameters()
    lanes, width = p["lanes"], p["current_width"]
    neuron = neuron_layout(lanes=lanes, current_width=width, param_width=p["param_width"])
    return (
        StreamSource(dut, "i", current_layout(lanes=lanes, width=width), stall=stall, seed=5),
        StreamSink(dut, "o", neuron, stall=stall, seed=6),
    )


def _values(generator: random.Random, width: int, lanes: int) -> list[int]:
    """Signed values, the extremes now and then."""
    low, high = -(1 << width - 1), (1 << width - 1) - 1
    return [generator.choice([low, high, generator.randint(low, high)]) for _ in range(lanes)]


def _layer(generator: random.Random, store: list[dict], base: int, shape: tuple) -> tuple[list[dict], list[dict]]:
    """Beats of a layer, and what must come out: the row of (tile, group), for every line, pixel and step."""
    p = bench_parameters()
    tiles, lines, groups, pixels, steps = shape
    beats, expected = [], []
    for tile, _, group, pixel, t in itertools.product(*map(range, (tiles, lines, groups, pixels, steps))):
        beat = {
            "current": _values(generator, p["current_width"], p["lanes"]),
            "t_first": t == 0,
            "t_last": t == steps - 1,
            "last": group == groups - 1,
        }
        beats.append({**beat, "group_last": pixel == pixels - 1})
        expected.append({**beat, **store[base + tile * groups + group]})
    return beats, expected


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def layers(dut, stall):
    """Layers one after another at random places of the store: a group's row stays for all of its beats, those of a
    packed layer's pixels too, and comes again in the next output line. A beat passes in the cycle in which it
    comes, or, if `registered`, is there in the next; the first one may come in the cycle after start."""
    p = bench_parameters()
    generator = random.Random(f"{stall}{p}")
    depth, lanes = 1 << p["address_width"], p["lanes"]
    layout = parameter_layout(lanes=lanes, param_width=p["param_width"])
    store = [
        {name: _values(generator, p["param_width"], lanes) for name in ("bias", "margin")} for _ in range(depth)
    ]
    MemoryModel(dut, [pack(layout, row) for row in store], read=("read_address", None, "read_data"))
    source, sink = _ends(dut, stall)
    await reset(dut)
    shapes = DIRECTED + [tuple(generator.randint(1, most) for most in (4, 6, 4, 3, 5)) for _ in range(25)]
    for shape in shapes:
        tiles, lines, groups, *_ = shape
        base = generator.choice([0, depth - tiles * groups, generator.randint(0, depth - tiles * groups)])
        beats, expected = _layer(generator, store, base, shape)
        dut.base.value, dut.visits_last.value, dut.start.value = base, lines - 1, 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        begin = cycle()
        source.cycles.clear()
        sink.cycles.clear()
        source.start(beats)
        found = await sink.take(len(expected))
        for number, (beat, wanted) in enumerate(zip(found, expected, strict=True)):
            assert beat == wanted, f"{shape} at {base}, beat {number}: {beat}, not {wanted}"
        if not p["registered"]:
            assert sink.cycles == source.cycles
        elif stall == "never":
            assert sink.cycles == [taken + 1 for taken in source.cycles]
        if stall == "never":
            assert source.cycles == list(range(begin + 1, begin + 1 + len(beats)))
    assert not sink.received


@cocotb.test()
async def other_breaks(dut):
    """A start in the middle of a layer begins another, at its own base and with its own count of lines."""
    p = bench_parameters()
    generator = random.Random(9)
    depth, lanes = 1 << p["address_width"], p["lanes"]
    layout = parameter_layout(lanes=lanes, param_width=p["param_width"])
    store = [
        {name: _values(generator, p["param_width"], lanes) for name in ("bias", "margin")} for _ in range(depth)
    ]
    MemoryModel(dut, [pack(layout, row) for row in store], read=("read_address", None, "read_data"))
    source, sink = _ends(dut, "never")
    await reset(dut)
    for _ in range(20):
        shapes = [tuple(generator.randint(1, most) for most in (2, 3, 3, 3, 2)) for _ in range(2)]
        for shape, whole in zip(shapes, (False, True), strict=True):
            base = generator.randint(0, depth - shape[0] * shape[2])
            beats, expected = _layer(generator, store, base, shape)
            if not whole:
                count = generator.randint(1, len(beats))
                beats, expected = beats[:count], expected[:count]
            dut.base.value, dut.visits_last.value, dut.start.value = base, shape[1] - 1, 1
            await RisingEdge(dut.clk)
            dut.start.value = 0
            source.start(beats)
            assert await sink.take(len(expected)) == expected
