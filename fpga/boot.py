# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Loads a model from the board's flash at power-up: checks what is there, then plays the host
(docs/host-link.md)."""

import struct
from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.fpga.boot_format import BLOCK, CRC_BYTES, DIGEST_AT, HEADER_BYTES, MAGIC, VERSION
from ds2ta.gateware.register_file import bus_signature
from ds2ta.gateware.registers import REGISTERS
from ds2ta.hw.spi_flash import READ_HZ, half_cycles, wake_cycles
from ds2ta.hw.uart import received_layout

__all__ = ["BootFlash", "BootLoader", "BootRegister", "BootState", "boot_flash"]

_ADDRESS_SPACE = 1 << 24  # of 24 bits
_OK = 3  # first byte on the wire of the response to a request whose sequence number is not 0


class BootState(enum.Enum, shape=3):
    """What became of the image in the flash; the register `boot` on boards that have it."""

    READING = 0
    LOADED = 1
    DAMAGED = 2  # its CRC is wrong; the core is as it was
    BROKEN = 3  # while it was loaded a request was lost or refused, or the second reading differed from the first
    # the core is as it was; in the order of the words of the header
    NO_IMAGE = 4
    OTHER_VERSION = 5
    OTHER_MACHINE = 6
    TOO_LONG = 7


_LAST = (BootState.LOADED, BootState.BROKEN)  # of the second reading, with a right CRC and a wrong one


@dataclass(frozen=True)
class BootFlash:
    """What a design knows of its flash: `half` and `wake` of `hw.spi_flash.SpiFlashReader`, `fast`: its command is
    0B; the image begins at `address`, a multiple of BLOCK, of a chip of `size` bytes, another one."""

    half: int
    wake: int
    address: int
    size: int
    fast: bool = False

    def __post_init__(self):
        if self.address % BLOCK or self.size % BLOCK or not 0 <= self.address <= self.size - 2 * BLOCK:
            raise FitError(
                f"flash: an image at {self.address:#x} of {self.size} bytes must begin at a multiple of {BLOCK}, "
                f"and leave room for {2 * BLOCK} bytes"
            )
        if self.size > _ADDRESS_SPACE:
            raise FitError(f"flash: {self.size} bytes, an address of 24 bits reaches {_ADDRESS_SPACE}")

    @property
    def room(self) -> int:
        """Bytes of the longest stream."""
        return self.size - self.address - BLOCK


def boot_flash(*, clock_hz: float, most_hz: float, address: int, size: int) -> BootFlash:
    """The settings for a core of `clock_hz` and a flash whose clock shall be at most `most_hz`."""
    half = half_cycles(clock_hz=clock_hz, most_hz=most_hz)
    fast = clock_hz / (2 * half) > READ_HZ
    return BootFlash(half=half, wake=wake_cycles(clock_hz), address=address, size=size, fast=fast)


class BootRegister(wiring.Component):
    """Answers reads of the register `boot`, and passes all other accesses on.

    Latency: an access to `boot` ends in the cycle after `bus.enable`, a write with an error; others take what
    `core` takes.

    Members: `bus`: to the link; `core`: to the core; `state`.
    """

    def __init__(self):
        super().__init__({"bus": In(bus_signature()), "core": Out(bus_signature()), "state": In(BootState)})

    def elaborate(self, platform) -> Module:
        m = Module()
        bus, core = self.bus, self.core
        here, done = Signal(), Signal()
        m.d.comb += here.eq(bus.address == REGISTERS["boot"].address)
        m.d.sync += done.eq(bus.enable & here)
        m.d.comb += [
            core.enable.eq(bus.enable & ~here),
            core.write.eq(bus.write),
            core.address.eq(bus.address),
            core.write_data.eq(bus.write_data),
            bus.done.eq(core.done | done),
            bus.error.eq(Mux(here, bus.write, core.error)),
            bus.read_data.eq(Mux(here, self.state.as_value(), core.read_data)),
        ]
        return m


class _Place:
    """Where the walk through an image is: header bytes are 16 .. 63, then 64 is the stream and what is behind it is
    its CRC, so that the parts differ in single bits."""

    _FIRST = 64 - HEADER_BYTES
    _LAST = 64 + CRC_BYTES

    def __init__(self):
        self.number = Signal(7, init=self._FIRST)
        self.left = Signal(24)  # bytes of the stream behind this one
        self.word = self.number[2:4]  # of the header
        self.in_head = ~self.number[6] & ~self.number[5]  # before the digest
        # but for its highest byte, which is 0
        self.in_length = self.in_head & (self.word == 3) & (self.number[:2] != 3)
        self.in_stream = self.number[6] & ~self.number[:3].any()
        self.ends = self.number[6] & self.number[2]
        assert (self._FIRST, self._FIRST + DIGEST_AT, self._LAST) == (16, 32, 68)

    def restart(self, m: Module) -> None:
        """To the first byte."""
        m.d.sync += self.number.eq(self._FIRST)

    def advance(self, m: Module) -> None:
        """To the next byte."""
        with m.If(self.in_stream & self.left.any()):
            m.d.sync += self.left.eq(self.left - 1)
        with m.Else():
            m.d.sync += self.number.eq(self.number + 1)


class BootLoader(wiring.Component):
    """Reads the image in the flash twice. The first reading looks at header and CRC and changes nothing. The second
    hands the stream to the link, one frame at a time, in place of the serial line, and takes the responses: the
    next frame goes when the response to the last one was OK. The first frame that is lost or refused is the last.
    When all is done, or nothing is to be done, the line is the link's, and the link is between two frames.

    Latency: until the state is another than READING, the flash takes 16 `half` cycles a byte, or twice as many and
    what the link takes for each frame. Throughput: a byte every 10 cycles. Back-pressure: `flash` waits for the
    link; bytes of the line that come meanwhile are dropped.

    Parameters: `machine`: the tag of the machine (`boot_format.machine_tag`); `room`: bytes of the longest stream,
    a multiple of BLOCK.

    Members: `read` and `flash` {value}: those of `hw.spi_flash.SpiFlashReader`; `line` from the receiver and `o` to
    the transmitter; `link` to the link and `answer` from it; `dropped`: its `frame_dropped`; `state`.
    """

    def __init__(self, *, machine: int, room: int):
        if room % BLOCK or not BLOCK <= room <= _ADDRESS_SPACE - BLOCK:
            raise FitError(f"Room must be a multiple of {BLOCK} below {_ADDRESS_SPACE}, not {room!r}")
        self._head = struct.pack("<4sII", MAGIC, VERSION, machine)
        self._blocks = room // BLOCK
        value = stream.Signature(data.StructLayout({"value": 8}))
        received = stream.Signature(received_layout())
        super().__init__(
            {
                "read": Out(1),
                "flash": In(value),
                "line": In(received),
                "link": Out(received),
                "answer": In(value),
                "o": Out(value),
                "dropped": In(1),
                "state": Out(BootState),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=1).create()
        place, byte, bit, again = _Place(), Signal(8), Signal(3), Signal()  # again: the second reading
        m.d.comb += [self.read.eq(1), self.line.ready.eq(1), crc.data.eq(byte[0])]
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.flash.ready.eq(1)
                m.d.sync += byte.eq(self.flash.payload.value)
                with m.If(self.flash.valid):
                    m.next = "WALK"
            with m.State("WALK"):  # through the bits of the byte, once around
                m.d.comb += crc.valid.eq(1)
                m.d.sync += [byte.eq(Cat(byte[1:], byte[0])), bit.eq(bit + 1)]
                with m.If(place.in_length):
                    m.d.sync += place.left.eq(Cat(place.left[1:], byte[0]))
                with m.If(bit == 7):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                with m.If(again & place.in_stream):
                    m.next = "GIVE"
                with m.Elif(place.ends & crc.match_detected & ~again):
                    m.next = "AGAIN"
                with m.Elif(place.ends):
                    self._end(m, Mux(~again, BootState.DAMAGED, Mux(crc.match_detected, *_LAST)))
                with m.Elif(place.in_head & self._is_wrong(place, byte)):
                    self._end(m, Cat(place.word, Const(1)))
                with m.Else():
                    place.advance(m)
                    m.next = "TAKE"
            with m.State("AGAIN"):
                m.d.comb += [self.read.eq(0), crc.start.eq(1)]
                m.d.sync += again.eq(1)
                place.restart(m)
                m.next = "TAKE"
            self._load(m, place, byte)
            with m.State("DONE"):
                m.d.comb += self.read.eq(0)
                wiring.connect(m, wiring.flipped(self.line), wiring.flipped(self.link))
                wiring.connect(m, wiring.flipped(self.answer), wiring.flipped(self.o))
        return m

    def _is_wrong(self, place: _Place, byte: Value) -> Value:
        """A byte before the digest is not what it must be; with the last one the length is known."""
        expected = Array([*self._head, 0, 0, 0, 0])[place.number[:4]]
        too_long = (place.number[:4] == 15) & (place.left[16:] >= self._blocks)
        return (~place.in_length & (byte != expected)) | too_long

    def _end(self, m: Module, state: Value | BootState) -> None:
        m.d.sync += self.state.eq(state)
        m.next = "DONE"

    def _load(self, m: Module, place: _Place, byte: Signal) -> None:
        """States `GIVE`, which hands a byte of the stream to the link, and `AWAIT`, for its response to a frame."""
        inside, opening, wrong = Signal(), Signal(), Signal()  # in a frame; a response begins; it is none of an OK
        given = self.link.payload.value
        with m.State("GIVE"):
            m.d.comb += self.link.valid.eq(1)
            with m.If(place.left.any()):  # else the link must wait for no more, whatever the last byte is
                m.d.comb += given.eq(byte)
            with m.If(self.link.ready):
                m.d.sync += [inside.eq(given != 0), opening.eq(1)]
                place.advance(m)
                m.next = "TAKE"
                with m.If(inside & (given == 0)):
                    m.next = "AWAIT"
        with m.State("AWAIT"):
            m.d.comb += self.answer.ready.eq(1)
            with m.If(self.answer.valid):
                # the first zero of a response to an OK is its status, its third byte: so begins its encoding
                m.d.sync += [opening.eq(0), wrong.eq(wrong | (opening & (self.answer.payload.value != _OK)))]
                with m.If(self.answer.payload.value == 0):
                    m.next = "TAKE"
                    with m.If(wrong):
                        self._end(m, BootState.BROKEN)
            with m.If(self.dropped):
                self._end(m, BootState.BROKEN)
