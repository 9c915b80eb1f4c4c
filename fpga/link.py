# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The board's end of the host link: frames to register accesses, store words, sample bytes (docs/host-link.md)."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.fpga.frames import MAX_REGISTERS, Request, Status
from ds2ta.fpga.link_parts import ChunkCounter, OffsetCheck
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.register_file import bus_signature
from ds2ta.gateware.registers import REGISTERS
from ds2ta.gateware.stores import load_layout, store_shapes
from ds2ta.hw.cobs import CobsDecoder, CobsEncoder
from ds2ta.hw.slices import register_slice
from ds2ta.hw.store import DualPortMemory
from ds2ta.hw.uart import received_layout

__all__ = ["BAND_PATIENCE", "PATIENCE", "HostLink"]

PATIENCE = 16  # log2 of the cycles that the core may leave a sample byte waiting
BAND_PATIENCE = 24  # the same where it may compute a band of the first layer meanwhile
_CRC_BYTES = 4

# The receive buffer has 512 bytes. A body begins where its first payload byte but four is byte 0, because then
# the number of payload bytes and the place of every word can be read off the address.
_HEADER = 512 - 4  # first payload byte
_START = _HEADER - 2  # sequence, kind


class _Walk:
    """The walk through a body, bit by bit, and the register that shifts with it."""

    def __init__(self):
        self.walk = Signal(12, init=_START << 3)
        self.place, self.bit, self.low = self.walk[3:], self.walk[:3], self.walk[3:5]  # byte, its bit
        self.header = self.place[8]  # of the payload, or what comes before it
        self.end = Signal(9)  # behind the payload's last byte
        self.word = Signal(32)
        # back to the first byte; one bit on; that bit
        self.rewind, self.shift, self.ones = Signal(), Signal(), Signal(name="ones")
        # what the walk is for, if not to act: a request comes in; its response goes out, at last its CRC
        self.receiving, self.answering, self.tail = Signal(init=1), Signal(), Signal(name="tail")

    def advance(self, m: Module) -> None:
        """The counter."""
        with m.If(self.rewind):
            m.d.sync += self.walk.eq(_START << 3)
        with m.Elif(self.shift):
            m.d.sync += self.walk.eq(self.walk + 1)


class _Request:
    """What the request at hand is, where it is at, and how it will be answered."""

    def __init__(self, rows: int, patience: int):
        self.kinds = tuple(Signal(name=f"is_{kind.name.lower()}") for kind in Request)
        self.is_read, self.is_write, self.is_load, self.is_sample = self.kinds
        self.status = Signal(Status)
        self.rows, self.patience = rows, patience  # bits of a store's row; log2 of the cycles that a byte may wait
        # of a register, of a row of a store; for a SAMPLE also the cycles that a byte has waited
        self.address = Signal(max(patience, rows) + 1)
        self.address_set, self.address_up, self.address_home = Signal(), Signal(), Signal(name="address_home")
        # of a READ, a cycle late
        self.words_sent, self.count_wrong = Signal(), Signal(name="count_wrong")

    def advance(self, m: Module, walk: _Walk) -> None:
        """The address."""
        home = REGISTERS["sample_bytes"].address  # a SAMPLE reads this register, and then the one behind it
        assert REGISTERS["sample_length"].address == home + 1
        with m.If(self.address_home):
            m.d.sync += self.address.eq(home)
        with m.Elif(self.address_set):
            m.d.sync += self.address.eq(walk.word[16:])
        with m.Elif(self.address_up):
            m.d.sync += self.address.eq(self.address + 1)


class _Frame:
    """What is known of the frame that comes in."""

    def __init__(self, walk: _Walk):
        self.spoiled = Signal()
        # a byte of it comes; its delimiter comes; it was whole and is good
        self.content, self.closing, self.good = Signal(), Signal(), Signal(name="good")
        self.full = walk.header & ~walk.place[7]  # MAX_PAYLOAD bytes and the CRC


