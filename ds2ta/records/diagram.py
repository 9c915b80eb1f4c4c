# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The block diagram of the accelerator as SVG: boxes and arrows stand where this file puts them, but which there
are is read from the netlist, and `block_diagram` refuses to draw anything else.

An arrow is a connection over which data goes: a payload, a word of a memory, a row that is written. Addresses,
enables and the fields of the instruction, which reach nearly every block, are left out.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil  # type: ignore[attr-defined]  # the stubs leave it out
from amaranth.lib import wiring

from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.blocks import blocks
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.verilog import signature_ports

__all__ = ["block_diagram", "connections", "designed", "drawn"]

#: Ports that carry data, as they begin, where what they are joined with does not steer.
_DATA = ("o__payload", "i__payload", "data", "read_data", "v_data", "write__", "sample__payload")
_NAMELESS = "port$"  # Amaranth's name for a part of a payload
_STEERS = ("addr", "address", "en", "enable", "valid", "ready", "instruction")
_NOT_SHOWN = ("scan__data", "trace_score")  # of checks and benches


def connections(component: wiring.Component, name: str) -> set[tuple[str, str]]:
    """(source, target) of every connection over which data goes between the submodules of a component; its own
    ports stand for the outside, under their names."""
    text = rtlil.convert(component, name=name, ports=signature_ports(component), emit_src=False)
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\nproc\nopt_clean\nwrite_json\n"
    printed = find_yosys(lambda version: version >= (0, 40)).run(["-q", "-"], script)
    netlist = json.loads(printed[printed.index("{") :])
    (module,) = (body for key, body in netlist["modules"].items() if key.split(".")[-1] == name)
    return _Module(module).connections()


class _Module:
    """One module of yosys' JSON: which ports of its blocks a bit comes from, through whatever logic is between."""

    def __init__(self, module: Mapping):
        self._cells, self._ports = module["cells"], module["ports"]
        self._drivers: dict[int | str, tuple[str, str]] = {}
        for cell, body in self._cells.items():
            for port, bits in body["connections"].items():
                if body["port_directions"][port] == "output":
                    self._drivers |= dict.fromkeys(bits, (cell, port))
        for port, body in self._ports.items():
            if body["direction"] == "input":
                self._drivers |= dict.fromkeys(body["bits"], ("", port))
        self._known: dict[int | str, frozenset] = {}

    def connections(self) -> set[tuple[str, str]]:
        inputs = [
            (cell, port, bits)
            for cell, body in self._cells.items()
            if self._is_block(cell)
            for port, bits in body["connections"].items()
            if body["port_directions"][port] == "input"
        ]
        inputs += [("", port, body["bits"]) for port, body in self._ports.items() if body["direction"] == "output"]
        found = set()
        for target, port, bits in inputs:
            for source, origin in frozenset().union(*map(self._sources, bits)):
                if self._is_data(origin, port):
                    found.add((source or origin.partition("__")[0], target or port.partition("__")[0]))
        return {edge for edge in found if edge[0] != edge[1]}

    def _is_block(self, cell: str) -> bool:
        return not self._cells[cell]["type"].startswith("$")

    @staticmethod
    def _is_data(origin: str, port: str) -> bool:
        steers = any(name.split("__")[-1].split("_")[-1] in _STEERS for name in (origin, port))
        if steers or port.startswith(_NOT_SHOWN):
            return False
        nameless = origin.startswith(_NAMELESS) and port.startswith(_NAMELESS)
        return nameless or any(name.startswith(_DATA) for name in (origin, port))

    def _sources(self, bit: int | str) -> frozenset[tuple[str, str]]:
        """Ports of blocks, or of the module (""), that a bit is made from; a register is a wire, a multiplexer
        hands on its data."""
        if bit not in self._known:
            self._known[bit] = frozenset()  # what a loop leads back to is found on the way already
            if (driver := self._drivers.get(bit)) is None:
                return frozenset()
            cell, _ = driver
            if not cell or self._is_block(cell):
                self._known[bit] = frozenset({driver})
            else:
                body, kind = self._cells[cell], self._cells[cell]["type"]
                ports = _HANDED_ON.get(kind, [p for p, way in body["port_directions"].items() if way == "input"])
                bits = [bit for port in ports for bit in body["connections"][port]]
                self._known[bit] = frozenset().union(*map(self._sources, bits))
        return self._known[bit]


