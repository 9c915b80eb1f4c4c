# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Mapped netlists as fast programs: what yosys made of a component, on the vendor's cells, bit for bit the RTL.

The cells come from the Verilog models that yosys ships with its mapping. Some are replaced by the models in
`sim/cells/`, because yosys has none (ECP5 block RAM and multiplier) or one that hides a hazard (iCE40 block RAM: it
returns the old word when a cycle reads what it writes, where the real one promises nothing), and by `primitives.v`
(SPRAM, likewise). These models return wrong bits then, so a netlist that equals the RTL also shows that its user
never relies on a collision.

This checks synthesis: the mapping, the carry cells of `gateware/carry_adders.py`, the memories without collision
logic; for iCE40 the packing of nextpnr too, see `packed.py`. It does not check place and route.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.lib import wiring

from ds2ta.extras import package_folder
from ds2ta.gateware.synthesis import Netlist, synthesize
from ds2ta.gateware.verilog import WAIVERS
from ds2ta.sim.packed import packed_verilog
from ds2ta.sim.rtl import Rtl
from ds2ta.sim.verilator import PRIMITIVES

__all__ = ["Gates", "gate_verilog", "with_faults"]

_CELLS = Path(__file__).with_name("cells")
#: Family -> files of vendor models below the `share` folder of yosys, and what they want defined.
_LIBRARIES: Mapping[str, tuple[Sequence[str], str]] = {
    "ice40": (["ice40/cells_sim.v"], "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n"),
    "ecp5": (["lattice/common_sim.vh", "lattice/ccu2c_sim.vh"], "`define NO_INCLUDES\n"),
}
#: Rules of `verilator -Wall` that vendor models and netlists break, beside those of emitted Verilog.
_GATE_WAIVERS = {
    **WAIVERS,
    "SPECIFYIGN": "vendor models state delays, a cycle simulation has none",
    "TIMESCALEMOD": "likewise",
    "INITIALDLY": "vendor memories are initialized by delayed assignments",
    "PINMISSING": "a netlist leaves out the outputs that it does not use",
    "PINCONNECTEMPTY": "likewise",
    "UNUSEDPARAM": "parameters about timing and about parts that are not simulated",
    "VARHIDDEN": "vendor models reuse names",
    "GENUNNAMED": "vendor models do not name their generate blocks",
    "UNDRIVEN": "bits of the ports that the mapping leaves open",
    "SYNCASYNCNET": "vendor flip-flops have both resets as branches of one model",
    "UNOPTFLAT": "bits of a port that repeat others; a real loop fails the RTL, which has no such waiver",
}


def _modules(text: str) -> dict[str, str]:
    return {found[1]: found[0] for found in re.finditer(r"^module (\w+).*?^endmodule\n", text, re.M | re.S)}


def _library(target: str) -> tuple[str, dict[str, str]]:
    """Directives in front, and the text of every module, of the models for a family."""
    share = package_folder("pyosys") / "share"
    files, directives = _LIBRARIES[target]
    modules: dict[str, str] = {}
    for file in files:
        text = (share / file).read_text()
        head = text.partition("\nmodule ")[0]
        directives += "".join(re.findall(r"^`(?:timescale|define|ifndef|else|endif).*\n", head, re.M))
        # a cycle simulation knows no open pins: `packed.py` connects every one
        modules |= _modules(re.sub(r"\((\w+) === 1'bz\) \? 1'b[01] : \1;", r"\1;", text))
    modules |= _modules((_CELLS / f"{target}.v").read_text())
    return directives, modules


def gate_verilog(netlist: Netlist, *, packed: bool = False) -> str:
    """The netlist, as yosys mapped it or as nextpnr `packed` it, with the models of the cells in it, but for those
    that emitted Verilog instantiates too."""
    text = packed_verilog(netlist) if packed else netlist.verilog.read_text()
    directives, modules = _library(netlist.target)
    cells = set(re.findall(r"^  (\w+) (?:#\(|\S+ +\()", text, re.M))
    wanted, queue = set(), [cell for cell in cells if cell not in PRIMITIVES]
    while queue:
        cell = queue.pop()
        if cell in modules and cell not in wanted:
            wanted.add(cell)
            queue += re.findall(r"^\s*(\w+) (?:#|\w+ ?\()", modules[cell], re.M)
    return "".join([directives, *(modules[cell] for cell in sorted(wanted)), text])


def with_faults(verilog: str, name: str, count: int) -> str:
    """Module `name` of a netlist with one more input, `fault`. At 0 all is well; at k = 1..`count` one LUT, another
    for each k and spread over the design, gives the inverse of what it should."""
    outputs = list(re.finditer(r"(?<=^    \.)([OZ])\((.+)\)(?=\n  \);$)", verilog, re.M))
    if len(outputs) < count:
        raise ValueError(f"{name} has {len(outputs)} LUTs, less than {count} faults")
    parts, at, assigns = [], 0, []
    for number in range(1, count + 1):
        output = outputs[(2 * number - 1) * len(outputs) // (2 * count)]
        parts += [verilog[at : output.start()], f"{output[1]}(faulty_{number})"]
        at = output.end()
        assigns.append(f"  wire faulty_{number};\n  assign {output[2]} = faulty_{number} ^ fault == {number};\n")
    text = "".join([*parts, verilog[at:]])
    before, opening, inside = text.partition(f"module {name}(")
    listed, _, body = inside.partition(");\n")
    ports = f"{listed}, fault);\n  input [{count.bit_length() - 1}:0] fault;\n"
    body, end, after = body.partition("endmodule")
    return "".join([before, opening, ports, body, *assigns, end, after])


class Gates(Rtl):
    """A running simulation of the netlist of `component` for a family; used like `Rtl`. Outputs whose names start
    with `trace_` are not there. With `faults` it has an input `fault`, see `with_faults`. `packed`: as nextpnr
    packs it, only for iCE40."""

    def __init__(
        self,
        component: wiring.Component,
        target: str,
        *,
        name: str | None = None,
        waves: Path | str | None = None,
        faults: int = 0,
        packed: bool = False,
        optimize: str = "-O0",
    ):
        self.netlist = synthesize(component, target, name=name)
        verilog = gate_verilog(self.netlist, packed=packed)
        if faults:
            verilog = with_faults(verilog, self.netlist.name, faults)
        super().__init__(
            component,
            name=self.netlist.name,
            waves=waves,
            verilog=verilog,
            waivers=_GATE_WAIVERS,
            optimize=optimize,
        )
