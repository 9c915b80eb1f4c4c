# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What emitted Verilog must satisfy, shared by the tests of small designs and of the shipped machines."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ds2ta.gateware.verilog import WAIVERS
from ds2ta.sim.verilator import primitives, verilate

__all__ = ["assert_plain", "icarus_accepts", "needs_icarus", "verilator_accepts", "yosys_accepts"]

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not installed (.ci/run installs it)"
)
_KEPT_ATTRIBUTES = {"no_rw_check", "ram_style", "rom_style"}
_STATEMENTS = {"input", "output", "wire", "reg", "assign", "always", "initial", "end"}


def assert_plain(text: str) -> None:
    """Only `assign`, `always @(posedge clk)`, memory contents and instances; plain names; nothing undefined."""
    attributes = set(re.findall(r"\(\* (\w+) = [^*]*\*\)", text))
    assert attributes <= _KEPT_ATTRIBUTES
    code = re.sub(r"//.*|\(\*.*?\*\)", "", text)
    assert "\\" not in code  # no escaped names
    assert set(re.findall(r"\$\w*", code)) <= {"$signed"}
    assert not re.search(r"\b_\d+_\b", code)  # no numbers for names
    assert not re.search(r"'[bhd][0-9a-fxz]*[xz]", code)
    assert set(re.findall(r"\balways\b *(@ *\(.*?\)|\S*)", code)) <= {"@(posedge clk)"}
    modules = set(re.findall(r"^module (\w+)", code, re.M))
    first_words = set(re.findall(r"^  (\w+)", code, re.M))
    assert first_words - _STATEMENTS - modules <= {"SB_SPRAM256KA"}
    assert not re.search(r"/(home|root|usr|var|mnt)/", text)


def verilator_accepts(text: str, folder: Path, waived=tuple(WAIVERS)) -> None:
    """`-Wall` less the waived rules; raises ToolError with the first warning."""
    (folder / "design.v").write_text(text)
    options = ["--lint-only", "-Wall", *(f"-Wno-{rule}" for rule in waived)]
    top = re.search(r"^module (\w+)", text, re.M)[1]
    verilate([*options, "--top-module", top, "design.v", *primitives(text)], folder)


def icarus_accepts(text: str, folder: Path) -> None:
    """As Verilog-2001, all warnings on, none shown."""
    (folder / "design.v").write_text(text)
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-o", "design.vvp", "design.v", *primitives(text)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def yosys_accepts(text: str, folder: Path) -> None:
    """No latch, no combinational loop, nothing undriven, no two drivers, one clock edge."""
    (folder / "design.v").write_text(text)
    top = re.search(r"^module (\w+)", text, re.M)[1]
    script = ["read_verilog design.v", *(f'read_verilog -lib "{file}"' for file in primitives(text))]
    script += [f"hierarchy -check -top {top}", "proc", "check -assert", "select -assert-none t:$*latch* t:$adff*"]
    run = "import sys; from pyosys import libyosys; [libyosys.run_pass(line) for line in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", run, *script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Found and reported 0 problems" in done.stdout
