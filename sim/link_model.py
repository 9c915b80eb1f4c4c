# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a host link must answer and do, written from docs/host-link.md with the `cobs` package and zlib alone, and a
core behind it whose registers, stores and sample are rules short enough for hardware and for Python."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from cobs import cobs

from ds2ta.fpga.link import HostLink
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.stores import StoreShape, store_shapes
from ds2ta.hw.uart import received_layout

__all__ = ["CoreRules", "LinkBench", "LinkModel", "wire"]

_FACTOR, _OFFSET = 0x9E3779B1, 0x7F4A7C15
_SAMPLE_BYTES, _SAMPLE_LENGTH = 0x007, 0x008
_READ, _WRITE, _LOAD, _SAMPLE = 1, 2, 3, 4
_OK, _UNKNOWN, _LENGTH, _ADDRESS, _BUSY, _OFFSET_STATUS, _STALLED = range(7)


def wire(body: bytes, *, crc: int = 0) -> bytes:
    """The bytes of a frame on the line, with its delimiter; `crc` is XORed to the right one."""
    return cobs.encode(body + (zlib.crc32(body) ^ crc).to_bytes(4, "little")) + b"\0"


@dataclass
class CoreRules:
    """A core for tests. Register `a` reads a multiple of a, four in sixteen do not exist, every eighth is read
    only; the registers of the sample are what a test sets them to."""

    shapes: Mapping[str, StoreShape]
    sample_bytes: int = 0
    sample_length: int = 64
    busy: bool = False
    sample_full: bool = False
    stuck: bool = False  # takes no sample byte

    def read(self, address: int) -> int | None:
        if address in (_SAMPLE_BYTES, _SAMPLE_LENGTH):
            return self.sample_bytes if address == _SAMPLE_BYTES else self.sample_length
        return None if address >> 14 or address >> 4 & 3 == 3 else (address * _FACTOR + _OFFSET) % (1 << 32)

    def writable(self, address: int) -> bool:
        return self.read(address) is not None and address & 7 != 7

    def holds(self, store: int, row: int, chunk: int) -> bool:
        shape = next((shape for shape in self.shapes.values() if shape.number == store), None)
        return shape is not None and shape.loadable and row < shape.rows and chunk < shape.chunks

    def chunks(self, store: int) -> int:
        return next(shape.chunks for shape in self.shapes.values() if shape.number == store)


