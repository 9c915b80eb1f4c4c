# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Components that make a synthesizer use each kind of block RAM and multiplier, and random traffic for them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["MEMORIES", "Memories", "MemoryShape", "Multipliers", "collided", "traffic"]


@dataclass(frozen=True)
class MemoryShape:
    """`chunk` bits are written together (0: a ROM). `shared`: one address for both, and no read while writing."""

    width: int
    depth: int
    chunk: int
    shared: bool = False

    @property
    def name(self) -> str:
        kind = "rom" if not self.chunk else "shared" if self.shared else f"by{self.chunk}"
        return f"m{self.width}x{self.depth}_{kind}"

    @property
    def chunks(self) -> int:
        return self.width // self.chunk if self.chunk else 0

    @property
    def contents(self) -> list[int]:
        """At power-up: the first two thirds of the rows are initialized."""
        generator = random.Random(self.name)
        return [generator.getrandbits(self.width) for _ in range(self.depth * 2 // 3)]


#: Every width of the block RAMs of both families, whole rows, byte and bit enables, several blocks side by side.
MEMORIES = tuple(
    MemoryShape(*numbers)
    for numbers in [
        (1, 5000, 1),
        (2, 2100, 2),
        (4, 1500, 4),
        (9, 700, 9),
        (16, 256, 1),
        (18, 600, 9),
        (32, 300, 16),
        (36, 512, 9),
        (80, 520, 16),
        (20, 500, 0),
        (12, 400, 12, True),
        (16, 900, 8, True),
    ]
)


class Memories(wiring.Component):
    """Block RAMs of the given shapes, one command for each in every beat, all outputs in every cycle.

    Members: i: for each memory {enable, address, write (a bit for each chunk), to, data}; always ready.
    o: the output of each memory, and `beat`, the low bits of the last beat; always valid.
    """

    def __init__(self, shapes: Sequence[MemoryShape] = MEMORIES):
        self._shapes = shapes
        self.command = data.StructLayout({shape.name: self.fields(shape) for shape in shapes})
        self.shown = data.StructLayout({"beat": 8} | {shape.name: unsigned(shape.width) for shape in shapes})
        super().__init__({"i": In(stream.Signature(self.command)), "o": Out(stream.Signature(self.shown))})

    @staticmethod
    def fields(shape: MemoryShape) -> data.StructLayout:
        address = ceil_log2(shape.depth)
        fields = {"enable": 1, "address": address, "write": shape.chunks, "to": address, "data": shape.width}
        return data.StructLayout(fields)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1)]
        m.d.sync += self.o.payload.beat.eq(self.i.payload.as_value()[:8])  # registers without an enable
        for shape in self._shapes:
            attributes = {"ram_style": "block", "rom_style": "block", "no_rw_check": 1}
            m.submodules[shape.name] = memory = Memory(
                shape=unsigned(shape.width), depth=shape.depth, init=shape.contents, attrs=attributes
            )
            beat, read = self.i.payload[shape.name], memory.read_port()
            m.d.comb += [
                read.addr.eq(beat.address),
                read.en.eq(beat.enable & self.i.valid),
                self.o.payload[shape.name].eq(read.data),
            ]
            if shape.chunk:
                write = memory.write_port(granularity=shape.chunk)
                m.d.comb += [
                    write.addr.eq(beat.address if shape.shared else beat.to),
                    write.data.eq(beat.data),
                    write.en.eq(Mux(self.i.valid, beat.write, 0)),
                ]
                if shape.shared:
                    m.d.comb += read.en.eq(beat.enable & self.i.valid & ~beat.write.any())
        return m


def traffic(shape: MemoryShape, beats: int) -> list[dict[str, int]]:
    """Random commands for one memory; a third of its reads are where a write is."""
    generator = random.Random(f"traffic {shape.name}")
    near = [0, 1, shape.depth - 1, *generator.sample(range(shape.depth), 5)]
    found = []
    for _ in range(beats):
        to = generator.choice(near) if generator.random() < 0.5 else generator.randrange(shape.depth)
        address = to if generator.random() < 0.3 else generator.choice([*near, generator.randrange(shape.depth)])
        write = generator.getrandbits(shape.chunks) if shape.chunk and generator.random() < 0.7 else 0
        found.append(
            {
                "enable": generator.random() < 0.8,
                "address": address,
                "write": write,
                "to": to,
                "data": generator.getrandbits(shape.width),
            }
        )
    return found


def collided(shape: MemoryShape, beats: Sequence[dict[str, int]]) -> list[int]:
    """The bits of the output that nobody promises, after each beat: those that its last read met being written."""
    found, bits = [], (1 << shape.width) - 1  # before its first read the output is open
    for beat in beats:
        if beat["enable"] and not (shape.shared and beat["write"]):
            meets = not shape.shared and beat["address"] == beat["to"]
            chunk = (1 << shape.chunk) - 1
            bits = sum(
                chunk << index * shape.chunk
                for index in range(shape.chunks)
                if meets and beat["write"] >> index & 1
            )
        found.append(bits)
    return found


class Multipliers(wiring.Component):
    """Products of the two ends of a word, in the shapes that fit one multiplier block and in wider ones,
    one cycle later."""

    def __init__(self, shapes: Sequence[tuple] = ()):
        self.shapes = shapes or (
            (signed(18), signed(18)),
            (unsigned(18), unsigned(18)),
            (signed(12), unsigned(8)),
            (unsigned(17), signed(9)),
            (signed(30), unsigned(9)),
        )
        self.products = data.ArrayLayout(signed(64), len(self.shapes))
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"a": 32, "b": 32}))),
                "o": Out(stream.Signature(self.products)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.i.ready.eq(1), self.o.valid.eq(1)]
        for index, (first, second) in enumerate(self.shapes):
            a, b = (
                Cat(source[: shape.width]).as_signed() if shape.signed else source[: shape.width]
                for source, shape in ((self.i.payload.a, first), (self.i.payload.b, second))
            )
            m.d.sync += self.o.payload[index].eq(a * b)
        return m
