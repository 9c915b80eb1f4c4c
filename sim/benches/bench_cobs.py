# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of CobsDecoder and CobsEncoder against the `cobs` package; what is no COBS against the rules of the
page."""

import random

import cocotb
import numpy as np
from amaranth.lib import data
from cobs import cobs
from cocotb.triggers import RisingEdge

from ds2ta.hw.cobs import decoded_layout, plain_layout
from ds2ta.hw.uart import received_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, reset

STALLS = [("never", "never"), ("random:0.4", "never"), ("never", "random:0.6"), ("bursts", "bursts")]
_VALUE = data.StructLayout({"value": 8})
_ENCODES = bench_parameters()["encodes"]  # the component is the encoder


def _frames(seed: int) -> list[bytes]:
    """Every short pattern of zeros, runs around the longest block, random ones of many lengths."""
    generator = random.Random(seed)
    patterns = [bytes(size) for size in range(1, 6)] + [
        bytes(bits >> index & 1 for index in range(size)) for size in range(1, 7) for bits in range(1 << size)
    ]
    edges = []
    for size in (1, 2, 252, 253, 254, 255, 256, 507, 508, 509, 510, 763):
        run = bytes(1 + index % 255 for index in range(size))
        edges += [run, run + b"\0", b"\0" + run, run + b"\0" + run, run + b"\0\0" + b"\xff"]
    drawn = [
        bytes(generator.choice([0, 0, 1, 0xFF, generator.randrange(256)]) for _ in range(generator.randint(1, 300)))
        for _ in range(20)
    ]
    return [*patterns, *edges, *drawn, generator.randbytes(1500)]


def _plain(frame: bytes) -> list[dict]:
    return [{"value": value, "last": index == len(frame) - 1} for index, value in enumerate(frame)]


def _decoded(frame: bytes, bad: int = 0) -> list[dict]:
    return [{"value": value, "last": 0, "bad": None} for value in frame] + [{"value": None, "last": 1, "bad": bad}]


def _agree(found: list[dict], expected: list[dict]) -> None:
    """None stands for what the layout leaves open."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert all(other[key] in (None, one[key]) for key in other), (one, other)


def _line(symbols) -> list[dict]:
    return [{"value": symbol & 255, "bad": symbol >> 8} for symbol in symbols]


def _decoder(dut, stalls=("never", "never")):
    source = StreamSource(dut, "i", received_layout(), stall=stalls[0])
    return source, StreamSink(dut, "o", decoded_layout(), stall=stalls[1])


def _rule(symbols: list[int]) -> list[dict]:
    """What the beats must be, from the rules: an encoding is read block by block."""
    beats: list[dict] = []
    block, due, inside, spoiled = 0, False, False, False
    for symbol in symbols:
        if symbol >> 8:
            inside = spoiled = True
        elif symbol == 0:
            if inside:
                beats.append({"value": None, "last": 1, "bad": int(spoiled or block > 0)})
            block, due, inside, spoiled = 0, False, False, False
        elif block == 0:
            if due:
                beats.append({"value": 0, "last": 0, "bad": None})
            block, due, inside = symbol - 1, symbol != 255, True
        else:
            beats.append({"value": symbol, "last": 0, "bad": None})
            block -= 1
    return beats


@cocotb.test(skip=_ENCODES)
@cocotb.parametrize(stalls=STALLS)
async def decodes(dut, stalls):
    source, sink = _decoder(dut, stalls)
    await reset(dut)
    frames = _frames(1)
    source.start(_line(b"".join(cobs.encode(frame) + b"\0" for frame in frames)))
    expected = [beat for frame in frames for beat in _decoded(frame)]
    _agree(await sink.take(len(expected)), expected)


@cocotb.test(skip=_ENCODES)
async def decodes_at_full_speed(dut):
    """A byte each cycle, its beat in the same cycle."""
    source, sink = _decoder(dut)
    await reset(dut)
    frame = random.Random(2).randbytes(600)
    wire = cobs.encode(frame) + b"\0"
    source.start(_line(wire))
    _agree(await sink.take(len(frame) + 1), _decoded(frame))
    assert np.diff(source.cycles).tolist() == [1] * (len(wire) - 1)
    assert set(sink.cycles) <= set(source.cycles)
    assert sink.cycles[-1] == source.cycles[-1]


@cocotb.test(skip=_ENCODES)
async def empty_frames(dut):
    """Delimiters in a row are nothing; a frame of code 1 alone has an end and no byte; so has one of code 255 with
    its bytes and code 1 behind them, no zero."""
    source, sink = _decoder(dut)
    await reset(dut)
    run = bytes(range(1, 255))
    await source.send(_line(b"\0\0\0\1\0\0\xff" + run + b"\1\0\0\xff" + run + b"\0"))
    _agree(await sink.take(1 + 2 * 255), [*_decoded(b""), *_decoded(run), *_decoded(run)])
    for _ in range(4):
        await RisingEdge(dut.clk)
    assert sink.received == []


