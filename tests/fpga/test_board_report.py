# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Reports of builds: what is read from the tools' files."""

import pytest

from ds2ta.fpga.report import Blocks, critical_path, packed, timing


def cell(kind: str, *, src: str = "", inputs: dict | None = None, outputs: dict | None = None) -> dict:
    ports = {**dict.fromkeys(inputs or {}, "input"), **dict.fromkeys(outputs or {}, "output")}
    connections = {name: [bit] for name, bit in {**(inputs or {}), **(outputs or {})}.items()}
    attributes = {"src": src} if src else {}
    return {"type": kind, "attributes": attributes, "port_directions": ports, "connections": connections}


SCOPES = ["core", "core.link", "core.accelerator", "core.accelerator.engine", "core.accelerator.lif", "clock"]
INNER = {"core.accelerator.lif.stage": "top.core.accelerator.lif.stage"}


@pytest.fixture
def netlist():
    cells = {scope: cell("$scopeinfo") for scope in [*SCOPES, *INNER]}
    cells |= {
        # a register that bears the name of the port that it drives
        "core.accelerator.lif.i_SB_DFFE_Q": cell(
            "SB_DFFE", src="top.core.accelerator.engine|/anywhere/ff_map.v:1.2-3", inputs={"D": 5}, outputs={"Q": 6}
        ),
        "core.accelerator.lif.i_SB_DFFE_Q_D_SB_LUT4_O": cell("SB_LUT4", inputs={"I0": 4}, outputs={"O": 5}),
        "core.accelerator.lif.v_SB_LUT4_O": cell("SB_LUT4", inputs={"I0": 6}, outputs={"O": 7}),
        "other_SB_LUT4_O": cell("SB_LUT4", inputs={"I0": 6}, outputs={"O": 4}),
        "core.accelerator.now_SB_DFF_Q": cell(
            "SB_DFF", src="top.core.accelerator", inputs={"D": 7}, outputs={"Q": 8}
        ),
        "core.link.memory.0": cell("SB_RAM40_4K", src="top.core.link", inputs={"RE": 8}, outputs={"R": 9}),
        "core.accelerator.lif.stage.v": cell(
            "SB_CARRY", src=INNER["core.accelerator.lif.stage"], inputs={"I0": 9}, outputs={"CO": 10}
        ),
    }
    return {"modules": {"top": {"cells": cells}}}


def test_cells_are_counted_in_their_blocks(netlist):
    blocks = Blocks(netlist)
    counts = blocks.counts("ice40")
    found = {block: {name: count for name, count in own.items() if count} for block, own in counts.items()}
    assert found == {
        "engine": {"luts": 1, "registers": 1},
        "core.accelerator": {"luts": 1, "registers": 1},  # the LUT in front of `now` has no other use
        "top": {"luts": 1},
        "link": {"block_rams": 1},
    }
    for packed_name, block in {
        "core.accelerator.lif.i_SB_DFFE_Q_DFFLC": "engine",
        "core.accelerator.lif.i_SB_DFFE_Q_D_SB_LUT4_O_LC": "engine",
        "core.link.memory.0_RAM": "link",
        "core.accelerator.lif.stage.v": "lif",
        "core.accelerator.lif.new$nextpnr_buffer": "lif",
        "nowhere": "top",
    }.items():
        assert blocks.of(packed_name) == block


def test_two_parts_of_one_name(netlist):
    """The reader of an external memory in the core, and that of rows in the accelerator: each is counted alone."""
    cells = netlist["modules"]["top"]["cells"]
    for scope in ("core.reader", "core.accelerator.reader"):
        cells[scope] = cell("$scopeinfo")
        cells[f"{scope}.at_SB_DFF_Q"] = cell("SB_DFF", src=f"top.{scope}", inputs={"D": 4}, outputs={"Q": 11})
    blocks = Blocks(netlist)
    counts = blocks.counts("ice40")
    assert [counts[name]["registers"] for name in ("core.reader", "reader")] == [1, 1]
    assert blocks.of("core.accelerator.reader.at_SB_DFF_Q_DFFLC") == "reader"


LOG = """
Info: Device utilisation:
Info: 	         ICESTORM_LC:    3981/   5280    75%
Info: 	        ICESTORM_RAM:      19/     30    63%
Info: 	      ICESTORM_SPRAM:       2/      4    50%
Info: 	        ICESTORM_DSP:       0/      8     0%
"""


def test_packed_cells():
    wanted = {"luts": 3981, "block_rams": 19, "single_port_rams": 2, "multipliers": 0}
    assert packed("ice40", LOG) == wanted
    assert packed("ecp5", "Info:           TRELLIS_COMB: 17897/83640    21%\n") == {"luts": 17897}


def routed(**clocks) -> dict:
    fmax = {name: {"achieved": achieved, "constraint": wanted} for name, (achieved, wanted) in clocks.items()}
    return {"fmax": fmax}


@pytest.mark.parametrize(
    ("clocks", "answer"),
    [
        ({"clk": (24.0, 24.0)}, (24e6, True)),
        ({"clk": (23.99, 24.0)}, (23.99e6, False)),
        ({"clk": (30.0, 24.0), "crystal": (11.0, 12.0)}, (30e6, False)),
        ({"clk": (30.0, 24.0), "crystal": (200.0, 12.0)}, (30e6, True)),
    ],
)
def test_every_clock_must_hold(clocks, answer):
    assert timing(routed(**clocks), 24e6) == pytest.approx(answer)


def test_another_clock_than_the_design_speaks_of():
    with pytest.raises(ValueError, match="no clock of the routed design"):
        timing(routed(clk=(60.0, 12.0)), 24e6)


def hop(kind: str, delay: float, start: str, end: str) -> dict:
    return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}


def test_critical_path(netlist):
    register, logic, end = (
        "core.accelerator.lif.i_SB_DFFE_Q_DFFLC",
        "core.accelerator.lif.v_SB_LUT4_O_LC",
        "core.accelerator.now_SB_DFF_Q_DFFLC",
    )
    long = [
        hop("clk-to-q", 1.4, register, register),
        hop("routing", 3.0, register, logic),
        hop("logic", 0.9, logic, logic),
        hop("routing", 2.0, logic, end),
        hop("setup", 0.1, end, end),
    ]
    paths = [
        {"from": "posedge clk", "to": "posedge clk", "path": long[:2]},
        {"from": "posedge clk", "to": "posedge clk", "path": long},
        {"from": "<async>", "to": "posedge clk", "path": long * 2},
    ]
    assert critical_path({"critical_paths": paths}, Blocks(netlist)) == {
        "from": "core.accelerator.lif.i",
        "to": "core.accelerator.now",
        "blocks": ["engine", "core.accelerator"],
        "levels": 1,
        "logic_ns": 2.4,
        "routing_ns": 5.0,
    }
