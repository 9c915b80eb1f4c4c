# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The ECP5 load adder: equal to its pattern (proved), found in the engine, one LUT4 saved for each bit."""

import json
import subprocess
import sys

import pytest
from amaranth.back import rtlil

from ds2ta.gateware.load_adder import LoadAdder, carry_cells, ecp5_script, widths
from ds2ta.hw.engine import SynapticEngine

_RUN = "import sys; from pyosys import libyosys; libyosys.run_pass('script script.ys')"
_PROOF = """
read_verilog +/lattice/common_sim.vh +/lattice/ccu2c_sim.vh
read_verilog cells.v
hierarchy -check -top {name}
proc
flatten
rename {name} cells
read_rtlil pattern.il
proc
miter -equiv -flatten -make_outputs {name} cells miter
hierarchy -top miter
opt -full
sat -prove trigger 0 miter
"""


def _yosys(folder, script: str) -> str:
    (folder / "script.ys").write_text(script)
    done = subprocess.run([sys.executable, "-c", _RUN], cwd=folder, capture_output=True, text=True)
    assert not done.returncode, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def _proof(folder, width: int, term_width: int, cells: str) -> bool:
    pattern = LoadAdder(width=width, term_width=term_width)
    (folder / "pattern.il").write_text(rtlil.convert(pattern, name=pattern.name, emit_src=False))
    (folder / "cells.v").write_text(cells)
    log = _yosys(folder, _PROOF.format(name=pattern.name))
    assert ("SUCCESS!" in log) != ("FAIL!" in log)
    return "SUCCESS!" in log


@pytest.mark.parametrize(("width", "term_width"), [(12, 8), (11, 8), (5, 2), (9, 9), (16, 4)])
def test_cells_equal_the_pattern(width, term_width, tmp_path):
    assert _proof(tmp_path, width, term_width, carry_cells(width, term_width))


@pytest.mark.parametrize(
    ("old", "new"), [("wire add = ~load", "wire add = load"), (".INIT0(16'h96AA)", ".INIT0(16'h96A6)")]
)
def test_the_proof_finds_planted_bugs(old, new, tmp_path):
    cells = carry_cells(8, 5)
    assert old in cells
    assert not _proof(tmp_path, 8, 5, cells.replace(old, new))


def test_saves_one_lut_for_each_accumulator_bit(tmp_path):
    engine = SynapticEngine(
        lanes=4, time_steps=2, drain_lanes=2, weight_bits=4, max_shift=1, acc_width=10, address_width=4
    )
    bits = 4 * 2 * 10
    text = rtlil.convert(engine, name="engine", emit_src=False)
    assert (10, 5) in widths(text)
    (tmp_path / "design.il").write_text(text)
    counts = []
    for commands in ("synth_ecp5 -nowidelut -top engine\n", ecp5_script(text, "engine", tmp_path)):
        _yosys(tmp_path, f"read_rtlil design.il\n{commands}tee -q -o cells.json stat -json\n")
        counts.append(json.loads((tmp_path / "cells.json").read_text())["design"]["num_cells_by_type"])
    plain, folded = counts
    assert folded["CCU2C"] == plain["CCU2C"]
    assert folded["LUT4"] <= plain["LUT4"] - bits + 4
