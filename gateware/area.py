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

__all__ = [
    "AROUND",
    "BLOCK_BITS",
    "QUANTITIES",
    "RING",
    "SINGLE_PORT_BITS",
    "Estimate",
    "Part",
    "counted",
    "estimate",
    "parts_of",
    "registers_of",
]

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
_LUT_BITS = 16  # of a table in a LUT
# by which yosys chooses: cost of a LUT memory, of a block RAM, bits of a ROM of logic for 1
_LUT_COST, _BLOCK_COST, _ROM_BITS = 4, {"ecp5": 128, "ice40": 64}, 16
_SINGLE_PORT = ("SB_SPRAM256KA",)
_CHAIN = 5  # bits of the shortest sum that becomes a chain of carry cells on ECP5
# LUTs that nextpnr puts at both ends of a chain, and those of a LUT memory that its mapped cell does not count
_AROUND_CHAIN, _AROUND_LUT_RAM = 4, 4
#: Bits of a block RAM, parity bits among them, by family, and of a single-port RAM.
BLOCK_BITS = {"ice40": 4_096, "ecp5": 18_432}
SINGLE_PORT_BITS = 1 << 18
#: The modules around the accelerator of a board.
AROUND = ("core", "accelerator")
#: The block that stands for the store of weights where it is a ring.
_STORE, RING = "weight_store", "weight_ring"


@dataclass
class Part:
    """What one block is made of. memories: (width, rows, style, ports to read, bits written at once or 0)."""

    quantities: Counter = field(default_factory=Counter)
    registers: int = 0
    memories: list[tuple[int, int, str | None, int, int]] = field(default_factory=list)
    products: int = 0
    chains: int = 0
    cells: Counter = field(default_factory=Counter)

    def add(self, other: "Part") -> None:
        """Take in another."""
        self.quantities += other.quantities
        self.registers += other.registers
        self.memories += other.memories
        self.products += other.products
        self.chains += other.chains
        self.cells += other.cells


def _is_chain(value: Any) -> bool:
    return isinstance(value, tree.Operator) and value.operator in ("+", "-") and len(value) >= _CHAIN


def _walk_value(value: Any, found: Part) -> None:
    """Count what a value computes."""
    counts = found.quantities
    if isinstance(value, tree.Operator):
        operator, operands = value.operator, value.operands
        constant = any(isinstance(operand, tree.Const) for operand in operands)
        name = _OPERATORS.get(operator)
        if operator in ("+", "-"):
            counts["step" if constant else "add"] += len(value)
            # yosys adds up the terms of a sum without carries, and then once with them
            found.chains += (len(value) >= _CHAIN) - sum(map(_is_chain, operands))
        elif operator in ("<<", ">>"):
            counts["shift"] += len(value) * len(operands[1])
        elif operator == "*":
            # by a power of two it is wires, by any other constant a multiplier as well
            shifts = any(isinstance(part, tree.Const) and part.value.bit_count() < 2 for part in operands)
            found.products += not shifts
        elif name == "equal" and constant:
            counts["is"] += max(map(len, operands))
        elif name in _WIDE:
            counts[name] += max(map(len, operands))
            found.chains += name == "less" and max(map(len, operands)) >= _CHAIN
        elif name:
            counts[name] += len(value)
    elif isinstance(value, tree.SwitchValue):
        counts["choice"] += len(value) * (len(value.cases) - 1)
    elif isinstance(value, tree.Part):
        counts["part"] += len(value) * len(value.offset)
    for inner in _operands(value):
        _walk_value(inner, found)


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


class _Readers:
    """How many bits of a signal, from the lowest on, anything in a design reads: yosys leaves out what nothing
    does."""

    def __init__(self, fragment: Any):
        self._handed_on: dict[int, list[Any]] = {}  # signal -> those that are set to it and nothing else
        self._read: dict[int, int] = {}  # signal -> bits that are read otherwise
        self._collect(fragment)

    def bits(self, signal: Any) -> int:
        """Of a signal that nothing reads, all: it may be a port."""
        further = [min(self.bits(other), len(signal)) for other in self._handed_on.get(id(signal), [])]
        own = self._read.get(id(signal))
        return max((own or 0), *further) if further else len(signal) if own is None else own

    def _collect(self, fragment: Any) -> None:
        for statements in getattr(fragment, "statements", {}).values():
            for statement in statements:
                self._statement(statement)
        for inner, *_ in getattr(fragment, "subfragments", ()):
            self._collect(inner)

    def _statement(self, statement: Any) -> None:
        if isinstance(statement, tree.Switch):
            self._value(statement.test)
            for case in statement.cases:
                for inner in case[1]:
                    self._statement(inner)
        elif isinstance(statement, tree.Assign):
            if isinstance(statement.rhs, tree.Signal) and isinstance(statement.lhs, tree.Signal):
                self._handed_on.setdefault(id(statement.rhs), []).append(statement.lhs)
            else:
                self._value(statement.rhs)

    def _value(self, value: Any) -> None:
        if isinstance(value, tree.Slice) and isinstance(value.value, tree.Signal):
            self._mark(value.value, value.stop)
        elif isinstance(value, tree.Signal):
            self._mark(value, len(value))
        else:
            for inner in _operands(value):
                self._value(inner)

    def _mark(self, signal: Any, bits: int) -> None:
        self._read[id(signal)] = max(bits, self._read.get(id(signal), 0))


