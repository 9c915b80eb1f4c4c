# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Residual: tensors of integers in a bank of bit planes, joined with spikes slot by slot, and pictures
pooled into one quarter, as the slow model does."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden.slow import max_pool, residual
from ds2ta.hw.payloads import placed_words_layout
from ds2ta.hw.residual import ResidualMode
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows
from ds2ta.sim.stream import StreamSource, cycle, in_background, next_cycle, reset


class _Bank:
    """Rows of spike words that are read and written slot by slot: `rows[address][lane]`. A write comes a cycle
    late, as in the machine, or, with a `single` port, at once. Slots that are not read show noise; a slot that is
    read and written at one row in one cycle fails the test, with a single port any read and write do."""

    def __init__(self, dut, lanes: int, slots: int, steps: int, size: int, single: bool):
        self.lanes, self.slots, self.steps = lanes, slots, steps
        self.generator = np.random.default_rng(8)
        self.rows = [[0] * (lanes * slots) for _ in range(size)]
        self.reads: list[tuple[int, int]] = []  # row, mask
        self.writes: list[tuple[int, int]] = []
        self.write_cycles: list[int] = []
        self.read_cycles: list[int] = []
        in_background(dut, self._serve_one(dut) if single else self._serve(dut))

    def noise(self) -> list[int]:
        return self.generator.integers(0, 1 << self.steps, self.lanes * self.slots).tolist()

    async def _serve(self, dut) -> None:
        sink = slots = row = 0  # of the write that comes late
        while True:
            await next_cycle
            source, reads = int(dut.read_address.value), int(dut.read_enable.value)
            if reads:
                self._read(dut, source, reads)
            assert sink != source or not reads & slots, f"row {sink}: {slots:b} is written, {reads:b} read"
            self._write(sink, slots, row)
            sink, slots, row = self._written(dut)

    async def _serve_one(self, dut) -> None:
        while True:
            await next_cycle
            source, reads = int(dut.read_address.value), int(dut.read_enable.value)
            sink, slots, row = self._written(dut)
            assert not (reads and slots), f"row {sink} is written, row {source} read"
            if reads:
                self._read(dut, source, reads)
            if slots:  # which leaves what is shown open
                self._show(dut, self.noise())
            self._write(sink, slots, row)

    def _show(self, dut, words: list[int]) -> None:
        dut.read_data.value = sum(word << at * self.steps for at, word in enumerate(words))

    def _read(self, dut, source: int, reads: int) -> None:
        shown = self.noise()
        for slot in range(self.slots):
            if reads >> slot & 1:
                here = slice(slot * self.lanes, (slot + 1) * self.lanes)
                shown[here] = self.rows[source][here]
        self._show(dut, shown)
        self.reads.append((source, reads))
        self.read_cycles.append(cycle())

    def _written(self, dut) -> tuple[int, int, int]:
        """Row, slots and contents of the write that is asked for."""
        if not dut.write__enable.value:
            return 0, 0, 0
        sink, slots, row = (int(getattr(dut, f"write__{name}").value) for name in ("address", "slots", "row"))
        self.writes.append((sink, slots))
        self.write_cycles.append(cycle())
        return sink, slots, row

    def _write(self, sink: int, slots: int, row: int) -> None:
        for lane in range(self.lanes * self.slots):
            if slots >> lane // self.lanes & 1:
                self.rows[sink][lane] = row >> lane * self.steps & (1 << self.steps) - 1


