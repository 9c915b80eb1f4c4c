# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Synthesis for real FPGA families, by yosys (the native one inside the pyosys wheel): netlists and their area.

The flow reads the component's RTLIL, leaves read-during-write open as `hw/store.py` promises, and maps it to the
family's cells. The netlist is what area figures count, what gate-level simulation runs and what place and route
takes; packing there adds some percent.
"""

import importlib.metadata
import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil  # type: ignore[attr-defined]  # the stubs leave it out
from amaranth.lib import wiring

from ds2ta.errors import Ds2taError
from ds2ta.files import build_folder, digest
from ds2ta.following import follow
from ds2ta.gateware import carry_adders
from ds2ta.gateware.carry_adders import ecp5_script
from ds2ta.gateware.memories import by_rows
from ds2ta.gateware.verilog import signature_ports, snake
from ds2ta.hw.store import without_collision_logic

__all__ = ["TARGETS", "Area", "Netlist", "area", "netlist_digest", "prepared", "synthesize", "synthesize_rtlil"]

_OUTPUTS = """tee -q -o cells.json stat -json
write_json netlist.json
splitnets
write_verilog -noattr -norename netlist.v
"""
_RUN = "import sys; from pyosys import libyosys; libyosys.run_pass('script script.ys')"


@dataclass(frozen=True)
class Area:
    """Mapped cells. `luts` is the figure to compare: on iCE40 the LUT4s (an adder bit is one, its carry is beside
    it), on ECP5 LUT4 + 2 CCU2C (each CCU2C takes the place of two LUTs) + 2 for each 16x4 distributed RAM."""

    target: str
    luts: int
    lut4: int
    carry: int
    registers: int
    block_rams: int
    single_port_rams: int
    distributed_rams: int
    multipliers: int
    other: int


def _ice40(cells: dict[str, int]) -> Area:
    lut4 = cells.pop("SB_LUT4", 0)
    return Area(
        target="ice40",
        luts=lut4,
        lut4=lut4,
        carry=cells.pop("SB_CARRY", 0),
        registers=sum(cells.pop(name) for name in list(cells) if name.startswith("SB_DFF")),
        block_rams=sum(cells.pop(name) for name in list(cells) if name.startswith("SB_RAM40")),
        single_port_rams=cells.pop("SB_SPRAM256KA", 0),
        distributed_rams=0,
        multipliers=cells.pop("SB_MAC16", 0),
        other=sum(cells.values()),
    )


def _ecp5(cells: dict[str, int]) -> Area:
    for free in ("PFUMX", "L6MUX21"):  # the slice's own multiplexers behind its LUTs
        cells.pop(free, 0)
    lut4, carry, distributed = cells.pop("LUT4", 0), cells.pop("CCU2C", 0), cells.pop("TRELLIS_DPR16X4", 0)
    return Area(
        target="ecp5",
        luts=lut4 + 2 * carry + 2 * distributed,
        lut4=lut4,
        carry=carry,
        registers=cells.pop("TRELLIS_FF", 0),
        block_rams=cells.pop("DP16KD", 0),
        single_port_rams=0,
        distributed_rams=distributed,
        multipliers=cells.pop("MULT18X18D", 0),
        other=sum(cells.values()),
    )


def _ice40_script(_text: str, name: str, _folder: Path) -> str:
    # eight cells share one clock enable: one that fewer than four flip-flops use costs more cells than the LUT
    # inputs that it saves (whole board of digits-tiny: 5,018 cells without it, 4,961 with it, and 4,970, 4,971,
    # 4,971 and 5,066 with 2, 3, 5 and 7)
    return f"synth_ice40 -device u -dffe_min_ce_use 4 -top {name}\n"


#: Family -> (commands after the netlist is read, how to read the mapped cells).
TARGETS: dict[str, tuple[Callable[[str, str, Path], str], Callable[[dict[str, int]], Area]]] = {
    "ice40": (_ice40_script, _ice40),
    "ecp5": (ecp5_script, _ecp5),
}


@dataclass(frozen=True)
class Netlist:
    """A mapped design: one flat module `name` whose ports are those of the component (bits keep their order), with
    `clk` and `rst`. `digest` tells all that it was made from; its files lie in `folder`."""

    name: str
    target: str
    folder: Path
    digest: str

    @property
    def json(self) -> Path:
        """The netlist for nextpnr, as `write_json` of yosys writes it."""
        return self.folder / "netlist.json"

    @property
    def verilog(self) -> Path:
        """The netlist as Verilog: instances of the family's cells and `assign` alone, on wires of one bit."""
        return self.folder / "netlist.v"

    @property
    def seconds(self) -> float | None:
        """How long its synthesis took, if that is known."""
        words = (self.folder / "done").read_text().split()
        return float(words[0]) if words else None

    @property
    def cells(self) -> dict[str, int]:
        """Number of cells of each type."""
        cells = json.loads((self.folder / "cells.json").read_text())["design"]["num_cells_by_type"]
        cells.pop("$scopeinfo", None)  # notes about the hierarchy, not logic
        return cells

    @property
    def area(self) -> Area:
        return TARGETS[self.target][1](self.cells)


