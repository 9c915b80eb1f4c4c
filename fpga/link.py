"""The board's end of the host link: frames to register accesses, store words, sample bytes (docs/host-link.md)."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.fpga.frames import MAX_REGISTERS, Answer, Opcode
from ds2ta.fpga.link_parts import ChunkCounter, OffsetCheck
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.register_file import bus_signature
from ds2ta.gateware.registers import REGISTERS
from ds2ta.gateware.stores import load_layout, store_shapes
from ds2ta.hw.cobs import CobsDecoder, CobsEncoder
from ds2ta.hw.slices import register_slice
from ds2ta.hw.store import SpikeBank
from ds2ta.hw.uart import received_layout

__all__ = ["PATIENCE", "HostLink"]

PATIENCE = 16  # log2 of the cycles that the core may leave a sample byte waiting
_CRC_BYTES = 4

# The receive buffer has 512 bytes. A body begins where its first payload byte but four is byte 0, because then
# the number of payload bytes and the place of every word can be read off the address.
_HEADER = 512 - 4  # first payload byte
_START = _HEADER - 2  # sequence, opcode


class HostLink(wiring.Component):
    """Takes requests, acts on them, answers.

    A request is received into a buffer of one block RAM; its CRC is computed on the way. Only when the frame is
    whole and good it is acted upon, one request at a time; bytes that come meanwhile, up to the next delimiter,
    are lost. Everything is done bit by bit: one counter walks through the body, one 32-bit register shifts. A READ
    is made twice, first without an answer, because the status goes before the data.

    Latency: a request is verified when its delimiter is taken. Then its body is walked through once (the header of
    a SAMPLE two or three times, a READ twice), 11 cycles a byte, then the answer, 11 cycles a byte, and what bus
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
        m.submodules.buffer = buffer = SpikeBank(width=8, depth=512, block=True)
        m.submodules.check = check = OffsetCheck()
        m.submodules.chunks = chunks = ChunkCounter(self._shapes.values())
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=1).create()
        wiring.connect(m, wiring.flipped(self.i), decoder.i)
        wiring.connect(m, encoder.o, wiring.flipped(self.o))
        given, sent = register_slice(m, decoder.o), encoder.i

        # ---- the walk: byte `place` (bits 3 and up) and bit `bit` of the body
        walk = Signal(12, init=_START << 3)
        place, bit, low = walk[3:], walk[:3], walk[3:5]
        header = place[8]  # of the payload, or what comes before it
        end = Signal(9)  # behind the payload's last byte
        word = Signal(32)
        rewind, shift, ones = Signal(), Signal(), Signal()
        receiving, answering, tail = Signal(init=1), Signal(), Signal()  # tail: sending the CRC
        with m.If(rewind):
            m.d.sync += walk.eq(_START << 3)
        with m.Elif(shift):
            m.d.sync += walk.eq(walk + 1)

        # ---- registers of a request
        is_read, is_write, is_load, is_sample = (Signal(name=f"is_{opcode.name.lower()}") for opcode in Opcode)
        status = Signal(Answer)
        rows = bits_for(max(shape.rows for shape in self._shapes.values()) - 1)
        address = Signal(max(PATIENCE, rows) + 1)
        address_set, address_up, address_home = Signal(), Signal(), Signal()
        home = REGISTERS["sample_bytes"].address  # a SAMPLE reads this register, and then the one behind it
        assert REGISTERS["sample_length"].address == home + 1
        with m.If(address_home):
            m.d.sync += address.eq(home)
        with m.Elif(address_set):
            m.d.sync += address.eq(word[16:])
        with m.Elif(address_up):
            m.d.sync += address.eq(address + 1)

        # ---- one bit of the walk
        stored = Signal()
        # chosen a cycle ahead: a block RAM is slow to show its data
        m.d.sync += stored.eq(buffer.read_data.bit_select((bit + shift)[:3], 1))
        with m.If(~answering):
            m.d.comb += ones.eq(stored)
        with m.Elif(header):
            m.d.comb += ones.eq(
                Mux(
                    place == _HEADER + 3,
                    status.bit_select(bit, 1),
                    stored | ((place == _START + 1) & (bit == 7)),
                )
            )
        with m.Else():
            m.d.comb += ones.eq(Mux(tail, crc.crc[0], word[0]))
        with m.If(shift):
            m.d.sync += word.eq(Cat(word[1:], ones))
        with m.Elif(self.bus.done):
            m.d.sync += word.eq(self.bus.read_data)
        skipped = header & place[2] & (place[:2] != 3)  # payload bytes, walked through but not answered
        m.d.comb += [
            # the register moves on undisturbed by what goes out
            crc.data.eq(ones ^ (answering & tail)),
            crc.valid.eq(shift & (receiving | (answering & ~skipped))),
        ]

        # ---- a SAMPLE's offset plus length against the word that leaves while the offset comes
        m.d.comb += [
            check.clear.eq(rewind),
            check.step.eq(shift & header & place[2]),
            check.offset.eq(ones),
            check.length.eq((low == 0) & end.bit_select(bit, 1)),
            check.reference.eq(word[0]),
        ]

        # ---- frames: every one that has a beat is counted once
        spoiled = Signal()
        content, closing, good = Signal(), Signal(), Signal()
        full = header & ~place[7]  # MAX_PAYLOAD bytes and the CRC
        m.d.comb += [
            content.eq(given.valid & given.ready & ~given.payload.last),
            closing.eq(given.valid & given.ready & given.payload.last),
            good.eq(receiving & ~given.payload.bad & ~spoiled & crc.match_detected & ~(header & place[7])),
            buffer.write.address.eq(place),
            buffer.write.row.eq(given.payload.value),
            buffer.read_address.eq(place),
        ]
        with m.If(closing):
            m.d.sync += spoiled.eq(0)
        with m.Elif(content & (~receiving | full)):
            m.d.sync += spoiled.eq(1)
        m.d.sync += [self.frame_good.eq(closing & good), self.frame_dropped.eq(closing & ~good)]

        m.d.comb += [
            sent.payload.value.eq(word[24:]),
            self.bus.address.eq(address),
            self.bus.write.eq(is_write),
            self.bus.write_data.eq(word),
            self.sample.payload.value.eq(word[24:]),
        ]

        # ---- where a LOAD's next word goes
        m.d.comb += [chunks.first_store.eq(word[16:24]), chunks.first_chunk.eq(word[24:])]
        if self._loads:
            target = self.load.payload
            m.d.comb += [
                target.store.eq(chunks.store),
                target.row.eq(address),
                target.chunk.eq(chunks.chunk),
                target.data.eq(word[16:]),
            ]

        # ---- what happens next: one flip-flop a state, because no two states share logic
        names = (
            *("receive", "turn", "fetch", "pick", "shift", "act", "emit"),
            *("check", "ask", "wait", "load", "loaded", "sample"),
        )
        now = {name: Signal(name=f"in_{name}", init=name == "receive") for name in names}
        then = {name: Signal(name=f"to_{name}") for name in names}
        m.d.sync += [now[name].eq(then[name]) for name in names]

        def go(name: str) -> None:
            m.d.comb += then[name].eq(1)

        begin, code = Signal(), Signal(Answer)
        with m.If(begin):
            m.d.sync += [status.eq(code), answering.eq(1)]

        def answer(reason: Answer = Answer.OK, *, when: Value | int = 1) -> None:
            """With status `reason`, or OK."""
            m.d.comb += begin.eq(1)
            # bit by bit, so that reasons of different states meet in an OR
            m.d.comb += [part.eq(when) for number, part in enumerate(code) if reason >> number & 1]
            go("turn")

        def proceed() -> None:
            """Answer at the end of the payload, else go on."""
            with m.If(place == end):
                answer()
            with m.Else():
                go("fetch")

        m.d.comb += given.ready.eq(~receiving | now["receive"])
        with m.If(now["receive"]):
            with m.If(content & ~spoiled & ~full):
                m.d.comb += buffer.write.enable.eq(1)
                go("fetch")
            with m.Elif(closing):
                m.d.comb += [rewind.eq(1), crc.start.eq(1), address_home.eq(1)]
                m.d.sync += [receiving.eq(~good), end.eq(place - _CRC_BYTES)]
                with m.If(good):
                    go("fetch")
                with m.Else():
                    go("receive")
            with m.Else():
                go("receive")
        with m.If(now["turn"]):
            m.d.comb += [rewind.eq(1), crc.start.eq(1)]
            go("fetch")
        with m.If(now["fetch"]):
            # a READ finds its count at the end of the header as often as it needs it
            held = is_read & ~receiving & (~header | (place[:3] == 7))
            m.d.comb += buffer.read_enable.eq(~held)
            go("pick")
        with m.If(now["pick"]):
            go("shift")
        # In the states behind it `place` is the next byte: _START + 1 .. _HEADER + 3, then 0 and up. The header's
        # bytes differ in three bits.
        with m.If(now["shift"]):
            m.d.comb += shift.eq(1)
            with m.If(bit != 7):
                go("shift")
            with m.Elif(receiving):
                go("receive")
            with m.Elif(answering):
                go("emit")
            with m.Else():
                go("act")
        with m.If((now["act"] | now["emit"]) & header & (place[:3] == 6)):
            m.d.comb += [chunks.set.eq(1), address_set.eq(~is_sample)]
        words_sent, count_wrong = Signal(), Signal()  # of a READ, a cycle late
        count = buffer.read_data
        m.d.sync += [
            words_sent.eq(walk[5:11] == count[:6]),
            count_wrong.eq((count == 0) | (count > MAX_REGISTERS)),
        ]
        with m.If(now["emit"]):
            m.d.comb += [
                sent.valid.eq(~(header & place[2] & (low != 0))),
                sent.payload.last.eq(tail & ~header & (low == 0)),
            ]
            with m.If(sent.valid & ~sent.ready):
                go("emit")
            with m.Elif(header | (low != 0)):
                go("fetch")
            with m.Elif(tail):
                m.d.comb += [rewind.eq(1), crc.start.eq(1)]
                m.d.sync += [receiving.eq(1), answering.eq(0), tail.eq(0)]
                go("receive")
            with m.Elif(is_read & (status == Answer.OK)):
                go("ask")
            with m.Else():
                m.d.sync += tail.eq(1)
                go("fetch")
        begins = place[2:8] == 0
        with m.If(now["act"]):
            with m.If(header):
                with m.If(low == 0):
                    m.d.sync += [
                        flag.eq(word[24:] == opcode)
                        for flag, opcode in zip((is_read, is_write, is_load, is_sample), Opcode, strict=True)
                    ]
                    go("check")
                with m.Elif((low == 2) & is_load & chunks.foreign):
                    answer(Answer.ADDRESS)
                with m.Else():
                    go("fetch")
            with m.Elif(is_read):
                with m.If(low != 0):
                    go("fetch")
                with m.Elif(count_wrong):
                    answer(Answer.LENGTH)
                with m.Else():
                    go("ask")
            with m.Elif(is_write):
                with m.If(low == 2):
                    go("ask")
                with m.Else():
                    go("fetch")
            with m.Elif(is_load):
                with m.If(place[0]):
                    go("fetch")
                with m.Elif(~begins):
                    go("load")
                with m.Elif(~place[1]):
                    m.d.comb += address_set.eq(1)
                    go("fetch")
                with m.Else():
                    upper = max(16, rows) - 16
                    if upper:
                        m.d.sync += address[16:rows].eq(word[16:])
                    with m.If(word[16 + upper :].any()):
                        answer(Answer.ADDRESS)
                    with m.Else():
                        go("fetch")
            with m.Elif(~(begins & (low == 0))):
                go("sample")
            with m.Elif(address[0] & ~check.beyond):  # both registers were compared
                m.d.comb += address_home.eq(1)
                go("fetch")
            with m.Elif(~address[0] & check.beyond & ~check.other):
                m.d.comb += rewind.eq(1)
                go("fetch")
            with m.Else():
                answer(Answer.OFFSET, when=check.beyond)  # then it is a repeat
        with m.If(now["check"]):
            right = Signal()
            m.d.comb += right.eq(
                (is_read & (end == (_HEADER + 3) % 512))
                | (is_write & (end[7:] == 0) & (end[:2] == 2))
                | (is_load & ~end[8] & end[2:].any() & ~end[0])
                | (is_sample & ~end[8] & end.any())
            )
            with m.If(~(is_read | is_write | is_load | is_sample)):
                answer(Answer.OPCODE)
            with m.Elif(~right):
                answer(Answer.LENGTH)
            with m.Elif(self.busy & (is_load | (is_sample & self.sample_full))):
                answer(Answer.BUSY)
            with m.Elif(is_sample):
                go("ask")
            with m.Else():
                go("fetch")
        with m.If(now["ask"]):
            with m.If(is_read & words_sent & answering):
                m.d.sync += tail.eq(1)
                go("fetch")
            with m.Elif(is_read & words_sent):
                answer()
            with m.Elif(address[len(self.bus.address) :].any() & ~answering):
                answer(Answer.ADDRESS)
            with m.Else():
                m.d.comb += self.bus.enable.eq(1)
                go("wait")
        with m.If(now["wait"]):
            with m.If(~self.bus.done):
                go("wait")
            with m.Else():
                m.d.comb += address_up.eq(1)
                with m.If(self.bus.error & ~answering):
                    answer(Answer.ADDRESS)
                with m.Elif(is_write):
                    proceed()
                with m.Else():
                    go("fetch")
        if self._loads:
            with m.If(now["load"]):
                with m.If(address[rows:].any()):
                    answer(Answer.ADDRESS)
                with m.Else():
                    m.d.comb += self.load.valid.eq(1)
                    with m.If(self.load.ready):
                        go("loaded")
                    with m.Else():
                        go("load")
            with m.If(now["loaded"]):
                m.d.comb += [chunks.up.eq(1), address_up.eq(chunks.last)]
                with m.If(self.load_error):
                    answer(Answer.ADDRESS)
                with m.Else():
                    proceed()
        else:
            with m.If(now["load"]):
                answer(Answer.ADDRESS)
        with m.If(now["sample"]):
            m.d.comb += self.sample.valid.eq(1)
            with m.If(self.sample.ready):
                m.d.comb += address_home.eq(1)
                proceed()
            with m.Elif(address[PATIENCE]):
                answer(Answer.STALLED)
            with m.Else():
                m.d.comb += address_up.eq(1)
                go("sample")
        return m