class _Bench:
    def __init__(self, dut, stall: str):
        parameters = bench_parameters()
        self.dut, self.stall = dut, stall
        self.lanes, self.row_lanes, self.steps = (parameters[key] for key in ("lanes", "row_lanes", "time_steps"))
        self.slots, self.max_planes = self.row_lanes // self.lanes, parameters["max_planes"]
        self.size = 1 << parameters["address_width"]
        layout = placed_words_layout(self.lanes, self.steps, self.slots, parameters["address_width"])
        self.source = StreamSource(dut, "i", layout, stall=stall, seed=5)
        self.generator = np.random.default_rng(7)
        self.single = parameters.get("single_port", False)
        self.bank = _Bank(dut, self.lanes, self.slots, self.steps, self.size, self.single)

    def groups(self, positions: int, shuffled: bool) -> list[tuple[int, int]]:
        """(position, slot) of the words to send: of each position those of some slots from the first on, or a whole
        row; in drain order, or in any."""
        found = []
        for n in range(positions):
            found += [(n, slot) for slot in range(int(self.generator.integers(1, self.slots + 1)))]
        return [found[at] for at in self.generator.permutation(len(found))] if shuffled else found

    async def join(
        self,
        mode: str,
        planes_in: int,
        planes_out: int,
        old: np.ndarray,
        spikes: np.ndarray,
        shuffled: bool = False,
    ):
        """`old` and `spikes` [positions, T, g]: place old in the bank, send the spikes, compare the bank.
        Position n has its planes at `n`, `n + stride`, ..., as a tensor of bit planes outside positions. Returns
        the cycles in which groups were accepted."""
        bank, stride = self.bank, len(old)
        assert stride * max(planes_in, planes_out) <= self.size
        bank.rows[:] = [bank.noise() for _ in range(self.size)]
        for n, values in enumerate(old):
            for plane, row in enumerate(plane_rows(values, planes_in, self.row_lanes)):
                bank.rows[n + plane * stride] = row
        expected = [list(row) for row in bank.rows]
        beats, reads, writes = [], [], []
        planes = planes_out if mode == "add" else 1
        merged = {"store": 0, "or": 1, "add": planes_in}[mode]
        for n, slot in self.groups(len(old), shuffled):
            here = slice(slot * self.lanes, (slot + 1) * self.lanes)
            new = spikes[n][:, here]
            joined = new if mode == "store" else residual(old[n][:, here], new, mode)
            for plane, words in enumerate(plane_rows(joined, planes, self.lanes)):
                row = expected[n + plane * stride]
                row[here] = words
            (words,) = plane_rows(new, 1, self.lanes)
            beats.append({"words": words, "address": n, "slot": 1 << slot, **self.noise()})
            reads += [(n + plane * stride, 1 << slot) for plane in range(merged)]
            writes += [(n + plane * stride, 1 << slot) for plane in range(planes)]
        self.dut.mode.value = ResidualMode[mode.upper()].value
        self.dut.planes_in.value, self.dut.planes_out.value = planes_in, planes_out
        self.dut.plane_pitch.value = stride % self.size
        for log in (self.source.cycles, bank.reads, bank.writes, bank.write_cycles):
            log.clear()
        await self.source.send(beats)
        await RisingEdge(self.dut.clk)
        assert self.dut.busy.value == 1
        while self.dut.busy.value:
            await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        assert bank.reads == reads
        assert bank.writes == writes
        assert bank.rows == expected
        accepted = self.source.cycles[:]
        olds = [plane < merged for plane in range(planes)]
        assert bank.write_cycles == [at for first in accepted for at in self.write_cycles(first, olds)]
        return accepted

    def write_cycles(self, accepted: int, olds: list[bool]) -> list[int]:
        """When the places of a group are written, of which some have `olds` to join: one after the other; with a
        single port each old value but the first, which is read upon acceptance, takes a cycle more."""
        found = [accepted]
        for number, old in enumerate(olds):
            found.append(found[-1] + 1 + (self.single and old and number > 0))
        return found[1:]

    def noise(self) -> dict:
        """What only a pool looks at."""
        names = ("across", "down", "first_column", "first_line")
        return dict(zip(names, self.generator.integers(0, 2, len(names)).tolist(), strict=True))

    async def pool(self, spikes: np.ndarray, lines: int = 1) -> None:
        """`spikes` [H, W, T, g], in the order of output lines `lines` at once: send them slot by slot, compare the
        bank, all of whose rows are noise before, with the pooled picture. Groups are offered every 4 cycles, with a
        single port, which also reads up to 3 times for them, every 7."""
        height, width = spikes.shape[:2]
        bank, high, wide = self.bank, (height + 1) // 2, (width + 1) // 2
        assert high * wide <= self.size
        bank.rows[:] = [bank.noise() for _ in range(self.size)]
        pooled = max_pool(spikes.transpose(2, 3, 0, 1))  # [T, g, H, W]
        expected = [list(row) for row in bank.rows]
        for y, x in np.ndindex(high, wide):
            (expected[y * wide + x],) = plane_rows(pooled[:, :, y, x], 1, self.row_lanes)
        order = [
            (y, x, slot)
            for first in range(0, height, lines)
            for x in range(width)
            for y in range(first, min(first + lines, height))
            for slot in range(self.slots)
        ]
        beats, writes, reads, olds, seen = [], [], [], [], set()
        for y, x, slot in order:
            (words,) = plane_rows(spikes[y, x][:, slot * self.lanes : (slot + 1) * self.lanes], 1, self.lanes)
            flags = {
                "across": x % 2 == 1 and x + 1 < width,
                "down": y % 2 == 1 and y + 1 < height,
                "first_column": x == 0,
                "first_line": y == 0,
            }
            flags = {name: int(flag) for name, flag in flags.items()}
            beats.append({"words": words, "address": y // 2 * wide + x // 2, "slot": 1 << slot, **flags})
            # the windows whose 3 x 3 pixels have (y, x) among them
            windows = [(v, u) for v, u in np.ndindex(high, wide) if abs(2 * v - y) <= 1 and abs(2 * u - x) <= 1]
            if len(windows) == 4:  # the one that `address` names comes last
                windows.append(windows.pop(0))
            writes.append([(v * wide + u, 1 << slot) for v, u in windows])
            olds.append([(v, u, slot) in seen for v, u in windows])
            reads += [(v * wide + u, 1 << slot) for v, u in windows if (v, u, slot) in seen]
            seen |= {(*window, slot) for window in windows}
        dut = self.dut
        dut.mode.value = ResidualMode.POOL.value
        dut.planes_in.value, dut.planes_out.value = (int(value) for value in self.generator.integers(0, 2, 2))
        dut.position_pitch.value, dut.line_pitch.value = 1 % self.size, wide % self.size
        dut.plane_pitch.value = (wide + 1) % self.size
        for log in (self.source.cycles, bank.reads, bank.writes, bank.write_cycles):
            log.clear()
        period = 7 if self.single else 4
        for beat in beats:
            await self.source.send([beat])
            for _ in range(period - 1):
                await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        while dut.busy.value:
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert bank.writes == [one for some in writes for one in some]
        assert bank.reads == reads
        assert bank.rows == expected
        accepted = self.source.cycles[:]
        at = [at for first, some in zip(accepted, olds, strict=True) for at in self.write_cycles(first, some)]
        assert bank.write_cycles == at
        if self.stall == "never":
            assert set(np.diff(accepted).tolist()) <= {period}

    def spikes(self, positions: int, chance: float) -> np.ndarray:
        return (self.generator.random((positions, self.steps, self.row_lanes)) < chance).astype(np.int64)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.5", "bursts"])
async def modes(dut, stall):
    """All modes and plane counts, random values; only the slot of a group is read, and only as many planes as there
    are; the slot alone is written. A group each cycle with STORE and OR, one each `planes_out` with ADD, and a
    cycle more for each old value where there is a single port."""
    bench = _Bench(dut, stall)
    await reset(dut)
    positions = min(bench.size // bench.max_planes, 12)
    jobs = [("store", 0, 1), ("or", 1, 1)]
    jobs += [("add", some, more) for more in range(1, bench.max_planes + 1) for some in range(more + 1)]
    for mode, planes_in, planes_out in jobs:
        for chance in (0.1, 0.5, 1.0):
            spikes = bench.spikes(positions, chance)
            top = (1 << planes_in) - (planes_in == planes_out and mode == "add")  # room for the sum
            old = bench.generator.integers(0, top, spikes.shape)
            accepted = await bench.join(mode, planes_in, planes_out, old, spikes, shuffled=chance != 0.5)
            if stall == "never":
                period = planes_out if mode == "add" else 1
                period += planes_in if bench.single and mode != "store" else 0
                assert np.diff(accepted).tolist() == [period] * (len(accepted) - 1)


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.5", "bursts"])
async def pools(dut, stall):
    """Pictures of all parities, lines one by one or several at once: each word is OR-ed into its windows, the first
    of a window is stored; a group every 4 cycles, though the longest take all of them (with a single port 7)."""
    bench = _Bench(dut, stall)
    await reset(dut)
    shapes = [(y, x) for y in range(1, 6) for x in range(1, 6) if (y + 1) // 2 * ((x + 1) // 2) <= bench.size]
    for height, width in shapes:
        for lines in {1, 2, 3, height}:
            picture = bench.spikes(height * width, bench.generator.choice([0.1, 0.3]))
            await bench.pool(picture.reshape(height, width, *picture.shape[1:]), lines)


@cocotb.test()
async def carries(dut):
    """Each value 2**p - 1 plus one carries through p planes; neighbours without a spike stay."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for planes_out in range(1, bench.max_planes + 1):
        values = (1 << np.arange(planes_out)) - 1  # 0, 1, 3, 7 .. : the sum has one more bit, the widest fills it
        for spikes in (np.ones, np.zeros):
            old = np.stack([np.full((bench.steps, bench.row_lanes), value) for value in values])
            await bench.join("add", planes_out, planes_out, old, spikes(old.shape, np.int64))
        mixed = bench.spikes(len(values), 0.5)
        await bench.join("add", planes_out, planes_out, old, mixed)


@cocotb.test()
async def reset_ends_an_addition(dut):
    """A reset in any cycle of an addition: nothing more is written, and the next group's sum is its own."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for cut in range(1, bench.max_planes + 2):
        dut.mode.value = ResidualMode.ADD.value
        dut.planes_in.value = dut.planes_out.value = bench.max_planes
        beat = {"words": [(1 << bench.steps) - 1] * bench.lanes, "slot": 1}
        sending = bench.source.start({**beat, "address": n} for n in range(3))
        for _ in range(cut):
            await RisingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        bench.bank.writes.clear()
        for _ in range(3):
            await RisingEdge(dut.clk)
            assert not dut.busy.value
        assert not bench.bank.writes
        spikes = bench.spikes(2, 0.5)
        old = bench.generator.integers(0, (1 << bench.max_planes) - 1, spikes.shape)
        await bench.join("add", bench.max_planes, bench.max_planes, old, spikes)


@cocotb.test()
async def idle_is_silent(dut):
    """Without words there is neither a read nor a write, whatever the configuration."""
    bench = _Bench(dut, "never")
    await reset(dut)
    for mode in ResidualMode:
        dut.mode.value = mode.value
        dut.planes_in.value = 1
        dut.planes_out.value = bench.max_planes
        for _ in range(4):
            await RisingEdge(dut.clk)
            assert not dut.read_enable.value
            assert not dut.write__enable.value
            assert not dut.busy.value
            assert dut.i__ready.value == 1
