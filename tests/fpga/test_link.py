# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The host link against its page: thousands of frames, good ones and every kind of bad one, on emitted Verilog."""

import random

import pytest
from cobs import cobs

from ds2ta.fpga.link import HostLink
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.stores import load_layout, store_shapes
from ds2ta.sim.build import run_bench
from ds2ta.sim.link_model import CoreRules, LinkBench, LinkModel, wire
from ds2ta.sim.rtl import Rtl
from ds2ta.sim.stream import unpack

READ, WRITE, LOAD, SAMPLE = 1, 2, 3, 4
OK, UNKNOWN, LENGTH, ADDRESS, BUSY, OFFSET, STALLED = range(7)
BAD = 1 << 8  # of a byte from the line

# The row numbers of the first machine fill their bits, so running on past the last row wraps; those of the second
# have more than 16 bits.
SMALL = Machine(weights="ram", tables="ram", weight_rows=64, parameter_rows=9, denoiser_entries=64, instructions=8)
LARGE = Machine(weights="ram", tables="ram", weight_rows=70_000, lanes=64, row_lanes=32, drain_lanes=32)
PART = Machine(weights="ram", tables="rom", weight_rows=5)
BANDED = Machine(weights="ram", tables="ram", weight_rows=64, parameter_rows=9, bank_a_rows=64)


class Bench:
    """HostLink at the byte level beside its model. Everything that is sent is also told to the model."""

    def __init__(self, machine: Machine, *, seed: int = 1):
        self.rules = CoreRules(store_shapes(machine))
        self.model = LinkModel(self.rules)
        self.random = random.Random(seed)
        self.rtl = Rtl(LinkBench(machine))
        self._load = load_layout(machine)
        self.set(sample_length=self.rules.sample_length)

    def set(self, **inputs: int) -> None:
        for name, value in inputs.items():
            if hasattr(self.rules, name):
                setattr(self.rules, name, value)
            self.rtl.set(name, int(value))

    def send(self, symbols) -> None:
        self.rtl.send("i", list(symbols), limit=200_000)

    def feed(self, symbols) -> int:
        """Send symbols (bytes, with BAD or without), frame by frame as a host does that waits for each response.
        Returns how many responses came; each was the right one, and what had to happen, happened."""
        waiting: list[int] = []
        responses = 0
        frame: list[int] = []
        for symbol in symbols:
            waiting.append(symbol)
            if symbol:
                frame.append(symbol)
                continue
            spoiled = any(item & BAD for item in frame)
            response = self.model.take(bytes(item & 255 for item in frame), spoiled=spoiled)
            frame = []
            if response is not None:
                self.send(waiting)
                waiting = []
                self.check(response)
                responses += 1
        self.send(waiting)
        assert not frame, "a frame without its end"
        return responses

    def check(self, *responses: bytes, limit: int = 400_000) -> None:
        """Run until so many responses came, then compare everything since the last check."""
        seen: dict[str, list[int]] = {}
        for _ in responses:
            self.rtl.run("o", limit=limit)
            for beats in self.rtl.collect().values():
                for port, values in beats.values.items():
                    seen.setdefault(port, []).extend(values)
        assert bytes(word & 255 for word in seen["o__payload"]) == b"".join(map(wire, responses))
        self.compare(seen)

    def compare(self, seen: dict[str, list[int]]) -> None:
        model = self.model
        assert list(zip(seen["trace_write_address"], seen["trace_write"], strict=True)) == model.writes
        words = [unpack(self._load, word) for word in seen["trace_load"]]
        assert [(word["store"], word["row"], word["chunk"], word["data"]) for word in words] == model.loads
        assert seen["trace_sample"] == model.samples
        model.writes, model.loads, model.samples = [], [], []

    def quiet(self) -> None:
        """Nothing more comes, and the counts are right."""
        self.rtl.advance(20_000)
        for name, beats in self.rtl.collect().items():
            assert len(beats) == 0, name
        assert self.rtl.get("frames_good") == self.model.good
        assert self.rtl.get("frames_dropped") == self.model.dropped


@pytest.fixture(scope="module", params=["small", "large"])
def bench(request):
    found = Bench({"small": SMALL, "large": LARGE}[request.param])
    yield found
    found.rtl.close()


@pytest.fixture(autouse=True)
def fresh(request):
    """Tests share simulators, and begin with the same core and no stalls."""
    if "bench" in request.fixturenames:
        found = request.getfixturevalue("bench")
        found.set(sample_bytes=0, sample_length=64, busy=0, sample_full=0, stuck=0, stall=0)


def request(kind: int, payload: bytes = b"", sequence: int = 0x5A) -> bytes:
    return bytes([sequence, kind]) + payload


