# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RowReader: every beat's row against the bank's content, words of pixels against the line that they are
cut from; stalls on both sides, padding, exact cycles."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.gather import gather_layout
from ds2ta.hw.row_reader import read_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import (
    Holds,
    MemoryModel,
    StreamSink,
    StreamSource,
    in_background,
    next_cycle,
    pack,
    reset,
    unpack,
)

_PASSED = ("weight", "plane", "part", "plane_last", "first", "last", "end")


def _ends(dut, stall_in: str, stall_out: str):
    p = bench_parameters()
    widths = {"weight_width": p["weight_width"], "plane_width": p["plane_width"]}
    beat = gather_layout(address_width=p["address_width"], **widths)
    read = read_layout(row_lanes=p["row_lanes"], time_steps=p["time_steps"], **widths)
    source = StreamSource(dut, "i", beat, stall=stall_in, seed=1)
    return source, StreamSink(dut, "o", read, stall=stall_out, seed=2), read["row"].shape


def _beat(generator: random.Random, pad: bool) -> dict:
    p = bench_parameters()
    return {
        "address": generator.randrange(1 << p["address_width"]),
        "pad": pad,
        "kx": generator.randrange(3),
        "edge": generator.randrange(2),
        "weight": generator.randrange(1 << p["weight_width"]),
        "plane": generator.randrange(1 << p["plane_width"]),
        "part": generator.randrange(1 << p["plane_width"]),
        "plane_last": generator.randrange(2),
        **{name: generator.randint(0, 1) for name in ("first", "last", "end")},
    }


def _steady(begun: int, count: int, held: set[int]) -> list[int]:
    """The cycles of `count` transfers that only wait for the memory."""
    found = [begun]
    while len(found) < count:
        found.append(next(at for at in range(found[-1] + 1, found[-1] + 1000) if at not in held))
    return found


async def _watch_reads(dut, addresses: list[int]):
    while True:
        await next_cycle
        if dut.read_enable.value:
            addresses.append(int(dut.read_address.value))


@cocotb.test()
@cocotb.parametrize(
    stall_in=["never", "random:0.4", "bursts"],
    stall_out=["never", "random:0.4", "random:0.8", "bursts"],
    padding=[0.0, 0.4, 1.0],
)
async def rows(dut, stall_in, stall_out, padding):
    """A padding beat gives zeros and reads nothing; every other beat reads its address once, whatever part of a tap
    it is. Unstalled, beats follow each other in successive cycles, but for those in which the memory cannot be
    read, and a row is there two cycles after its beat."""
    p = bench_parameters()
    generator = random.Random(f"{stall_in}{stall_out}{padding}")
    source, sink, row_shape = _ends(dut, stall_in, stall_out)
    content = [
        [generator.randrange(1 << p["time_steps"]) for _ in range(p["row_lanes"])]
        for _ in range(1 << p["address_width"])
    ]
    MemoryModel(
        dut,
        [pack(row_shape, row) for row in content],
        read=("read_address", "read_enable", "read_data"),
    )
    reads: list[int] = []
    dut.pixels.value = 0
    await reset(dut)
    held = Holds(dut, "holds", "read_enable").cycles
    in_background(dut, _watch_reads(dut, reads))
    beats = [_beat(generator, generator.random() < padding) for _ in range(300)]
    source.start(beats)
    zeros = [0] * p["row_lanes"]
    for number, (found, beat) in enumerate(zip(await sink.take(len(beats)), beats, strict=True)):
        wanted = {"row": zeros if beat["pad"] else content[beat["address"]]}
        wanted |= {name: beat[name] for name in _PASSED}
        assert found == wanted, f"beat {number}: {found}, not {wanted}"
    assert reads == [beat["address"] for beat in beats if not beat["pad"]]
    assert all(out > taken for out, taken in zip(sink.cycles, source.cycles, strict=True))
    if stall_out == "never":
        assert [out - taken for out, taken in zip(sink.cycles, source.cycles, strict=True)] == [2] * len(beats)
        if stall_in == "never":
            assert source.cycles == _steady(source.cycles[0], len(beats), held)
    assert not held & set(source.cycles)


