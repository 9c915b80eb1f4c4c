# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Readable names for an RTLIL netlist, and multiplexers that plain Verilog can say.

Works on the text that yosys' `write_rtlil` prints after `proc`: wires, memories, cells and connections, one item on
a line. Three things change, none of which is logic:

* a wire without a name is called after the first named signal that its value reaches and the operation that makes
  it (`accumulator_sum`), so that names stay when unrelated parts of the design change;
* names that Verilog would have to escape (`i__payload.value[0]`, `state$3`, `table`) become plain ones;
* a parallel multiplexer (`$pmux`, which yosys prints as a function) becomes a chain of two-way ones; its select
  bits exclude each other, so the order of the chain does not matter.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["KEYWORDS", "readable"]

# Verilog-2001 and SystemVerilog: Verilator reads every file as the latter.
_WORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind
bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config
const constraint context continue cover covergroup coverpoint cross deassign default defparam design disable
dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup
endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask
enum event eventually expect export extends extern final first_match for force foreach forever fork forkjoin
function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import
incdir include initial inout input inside instance int integer interconnect interface intersect join join_any
join_none large let liblist library local localparam logic longint macromodule matches medium modport module
nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed
parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg
reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime
s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table
tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
KEYWORDS = frozenset(_WORDS.split())

_OPERATIONS = {
    "$add": "sum",
    "$sub": "difference",
    "$neg": "negative",
    "$mul": "product",
    "$mux": "choice",
    "$pmux": "choice",
    "$not": "inverse",
    "$logic_not": "is_zero",
    "$reduce_bool": "any",
    "$reduce_or": "any",
    "$reduce_and": "all",
    "$reduce_xor": "parity",
    "$eq": "equal",
    "$ne": "unequal",
    "$lt": "less",
    "$le": "at_most",
    "$gt": "greater",
    "$ge": "at_least",
    "$shl": "shifted",
    "$shr": "shifted",
    "$sshr": "shifted",
    "$shift": "shifted",
    "$shiftx": "part",
    "$memrd_v2": "read",
    "$mem_v2": "read",
}
# those that synthesis reads, and the depth of a memory that `gateware/memories.py` has shortened
_ATTRIBUTES = ("\\no_rw_check ", "\\ram_style ", "\\rom_style ", "\\ds2ta_depth ")
_NAME = re.compile(r"[\\$][^\s]+")
_TOKEN = re.compile(r"[\\$]\S+(?: \[\d+(?::\d+)?\])?|-?\d+(?:'[01xzm-]+)?")


@dataclass
class _Cell:
    kind: str
    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)  # those that synthesis reads

    def lines(self) -> Iterator[str]:
        yield from (f"  attribute {attribute}" for attribute in self.attributes)
        yield f"  cell {self.kind} {self.name}"
        yield from (f"    parameter {key} {value}" for key, value in self.parameters.items())
        yield from (f"    connect {port} {value}" for port, value in self.ports.items())
        yield "  end"


@dataclass
class _Module:
    name: str
    wires: dict[str, tuple[int, str]] = field(default_factory=dict)  # name -> width, other words of the line
    cells: list[_Cell] = field(default_factory=list)
    connections: list[tuple[str, str]] = field(default_factory=list)
    initial: dict[str, str] = field(default_factory=dict)  # wire -> power-up value


def readable(text: str, orders: Mapping[str, Sequence[str]]) -> str:
    """The netlist with plain names. `orders` gives the wanted port order of each module."""
    lines = ["autoidx 1"]
    for module in _parse(text):
        for cell in [cell for cell in module.cells if cell.kind == "$pmux"]:
            _split(module, cell)
        _decide(module)
        _gather_registers(module)
        _trim(module)
        lines += _print(module, _names(module), orders.get(module.name.lstrip("\\"), ()))
    return "\n".join([*lines, ""])


def _parse(text: str) -> Iterator[_Module]:
    module, cell = _Module(""), None  # the module at hand, and the cell inside of it, if we are in one
    init = None
    attributes: list[str] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "module":
            module = _Module(rest)
        elif word == "attribute":
            if rest.startswith("\\init "):
                init = rest.removeprefix("\\init ")
            elif rest.startswith(_ATTRIBUTES):
                attributes.append(rest)
        elif word == "wire":
            words, _, name = rest.rpartition(" ")
            width = int(found[1]) if (found := re.search(r"width (\d+)", words)) else 1
            module.wires[name] = (width, words)
            if init is not None:
                module.initial[name] = init
            init = None
        elif word == "cell":
            kind, _, label = rest.partition(" ")
            cell = _Cell(kind, label, attributes=attributes)
            module.cells.append(cell)
            attributes = []
        elif word == "parameter" and cell is not None:
            for key, value in re.findall(r"^((?:signed |real )?\S+) (.*)", rest):
                cell.parameters[key] = value
        elif word == "connect":
            if cell is not None:
                port, _, value = rest.partition(" ")
                cell.ports[port] = value
            else:
                module.connections.append(_two(rest))
        elif word == "end":
            if cell is not None:
                cell = None
            else:
                yield module
        elif word not in ("", "autoidx") and not word.startswith("#"):
            raise ValueError(f"unexpected line in a netlist: {line!r}")