def load_request(store: int, chunk: int, row: int, count: int) -> bytes:
    words = bytes(37 * index % 256 for index in range(2 * count))
    return request(LOAD, bytes([store, chunk]) + row.to_bytes(4, "little") + words)


def sample_request(offset: int, content: bytes) -> bytes:
    return request(SAMPLE, offset.to_bytes(4, "little") + content)


def status(bench: Bench, body: bytes, limit: int = 400_000) -> int:
    """Ask, have the response compared with the model's, return its status."""
    frame = wire(body)
    before = (bench.model.good, bench.model.dropped)
    response = bench.model.answer(frame[:-1])
    bench.send(frame)
    bench.check(response, limit=limit)
    assert (bench.model.good, bench.model.dropped) == (before[0] + 1, before[1])
    return response[2]


def test_reads(bench):
    for count in (0, 1, 2, 16, 31, 32, 33, 64, 65, 255):  # 48 from a multiple of 64 exist
        assert status(bench, request(READ, bytes([0x40, 0, count]))) == (OK if 1 <= count <= 32 else LENGTH)
    for first, count, expected in [
        (0x0000, 32, OK),
        (0x002F, 1, OK),
        (0x002F, 2, ADDRESS),
        (0x0030, 1, ADDRESS),
        (0x003F, 2, ADDRESS),
        (0x3FEF, 1, OK),
        (0x3FF0, 1, ADDRESS),
        (0x4000, 1, ADDRESS),  # 14 bits are the whole map
        (0x8007, 1, ADDRESS),
        (0xFFFF, 1, ADDRESS),
        (0xFFFF, 32, ADDRESS),
    ]:
        assert status(bench, request(READ, first.to_bytes(2, "little") + bytes([count]))) == expected, hex(first)
    for payload in (b"", b"\x00", b"\x00\x00", b"\x00\x00\x01\x00", bytes(7), bytes(256)):
        assert status(bench, request(READ, payload)) == LENGTH
    bench.quiet()


def test_writes(bench):
    for first, count, expected in [
        (0x0000, 1, OK),
        (0x0000, 7, OK),
        (0x0000, 8, ADDRESS),  # the eighth is read only: seven took effect
        (0x0007, 1, ADDRESS),
        (0x0028, 7, OK),
        (0x3FE8, 7, OK),
        (0x4000, 3, ADDRESS),
        (0xFFFF, 2, ADDRESS),
    ]:
        values = b"".join((0x01020304 * (index + 1)).to_bytes(4, "little") for index in range(count))
        assert status(bench, request(WRITE, first.to_bytes(2, "little") + values)) == expected, hex(first)
    for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 129, 131, 133, 134, 135, 255, 256):
        assert status(bench, request(WRITE, bytes(size))) == LENGTH, size
    assert status(bench, request(WRITE, bytes(130))) == ADDRESS  # 32 words are no wrong length
    bench.quiet()


def test_loads(bench):
    for shape in bench.rules.shapes.values():
        store, chunks, rows = shape.number, shape.chunks, shape.rows
        assert status(bench, load_request(store, 0, 0, 1)) == OK
        assert status(bench, load_request(store, chunks - 1, rows - 1, 1)) == OK
        assert status(bench, load_request(store, chunks - 1, rows - 1, 2)) == ADDRESS
        assert status(bench, load_request(store, chunks, 0, 1)) == ADDRESS
        assert status(bench, load_request(store, 255, 0, 1)) == ADDRESS
        assert status(bench, load_request(store, 0, rows, 1)) == ADDRESS
        assert status(bench, load_request(store, 0, max(0, rows - 2), 125)) in (OK, ADDRESS)
        assert status(bench, load_request(store, 0, 0, 125)) in (OK, ADDRESS)
        for bit in range(32):  # no bit of the row is overlooked
            assert status(bench, load_request(store, 0, 1 << bit, 1)) == (OK if 1 << bit < rows else ADDRESS), bit
        for bit in range(8):
            assert status(bench, load_request(store, 1 << bit, 0, 1)) == (OK if 1 << bit < chunks else ADDRESS), bit
    for store in (4, 5, 7, 8, 16, 32, 64, 128, 255):
        assert status(bench, load_request(store, 0, 0, 1)) == ADDRESS, store
    for size in (0, 1, 5, 6, 7, 9, 11, 255):
        assert status(bench, request(LOAD, bytes(size))) == LENGTH, size
    assert status(bench, request(LOAD, bytes(256))) in (OK, ADDRESS)
    bench.set(busy=1)
    assert status(bench, load_request(0, 0, 0, 3)) == BUSY
    assert status(bench, request(LOAD, bytes(7))) == LENGTH  # what is wrong always comes before what may pass
    bench.quiet()


