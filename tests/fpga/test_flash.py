# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta flash`: whatever is missing (board, library, package) or goes wrong is one line and exit code 2."""

import os
import sys

import pytest

from ds2ta.commands import main as cli
from ds2ta.errors import Ds2taError
from ds2ta.fpga import flash as flashing
from ds2ta.fpga.boards import BOARDS, find_board

BOARD = find_board("ulx3s_25f")


def attach(folder, vendor: str, product: str) -> None:
    device = folder / "1-1"
    device.mkdir()
    (device / "idVendor").write_text(vendor + "\n")
    (device / "idProduct").write_text(product + "\n")


@pytest.fixture
def usb(tmp_path, monkeypatch):
    """The folder in which the kernel shows USB devices, empty."""
    folder = tmp_path / "usb"
    folder.mkdir()
    monkeypatch.setattr(flashing, "_USB", folder)
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """Puts a program of our own in the place of openFPGALoader; it notes its arguments."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(ending: str):
        program = folder / "openFPGALoader"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\n{ending}\n')
        program.chmod(0o755)
        return folder / "arguments"

    return make


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_is_found_by_its_usb_numbers(board, usb):
    vendor, product = board.usb
    with pytest.raises(Ds2taError, match=f"no {board.name} is attached: .* {vendor:04x}:{product:04x}$"):
        flashing.check_attached(board)
    attach(usb, f"{vendor:04x}", f"{product:04x}")
    flashing.check_attached(board)


def test_another_device_is_no_board(usb):
    attach(usb, "0403", "6001")
    with pytest.raises(Ds2taError, match="no ulx3s_25f is attached"):
        flashing.check_attached(BOARD)


def test_other_systems_leave_it_to_openfpgaloader(usb, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    flashing.check_attached(BOARD)


def test_the_loader_gets_board_and_file(loader, tmp_path):
    arguments = loader("exit 0")
    for board in BOARDS.values():
        flashing.flash(board, tmp_path / board.bitstream)
        assert arguments.read_text().split("\n")[:-1] == [*board.loader, str(tmp_path / board.bitstream)]
    assert "--write-flash" in find_board("icebreaker").loader


LIBRARY = "openFPGALoader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file"


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        # what openFPGALoader 1.1.1 says: an FTDI chip, a DFU device, anything else
        ("echo 'unable to open ftdi device: -3 (device not found)' >&2; exit 1", "no ulx3s_25f is attached"),
        ("echo 'DFU init failed with: No DFU compatible device found' >&2; exit 1", "no ulx3s_25f is attached"),
        (f"echo '{LIBRARY}' >&2; exit 127", "libusb-1.0.so.0 is missing; on Debian: apt-get install"),
        ("echo Parse file; echo 'Error: idcode mismatch' >&2; exit 1", "failed: Error: idcode mismatch"),
        ("exit 1", "openFPGALoader failed: no output"),
    ],
)
def test_failures_are_one_line(ending, words, loader, tmp_path):
    loader(ending)
    with pytest.raises(Ds2taError) as failed:
        flashing.flash(BOARD, tmp_path / "x.bit")
    assert words in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("board", "words"),
    [("icebreaker", "error: no icebreaker is attached"), ("", "error: board '': must be one of icebreaker, ")],
)
def test_command(board, words, usb, monkeypatch, capsys):
    """Without a board nothing is built first."""
    monkeypatch.setattr("sys.argv", ["ds2ta", "flash", "--board", board])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(words)
    assert err.count("\n") == 1
