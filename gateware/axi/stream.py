# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""AXI4-Stream to the core: packets of sample bytes in, packets of result words out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.gateware.axi.lite import access_signature
from ds2ta.gateware.registers import REGISTERS
from ds2ta.hw.head import logit_layout

__all__ = ["PacketStreams", "closing_layout", "packet_layout"]

_WORD = 32
_APART = 32  # cycles between two packets that the core counts
_STATUS = {field.name: field for field in REGISTERS["status"].fields}


def packet_layout(width: int) -> data.StructLayout:
    """One beat: TDATA and TLAST."""
    return data.StructLayout({"data": width, "last": 1})


def closing_layout() -> data.StructLayout:
    """The last word of a result packet. `valid`: the packet is a whole answer and `class_index` its class;
    `trusted`: as `status.result_trusted`; `early`, `late`: TLAST of the sample came before or after its last byte;
    `cut`: a core_reset came in between. Without `valid` there may be fewer logits, and they mean nothing."""
    return data.StructLayout(
        {"class_index": 16, "valid": 1, "trusted": 1, "early": 1, "late": 1, "cut": 1, "reserved": 11}
    )


class _Packet:
    """The sample packet at hand, its last beat, and what its answer will say."""

    def __init__(self, streams: "PacketStreams", count_width: int):
        self.full = Signal()  # `beat` waits to be used
        self.beat = Signal.like(streams.i.payload)
        self.left = Signal(count_width)  # bytes after the one at hand
        self.begun = Signal()  # the core has bytes of this packet
        self.ended = Signal()  # its TLAST has come
        self.closing = Signal(closing_layout())
        self.rest = Signal(range(_APART))  # cycles until the core can count another packet


