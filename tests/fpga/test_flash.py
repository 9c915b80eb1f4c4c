# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta flash`: whatever is missing (board, library, package) or goes wrong is one line and exit code 2."""

import os
import sys

import pytest

from ds2ta.commands import main as cli
from ds2ta.errors import Ds2taError, FitError
from ds2ta.files import model_path
from ds2ta.fpga import flash as flashing
from ds2ta.fpga.boards import BOARDS, find_board
from ds2ta.fpga.boot_format import read_image
from ds2ta.fpga.design import flash_of
from ds2ta.gateware.compiler import fit
from ds2ta.modelfile import load_model, model_digest

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


def test_a_model_goes_behind_the_bitstream(loader, tmp_path):
    arguments = loader(f"cat {tmp_path}/programs/arguments >> {tmp_path}/all")
    image, bitstream = tmp_path / "model.bin", tmp_path / "board.bit"
    image.write_bytes(b"D2BT")
    bitstream.write_bytes(b"bits")
    places = {"icebreaker": 0x10_0000, "ulx3s_85f": 0x20_0000, "ulx3s_25f": 0x20_0000, "orangecrab": None}
    for name, place in places.items():
        (tmp_path / "all").unlink(missing_ok=True)
        flashing.flash_with_model(find_board(name), bitstream, image)
        assert arguments.is_file()
        calls = (tmp_path / "all").read_text().split("\n")[:-1]
        tool = {"icebreaker": "ice40_generic", "orangecrab": "orangeCrab"}.get(name, "ulx3s")
        to_flash = ["--board", tool, "--write-flash"] if place else ["--board", tool]
        where = ["--offset", hex(place)] if place else ["--altsetting", "1"]
        assert calls == [*to_flash, *where, str(image), *to_flash, str(bitstream)], "the model first"


#: Ends of regions: the longest bitstream and the longest image that fit.
LIMITS = {
    "icebreaker": (0x10_0000, (15 << 20) - (1 << 16)),
    "ulx3s_85f": (0x20_0000, (14 << 20) - (1 << 16)),
    "ulx3s_25f": (0x20_0000, (14 << 20) - (1 << 16)),
    "orangecrab": (0x08_0000, (15 << 20) - (1 << 16)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_bitstream_and_model_do_not_overlap(name, loader, tmp_path):
    """Nothing is written where one of them is too long."""
    board, (bits, model) = find_board(name), LIMITS[name]
    board.flash.check_places(name, bitstream=bits, image=model)
    assert flash_of(board, board.core_hz).room == model, "what the board takes"
    with pytest.raises(FitError, match=f"{name}: its bitstream of {bits + 1} bytes ends at 0x.*, the model beg"):
        board.flash.check_places(name, bitstream=bits + 1, image=1)
    with pytest.raises(FitError, match=f"{name}: an image of {model + 1} bytes at 0x.*: {model} may be ther"):
        board.flash.check_places(name, bitstream=1, image=model + 1)
    arguments = loader("exit 0")
    image, bitstream = tmp_path / "model.bin", tmp_path / "board.bit"
    image.write_bytes(b"D2BT")
    bitstream.write_bytes(bytes(bits + 1))
    with pytest.raises(FitError, match="take a smaller machine"):
        flashing.flash_with_model(board, bitstream, image)
    assert not arguments.exists()


def test_command_with_a_model(usb, loader, tiny, monkeypatch, capsys, tmp_path):
    """Built to boot, for that model; the image is that of the machine that was built."""
    attach(usb, "0403", "6010")
    arguments = loader(f"cat {tmp_path}/programs/arguments >> {tmp_path}/all")
    built = {}

    def fake(board, **options):
        built.update(options)
        options["folder"].mkdir(parents=True, exist_ok=True)
        (options["folder"] / board.bitstream).write_bytes(b"bits")
        machine, _ = fit(tiny, **{**board.choices, **options["choices"]})
        return {"machine": machine.model_dump()}

    monkeypatch.setattr(cli, "_built", fake)
    monkeypatch.setattr(cli, "BUILD", tmp_path)
    words = ["ds2ta", "flash", "--board", "icebreaker", "--model", "digits-tiny", "--set", "lanes=16"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, _ = capsys.readouterr()
    assert ended.value.code == 0
    assert (built["boots"], built["choices"]["lanes"]) == (True, 16)
    folder = tmp_path / "fpga" / "icebreaker-boot"
    machine, _ = fit(tiny, **{**find_board("icebreaker").choices, "lanes": 16})
    assert read_image(folder / "model.bin", machine).stream
    assert arguments.is_file()
    assert (tmp_path / "all").read_text().split("\n")[-2] == str(folder / "icebreaker.bin")
    assert f"at 0x100000, {folder / 'model.bin'} are in its flash" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("flash --board icebreaker --set lanes=8", "flash: --set makes a machine for a model, add --model"),
        ("boot-image digits-tiny --out OUT", "boot-image: say for which board: --board NAME, or --virtual"),
        ("boot-image digits-tiny --out OUT --virtual --board icebreaker", "boot-image: say for which board"),
        ("boot-image digits-tiny --out OUT --board icestick", "board 'icestick': must be one of"),
        ("boot-image digits-small --out OUT --board icebreaker --built-for digits-tiny", "acc_width must be 11"),
        ("board --virtual --boot-image OUT", "begins with b'PK', not b'D2BT': no image of"),
    ],
)
def test_mistakes_with_images(words, message, tmp_path, monkeypatch, capsys):
    """One line, and nothing is written."""
    out = tmp_path / "out.bin"
    out.write_bytes(b"PK")
    monkeypatch.setattr("sys.argv", ["ds2ta", *words.replace("OUT", str(out)).split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    _, err = capsys.readouterr()
    assert ended.value.code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out.read_bytes() == b"PK"


def test_boot_image_command(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.bin"
    monkeypatch.setattr("sys.argv", f"ds2ta boot-image digits-small --board ulx3s_25f --out {out}".split())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said, _ = capsys.readouterr()
    assert ended.value.code == 0
    board, model = find_board("ulx3s_25f"), load_model(model_path("digits-small"))
    machine, _ = fit(model, **board.choices)
    assert read_image(out, machine).digest == model_digest(model)
    assert f"{out.stat().st_size} bytes, for 0x200000 of the flash of ulx3s_25f" in said
    assert "SPI clock 18.75 MHz" in said


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
