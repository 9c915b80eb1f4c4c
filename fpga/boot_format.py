# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What lies in a board's flash for it to load a model at power-up: the bytes that a host would send over the serial
line, between a header and a CRC (docs/host-link.md). All numbers are little endian.

    magic 4 | version u32 | machine u32 | last u32 | digest 32 | stream, last + 1 bytes | CRC-32 of all before it
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ds2ta.errors import Ds2taError
from ds2ta.fpga.frames import DELIMITER, MAX_REGISTERS, Request, encode_request, write_payload
from ds2ta.fpga.loading import check_settings, digest_words, load_payloads, sample_settings, store_contents
from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import REGISTERS, machine_words
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest

__all__ = [
    "BLOCK",
    "CRC_BYTES",
    "DIGEST_AT",
    "HEADER_BYTES",
    "MAGIC",
    "VERSION",
    "BootImage",
    "BootImageError",
    "boot_image",
    "boot_seconds",
    "machine_tag",
    "read_image",
]

MAGIC = b"D2BT"
#: Of the format: a new number when a board of another number would not understand it.
VERSION = 1
_HEAD = struct.Struct("<4sIII32s")
#: Bytes of the header, of which the digest of the model file comes last, and of the CRC.
HEADER_BYTES, DIGEST_AT, CRC_BYTES = _HEAD.size, 16, 4
#: Of the flash behind the image's beginning, so many bytes are left for header and CRC: the limit of the stream's
#: length is then a matter of its upper bits.
BLOCK = 1 << 16
_NONE = "00" * 32  # digest of no model


class BootImageError(Ds2taError):
    """A file that is no image for a flash, or not one for this machine."""


@dataclass(frozen=True)
class BootImage:
    """`machine`: `machine_tag` of the machine that takes it; `digest`: SHA-256 (hex) of the model file; `stream`:
    frames, each with its delimiter."""

    machine: int
    digest: str
    stream: bytes

    def encode(self) -> bytes:
        """The bytes in the flash."""
        last = len(self.stream) - 1
        body = _HEAD.pack(MAGIC, VERSION, self.machine, last, bytes.fromhex(self.digest)) + self.stream
        return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def machine_tag(machine: Machine) -> int:
    """A number that tells machines apart: CRC-32 of the words of the registers `machine`."""
    words = machine_words(machine)
    return zlib.crc32(struct.pack(f"<{len(words)}I", *words))


def boot_image(model: IntegerModel, machine: Machine) -> BootImage:
    """`model` for `machine`. Raises `FitError` where the machine is too small. What makes the machine loadable is
    not in it: stores that came with the bitstream are only checked."""
    stores = store_contents(machine, compile_model(model, machine))
    digest = model_digest(model)

    def requests() -> Iterator[tuple[Request, bytes]]:
        yield from _writes("model_digest", digest_words(_NONE))  # until all of it is there
        for store in stores:
            if store.loadable:
                yield from ((Request.LOAD, payload) for payload in load_payloads(store))
        for name, values in {**check_settings(stores), **sample_settings(model)}.items():
            yield from _writes(name, values)
        yield from _writes("model_digest", digest_words(digest))
        yield from _writes("command", [REGISTERS["command"].encode(clear_frames=1)])  # hosts count their own

    # a sequence number of 0 would put the first zero of a response elsewhere than its status
    frames = (encode_request(1 + number % 255, *request) for number, request in enumerate(requests()))
    return BootImage(machine_tag(machine), digest, b"".join(frames))


def _writes(name: str, values: list[int]) -> Iterator[tuple[Request, bytes]]:
    for start in range(0, len(values), MAX_REGISTERS):
        yield Request.WRITE, write_payload(REGISTERS[name].at(start), values[start : start + MAX_REGISTERS])


def read_image(path: Path | str, machine: Machine | None = None) -> BootImage:
    """Read and check an image file, for `machine` where one is given. Raises `BootImageError`, one line for each
    thing that can be wrong."""
    content = Path(path).read_bytes()
    if not content.startswith(MAGIC):
        raise BootImageError(f"{path}: begins with {content[:4]!r}, not {MAGIC!r}: no image of `ds2ta boot-image`")
    least = HEADER_BYTES + 1 + CRC_BYTES
    if len(content) < least:
        raise BootImageError(
            f"{path}: {len(content)} bytes, an image has {least} at least: truncated; write it anew"
        )
    _, version, tag, last, digest = _HEAD.unpack_from(content)
    if version != VERSION:
        raise BootImageError(f"{path}: format {version}, this program and its boards read {VERSION}; write it anew")
    if (size := HEADER_BYTES + last + 1 + CRC_BYTES) != len(content):
        which = "truncated" if len(content) < size else "something is behind it"
        raise BootImageError(f"{path}: {len(content)} bytes, its header says {size}: {which}; write it anew")
    stored, found = int.from_bytes(content[-CRC_BYTES:], "little"), zlib.crc32(content[:-CRC_BYTES])
    if stored != found:
        raise BootImageError(f"{path}: CRC {stored:#010x}, its bytes give {found:#010x}: damaged; write it anew")
    if machine is not None and tag != (wanted := machine_tag(machine)):
        raise BootImageError(
            f"{path}: made for machine {tag:#010x}, this one is {wanted:#010x}; "
            "write it anew with the board and the settings of the bitstream"
        )
    return BootImage(tag, digest.hex(), content[HEADER_BYTES:-CRC_BYTES])


#: Cycles of the link, while the flash waits: for a byte that is acted upon or goes out, for a word that is loaded.
_LINK_BYTE, _LINK_WORD = 11, 3
_RESPONSE_BYTES = 7


def boot_seconds(image: BootImage, *, clock_hz: float, half: int) -> float:
    """About how long a board reads and loads it, from the bytes alone: each is read twice at 16 `half` cycles, the
    flash waits while the link acts on a frame."""
    body = [len(frame) + 1 for frame in image.stream.split(DELIMITER)[:-1]]
    reading = 2 * 16 * half * (HEADER_BYTES + len(image.stream) + CRC_BYTES)
    acting = sum(_LINK_BYTE * (size + _RESPONSE_BYTES) + _LINK_WORD * size / 2 for size in body)
    return (reading + acting) / clock_hz