def prepared(text: str, name: str, target: str) -> tuple[str, str]:
    """RTLIL fit for synthesis, and the digest of all that its netlist depends on."""
    if target not in TARGETS:
        raise Ds2taError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    commands, _ = TARGETS[target]
    text = without_collision_logic(text)
    # a wire named `\port[0]` clashes with the name that yosys gives to bit 0 of `\port`
    text = re.sub(r"\\\S+", lambda found: re.sub(r"\[(\d+)\]", r".\1", found[0]), text)
    sources = [inspect.getsource(part) for part in (carry_adders, commands)]
    return text, digest(text, name, target, *sources, _OUTPUTS, importlib.metadata.version("pyosys"))


def synthesize_rtlil(
    text: str,
    name: str,
    target: str,
    line: Callable[[str], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
) -> Netlist:
    """Map RTLIL `text` of Amaranth (converted with `emit_src=False`) whose top module is `name` to the cells of a
    family. Kept under `build/synthesis/`. `line` is called with each line of yosys, `tick` now and then."""
    text, key = prepared(text, name, target)
    with build_folder("synthesis", f"{name}-{target}-{key}") as folder:
        netlist = Netlist(name, target, folder, key)
        if not (folder / "done").exists():
            (folder / "design.il").write_text(text)
            script = TARGETS[target][0](text, name, folder)
            (folder / "script.ys").write_text(f"read_rtlil design.il\n{script}{_OUTPUTS}")
            # in a process of its own: an error of yosys ends the process that it runs in
            start, output = time.monotonic(), folder / "yosys.log"
            code = follow([sys.executable, "-c", _RUN], folder=folder, output=output, line=line, tick=tick)
            if code or not netlist.verilog.exists():
                tail = output.read_text(errors="replace").strip()[-500:]
                raise Ds2taError(f"synthesis of {name} for {target} failed in {folder}: {tail}")
            output.unlink()
            (folder / "done").write_text(f"{time.monotonic() - start:.1f} seconds\n")
    return netlist


def _rtlil(component: wiring.Component, name: str, unused: Sequence[str]) -> str:
    ports = {key: port for key, port in signature_ports(component).items() if not key.startswith(tuple(unused))}
    with by_rows():
        return rtlil.convert(component, name=name, ports=ports, emit_src=False)


def synthesize(
    component: wiring.Component, target: str, *, name: str | None = None, unused: Sequence[str] = ("trace_",)
) -> Netlist:
    """Map `component` to the cells of a family, as module `name` (default: its class in snake case). Outputs whose
    name starts with one of `unused` are left open, so the logic behind them goes, as in a board design that
    connects none."""
    name = name or snake(component)
    return synthesize_rtlil(_rtlil(component, name, unused), name, target)


def netlist_digest(
    component: wiring.Component, target: str, *, name: str | None = None, unused: Sequence[str] = ("trace_",)
) -> str:
    """The `digest` of what `synthesize` would give, without synthesis."""
    name = name or snake(component)
    return prepared(_rtlil(component, name, unused), name, target)[1]


def area(component: wiring.Component, target: str = "ice40", *, unused: Sequence[str] = ("trace_",)) -> Area:
    """Synthesize `component` for a family and count its cells."""
    return synthesize(component, target, unused=unused).area
