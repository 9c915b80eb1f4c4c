# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The programs in examples/ run, and say that the hardware gives what golden gives."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "examples"


def run(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """What own_network.py printed, and where it left its files."""
    folder = tmp_path_factory.mktemp("examples")
    return run("own_network.py", folder), folder


def test_own_network(own):
    printed, folder = own
    accuracy = float(re.match(r"([\d.]+) % of 360 held-out digits", printed)[1])
    assert accuracy > 60
    layers = re.findall(r"(\d+) of (\d+) layers equal to golden, logits equal", printed)
    assert len(layers) == 2
    assert all(equal == shown and int(shown) >= 12 for equal, shown in layers)
    assert (folder / "own-integer.safetensors").is_file()


def test_checkpoint_to_verilog(own, tmp_path):
    printed = run("checkpoint_to_verilog.py", own[1] / "own.safetensors", tmp_path / "verilog")
    cycles = re.search(r"(\d+) cycles, (\d+) predicted", printed)
    assert cycles[1] == cycles[2]
    assert re.search(r"Verilog (\[.*\])\nlogits of golden      \1\n", printed)
    assert "module accelerator(" in (tmp_path / "verilog" / "accelerator.v").read_text()


def test_virtual_board():
    printed = run("virtual_board.py")
    assert "8 x 4 lanes at 24 MHz" in printed
    assert len(re.findall(r"memories good; logits equal golden", printed)) == 3


def test_spikingjelly_spikformer(tmp_path):
    """It writes what `ds2ta import` takes; tests/docs/test_spikingjelly.py goes on from there."""
    assert "epoch 0: loss" in run("spikingjelly_spikformer.py", tmp_path / "x.pth", "--epochs", "1")
    assert (tmp_path / "x.pth").stat().st_size > 10_000


def test_every_example_is_run_and_described():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text()))
    page = (EXAMPLES / "README.md").read_text()
    assert names == set(re.findall(r"\]\((\w+\.py)\)", page))
