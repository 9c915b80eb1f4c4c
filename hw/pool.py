# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Max-pool of spikes. Spikes are 0 or 1, so the maximum over a pool window is the OR of its taps."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import row_layout

__all__ = ["OrPool"]


class OrPool(wiring.Component):
    """OR of all rows from `first` to `last`, inclusive: `o.row = i_first.row | ... | i_last.row`.

    Taps outside the map arrive as zero rows; a row that is both first and last passes unchanged. Any number of
    rows makes a window (9 for the 3x3 pool of the patch splitter).

    Latency: the result is valid in the cycle after its `last` row was accepted. Throughput: one input row each
    cycle, without a bubble between windows. Back-pressure: an untaken result holds the input; `i.ready` depends
    combinationally on `o.ready`.

    Parameters: `row_lanes` g, `time_steps` T.

    Members: `i` {row: g x T bits, first, last}; `o` {row}, zero from when a window's row was taken to the next
    window, and from a reset.
    Paper: max-pool layers of the spiking patch splitter.
    """

    def __init__(self, *, row_lanes: int, time_steps: int):
        row = row_layout(row_lanes, time_steps)
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"row": row, "first": 1, "last": 1}))),
                "o": Out(stream.Signature(data.StructLayout({"row": row}))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        tap = self.i.payload.row.as_value()
        pooled = Signal(tap.shape())  # empty after a reset, too
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            self.o.payload.row.eq(pooled),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & self.i.payload.last)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += pooled.eq(tap | Mux(self.i.payload.first, 0, pooled))
        with m.Elif(self.o.ready & self.o.valid):  # the reset of the flip-flops; others may be OR-ed to it
            m.d.sync += pooled.eq(0)
        return m
