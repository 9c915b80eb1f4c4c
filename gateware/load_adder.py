# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""ECP5: accumulators whose adder also loads, for the price of the adder.

`load ? b : a + b` takes a carry cell and a LUT for each bit when yosys maps it, because yosys ties the carry cell's
fourth input high. With that input low the same cell (same INIT) hands on its first operand, and the carry stays 0:
so the load needs no LUT at all. This is one third of the engine's area, see `ds2ta.hw.engine`.

The pattern is found by yosys' `extract` before any optimization, and replaced by `techmap`. The replacement is
proved equal to the pattern on the vendor's model of the cell (tests/gateware/test_load_adder.py).
"""

import re
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LoadAdder", "carry_cells", "ecp5_script", "widths"]

_NARROWEST = 5  # yosys itself maps shorter adders to LUTs


class LoadAdder(wiring.Component):
    """The pattern: `y = load ? b : a + b` modulo `2**width`, `b` of `term_width` bits, signed. Combinational."""

    def __init__(self, *, width: int, term_width: int):
        self.name = f"load_adder_{width}_{term_width}"
        super().__init__(
            {"a": In(signed(width)), "b": In(signed(term_width)), "load": In(1), "y": Out(signed(width))}
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(Mux(self.load, self.b, self.a + self.b))
        return m


def carry_cells(width: int, term_width: int) -> str:
    """Verilog of `LoadAdder` in carry cells, two bits each. INIT: with D high A ^ B ^ carry, with D low A."""
    return f"""module load_adder_{width}_{term_width}(
  input [{width - 1}:0] a, input [{term_width - 1}:0] b, input load, output [{width - 1}:0] y
);
  localparam CELLS = {(width + 1) // 2};
  wire [2*CELLS-1:0] first = {{{{(2*CELLS-{term_width - 1}){{b[{term_width - 1}]}}}}, b[{term_width - 2}:0]}};
  wire [2*CELLS-1:0] second = {{{{(2*CELLS-{width - 1}){{a[{width - 1}]}}}}, a[{width - 2}:0]}};
  wire [2*CELLS-1:0] sum;
  wire [CELLS:0] carry;
  wire add = ~load;
  assign carry[0] = 1'b0;
  assign y = sum[{width - 1}:0];
  genvar i;
  generate for (i = 0; i < CELLS; i = i + 1) begin : pair
    CCU2C #(.INIT0(16'h96AA), .INIT1(16'h96AA), .INJECT1_0("NO"), .INJECT1_1("NO")) cell_ (
      .CIN(carry[i]), .COUT(carry[i+1]),
      .A0(first[2*i]), .B0(second[2*i]), .C0(1'b0), .D0(add), .S0(sum[2*i]),
      .A1(first[2*i+1]), .B1(second[2*i+1]), .C1(1'b0), .D1(add), .S1(sum[2*i+1])
    );
  end endgenerate
endmodule
"""


def widths(text: str) -> list[tuple[int, int]]:
    """(width, term width) of the signed sums in RTLIL text that could be such adders."""
    cell = re.compile(r"cell \$add .*?\n(.*?)\n\s*end\n", re.S)
    found = set()
    for body in cell.findall(text):
        parameter = dict(re.findall(r"parameter (?:signed )?\\(\w+) (\d+)", body))
        width, term_width = int(parameter["A_WIDTH"]), int(parameter["B_WIDTH"])
        signs = parameter["A_SIGNED"], parameter["B_SIGNED"]
        if signs == ("1", "1") and 2 <= term_width <= width and width >= _NARROWEST:
            found.add((width, term_width))
    return sorted(found)


def ecp5_script(text: str, name: str, folder: Path) -> str:
    """Commands that synthesize the RTLIL `text` (already read) for ECP5 with these adders; their two side files go
    into `folder`, from where yosys must run. Wide LUTs are off: they cost more LUT4s than they save time here."""
    pairs = widths(text)
    patterns = [LoadAdder(width=width, term_width=term_width) for width, term_width in pairs]
    (folder / "patterns.il").write_text(
        "".join(rtlil.convert(pattern, name=pattern.name, emit_src=False) for pattern in patterns)
    )
    (folder / "load_adders.v").write_text("".join(carry_cells(*pair) for pair in pairs))
    synth = f"synth_ecp5 -nowidelut -top {name} -run"
    steps = [f"{synth} begin:coarse", "proc", "flatten", "opt_clean"]
    if pairs:
        steps += ["design -save all", "design -reset", "read_rtlil patterns.il", "proc", "opt_clean"]
        steps += ["write_rtlil prepared.il", "design -load all", "extract -map prepared.il"]
        steps += ["techmap -map load_adders.v"]
    return "\n".join([*steps, f"{synth} coarse:", ""])
