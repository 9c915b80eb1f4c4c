# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The board top through its two pins: the exchanges of docs/host-link.md, a noisy line, a network."""

import itertools
import random
import re
import zlib
from pathlib import Path

import pytest
from cobs import cobs

from ds2ta.errors import FitError
from ds2ta.fpga.frames import (
    Request,
    Status,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    load_payload,
    read_payload,
    sample_payload,
)
from ds2ta.fpga.host import Board
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.gateware.registers import REGISTERS
from ds2ta.gateware.samples import sample_bytes
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.sim.link_model import wire
from ds2ta.sim.rtl import Rtl

TOP = Path(__file__).resolve().parents[2]
DIVISOR = 50  # so that one clock in a bit is 2 %
CLOCK_HZ = 50_000_000


class Pins:
    """The other end of the line, as a port for the host driver. `bit`: clocks of a bit that it sends."""

    def __init__(self, top: BoardTop):
        self.rtl = Rtl(top)
        self.bit = DIVISOR
        self.rtl.set("rx", 1)
        self.rtl.advance(2 * DIVISOR)

    in_waiting = 0

    def close(self) -> None:
        self.rtl.close()

    def hold(self, level: int, clocks: int) -> None:
        self.rtl.set("rx", level)
        self.rtl.advance(clocks)

    def write(self, data: bytes, *, stop: int = 1) -> None:
        """Bytes without a pause. With `stop` 0 the last one has no stop bit."""
        for number, value in enumerate(data):
            ends = stop if number == len(data) - 1 else 1
            levels = [0, *(value >> index & 1 for index in range(8)), ends]
            for level, run in itertools.groupby(levels):
                self.hold(level, len(list(run)) * self.bit)
        if not stop:
            self.hold(1, 2 * self.bit)

    def read(self, size: int, *, patience: int = 200_000) -> bytes:
        """One byte, or nothing within so many clocks."""
        waited, step = 0, DIVISOR // 8
        while self.rtl.get("tx"):
            if waited > patience:
                return b""
            self.rtl.advance(step)
            waited += step
        self.rtl.advance(DIVISOR // 2 - step // 2)
        assert self.rtl.get("tx") == 0, "a start bit that is too short"
        value = 0
        for index in range(8):
            self.rtl.advance(DIVISOR)
            value |= self.rtl.get("tx") << index
        self.rtl.advance(DIVISOR)
        assert self.rtl.get("tx") == 1, "no stop bit"
        return bytes([value])

    def frame(self) -> bytes:
        """Everything up to a delimiter, with it."""
        found = b""
        while not found.endswith(b"\0"):
            byte = self.read(1)
            assert byte, f"no response, or a part of one: {found.hex(' ')}"
            found += byte
        return found


@pytest.fixture(scope="module")
def tiny():
    return load_model(TOP / "models" / "digits-tiny.safetensors")


@pytest.fixture(scope="module")
def pins(tiny):
    machine, _ = fit(tiny, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
    found = Pins(BoardTop(machine, clock_hz=CLOCK_HZ))
    yield found
    found.close()


def _exchanges() -> list[tuple[bytes, bytes, bytes, bytes]]:
    """(body, wire) of each request and of its response, from the page."""
    page = (TOP / "docs" / "host-link.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([0-9a-f]{2}(?: [0-9a-f]{2})+) \| ([0-9a-f ]+) \|$", page, re.M)
    frames = [(bytes.fromhex(body), bytes.fromhex(line)) for _, body, line in rows]
    assert [text.startswith("its response") for text, _, _ in rows] == [False, True] * (len(rows) // 2)
    return [(*frames[at], *frames[at + 1]) for at in range(0, len(frames), 2)]


def test_the_page_has_every_kind():
    kinds = {(request[1], response[2]) for request, _, response, _ in _exchanges()}
    assert kinds == {(1, 0), (2, 0), (3, 0), (4, 5), (9, 1)}


@pytest.mark.parametrize("exchange", _exchanges(), ids=lambda exchange: exchange[0].hex())
def test_the_page_by_other_means(exchange):
    """The bytes of the page are what the `cobs` package, zlib, and the host's codec make of the bodies."""
    request, request_wire, response, answer_wire = exchange
    for body, line in ((request, request_wire), (response, answer_wire)):
        assert line == cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert encode_request(request[0], request[1], request[2:]) == request_wire
    assert encode_response(request[0], request[1], response[2], response[3:]) == answer_wire
    found = decode_request(request_wire[:-1])
    assert (found.sequence, found.kind, found.payload) == (request[0], request[1], request[2:])
    found = decode_response(answer_wire[:-1])
    assert (found.sequence, found.kind, found.status, found.payload) == (
        request[0],
        request[1],
        response[2],
        response[3:],
    )


@pytest.mark.parametrize("bit", [DIVISOR - 1, DIVISOR, DIVISOR + 1])
def test_the_page_on_the_board(pins, bit):
    pins.bit = bit
    pins.write(b"\0")
    for _, request, _, response in _exchanges():
        pins.write(request)
        assert pins.frame() == response
    assert pins.read(1, patience=40 * DIVISOR) == b""


def _counts(pins: Pins) -> tuple[int, int]:
    """frames_good, with the one that asks, and frames_dropped."""
    pins.write(encode_request(0, Request.READ, read_payload(REGISTERS["frames_good"].address, 2)))
    response = decode_response(pins.frame()[:-1])
    assert response.status == 0
    return int.from_bytes(response.payload[:4], "little"), int.from_bytes(response.payload[4:], "little")


def test_a_noisy_line(pins):
    """Bad stop bits, bad bits, cut frames, breaks, glitches, a mistuned sender: each costs the frame that it hits
    and no other, and the counts are exact."""
    generator = random.Random(5)
    question = encode_request(7, Request.READ, read_payload(0, 1))
    response = wire(b"\x07\x81\0D2TA")
    good, dropped = _counts(pins)
    for turn in range(40):
        pins.bit = generator.choice([DIVISOR - 1, DIVISOR, DIVISOR + 1])
        kind, at = turn % 8, generator.randrange(1, len(question) - 1)
        lost = 1
        if kind == 0:  # a stop bit of 0 within a frame
            pins.write(question[:at], stop=0)
            pins.write(question[at:])
        elif kind == 1:  # a bit
            value = question[at] ^ 1 << generator.randrange(8)
            pins.write(question[:at] + bytes([value or 0xEE]) + question[at + 1 :])
        elif kind == 2:
            pins.write(question[:at] + b"\0")
        elif kind == 3:  # a line held down before a frame
            pins.hold(0, generator.randint(10, 40) * DIVISOR)
            pins.hold(1, 2 * DIVISOR)
            pins.write(question)
        elif kind == 4:  # too short to be a start bit
            for _ in range(3):
                pins.hold(0, generator.randint(1, DIVISOR // 2 - 4))
                pins.hold(1, DIVISOR)
            lost = 0
        elif kind == 5:
            pins.write(generator.randbytes(40).replace(b"\0", b"\1") + b"\0")
        elif kind == 6:  # longer than any frame
            pins.write(bytes(generator.randrange(1, 256) for _ in range(300)) + b"\0")
        else:
            pins.write(b"\0\0\0")
            lost = 0
        pins.write(question)
        assert pins.frame() == response
        good, dropped = good + 1, dropped + lost
        assert _counts(pins) == (good + 1, dropped), kind
        good += 1


def test_requests_without_a_pause(pins):
    """A request behind another, before its response: lost and counted. The line is clean again behind it."""
    pins.bit = DIVISOR
    question = encode_request(9, Request.READ, read_payload(REGISTERS["machine"].address, 32))
    good, dropped = _counts(pins)
    pins.write(question + question)
    pins.rtl.advance(200 * 10 * DIVISOR)  # the response goes by, most of it already has
    assert _counts(pins) == (good + 2, dropped + 1)


@pytest.fixture(scope="module")
def board(pins, tiny):
    pins.bit = DIVISOR
    found = Board(pins, name="pins", timeout=300)
    found.load(tiny)
    return found


def test_images(board, pins, tiny):
    """A network, loaded and run: logits and classes."""
    images = tiny.samples[:3]
    for image, result in zip(images, board.infer(images), strict=True):
        logits = slow.run(tiny, image)["logits"]
        assert list(result.logits) == logits.tolist()
        assert result.class_index == int(logits.argmax())
        assert result.trusted
    assert not pins.rtl.get("busy")
    assert not pins.rtl.get("error")


def test_a_sample_in_parts(board, tiny):
    """Parts that come twice, out of order, too long; a LOAD between them."""
    data = sample_bytes(tiny, tiny.samples[4]).tobytes()

    def sample(offset: int, content: bytes) -> Status:
        return board.ask(Request.SAMPLE, sample_payload(offset, content), "sample", accept=tuple(Status)).status

    (before,) = board.read("result_number")
    assert sample(0, data[:20]) == Status.OK
    assert sample(0, data[:20]) == Status.OK  # its response was lost
    assert board.read("sample_bytes") == [20]
    assert sample(19, data[19:40]) == Status.OFFSET
    assert sample(21, data[21:40]) == Status.OFFSET
    assert sample(20, data[20:] + b"\0") == Status.OFFSET
    refused = board.ask(Request.LOAD, load_payload(0, 0, 0, b"\0\0"), "loading", accept=(Status.BUSY,))
    assert refused.status == Status.BUSY
    assert sample(20, data[20:]) == Status.OK
    board.wait(lambda now: now["result_valid"] and not now["busy"], "the result")
    assert board.read("result_number") == [before + 1]
    assert board.read("logits", count=10) == slow.run(tiny, tiny.samples[4])["logits"].tolist()


def test_a_baud_rate_that_the_clock_misses(tiny):
    machine, _ = fit(tiny, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
    with pytest.raises(FitError, match="Baud rate must be at most 1/4 of the clock, 3000000, not 4000000"):
        BoardTop(machine, clock_hz=12_000_000, baud=4_000_000)
    assert BoardTop(machine, clock_hz=12_000_000, baud=3_000_000).divisor == 4


def test_a_machine_with_its_model_built_in(tiny):
    """No store to load, so no LOAD: the rest is there."""
    machine, program = fit(tiny, **MACHINES["digits-tiny"])
    top = BoardTop(machine, program, clock_hz=CLOCK_HZ)
    assert "load" not in top._link.signature.members
