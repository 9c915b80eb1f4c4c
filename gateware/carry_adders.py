# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""ECP5: additions of the engine that also load, double or mask, for the price of the adder.

A carry cell's LUT has four inputs, of which an addition takes two; yosys ties the others, and maps what stands in
front of the adder to LUTs of its own. The cell hands on its carry where LUT(A, B, C, D) is 1, and LUT(A, B, 0, 0)
where it is 0, so whatever makes one operand of A and B and the other of C and D, or keeps one as A, fits:

- `load ? b : a + b`: with the fourth input low the cell hands on its first operand, and the carry stays 0;
- `(double ? 2 a : a) + b`: a bit of a and the one below it are C and D;
- `(m ? a : 0) + (n ? b : 0)`: each operand with its mask.

The patterns are found by yosys' `extract` before any optimization, and replaced by `techmap`. Each replacement is
proved equal to its pattern on the vendor's model of the cell (tests/gateware/test_carry_adders.py).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CarryAdder", "DoublingAdder", "LoadAdder", "MaskedAdder", "ecp5_script", "patterns"]

_NARROWEST = 5  # yosys itself maps shorter adders to LUTs


class CarryAdder(wiring.Component):
    """A pattern: `y` of `width` bits, a function of `a`, `b` and some `selects` of one bit. Combinational.

    `cell`: what its carry cells are, INIT of both halves and, for each of their inputs A to D, the net of which bit
    i goes there: `a` and `b` with their signs continued, `below` (a one place up), or a select."""

    kind: str
    selects: tuple[str, ...]
    init: str
    inputs: tuple[str, str, str, str]

    def __init__(self, *, width: int, a_width: int, b_width: int):
        self.name = f"{self.kind}_adder_{width}_{a_width}_{b_width}"
        self.width, self.a_width, self.b_width = width, a_width, b_width
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                **{name: In(1) for name in self.selects},
                "y": Out(signed(width)),
            }
        )

    def cells(self) -> str:
        """Verilog of the pattern in carry cells, two bits each."""
        a, b = self.a_width, self.b_width
        ports = "".join(f"input {name}, " for name in self.selects)
        nets = {name: (name, name) for name in self.selects}
        nets |= {name: (f"{name}_bits[2*i]", f"{name}_bits[2*i+1]") for name in ("a", "b", "below")}
        nets |= {"add": ("add", "add"), "zero": ("1'b0", "1'b0")}
        taken = [
            ", ".join(f".{pin}{half}({nets[net][half]})" for pin, net in zip("ABCD", self.inputs, strict=True))
            for half in range(2)
        ]
        return f"""module {self.name}(
  input [{a - 1}:0] a, input [{b - 1}:0] b, {ports}output [{self.width - 1}:0] y
);
  localparam CELLS = {(self.width + 1) // 2};
  wire [2*CELLS-1:0] a_bits = {{{{(2*CELLS-{a - 1}){{a[{a - 1}]}}}}, a[{a - 2}:0]}};
  wire [2*CELLS-1:0] b_bits = {{{{(2*CELLS-{b - 1}){{b[{b - 1}]}}}}, b[{b - 2}:0]}};
  wire [2*CELLS-1:0] below_bits = {{a_bits[2*CELLS-2:0], 1'b0}};
  wire [2*CELLS-1:0] sum;
  wire [CELLS:0] carry;
  wire add = {"~load" if "load" in self.selects else "1'b1"};
  assign carry[0] = 1'b0;
  assign y = sum[{self.width - 1}:0];
  genvar i;
  generate for (i = 0; i < CELLS; i = i + 1) begin : pair
    CCU2C #(.INIT0(16'h{self.init}), .INIT1(16'h{self.init}), .INJECT1_0("NO"), .INJECT1_1("NO")) cell_ (
      .CIN(carry[i]), .COUT(carry[i+1]),
      {taken[0]}, .S0(sum[2*i]),
      {taken[1]}, .S1(sum[2*i+1])
    );
  end endgenerate
endmodule
"""


class LoadAdder(CarryAdder):
    """`y = load ? b : a + b`. INIT: with D high A ^ B ^ carry, with D low A."""

    kind, selects, init = "load", ("load",), "96AA"
    inputs = ("b", "a", "zero", "add")

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(Mux(self.load, self.b, self.a + self.b))
        return m


class DoublingAdder(CarryAdder):
    """`y = (double ? 2 a : a) + b`. INIT: A ^ (B ? D : C) ^ carry."""

    kind, selects, init = "doubling", ("double",), "569A"
    inputs = ("b", "double", "a", "below")

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(Mux(self.double, (self.a << 1)[: self.a_width].as_signed(), self.a) + self.b)
        return m


class MaskedAdder(CarryAdder):
    """`y = (with_a ? a : 0) + (with_b ? b : 0)`. INIT: (A & B) ^ (C & D) ^ carry."""

    kind, selects, init = "masked", ("with_a", "with_b"), "7888"
    inputs = ("b", "with_b", "a", "with_a")

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(Mux(self.with_a, self.a, 0) + Mux(self.with_b, self.b, 0))
        return m


def patterns(text: str) -> list[CarryAdder]:
    """Those that could be in RTLIL text, by the widths of its signed sums."""
    cell = re.compile(r"cell \$add .*?\n(.*?)\n\s*end\n", re.S)
    found = set()
    for body in cell.findall(text):
        parameter = dict(re.findall(r"parameter (?:signed )?\\(\w+) (\d+)", body))
        a_width, b_width = int(parameter["A_WIDTH"]), int(parameter["B_WIDTH"])
        signs = parameter["A_SIGNED"], parameter["B_SIGNED"]
        if signs != ("1", "1") or b_width < 2:
            continue
        if b_width <= a_width and a_width >= _NARROWEST:
            shape = (a_width, a_width, b_width)
            found |= {(LoadAdder, *shape), (DoublingAdder, *shape)}
        if a_width == b_width:
            found.add((MaskedAdder, a_width + 1, a_width, b_width))
    ordered = sorted(found, key=lambda item: (item[0].kind, *item[1:]))
    return [kind(width=width, a_width=a, b_width=b) for kind, width, a, b in ordered]


def _files(adders: Sequence[CarryAdder], folder: Path) -> None:
    """The side files that the script reads."""
    texts = (rtlil.convert(adder, name=adder.name, emit_src=False) for adder in adders)
    (folder / "patterns.il").write_text("".join(texts))
    (folder / "carry_adders.v").write_text("".join(adder.cells() for adder in adders))


def ecp5_script(text: str, name: str, folder: Path) -> str:
    """Commands that synthesize the RTLIL `text` (already read) for ECP5 with these adders; their two side files go
    into `folder`, from where yosys must run. Wide LUTs are off: they cost more LUT4s than they save time here."""
    adders = patterns(text)
    _files(adders, folder)
    synth = f"synth_ecp5 -nowidelut -top {name} -run"
    steps = [f"{synth} begin:coarse", "proc", "flatten", "opt_clean"]
    if adders:
        steps += ["design -save all", "design -reset", "read_rtlil patterns.il", "proc", "opt_clean"]
        steps += ["write_rtlil prepared.il", "design -load all", "extract -map prepared.il"]
        steps += ["techmap -map carry_adders.v"]
    return "\n".join([*steps, f"{synth} coarse:", ""])