_HANDED_ON = {"$mux": "AB", "$pmux": "AB", "$dff": "D", "$dffe": "D", "$sdff": "D", "$sdffe": "D"}


# ---- where things stand: left, top of a box; its name, and what it does

_WIDE, _HIGH, _SMALL = 118, 44, 82
_C = (24, 180, 326, 482, 638, 792)
_R = (40, 128, 218, 308, 418)
_BLOCKS = {
    "program_store": (_C[1], _R[0], "program store", "layer program"),
    "sequencer": (_C[2], _R[0], "sequencer", "one pass after another"),
    "counter_store": (_C[3], _R[0], "pass counters", "cycles, events, rows"),
    "weight_store": (_C[4], _R[0], "weight store", "P weights a row"),
    "encoder": (_C[0], _R[1], "input encoder", "bit planes"),
    "gather": (_C[1], _R[1], "gather", "taps of 3x3 or 1x1"),
    "reader": (_C[2], _R[1], "row reader", "rows of spike words"),
    "zero_skip": (_C[3], _R[1], "zero skip", "words to events"),
    "engine": (_C[4], _R[1], "synaptic engine", "P x T sums, eq. 1"),
    "head": (_C[5], _R[1], "classifier head", "logits, class"),
    "tasa": (_C[4], _R[2], "TASA", "window, eq. 4, 5"),
    "parameters": (_C[4], _R[3], "parameter fetch", "bias, margin"),
    "parameter_store": (_C[5], _R[3], "parameter store", "biases, margins"),
    "lif": (_C[4], _R[4], "LIF array", "eq. 2, 3"),
    "packer": (_C[3], _R[4], "word packer", "bits to words"),
    "walker": (_C[2], _R[4], "row walker", "where rows go"),
    "residual": (_C[1], _R[4], "residual, pool", "store, OR, add"),
    "bank_a": (_C[0], 232, "spike bank A", "layer, Q, K"),
    "bank_b": (_C[0], 300, "spike bank B", "stream, V"),
}
_PARTS = {
    "pairs": (_C[1], 232, "pair fetch", "Q, K rows"),
    "scores": (_C[1] + 91, 232, "scores", "Q K^T"),
    "denoiser": (_C[1] + 182, 232, "denoiser", "NSAD, eq. 6, 7"),
    "lists": (_C[1] + 182, 310, "entry lists", "without zeros"),
    "accumulator": (_C[1], 310, "A x V", "and LIF"),
}
_GROUPS = {"spike banks": (16, 210, 134, 146), "attention unit": (_C[1] - 8, 210, 280, 156)}
#: Of an arrow that begins or ends outside: how far its name stands from its outer end, and in which style.
_CAPTIONS = {"sample": ((0, -6), "port"), "result": ((-18, -8), "port"), "counters": ((8, 10), "side")}
_NEURON = ("tasa", "parameters", "lif")
_MIDDLE = _HIGH / 2


def _right(name: str) -> tuple[float, float]:
    return _BLOCKS[name][0] + _WIDE, _BLOCKS[name][1] + _MIDDLE


def _left(name: str) -> tuple[float, float]:
    return _BLOCKS[name][0], _BLOCKS[name][1] + _MIDDLE


def _top(name: str) -> tuple[float, float]:
    return _BLOCKS[name][0] + _WIDE / 2, _BLOCKS[name][1]


