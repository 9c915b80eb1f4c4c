# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Digests of the hardware of every shipped design, to show that a change of the source left it as it was.

    python tests/gateware/verilog_digests.py > before.txt
    python tests/gateware/verilog_digests.py before.txt     # exit code 1 if a design differs by more than names

Each line is a design and three digests: of its text; of its text without names; of its RTLIL without names, which
is what Amaranth gives to yosys. Without names means: comments and source attributes are left out, identifiers are
numbered in the order in which the statements mention them, declarations follow in that order, and a module is known
by its own digest. A design is what it was if any of the three is equal. A name that changes may reach further than
itself (yosys sorts some operands by name, and of two names of one signal Amaranth takes one), but rarely into both.

Accelerators, AXI shells and one board top are Verilog; the tops of the boards are RTLIL as synthesis gets it; the
store contents are all that the compiler makes of the model. This is no test, for it takes minutes.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.design import design
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.axi.shell import AxiAccelerator
from ds2ta.gateware.compiler import Program, fit
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.machines import ECP5, ICE40, MACHINES
from ds2ta.gateware.verilog import emit
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, model_digest

__all__ = ["designs", "main", "nameless_rtlil", "nameless_verilog"]

_TOP = Path(__file__).resolve().parents[2]
_LOADED = {"weights": "ram", "tables": "ram"}
#: Model -> variant of its machine -> choices beside those of the model's machine.
_VARIANTS = {
    "digits-tiny": {
        "rom": {},
        "spram": {**ICE40, "tables": "ram"},
        "ram": _LOADED,
        "ecp5": ECP5["digits-tiny"],
        "window": {"max_window": 4, "max_tau": 7},
    },
    "digits-small": {"rom": {}, "ram": _LOADED, "short": {"pipeline": "short", "shifters": "logic"}},
    "cifar-ecp5": {"ram": {}},
    "nmnist-tiny": {"ram": {}, "rom": {"weights": "rom", "tables": "rom"}},
}
_CLOCK_HZ = 100_000_000
_LOOPS = ("width_last", "height_last", "tiles_last", "rows_last", "groups_last", "positions_last")


def designs() -> Iterator[tuple[str, Callable[[], tuple[str, str, str]]]]:
    """Name of each design, and what makes its three digests."""
    for name, variants in _VARIANTS.items():
        model = load_model(_TOP / "models" / f"{name}.safetensors")
        for variant, choices in variants.items():
            machine, program = fit(model, **{**MACHINES[name], **choices})
            at = f"{name}/{variant}"
            yield f"{at}/store contents", partial(_of_program, program)
            yield f"{at}/accelerator", partial(_of_component, partial(Accelerator, machine, program))
            if variant == "rom" or name == "nmnist-tiny":
                traced = partial(Accelerator, machine, program, trace=True)
                yield f"{at}/traced accelerator", partial(_of_component, traced)
            if name in ("digits-tiny", "digits-small") and variant in ("rom", "ram"):
                yield f"{at}/AXI shell", partial(_of_component, partial(_shell, model, machine, program))
            if at == "digits-tiny/rom":
                top = partial(BoardTop, machine, program, clock_hz=12_000_000)
                yield f"{at}/board top", partial(_of_component, top)
    for board in BOARDS.values():
        yield f"{board.name}/top", partial(_of_board, board)


def _shell(model: IntegerModel, machine: Machine, program: Program) -> AxiAccelerator:
    """The AXI shell as `ds2ta verilog --shell axi` makes it."""
    built_in = machine.weights == machine.tables == "rom"
    digest = bytes.fromhex(model_digest(model)) if built_in else b""
    return AxiAccelerator(machine, program, clock_hz=_CLOCK_HZ, digest=digest)


def _of_program(program: Program) -> tuple[str, str, str]:
    """Everything that the compiler made of a model."""
    regions = [astuple(region) for region in program.regions.values()]
    images = (program.program_image, program.weight_image, program.parameter_image, program.denoiser_image)
    passes = [[str(getattr(value, "value", value)) for value in astuple(item)] for item in program.instructions]
    longest = max(getattr(item, name) + 1 for item in program.instructions for name in _LOOPS)
    digest = _digest(repr((passes, regions, images, program.bank_rows, longest)))
    return digest, digest, digest


def _of_component(make: Callable[[], wiring.Component]) -> tuple[str, str, str]:
    text = emit(make())
    return _digest(text), nameless_verilog(text), nameless_rtlil(rtlil.convert(make(), emit_src=False))


def _of_board(board) -> tuple[str, str, str]:
    text = design(board).rtlil
    return _digest(text), nameless_rtlil(text), nameless_rtlil(text)


class _Numbers:
    """Identifiers of one module, numbered as they come."""

    def __init__(self):
        self.of: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        return self.of.setdefault(name, f"n{len(self.of)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_KEYWORDS = {
    *("always", "assign", "begin", "case", "casez", "default", "else", "end", "endcase", "endmodule", "if"),
    *("initial", "inout", "input", "integer", "module", "negedge", "output", "posedge", "reg", "signed", "wire"),
}
_DECLARATION = re.compile(r"^  (?:input |output )?(?:wire|reg|output|input)\b.*;$", re.M)
_INSTANCE = re.compile(r"^  (\w+) (\w+) \(\n((?:    \.\w+\(.*\),?\n)+)  \);", re.M)
_WORD = re.compile(r"""("[^"]*"|\d+'s?[bodh][0-9a-fxzA-F_]+|\$\w+)|(\\\S+|[A-Za-z_]\w*)""")


