# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The virtual board with a flash: it classifies by what no host has loaded; whatever else lies there leaves it
usable."""

from dataclasses import replace

import pytest
from host_tools import board_on, check

from ds2ta.fpga.boot import BootState, boot_flash
from ds2ta.fpga.boot_format import boot_image
from ds2ta.fpga.frames import Request, encode_request, load_payload
from ds2ta.fpga.host import Board
from ds2ta.modelfile import model_digest
from ds2ta.sim.virtual import VirtualBoard, VirtualBoardError

CLOCK_HZ = 30_000_000
FLASH = boot_flash(clock_hz=CLOCK_HZ, most_hz=25e6, address=1 << 20, size=1 << 24)
WAITS = 1000  # as in test_virtual.py


@pytest.fixture(scope="module")
def content(tiny, machine):
    return boot_image(tiny, machine).encode()


@pytest.fixture
def booted(machine, tmp_path):
    """Starts a board whose flash holds some bytes at the image's place."""
    running = []

    def start(content: bytes | None) -> Board:
        file = tmp_path / "image.bin"
        if content is not None:
            file.write_bytes(content)
        image = None if content is None else file
        running.append(VirtualBoard(machine, clock_hz=CLOCK_HZ, flash=FLASH, image=image))
        # what is asked before the board has started is lost, and asked again
        running.append(Board.open(running[0].device, timeout=1, attempts=60))
        return running[1]

    yield start
    for one in reversed(running):
        one.__exit__(None, None, None)


def test_it_classifies_without_a_load(booted, content, tiny, machine):
    board = booted(content)
    assert board.identify().digest == model_digest(tiny)
    assert board.boot_state() is BootState.LOADED
    assert board.wait(lambda now: now["memory_good"], "the memory check")["memory_error"] == 0
    assert board.load(tiny) is False
    check(tiny, machine, tiny.samples[:3], board.infer(tiny.samples[:3]), waits=WAITS)
    assert board.load(tiny, force=True) is True, "the line works as it did"
    check(tiny, machine, tiny.samples[3:4], board.infer(tiny.samples[3:4]), waits=WAITS)


def edited(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


BAD = {
    "no flash": (lambda _: None, BootState.NO_IMAGE),
    "erased": (lambda _: b"", BootState.NO_IMAGE),
    "foreign": (lambda content: b"\x7fELF" + content, BootState.NO_IMAGE),
    "another version": (lambda content: edited(content, 4, b"\2"), BootState.OTHER_VERSION),
    "another machine": (lambda content: edited(content, 11, bytes([content[11] ^ 1])), BootState.OTHER_MACHINE),
    "too long": (lambda content: edited(content, 12, b"\0\0\xef\0"), BootState.TOO_LONG),
    "truncated": (lambda content: content[:-40], BootState.DAMAGED),
    "a bit": (lambda content: edited(content, 7000, bytes([content[7000] ^ 8])), BootState.DAMAGED),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_image(bad, booted, content):
    """The reason is in the register, nothing was loaded, and a host can do all."""
    change, state = BAD[bad]
    board = booted(change(content))
    assert board.identify().digest == "00" * 32
    assert board.boot_state() is state
    assert board.read("check_rows", count=4) == [0] * 4
    assert board.read("sample_length") == [0]


def test_an_image_that_asks_for_too_much(booted, machine, tiny):
    """A row that the machine has not, under the right CRC: all before it is there, and no digest says that all is.
    A host loads as ever."""
    image = boot_image(tiny, machine)
    beyond = encode_request(1, Request.LOAD, load_payload(0, 1 << 30, 0, b"\1\1"))
    first, _, rest = image.stream.partition(b"\0")
    board = booted(replace(image, stream=first + b"\0" + beyond + rest).encode())
    assert board.identify().digest == "00" * 32
    assert board.boot_state() is BootState.BROKEN
    assert board.load(tiny) is True
    assert board.infer(tiny.samples[:1])[0].trusted


def test_an_image_longer_than_the_flash(machine, tmp_path):
    file = tmp_path / "image.bin"
    file.write_bytes(bytes((15 << 20) + 1))
    with pytest.raises(VirtualBoardError, match=r"image\.bin: does not fit into the flash"):
        VirtualBoard(machine, clock_hz=CLOCK_HZ, flash=FLASH, image=file)


def test_boards_without_it_have_no_such_register(fake):
    assert board_on(fake).boot_state() is None
