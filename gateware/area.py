# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""An estimate of a design's area without synthesis, for the planner: seconds instead of minutes.

The design is elaborated, not synthesized. Flip-flops are the bits that its statements set in a clock domain. Block
RAMs are counted by the rules with which yosys maps memories, and are exact. LUTs are a weighted sum of what the
statements compute (bits added, compared, chosen, set under a condition), times a factor of the block that they
stand in, for what those weights miss. `python -m ds2ta.records.area_fit` finds weights and factors: it synthesizes
the blocks of some machines, each alone, and takes the weights, none below zero, that miss least. They stand in
`area.json`."""

import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any

# what the public interface does not tell: the statements of a design, and its memories
from amaranth.hdl import Fragment, Instance, Shape
from amaranth.hdl import _ast as tree
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring

__all__ = ["AROUND", "QUANTITIES", "Estimate", "Part", "counted", "estimate", "parts_of", "registers_of"]

#: What LUTs are counted from, in bits: sums; steps by a constant; comparisons of order, of equality, with a
#: constant; gates; reductions; choices by an index, by a bit offset; shifts by a distance; bits set under a
#: condition, of signals and of registers; and LUT RAMs.
QUANTITIES = (
    "add",
    "step",
    "less",
    "equal",
    "is",
    "gate",
    "any",
    "choice",
    "part",
    "shift",
    "set",
    "keep",
    "lut_ram",
)
_OPERATORS = {
    **dict.fromkeys(("<", ">", "<=", ">="), "less"),
    **dict.fromkeys(("==", "!="), "equal"),
    **dict.fromkeys(("&", "|", "^", "m"), "gate"),
    **dict.fromkeys(("b", "r|", "r&", "r^"), "any"),
}
_WIDE = ("less", "equal", "any")  # counted by what they take, not by what they give
_LUT_DEPTH, _LUT_WIDTH = 16, 4  # of a LUT memory of ECP5
_LUT_COST, _BLOCK_COST = 4, 128  # by which yosys chooses between the two
_SINGLE_PORT = ("SB_SPRAM256KA",)
#: The modules around the accelerator of a board.
AROUND = ("core", "accelerator")


@dataclass
class Part:
    """What one block is made of. memories: (width, rows, style, ports to read, bits written at once or 0)."""

    quantities: Counter = field(default_factory=Counter)
    registers: int = 0
    memories: list[tuple[int, int, str | None, int, int]] = field(default_factory=list)
    products: int = 0
    cells: Counter = field(default_factory=Counter)

    def add(self, other: "Part") -> None:
        """Take in another."""
        self.quantities += other.quantities
        self.registers += other.registers
        self.memories += other.memories
        self.products += other.products
        self.cells += other.cells


def _walk_value(value: Any, found: Part) -> None:
    """Count what a value computes."""
    counts = found.quantities
    if isinstance(value, tree.Operator):
        operator, operands = value.operator, value.operands
        constant = any(isinstance(operand, tree.Const) for operand in operands)
        name = _OPERATORS.get(operator)
        if operator in ("+", "-"):
            counts["step" if constant else "add"] += len(value)
        elif operator in ("<<", ">>"):
            counts["shift"] += len(value) * len(operands[1])
        elif operator == "*":
            found.products += not constant
        elif name == "equal" and constant:
            counts["is"] += max(map(len, operands))
        elif name in _WIDE:
            counts[name] += max(map(len, operands))
        elif name:
            counts[name] += len(value)
        for operand in operands:
            _walk_value(operand, found)
    elif isinstance(value, tree.SwitchValue):
        counts["choice"] += len(value) * (len(value.cases) - 1)
        _walk_value(value.test, found)
        for _, chosen in value.cases:
            _walk_value(chosen, found)
    elif isinstance(value, tree.Part):
        counts["part"] += len(value) * len(value.offset)
        _walk_value(value.value, found)
        _walk_value(value.offset, found)
    elif isinstance(value, tree.Concat):
        for one in value.parts:
            _walk_value(one, found)
    elif isinstance(value, tree.Slice):
        _walk_value(value.value, found)


def _walk_statement(statement: Any, domain: str, conditional: bool, found: Part) -> None:
    if isinstance(statement, tree.Assign):
        if conditional:
            found.quantities["set" if domain == "comb" else "keep"] += len(statement.lhs)
        _walk_value(statement.rhs, found)
    elif isinstance(statement, tree.Switch):
        _walk_value(statement.test, found)
        for case in statement.cases:
            for inner in case[1]:
                _walk_statement(inner, domain, True, found)


def _memory(instance: Any) -> tuple[int, int, str | None, int, int]:
    """A memory of the design."""
    shape = Shape.cast(instance._data.shape)
    grains = [shape.width // len(port._en) for port in instance._write_ports]
    style = dict(instance._attrs).get("ram_style")
    return shape.width, instance._data.depth, style, len(instance._read_ports), min(grains, default=0)


def _fragments(fragment: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Part]]:
    """Each module of a design with its own statements."""
    found = Part()
    if isinstance(fragment, MemoryInstance):
        found.memories.append(_memory(fragment))
        yield path[:-1], found
        return
    if isinstance(fragment, Instance):
        found.cells[fragment.type] += 1
        yield path[:-1], found
        return
    set_here: dict[int, int] = {}
    for domain, statements in fragment.statements.items():
        for statement in statements:
            _walk_statement(statement, domain, False, found)
            if domain != "comb":
                set_here |= {id(signal): len(signal) for signal in statement._lhs_signals()}
    found.registers = sum(set_here.values())
    yield path, found
    for number, (inner, name, *_) in enumerate(fragment.subfragments):
        yield from _fragments(inner, (*path, name or f"U${number}"))


def _block(path: tuple[str, ...], around: tuple[str, ...]) -> str:
    """The block that a module belongs to, as `fpga.report.Blocks` tells them: a part of the innermost of the
    modules `around`, or of one of those on the way."""
    here = ""
    for scope in around:
        if path[:1] != (scope,):
            break
        here, path = scope, path[1:]
    return path[0] if path else here


def parts_of(design: wiring.Component, around: tuple[str, ...] = ()) -> dict[str, Part]:
    """What the blocks of a design are made of. `around`: names of the modules from its top to the accelerator, for
    a board `AROUND`. What lies in no block stands under the name of its module, of the top under an empty one."""
    found: dict[str, Part] = {}
    for path, part in _fragments(Fragment.get(design, None), ()):
        found.setdefault(_block(path, around), Part()).add(part)
    return found


# ---- memories, by the rules of yosys' mapping


def _ecp5_rams(width: int, rows: int, ports: int, grain: int) -> int:
    """DP16KD of a memory whose bits are written `grain` at a time: ports of 1 to 18 bits, or, with one port to read
    and one to write, 36; a byte has 9 bits."""
    found = []
    for wide, deep in (
        (1, 16384),
        (2, 8192),
        (4, 4096),
        (9, 2048),
        (18, 1024),
        *(((36, 512),) if ports == 1 else ()),
    ):
        room = -(-grain // 9) * 9 if wide >= 9 else grain
        columns = -(-width // wide)
        if 0 < grain < width:
            grains = -(-width // grain)
            columns = -(-grains // (wide // room)) if wide >= room else grains * -(-grain // wide)
        found.append(columns * -(-rows // deep))
    return min(found)


def _ice40_rams(width: int, rows: int, ports: int) -> int:
    """SB_RAM40_4K of a memory."""
    shapes = ((16, 256), (8, 512), (4, 1024), (2, 2048))
    return ports * min(-(-width // wide) * -(-rows // deep) for wide, deep in shapes)


def _place_memories(family: str, part: Part) -> tuple[int, int, int]:
    """(block RAMs, LUT RAMs, bits of the registers behind those)."""
    blocks = in_luts = registers = 0
    for width, rows, style, ports, grain in part.memories:
        if family == "ice40":
            blocks += _ice40_rams(width, rows, ports)
            continue
        rams = _ecp5_rams(width, rows, ports, grain)
        lut_rams = ports * -(-width // _LUT_WIDTH) * -(-rows // _LUT_DEPTH)
        if style == "distributed" or (style is None and _LUT_COST * lut_rams <= _BLOCK_COST * rams):
            in_luts += lut_rams
            registers += ports * width
        else:
            blocks += rams
    return blocks, in_luts, registers


# ---- the estimate


@dataclass(frozen=True)
class Estimate:
    """Of a design. `luts`, `registers`: after synthesis; `packed_luts`: logic cells, or LUTs with their carries,
    after packing."""

    luts: int
    packed_luts: int
    registers: int
    block_rams: int
    single_port_rams: int
    multipliers: int

    def over(self, limits: Mapping[str, int], fill: float = 1.0) -> dict[str, tuple[int, int]]:
        """Resource -> (need, limit) of those that a device, whose `limits` are keyed as in `fpga.boards`, lacks. Of
        its LUTs no more than the share `fill` may be used."""
        needs = asdict(self) | {"luts": self.packed_luts}
        most = {name: int(limit * fill) if name == "luts" else limit for name, limit in limits.items()}
        return {name: (needs[name], limit) for name, limit in most.items() if needs[name] > limit}


@functools.cache
def _weights() -> dict[str, Any]:
    """Family -> its weights of quantities and factors of blocks."""
    return json.loads(files("ds2ta.gateware").joinpath("area.json").read_text())


def counted(part: Part, family: str) -> dict[str, int]:
    """The quantities of a part, those of its memories among them."""
    found = {name: int(part.quantities[name]) for name in QUANTITIES}
    return found | {"lut_ram": _place_memories(family, part)[1]}


def registers_of(part: Part, family: str) -> int:
    """Flip-flops of a part, those behind its LUT RAMs among them."""
    return part.registers + _place_memories(family, part)[2]


def estimate(design: wiring.Component, family: str, around: tuple[str, ...] = ()) -> Estimate:
    """The area of a design on a family, `ice40` or `ecp5`; `around` as of `parts_of`."""
    known = _weights()[family]
    luts = registers = 0.0
    rams = products = single = 0
    for name, part in parts_of(design, around).items():
        own = sum(known["quantities"][quantity] * many for quantity, many in counted(part, family).items())
        factors = known["blocks"].get(name, {})
        luts += own * factors.get("luts", 1.0)
        registers += registers_of(part, family) * factors.get("registers", 1.0)
        rams += _place_memories(family, part)[0]
        products += part.products if family == "ecp5" else 0
        single += sum(many for cell, many in part.cells.items() if cell in _SINGLE_PORT)
    return Estimate(
        luts=round(luts),
        packed_luts=round(luts * known["packing"]),
        registers=round(registers),
        block_rams=rams,
        single_port_rams=single,
        multipliers=products,
    )