class _States:
    """What happens next: one flip-flop a state, because no two states share logic."""

    def __init__(self, m: Module, walk: _Walk, request: _Request):
        self._m, self._walk = m, walk
        names = (
            *("receive", "turn", "fetch", "pick", "shift", "act", "emit"),
            *("check", "ask", "wait", "load", "loaded", "sample"),
        )
        self.now = {name: Signal(name=f"in_{name}", init=name == "receive") for name in names}
        self._then = {name: Signal(name=f"to_{name}") for name in names}
        m.d.sync += [self.now[name].eq(self._then[name]) for name in names]
        self._begin, self._code = Signal(), Signal(Status)
        with m.If(self._begin):
            m.d.sync += [request.status.eq(self._code), walk.answering.eq(1)]

    def go(self, name: str) -> None:
        """To that state."""
        self._m.d.comb += self._then[name].eq(1)

    def answer(self, reason: Status = Status.OK, *, when: Value | int = 1) -> None:
        """With status `reason`, or OK."""
        m = self._m
        m.d.comb += self._begin.eq(1)
        # bit by bit, so that reasons of different states meet in an OR
        m.d.comb += [part.eq(when) for number, part in enumerate(self._code) if reason >> number & 1]
        self.go("turn")

    def proceed(self) -> None:
        """Answer at the end of the payload, else go on."""
        m = self._m
        with m.If(self._walk.place == self._walk.end):
            self.answer()
        with m.Else():
            self.go("fetch")


