# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Word packer: collects the spikes of the LIF array, R channels of one time step at a time, into spike words."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_power_of_two, spikes_layout, words_layout

__all__ = ["WordPacker"]


class WordPacker(wiring.Component):
    """`words[r]`, bit t `= time_mask[t] & spike[r]` of beat t.

    Beats come with t = 0 .. T-1 (`t_first` and `t_last` mark the ends). The words of the group are handed out with
    `last` as its beats have it. `time_mask` removes the steps that the model does not have.

    Latency: the words are valid in the cycle after their final beat was accepted. Throughput: one beat each cycle,
    without a bubble, as long as each group is taken before the next group's first beat; an untaken one holds the
    input (`i.ready` depends combinationally on `o.ready`).

    A word is a shift register: no multiplexer, one flip-flop a bit.

    Parameters: `lanes` R (power of two), `time_steps` T.

    Members: `i` {spike: R bits, t_first, t_last, last}; `time_mask` (T bits, stable while the block works);
    `o` {words, last}.
    """

    def __init__(self, *, lanes: int, time_steps: int):
        check_power_of_two("Lanes", lanes, 1, 32)
        self._lanes, self._steps = lanes, time_steps
        super().__init__(
            {
                "i": In(stream.Signature(spikes_layout(lanes))),
                "time_mask": In(time_steps),
                "o": Out(stream.Signature(words_layout(lanes, time_steps))),
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

        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & beat.t_last)
        with m.If(accept):
            m.d.sync += self.o.payload.last.eq(beat.last)
        for lane in range(self._lanes):
            word = Signal(steps, name=f"word_{lane}", reset_less=True)
            m.d.comb += self.o.payload.words[lane].eq(word)
            with m.If(accept):
                m.d.sync += word.eq(Cat(word, beat.spike[lane] & now[0])[1:])
        return m
