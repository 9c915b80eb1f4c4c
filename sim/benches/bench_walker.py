# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RowWalker: every row, slot and mask against the formula, modulo the address space; the windows of a
pool; what lies beyond the picture and the last channel; start and done."""

import random
from dataclasses import dataclass, replace

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.hw.payloads import placed_words_layout, words_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, cycle, in_background, next_cycle, reset


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Loop counts of a walk. `groups` 0: each output line has a number of groups of its own."""

    tiles: int = 1
    height: int = 1
    width: int = 1
    lines: int = 1
    live_lines: int = 0  # 0: all
    groups: int = 0
    pixels: bool = False
    live_pixels: int = 0  # 0: all
    live_rows: int = 0  # of the last tile, 0: all
    pool: bool = False
    above: bool = False  # of the picture there are lines before these, and behind them
    below: bool = False


class _Bench:
    def __init__(self, dut, stall: str):
        p = bench_parameters()
        self.dut = dut
        self.lanes, self.slots, self.steps = p["lanes"], p["row_lanes"] // p["lanes"], p["time_steps"]
        self.size, self.most, self.max_lines = 1 << p["address_width"], 1 << p["count_width"], p["max_lines"]
        self.tile_rows, self.bands = p["tile_rows"], p.get("bands", False)
        placed = placed_words_layout(self.lanes, self.steps, self.slots, p["address_width"])
        self.source = StreamSource(dut, "i", words_layout(self.lanes, self.steps), stall=stall, seed=1)
        self.sink = StreamSink(dut, "o", placed, stall=stall, seed=2)
        self.generator = random.Random(3)
        self.done: dict[int, bool] = {}
        self.odd: dict[int, int] = {}
        in_background(dut, self._watch())

    async def _watch(self):
        """Keep the levels of `done` and `trace_odd` in each cycle."""
        while True:
            await next_cycle
            self.done[cycle()] = bool(self.dut.done.value)
            if self.dut.o__valid.value:
                self.odd[cycle()] = int(self.dut.trace_odd.value)

    async def start(self, **configuration):
        for name, value in configuration.items():
            getattr(self.dut, name).value = value
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0

    def _beats(self, layer: _Layer, pitches: dict[str, int]) -> tuple[list[dict], list[dict | None]]:
        """The words of a layer in drain order, and where each must go (None: nowhere)."""
        n, halves = self.steps if layer.pixels else 1, 2 if layer.pool else 1
        high = (layer.height - 1) * layer.lines + (layer.live_lines or layer.lines)
        wide = (layer.width - 1) * n + ((layer.live_pixels or n) if layer.pixels else 1)
        beats: list[dict] = []
        expected: list[dict | None] = []
        for at in np.ndindex(layer.tiles, layer.height, layer.width, layer.lines):
            tile, y, x, line = (int(i) for i in at)
            groups = layer.groups or self.slots * self.generator.randint(1, self.tile_rows)
            Y = y * layer.lines + line
            for j in range(groups):
                for i in range(n):
                    words = [self.generator.randrange(1 << self.steps) for _ in range(self.lanes)]
                    last = j == groups - 1
                    beats.append({"words": words, "last": last})
                    X = x * n + i
                    exists = tile < layer.tiles - 1 or j // self.slots < (layer.live_rows or groups)
                    if high <= Y or wide <= X or not exists:
                        expected.append(None)
                        continue
                    row = pitches["base"] + tile * pitches["tile_pitch"]
                    row += Y // halves * pitches["line_pitch"]
                    row += X // halves * pitches["position_pitch"] + j // self.slots
                    windows = {
                        "across": X % 2 == 1 and wide > X + 1,
                        "down": Y % 2 == 1 and (high > Y + 1 or layer.below),
                        "first_column": X == 0,
                        "first_line": Y == 0 and not layer.above,
                    }
                    placed = {"words": words, "address": row % self.size, "slot": 1 << j % self.slots}
                    odd = (X % 2 | Y % 2 << 1) if layer.pool else 0
                    expected.append({**placed, **{name: int(flag) for name, flag in windows.items()}, "odd": odd})
        return beats, expected

    async def walk(self, layer: _Layer, *, full_speed: bool) -> None:
        """One layer with random pitches. Words are shown in the cycle after they were taken, those beyond the
        picture are not; `done` is high from the cycle after the final words on, and at no time earlier."""
        names = ("base", "position_pitch", "line_pitch", "tile_pitch")
        pitches = {name: self.generator.randrange(self.size) for name in names}
        beats, expected = self._beats(layer, pitches)
        spare = range(self.steps)  # what a layer without pixels has in the field means nothing
        assert self.dut.done.value == 1
        await self.start(
            **pitches,
            width_last=layer.width - 1,
            height_last=layer.height - 1,
            tiles_last=layer.tiles - 1,
            lines=layer.lines,
            live_lines=layer.live_lines or layer.lines,
            pixels=layer.pixels,
            pool=layer.pool,
            **({"above": layer.above, "below": layer.below} if self.bands else {}),
            live_rows_last=(layer.live_rows or self.tile_rows) - 1,
            live_pixels_last=(layer.live_pixels or self.steps) - 1
            if layer.pixels
            else self.generator.choice(spare),
        )
        begin = cycle()
        self.source.cycles.clear()
        self.sink.cycles.clear()
        self.odd.clear()
        await self.source.send(beats)
        while self.dut.o__valid.value or not self.dut.done.value:
            await RisingEdge(self.dut.clk)
        wanted = [one for one in expected if one is not None]
        found = [{**one, "odd": self.odd[at]} for one, at in zip(self.sink.received, self.sink.cycles, strict=True)]
        self.sink.received.clear()
        assert len(found) == len(wanted), layer
        for number, (one, right) in enumerate(zip(found, wanted, strict=True)):
            assert one == right, f"{layer}, {pitches}: number {number} is {one}, not {right}"
        taken = self.source.cycles
        kept = [at for at, one in zip(taken, expected, strict=True) if one is not None]
        if full_speed:
            assert self.sink.cycles == [at + 1 for at in kept]
            assert taken == list(range(taken[0], taken[0] + len(beats)))
        assert not any(self.done[at] for at in range(begin + 1, taken[-1] + 1)), layer
        assert self.done[taken[-1] + 1]

    def layers(self) -> list[_Layer]:
        """Steered: each loop alone, all together, at the limits of their counts, with whatever may be left over of
        lines and pixels; then random ones."""
        most, pick, lines = self.most, self.generator.randint, self.max_lines
        found = [
            _Layer(),
            _Layer(width=min(5, most)),
            _Layer(height=4),
            _Layer(tiles=4),
            _Layer(tiles=3, height=3, width=3),
            _Layer(tiles=2, height=2, width=2, groups=self.tile_rows * self.slots),
            _Layer(tiles=most, height=1, width=2, groups=self.slots),
            _Layer(tiles=1, height=most, width=2, groups=self.slots),
            _Layer(tiles=2, height=1, width=most, groups=self.slots),
            _Layer(tiles=1, height=most - 1, width=most - 1, groups=self.slots),
            # fewer channels than the tiles have
            *(_Layer(tiles=3, height=2, width=2, live_rows=live) for live in range(1, self.tile_rows + 1)),
            # pools of all parities
            *(_Layer(tiles=2, height=y, width=x, pool=True) for y in (1, 2, 3, 4) for x in (1, 2, 3, 4)),
            _Layer(height=most, width=most, groups=self.slots, pool=True),
            _Layer(tiles=2, height=2, width=3, live_rows=1, pool=True),
        ]
        for some in range(2, lines + 1):
            found += [_Layer(width=2, height=2, lines=some, live_lines=live) for live in range(1, some + 1)]
            found += [_Layer(height=1, width=1, tiles=2, lines=some, live_lines=live) for live in (1, some)]
            found += [
                _Layer(width=3, height=high, lines=some, live_lines=live, pool=True)
                for live in range(1, some + 1)
                for high in (1, 2, 3)
                if high <= most
            ]
        for live in range(1, self.steps + 1):
            found += [_Layer(width=2, height=2, pixels=True, live_pixels=live)]
            found += [_Layer(width=1, height=1, tiles=2, pixels=True, live_pixels=live)]
            found += [_Layer(width=3, height=2, lines=lines, live_lines=1, pixels=True, live_pixels=live)]
            packed = _Layer(width=3, height=3, pixels=True, live_pixels=live, pool=True)
            found += [packed, replace(packed, width=2, height=2, lines=lines), replace(packed, width=1, tiles=2)]
        for _ in range(60):
            some = pick(1, lines)
            found.append(
                _Layer(
                    tiles=pick(1, 3),
                    height=pick(1, 3),
                    width=pick(1, 3),
                    lines=some,
                    live_lines=pick(1, some),
                    pixels=bool(pick(0, 1)),
                    live_pixels=pick(1, self.steps),
                    live_rows=pick(0, self.tile_rows),
                    pool=bool(pick(0, 1)),
                )
            )
        if self.bands:
            found += [replace(layer, above=True) for layer in found] + [
                replace(layer, above=above, below=True, live_lines=0) for layer in found for above in (False, True)
            ]
        return found


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def walks(dut, stall):
    """Layers one after another; without stalls a group passes in every cycle, in the cycle in which it comes."""
    bench = _Bench(dut, stall)
    await reset(dut)
    for layer in bench.layers():
        await bench.walk(layer, full_speed=stall == "never")


