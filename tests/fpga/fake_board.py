# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A board in plain Python, written from docs/host-link.md and docs/registers.md alone, and a line that can be bad.

It shares no code with the driver: COBS, frames and addresses are spelled out here. Its core is the slow golden
model, which answers rightly only while the memories hold what the host says they must hold.
"""

import struct
import time
import zlib
from collections.abc import Callable
from typing import get_args

from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.registers import MACHINE_KEYS
from ds2ta.gateware.stores import store_shapes
from ds2ta.golden import slow

OK, UNKNOWN, LENGTH, ADDRESS, BUSY, OFFSET, STALLED = range(7)
_WORK = 2  # reads of the status until a result is there


def cobs_decode(frame: bytes) -> bytes | None:
    """None for what is not COBS."""
    out, at = bytearray(), 0
    while at < len(frame):
        code = frame[at]
        block = frame[at + 1 : at + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            return None
        out += block
        at += code
        if code < 255 and at < len(frame):
            out.append(0)
    return bytes(out)


def cobs_encode(body: bytes) -> bytes:
    out = bytearray()
    for block in body.split(b"\0"):
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
        out += bytes([len(block) + 1]) + block
    return bytes(out)


class FakeBoard:
    """`models`: those whose samples it can response, found by their digest."""

    def __init__(self, machine, models: dict[str, object], *, clock_hz: int = 24_000_000):
        self.machine, self.models = machine, models
        self.shapes = list(store_shapes(machine).values())
        words = [
            get_args(field.annotation).index(value) if get_args(field.annotation) else value
            for field, value in ((type(machine).model_fields[key], getattr(machine, key)) for key in MACHINE_KEYS)
        ]
        self.constants = {0x000: 0x41543244, 0x001: 1 << 16, 0x002: clock_hz}
        self.constants |= {0x040 + n: (words + [0] * 64)[n] for n in range(64)}
        self.settings = dict.fromkeys([0x008, 0x00D, *range(0x010, 0x018), *range(0x030, 0x038)], 0)
        self.memory: list[dict[tuple[int, int], int]] = [{} for _ in self.shapes]
        self.frames_good = self.frames_dropped = 0
        self.received = b""
        self.log: list[tuple[int, int]] = []  # kind and status of every request that was acted upon
        self.stalls = False  # the core takes no byte
        self.hangs = False  # the core gives no result
        self.reset_core()
        self.restart()

    # ---- line

    def feed(self, data: bytes) -> list[bytes]:
        """Answers to the frames that these bytes complete, each on the wire."""
        *frames, self.received = (self.received + data).split(b"\0")
        return [response for frame in frames if frame and (response := self._frame(frame))]

    def _frame(self, frame: bytes) -> bytes | None:
        body = cobs_decode(frame)
        if (
            body is None
            or not 6 <= len(body) <= 262
            or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little")
        ):
            self.frames_dropped += 1
            return None
        self.frames_good += 1
        sequence, kind, payload = body[0], body[1], body[2:-4]
        act = {1: self._read, 2: self._write, 3: self._load, 4: self._sample}.get(kind)
        status, response = act(payload) if act else (UNKNOWN, b"")
        self.log.append((kind, status))
        body = bytes([sequence, kind | 0x80, status]) + response
        return cobs_encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"

    # ---- requests

    def _read(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) != 3 or not 1 <= payload[2] <= 32:
            return LENGTH, b""
        address, count = struct.unpack("<HB", payload)
        words = [self.register(address + n) for n in range(count)]
        if None in words:
            return ADDRESS, b""
        return OK, struct.pack(f"<{count}I", *words)

    def _write(self, payload: bytes) -> tuple[int, bytes]:
        count, rest = divmod(len(payload) - 2, 4)
        if rest or not 1 <= count <= 32:
            return LENGTH, b""
        address, *values = struct.unpack(f"<H{count}I", payload)
        for number, value in enumerate(values, address):
            if number == 0x004:
                if value & 1:
                    self.reset_core()
                if value & 4:
                    self.restart()
            elif number in self.settings:
                self.settings[number] = value
                if 0x010 <= number < 0x018:
                    self.restart()
            else:
                return ADDRESS, b""
        return OK, b""

    def _load(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) < 8 or len(payload) % 2:
            return LENGTH, b""
        store, chunk, row, *words = struct.unpack(f"<BBI{(len(payload) - 6) // 2}H", payload)
        if self.busy:
            return BUSY, b""
        shape = self.shapes[store] if store < len(self.shapes) else None
        for word in words:
            if shape is None or row >= shape.rows or chunk >= shape.chunks or not shape.loadable:
                return ADDRESS, b""
            self.memory[store][row, chunk] = word
            self.restart()
            row, chunk = (row, chunk + 1) if chunk + 1 < shape.chunks else (row + 1, 0)
        return OK, b""

    def _sample(self, payload: bytes) -> tuple[int, bytes]:
        if len(payload) < 5:
            return LENGTH, b""
        (offset,), data = struct.unpack("<I", payload[:4]), payload[4:]
        if offset + len(data) <= len(self.sample):
            return OK, b""
        if self.working:
            return BUSY, b""
        if self.stalls:
            return STALLED, b""
        if offset != len(self.sample) or offset + len(data) > self.settings[0x008]:
            return OFFSET, b""
        if not self.sample:
            self.valid, self.good_from_start = False, self.good()
        self.sample += data
        if len(self.sample) == self.settings[0x008]:
            self.working = _WORK
        return OK, b""

    # ---- core and memory check

    def reset_core(self) -> None:
        self.sample, self.working, self.valid, self.number = b"", 0, False, 0
        self.class_index, self.logits, self.counters, self.good_from_start = 0, [], [], False

    @property
    def busy(self) -> bool:
        return bool(self.sample)

    def restart(self) -> None:
        self.scans, self.scanned, self.latched, self.scan_at = 0, False, 0, 0

    def crc(self, store: int) -> int:
        rows, chunks = self.settings[0x010 + store], self.shapes[store].chunks
        words = [self.memory[store].get((row, chunk), 0) for row in range(rows) for chunk in range(chunks)]
        return zlib.crc32(struct.pack(f"<{len(words)}H", *words))

    def scan(self) -> None:
        """One store; the next time the next one."""
        self.latched |= (self.crc(self.scan_at) != self.settings[0x014 + self.scan_at]) << self.scan_at
        self.scan_at = (self.scan_at + 1) % len(self.shapes)
        if not (self.scan_at or self.latched):
            self.scanned, self.scans = True, self.scans + 1

    def good(self) -> bool:
        return self.scanned and not self.latched

    def finish(self) -> None:
        """The result of the sample: right only while the memories are."""
        digest = struct.pack("<8I", *(self.settings[0x030 + n] for n in range(8))).hex()
        model = self.models[digest]
        height, width, channels = (getattr(model.network.input, key) for key in ("height", "width", "channels"))
        image = slow.np.frombuffer(self.sample, slow.np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
        trace = slow.run(model, image)
        self.logits = [int(value) for value in trace["logits"]]
        if any(self.crc(store) != self.settings[0x014 + store] for store in range(len(self.shapes))):
            self.logits = [-value for value in self.logits]
        self.class_index = self.logits.index(max(self.logits))
        self.counters = predict(compile_model(model, self.machine), self.machine, image, trace)
        self.sample, self.working, self.valid, self.number = b"", 0, True, self.number + 1
        self.trusted = self.good_from_start and self.good()

    def register(self, address: int) -> int | None:
        if address in self.constants:
            return self.constants[address]
        if address in self.settings:
            return self.settings[address]
        if address == 0x003:
            if self.working and not self.hangs:
                self.working -= 1
                if not self.working:
                    self.finish()
            elif not self.sample:
                self.scan()
            trusted = self.valid and self.trusted and not self.latched
            state = self.busy | (0 < len(self.sample) < self.settings[0x008]) << 1 | self.valid << 2 | trusted << 3
            return state | self.good() << 4 | bool(self.latched) << 5 | self.latched << 8
        plain = {
            0x005: self.class_index,
            0x006: self.number,
            0x007: len(self.sample),
            0x009: 3,
            0x00A: self.frames_good,
            0x00B: self.frames_dropped,
            0x00C: self.scans % (1 << 16),
        }
        if address in plain:
            return plain[address]
        if 0x018 <= address < 0x024:
            store, which = address % 4, (address - 0x018) // 4
            return (self.crc(store), self.shapes[store].rows, self.shapes[store].chunks)[which]
        if 0x100 <= address < 0x100 + self.machine.max_classes:
            return (self.logits[address - 0x100] if address - 0x100 < len(self.logits) else 0) & 0xFFFF_FFFF
        index, kind = divmod(address - 0x800, 4)
        if 0 <= index < self.machine.instructions:
            counted = self.counters[index] if index < len(self.counters) else None
            return [counted.cycles, counted.events, counted.rows, 0][kind] if counted else 0
        return None


class FakePort:
    """What the driver takes for a `serial.Serial`, with a `FakeBoard` behind it. `fault(direction, wire)` is given
    every write ("to") and every response ("from") and returns the pieces that pass."""

    def __init__(self, board: FakeBoard, fault: Callable[[str, bytes], list[bytes]] | None = None):
        self.board, self.fault = board, fault or (lambda direction, wire: [wire])
        self.buffer = b""
        self.gone = False

    @property
    def in_waiting(self) -> int:
        return len(self.buffer)

    def write(self, data: bytes) -> int:
        if self.gone:
            raise OSError(5, "Input/output error")
        for piece in self.fault("to", data):
            for response in self.board.feed(piece):
                self.buffer += b"".join(self.fault("from", response))
        return len(data)

    def read(self, size: int) -> bytes:
        if self.gone:
            raise OSError(5, "Input/output error")
        if not self.buffer:
            time.sleep(0.002)
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def close(self) -> None:
        self.gone = True
