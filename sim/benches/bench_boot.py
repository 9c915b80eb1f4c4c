# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of BootLoader and BootRegister, written from the page of the host link: a flash that gives bytes, a link
that answers frames, a line with a host that does not wait."""

import random
import struct
import zlib
from collections.abc import Callable

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.hw.uart import received_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.link_model import wire
from ds2ta.sim.stream import StreamSink, StreamSource, in_background, next_cycle, reset

_GIVEN = bench_parameters()
_REGISTER = _GIVEN["register"]  # the component is the register
_VALUE = data.StructLayout({"value": 8})
_BLOCK = 1 << 16
READING, LOADED, DAMAGED, BROKEN, NO_IMAGE, VERSION, MACHINE, LENGTH = range(8)
STALLS = ["never", "random:0.4", "bursts"]
PATIENCE = 3_000  # cycles without a byte, by which all is over
Change = Callable[[bytes, int], bytes]  # of the image, in the n-th reading


def frame(number: int, payload: bytes = b"\3\0\0\0\0\0\0\7\7") -> bytes:
    return wire(bytes([1 + number, 3]) + payload)


def response(request: bytes, status: int = 0) -> bytes:
    """To the body of a request."""
    return wire(bytes([request[0], request[1] | 0x80, status]))


def image(stream: bytes, *, last: int | None = None, machine: int | None = None) -> bytes:
    machine = _GIVEN["machine"] if machine is None else machine
    last = len(stream) - 1 if last is None else last
    body = b"D2BT" + struct.pack("<III", 1, machine, last) + bytes(range(7, 39)) + stream
    return body + zlib.crc32(body).to_bytes(4, "little")


def same(content: bytes, number: int) -> bytes:
    """The image, whole."""
    return content


def cut(count: int) -> Change:
    """Without its last bytes: the flash is erased there."""
    return lambda content, number: content[:-count]


def flipped(at: int, *, reading: int = 0, bit: int = 0) -> Change:
    """One bit of byte `at` is another in every reading from that one on."""

    def change(content: bytes, number: int) -> bytes:
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :] if number >= reading else content

    return change


class _Bench:
    """`answers`: frame number -> status of the response, or None where the frame is lost."""

    def __init__(self, dut, stall: str = "never"):
        self.dut, self.random = dut, random.Random(3)
        self.stalls = stall != "never"
        self.content = b""
        self.change: Change = same
        self.readings, self.quiet = 0, 0  # readings begun; cycles since the flash gave a byte
        self.answers: dict[int, int | None] = {}
        self.frames: list[bytes] = []  # on the wire, as the link had them
        self.dropped_line = 0
        dut.flash__valid.value = dut.dropped.value = 0
        self.answer = StreamSource(dut, "answer", _VALUE)
        self.line = StreamSource(dut, "line", received_layout())
        self.link = StreamSink(dut, "link", received_layout(), stall=stall)
        self.out = StreamSink(dut, "o", _VALUE, stall=stall, seed=2)
        in_background(dut, self._give())
        in_background(dut, self._respond())

    async def _give(self) -> None:
        """The flash: bytes from the first one on while `read` is high; behind the image it is erased."""
        dut, at, bytes_now, valid = self.dut, 0, None, False
        while True:
            await next_cycle
            taken = valid and bool(dut.flash__ready.value)
            if dut.rst.value:
                self.readings = 0
            if dut.rst.value or not dut.read.value:
                at, bytes_now, taken = 0, None, True
            self.quiet = 0 if taken and bytes_now is not None else self.quiet + 1
            if bytes_now is None:
                valid = False
                if dut.read.value and not dut.rst.value:
                    bytes_now = self.change(self.content, self.readings)
                    self.readings += 1
            elif taken:
                at, valid = at + 1, False
            if bytes_now is not None and not valid:
                valid = not self.stalls or self.random.random() < 0.2
                if valid:
                    dut.flash__payload.value = bytes_now[at] if at < len(bytes_now) else 0xFF
            dut.flash__valid.value = valid

    async def _respond(self) -> None:
        """The link: each frame is answered, or lost, after a while."""
        dut, taken = self.dut, b""
        while True:
            await next_cycle
            if dut.rst.value:
                taken = b""
                continue
            if int(dut.state.value) != READING or not (dut.link__valid.value and dut.link__ready.value):
                continue
            value = int(dut.link__payload.value)
            assert value < 256, "a byte that the link cannot trust"
            taken += bytes([value])
            if value or taken == b"\0":
                taken = taken if value else b""
                continue
            status = self.answers.get(len(self.frames), 0)
            self.frames.append(taken)
            for _ in range(self.random.randint(1, 40)):
                await next_cycle
            if status is None:
                dut.dropped.value = 1
                await next_cycle
                dut.dropped.value = 0
            else:
                self.answer.start([{"value": byte} for byte in response(b"\1\3", status)])
            taken = b""

    async def boot(self, stream: bytes, change: Change | None = None, *, limit: int = 1 << 20, **options) -> int:
        """The state in which it ends, or is after `limit` cycles; `options` are those of `image`."""
        self.content = image(stream, **options)
        self.change = change or same
        self.frames.clear()
        self.quiet = self.readings = 0
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)
        self.link.received.clear()
        while not int(self.dut.state.value) and self.quiet < PATIENCE and limit:
            await RisingEdge(self.dut.clk)
            limit -= 1
        return int(self.dut.state.value)

    def given(self) -> bytes:
        """What the link has had."""
        assert not any(beat["bad"] for beat in self.link.received)
        return bytes(beat["value"] for beat in self.link.received)

    async def alive(self) -> None:
        """The flash is left alone; the line reaches the link and the link the line, as if nothing were between."""
        dut = self.dut
        for _ in range(60):
            await RisingEdge(dut.clk)
        assert not dut.read.value
        assert self.out.received == []
        self.link.received.clear()
        symbols = [{"value": byte, "bad": byte == 9} for byte in b"\0\7\x09\xff\0\0\1"]
        self.line.start(symbols)
        assert await self.link.take(len(symbols)) == symbols
        beats = [{"value": byte} for byte in b"\3\0\x81"]
        self.answer.start(beats)
        assert await self.out.take(len(beats)) == beats


STREAM = b"".join(frame(number) for number in range(5))


@cocotb.test(skip=_REGISTER)
@cocotb.parametrize(stall=STALLS)
async def loads(dut, stall):
    """All of it, in order, once; what comes on the line meanwhile is lost."""
    bench = _Bench(dut, stall)
    await reset(dut)
    noise = bench.line.start([{"value": 0x55, "bad": 0} for _ in range(100)])
    assert await bench.boot(STREAM) == LOADED
    await noise
    assert (bench.given(), bench.readings) == (STREAM, 2)
    assert bench.frames == [frame(number) for number in range(5)]
    await bench.alive()


@cocotb.test(skip=_REGISTER)
async def each_byte_of_the_header(dut):
    """Tells what is wrong with it; the link hears nothing."""
    bench = _Bench(dut)
    await reset(dut)
    for word, state in enumerate((NO_IMAGE, VERSION, MACHINE)):
        for byte in range(4):
            for bit in (0, 5, 7):
                assert await bench.boot(STREAM, flipped(4 * word + byte, bit=bit)) == state
                assert bench.readings == 1
    for bit in range(16, 32):
        state = LENGTH if 1 << bit >= _GIVEN["room"] else READING
        assert await bench.boot(STREAM, last=1 << bit, limit=1_000) == state, bit
    assert await bench.boot(STREAM, last=_GIVEN["room"] - 1, limit=1_000) == READING
    assert await bench.boot(STREAM, last=_GIVEN["room"]) == LENGTH
    assert await bench.boot(STREAM, last=_GIVEN["room"] + 255) == LENGTH
    assert await bench.boot(STREAM, last=(1 << 32) - 1) == LENGTH
    assert await bench.boot(b"", last=0xFFFF_FFFF) == LENGTH
    assert bench.link.received == []
    await bench.alive()


@cocotb.test(skip=_REGISTER)
async def nothing_there(dut):
    """An erased flash, one that drives nothing, an image without its end, nearly the longest."""
    bench = _Bench(dut)
    await reset(dut)
    assert await bench.boot(STREAM, lambda content, _: b"") == NO_IMAGE
    assert await bench.boot(STREAM, lambda content, _: bytes(1 << 12)) == NO_IMAGE
    for count in (1, 4, 5, len(STREAM)):
        assert await bench.boot(STREAM, cut(count)) == DAMAGED
    assert bench.link.received == []
    await bench.alive()


@cocotb.test(skip=_REGISTER)
async def damage(dut):
    """A bit of the digest, of the stream, of its length, of the CRC."""
    bench = _Bench(dut)
    await reset(dut)
    size = len(image(STREAM))
    places = [
        12,
        16,
        47,
        48,
        size - 5,
        *range(size - 4, size),
        *(bench.random.randrange(16, size) for _ in range(12)),
    ]
    for at in places:
        assert await bench.boot(STREAM, flipped(at, bit=bench.random.randrange(3))) == DAMAGED, at
        assert (bench.readings, bench.link.received) == (1, [])
    await bench.alive()


@cocotb.test(skip=_REGISTER)
async def the_second_reading_differs(dut):
    """A header that is another one leaves the core alone; with anything else the image does not count as loaded."""
    bench = _Bench(dut)
    await reset(dut)
    size = len(image(STREAM))
    for at, state in ((2, NO_IMAGE), (5, VERSION), (9, MACHINE), (15, LENGTH)):
        assert await bench.boot(STREAM, flipped(at, reading=1)) == state
        assert (bench.readings, bench.link.received) == (2, [])
    for at in (16, 47, size - 4, size - 1):
        assert await bench.boot(STREAM, flipped(at, reading=1)) == BROKEN
        assert bench.given() == STREAM
        await bench.alive()

    # the link has not had the end of a frame, which this one ends early
    def shorter(content: bytes, number: int) -> bytes:
        return content[:12] + struct.pack("<I", len(STREAM) + 1) + content[16:] if number else content

    bench.answers = {5: None}
    assert await bench.boot(STREAM + b"\5abc", shorter) == BROKEN
    assert bench.given() == STREAM + b"\5\0"


@cocotb.test(skip=_REGISTER)
@cocotb.parametrize(stall=STALLS)
async def a_frame_is_refused_or_lost(dut, stall):
    """It is the last; the rest of its response reaches nobody."""
    bench = _Bench(dut, stall)
    await reset(dut)
    for number in (0, 2, 4):
        for status in (1, 3, 4, 6, None):
            bench.answers = {number: status}
            assert await bench.boot(STREAM) == BROKEN
            assert bench.given() == b"".join(frame(index) for index in range(number + 1))
            await bench.alive()


@cocotb.test(skip=_REGISTER)
async def odd_streams(dut):
    """Empty frames are not waited for; the last byte goes as a delimiter, whatever it is."""
    bench = _Bench(dut)
    await reset(dut)
    one, two = frame(1), frame(2)
    for stream, given, frames in [
        (b"\0", b"\0", []),
        (b"\0\0" + one + b"\0\0\0" + two + b"\0", b"\0\0" + one + b"\0\0\0" + two + b"\0", [one, two]),
        (one[:-1] + b"\x77", one, [one]),
        (b"\5", b"\0", []),
        (one + b"\1\2\3", one + b"\1\2\0", [one, b"\1\2\0"]),
        (frame(3, bytes(254)), frame(3, bytes(254)), [frame(3, bytes(254))]),
    ]:
        assert await bench.boot(stream) == LOADED
        assert bench.given() == given
        assert bench.frames == frames
        await bench.alive()


@cocotb.test(skip=_REGISTER)
async def cycles(dut):
    """A byte every 10 cycles in the first reading."""
    bench = _Bench(dut)
    await reset(dut)
    bench.content = image(STREAM)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    spent = 0
    while bench.readings < 2:
        await RisingEdge(dut.clk)
        spent += 1
    assert 10 * len(bench.content) <= spent <= 10 * len(bench.content) + 8


@cocotb.test(skip=_REGISTER)
async def reset_at_any_moment(dut):
    """It begins anew."""
    bench = _Bench(dut)
    await reset(dut)
    for _ in range(12):
        bench.content = image(STREAM)
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        for _ in range(bench.random.randint(1, 22 * len(bench.content))):
            await RisingEdge(dut.clk)
        for _ in range(60 if bench.frames else 0):  # a response that is under way
            await RisingEdge(dut.clk)
    assert await bench.boot(STREAM) == LOADED
    assert bench.given() == STREAM
    await bench.alive()


@cocotb.test(skip=not _REGISTER)
async def register(dut):
    """Reads of its address are answered here, writes refused, all else is the core's."""
    dut.bus__enable.value = dut.core__done.value = dut.core__error.value = 0
    await reset(dut)
    generator = random.Random(1)
    for address in (0x26, 0x25, 0x27, 0x66, 0x26, 0x2026, 0x26):
        for write in (0, 1):
            state, word, error = generator.randrange(8), generator.getrandbits(32), generator.randrange(2)
            dut.state.value, dut.core__read_data.value, dut.core__error.value = state, word, error
            dut.bus__address.value, dut.bus__write.value, dut.bus__write_data.value = address, write, ~word & 0xFFFF
            dut.bus__enable.value = 1
            await RisingEdge(dut.clk)
            here = address == 0x26
            assert int(dut.core__enable.value) == (not here)
            assert int(dut.bus__done.value) == 0
            dut.bus__enable.value = 0
            if not here:
                for _ in range(3):
                    await RisingEdge(dut.clk)
                    assert not dut.bus__done.value
                assert (int(dut.core__address.value), int(dut.core__write.value)) == (address, write)
                assert int(dut.core__write_data.value) == ~word & 0xFFFF
                dut.core__done.value = 1
            await RisingEdge(dut.clk)
            assert dut.bus__done.value
            assert int(dut.bus__error.value) == (write if here else error)
            assert write or int(dut.bus__read_data.value) == (state if here else word)
            dut.core__done.value = 0
            await RisingEdge(dut.clk)
            assert not dut.bus__done.value
