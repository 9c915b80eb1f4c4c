# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bitstreams: the flow on a small top, refusals before place and route, and the iCEBreaker's bits made again."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
from toy_top import toy

from ds2ta.commands import main as cli
from ds2ta.errors import Ds2taError, FitError
from ds2ta.fpga import design as designing
from ds2ta.fpga.boards import BOARDS, find_board
from ds2ta.fpga.build import TimingError, build, build_board, check_fit, last_seconds, up_to_date
from ds2ta.fpga.design import design
from ds2ta.fpga.tool_log import PHASES
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.records.boards import read_boards

ICEBREAKER = find_board("icebreaker")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(designing, "BoardTop", toy(2))


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(designing, "BoardTop", toy(11))


@pytest.mark.parametrize(("name", "pll_cells"), [("icebreaker", "SB_PLL40_PAD"), ("orangecrab", "EHXPLLL")])
def test_a_build(name, pll_cells, quick, tmp_path):
    board = find_board(name)
    wanted = design(board)
    report = build(wanted, cycles=[900, 1100], folder=tmp_path)
    bits = (tmp_path / board.bitstream).read_bytes()
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["sha256"] == hashlib.sha256(bits).hexdigest()
    assert (report["digest"], report["seed"]) == (wanted.digest, board.seed)
    clock = report["timing"]
    assert clock["held"]
    assert clock["clock_hz"] == board.core_hz, "the PLL reaches what the board asks for"
    assert clock["fmax_hz"] >= clock["clock_hz"]
    assert report["cycles_per_image"] == 1000
    assert report["images_per_second"] == board.core_hz / 1000
    assert pll_cells in wanted.rtlil
    # 16 + 16 registers and those of the reset, all found in their blocks
    blocks = report["blocks"]
    assert (blocks["board"]["registers"], blocks["board.accelerator"]["registers"]) == (16, 16)
    assert sum(block["registers"] for block in blocks.values()) == report["resources"]["registers"]["mapped"]
    path = clock["critical_path"]
    assert path["blocks"][-1] in ("board.accelerator", "clock")
    assert path["logic_ns"] + path["routing_ns"] == pytest.approx(1e9 / clock["fmax_hz"], abs=0.1)

    before = (tmp_path / board.bitstream).stat().st_mtime_ns
    assert report["work"] == {}
    again = build(wanted, cycles=[1], work={"done_percent": 12.5}, folder=tmp_path)
    assert again == report | {"work": {"done_percent": 12.5}}, "what is there tells of the work at hand"
    assert (tmp_path / board.bitstream).stat().st_mtime_ns == before, "built again for nothing"
    again = tmp_path / "again"
    other = build(wanted, cycles=[900, 1100], folder=again)
    assert set(report["seconds"]) == set(PHASES)
    assert other["seconds"]["synthesis"] == report["seconds"]["synthesis"], "the netlist was there: its own seconds"
    assert last_seconds(again) == other["seconds"]
    assert last_seconds(again / "none") == {}
    assert {**other, "seconds": {}} == {**report, "seconds": {}}
    assert (again / board.bitstream).read_bytes() == bits, "the same design, other bits"
    (again / board.bitstream).write_bytes(bits[:-1])
    assert up_to_date(again, wanted) is None, "a damaged bitstream counts as built"


