# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of InputEncoder: images and event frames of every shape, against plain layout arithmetic."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import input_rows, row_bits
from ds2ta.sim.stream import MemoryModel, StreamSource, break_off, cycle, in_background, next_cycle, reset

_LIMIT = 100_000  # cycles of a test; an encoder that waits for ever is found soon


class _Bench:
    def __init__(self, dut, stall: str):
        parameters = bench_parameters()
        self.dut = dut
        self.row_lanes, self.steps = parameters["row_lanes"], parameters["time_steps"]
        self.max_channels, self.max_bits = parameters["max_channels"], parameters["max_bits"]
        self.interleave = {1: 1, 2: 2, 3: 4, 4: 4}[self.max_channels]
        self.size, self.most = 1 << parameters["address_width"], 1 << parameters["count_width"]
        self.source = StreamSource(dut, "i", stall=stall, seed=4)
        self.memory = MemoryModel(dut, [0] * self.size, write=("write__address", "write__enable", "write__data"))
        self.kinds = (False, True) if parameters["event_frames"] else (False,)
        self.generator = np.random.default_rng(4)
        self.write_cycles: list[int] = []
        self.done_from: int | None = None
        in_background(dut, self._watch())

    async def _watch(self):
        """The cycles of the writes, and that in which `done` rose last."""
        while True:
            await next_cycle
            if self.dut.write__enable.value:
                self.write_cycles.append(cycle())
            if not self.dut.done.value:
                self.done_from = None
            elif self.done_from is None:
                self.done_from = cycle()

    def values(self, shape: tuple, top: int) -> np.ndarray:
        """Values below `2**top`, the smallest and the largest of them more often."""
        values = self.generator.integers(0, 1 << top, shape)
        values[self.generator.random(shape) < 0.2] = 0
        values[self.generator.random(shape) < 0.2] = (1 << top) - 1
        return values

    def places(self, values: np.ndarray, frames: bool) -> list[tuple[np.ndarray, int, int]]:
        """What each word of a sample [H, W, t, C] holds, as [t, C]: a position's steps, or T pixels of a line from
        the one in front of it on; how many bytes of it come; how many bits are missing behind them."""
        if frames or self.steps == 1:
            return [(each, each.size, self.steps - len(each)) for line in values for each in line]
        found = []
        for line in values[:, :, 0]:
            words = len(line) // self.steps + 1
            padded = np.zeros((words * self.steps, line.shape[1]), line.dtype)
            padded[1 : len(line) + 1] = line
            behind = words * self.steps - 1 - len(line)
            for word in range(words):
                here = padded[word * self.steps : (word + 1) * self.steps]
                last = behind if word == words - 1 else 0
                found.append((here, (self.steps - last - (word == 0)) * line.shape[1], last))
        return found

    async def start(self, frames: bool, shape: tuple, bits: int) -> int:
        """Begin a sample of `shape` [H, W, t, C]; returns its base. `done` must be high."""
        dut = self.dut
        base = int(self.generator.integers(0, self.size))
        dut.frames.value, dut.bits.value, dut.base.value = frames, bits, base
        dut.height_last.value, dut.width_last.value, dut.channels_last.value = (shape[i] - 1 for i in (0, 1, 3))
        dut.steps_last.value = (shape[2] if frames else self.steps) - 1
        dut.rows_last.value = -(-bits * self.interleave // self.row_lanes) - 1
        self.memory.writes.clear()
        self.write_cycles.clear()
        self.source.cycles.clear()
        assert dut.done.value == 1
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        return base

    def expected(self, values: np.ndarray, frames: bool, bits: int, base: int) -> list[tuple[int, int]]:
        """All writes, in order."""
        rows = [
            row_bits(row, self.steps)
            for place, *_ in self.places(values, frames)
            for row in input_rows(place & (1 << bits) - 1, bits, self.interleave, self.row_lanes)
        ]
        return [((base + index) % self.size, row) for index, row in enumerate(rows)]

    def write_times(self, values: np.ndarray, frames: bool, bits: int) -> list[int]:
        """The cycle of each write, from those of the bytes: the row of a word whose last byte came, and whose
        missing bits were made up for, one a cycle; then its other rows."""
        rows, taken, found = -(-bits * self.interleave // self.row_lanes), 0, []
        for _, given, missing in self.places(values, frames):
            taken += given
            last = self.source.cycles[taken - 1] + missing
            found += [last + 1 + row for row in range(rows)]
        return found

    async def sample(self, frames: bool, shape: tuple, bits: int, top: int | None = None, late: bool = False):
        """Encode one random sample of `shape` [H, W, t, C] with values below `2**top` (`bits` if None); returns its
        cycles from start to the last write. Writes, their cycles and `done` are checked. `late`: the first byte
        waits a while."""
        values = self.values(shape, bits if top is None else top)
        base = await self.start(frames, shape, bits)
        begin = cycle()
        for _ in range(5 * late):
            await RisingEdge(self.dut.clk)
        # of each position, channel by channel, of a channel step by step
        await self.source.send(int(value) for line in values for position in line for value in position.T.flat)
        while not self.dut.done.value:
            await RisingEdge(self.dut.clk)
        assert self.memory.writes == self.expected(values, frames, bits, base)
        assert self.write_cycles == self.write_times(values, frames, bits)
        assert self.done_from == self.write_cycles[-1] + 1
        return self.write_cycles[-1] - begin

    def promised(self, frames: bool, shape: tuple, bits: int) -> int:
        """Cycles from `start` to the last write when no byte is late, as the docstring has them."""
        height, width, steps, channels = shape
        rows_last = -(-bits * self.interleave // self.row_lanes) - 1
        if frames or self.steps == 1:
            return 1 + height * width * (channels * steps + self.steps - steps + rows_last)
        words = width // self.steps + 1
        return 1 + height * (width * channels + words * self.steps - width + words * rows_last)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.4", "bursts"])
async def shapes(dut, stall):
    """Every channel count and bit depth, images and frames, fewer steps than the machine has, lines of less than a
    word, of whole words, and of a pixel more and less; exact cycles."""
    bench = _Bench(dut, stall)
    await reset(dut, limit=_LIMIT)
    steps = bench.steps
    widths = sorted({1, max(1, steps - 1), steps, steps + 1, 2 * steps} & set(range(1, bench.most + 1)))
    for channels in range(1, bench.max_channels + 1):
        for bits in range(1, bench.max_bits + 1):
            jobs = [(False, (2, width, 1, channels)) for width in widths]
            if True in bench.kinds:
                jobs += [(True, (1, 3, some, channels)) for some in sorted({1, max(1, steps - 1), steps})]
            for frames, shape in jobs:
                taken, promised = await bench.sample(frames, shape, bits), bench.promised(frames, shape, bits)
                assert taken == promised if stall == "never" else taken >= promised, (frames, shape, bits)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.3"])
async def random_samples(dut, stall):
    """Samples of any kind, shape and depth one after another, each begun in the first cycle of `done` or later."""
    bench = _Bench(dut, stall)
    await reset(dut, limit=_LIMIT)
    draw = bench.generator.integers
    for _ in range(60):
        frames = bool(draw(0, len(bench.kinds)))
        height, width = int(draw(1, 5)), int(draw(1, min(bench.most, 3 * bench.steps) + 1))
        shape = height, width, int(draw(1, bench.steps + 1)) if frames else 1, int(draw(1, bench.max_channels + 1))
        bits, late = int(draw(1, bench.max_bits + 1)), bool(draw(0, 2))
        taken = await bench.sample(frames, shape, bits, late=late)
        if stall == "never" and not late:
            assert taken == bench.promised(frames, shape, bits)
        for _ in range(int(draw(0, 3))):
            await RisingEdge(dut.clk)


@cocotb.test()
async def every_step_count(dut):
    """Steps beyond the model's are zero, and pixels beyond the line, also after a longer sample of other kind."""
    bench = _Bench(dut, "never")
    await reset(dut, limit=_LIMIT)
    channels, bits = bench.max_channels, bench.max_bits
    for some in range(bench.steps, 0, -1):
        for frames in bench.kinds[::-1]:
            await bench.sample(frames, (2, 2, some, channels) if frames else (2, some, 1, channels), bits)


@cocotb.test()
async def fewer_channels_leave_nothing(dut):
    """A sample of fewer channels or planes than the one before, with all of its bits set, shows none of them."""
    bench = _Bench(dut, "never")
    await reset(dut, limit=_LIMIT)
    for frames in bench.kinds:
        for channels in range(1, bench.max_channels + 1):
            for bits in range(1, bench.max_bits + 1):
                before = (1, bench.steps, 1, bench.max_channels)
                base = await bench.start(False, before, bench.max_bits)
                values = np.full(before, (1 << bench.max_bits) - 1)
                await bench.source.send(values.flat)
                while not dut.done.value:
                    await RisingEdge(dut.clk)
                assert bench.memory.writes == bench.expected(values, False, bench.max_bits, base)
                await bench.sample(frames, (1, 1, 1, channels), bits)


@cocotb.test()
async def values_beyond_bits(dut):
    """A byte with bits above `bits` leaves no trace in other planes, spare lanes or the next word."""
    bench = _Bench(dut, "never")
    await reset(dut, limit=_LIMIT)
    for bits in range(1, bench.max_bits + 1):
        for channels in range(1, bench.max_channels + 1):
            frames = bench.kinds[-1]
            await bench.sample(frames, (2, 2, bench.steps if frames else 1, channels), bits, 8)
            await bench.sample(False, (2, min(bench.most, bench.steps + 1), 1, channels), bits, 8)


@cocotb.test()
async def whole_counts(dut):
    """Width and height up to the largest that their counts hold, of each kind; the address wraps."""
    bench = _Bench(dut, "random:0.1")
    await reset(dut, limit=_LIMIT)
    for frames in bench.kinds:
        for height, width in [(1, bench.most), (bench.most, 1), (bench.most, bench.most - 1)]:
            await bench.sample(frames, (height, width, 1, 1), 1)


@cocotb.test()
async def reset_forgets(dut):
    """A reset after any number of bytes ends the sample: nothing is written until the next start, and nothing of
    the broken one is in its words."""
    bench = _Bench(dut, "never")
    await reset(dut, limit=_LIMIT)
    shape = 1, min(bench.most, bench.steps + 1), 1, bench.max_channels
    for cut in range(1, shape[1] * shape[3] + 1):
        await bench.start(False, shape, bench.max_bits)
        sending = bench.source.start([255] * (shape[1] * shape[3]))
        while len(bench.source.cycles) < cut:
            await RisingEdge(dut.clk)
        await break_off(dut, sending, rest=2)
        bench.memory.writes.clear()
        for _ in range(4):
            await RisingEdge(dut.clk)
            assert dut.done.value == 1
            assert dut.i__ready.value == 0
        assert not bench.memory.writes
        assert await bench.sample(False, shape, bench.max_bits) == bench.promised(False, shape, bench.max_bits)


@cocotb.test()
async def idle_takes_nothing(dut):
    """Before the first start no byte is accepted, and after the last position none either."""
    bench = _Bench(dut, "never")
    await reset(dut, limit=_LIMIT)
    for _ in range(3):
        await RisingEdge(dut.clk)
        assert dut.i__ready.value == 0
        assert dut.done.value == 1
    await bench.sample(False, (1, 1, 1, 1), 1)
    taken, written = len(bench.source.cycles), len(bench.memory.writes)
    bench.source.start([0] * 3)
    for _ in range(20):
        await RisingEdge(dut.clk)
        assert dut.i__ready.value == 0
        assert dut.done.value == 1
    assert (len(bench.source.cycles), len(bench.memory.writes)) == (taken, written)