def nameless_verilog(text: str) -> str:
    """Digest, without names, of Verilog as `gateware.verilog.emit` writes it: its first module is the top."""
    bodies = {
        re.match(r"module (\w+)", body)[1]: re.sub(r"//.*|\(\*.*?\*\)", "", body)
        for body in re.findall(r"^module .*?^endmodule", text, re.M | re.S)
    }
    found: dict[str, tuple[str, list[str]]] = {}  # module -> digest, names of its ports in order

    def visit(module: str) -> tuple[str, list[str]]:
        if module not in found:
            head, _, body = bodies[module].partition(";\n")
            ports = re.findall(r"\w+", head[head.index("(") :])
            found[module] = _digest(_nameless_module(body, ports, bodies, visit)), ports
        return found[module]

    return visit(next(iter(bodies)))[0]


def _nameless_module(body: str, ports: list[str], modules, visit) -> str:
    number = _Numbers()
    for port in ports:
        number(port)

    def instance(at: re.Match) -> str:
        kind, name, connections = at.groups()
        if kind not in modules:
            return at[0]
        digest, order = visit(kind)
        wires = dict(re.findall(r"^    \.(\w+)\((.*)\),?$", connections, re.M))
        return "\n".join([f'  "{digest}" {name} (', *(f"    {wires.get(port, '')}," for port in order), "  );"])

    def renamed(text: str) -> str:
        return _WORD.sub(lambda at: at[1] or (at[2] if at[2] in _KEYWORDS else number(at[2])), text)

    def first(line: str) -> int:
        """Order of a declaration: that of what it declares; what no statement mentions goes last."""
        names = [name for kept, name in _WORD.findall(line) if not kept and name not in _KEYWORDS]
        return int(number.of[names[0]][1:]) if names[0] in number.of else len(number.of)

    declared = _DECLARATION.findall(body)
    statements = renamed(_INSTANCE.sub(instance, _DECLARATION.sub("", body)))
    return "\n".join([statements, *map(renamed, sorted(declared, key=first))])  # yosys sorts them by name


#: Lines of RTLIL that speak to people only; those of an enumeration are names.
_REMARKS = (r"attribute \src", r"attribute \generator", r"attribute \enum_")


def nameless_rtlil(text: str) -> str:
    """Digest, without names, of RTLIL as Amaranth writes it: its first module is the top."""
    bodies: dict[str, list[str]] = {}
    ahead: list[str] = []  # attributes of the module that follows
    depth = 0
    for line in map(str.strip, text.split("\n")):
        word = line.partition(" ")[0]
        if not line or line.startswith(("#", *_REMARKS)):
            continue
        if word == "module":
            bodies[line.split(" ")[1]] = body = ahead
            ahead, depth = [], 1
        elif depth == 0:
            ahead.append(line)
        else:
            depth += (word in ("cell", "process", "switch")) - (word == "end")
            if depth:
                body.append(line)
    found: dict[str, tuple[str, dict[str, str]]] = {}  # module -> digest, its ports' names and numbers

    def visit(module: str) -> tuple[str, dict[str, str]]:
        if module not in found:
            declared = (re.match(r"wire .*(?:input|output|inout) (\d+)\s+(\S+)$", line) for line in bodies[module])
            ports = {at[2]: at[1] for at in declared if at}
            found[module] = _digest("\n".join(_nameless_lines(bodies[module], bodies, visit))), ports
        return found[module]

    return visit(next(iter(bodies)))[0]


def _nameless_lines(lines: list[str], modules, visit) -> Iterator[str]:
    number = _Numbers()
    ports: dict[str, str] | None = None  # of the cell at hand; None: it is of yosys or of a device, and so are they
    inside = False  # of a cell

    def renamed(text: str) -> str:
        return re.sub(r'("[^"]*")|[\\$][^\s\[\]{}]+', lambda at: at[1] or number(at[0]), text)

    for line in lines:
        word, *rest = line.split(" ")
        if word == "cell":
            kind, name = rest
            inside, ports = True, None
            if kind in modules:
                kind, ports = visit(kind)
            yield f"cell {kind} {number(name)}"
        elif word == "parameter":  # a memory is named in a string
            value = re.sub(r'"\\\\([^"]+)"', lambda at: number("\\" + at[1]), " ".join(rest[1:]))
            yield f"parameter {rest[0]} {value}"
        elif word == "attribute":
            yield line
        elif word == "connect" and inside:
            port = rest[0] if ports is None else ports[rest[0]]
            yield f"connect {port} {renamed(' '.join(rest[1:]))}"
        else:
            inside = inside and word != "end"
            yield renamed(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", nargs="?", type=Path, help="what an earlier run printed")
    parser.add_argument("--only", default="", metavar="WORD", help="designs whose name has this in it")
    options = parser.parse_args()
    lines = options.before.read_text().splitlines() if options.before else []
    before = {name.strip(): digests for name, *digests in (line.rsplit(None, 3) for line in lines)}
    differ = []
    for name, digests in designs():
        if options.only not in name:
            continue
        found = digests()
        print(f"{name:36}", *found, flush=True)
        if before and not set(before.get(name, ())) & set(found):
            differ.append(name)
    for name in differ:
        print(f"{name} is not what it was in {options.before}", file=sys.stderr)
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