class HostLink(wiring.Component):
    """Takes requests, acts on them, and responds.

    A request is received into a buffer of one block RAM; its CRC is computed on the way. Only when the frame is
    whole and good it is acted upon, one request at a time; bytes that come meanwhile, up to the next delimiter,
    are lost. Everything is done bit by bit: one counter walks through the body, one 32-bit register shifts. A READ
    is made twice, first without a response, because the status goes before the data.

    Latency: a request is verified when its delimiter is taken. Then its body is walked through once (the header of
    a SAMPLE two or three times, a READ twice), 11 cycles a byte, then the response, 11 cycles a byte, and what bus
    and streams take. Throughput: a byte every 11 cycles while a request comes in. Back-pressure: one byte waits
    in a register while another is worked on, so a UART of 4 clocks a bit never waits; while a request is acted
    upon `i` is ready every other cycle.

    Parameters: `machine`: layout and sizes of its stores.

    Members
    -------
    i: bytes from the line, `received_layout`. o: bytes to the line.
    bus: the register bus; what describes an access stays until `done`.
    load: store words (only for a machine with a loadable store); load_error: in the cycle after a word was taken,
      it lies outside of its store.
    sample: sample bytes.
    busy: a sample is open or worked on; sample_full: all of its bytes were taken.
    frame_good, frame_dropped: pulse for each frame that was received whole and good, and for each that was not.
    """

    def __init__(self, machine: Machine):
        self._shapes = store_shapes(machine)
        self._patience = BAND_PATIENCE if machine.bands else PATIENCE
        self._loads = any(shape.loadable for shape in self._shapes.values())
        members = {
            "i": In(stream.Signature(received_layout())),
            "o": Out(stream.Signature(data.StructLayout({"value": 8}))),
            "bus": Out(bus_signature()),
            "sample": Out(stream.Signature(data.StructLayout({"value": 8}))),
            "busy": In(1),
            "sample_full": In(1),
            "frame_good": Out(1),
            "frame_dropped": Out(1),
        }
        if self._loads:
            members |= {"load": Out(stream.Signature(load_layout(machine))), "load_error": In(1)}
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.encoder = encoder = CobsEncoder()
        m.submodules.buffer = DualPortMemory(width=8, depth=512, block=True)
        m.submodules.check = OffsetCheck()
        m.submodules.chunks = chunks = ChunkCounter(self._shapes.values())
        m.submodules.crc = CRC32_ISO_HDLC(data_width=1).create()
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        wiring.connect(m, encoder.o, wiring.flipped(self.o))
        given, sent = register_slice(m, decoder.o), encoder.i

        walk = _Walk()
        walk.advance(m)
        request = _Request(bits_for(max(shape.rows for shape in self._shapes.values()) - 1), self._patience)
        request.advance(m, walk)
        self._shift(m, walk, request)
        self._compare(m, walk)
        frame = self._watch(m, walk, given)
        m.d.comb += [
            sent.payload.value.eq(walk.word[24:]),
            self.bus.address.eq(request.address),
            self.bus.write.eq(request.is_write),
            self.bus.write_data.eq(walk.word),
            self.sample.payload.value.eq(walk.word[24:]),
        ]
        m.d.comb += [chunks.first_store.eq(walk.word[16:24]), chunks.first_chunk.eq(walk.word[24:])]
        if self._loads:  # where a LOAD's next word goes
            target = self.load.payload
            m.d.comb += [
                target.store.eq(chunks.store),
                target.row.eq(request.address),
                target.chunk.eq(chunks.chunk),
                target.data.eq(walk.word[16:]),
            ]

        states = _States(m, walk, request)
        m.d.comb += given.ready.eq(~walk.receiving | states.now["receive"])
        self._receive(m, walk, request, frame, states)
        self._next_byte(m, walk, request, states)
        self._count(m, walk, request)
        self._emit(m, walk, request, sent, states)
        self._act(m, walk, request, states)
        self._check(m, walk, request, states)
        self._access(m, walk, request, states)
        self._load(m, request, states)
        self._sample(m, request, states)
        return m

    def _shift(self, m: Module, walk: _Walk, request: _Request) -> None:
        """One bit of the walk: of the request, of the response's header, of the register, or of the CRC."""
        buffer, crc = m.submodules.buffer, m.submodules.crc
        stored = Signal()
        # chosen a cycle ahead: a block RAM is slow to show its data
        m.d.sync += stored.eq(buffer.read_data.bit_select((walk.bit + walk.shift)[:3], 1))
        with m.If(~walk.answering):
            m.d.comb += walk.ones.eq(stored)
        with m.Elif(walk.header):
            m.d.comb += walk.ones.eq(
                Mux(
                    walk.place == _HEADER + 3,
                    request.status.bit_select(walk.bit, 1),
                    stored | ((walk.place == _START + 1) & (walk.bit == 7)),
                )
            )
        with m.Else():
            m.d.comb += walk.ones.eq(Mux(walk.tail, crc.crc[0], walk.word[0]))
        with m.If(walk.shift):
            m.d.sync += walk.word.eq(Cat(walk.word[1:], walk.ones))
        with m.Elif(self.bus.done):
            m.d.sync += walk.word.eq(self.bus.read_data)
        # payload bytes, walked through but not answered
        skipped = walk.header & walk.place[2] & (walk.place[:2] != 3)
        m.d.comb += [
            # the register moves on undisturbed by what goes out
            crc.data.eq(walk.ones ^ (walk.answering & walk.tail)),
            crc.valid.eq(walk.shift & (walk.receiving | (walk.answering & ~skipped))),
        ]

    def _compare(self, m: Module, walk: _Walk) -> None:
        """A SAMPLE's offset plus length against the word that leaves while the offset comes."""
        check = m.submodules.check
        m.d.comb += [
            check.clear.eq(walk.rewind),
            check.shift.eq(walk.shift & walk.header & walk.place[2]),
            check.offset.eq(walk.ones),
            check.length.eq((walk.low == 0) & walk.end.bit_select(walk.bit, 1)),
            check.reference.eq(walk.word[0]),
        ]

    def _watch(self, m: Module, walk: _Walk, given: stream.Interface) -> _Frame:
        """Frames that come in: every one that has a beat is counted once."""
        buffer, frame = m.submodules.buffer, _Frame(walk)
        m.d.comb += [
            frame.content.eq(given.valid & given.ready & ~given.payload.last),
            frame.closing.eq(given.valid & given.ready & given.payload.last),
            frame.good.eq(
                walk.receiving
                & ~given.payload.bad
                & ~frame.spoiled
                & m.submodules.crc.match_detected
                & ~(walk.header & walk.place[7])
            ),
            buffer.write.address.eq(walk.place),
            buffer.write.data.eq(given.payload.value),
            buffer.read_address.eq(walk.place),
        ]
        with m.If(frame.closing):
            m.d.sync += frame.spoiled.eq(0)
        with m.Elif(frame.content & (~walk.receiving | frame.full)):
            m.d.sync += frame.spoiled.eq(1)
        m.d.sync += [
            self.frame_good.eq(frame.closing & frame.good),
            self.frame_dropped.eq(frame.closing & ~frame.good),
        ]
        return frame

    def _rewind(self, m: Module, walk: _Walk) -> None:
        """A new walk, with a new CRC."""
        m.d.comb += [walk.rewind.eq(1), m.submodules.crc.start.eq(1)]

    def _receive(self, m: Module, walk: _Walk, request: _Request, frame: _Frame, states: _States) -> None:
        """State `receive`: bytes into the buffer, each walked through for its CRC, up to the delimiter."""
        with m.If(states.now["receive"]):
            with m.If(frame.content & ~frame.spoiled & ~frame.full):
                m.d.comb += m.submodules.buffer.write.enable.eq(1)
                states.go("fetch")
            with m.Elif(frame.closing):
                self._rewind(m, walk)
                m.d.comb += request.address_home.eq(1)
                m.d.sync += [walk.receiving.eq(~frame.good), walk.end.eq(walk.place - _CRC_BYTES)]
                with m.If(frame.good):
                    states.go("fetch")
                with m.Else():
                    states.go("receive")
            with m.Else():
                states.go("receive")

    def _next_byte(self, m: Module, walk: _Walk, request: _Request, states: _States) -> None:
        """States `turn`, which begins the response, and `fetch`, `pick`, `shift`: a byte from the buffer, its bits
        through the register.

        In the states behind them `place` is the next byte: _START + 1 .. _HEADER + 3, then 0 and up. The header's
        bytes differ in three bits."""
        with m.If(states.now["turn"]):
            self._rewind(m, walk)
            states.go("fetch")
        with m.If(states.now["fetch"]):
            # a READ finds its count at the end of the header as often as it needs it
            held = request.is_read & ~walk.receiving & (~walk.header | (walk.place[:3] == 7))
            m.d.comb += m.submodules.buffer.read_enable.eq(~held)
            states.go("pick")
        with m.If(states.now["pick"]):
            states.go("shift")
        with m.If(states.now["shift"]):
            m.d.comb += walk.shift.eq(1)
            with m.If(walk.bit != 7):
                states.go("shift")
            with m.Elif(walk.receiving):
                states.go("receive")
            with m.Elif(walk.answering):
                states.go("emit")
            with m.Else():
                states.go("act")
        with m.If((states.now["act"] | states.now["emit"]) & walk.header & (walk.place[:3] == 6)):
            m.d.comb += [m.submodules.chunks.set.eq(1), request.address_set.eq(~request.is_sample)]

    def _count(self, m: Module, walk: _Walk, request: _Request) -> None:
        """The words of a READ against its count, which the buffer holds at its output."""
        count = m.submodules.buffer.read_data
        m.d.sync += [
            request.words_sent.eq(walk.walk[5:11] == count[:6]),
            request.count_wrong.eq((count == 0) | (count > MAX_REGISTERS)),
        ]

    def _emit(self, m: Module, walk: _Walk, request: _Request, sent: stream.Interface, states: _States) -> None:
        """State `emit`: a byte of the response; behind its last the link is free for the next request."""
        with m.If(states.now["emit"]):
            m.d.comb += [
                sent.valid.eq(~(walk.header & walk.place[2] & (walk.low != 0))),
                sent.payload.last.eq(walk.tail & ~walk.header & (walk.low == 0)),
            ]
            with m.If(sent.valid & ~sent.ready):
                states.go("emit")
            with m.Elif(walk.header | (walk.low != 0)):
                states.go("fetch")
            with m.Elif(walk.tail):
                self._rewind(m, walk)
                m.d.sync += [walk.receiving.eq(1), walk.answering.eq(0), walk.tail.eq(0)]
                states.go("receive")
            with m.Elif(request.is_read & (request.status == Status.OK)):
                states.go("ask")
            with m.Else():
                m.d.sync += walk.tail.eq(1)
                states.go("fetch")

    def _act(self, m: Module, walk: _Walk, request: _Request, states: _States) -> None:
        """State `act`: a byte of the request was walked through."""
        check = m.submodules.check
        begins = walk.place[2:8] == 0  # the first four bytes behind the header
        with m.If(states.now["act"]):
            with m.If(walk.header):
                self._act_on_header(m, walk, request, states)
            with m.Elif(request.is_read):
                with m.If(walk.low != 0):
                    states.go("fetch")
                with m.Elif(request.count_wrong):
                    states.answer(Status.LENGTH)
                with m.Else():
                    states.go("ask")
            with m.Elif(request.is_write):
                with m.If(walk.low == 2):
                    states.go("ask")
                with m.Else():
                    states.go("fetch")
            with m.Elif(request.is_load):
                self._act_on_load(m, walk, request, begins, states)
            with m.Elif(~(begins & (walk.low == 0))):
                states.go("sample")
            # a SAMPLE's offset was compared with a register
            with m.Elif(request.address[0] & ~check.beyond):  # both registers were compared
                m.d.comb += request.address_home.eq(1)
                states.go("fetch")
            with m.Elif(~request.address[0] & check.beyond & ~check.other):
                m.d.comb += walk.rewind.eq(1)
                states.go("fetch")
            with m.Else():
                states.answer(Status.OFFSET, when=check.beyond)  # then it is a repeat

    def _act_on_header(self, m: Module, walk: _Walk, request: _Request, states: _States) -> None:
        """The kind, then, of a LOAD, store and chunk."""
        with m.If(walk.low == 0):
            m.d.sync += [flag.eq(walk.word[24:] == kind) for flag, kind in zip(request.kinds, Request, strict=True)]
            states.go("check")
        with m.Elif((walk.low == 2) & request.is_load & m.submodules.chunks.foreign):
            states.answer(Status.ADDRESS)
        with m.Else():
            states.go("fetch")

    def _act_on_load(self, m: Module, walk: _Walk, request: _Request, begins: Value, states: _States) -> None:
        """The row, a half of it each time, then words."""
        rows = request.rows
        with m.If(walk.place[0]):
            states.go("fetch")
        with m.Elif(~begins):
            states.go("load")
        with m.Elif(~walk.place[1]):
            m.d.comb += request.address_set.eq(1)
            states.go("fetch")
        with m.Else():
            upper = max(16, rows) - 16
            if upper:
                m.d.sync += request.address[16:rows].eq(walk.word[16:])
            with m.If(walk.word[16 + upper :].any()):
                states.answer(Status.ADDRESS)
            with m.Else():
                states.go("fetch")

    def _check(self, m: Module, walk: _Walk, request: _Request, states: _States) -> None:
        """State `check`: kind, length, and whether it can be done now."""
        is_read, is_write, is_load, is_sample = request.kinds
        end = walk.end
        with m.If(states.now["check"]):
            right = Signal()
            m.d.comb += right.eq(
                (is_read & (end == (_HEADER + 3) % 512))
                | (is_write & (end[7:] == 0) & (end[:2] == 2))
                | (is_load & ~end[8] & end[2:].any() & ~end[0])
                | (is_sample & ~end[8] & end.any())
            )
            with m.If(~(is_read | is_write | is_load | is_sample)):
                states.answer(Status.UNKNOWN)
            with m.Elif(~right):
                states.answer(Status.LENGTH)
            with m.Elif(self.busy & (is_load | (is_sample & self.sample_full))):
                states.answer(Status.BUSY)
            with m.Elif(is_sample):
                states.go("ask")
            with m.Else():
                states.go("fetch")

    def _access(self, m: Module, walk: _Walk, request: _Request, states: _States) -> None:
        """States `ask` and `wait`: an access to a register."""
        with m.If(states.now["ask"]):
            with m.If(request.is_read & request.words_sent & walk.answering):
                m.d.sync += walk.tail.eq(1)
                states.go("fetch")
            with m.Elif(request.is_read & request.words_sent):
                states.answer()
            with m.Elif(request.address[len(self.bus.address) :].any() & ~walk.answering):
                states.answer(Status.ADDRESS)
            with m.Else():
                m.d.comb += self.bus.enable.eq(1)
                states.go("wait")
        with m.If(states.now["wait"]):
            with m.If(~self.bus.done):
                states.go("wait")
            with m.Else():
                m.d.comb += request.address_up.eq(1)
                with m.If(self.bus.error & ~walk.answering):
                    states.answer(Status.ADDRESS)
                with m.Elif(request.is_write):
                    states.proceed()
                with m.Else():
                    states.go("fetch")

    def _load(self, m: Module, request: _Request, states: _States) -> None:
        """States `load` and `loaded`: a word into its store."""
        if not self._loads:
            with m.If(states.now["load"]):
                states.answer(Status.ADDRESS)
            return
        chunks = m.submodules.chunks
        with m.If(states.now["load"]):
            with m.If(request.address[request.rows :].any()):
                states.answer(Status.ADDRESS)
            with m.Else():
                m.d.comb += self.load.valid.eq(1)
                with m.If(self.load.ready):
                    states.go("loaded")
                with m.Else():
                    states.go("load")
        with m.If(states.now["loaded"]):
            m.d.comb += [chunks.up.eq(1), request.address_up.eq(chunks.last)]
            with m.If(self.load_error):
                states.answer(Status.ADDRESS)
            with m.Else():
                states.proceed()

    def _sample(self, m: Module, request: _Request, states: _States) -> None:
        """State `sample`: a byte of a sample to the core, which may keep it waiting for so long only."""
        with m.If(states.now["sample"]):
            m.d.comb += self.sample.valid.eq(1)
            with m.If(self.sample.ready):
                m.d.comb += request.address_home.eq(1)
                states.proceed()
            with m.Elif(request.address[request.patience]):
                states.answer(Status.STALLED)
            with m.Else():
                m.d.comb += request.address_up.eq(1)
                states.go("sample")
