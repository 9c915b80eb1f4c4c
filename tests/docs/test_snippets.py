# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What the documents show as program text runs; what they tell the reader to make exists."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.modelfile import load_model
from ds2ta.sim.virtual import VirtualBoard

TOP = Path(__file__).resolve().parents[2]
PAGES = [
    TOP / name
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md", "models/README.md")
]
PAGES += sorted((TOP / "docs").rglob("*.md"))
DEVICE = "/dev/ttyUSB1"
#: Page -> the test that its snippet is taken from.
TAKEN = {"docs/adding-a-block.md": "tests/hw/test_packer.py"}


def blocks() -> list[tuple[str, str]]:
    """(page, source) of every block of Python."""
    return [
        (str(page.relative_to(TOP)), source)
        for page in PAGES
        for source in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
    ]


def run(source: str, folder: Path) -> str:
    """What a program prints, in a folder with the models."""
    (folder / "models").symlink_to(TOP / "models")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("page", "source"), blocks(), ids=[page for page, _ in blocks()])
def test_python_blocks_run(page, source, tmp_path):
    if page in TAKEN:
        assert source in (TOP / TAKEN[page]).read_text(), f"{page}: not what stands in {TAKEN[page]}"
        return
    with contextlib.ExitStack() as stack:
        if DEVICE in source:
            model = load_model(model_path("digits-tiny"))
            machine, _ = fit(model, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
            board = stack.enter_context(VirtualBoard(machine, model, clock_hz=24_000_000))
            source = source.replace(DEVICE, board.device) + "print([a.class_index for a in results])\n"
        printed = run(source, tmp_path)
    if page == "README.md":
        assert printed == "[2, 7, 8]\n"


def test_there_are_blocks():
    assert {page for page, _ in blocks()} >= {"README.md", "docs/model-file.md", "docs/layer-program.md", *TAKEN}


def test_a_block_that_fails_is_seen(tmp_path):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run("1 / 0", tmp_path)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.M))
    shown = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"(?:^ {4}|^|`)make ([a-z-]+)\b", page.read_text(), re.M)
    }
    assert len(shown) > 10
    assert {(page, target) for page, target in shown if target not in targets} == set()
