// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// iCE40 block RAM, 256 x 16, which the vendor models of yosys have too, but their version returns the old word when
// a cycle reads bits that it writes. The real one promises nothing then, so this one returns wrong bits: whichever
// of the old and the new word a design relies on, about half of its bits are inverted. Bits that are not written
// read as stored. Before its first read the output shows a pattern. Both clocks must be one clock.
//
// Modes: 0 is 256 x 16 (MASK bit 1: do not write), 1 is 512 x 8, 2 is 1024 x 4, 3 is 2048 x 2; in mode m the upper m
// address bits choose one bit of every 2**m, and data is on one pin of every 2**m.
module SB_RAM40_4K #(
    parameter [1:0] READ_MODE = 0,
    parameter [1:0] WRITE_MODE = 0,
    parameter [255:0] INIT_0 = 0, INIT_1 = 0, INIT_2 = 0, INIT_3 = 0, INIT_4 = 0, INIT_5 = 0,
    parameter [255:0] INIT_6 = 0, INIT_7 = 0, INIT_8 = 0, INIT_9 = 0, INIT_A = 0, INIT_B = 0,
    parameter [255:0] INIT_C = 0, INIT_D = 0, INIT_E = 0, INIT_F = 0
) (
    output wire [15:0] RDATA,
    input wire RCLK,
    input wire RCLKE,
    input wire RE,
    input wire [10:0] RADDR,
    input wire WCLK,
    input wire WCLKE,
    input wire WE,
    input wire [10:0] WADDR,
    input wire [15:0] MASK,
    input wire [15:0] WDATA
);
  localparam READ_STEP = 1 << READ_MODE, READ_PIN = READ_STEP > 1 ? READ_STEP / 2 - 1 : 0;
  localparam WRITE_STEP = 1 << WRITE_MODE, WRITE_PIN = WRITE_STEP > 1 ? WRITE_STEP / 2 - 1 : 0;
  localparam [4095:0] INIT = {
    INIT_F, INIT_E, INIT_D, INIT_C, INIT_B, INIT_A, INIT_9, INIT_8,
    INIT_7, INIT_6, INIT_5, INIT_4, INIT_3, INIT_2, INIT_1, INIT_0
  };

  reg [15:0] words [0:255];
  reg [15:0] fetched = 16'ha55a;
  reg flip = 0;
  integer row;
  initial for (row = 0; row < 256; row = row + 1) words[row] = INIT[16*row +: 16];

  wire [15:0] written, incoming;
  wire reads = RE & RCLKE;
  wire writes = WE & WCLKE;
  wire [15:0] collided = reads & RADDR[7:0] == WADDR[7:0] ? written : 16'h0;
  wire [15:0] stored = words[RADDR[7:0]];
  wire [15:0] pattern = flip ? 16'h5555 : 16'haaaa;
  wire [15:0] wrong = ~(stored & pattern | incoming & ~pattern);
  wire [15:0] word = stored & ~collided | wrong & collided;

  genvar bit_;
  generate
    for (bit_ = 0; bit_ < 16; bit_ = bit_ + 1) begin : pin
      assign incoming[bit_] = WDATA[bit_ / WRITE_STEP * WRITE_STEP + WRITE_PIN];
      if (WRITE_STEP == 1) assign written[bit_] = writes & ~MASK[bit_];
      else assign written[bit_] = writes & {29'd0, WADDR[10:8]} % WRITE_STEP == bit_ % WRITE_STEP;
      assign RDATA[bit_] = bit_ % READ_STEP == READ_PIN ? fetched[bit_] : 1'b0;
    end
  endgenerate

  // the chosen bit of every READ_STEP, on its output pin
  wire [15:0] chosen = word >> (RADDR[10:8] & READ_STEP[2:0] - 3'd1);
  always @(posedge RCLK)
    if (reads) begin
      fetched <= chosen << READ_PIN;
      flip <= flip ^ |collided;
    end
  always @(posedge WCLK)
    if (writes) words[WADDR[7:0]] <= words[WADDR[7:0]] & ~written | incoming & written;
endmodule
