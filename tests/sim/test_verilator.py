# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Simulators are built whole or not at all, of one unit of compilation or of many, and a missing tool is named."""

import shutil

import pytest
from test_rtl import Wide

from ds2ta.sim import verilator
from ds2ta.sim.rtl import Rtl
from ds2ta.sim.verilator import ToolError, build_simulator

VERILOG = """module adder(input [7:0] a, input [7:0] b, output [8:0] sum);
  assign sum = a + b;
endmodule
"""
MAIN = """#include "Vtop.h"
#include "more.h"
int main() {
    Vtop top;
    top.a = A;
    top.b = 200;
    top.eval();
    return top.sum == A + 200 ? 0 : 1;
}
"""
WIDTHS = ["WIDTHEXPAND", "DECLFILENAME"]


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """A place for builds of our own; what is compiled once for all stays where it is."""
    (tmp_path / "build").mkdir()
    (verilator.BUILD / "verilated").mkdir(parents=True, exist_ok=True)
    (tmp_path / "build" / "verilated").symlink_to(verilator.BUILD / "verilated")
    monkeypatch.setattr("ds2ta.files.BUILD", tmp_path / "build")
    return tmp_path / "build"


def build(main: str = MAIN, a: int = 100, **more):
    return build_simulator(
        "adder", "adder", VERILOG, main, files={"more.h": f"#define A {a}\n"}, waivers=WIDTHS, **more
    )


def test_units_make_no_difference(builds, monkeypatch):
    values = []
    for unit in (verilator._UNIT, 1):
        monkeypatch.setattr(verilator, "_UNIT", unit)
        with Rtl(Wide(), name=f"wide_{unit}") as rtl:
            rtl.send("i", [5, 6, 7 | 1 << 90])
            rtl.run("o")
            values.append(rtl.collect()["o"].values)
            units = list(rtl.simulator.parent.glob("*.o"))
            assert (len(units) > 3) is (unit == 1)
    assert values[0] == values[1]


def test_every_source_counts(builds):
    """Another main program, header or level of optimization is another simulator."""
    programs = {build(), build(), build(a=3), build(MAIN + "\n"), build(optimize="-O0")}
    assert len(programs) == 4


def test_what_fails_leaves_no_program(builds):
    with pytest.raises(ToolError, match="failed in"):
        build(MAIN.replace("top.b", "top.c"))
    with pytest.raises(ToolError, match="failed in"):
        build(MAIN.replace("int main", "int no_main"))
    assert list(builds.glob("adder/*/simulator")) == []
    assert list(builds.glob("adder/*/*.o")) != [], "the last one was compiled, and not linked"


def test_a_missing_compiler_is_named(builds, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **more: None if name == "c++" else which(name, **more))
    verilator._versions.cache_clear()
    with pytest.raises(ToolError) as caught:
        build()
    needs = "simulation needs a C++ compiler, on Debian: apt-get install g++"
    assert str(caught.value) == f"c++ is not installed; {needs}"