def test_samples(bench):
    most = (1 << 32) - 1
    for taken, length, offset, size, expected in [
        (0, 64, 0, 64, OK),
        (0, 64, 0, 65, OFFSET),
        (0, 64, 1, 1, OFFSET),
        (10, 64, 10, 54, OK),
        (10, 64, 10, 55, OFFSET),
        (10, 64, 9, 1, OK),  # a repeat: nothing is taken
        (10, 64, 0, 10, OK),
        (10, 64, 9, 2, OFFSET),
        (10, 64, 11, 1, OFFSET),
        (0x1FF, 0x400, 0x1FF, 252, OK),
        (0xFFFF, 1 << 20, 0xFFFF, 252, OK),
        (0, 0, 0, 1, OFFSET),
        (most, most, most, 1, OFFSET),
        (most - 1, most, most - 1, 1, OK),
        (most, most, most - 9, 10, OFFSET),  # offset and length together need 33 bits
        (252, 64, most, 252, OFFSET),
        (5, 64, 5 + (1 << 31), 1, OFFSET),
    ]:
        bench.set(sample_bytes=taken, sample_length=length)
        body = sample_request(offset, bytes(range(1, 1 + size)) if size < 255 else bytes(size))
        assert status(bench, body) == expected, (taken, length, offset, size)
    bench.set(sample_bytes=64, sample_length=64, busy=1, sample_full=1)
    assert status(bench, sample_request(0, bytes(4))) == BUSY
    bench.set(sample_bytes=8, sample_full=0)  # open
    assert status(bench, sample_request(8, b"\x80\x7f")) == OK
    for size in range(5):
        assert status(bench, request(SAMPLE, bytes(size))) == LENGTH
    bench.quiet()


def test_a_core_that_takes_nothing(bench):
    """STALLED comes after 2**16 cycles, and the link lives on."""
    bench.set(stuck=1)
    begin = bench.rtl.cycle
    assert status(bench, sample_request(0, bytes(8))) == STALLED
    assert 1 << 16 <= bench.rtl.cycle - begin < (1 << 16) + 2_000
    bench.set(stuck=0)
    assert status(bench, sample_request(0, bytes(8))) == OK
    bench.quiet()


def test_a_core_that_computes_a_band():
    """Where an input may come in bands a byte waits longer, for the pass between two of them, and not for ever."""
    bench = Bench(BANDED)
    begin = bench.rtl.cycle
    bench.set(stuck=1)
    assert status(bench, sample_request(0, bytes(8)), limit=20_000_000) == STALLED
    assert 1 << 24 <= bench.rtl.cycle - begin < (1 << 24) + 2_000
    bench.set(stuck=0)
    assert status(bench, sample_request(0, bytes(8))) == OK
    bench.quiet()
    bench.rtl.close()


def test_every_opcode(bench):
    for kind in (0, *range(5, 256)):
        assert status(bench, request(kind, b"\0\0\1", sequence=kind)) == UNKNOWN
    bench.quiet()


def test_every_sequence_number(bench):
    for sequence in range(256):
        assert status(bench, request(READ, b"\0\0\1", sequence=sequence)) == OK
    bench.quiet()


def test_sizes(bench):
    """Bodies from nothing to far beyond the limit, with a right CRC, of zeros, of no zero, and mixed."""
    sizes = [*range(0, 12), *range(250, 275), 505, 506, 511, 512, 513, 518, 700, 1024, 1030, 1500]
    before = bench.model.dropped
    for size in sizes:
        for content in (bytes(size), b"\xff" * size, bytes(index % 256 for index in range(size))):
            bench.feed(wire(content))
            bench.feed(wire(request(READ, b"\5\0\1")))
    assert bench.model.dropped - before == 3 * sum(not 2 <= size <= 2 + 256 for size in sizes)
    bench.quiet()


def test_lost_frames(bench):
    """Frames that come while one is acted upon are lost, whole or in part, each counted once."""
    good = wire(request(READ, b"\0\0\x20"))
    response = bench.model.take(good[:-1])
    for _ in range(3):
        bench.model.lose()
    bench.send(good + good + b"\5\0" + b"\0\0" + good)  # whole frames, and delimiters alone
    bench.check(response)
    for cut in range(1, len(good) - 1):
        bench.model.take(good[:-1])
        bench.model.lose()
        bench.send(good + good[:cut])  # its end comes after the response
        bench.check(response)
        bench.send(good[cut:])
        assert bench.feed(good) == 1
    # what comes of a lost frame after the response is no frame either, even where it looks like one
    inside = cobs.decode(wire(request(WRITE, b"\0\1" + bytes(4)))[:-1])
    for junk in (b"\1", b"abc", bytes(range(1, 40))):
        bench.model.take(good[:-1])
        bench.model.lose()
        outside = cobs.encode(junk + inside) + b"\0"
        bench.send(good + outside[: 1 + len(junk)])
        bench.check(response)
        bench.send(outside[1 + len(junk) :])
        assert bench.feed(good) == 1
    bench.quiet()