def _operands(value: Any) -> list[Any]:
    """What a value is computed from."""
    if isinstance(value, tree.Operator):
        return list(value.operands)
    if isinstance(value, tree.SwitchValue):
        return [value.test, *(chosen for _, chosen in value.cases)]
    if isinstance(value, tree.Part):
        return [value.value, value.offset]
    if isinstance(value, tree.Concat):
        return list(value.parts)
    return [value.value] if isinstance(value, tree.Slice) else []


def _memory(instance: Any, readers: _Readers) -> tuple[int, int, str | None, int, int]:
    """A memory of the design."""
    shape = Shape.cast(instance._data.shape)
    grains = [shape.width // len(port._en) for port in instance._write_ports]
    width = max(readers.bits(port._data) for port in instance._read_ports)
    style = dict(instance._attrs).get("ram_style")
    return width, instance._data.depth, style, len(instance._read_ports), min(grains, default=0)


def _fragments(fragment: Any, path: tuple[str, ...], readers: _Readers) -> Iterator[tuple[tuple[str, ...], Part]]:
    """Each module of a design with its own statements."""
    found = Part()
    if isinstance(fragment, MemoryInstance):
        found.memories.append(_memory(fragment, readers))
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
        yield from _fragments(inner, (*path, name or f"U${number}"), readers)


def _block(path: tuple[str, ...], around: tuple[str, ...]) -> str:
    """The block that a module belongs to: a part of the innermost of the modules `around`, or of one of those on
    the way, which is spelled out then: the core has a reader, and the accelerator in it has another."""
    here = ""
    for scope in around:
        if path[:1] != (scope,):
            break
        here, path = scope, path[1:]
    if not path:
        return here
    return f"{here}.{path[0]}" if here and here != around[-1] else path[0]


def parts_of(design: wiring.Component, around: tuple[str, ...] = ()) -> dict[str, Part]:
    """What the blocks of a design are made of. `around`: names of the modules from its top to the accelerator, for
    a board `AROUND`. What lies in no block stands under the name of its module, of the top under an empty one."""
    found: dict[str, Part] = {}
    rings = False
    whole = Fragment.get(design, None)
    for path, part in _fragments(whole, (), _Readers(whole)):
        name = _block(path, around)
        # a store of weights is written in parts, a ring, with a store inside, in rows: they have little in common
        if name == _STORE and path[-2:] == (_STORE, "store"):
            rings = True
        found.setdefault(name, Part()).add(part)
    if rings:
        found[RING] = found.pop(_STORE)
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
        rams = _ice40_rams(width, rows, ports) if family == "ice40" else _ecp5_rams(width, rows, ports, grain)
        if not grain and width * rows / _ROM_BITS < _BLOCK_COST[family] * rams:  # a small ROM is logic
            continue
        if family == "ice40":
            blocks += rams
            continue
        deep = -(-rows // _LUT_DEPTH)
        lut_rams = ports * -(-width // _LUT_WIDTH) * deep
        # yosys counts half for each bit of the choice among memories behind each other, and of their enables
        choice = (deep - 1) * (ports * width + -(-width // (grain or width))) / 2
        small = _LUT_COST * lut_rams + choice <= _BLOCK_COST[family] * rams
        if style == "distributed" or (style is None and grain and small):
            in_luts += lut_rams
            registers += ports * width
        else:
            blocks += rams
    return blocks, in_luts, registers


def _rom_luts(family: str, part: Part) -> float:
    """LUTs of the ROMs that are small enough for logic, if nothing in their contents is alike."""
    found = 0.0
    for width, rows, _, ports, grain in part.memories:
        rams = _ice40_rams(width, rows, ports) if family == "ice40" else _ecp5_rams(width, rows, ports, grain)
        if not grain and width * rows / _ROM_BITS < _BLOCK_COST[family] * rams:
            found += width * rows / _LUT_BITS
    return found


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
    rams = products = single = around_carries = 0
    for name, part in parts_of(design, around).items():
        own = sum(known["quantities"][quantity] * many for quantity, many in counted(part, family).items())
        factors = known["blocks"].get(name, {})
        luts += own * factors.get("luts", 1.0) + _rom_luts(family, part)
        registers += registers_of(part, family) * factors.get("registers", 1.0)
        rams += _place_memories(family, part)[0]
        products += part.products if family == "ecp5" else 0
        around_carries += _AROUND_CHAIN * part.chains + _AROUND_LUT_RAM * counted(part, family)["lut_ram"]
        single += sum(many for cell, many in part.cells.items() if cell in _SINGLE_PORT)
    return Estimate(
        luts=round(luts),
        packed_luts=round(luts * known["packing"] if family == "ice40" else luts + around_carries),
        registers=round(registers),
        block_rams=rams,
        single_port_rams=single,
        multipliers=products,
    )
