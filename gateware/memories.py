# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The contents of memories on their way into RTLIL and Verilog, without a step for each bit or word that is zero.

Amaranth writes the contents of a memory as one constant, made bit by bit: gigabytes for a large one. `by_rows`
makes the same text row by row. For Verilog, `shortened` leaves out the rows of zeros behind the last other row, and
gives the memory as many rows as are left, which is all that yosys then handles; `restored` puts depth and zeros
back, the latter as loops.
"""

import contextlib
import re
from collections.abc import Iterator

from amaranth.back import rtlil  # type: ignore[attr-defined]  # the stubs leave it out

__all__ = ["by_rows", "restored", "shortened"]

_DEPTH = "ds2ta_depth"  # attribute of a shortened memory
_FEWEST = 16  # rows of zeros that are worth a loop
_TURNS = 4096  # of one loop: synthesizers refuse loops of many more

_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) (\\\S+)$", re.M)
_CONTENTS = re.compile(
    r"^  cell \$meminit_v2 (?:(?!^  end$).)*?"
    r'^    parameter \\MEMID "\\(?P<memory>\\[^"]+)"$(?:(?!^  end$).)*?'
    r"^    parameter \\WORDS (?P<words>\d+)$(?:(?!^  end$).)*?"
    r"^    connect \\DATA (?P<data>\d+'[01]+)$.*?^  end$\n",
    re.M | re.S,
)
_DECLARED = re.compile(
    rf"^(?P<before>(?:  \(\*.*\*\)\n)*)  \(\* {_DEPTH} = 32'd(?P<depth>\d+) \*\)\n(?P<behind>(?:  \(\*.*\*\)\n)*)"
    r"  reg (?P<width>\[\d+:0\] )?(?P<name>\w+) \[(?P<last>\d+):0\];\n",
    re.M,
)


def _emit_memory(self, cell_idx, cell) -> None:
    """`ModuleEmitter.emit_memory` of Amaranth, with its constant made of rows instead of bits."""
    rows = "".join(f"{row:0{cell.width}b}" for row in reversed(cell.init))
    self.builder.cell(
        "$meminit_v2",
        ports={"ADDR": self.sigspec(), "DATA": f"{len(rows)}'{rows}", "EN": f"{cell.width}'{'1' * cell.width}"},
        parameters={
            "MEMID": self.memories[cell_idx].memid,
            "ABITS": 0,
            "WIDTH": cell.width,
            "WORDS": cell.depth,
            "PRIORITY": 0,
        },
        src_loc=cell.src_loc,
    )


@contextlib.contextmanager
def by_rows() -> Iterator[None]:
    """Inside of it Amaranth converts to the same RTLIL in less time and memory."""
    original = rtlil.ModuleEmitter.emit_memory
    rtlil.ModuleEmitter.emit_memory = _emit_memory
    try:
        yield
    finally:
        rtlil.ModuleEmitter.emit_memory = original


def shortened(text: str) -> str:
    """RTLIL of one module with memories that end where their zeros begin, for `restored` to find."""
    found = {at["memory"]: at for at in _CONTENTS.finditer(text)}
    kept: dict[str, int] = {}  # memory -> rows that stay

    def declared(at: re.Match) -> str:
        width, depth, name = int(at[1]), int(at[2]), at[3]
        contents = found.get(name)
        if contents is None or int(contents["words"]) != depth:
            return at[0]
        bits = len(contents["data"].partition("'")[2].lstrip("0"))
        rows = -(-bits // width)
        if depth - rows < _FEWEST:
            return at[0]
        kept[name] = rows
        return f"  attribute \\{_DEPTH} {depth}\n  memory width {width} size {max(1, rows)} {name}"

    def contents(at: re.Match) -> str:
        rows = kept.get(at["memory"])
        if rows is None:
            return at[0]
        if not rows:
            return ""
        bits = at["data"].partition("'")[2]
        length = len(bits) // int(at["words"]) * rows
        return (
            at[0]
            .replace(f"connect \\DATA {at['data']}", f"connect \\DATA {length}'{bits[-length:]}")
            .replace(f"parameter \\WORDS {at['words']}", f"parameter \\WORDS {rows}")
        )

    return _CONTENTS.sub(contents, _MEMORY.sub(declared, text))


def restored(verilog: str) -> str:
    """Verilog in which shortened memories have their depth, and zeros behind the contents that are there."""

    def module(at: re.Match) -> str:
        return _DECLARED.sub(lambda memory: _whole(memory, at[0]), at[0])

    return re.sub(r"^module .*?^endmodule", module, verilog, flags=re.M | re.S)


def _whole(at: re.Match, module: str) -> str:
    depth, width, name, last = int(at["depth"]), at["width"] or "", at["name"], int(at["last"])
    bits = int(width[1:].partition(":")[0]) + 1 if width else 1
    first = last + 1 if re.search(rf"^    {name}\[0\] = ", module, re.M) else 0
    loops = [
        f"    for (zeroed_row = {begin}; zeroed_row < {min(begin + _TURNS, depth)}; zeroed_row = zeroed_row + 1) "
        f"{name}[zeroed_row] = {bits}'h0;\n"
        for begin in range(first, depth, _TURNS)
    ]
    return (
        f"{at['before']}{at['behind']}  reg {width}{name} [{depth - 1}:0];\n"
        f"  initial begin : {name}_zeros\n    integer zeroed_row;\n{''.join(loops)}  end\n"
    )
