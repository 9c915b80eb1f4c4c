# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Results of a build, read from the tools' own files: cells by block, timing, and the critical path."""

import re
from collections import Counter
from collections.abc import Mapping

from ds2ta.gateware.synthesis import TARGETS

__all__ = [
    "RESOURCES",
    "Blocks",
    "critical_path",
    "packed",
    "resources",
    "timing",
]

#: Resource -> its name for people.
RESOURCES = {
    "luts": "LUT",
    "registers": "FF",
    "block_rams": "block RAM",
    "single_port_rams": "SPRAM",
    "multipliers": "DSP",
}
#: The same in nextpnr's words: what its packing made of the netlist.
_PACKED = {
    "ice40": {
        "luts": "ICESTORM_LC",
        "block_rams": "ICESTORM_RAM",
        "single_port_rams": "ICESTORM_SPRAM",
        "multipliers": "ICESTORM_DSP",
    },
    "ecp5": {
        "luts": "TRELLIS_COMB",
        "registers": "TRELLIS_FF",
        "block_rams": "DP16KD",
        "multipliers": "MULT18X18D",
    },
}
_INNERMOST = "accelerator"


def resources(family: str, cells: Mapping[str, int]) -> dict[str, int]:
    """Cells of a mapped netlist by type -> use of each of `RESOURCES`, before packing."""
    area = TARGETS[family][1](dict(cells))
    return {name: getattr(area, name) for name in RESOURCES}


class Blocks:
    """The blocks of a flat mapped netlist.

    A block is a part of the accelerator or of one of the modules around it; those modules themselves stand for the
    cells that lie in none of their parts. Registers, carries, memories and multipliers tell their module in their
    `src`. A LUT is that of the register behind it, or else of the signal that yosys has named it after: logic of
    several blocks in one LUT has no better home.
    """

    def __init__(self, netlist: Mapping, *, top: str = "top"):
        cells = netlist["modules"][top]["cells"]
        self._top = top
        self._types = {name: cell["type"] for name, cell in cells.items() if cell["type"] != "$scopeinfo"}
        scopes = {name for name, cell in cells.items() if cell["type"] == "$scopeinfo"}
        around = [scope.split(".") for scope in sorted(scopes) if scope.split(".")[-1] == _INNERMOST]
        chain = around[0] if around else []
        self._chain = {".".join(chain[:depth]) for depth in range(len(chain) + 1)}
        self._scopes = {scope for scope in scopes if scope.rpartition(".")[0] in self._chain} - {""}
        sinks: dict[int, list[tuple[str, str]]] = {}
        for name in self._types:
            cell = cells[name]
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    for bit in bits:
                        sinks.setdefault(bit, []).append((name, port))
        self._homes = {}
        for name, cell_type in self._types.items():
            cell, owner = cells[name], name
            if "LUT" in cell_type and "src" not in cell["attributes"]:
                (driven,) = (cell["connections"][port][0] for port in ("O", "Z") if port in cell["connections"])
                behind = sinks.get(driven, [])
                if len(behind) == 1 and behind[0][1] in ("D", "DI"):
                    owner = behind[0][0]
            # yosys adds places in its own files
            places = [place for place in cells[owner]["attributes"].get("src", "").split("|") if place]
            found = {self._scope(f"{place[len(top) + 1 :]}.") for place in places if place.split(".")[0] == top}
            self._homes[name] = found.pop() if len(found) == 1 else self._scope(name)

    def _scope(self, path: str) -> str:
        parts = path.split(".")
        for depth in range(len(parts) - 1, 0, -1):
            if (scope := ".".join(parts[:depth])) in self._scopes:
                # a module on the way to the accelerator is spelled out, its parts go by their own name, and by that
                # of their module where a part further inside has the same
                deeper = any(
                    one.endswith(f".{parts[depth - 1]}") for one in self._scopes if one.count(".") >= depth
                )
                own = parts[depth - 2 : depth] if deeper else parts[depth - 1 : depth]
                return scope if scope in self._chain else ".".join(own)
        return self._top

    def of(self, cell: str) -> str:
        """The block of a cell of the netlist, or of one that nextpnr made of it by packing."""
        if cell not in self._homes:
            cell = re.sub(r"(_DFFLC|_LC|_RAM|_FF|\$nextpnr.*)$", "", cell)
        return self._homes.get(cell) or self._scope(cell)

    def counts(self, family: str) -> dict[str, dict[str, int]]:
        """Block -> its mapped cells, the largest first."""
        cells: dict[str, Counter] = {}
        for name, cell_type in self._types.items():
            cells.setdefault(self._homes[name], Counter())[cell_type] += 1
        found = {block: resources(family, own) for block, own in cells.items()}
        return {
            block: own
            for block, own in sorted(found.items(), key=lambda item: (-item[1]["luts"], item[0]))
            if any(own.values())
        }


def packed(family: str, log: str) -> dict[str, int]:
    """Use of each resource after packing, from nextpnr's log; resources that it does not count are left out."""
    found = {name: int(used) for name, used in re.findall(r"Info:\s+(\w+):\s+(\d+)/\s*\d+", log)}
    return {name: found[word] for name, word in _PACKED[family].items() if word in found}


def timing(report: Mapping, hz: float) -> tuple[float, bool]:
    """(highest clock of the core in Hz, whether every clock of the design holds) by nextpnr's JSON report. The
    core's clock is the one that nextpnr has constrained to `hz`. Raises ValueError where there is none, for then
    the netlist's PLL is not the one that the build speaks of."""
    clocks = report["fmax"]
    core = [item for item in clocks.values() if abs(item["constraint"] * 1e6 - hz) < 1e-3 * hz]
    if not core:
        raise ValueError(f"no clock of the routed design is constrained to {hz} Hz: {clocks}")
    achieved = min(item["achieved"] for item in core) * 1e6
    return achieved, achieved >= hz and all(item["achieved"] >= item["constraint"] for item in clocks.values())


def critical_path(report: Mapping, blocks: Blocks) -> dict:
    """The longest path between two registers: its ends, the blocks that it runs through, and its nanoseconds."""
    inside = [
        path
        for path in report["critical_paths"]
        if path["from"].startswith("posedge") and path["from"] == path["to"]
    ]
    longest = max(inside, key=lambda path: sum(hop["delay"] for hop in path["path"]))["path"]
    through = [blocks.of(hop["from"]["cell"]) for hop in longest] + [blocks.of(longest[-1]["to"]["cell"])]
    kinds: Counter[str] = Counter()
    for hop in longest:
        kinds["routing" if hop["type"] == "routing" else "logic"] += hop["delay"]
    return {
        "from": _end(longest[0]["from"]),
        "to": _end(longest[-1]["to"]),
        "blocks": [name for index, name in enumerate(through) if index == 0 or name != through[index - 1]],
        "levels": sum(hop["type"] == "logic" for hop in longest),
        "logic_ns": round(kinds["logic"], 2),
        "routing_ns": round(kinds["routing"], 2),
    }


def _end(place: Mapping) -> str:
    """A cell without the tails that mapping and packing have put on the name of its signal."""
    return re.sub(r"(_SB_|_LUT4|_TRELLIS|_CCU2C|_DP16KD|_MULT18|_DFF|\$nextpnr).*|_LC$|_RAM$", "", place["cell"])