class _Image:
    """A bank of an image in words of T pixels, `rows` rows a word, and the taps of its lines."""

    def __init__(self, generator: random.Random, lines: int, words: int, rows: int):
        p = bench_parameters()
        self.steps, self.lanes = p["time_steps"], p["row_lanes"]
        self.generator, self.lines, self.words, self.rows = generator, lines, words, rows
        self.pitch, self.size = rows + generator.randint(0, 1), 1 << p["address_width"]
        self.base = generator.randrange(self.size)
        pixels = range(words * self.steps)
        #: of each line, row and lane, a bit for each pixel
        self.bits = [
            [[[generator.randint(0, 1) for _ in pixels] for _ in range(self.lanes)] for _ in range(rows)]
            for _ in range(lines)
        ]

    def bank(self, row_shape) -> list[int]:
        """The bank's content; what is not of the image is all ones."""
        every = (1 << self.steps) - 1
        found = [pack(row_shape, [every] * self.lanes)] * self.size
        for line in range(self.lines):
            for word in range(self.words):
                for row in range(self.rows):
                    shown = [self.word(line, row, lane, word * self.steps) for lane in range(self.lanes)]
                    found[self.address(line, word, row)] = pack(row_shape, shown)
        return found

    def address(self, line: int, word: int, row: int) -> int:
        return (self.base + (line * self.words + word) * self.pitch + row) % self.size

    def word(self, line: int, row: int, lane: int, first: int) -> int:
        """T bits of a line from bit `first` on; those beyond the line are zero."""
        pixels = self.bits[line][row][lane]
        return sum(pixels[x] << t for t in range(self.steps) if 0 <= (x := first + t) < len(pixels))

    def beats(self) -> tuple[list[dict], list[dict], list[int]]:
        """The beats of a walk over all words, taps of a line at a time; what each must give; and the addresses
        that they read. Lines above and below are padding: no read, zeros for all taps. Behind the last word there
        is none: what is read in its place does not count."""
        beats: list[dict] = []
        expected: list[dict] = []
        reads = []
        for line in range(-1, self.lines + 1):
            for word in range(self.words):
                outside = not 0 <= line < self.lines
                for row in range(1 if outside else self.rows):
                    for kx, read in enumerate([word, word + 1, word]):  # the last reads nothing
                        beat = _beat(self.generator, outside) | {"kx": kx}
                        if kx:
                            beat["edge"] = int(word == self.words - 1)
                        if not outside:
                            beat["address"] = self.address(line, read, row)
                            reads += [beat["address"]] * (kx != 2)
                        beats.append(beat)
                        shown = [
                            0 if outside else self.word(line, row, lane, word * self.steps + kx)
                            for lane in range(self.lanes)
                        ]
                        expected.append({"row": shown, **{name: beat[name] for name in _PASSED}})
        return beats, expected, reads


@cocotb.test()
@cocotb.parametrize(
    stall_in=["never", "random:0.4", "bursts"],
    stall_out=["never", "random:0.4", "random:0.8", "bursts"],
)
async def pixels(dut, stall_in, stall_out):
    """Of images of any size, the three words of each tap line are T bits of the line, from the word's first, its
    second and its third on, with zeros beyond the line and where the whole line is padding. A word and its
    neighbour are read once for the three. A row is there as long after its beat as any other; unstalled, the beats
    follow each other in successive cycles."""
    p = bench_parameters()
    if p["time_steps"] == 1:  # there are no such layers
        return
    generator = random.Random(f"{stall_in}{stall_out}")
    source, sink, row_shape = _ends(dut, stall_in, stall_out)
    memory = MemoryModel(dut, [0] * (1 << p["address_width"]), read=("read_address", "read_enable", "read_data"))
    reads: list[int] = []
    dut.pixels.value = 1
    await reset(dut)
    held = Holds(dut, "holds", "read_enable").cycles
    in_background(dut, _watch_reads(dut, reads))
    images = [(1, 1, 1), (3, 1, 2), (2, 4, 1), (2, 3, 3)] + [
        tuple(generator.randint(1, most) for most in (3, 4, 3)) for _ in range(6)
    ]
    for lines, words, rows in images:
        if lines * words * (rows + 1) > len(memory.words):
            continue
        image = _Image(generator, lines, words, rows)
        memory.words[:] = image.bank(row_shape)
        beats, expected, addresses = image.beats()
        reads.clear()
        source.cycles.clear()
        sink.cycles.clear()
        sending = source.start(beats)
        for number, (found, one) in enumerate(zip(await sink.take(len(expected)), expected, strict=True)):
            assert found == one, f"{lines}x{words}x{rows}, row {number}: {found}, not {one}"
        await sending
        assert reads == addresses
        taken = source.cycles
        assert all(out > at for out, at in zip(sink.cycles, taken, strict=True))
        if stall_out == "never":
            assert [out - at for out, at in zip(sink.cycles, taken, strict=True)] == [2] * len(taken)
            if stall_in == "never":
                assert source.cycles == _steady(source.cycles[0], len(beats), held)
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert not sink.received


@cocotb.test()
async def a_packed_layer_leaves_nothing(dut):
    """Plain beats behind a packed layer's, and the other way round, show no pixel of it."""
    p = bench_parameters()
    if p["time_steps"] == 1:
        return
    generator = random.Random(3)
    source, sink, row_shape = _ends(dut, "never", "random:0.3")
    memory = MemoryModel(dut, [0] * (1 << p["address_width"]), read=("read_address", "read_enable", "read_data"))
    await reset(dut)
    Holds(dut, "holds", "read_enable")
    for _ in range(10):
        image = _Image(generator, 1, 2, 1)
        memory.words[:] = image.bank(row_shape)
        beats, expected, _ = image.beats()
        dut.pixels.value = 1
        source.start(beats)
        assert await sink.take(len(expected)) == expected
        dut.pixels.value = 0
        beats = [_beat(generator, generator.random() < 0.4) for _ in range(5)]
        source.start(beats)
        content = [unpack(row_shape, word) for word in memory.words]
        wanted = [
            {
                "row": [0] * p["row_lanes"] if beat["pad"] else content[beat["address"]],
                **{name: beat[name] for name in _PASSED},
            }
            for beat in beats
        ]
        assert await sink.take(len(wanted)) == wanted
