// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// Behaviour of the vendor cells that emitted Verilog instantiates, for simulation.

// iCE40 UP5K single-port RAM, 16384 x 16. It starts with a pattern instead of zeros and shows a pattern after a
// write, because the real one promises nothing in these cases and no design may rely on them.
module SB_SPRAM256KA(
    input wire [13:0] ADDRESS,
    input wire [15:0] DATAIN,
    input wire [3:0] MASKWREN,
    input wire WREN,
    input wire CHIPSELECT,
    input wire CLOCK,
    input wire STANDBY,
    input wire SLEEP,
    input wire POWEROFF,
    output reg [15:0] DATAOUT
);
  reg [15:0] words [0:16383];
  integer index;
  initial for (index = 0; index < 16384; index = index + 1) words[index] = index[15:0] ^ 16'ha55a;

  always @(posedge CLOCK)
    if (CHIPSELECT && !STANDBY && !SLEEP && POWEROFF) begin
      if (WREN) begin
        if (MASKWREN[0]) words[ADDRESS][3:0] <= DATAIN[3:0];
        if (MASKWREN[1]) words[ADDRESS][7:4] <= DATAIN[7:4];
        if (MASKWREN[2]) words[ADDRESS][11:8] <= DATAIN[11:8];
        if (MASKWREN[3]) words[ADDRESS][15:12] <= DATAIN[15:12];
        DATAOUT <= 16'h5aa5;
      end else begin
        DATAOUT <= words[ADDRESS];
      end
    end
endmodule
