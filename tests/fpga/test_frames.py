# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The codec of the host link against a second one written by hand, a worked example, and damage of all kinds."""

import zlib

import pytest
from fake_board import cobs_decode, cobs_encode
from hypothesis import given
from hypothesis import strategies as st

from ds2ta.fpga import frames

BYTE = st.integers(0, 255)
PAYLOAD = st.binary(max_size=frames.MAX_PAYLOAD) | st.builds(
    lambda count, byte: bytes([byte]) * count, st.integers(240, frames.MAX_PAYLOAD), st.sampled_from([0, 1, 255])
)


@given(BYTE, BYTE, PAYLOAD)
def test_requests(sequence, kind, payload):
    wire = frames.encode_request(sequence, kind, payload)
    assert wire.count(0) == 1
    assert wire.endswith(b"\0")
    assert len(wire) <= frames.MAX_WIRE
    body = cobs_decode(wire[:-1])
    assert body[:-4] == bytes([sequence, kind]) + payload
    assert int.from_bytes(body[-4:], "little") == zlib.crc32(body[:-4])
    assert frames.decode_request(wire[:-1]) == frames.RequestFrame(sequence, kind, payload)
    assert frames.decode_request(cobs_encode(body)) == frames.RequestFrame(sequence, kind, payload)


@given(BYTE, st.integers(0, 127), BYTE, PAYLOAD)
def test_answers(sequence, kind, status, payload):
    wire = frames.encode_response(sequence, kind, status, payload)
    assert len(wire) <= frames.MAX_WIRE
    assert cobs_decode(wire[:-1])[:-4] == bytes([sequence, kind | 0x80, status]) + payload
    assert frames.decode_response(wire[:-1]) == frames.ResponseFrame(sequence, kind, status, payload)


def test_worked_example():
    """Reading `status` (word 3) with sequence number 1, and the response: a trusted result, memories good."""
    request = frames.encode_request(1, frames.Request.READ, frames.read_payload(3, 1))
    assert request.hex(" ") == "04 01 01 03 06 01 07 37 bf 36 00"
    response = frames.encode_response(1, frames.Request.READ, frames.Status.OK, bytes([0x1C, 0, 0, 0]))
    assert response.hex(" ") == "03 01 81 02 1c 01 01 05 90 fb 38 f4 00"


def test_payloads():
    assert frames.read_payload(0x102, 32).hex(" ") == "02 01 20"
    assert frames.write_payload(0x010, [1, 0xFFFF_FFFE]).hex(" ") == "10 00 01 00 00 00 fe ff ff ff"
    assert frames.load_payload(2, 0x10203, 4, b"\x05\x06").hex(" ") == "02 04 03 02 01 00 05 06"
    assert frames.sample_payload(252, b"\x07").hex(" ") == "fc 00 00 00 07"


@pytest.mark.parametrize("count", [0, 33])
def test_too_many_registers(count):
    with pytest.raises(frames.FrameError, match=r"must be 1\.\.32"):
        frames.read_payload(0, count)
    with pytest.raises(frames.FrameError, match=r"must be 1\.\.32"):
        frames.write_payload(0, [0] * count)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0"])
def test_no_words(data):
    with pytest.raises(frames.FrameError, match="16-bit words"):
        frames.load_payload(0, 0, 0, data)


def test_longest_payload():
    payload = bytes(frames.MAX_PAYLOAD)
    assert frames.decode_request(frames.encode_request(0, 1, payload)[:-1]).payload == payload
    assert frames.decode_response(frames.encode_response(0, 1, 0, payload)[:-1]).payload == payload
    for encode in (lambda p: frames.encode_request(0, 1, p), lambda p: frames.encode_response(0, 1, 0, p)):
        with pytest.raises(frames.FrameError, match="payload of 257 bytes, the limit is 256"):
            encode(payload + b"\0")
    # and a body that is one byte too long, although everything else about it is right
    for decode, head in ((frames.decode_request, 2), (frames.decode_response, 3)):
        body = bytes([0, 0x81, 0][:head]) + payload + b"\0"
        with pytest.raises(frames.FrameError, match="frame body of"):
            decode(cobs_encode(body + zlib.crc32(body).to_bytes(4, "little")))


@given(st.binary(max_size=300))
def test_random_bytes_are_no_frame(frame):
    """Random bytes hold a right CRC-32 once in 2**32 times."""
    for decode in (frames.decode_request, frames.decode_response):
        with pytest.raises(frames.FrameError):
            decode(frame)


@given(PAYLOAD, st.data())
def test_damage(payload, data):
    """One to three bits turned, or cut, or lengthened: the CRC has a distance of at least 4 at this length; a bit
    that makes a COBS code byte wrong shifts everything behind it."""
    wire = frames.encode_response(7, frames.Request.LOAD, 0, payload)[:-1]
    if data.draw(st.booleans()):
        damaged = bytearray(wire)
        bits = data.draw(st.sets(st.integers(0, 8 * len(wire) - 1), min_size=1, max_size=3))
        for bit in bits:
            damaged[bit // 8] ^= 1 << bit % 8
    else:
        damaged = wire[: data.draw(st.integers(0, len(wire) - 1))] + data.draw(st.binary(max_size=3))
        if cobs_decode(damaged) == cobs_decode(wire):  # the same, or another spelling of the same
            return
    with pytest.raises(frames.FrameError):
        frames.decode_response(bytes(damaged))


def test_a_request_is_no_answer():
    with pytest.raises(frames.FrameError, match="no response"):
        frames.decode_response(frames.encode_request(1, frames.Request.READ, frames.read_payload(3, 1))[:-1])