def _two(text: str) -> tuple[str, str]:
    """The two signals of a connection line."""
    if text.startswith("{"):
        left, _, right = text.partition(" } ")
        return f"{left} }}", right
    left = _TOKEN.findall(text)[0]
    return left, text[len(left) + 1 :]


def _bits(module: _Module, signal: str) -> list[str]:
    """A signal as single bits, least significant first."""
    found: list[str] = []
    for token in reversed(_TOKEN.findall(signal)):
        if token[0] in "\\$":
            name, _, index = token.partition(" ")
            high, _, low = index.strip("[]").partition(":")
            width = module.wires[name][0]
            first, last = (int(low or high), int(high)) if index else (0, width - 1)
            found += [f"{name} [{bit}]" if width > 1 else name for bit in range(first, last + 1)]
        else:
            size, quoted, digits = token.partition("'")
            if not quoted:  # RTLIL writes what has just 32 bits as a number
                size, digits = "32", f"{int(token) & 0xFFFFFFFF:032b}"
            digits = digits.ljust(int(size), digits[-1]) if digits else ""  # 8'x: all of them; 0' is empty
            found += [f"1'{digit}" for digit in reversed(digits)]
    return found


def _join(bits: Sequence[str]) -> str:
    return bits[0] if len(bits) == 1 else "{ " + " ".join(reversed(bits)) + " }"


def _split(module: _Module, cell: _Cell) -> None:
    """Replace one `$pmux` by `$mux` cells."""
    width, ways = int(cell.parameters["\\WIDTH"]), int(cell.parameters["\\S_WIDTH"])
    choices, selects = _bits(module, cell.ports["\\B"]), _bits(module, cell.ports["\\S"])
    otherwise = cell.ports["\\A"]
    module.cells.remove(cell)
    for way in reversed(range(ways)):
        result = f"$way{way}{cell.name}"
        module.wires[result] = (width, f"width {width}")
        ports = {"\\A": otherwise, "\\B": _join(choices[way * width : (way + 1) * width]), "\\S": selects[way]}
        output = result if way else cell.ports["\\Y"]
        module.cells.append(_Cell("$mux", f"{result}$mux", {"\\WIDTH": str(width)}, {**ports, "\\Y": output}))
        otherwise = result
    del module.wires[f"$way0{cell.name}"]


def _decide(module: _Module) -> None:
    """Make don't-care bits zeros: yosys leaves them where a register that is not enabled ignores its input."""

    def decided(signal: str) -> str:
        return re.sub(r"(?<=')[01x]+", lambda digits: digits[0].replace("x", "0"), signal)

    for cell in module.cells:
        cell.ports = {port: decided(signal) for port, signal in cell.ports.items()}
    module.connections = [(left, decided(right)) for left, right in module.connections]


def _gather_registers(module: _Module) -> None:
    """Give every register a wire of its own: yosys would name one that makes a part of a wire after its cell."""
    whole = set()
    for cell in module.cells:
        if "dff" not in cell.kind:
            continue
        made = cell.ports["\\Q"]
        if made in module.wires:
            whole.add(made)
            continue
        bits = _bits(module, made)
        values = []
        for name, _, index in (bit.partition(" ") for bit in bits):
            place = int(index.strip("[]") or 0)
            values.append(_bits(module, module.initial[name])[place][-1] if name in module.initial else "x")
        register = f"$register{cell.name}"
        module.wires[register] = (len(bits), f"width {len(bits)}")
        if set(values) != {"x"}:
            module.initial[register] = f"{len(bits)}'{''.join(reversed(values))}"
        whole.add(register)
        cell.ports["\\Q"] = register
        module.connections.append((made, register))
    module.initial = {wire: value for wire, value in module.initial.items() if wire in whole}


def _memory(cell: _Cell) -> str:
    return cell.parameters["\\MEMID"].strip('"').replace("\\\\", "\\")


def _trim(module: _Module) -> None:
    """Cut unnamed wires to the bits that are in use: `wreduce` narrows the cell that makes one, not the wire."""
    cells = {bit for cell in module.cells for signal in cell.ports.values() for bit in _bits(module, signal)}
    while True:
        used = cells | {bit for _, right in module.connections for bit in _bits(module, right)}
        needed = [
            (left, right)
            for left, right in module.connections
            if left[0] != "$" or not used.isdisjoint(_bits(module, left))
        ]
        if len(needed) == len(module.connections):
            break
        module.connections = needed
    used.update(bit for left, _ in module.connections for bit in _bits(module, left))
    for name, (width, words) in list(module.wires.items()):
        kept = width
        while kept > 1 and f"{name} [{kept - 1}]" not in used:
            kept -= 1
        if name[0] == "$" and kept < width:
            module.wires[name] = (kept, words.replace(f"width {width}", f"width {kept}"))


