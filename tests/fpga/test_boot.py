# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The boot loader: its bench, limits of its parameters; images: what a board understands, what a reader refuses."""

import struct
import zlib

import pytest
from cobs import cobs
from fake_board import FakeBoard

from ds2ta.errors import FitError
from ds2ta.fpga.boards import BOARDS, find_board
from ds2ta.fpga.boot import BootFlash, BootLoader, BootRegister, boot_flash
from ds2ta.fpga.boot_format import BootImageError, boot_image, machine_tag, read_image
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.registers import REGISTERS
from ds2ta.modelfile import load_model, model_digest
from ds2ta.sim.build import run_bench

BLOCK = 1 << 16


@pytest.mark.parametrize(("machine", "room"), [(0x1234_5678, 3 * BLOCK), (0xFF00_FF00, 240 * BLOCK)])
def test_loader_bench(machine, room):
    shape = {"machine": machine, "room": room}
    run_bench(BootLoader(**shape), module="ds2ta.sim.benches.bench_boot", parameters={**shape, "register": False})


def test_register_bench():
    run_bench(BootRegister(), module="ds2ta.sim.benches.bench_boot", parameters={"register": True})


@pytest.mark.parametrize("room", [0, BLOCK - 1, BLOCK + 1, 256 * BLOCK])
def test_room_is_whole_blocks(room):
    BootLoader(machine=1, room=255 * BLOCK)
    with pytest.raises(FitError, match=f"Room must be a multiple of 65536 below 16777216, not {room}"):
        BootLoader(machine=1, room=room)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": 1}, "flash: an image at 0x1 of 16777216 bytes must begin at a multiple of 65536"),
        ({"address": 255 * BLOCK}, "flash: an image at 0xff0000 of 16777216 bytes must .* leave room for 131072"),
        ({"size": BLOCK + 9}, "flash: an image at 0x0 of 65545 bytes"),
        ({"size": 2 << 24}, "flash: 33554432 bytes, an address of 24 bits reaches 16777216"),
    ],
)
def test_places_in_the_flash(change, message):
    shape = {"half": 1, "wake": 9, "address": 0, "size": 1 << 24}
    assert BootFlash(**shape).room == (1 << 24) - BLOCK
    BootFlash(**{**shape, "address": 254 * BLOCK})
    with pytest.raises(FitError, match=message):
        BootFlash(**{**shape, **change})


@pytest.mark.parametrize(
    ("clock_hz", "most_hz", "expected"),
    [(30e6, 25e6, (1, 900, False)), (96e6, 25e6, (2, 2880, False)), (120e6, 66e6, (1, 3600, True))],
)
def test_speed_of_the_flash(clock_hz, most_hz, expected):
    flash = boot_flash(clock_hz=clock_hz, most_hz=most_hz, address=0, size=1 << 24)
    assert (flash.half, flash.wake, flash.fast) == expected


# ---- images


@pytest.fixture
def image(tiny, machine):
    return boot_image(tiny, machine)


def parts(content: bytes) -> tuple[bytes, int, int, int, bytes, bytes]:
    """Of an image, from docs/host-link.md: magic, version, machine, last, digest, stream."""
    assert zlib.crc32(content[:-4]).to_bytes(4, "little") == content[-4:]
    magic, version, tag, last = struct.unpack_from("<4sIII", content)
    return magic, version, tag, last, content[16:48], content[48:-4]


def test_an_image_makes_a_board_ready(image, tiny, machine, fake):
    """Its stream, fed to a board in Python: every request is answered OK, and the board holds the model."""
    magic, version, tag, last, digest, stream = parts(image.encode())
    assert (magic, version, last) == (b"D2BT", 1, len(stream) - 1)
    words = [fake.register(REGISTERS["machine"].at(index)) for index in range(64)]
    assert tag == zlib.crc32(struct.pack("<64I", *words))
    assert digest.hex() == model_digest(tiny)
    assert stream.endswith(b"\0")
    frames = stream.split(b"\0")[:-1]
    for frame in frames:
        (response,) = fake.feed(frame + b"\0")
        body = cobs.decode(response[:-1])
        assert (body[0] != 0, body[1] & 0x80, body[2]) == (True, 0x80, 0)
        assert response[0] == 3, "what the loader takes for OK"
    assert {kind for kind, _ in fake.log} == {2, 3}
    assert struct.pack("<8I", *(fake.register(0x030 + index) for index in range(8))).hex() == model_digest(tiny)
    for store in range(4):
        assert fake.crc(store) == fake.settings[0x014 + store] != 0
    assert fake.settings[0x008] == 64
    # the digest is that of no model until all is there, and clearing the counts comes last
    written = [cobs.decode(frame)[2:-4] for frame in frames if cobs.decode(frame)[1] == 2]
    assert written[0] == struct.pack("<H32x", 0x030)
    assert written[-2] == struct.pack("<H", 0x030) + digest
    assert written[-1] == struct.pack("<HI", 0x004, 2)


def test_images_of_other_machines_differ(tiny):
    tags = set()
    for board in BOARDS.values():
        machine, _ = fit(load_model(board.model_path), **board.choices)
        tags.add(machine_tag(machine))
    assert len(tags) == len({find_board(name).model + str(board.choices) for name, board in BOARDS.items()})


def test_reader(image, tiny, machine, tmp_path):
    file = tmp_path / "image.bin"
    file.write_bytes(image.encode())
    assert read_image(file, machine) == read_image(file) == image
    assert image.digest == model_digest(tiny)


DAMAGE = {
    "foreign": (lambda content: b"PK\3\4" + content, "begins with b'PK.*', not b'D2BT': no image"),
    "empty": (lambda content: b"", "begins with b'', not b'D2BT'"),
    "header alone": (lambda content: content[:52], "52 bytes, an image has 53 at least: truncated"),
    "another version": (lambda content: content[:4] + b"\2" + content[5:], "format 2, this program .* read 1"),
    "truncated": (lambda content: content[:-1], r"\d+ bytes, its header says \d+: truncated"),
    "longer": (lambda content: content + b"\xff", r"\d+ bytes, its header says \d+: something is behind it"),
    "a bit of the stream": (
        lambda content: content[:99] + bytes([content[99] ^ 4]) + content[100:],
        "CRC .*: damaged",
    ),
    "a bit of the digest": (
        lambda content: content[:30] + bytes([content[30] ^ 4]) + content[31:],
        "CRC .*: damaged",
    ),
    "a bit of the CRC": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "CRC .*: damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_image_is_refused(damage, image, machine, tmp_path):
    change, message = DAMAGE[damage]
    file = tmp_path / "image.bin"
    file.write_bytes(change(image.encode()))
    with pytest.raises(BootImageError, match=f"image.bin: {message}") as refused:
        read_image(file, machine)
    assert "\n" not in str(refused.value)


def test_an_image_for_another_machine(image, machine, tmp_path):
    file = tmp_path / "image.bin"
    file.write_bytes(image.encode())
    other = machine.model_copy(update={"instructions": machine.instructions * 2})
    with pytest.raises(BootImageError, match=f"made for machine {machine_tag(machine):#010x}, this one is"):
        read_image(file, other)


def test_a_machine_that_is_too_small(tiny, machine):
    with pytest.raises(FitError, match="weight_rows"):
        boot_image(tiny, machine.model_copy(update={"weight_rows": 8}))


def test_a_board_in_python_needs_no_more(image, tiny, machine):
    """A fresh one that was fed the image classifies."""
    board = FakeBoard(machine, {model_digest(tiny): tiny})
    board.feed(image.stream)
    assert {status for _, status in board.log} == {0}
