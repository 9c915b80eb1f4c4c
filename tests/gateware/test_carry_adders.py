# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The ECP5 adders: equal to their patterns (proved), found in the engine, the LUTs that they save."""

import json
import subprocess
import sys

import pytest
from amaranth.back import rtlil

from ds2ta.gateware.carry_adders import CarryAdder, DoublingAdder, LoadAdder, MaskedAdder, ecp5_script, patterns
from ds2ta.gateware.synthesis import prepared
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


def _proof(folder, pattern: CarryAdder, cells: str) -> bool:
    (folder / "pattern.il").write_text(rtlil.convert(pattern, name=pattern.name, emit_src=False))
    (folder / "cells.v").write_text(cells)
    log = _yosys(folder, _PROOF.format(name=pattern.name))
    assert ("SUCCESS!" in log) != ("FAIL!" in log)
    return "SUCCESS!" in log


@pytest.mark.parametrize(
    ("kind", "width", "a_width", "b_width"),
    [
        *((LoadAdder, *widths) for widths in [(12, 12, 8), (11, 11, 8), (5, 5, 2), (9, 9, 9), (16, 16, 4)]),
        *((DoublingAdder, *widths) for widths in [(12, 12, 5), (11, 11, 5), (5, 5, 2), (9, 9, 9), (16, 16, 3)]),
        *((MaskedAdder, width + 1, width, width) for width in (2, 3, 4, 7, 8)),
    ],
)
def test_cells_equal_the_pattern(kind, width, a_width, b_width, tmp_path):
    pattern = kind(width=width, a_width=a_width, b_width=b_width)
    assert _proof(tmp_path, pattern, pattern.cells())


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (LoadAdder, "wire add = ~load", "wire add = load"),
        (LoadAdder, ".INIT0(16'h96AA)", ".INIT0(16'h96A6)"),
        (DoublingAdder, ".INIT1(16'h569A)", ".INIT1(16'h56A9)"),
        (DoublingAdder, "{a_bits[2*CELLS-2:0], 1'b0}", "{a_bits[2*CELLS-2:0], 1'b1}"),
        (MaskedAdder, ".INIT0(16'h7888)", ".INIT0(16'h7880)"),
        (MaskedAdder, ".B1(with_b)", ".B1(with_a)"),
    ],
)
def test_the_proof_finds_planted_bugs(kind, old, new, tmp_path):
    pattern = kind(width=8 + (kind is MaskedAdder), a_width=8, b_width=8 if kind is MaskedAdder else 5)
    assert old in pattern.cells()
    assert not _proof(tmp_path, pattern, pattern.cells().replace(old, new))


@pytest.mark.parametrize(
    ("events", "adders", "saved"),
    [
        (1, {(LoadAdder, 10, 5)}, 10),  # the load of each bit
        (2, {(DoublingAdder, 10, 5), (MaskedAdder, 4, 4)}, 10 + 8),  # doubling of each bit, the masks of two rows
    ],
)
def test_saves_luts_for_each_accumulator(events, adders, saved, tmp_path):
    lanes, steps = 4, 2
    engine = SynapticEngine(
        lanes=lanes,
        time_steps=steps,
        drain_lanes=2,
        weight_bits=4,
        max_shift=1,
        acc_width=10,
        address_width=4,
        events=events,
    )
    text, _ = prepared(rtlil.convert(engine, name="engine", emit_src=False), "engine", "ecp5")
    assert adders <= {(type(found), found.a_width, found.b_width) for found in patterns(text)}
    (tmp_path / "design.il").write_text(text)
    counts = []
    for commands in ("synth_ecp5 -nowidelut -top engine\n", ecp5_script(text, "engine", tmp_path)):
        _yosys(tmp_path, f"read_rtlil design.il\n{commands}tee -q -o cells.json stat -json\n")
        counts.append(json.loads((tmp_path / "cells.json").read_text())["design"]["num_cells_by_type"])
    plain, folded = ({"luts": one["LUT4"] + 2 * one["CCU2C"]} for one in counts)
    assert folded["luts"] <= plain["luts"] - lanes * steps * saved + 4