def test_a_missed_clock_fails_the_build(slow, tmp_path):
    (tmp_path / ICEBREAKER.bitstream).write_text("of an older design")
    with pytest.raises(TimingError) as missed:
        build(design(ICEBREAKER), cycles=[1], folder=tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    fmax = report["timing"]["fmax_hz"]
    assert not report["timing"]["held"]
    wanted = ICEBREAKER.core_hz
    assert fmax < wanted
    assert f"missed by {1e9 / fmax - 1e9 / wanted:.1f} ns" in str(missed.value)
    assert f"{fmax / 1e6:.2f} MHz routed, {wanted / 1e6:g} MHz wanted" in str(missed.value)
    assert not (tmp_path / ICEBREAKER.bitstream).exists(), "bits that do not work"


def test_a_slower_clock_or_other_seeds_are_tried_when_asked(slow, tmp_path):
    steps = []
    options = {"cycles": lambda *_: [1], "folder": tmp_path, "progress": steps.append}
    with pytest.raises(TimingError):
        build_board(ICEBREAKER, tries=2, seed=5, **options)
    assert [step for step in steps if step.startswith("place")] == [
        "place and route, seed 5",
        "place and route, seed 6",
    ]
    report = build_board(ICEBREAKER, clock_hz=ICEBREAKER.crystal_hz, **options)
    assert (report["timing"]["clock_hz"], report["seed"]) == (12e6, ICEBREAKER.seed)


def test_a_tool_that_fails_is_one_line(quick, tmp_path):
    wanted = design(ICEBREAKER)
    moved = {name: text.replace(" 35", " 99") for name, text in wanted.constraints.items()}
    with pytest.raises(Ds2taError, match=r"icebreaker: nextpnr-ice40 failed in .*ERROR: Loading PCF failed"):
        build(dataclasses.replace(wanted, constraints=moved), cycles=[1], folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "pins"),
    [
        ("icebreaker", {"cs": "16", "clk": "15", "copi": "14", "cipo": "17", "wp": "12", "hold": "13"}),
        ("ulx3s_85f", {"cs": "R2", "copi": "W2", "cipo": "V2", "wp": "Y2", "hold": "W1"}),
        ("ulx3s_25f", {"cs": "R2", "copi": "W2", "cipo": "V2", "wp": "Y2", "hold": "W1"}),
        ("orangecrab", {"cs": "U17", "copi": "U18", "cipo": "T18", "wp": "R18", "hold": "N18"}),
    ],
)
def test_pins_of_the_flash(name, pins, quick):
    """As the boards' schematics have them; on ECP5 the clock is the configuration's. Without it there are none."""
    board = find_board(name)
    wanted = design(board, boots=True)
    (text,) = wanted.constraints.values()
    places = dict(re.findall(r'"?spi_flash\w*_0__(\w+)__io"?(?: SITE)? "?(\w+)"?;?$', text, re.M))
    assert places == pins
    assert ("\\USRMCLK " in wanted.rtlil) == (board.family == "ecp5")
    without = design(board)
    assert "spi_flash" not in without.rtlil + "".join(without.constraints.values())
    assert without.digest != wanted.digest


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s_25f"])
def test_a_build_that_boots(name, quick, tmp_path):
    """Synthesis and nextpnr take flash pins and clock."""
    wanted = design(find_board(name), boots=True)
    assert build(wanted, cycles=[1], folder=tmp_path)["timing"]["held"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_pins_and_crystal_reach_the_tools(board, quick):
    (text,) = design(board).constraints.values()
    ports = ["uart_0__rx__io", "uart_0__tx__io", f"{board.crystal.resource}_0__io"]
    assert all(port in text for port in ports)
    hz = f"{board.crystal_hz / 1e6}" if board.family == "ice40" else f"{board.crystal_hz / 1.0} HZ"
    assert hz in text


def test_the_digest_is_of_all_that_decides(quick, monkeypatch):
    first = design(ICEBREAKER)
    assert design(ICEBREAKER).digest == first.digest
    digests = [
        first.digest,
        design(ICEBREAKER, seed=2).digest,
        design(ICEBREAKER, clock_hz=18e6).digest,
        design(find_board("ulx3s_25f")).digest,
        design(find_board("orangecrab")).digest,
        design(ICEBREAKER, model=dataclasses.replace(first.model, provenance={"note": "another"})).digest,
        dataclasses.replace(first, constraints={}).digest,
    ]
    monkeypatch.setattr(designing, "BoardTop", toy(3))
    digests.append(design(ICEBREAKER).digest)
    monkeypatch.setattr(designing, "BoardTop", toy(2))
    digests.append(dataclasses.replace(first, tools={"pyosys": "0.1"}).digest)
    assert len(set(digests)) == len(digests)


def test_hash_seeds_make_no_difference():
    code = (
        "from ds2ta.fpga.boards import find_board; from ds2ta.fpga.design import design; "
        "print(design(find_board('icebreaker')).digest)"
    )
    found = set()
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert found == {design(ICEBREAKER).digest + "\n"}


@pytest.mark.parametrize(
    ("board", "choices", "words"),
    [
        ("icebreaker", {"weights": "ram", "weight_rows": 3841}, r"31 block RAM .* it has 30: set weights=spram"),
        ("icebreaker", {"weight_rows": 32_769}, r"6 SPRAM .* it has 4: take a smaller model"),
        ("ulx3s_85f", {"weights": "spram", "events": 1}, r"16 SPRAM needed .* it has 0: set weights=ram"),
        (
            "icebreaker",
            {"banks": "spram"},
            r"6 SPRAM needed for bank_rows \d+ of 8 channels in both banks, and weight_rows \d+ of 8 lanes, alone, "
            r"it has 4: set weights=ram or banks=block, or row_lanes, or lanes, to less",
        ),
        (
            "ulx3s_85f",
            {"banks": "spram", "pipeline": "short"},
            r"16 SPRAM needed for bank_rows \d+ of 32 channels in both banks alone, it has 0: set banks=block",
        ),
        ("ulx3s_85f", {"weight_rows": 15_000}, r"209 block RAM needed .* it has 208: take a smaller model"),
    ],
)
def test_memories_are_refused_before_synthesis(board, choices, words, quick):
    with pytest.raises(FitError, match=f"{board}: {words}"):
        design(find_board(board), choices=choices)


def test_memories_that_just_fit(quick):
    design(ICEBREAKER, choices={"weights": "ram", "weight_rows": 3840})
    design(ICEBREAKER, choices={"weight_rows": 32_768})
    design(ICEBREAKER, choices={"banks": "spram", "row_lanes": 4, "score_channels": 4})
    design(find_board("ulx3s_85f"), choices={"weight_rows": 14_976})


def test_a_design_that_is_too_large_is_refused_before_place_and_route(quick, tmp_path):
    small = dataclasses.replace(ICEBREAKER, limits=ICEBREAKER.limits | {"luts": 30})
    with pytest.raises(FitError, match=r"icebreaker: needs [0-9]+ LUT, has 30: lower "):
        build(dataclasses.replace(design(ICEBREAKER), board=small), cycles=[1], folder=tmp_path)
    assert not (tmp_path / "top.tim").exists(), "place and route has run"


@pytest.mark.parametrize(
    ("name", "limits", "message"),
    [
        ("ulx3s_25f", {"block_rams": 48}, "ulx3s_25f: about 49 block RAM of 48; --optimize looks for a smaller"),
        ("ulx3s_25f", {"multipliers": 15}, "ulx3s_25f: about 16 DSP of 15; "),
        ("icebreaker", {"luts": 4000}, r"icebreaker: about 5\d{3} LUT of 4000; "),
    ],
)
def test_a_machine_that_is_too_large_is_refused_before_synthesis(name, limits, message, monkeypatch):
    """By the estimate; what it cannot know within its error goes on."""
    board = find_board(name)
    design(dataclasses.replace(board, limits=board.limits | {"luts": int(0.95 * board.limits["luts"])}))
    monkeypatch.setattr(designing, "hardware", lambda *_, **__: pytest.fail("it was elaborated"))
    with pytest.raises(FitError, match=message):
        design(dataclasses.replace(board, limits=board.limits | limits))


def test_fit():
    """The limit is accepted, one more is refused, with the parameter of the block that takes most."""
    blocks = {"engine": {"luts": 10, "registers": 10}, "attention": {"luts": 20, "block_rams": 9}}
    for name, limit in ICEBREAKER.limits.items():
        check_fit(ICEBREAKER, {name: limit}, blocks)
        with pytest.raises(FitError, match=f"needs {limit + 1} .* has {limit}"):
            check_fit(ICEBREAKER, {name: limit + 1}, blocks)
    for name, mend in {"luts": "score_channels", "registers": "lanes", "block_rams": "score_channels"}.items():
        with pytest.raises(FitError, match=f"lower {mend}"):
            check_fit(ICEBREAKER, {name: 99_999}, blocks)
    with pytest.raises(FitError, match="set shifters=logic"):
        check_fit(ICEBREAKER, {"multipliers": 9}, blocks)


@pytest.mark.long(on=lambda: design(ICEBREAKER).digest)
def test_the_icebreaker_again(tmp_path):
    """The whole build, anew and in another folder, gives the recorded bits: another day, another machine."""
    recorded = read_boards().get("icebreaker/digits-tiny")
    assert recorded is not None, "run `ds2ta build --board all --record`"
    report = build(design(ICEBREAKER), cycles=[1], folder=tmp_path)
    assert report["sha256"] == recorded["sha256"], "run `ds2ta build --board all --record`"
    for key in ("timing", "resources", "blocks"):
        assert report[key] == recorded[key]
    # by value: a parameter that came later has its default in the older record
    assert machine_from_dict(report["machine"]) == machine_from_dict(recorded["machine"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "icestick"], f"board 'icestick': must be one of {', '.join(BOARDS)}"),
        (
            ["--board", "icebreaker", "--record", "--seed", "2"],
            "--record: boards are recorded as they are by default",
        ),
        (
            ["--board", "icebreaker", "--record", "--model", "cifar-ecp5"],
            "--record: icebreaker has no fitting for cifar-ecp5 in fpga/boards.py, it has: none",
        ),
        (["--board", "all", "--out", "x"], "--out x: takes one board"),
        (["--board", "icebreaker", "--clock", "300"], "clock: 300 MHz is out of reach"),
        (["--board", "icebreaker", "--set", "lane=8"], "KEY one of lanes"),
        (["--board", "icebreaker", "--model", "nowhere.safetensors"], "no such model file"),
    ],
)
def test_mistakes(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ds2ta", "build", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not any(tmp_path.iterdir())