def _names(module: _Module) -> dict[str, str]:
    """Old name -> plain name, for wires, memories and instances."""
    names: dict[str, str] = {}
    taken = set(KEYWORDS)

    def take(old: str, wanted: str) -> None:
        plain, number = wanted, 2
        while plain in taken:
            plain, number = f"{wanted}_{number}", number + 1
        taken.add(plain)
        names[old] = f"\\{plain}"

    memories = [_memory(cell) for cell in module.cells if "\\MEMID" in cell.parameters]
    public = [*module.wires, *memories, *(cell.name for cell in module.cells if cell.kind[0] == "\\")]
    public = [name for name in public if name[0] == "\\"]
    ports = {name for name, (_, words) in module.wires.items() if re.search(r"(in|out)put", words)}
    easy = re.compile(r"\\[A-Za-z]\w*$")
    for name in sorted(public, key=lambda name: (name not in ports, not easy.match(name))):
        take(name, re.sub(r"\W+", "_", re.sub(r"\$\d+", "", name[1:])).strip("_"))

    makers: dict[str, str] = {}  # wire -> kind of the cell that makes it
    # wire -> (named place | None, wires that it reaches) of each cell that reads it
    readers: dict[str, list[tuple[str | None, tuple[str, ...]]]] = defaultdict(list)
    place: str | None
    for cell in module.cells:
        for port, signal in cell.ports.items():
            wires = [name for name in _NAME.findall(signal) if name in module.wires]
            if cell.kind[0] == "\\":
                place = f"{names[cell.name][1:]}_{port[1:]}"
                for wire in wires:
                    readers[wire].append((place, ()))
            elif port in ("\\Y", "\\Q", "\\RD_DATA"):
                makers.update(dict.fromkeys(wires, cell.kind))
            else:
                outputs = " ".join(cell.ports[key] for key in ("\\Y", "\\Q", "\\RD_DATA") if key in cell.ports)
                reached = tuple(name for name in _NAME.findall(outputs) if name in module.wires)
                place = names[_memory(cell)][1:] if "\\MEMID" in cell.parameters else None
                for wire in wires:
                    readers[wire].append((place, reached))
    for left, right in module.connections:
        reached = tuple(_NAME.findall(left))
        for wire in _NAME.findall(right):
            readers[wire].append((None, reached))

    def destination(wire: str) -> str:
        seen, level = {wire}, [wire]
        while level:
            hops = [hop for name in level for hop in readers[name]]
            named = [place for place, _ in hops if place]
            named += [names[name][1:] for _, reached in hops for name in reached if name[0] == "\\"]
            if named:
                return min(named)
            level = [name for name in dict.fromkeys(n for _, reached in hops for n in reached) if name not in seen]
            seen.update(level)
        return "unused"

    goals = {wire: destination(wire) for wire in module.wires if wire[0] == "$"}
    for wire, goal in goals.items():
        kind = makers.get(wire, "")
        operation = "register" if "dff" in kind else _OPERATIONS.get(kind, kind.strip("$").replace("$", "_"))
        take(wire, f"{goal}_{operation}" if operation else f"{goal}_part")
    return names


def _print(module: _Module, names: Mapping[str, str], order: Sequence[str]) -> Iterator[str]:
    def plain(signal: str) -> str:
        return _NAME.sub(lambda found: names[found[0]], signal)

    places = {f"\\{name}": place for place, name in enumerate(order)}
    ports = [name for name, (_, words) in module.wires.items() if re.search(r"(in|out)put", words)]
    ports.sort(key=lambda name: places.get(name, len(places)))
    numbers = {name: number for number, name in enumerate(ports, 1)}
    yield f"module {module.name}"
    for wire in sorted(module.wires, key=lambda name: (numbers.get(name, len(ports) + 1), names[name])):
        if wire in module.initial:
            yield f"  attribute \\init {module.initial[wire]}"
        words = re.sub(r"((?:in|out)put) \d+", lambda found: f"{found[1]} {numbers[wire]}", module.wires[wire][1])  # noqa: B023
        yield f"  wire {words} {names[wire]}"
    for cell in module.cells:
        if "\\MEMID" in cell.parameters:
            cell.parameters["\\MEMID"] = '"' + names[_memory(cell)].replace("\\", "\\\\") + '"'
        cell.ports = {port: plain(signal) for port, signal in cell.ports.items()}
        cell.name = names.get(cell.name, cell.name)
        yield from cell.lines()
    for left, right in module.connections:
        yield f"  connect {plain(left)} {plain(right)}"
    yield "end"