class PacketStreams(wiring.Component):
    """Takes samples as packets and answers each packet, good or bad, with exactly one packet, in order.

    A sample packet has `sample_length` bytes (the register, read when the first byte is there), TLAST on the last.
    Its answer is one sign-extended word for each logit and a closing word (`closing_layout`) with TLAST. A packet
    whose TLAST comes too early, or not on the last byte, is dropped up to its TLAST; the byte with which it was
    found wrong does not reach the core, and if others did, the core is reset (register `command`), so that nothing
    of the packet stays; its answer is the closing word alone. A `core_reset` by the host (`cut`) ends the packet
    likewise: the rest of the sample is dropped, the answer closed where it is. No state waits for anything but the
    core, the sink, or the source's next beat, and a `core_reset` ends the wait for the core.

    Latency: the register is asked for 2 cycles after the first byte was taken, and the byte offered to the core in
    the cycle after that access. A logit leaves one cycle after the core gave it; when `busy` is low, the status is
    asked for in the next cycle, and the closing word is offered 2 cycles after that access. Throughput: a beat
    every other cycle on either stream, a packet every 40 cycles at most. No path leads from an input to an output
    of a stream.

    Parameters: `logit_width` (at most 32), `max_classes`: those of the core's `result`; `count_width`: bits of
    `sample_length`.

    Members: `i`: sample beats; `o`: result beats; `sample`, `result`, `busy`: of the core; `bus`: accesses; `cut`:
    the host's core_reset begins; `engaged`: a sample is going to the core; pulses `answered` (a good answer is in
    the registers), `was_early`, `was_late`, and with each closing word `good` or `dropped`.
    """

    def __init__(self, *, logit_width: int, max_classes: int, count_width: int):
        if logit_width > _WORD:
            raise FitError(
                f"logit_width: {logit_width} is too wide for result words of {_WORD} bits; use a machine with "
                f"logit_width <= {_WORD}"
            )
        self._count_width = count_width
        super().__init__(
            {
                "i": In(stream.Signature(packet_layout(8))),
                "o": Out(stream.Signature(packet_layout(_WORD))),
                "sample": Out(stream.Signature(data.StructLayout({"value": 8}))),
                "result": In(stream.Signature(logit_layout(logit_width, max_classes))),
                "busy": In(1),
                "bus": Out(access_signature()),
                "cut": In(1),
                "engaged": Out(1),
                "answered": Out(1),
                "was_early": Out(1),
                "was_late": Out(1),
                "good": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        now = _Packet(self, self._count_width)
        m.d.comb += self.i.ready.eq(~now.full)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [now.full.eq(1), now.beat.eq(self.i.payload)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.sync += now.rest.eq(now.rest - now.rest.any())
        m.d.comb += self.sample.payload.value.eq(now.beat.data)
        with m.FSM():
            self._begin(m, now)
            self._hand_over(m, now)
            self._drop(m, now)
            self._answer(m, now)
            self._close(m, now)
        return m

    def _begin(self, m: Module, now: _Packet) -> None:
        """With the first byte of a packet, how many it must have."""
        with m.State("IDLE"):
            m.d.sync += [now.closing.eq(0), now.begun.eq(0), now.ended.eq(0)]
            with m.If(now.full & ~now.rest.any()):
                m.next = "LENGTH"
        with m.State("LENGTH"):
            self._read(m, "sample_length")
            with m.If(self.bus.done):
                m.d.sync += now.left.eq(self.bus.read_data - 1)
                m.next = "BYTE"
                with m.If(self.bus.read_data == 0):  # no model: any byte is one too many
                    m.d.comb += self.was_late.eq(1)
                    m.d.sync += now.closing.late.eq(1)
                    m.next = "DROP"

    def _hand_over(self, m: Module, now: _Packet) -> None:
        """Bytes to the core, until TLAST comes on the last, on another one, or not at all."""
        with m.State("BYTE"):
            m.d.comb += self.engaged.eq(1)
            with m.If(self.cut & now.begun):
                m.d.sync += now.closing.cut.eq(1)
                m.next = "DROP"
            with m.Elif(self.cut):  # nothing lost yet: begin again behind the reset
                m.next = "IDLE"
            with m.Elif(now.full & (now.beat.last == (now.left == 0))):
                m.d.comb += self.sample.valid.eq(1)
                with m.If(self.sample.ready):
                    m.d.sync += [now.full.eq(0), now.left.eq(now.left - 1), now.begun.eq(1)]
                    with m.If(now.beat.last):
                        m.next = "RESULT"
            with m.Elif(now.full):
                m.d.comb += [self.was_early.eq(now.beat.last), self.was_late.eq(~now.beat.last)]
                m.d.sync += [
                    now.closing.early.eq(now.beat.last),
                    now.closing.late.eq(~now.beat.last),
                    now.ended.eq(now.beat.last),
                    now.full.eq(0),
                ]
                m.next = "ABORT"

    def _drop(self, m: Module, now: _Packet) -> None:
        """A packet that went wrong: a reset of the core if it has bytes of it, then its rest is dropped."""
        with m.State("ABORT"):
            m.d.comb += [
                self.bus.request.eq(now.begun),
                self.bus.write.eq(1),
                self.bus.address.eq(REGISTERS["command"].address),
                self.bus.write_data.eq(REGISTERS["command"].encode(core_reset=1)),
            ]
            with m.If(self.bus.done | ~now.begun):
                m.next = "DROP"
        with m.State("DROP"):
            with m.If(now.ended):
                m.next = "CLOSE"
            with m.Elif(now.full):
                m.d.sync += [now.full.eq(0), now.ended.eq(now.beat.last)]

    def _answer(self, m: Module, now: _Packet) -> None:
        """The logits as they come, then, when the core is done, what its status says of them."""
        with m.State("RESULT"):
            m.d.comb += [self.engaged.eq(1), self.result.ready.eq(~self.o.valid)]
            with m.If(self.result.valid & self.result.ready):
                m.d.sync += self._send(self.result.payload.logit.as_signed(), last=0)
                m.d.sync += now.closing.class_index.eq(self.result.payload.class_index)
                with m.If(self.result.payload.last):
                    m.next = "WAIT"
            self._cut_answer(m, now)
        with m.State("WAIT"):  # until the counters of the sample are complete, too
            m.d.comb += self.engaged.eq(1)
            with m.If(~self.busy):
                m.next = "STATUS"
            self._cut_answer(m, now)
        with m.State("STATUS"):
            m.d.comb += self.engaged.eq(1)
            self._read(m, "status")
            valid = self._status("result_valid")
            with m.If(self.bus.done):
                m.d.comb += self.answered.eq(valid)
                m.d.sync += [
                    now.closing.valid.eq(valid),
                    now.closing.trusted.eq(valid & self._status("result_trusted")),
                    now.closing.cut.eq(~valid),  # the host's reset went first
                ]
                m.next = "CLOSE"

    def _cut_answer(self, m: Module, now: _Packet) -> None:
        """A core_reset ends the wait for the core."""
        with m.If(self.cut):
            m.d.sync += now.closing.cut.eq(1)
            m.next = "CLOSE"

    def _close(self, m: Module, now: _Packet) -> None:
        """The closing word."""
        with m.State("CLOSE"), m.If(~self.o.valid):
            word = Signal(closing_layout())
            m.d.comb += [
                word.eq(now.closing),
                word.class_index.eq(Mux(now.closing.valid, now.closing.class_index, 0)),
                self.good.eq(now.closing.valid),
                self.dropped.eq(~now.closing.valid),
            ]
            m.d.sync += [*self._send(word.as_value(), last=1), now.rest.eq(_APART - 1)]
            m.next = "IDLE"

    def _send(self, word, *, last) -> list:
        return [self.o.valid.eq(1), self.o.payload.data.eq(word), self.o.payload.last.eq(last)]

    def _read(self, m: Module, register: str) -> None:
        m.d.comb += [self.bus.request.eq(1), self.bus.address.eq(REGISTERS[register].address)]

    def _status(self, field: str):
        return self.bus.read_data[_STATUS[field].low]
