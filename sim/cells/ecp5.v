// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// ECP5 block RAM and multiplier, which yosys has as black boxes: behaviour of what its mapping uses. Anything
// else is refused: parameters when the simulator is built, signals when they come.

// 18 kbit of two-port RAM, for each port 16384 x 1, 8192 x 2, 4096 x 4, 2048 x 9 or 1024 x 18, or 512 x 36 with A
// the write port and B the read port, sharing their data pins. Bytes are of 9 bits; from 18 bits on the lowest
// address pins are byte enables. A port that writes keeps its output, or shows the old or the new word (WRITEMODE).
//
// What the real one leaves open is wrong here: bits that one port reads in the cycle in which the other one writes
// them are inverted, half of them against the old and half against the new word. Both clocks must be one clock, or one
// of them constant. Output registers, chip selects, inverted clocks, resets and two writers of one word are refused.
module DP16KD #(
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG",
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC",
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000",
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB",
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL",
    parameter GSR = "AUTO",
    parameter [319:0] INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0,
    parameter [319:0] INITVAL_05 = 0, INITVAL_06 = 0, INITVAL_07 = 0, INITVAL_08 = 0, INITVAL_09 = 0,
    parameter [319:0] INITVAL_0A = 0, INITVAL_0B = 0, INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0,
    parameter [319:0] INITVAL_0F = 0, INITVAL_10 = 0, INITVAL_11 = 0, INITVAL_12 = 0, INITVAL_13 = 0,
    parameter [319:0] INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0, INITVAL_18 = 0,
    parameter [319:0] INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0,
    parameter [319:0] INITVAL_1E = 0, INITVAL_1F = 0, INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0,
    parameter [319:0] INITVAL_23 = 0, INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0,
    parameter [319:0] INITVAL_28 = 0, INITVAL_29 = 0, INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0,
    parameter [319:0] INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0, INITVAL_30 = 0, INITVAL_31 = 0,
    parameter [319:0] INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0, INITVAL_36 = 0,
    parameter [319:0] INITVAL_37 = 0, INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
    parameter [319:0] INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0
) (
    input wire ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
    input wire ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
    input wire DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14,
      DIA15, DIA16, DIA17,
    input wire DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14,
      DIB15, DIB16, DIB17,
    output wire DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14,
      DOA15, DOA16, DOA17,
    output wire DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14,
      DOB15, DOB16, DOB17,
    input wire CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
    input wire CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2
);
  generate
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000"
        || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36) begin : refused
      $error("DP16KD: parameters that are not modelled");
    end
  endgenerate

  // 64 x 16 rows of 18 bits, each in 20
  localparam [20479:0] INIT = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };
  localparam [35:0] ONES_A = (36'd1 << DATA_WIDTH_A) - 36'd1, ONES_B = (36'd1 << DATA_WIDTH_B) - 36'd1;

  reg [35:0] words [0:511];
  integer row;
  initial for (row = 0; row < 512; row = row + 1) words[row] = {INIT[40*row+20 +: 18], INIT[40*row +: 18]};

  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1,
    ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1,
    ADB0};
  wire [17:0] data_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
    DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [17:0] data_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
    DIB4, DIB3, DIB2, DIB1, DIB0};
  reg [17:0] out_a = 0, out_b = 0;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3,
    DOA2, DOA1, DOA0} = out_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3,
    DOB2, DOB1, DOB0} = out_b;

  // bit 0 of an address in its word of 36: nibbles and smaller units fill the lower 8 bits of a byte
  function [5:0] place(input integer width, input [13:0] address);
    begin
      place = 0;
      if (width < 36 && address[4]) place = 18;
      if (width < 18 && address[3]) place = place + 9;
      if (width < 9 && address[2]) place = place + 4;
      if (width < 4 && address[1]) place = place + 2;
      if (width < 2 && address[0]) place = place + 1;
    end
  endfunction
  function [35:0] enabled(input integer width, input [13:0] address);
    enabled = width == 36 ? {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}}
            : width == 18 ? {18'd0, {9{address[1]}}, {9{address[0]}}} : 36'hfffffffff;
  endfunction

  wire select_a = ~(CSA0 | CSA1 | CSA2), select_b = ~(CSB0 | CSB1 | CSB2);
  wire enable_a = CEA & select_a, enable_b = CEB & select_b;
  wire write_a = enable_a & WEA, write_b = enable_b & WEB;
  wire [5:0] place_a = place(DATA_WIDTH_A, address_a), place_b = place(DATA_WIDTH_B, address_b);
  wire [35:0] mask_a = write_a ? (ONES_A & enabled(DATA_WIDTH_A, address_a)) << place_a : 36'd0;
  wire [35:0] mask_b = write_b ? (ONES_B & enabled(DATA_WIDTH_B, address_b)) << place_b : 36'd0;
  wire [35:0] new_a = {DATA_WIDTH_A == 36 ? data_b : 18'd0, data_a} << place_a;
  wire [35:0] new_b = {18'd0, data_b} << place_b;
  wire meet = address_a[13:5] == address_b[13:5];
  // as far as the other port is in the same word: the bits that it writes
  wire [35:0] other_a = meet ? mask_b : 36'd0, other_b = meet ? mask_a : 36'd0;

  reg flip = 0;
  wire [35:0] pattern = flip ? 36'h555555555 : 36'haaaaaaaaa;
  wire [35:0] old_a = words[address_a[13:5]], old_b = words[address_b[13:5]];
  wire [35:0] wrong_a = ~(old_a & pattern | new_b & ~pattern), wrong_b = ~(old_b & pattern | new_a & ~pattern);
  wire [35:0] clean_a = write_a && WRITEMODE_A == "WRITETHROUGH" ? old_a & ~mask_a | new_a & mask_a : old_a;
  wire [35:0] clean_b = write_b && WRITEMODE_B == "WRITETHROUGH" ? old_b & ~mask_b | new_b & mask_b : old_b;
  wire [35:0] read_a = ((clean_a & ~other_a | wrong_a & other_a) >> place_a) & ONES_A;
  wire [35:0] read_b = ((clean_b & ~other_b | wrong_b & other_b) >> place_b) & ONES_B;

  task refuse(input [8*40-1:0] what);
    begin
      $fdisplay(32'h8000_0002, "DP16KD: %0s: not modelled", what);
      $stop;
    end
  endtask

  always @(posedge CLKA) begin
    if (RSTA | RSTB) refuse("reset of an output");
    if (write_a & write_b & meet) refuse("both ports write one word");
    if (DATA_WIDTH_A != 36 && DATA_WIDTH_B != 36 && enable_a && (!WEA || WRITEMODE_A != "NORMAL"))
      out_a <= read_a[17:0];
    flip <= flip ^ |{other_a, other_b};
  end
  /* verilator lint_off MULTIDRIVEN */
  always @(posedge CLKA) if (write_a) words[address_a[13:5]] <= old_a & ~mask_a | new_a & mask_a;
  always @(posedge CLKB) begin
    if (write_b) words[address_b[13:5]] <= old_b & ~mask_b | new_b & mask_b;
    if (enable_b && (!WEB || WRITEMODE_B != "NORMAL")) begin
      out_b <= DATA_WIDTH_B == 36 ? read_b[35:18] : read_b[17:0];
      if (DATA_WIDTH_B == 36) out_a <= read_b[17:0];
    end
  end
  /* verilator lint_on MULTIDRIVEN */
endmodule

// 18 x 18 multiplier; its registers are not modelled, so a netlist that connects their pins is refused.
module MULT18X18D (
    input wire A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
    input wire B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
    input wire C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
    input wire SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    output wire P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17, P18, P19, P20,
      P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
  wire signed [18:0] a = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2,
    A1, A0};
  wire signed [18:0] b = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2,
    B1, B0};
  wire signed [37:0] product = a * b;
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
    P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product[35:0];
  always @*
    if (SOURCEA | SOURCEB) begin
      $fdisplay(32'h8000_0002, "MULT18X18D: shift inputs: not modelled");
      $stop;
    end
endmodule
