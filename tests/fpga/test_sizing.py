# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta plan`: what it says of boards on record, what does not fit, and what is read from a memory."""

import json
from dataclasses import replace

import pytest

from ds2ta.commands import main as cli
from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.fpga.boards import BOARDS, find_board
from ds2ta.fpga.sizing import size
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.stores import memory_image
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.records.boards import read_boards, record_key
from ds2ta.records.mid_size import mid_size_model


def run(monkeypatch, capsys, *words) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ds2ta", "plan", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capsys.readouterr()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_against_the_record(board):
    """Machine and clock are those of the build; block RAM is that, LUTs are within a tenth."""
    model = load_model(board.model_path)
    found = size(model, board, [(model.samples[0], slow.run(model, model.samples[0]))], {})
    report = read_boards()[record_key(board.name, board.model)]
    assert found.machine == machine_from_dict(report["machine"])
    assert found.clock_hz == report["timing"]["clock_hz"]
    used = {name: item["used"] for name, item in report["resources"].items()}
    assert found.area.block_rams == used["block_rams"]
    assert found.shares["luts"] * board.limits["luts"] == pytest.approx(used["luts"], rel=0.1)
    assert found.images_per_second == pytest.approx(report["images_per_second"], rel=0.1)  # one sample of many
    assert (found.memory_bytes, found.bandwidth) == (0, 0)


def test_a_memory_beside_the_chip():
    """All weights are read once for a sample."""
    model, board = mid_size_model(), find_board("ulx3s_25f")
    found = size(model, board, [(model.samples[0], slow.run(model, model.samples[0]))], {})
    machine, program = fit(model, **board.fitting(model).choices)
    assert found.machine == machine
    assert found.memory_bytes == len(memory_image(machine, program))
    assert found.bandwidth == pytest.approx(found.memory_bytes * found.clock_hz / found.cycles)


def test_the_command(monkeypatch, capsys):
    """Boards that hold it side by side, a line for the others; what is set by hand counts."""
    code, out, err = run(monkeypatch, capsys, "digits-small")
    assert (code, err) == (0, "")
    header = next(line for line in out.splitlines() if "ulx3s_25f" in line)
    assert "orangecrab" in header
    assert "icebreaker" not in header
    assert "\nicebreaker: does not fit: " in out
    code, out, _ = run(
        monkeypatch, capsys, "digits-tiny", "--board", "icebreaker", "--set", "drain_lanes=1", "--json"
    )
    (row,) = map(json.loads, out.splitlines())
    assert code == 0
    assert (row["board"], row["machine"]["drain_lanes"], row["clock_hz"]) == ("icebreaker", 1, 30e6)
    assert row["limiting"] == "luts"
    assert row["images_per_second"] == row["clock_hz"] / row["cycles"]


def test_what_fits_nowhere(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, model_path("cifar-ecp5"), "--board", "orangecrab")
    assert (code, out.count("\n")) == (1, 1)
    assert out.startswith("orangecrab: does not fit: 111 block RAM needed for weight_rows ")
    code, out, _ = run(monkeypatch, capsys, "digits-tiny", "--board", "icebreaker", "--set", "lanes=16", "--json")
    assert code == 1
    assert "LUT of 5280; --optimize looks for a smaller machine, `ds2ta plan`" in json.loads(out)["refused"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "arty"], "error: board 'arty': must be one of "),
        (["--set", "lane=8"], "error: --set lane=8: "),
        (["--optimize", "speed"], "error: --optimize speed: must be cycles or area"),
    ],
)
def test_mistakes(words, message, monkeypatch, capsys):
    """They end the command with one line, and are not told as boards that do not fit."""
    code, out, err = run(monkeypatch, capsys, "digits-tiny", *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_area_beyond_the_limits_is_told():
    model, board = load_model(model_path("digits-tiny")), find_board("icebreaker")
    samples = [(model.samples[0], slow.run(model, model.samples[0]))]
    needs = size(model, board, samples, {}).area.packed_luts

    def with_luts(most: int):
        return size(model, replace(board, limits={**board.limits, "luts": most}), samples, {})

    assert with_luts(needs).tight
    assert not with_luts(2 * needs).tight
    with pytest.raises(FitError, match=f"^icebreaker: about {needs} LUT of {needs - 1}; --optimize looks"):
        with_luts(needs - 1)
