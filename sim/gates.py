"""Mapped netlists as fast programs: what yosys made of a component, on the vendor's cells, bit for bit the RTL.

The cells come from the Verilog models that yosys ships with its mapping. Some are replaced by the models in
`sim/cells/`, because yosys has none (ECP5 block RAM and multiplier) or one that hides a hazard (iCE40 block RAM: it
returns the old word when a cycle reads what it writes, where the real one promises nothing), and by `primitives.v`
(SPRAM, likewise). These models return wrong bits then, so a netlist that equals the RTL also shows that its user
never relies on a collision.

This checks synthesis (the mapping, the carry cells of `gateware/load_adder.py`, the memories without collision
logic), not place and route.
"""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.lib import wiring

from ds2ta.gateware.synthesis import Netlist, synthesize
from ds2ta.gateware.verilog import WAIVERS
from ds2ta.sim.rtl import Rtl
from ds2ta.sim.verilator import PRIMITIVES, ToolError

__all__ = ["Gates", "gate_verilog"]

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
    "INITIALDLY": "vendor memories are preset by delayed assignments",
    "PINMISSING": "a netlist leaves out the outputs that it does not use",
    "PINCONNECTEMPTY": "likewise",
    "UNUSEDPARAM": "parameters about timing and about parts that are not simulated",
    "VARHIDDEN": "vendor models reuse names",
    "GENUNNAMED": "vendor models do not name their generate blocks",
    "UNDRIVEN": "bits of the ports that the mapping leaves open",
    "SYNCASYNCNET": "vendor flip-flops have both resets as branches of one model",
}


def _modules(text: str) -> dict[str, str]:
    return {found[1]: found[0] for found in re.finditer(r"^module (\w+).*?^endmodule\n", text, re.M | re.S)}


def _library(target: str) -> tuple[str, dict[str, str]]:
    """Directives in front, and the text of every module, of the models for a family."""
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ToolError("the pyosys wheel is not installed; `pip install ds2ta[synth]` brings it")
    files, directives = _LIBRARIES[target]
    modules: dict[str, str] = {}
    for file in files:
        text = (Path(spec.origin).parent / "share" / file).read_text()
        head = text.partition("\nmodule ")[0]
        directives += "".join(re.findall(r"^`(?:timescale|define|ifndef|else|endif).*\n", head, re.M))
        modules |= _modules(text)
    modules |= _modules((_CELLS / f"{target}.v").read_text())
    return directives, modules


def gate_verilog(netlist: Netlist) -> str:
    """The netlist with the models of the cells in it, but for those that emitted Verilog instantiates too."""
    text = netlist.verilog.read_text()
    directives, modules = _library(netlist.target)
    wanted, queue = set(), [cell for cell in netlist.cells if cell not in PRIMITIVES]
    while queue:
        cell = queue.pop()
        if cell in modules and cell not in wanted:
            wanted.add(cell)
            queue += re.findall(r"^\s*(\w+) (?:#|\w+ ?\()", modules[cell], re.M)
    return "".join([directives, *(modules[cell] for cell in sorted(wanted)), text])


class Gates(Rtl):
    """A running simulation of the netlist of `component` for a family; used like `Rtl`. Outputs whose names start
    with `trace_` are not there."""

    def __init__(self, component: wiring.Component, target: str, *, name: str | None = None):
        self.netlist = synthesize(component, target, name=name)
        super().__init__(
            component, name=self.netlist.name, verilog=gate_verilog(self.netlist), waivers=_GATE_WAIVERS
        )