def _good(bench: Bench) -> bytes:
    """A random request that is a good frame; what it asks for need not be right."""
    generator = bench.random
    near = generator.choice([0, 1, 15, 16, 47, 48, 0x3FF0, 0x4000, generator.randrange(1 << 16)])
    kind = generator.randrange(6)
    if kind == 0:
        body = request(READ, near.to_bytes(2, "little") + bytes([generator.choice([1, 2, 31, 32, 33, 0])]))
    elif kind == 1:
        body = request(WRITE, near.to_bytes(2, "little") + generator.randbytes(4 * generator.randint(1, 32)))
    elif kind == 2:
        shape = generator.choice(list(bench.rules.shapes.values()))
        row = max(0, generator.choice([0, shape.rows - 1, shape.rows - 2, generator.randrange(shape.rows)]))
        count = generator.choice([1, 2, 3, 50, 125])
        body = load_request(shape.number, generator.randrange(shape.chunks), row, count)
    elif kind == 3:
        size = generator.choice([1, 2, 64, 252])
        offset = generator.choice([0, bench.rules.sample_bytes, bench.rules.sample_bytes + 1])
        body = sample_request(offset, generator.randbytes(size))
    elif kind == 4:
        body = request(generator.randrange(8), generator.randbytes(generator.randint(0, 256)))
    else:
        body = generator.randbytes(generator.randint(6, 258))
    return wire(bytes([generator.randrange(256)]) + body[1:])


def _spoil(bench: Bench, frame: bytes) -> list[int]:
    """A good frame damaged in one of many ways, or something that never was one. Ends with a delimiter."""
    generator = bench.random
    kind = generator.randrange(10)
    at = generator.randrange(len(frame) - 1)
    symbols = list(frame)
    if kind == 0:
        symbols = [*generator.randbytes(generator.randint(0, 40)), 0]
    elif kind == 1:
        symbols = [*symbols[:at], 0]
    elif kind == 2:
        symbols = symbols[at + 1 :]
    elif kind == 3:
        symbols[at] ^= 1 << generator.randrange(8)
    elif kind == 4:
        del symbols[at]
    elif kind == 5:
        symbols.insert(at, generator.randrange(256))
    elif kind == 6:
        symbols[at] |= BAD
    elif kind == 7:
        symbols = list(wire(cobs.decode(frame[:-1])[:-4], crc=1 << generator.randrange(32)))
    elif kind == 8:
        symbols = list(wire(generator.randbytes(generator.choice([1, 3, 5, 259, 300, 517, 900]))))
    else:
        symbols = [generator.randrange(1, 256) for _ in range(generator.randint(1, 700))] + [0]
    return [0] * generator.choice([0, 0, 0, 1, 3]) + symbols


@pytest.mark.parametrize("stall", [0, 2])
def test_fuzz(bench, stall):
    """Runs of damaged frames without a pause, each behind the last, then a good one, which must be answered."""
    generator = bench.random
    bench.set(stall=stall)
    responses = 0
    for _ in range(600 if stall == 0 else 150):
        bench.set(
            sample_bytes=generator.choice([0, 0, 5, 64]),
            busy=generator.random() < 0.2,
            sample_full=generator.random() < 0.5,
        )
        symbols: list[int] = []
        for _ in range(generator.randrange(6)):
            symbols += _spoil(bench, _good(bench))
        responses += bench.feed([*symbols, *_good(bench)])
    assert responses >= (600 if stall == 0 else 150)
    bench.quiet()


def test_a_machine_with_one_loadable_store():
    bench = Bench(PART)
    assert status(bench, load_request(0, 0, 0, 10)) == OK
    for store in (1, 2, 3):
        assert status(bench, load_request(store, 0, 0, 1)) == ADDRESS
    bench.quiet()
    bench.rtl.close()


def test_bench():
    machine = {"weights": "ram", "tables": "ram", "weight_rows": 4, "parameter_rows": 3, "denoiser_entries": 8}
    component = HostLink(Machine(**machine))
    run_bench(component, module="ds2ta.sim.benches.bench_link", parameters={"machine": machine})