@dataclass
class LinkModel:
    """The link as its page describes it. `take` has one frame; the attributes say what must have happened since."""

    core: CoreRules
    good: int = 0
    dropped: int = 0
    writes: list[tuple[int, int]] = field(default_factory=list)  # address, value: accesses that wrote
    loads: list[tuple[int, int, int, int]] = field(default_factory=list)  # store, row, chunk, data: words taken
    samples: list[int] = field(default_factory=list)

    def answer(self, frame: bytes) -> bytes:
        """The body of the response to a whole good frame."""
        body = self.take(frame)
        assert body is not None, "a good frame"
        return body

    def take(self, frame: bytes, *, spoiled: bool = False) -> bytes | None:
        """What stands between two delimiters -> the body of the response, if there is one."""
        if not frame and not spoiled:
            return None
        try:
            body = None if spoiled else cobs.decode(frame)
        except cobs.DecodeError:
            body = None
        if body is None or not 6 <= len(body) <= 262 or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]:
            self.dropped += 1
            return None
        self.good += 1
        status, content = self._act(body[1], body[2:-4])
        return bytes([body[0], body[1] | 0x80, status]) + content

    def lose(self) -> None:
        """A frame that came while another was acted upon."""
        self.dropped += 1

    def _act(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        acts = {_READ: self._read, _WRITE: self._write, _LOAD: self._load, _SAMPLE: self._sample}
        return acts[kind](payload) if kind in acts else (_UNKNOWN, b"")

    def _read(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) != 3 or not 1 <= payload[2] <= 32:
            return _LENGTH, b""
        first = int.from_bytes(payload[:2], "little")
        data = b""
        for index in range(payload[2]):
            if (word := self.core.read(first + index)) is None:
                return _ADDRESS, b""
            data += word.to_bytes(4, "little")
        return _OK, data

    def _write(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) % 4 != 2 or not 6 <= len(payload) <= 130:
            return _LENGTH, b""
        first = int.from_bytes(payload[:2], "little")
        for index in range(len(payload) // 4):
            if not self.core.writable(first + index):
                return _ADDRESS, b""
            self.writes.append((first + index, int.from_bytes(payload[2 + 4 * index : 6 + 4 * index], "little")))
        return _OK, b""

    def _load(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) < 8 or len(payload) % 2:
            return _LENGTH, b""
        if self.core.busy:
            return _BUSY, b""
        store, chunk, row = payload[0], payload[1], int.from_bytes(payload[2:6], "little")
        for at in range(6, len(payload), 2):
            if not self.core.holds(store, row, chunk):
                return _ADDRESS, b""
            self.loads.append((store, row, chunk, int.from_bytes(payload[at : at + 2], "little")))
            chunk += 1
            if chunk == self.core.chunks(store):
                chunk, row = 0, row + 1
        return _OK, b""

    def _sample(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) < 5:
            return _LENGTH, b""
        core = self.core
        if core.busy and core.sample_full:
            return _BUSY, b""
        offset, content = int.from_bytes(payload[:4], "little"), payload[4:]
        if offset + len(content) <= core.sample_bytes:
            return _OK, b""
        if offset != core.sample_bytes or offset + len(content) > core.sample_length:
            return _OFFSET_STATUS, b""
        if core.stuck:
            return _STALLED, b""
        self.samples += content
        return _OK, b""


class LinkBench(wiring.Component):
    """HostLink on the core of `CoreRules`, as hardware, for benches that drive it without waking Python each cycle.

    `stall` n > 0 makes every side wait: each stream and the bus go on in about one of 2**n cycles. The other inputs
    are the attributes of `CoreRules`. The traces show each access that wrote, each store word and sample byte
    that was taken, and `trace_refused` each access that ended with an error."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self._link = HostLink(machine)
        self._load = self._link.load.payload.shape()
        super().__init__(
            {
                "i": In(stream.Signature(received_layout())),
                "o": Out(stream.Signature(data.StructLayout({"value": 8, "last": 1}))),
                "stall": In(3),
                "sample_bytes": In(32),
                "sample_length": In(32),
                "busy": In(1),
                "sample_full": In(1),
                "stuck": In(1),
                "frames_good": Out(32),
                "frames_dropped": Out(32),
                "trace_write": Out(32),
                "trace_write_address": Out(14),
                "trace_write_valid": Out(1),
                "trace_refused": Out(14),
                "trace_refused_valid": Out(1),
                "trace_load": Out(self._load.size),
                "trace_load_valid": Out(1),
                "trace_sample": Out(8),
                "trace_sample_valid": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.link = link = self._link
        # a maximal-length shift register of 23 bits is the source of all stalls
        chance = Signal(23, init=1)
        m.d.sync += chance.eq(chance << 1 | (chance[22] ^ chance[17]))
        go = [Signal(name=f"go_{index}") for index in range(5)]
        for index, side in enumerate(go):
            m.d.comb += side.eq((chance[index * 4 :] & ((1 << self.stall) - 1)) == 0)
        m.d.comb += [
            link.i.valid.eq(self.i.valid & go[0]),
            link.i.payload.eq(self.i.payload),
            self.i.ready.eq(link.i.ready & go[0]),
            self.o.valid.eq(link.o.valid & go[1]),
            self.o.payload.value.eq(link.o.payload.value),
            self.o.payload.last.eq(link.o.payload.value == 0),
            link.o.ready.eq(self.o.ready & go[1]),
            link.busy.eq(self.busy),
            link.sample_full.eq(self.sample_full),
        ]
        m.d.sync += [
            self.frames_good.eq(self.frames_good + link.frame_good),
            self.frames_dropped.eq(self.frames_dropped + link.frame_dropped),
        ]
        # ---- registers: an access is kept until its turn
        open_, write, address, value = Signal(), Signal(), Signal(14), Signal(32)
        with m.If(link.bus.enable):
            m.d.sync += [open_.eq(1), write.eq(link.bus.write)]
            m.d.sync += [address.eq(link.bus.address), value.eq(link.bus.write_data)]
        of_sample = (address == _SAMPLE_BYTES) | (address == _SAMPLE_LENGTH)
        missing = ~of_sample & (address[4:6] == 3)
        refused = missing | (write & (address[:3] == 7))
        done = open_ & go[2]
        m.d.comb += link.bus.done.eq(done)
        with m.If(done):
            m.d.sync += open_.eq(0)
            m.d.comb += [
                link.bus.error.eq(refused),
                link.bus.read_data.eq(
                    Mux(
                        of_sample,
                        Mux(address == _SAMPLE_BYTES, self.sample_bytes, self.sample_length),
                        address * _FACTOR + _OFFSET,
                    )
                ),
            ]
        # what describes an access must not change before its end
        steady = (link.bus.address == address) & (link.bus.write == write) & (link.bus.write_data == value)
        m.d.comb += [
            self.trace_write.eq(value),
            self.trace_write_address.eq(address),
            self.trace_write_valid.eq(done & write & ~refused & steady),
            self.trace_refused.eq(address),
            self.trace_refused_valid.eq(done & (refused | ~steady)),
        ]
        # ---- stores
        word = link.load.payload
        outside = Signal(init=0)
        m.d.comb += outside.eq(1)
        with m.Switch(word.store):
            for shape in store_shapes(self._machine).values():
                with m.Case(shape.number):
                    if shape.loadable:
                        m.d.comb += outside.eq((word.row >= shape.rows) | (word.chunk >= shape.chunks))
        taken = link.load.valid & link.load.ready
        m.d.comb += [
            link.load.ready.eq(go[3]),
            self.trace_load.eq(word),
            self.trace_load_valid.eq(taken & ~outside),
        ]
        m.d.sync += link.load_error.eq(taken & outside)
        # ---- sample
        m.d.comb += [
            link.sample.ready.eq(go[4] & ~self.stuck),
            self.trace_sample.eq(link.sample.payload.value),
            self.trace_sample_valid.eq(link.sample.valid & link.sample.ready),
        ]
        return m