def _bottom(name: str) -> tuple[float, float]:
    return _BLOCKS[name][0] + _WIDE / 2, _BLOCKS[name][1] + _HIGH


_Arrow = tuple[Sequence[tuple[str, str]], Sequence[tuple[float, float]], str]


def _arrows() -> list[_Arrow]:
    """The connections that an arrow stands for, its corners, and what it is called."""
    found: list[_Arrow] = [([edge], [_right(edge[0]), _left(edge[1])], "") for edge in _ALONG]
    found += [([edge], [_left(edge[0]), _right(edge[1])], "") for edge in _BACK]
    found += [([edge], [_bottom(edge[0]), _top(edge[1])], "") for edge in _DOWN]
    (into, reads), (_, banks_low) = (60, 210), (60, 356)
    reader, residual = _bottom("reader"), _left("residual")
    found += [
        ([("sample", "encoder")], [(_top("encoder")[0], 92), _top("encoder")], "sample"),
        ([("head", "result")], [_right("head"), (952, _right("head")[1])], "result"),
        ([("counter_store", "counter_data")], [_top("counter_store"), (_top("counter_store")[0], 14)], "counters"),
        ([("encoder", "bank_a"), ("encoder", "bank_b")], [(into, _R[1] + _HIGH), (into, reads)], ""),
        ([("bank_a", "reader"), ("bank_b", "reader")], [(116, 210), (116, 191), (reader[0], 191), reader], ""),
        ([("bank_a", "attention")], [(_C[0] + _WIDE, 254), (_C[1], 254)], ""),
        ([("bank_b", "attention")], [(_C[0] + _WIDE, 332), (_C[1], 332)], ""),
        (
            [("attention", "bank_a"), ("attention", "bank_b")],
            [(_C[1] + _SMALL / 2, 354), (_C[1] + _SMALL / 2, 374), (92, 374), (92, banks_low)],
            "",
        ),
        ([("parameter_store", "head")], [_top("parameter_store"), _bottom("head")], ""),
        (
            [("bank_a", "residual"), ("bank_b", "residual")],
            [(116, banks_low), (116, residual[1] - 10), (residual[0], residual[1] - 10)],
            "",
        ),
        (
            [("residual", "bank_a"), ("residual", "bank_b")],
            [(residual[0], residual[1] + 10), (into, residual[1] + 10), (into, banks_low)],
            "",
        ),
    ]
    return found


_ALONG = (
    ("program_store", "sequencer"),
    ("sequencer", "counter_store"),
    ("gather", "reader"),
    ("reader", "zero_skip"),
    ("zero_skip", "engine"),
    ("engine", "head"),
)
_BACK = (("parameter_store", "parameters"), ("lif", "packer"), ("packer", "walker"), ("walker", "residual"))
_DOWN = (("weight_store", "engine"), ("engine", "tasa"), ("tasa", "parameters"), ("parameters", "lif"))
#: Inside of the attention unit; what comes from outside and goes there is drawn with the arrows of the accelerator.
_INSIDE: dict[tuple[str, str], Sequence[tuple[float, float]]] = {
    ("pairs", "scores"): [(_C[1] + _SMALL, 254), (_C[1] + 91, 254)],
    ("scores", "denoiser"): [(_C[1] + 91 + _SMALL, 254), (_C[1] + 182, 254)],
    ("denoiser", "lists"): [(_C[1] + 182 + _SMALL / 2, 276), (_C[1] + 182 + _SMALL / 2, 310)],
    ("lists", "accumulator"): [(_C[1] + 182, 332), (_C[1] + _SMALL, 332)],
}
_OUTSIDE = {("qk_data", "pairs"), ("v_data", "accumulator"), ("accumulator", "o")}


def drawn() -> tuple[set, set, set]:
    """Blocks, connections between them, connections inside of the attention unit, as the picture has them."""
    edges = {edge for edges, _, _ in _arrows() for edge in edges}
    return {*_BLOCKS, "attention"}, edges, {*_INSIDE, *_OUTSIDE}


