# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Row packer: collects the spikes of the LIF array, R channels of one time step at a time, into spike rows."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_power_of_two, last_row_layout, spikes_layout

__all__ = ["RowPacker"]


class RowPacker(wiring.Component):
    """`row[j * R + r]`, bit t `= time_mask[t] & spike[r]` of beat (j, t), for the groups j = 0 .. g/R - 1 of a row.

    Beats arrive group-major, then t = 0 .. T-1 (`t_first` and `t_last` mark the ends). A row is handed out when it
    is full or when a beat carries `last`; lanes without a beat are zero then, and `o.last` is 1 on that row. So a
    commit of n channels makes `ceil(n / g)` rows. `time_mask` removes the steps that the model does not have.

    Latency: the row is valid in the cycle after its final beat was accepted. Throughput: one beat each cycle,
    without a bubble, as long as each row is taken before the next row's first beat; an untaken row holds the input
    (`i.ready` depends combinationally on `o.ready`).

    A slot of R lanes is R shift registers that only its own beats clock: no multiplexer, one flip-flop a bit.

    Parameters: `lanes` R (power of two, at most g), `row_lanes` g, `time_steps` T.

    Members: `i` {spike: R bits, t_first, t_last, last}; `time_mask` (T bits, stable while the block works);
    `o` {row, last}.
    """

    def __init__(self, *, lanes: int, row_lanes: int, time_steps: int):
        check_power_of_two("Lanes", lanes, 1, 32)
        row = last_row_layout(row_lanes, time_steps)
        if lanes > row_lanes:
            raise FitError(f"Lanes must be at most the {row_lanes} lanes of a row, not {lanes!r}")
        self._lanes, self._slots, self._steps = lanes, row_lanes // lanes, time_steps
        super().__init__(
            {
                "i": In(stream.Signature(spikes_layout(lanes))),
                "time_mask": In(time_steps),
                "o": Out(stream.Signature(row)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        beat, steps = self.i.payload, self._steps
        accept = Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            accept.eq(self.i.valid & self.i.ready),
        ]

        # the mask travels with t as a shift register: no counter, no selector
        to_come = Signal(steps - 1, reset_less=True)
        now = Signal(steps)
        m.d.comb += now.eq(Mux(beat.t_first, self.time_mask, to_come))
        with m.If(accept):
            m.d.sync += to_come.eq(now[1:])

        slot = Signal(range(self._slots))
        full = Signal()
        m.d.comb += full.eq(beat.t_last & (beat.last | (slot == self._slots - 1)))
        with m.If(accept & beat.t_last):
            m.d.sync += slot.eq(Mux(full, 0, slot + 1))
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & full)
        with m.If(accept):
            m.d.sync += self.o.payload.last.eq(beat.last)

        for lane in range(self._slots * self._lanes):
            word = Signal(steps, name=f"word_{lane}", reset_less=True)
            fresh = beat.spike[lane % self._lanes] & now[0]
            m.d.comb += self.o.payload.row[lane].eq(word)
            with m.If(accept & (slot == lane // self._lanes)):
                m.d.sync += word.eq(Cat(word[1:], fresh))
            if lane >= self._lanes:  # a new row starts empty; slot 0 is overwritten by its own T beats
                with m.Elif(accept & (slot == 0)):
                    m.d.sync += word.eq(0)
        return m
