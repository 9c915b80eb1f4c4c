# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Frames between host and board: what they ask, what they response, how they look on the wire (docs/host-link.md).

    wire = COBS(body) 0x00      body = sequence u8, kind u8, payload, CRC-32 of everything before it

A response repeats sequence and kind (bit 7 set) and has a status byte before its payload. All numbers are little
endian. `encode_*` give wire bytes with the delimiter, `decode_*` take what stands between two delimiters.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

from ds2ta.errors import Ds2taError

__all__ = [
    "DELIMITER",
    "MAX_PAYLOAD",
    "MAX_WIRE",
    "VERSION",
    "FrameError",
    "Request",
    "RequestFrame",
    "ResponseFrame",
    "Status",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "load_payload",
    "read_payload",
    "sample_payload",
    "write_payload",
]

#: Of the frames: a new number when host and board of different numbers would misunderstand each other.
VERSION = 1
MAX_PAYLOAD = 256  # bytes of payload, of a request and of a response (which has a status besides)
MAX_REGISTERS = 32  # registers of one READ or WRITE
DELIMITER = b"\0"
_RESPONSE = 0x80  # bit of a kind in a response
_HEAD, _STATUS, _CRC = 2, 1, 4  # bytes
#: Longest frame on the wire, delimiter included: a COBS code byte for each 254 bytes of body.
MAX_WIRE = cobs.max_encoded_length(_HEAD + _STATUS + MAX_PAYLOAD + _CRC) + 1


class Request(IntEnum):
    """What a frame asks for; its response has bit 7 set besides."""

    READ = 0x01
    WRITE = 0x02
    LOAD = 0x03
    SAMPLE = 0x04


class Status(IntEnum):
    """Status of a response."""

    OK = 0
    UNKNOWN = 1
    LENGTH = 2
    ADDRESS = 3
    BUSY = 4
    OFFSET = 5
    STALLED = 6


class FrameError(Ds2taError):
    """Bytes that are no frame, or a payload that no frame can carry."""


@dataclass(frozen=True)
class RequestFrame:
    """A request. `kind` may be any byte: a device answers unknown ones with `Status.UNKNOWN`."""

    sequence: int
    kind: int
    payload: bytes


@dataclass(frozen=True)
class ResponseFrame:
    """A response, `kind` as it was asked (bit 7 taken off)."""

    sequence: int
    kind: int
    status: int
    payload: bytes


def _wire(content: bytes, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"frame: payload of {len(payload)} bytes, the limit is {MAX_PAYLOAD}: split it")
    body = content + payload
    return cobs.encode(body + zlib.crc32(body).to_bytes(_CRC, "little")) + DELIMITER


def _body(frame: bytes, head: int) -> bytes:
    try:
        body = cobs.decode(bytes(frame))
    except cobs.DecodeError as error:
        raise FrameError(f"frame of {len(frame)} bytes is not COBS ({error})") from None
    least, most = head + _CRC, head + MAX_PAYLOAD + _CRC
    if not least <= len(body) <= most:
        raise FrameError(f"frame body of {len(body)} bytes, must be {least}..{most}")
    content, stored = body[:-_CRC], int.from_bytes(body[-_CRC:], "little")
    if (computed := zlib.crc32(content)) != stored:
        raise FrameError(f"frame with CRC {stored:#010x}, its bytes give {computed:#010x}")
    return content


def encode_request(sequence: int, kind: int, payload: bytes) -> bytes:
    """A request on the wire. Raises `FrameError` for a payload over the limit."""
    return _wire(bytes([sequence, kind]), payload)


def decode_request(frame: bytes) -> RequestFrame:
    """Raises `FrameError` for anything but one whole good request."""
    content = _body(frame, _HEAD)
    return RequestFrame(content[0], content[1], content[_HEAD:])


def encode_response(sequence: int, kind: int, status: int, payload: bytes = b"") -> bytes:
    """The response to a request of this sequence and kind."""
    return _wire(bytes([sequence, kind | _RESPONSE, status]), payload)


def decode_response(frame: bytes) -> ResponseFrame:
    """Raises `FrameError` for anything but one whole good response."""
    content = _body(frame, _HEAD + _STATUS)
    if not content[1] & _RESPONSE:
        raise FrameError(f"frame with kind {content[1]:#04x} is no response: bit 7 is 0")
    return ResponseFrame(content[0], content[1] & ~_RESPONSE, content[2], content[_HEAD + _STATUS :])


def read_payload(address: int, count: int) -> bytes:
    """READ of `count` registers from word `address` on; the response carries `count` 32-bit words."""
    if not 1 <= count <= MAX_REGISTERS:
        raise FrameError(f"READ of {count} registers, must be 1..{MAX_REGISTERS}")
    return struct.pack("<HB", address, count)


def write_payload(address: int, values: Sequence[int]) -> bytes:
    """WRITE of 32-bit `values` to the registers from word `address` on."""
    if not 1 <= len(values) <= MAX_REGISTERS:
        raise FrameError(f"WRITE of {len(values)} registers, must be 1..{MAX_REGISTERS}")
    return struct.pack(f"<H{len(values)}I", address, *values)


def load_payload(store: int, row: int, chunk: int, data: bytes) -> bytes:
    """LOAD of 16-bit words into a store from chunk `chunk` of row `row` on: over chunks first, then rows."""
    if not data or len(data) % 2:
        raise FrameError(f"LOAD of {len(data)} bytes, must be one or more 16-bit words")
    return struct.pack("<BBI", store, chunk, row) + data


def sample_payload(offset: int, data: bytes) -> bytes:
    """SAMPLE: `data` are bytes `offset` and on of the present sample."""
    return struct.pack("<I", offset) + data