def designed(machine: Machine) -> tuple[set, set, set]:
    """The same, as a machine has them."""
    accelerator, every = Accelerator(machine), blocks(machine)
    return set(every), connections(accelerator, "accelerator"), connections(every["attention"], "attention")


def block_diagram(machine: Machine) -> str:
    """The SVG. Raises `ValueError` where the picture and the machine's netlist have not the same blocks and
    connections."""
    for picture, design in zip(drawn(), designed(machine), strict=True):
        if picture != design:
            raise ValueError(
                f"the block diagram draws what is not there: {sorted(picture - design)}; it lacks: "
                f"{sorted(design - picture)}"
            )
    parts = [_HEAD]
    for name, (x, y, width, height) in _GROUPS.items():
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" class="group"/>')
        parts.append(f'<text x="{x + width / 2:g}" y="{y + 15}" class="title">{escape(name)}</text>')
    parts.append(f'<path d="M{_bottom("sequencer")[0]:g} {_R[0] + _HIGH} V107 M{_C[1]} 107 H910" class="steer"/>')
    parts.append('<text x="842" y="101" class="note">the instruction steers all blocks</text>')
    for _, corners, text in _arrows():
        parts.append(_arrow(corners))
        if text:
            (left, top), ((right, down), kind) = corners[text != "sample"], _CAPTIONS[text]
            parts.append(f'<text x="{left + right:g}" y="{top + down:g}" class="{kind}">{text}</text>')
    parts += [_arrow(inside) for inside in _INSIDE.values()]
    parts += [_box(name, *place, _WIDE) for name, place in _BLOCKS.items()]
    parts += [_box(name, *place, _SMALL) for name, place in _PARTS.items()]
    return "\n".join([*parts, "</svg>", ""])


def _kind(name: str) -> str:
    if name in _PARTS:
        return "part"
    if name in ("sequencer", "counter_store", "program_store"):
        return "control"
    if name.endswith("_store") or name.startswith("bank_"):
        return "store"
    return "neuron" if name in _NEURON else "path"


def _box(name: str, x: float, y: float, title: str, text: str, width: float) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{_HIGH}" rx="5" class="{_kind(name)}"/>'
        f'<text x="{middle:g}" y="{y + 19}" class="title">{escape(title)}</text>'
        f'<text x="{middle:g}" y="{y + 34}" class="text">{escape(text)}</text>'
    )


def _arrow(corners: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in corners)
    return f'<polyline points="{points}" class="arrow"/>'


_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 970 480" width="970" height="480"
 font-family="Helvetica, Arial, sans-serif" role="img" aria-label="Block diagram of the accelerator">
<style>
rect { stroke-width: 1.2; }
.path { fill: #e3eefb; stroke: #4a7ab5; } .neuron { fill: #e2f3e4; stroke: #4f9a5b; }
.store { fill: #fdf3d8; stroke: #c9a13b; } .part { fill: #eee6f8; stroke: #8a63b8; }
.control { fill: #efefef; stroke: #8c8c8c; } .group { fill: none; stroke: #b5b5b5; stroke-dasharray: 3 3; }
.arrow { fill: none; stroke: #3d3d3d; stroke-width: 1.4; marker-end: url(#tip); }
.steer { fill: none; stroke: #8c8c8c; stroke-width: 1.2; stroke-dasharray: 5 4; }
text { text-anchor: middle; fill: #1c1c1c; } .title { font-size: 13px; font-weight: bold; }
.text { font-size: 10.5px; fill: #555555; } .port { font-size: 12px; font-style: italic; }
.side { font-size: 12px; font-style: italic; text-anchor: start; } .note { font-size: 10.5px; fill: #777777; }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7.2" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0.6 L8 4 L0 7.4 z" fill="#3d3d3d"/></marker></defs>
<rect width="970" height="480" fill="#ffffff" stroke="none"/>"""