def _placed(bench: _Bench, **more) -> dict:
    """A start of two positions, one below the other."""
    plain = {"base": 3, "position_pitch": 1, "line_pitch": 1, "tile_pitch": 0, "width_last": 0, "height_last": 1}
    if bench.bands:
        plain |= {"above": 0, "below": 0}
    plain |= {"tiles_last": 0, "lines": 1, "live_lines": 1, "pixels": 0, "live_pixels_last": 0}
    return {**plain, "live_rows_last": 0, "pool": 0, **more}


@cocotb.test()
async def what_is_dropped_waits_for_nobody(dut):
    """Words beyond the picture are taken while the output is shut, and the walk ends with them; others are shown,
    and held, until they leave."""
    bench = _Bench(dut, "never")
    await reset(dut)
    await RisingEdge(dut.clk)
    bench.sink._task.cancel()
    dut.o__ready.value = 0
    lines = bench.max_lines
    if bench.steps == 1 and lines == 1:
        return  # nothing can lie beyond the picture
    # of the last position, one line or one pixel exists
    counts = {"lines": lines, "live_lines": 1} if lines > 1 else {"pixels": 1}
    await bench.start(**_placed(bench, height_last=0, **counts))
    bench.source.start([{"words": [1] * bench.lanes, "last": 1}] * (lines if lines > 1 else bench.steps))
    while not dut.o__valid.value:
        await RisingEdge(dut.clk)
    for _ in range(2 * (lines + bench.steps)):
        await RisingEdge(dut.clk)
        assert dut.o__valid.value == 1
    assert len(bench.source.cycles) == (lines if lines > 1 else bench.steps)
    assert dut.done.value == 1
    dut.o__ready.value = 1
    await RisingEdge(dut.clk)
    for _ in range(5):
        await RisingEdge(dut.clk)
        assert dut.o__valid.value == 0