@cocotb.test(skip=_ENCODES)
@cocotb.parametrize(stalls=STALLS)
async def damage(dut, stalls):
    """Ends within a block, bytes that the line calls bad in any place, random bytes: the end beat tells, and the
    next frame is whole."""
    source, sink = _decoder(dut, stalls)
    await reset(dut)
    generator = random.Random(3)
    good = cobs.encode(b"\0abc\0\0d") + b"\0"
    symbols: list[int] = []
    for cut in range(1, len(good)):
        symbols += [*good[:cut], 0, *good]
    for at in range(len(good)):
        for value in (good[at], 0, 1, 255):
            symbols += [*good[:at], value | 0x100, *good[at + (value == good[at]) :]]
            symbols += [0, *good]
    for _ in range(200):
        symbols += [generator.choice([0, 1, 2, 3, 255, 0x102, 0x100]) for _ in range(generator.randint(1, 12))]
        symbols += [0, *good]
    expected = _rule(symbols)
    source.start(_line(symbols))
    _agree(await sink.take(len(expected)), expected)
    assert sum(beat["bad"] == 1 for beat in expected) > 150
    assert sum(beat["bad"] == 0 for beat in expected) > 230


@cocotb.test(skip=_ENCODES)
async def reset_in_a_frame(dut):
    source, sink = _decoder(dut)
    await reset(dut)
    good = cobs.encode(b"\0abc\0\0d") + b"\0"
    for cut in range(1, len(good)):
        for last in ([], [0x177]):
            await source.send(_line([*good[:cut], *last]))
            dut.rst.value = 1
            await RisingEdge(dut.clk)
            dut.rst.value = 0
            await RisingEdge(dut.clk)
            sink.received.clear()
            await source.send(_line(good))
            _agree(await sink.take(8), _decoded(b"\0abc\0\0d"))


def _encoder(dut, stalls=("never", "never")):
    source = StreamSource(dut, "i", plain_layout(), stall=stalls[0])
    return source, StreamSink(dut, "o", _VALUE, stall=stalls[1])


@cocotb.test(skip=not _ENCODES)
@cocotb.parametrize(stalls=STALLS)
async def encodes(dut, stalls):
    source, sink = _encoder(dut, stalls)
    await reset(dut)
    for frame in _frames(4):
        source.start(_plain(frame))
        expected = cobs.encode(frame) + b"\0"
        assert bytes(beat["value"] for beat in await sink.take(len(expected))) == expected


@cocotb.test(skip=not _ENCODES)
async def encoder_cycles(dut):
    """The code comes in the cycle after the block's last byte; then a byte each cycle; then the next frame's first
    byte is taken in the cycle after the delimiter."""
    source, sink = _encoder(dut)
    await reset(dut)
    frames = [b"abc", b"\0", b"ab\0c", bytes([7]) * 254, bytes([7]) * 255, b"z"]
    source.start([beat for frame in frames for beat in _plain(frame)])
    expected = b"".join(cobs.encode(frame) + b"\0" for frame in frames)
    assert bytes(beat["value"] for beat in await sink.take(len(expected))) == expected
    at = source.cycles[0]
    fed: list[int] = []
    sent: list[int] = []
    for frame in frames:
        blocks = [*frame.split(b"\0")]
        if len(frame) == 255:
            blocks = [frame[:254], frame[254:]]
        for number, block in enumerate(blocks):
            closed = number < len(blocks) - 1 and len(frame) != 255  # by a zero, which is taken too
            size = len(block) + closed
            fed += range(at, at + size)
            sent += range(at + size, at + size + 1 + len(block))
            at += size + 1 + len(block)
        sent.append(at)
        at += 1
    assert source.cycles == fed
    assert sink.cycles == sent


@cocotb.test(skip=not _ENCODES)
async def encoder_reset(dut):
    """At any moment of a frame; nothing of it is left."""
    source, sink = _encoder(dut)
    await reset(dut)
    frame = b"\0ab\0cdef\0"
    for cut in range(1, 24):
        sending = source.start(_plain(frame) * 2)
        for _ in range(cut):
            await RisingEdge(dut.clk)
        await break_off(dut, sending, sink)
        source.start(_plain(frame))
        expected = cobs.encode(frame) + b"\0"
        assert bytes(beat["value"] for beat in await sink.take(len(expected))) == expected
