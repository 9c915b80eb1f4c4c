# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A x V: the event-driven accumulator whose sums are the membranes of the LIF behind it."""

from amaranth.hdl import Cat, Module, Mux, ResetSignal, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_range, row_layout

__all__ = ["AvAccumulator", "attended_layout", "term_layout"]


def term_layout(row_lanes: int, time_steps: int, bits: int, tag_width: int) -> data.StructLayout:
    """A term of `A x V`: add `value` to every lane whose V spikes at the present time step in `row`, or, if `end`,
    finish the time step. `tag` of the last time step's end comes out with the row."""
    return data.StructLayout(
        {"row": row_layout(row_lanes, time_steps), "value": bits, "end": 1, "tag": unsigned(tag_width)}
    )


def attended_layout(row_lanes: int, time_steps: int, tag_width: int) -> data.StructLayout:
    """A row of attention spikes and its tag."""
    return data.StructLayout({"row": row_layout(row_lanes, time_steps), "tag": unsigned(tag_width)})


class AvAccumulator(wiring.Component):
    """`U[t] = leak(V[t-1]) + sum_j A[t][i][j] v[t][j]`, `s = U >= threshold`, `V = 0 if s else U`, V[-1] = 0, for g
    channels (paper, eq. 2 and 3 on `A x V`); leak(V) = V - ceil(V / 2^leak_shift). Exact.

    The accumulator is the membrane. One term is added each cycle in every lane whose V spikes; the end of a time
    step is one cycle of comparison, reset and leak. With leak_shift 1 the lanes hold `2^t U` (floors nest, so
    halving later is exact) and it is the term and the threshold, common to all lanes, that are scaled: then a lane
    is one adder, whose carry also is the comparison, at the cost of T - 1 more bits.

    Latency: a term accepted in cycle c is in the membrane at the end of c + 1; `o` is valid two cycles after the
    acceptance of the last time step's end. Throughput: one term each cycle, no bubble between rows. Back-pressure:
    the end of a time step waits while a finished row waits at `o`.

    Parameters: `row_lanes` g, `time_steps` T, `denoiser_bits` of A, `membrane_width` (unsigned, holds every U
    and the threshold), `leak_shift`, `tag_width`.

    Members: `i` stream of `term_layout`; `threshold` (at least 1, stable); `o` stream of `attended_layout`;
    `membrane` (g lanes, `2^t U` where `scaled`, else U), valid with `compared` in the cycle of a comparison: for
    benches, free when not connected.
    """

    latency = 2

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        denoiser_bits: int,
        membrane_width: int,
        leak_shift: int,
        tag_width: int = 0,
    ):
        term = term_layout(row_lanes, time_steps, denoiser_bits, tag_width)
        check_range("Denoiser bits", denoiser_bits, 1, 8)
        check_range("Membrane width", membrane_width, 1, 40)
        check_range("Leak shift", leak_shift, 1, 4)
        self._lanes, self._steps, self._leak_shift = row_lanes, time_steps, leak_shift
        self.scaled = leak_shift == 1
        self._width = membrane_width + (time_steps - 1 if self.scaled else 0)
        super().__init__(
            {
                "i": In(stream.Signature(term)),
                "threshold": In(membrane_width),
                "o": Out(stream.Signature(attended_layout(row_lanes, time_steps, tag_width))),
                "membrane": Out(data.ArrayLayout(unsigned(self._width), row_lanes)),
                "compared": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        T, width = self._steps, self._width
        term = self.i.payload
        step = Signal(range(T))
        step_last = Signal()
        # operand stage: what is added to which lanes
        operand = Signal(width, reset_less=True)  # A, or minus the threshold at the end of a time step
        spikes = Signal(self._lanes)
        compares, finishes = Signal(), Signal(reset_less=True)
        tag = Signal.like(term.tag, reset_less=True)
        moves = Signal()
        m.d.comb += [
            moves.eq(~(compares & self.o.valid & ~self.o.ready)),
            self.i.ready.eq(moves),
            step_last.eq(step == T - 1),
            self.compared.eq(compares & moves),
        ]
        scale = step if self.scaled else 0
        with m.If(moves):
            m.d.sync += [
                compares.eq(self.i.valid & term.end),
                finishes.eq(step_last),
                operand.eq(Mux(term.end, -self.threshold, term.value) << scale),
                spikes.eq(
                    Cat(term.row[lane].bit_select(step, 1) for lane in range(self._lanes))
                    & (self.i.valid & ~term.end).replicate(self._lanes)
                ),
            ]
        with m.If(self.i.valid & moves & term.end):
            m.d.sync += step.eq(Mux(step_last, 0, step + 1))
            # the next row's last end can only come here once this row has been taken (T > 1)
            with m.If(step_last):
                m.d.sync += tag.eq(term.tag)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.compared):
            m.d.sync += self.o.valid.eq(finishes)
        if T > 1:
            m.d.comb += self.o.payload.tag.eq(tag)
        else:
            tag_out = Signal.like(tag, reset_less=True)
            m.d.comb += self.o.payload.tag.eq(tag_out)
            with m.If(self.compared):
                m.d.sync += tag_out.eq(tag)

        # the clock enable and the synchronous reset of the flip-flops do all but the addition
        empties, ends = Signal(), Signal()
        m.d.comb += [
            empties.eq(ResetSignal() | self.compared & finishes),
            ends.eq(ResetSignal() | self.compared),
        ]
        for lane in range(self._lanes):
            membrane = Signal(width, name=f"membrane_{lane}", reset_less=True)
            row = Signal(T, name=f"row_{lane}", reset_less=True)
            total = Signal(width + 1, name=f"total_{lane}")
            fires = total[width]  # carry of `membrane - threshold`
            m.d.comb += [
                total.eq(membrane + operand),
                self.membrane[lane].eq(membrane),
                self.o.payload.row[lane].eq(row),
            ]
            with m.If(self.compared):
                m.d.sync += row.eq(Cat(row, fires)[1:])
            if self.scaled:
                with m.If(spikes[lane] | empties | (self.compared & fires)):
                    m.d.sync += membrane.eq(Mux(ends, 0, total))
            else:
                rounding = (1 << self._leak_shift) - 1
                leaked = membrane - ((membrane + rounding) >> self._leak_shift)
                with m.If(spikes[lane] | ends):
                    m.d.sync += membrane.eq(Mux(empties | ends & fires, 0, Mux(ends, leaked, total)))
        return m