@cocotb.test()
async def idle_takes_nothing(dut):
    """Before the first start and after the end waiting words are neither accepted nor shown."""
    bench = _Bench(dut, "never")
    await reset(dut)
    bench.source.start([{"words": [1] * bench.lanes, "last": 1}] * 3)
    for _ in range(5):
        await RisingEdge(dut.clk)
    assert not bench.source.cycles
    await bench.start(**_placed(bench))
    for _ in range(10):
        await RisingEdge(dut.clk)
    assert len(bench.source.cycles) == 2
    assert [found["address"] for found in bench.sink.received] == [3 % bench.size, 4 % bench.size]


@cocotb.test()
async def reset_ends_the_walk(dut):
    """A reset in the middle of a layer, of an output line, of a word of pixels: nothing is taken until the next
    start, which begins anew."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for cut in range(1, 3 * bench.steps + 3):
        await bench.start(**_placed(bench, width_last=1, lines=bench.max_lines, live_lines=1, pixels=1))
        sending = bench.source.start([{"words": [0] * bench.lanes, "last": n % 2} for n in range(100)])
        for _ in range(cut):
            await RisingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 1
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        bench.sink.received.clear()
        for _ in range(3):
            await RisingEdge(dut.clk)
            assert dut.i__ready.value == 0
            assert dut.o__valid.value == 0
            assert dut.done.value == 1
        dut.i__valid.value = 0
        bench.sink.received.clear()
        layer = _Layer(width=2, height=2, lines=bench.max_lines, live_lines=1, pixels=True)
        await bench.walk(layer, full_speed=True)
