# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The barrel-shift TASA accumulator: the temporal window over synaptic sums (paper, eq. 1, 4 and 5)."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetSignal, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range, drain_layout

__all__ = ["Tasa", "current_layout"]

_MARKS = ("t_first", "t_last", "group_last", "last")


def current_layout(*, lanes: int, width: int) -> data.StructLayout:
    """Payload of the current stream: one time step of `lanes` neurons."""
    return data.StructLayout(
        {"current": data.ArrayLayout(signed(width), lanes), "t_first": 1, "t_last": 1, "group_last": 1, "last": 1}
    )


class Tasa(wiring.Component):
    """`I[t] = sum_{m=0}^{window-1} P[t-m] << (tau * (window-1-m))`, `P[t < 0] = 0`, for `lanes` neurons at once.

    The paper's `2^(-tau m)` with `tau * (window-1)` fraction bits kept, so nothing is ever rounded. Computed as a
    transposed filter, which needs one shift by tau for each tap and no shifted history:

        z_M-1[t] = P[t];   z_m[t] = (P[t] << tau (window-1-m)) + z_m+1[t-1];   I[t] = z_0[t]

    Taps beyond `window` neither shift nor keep history. All sums are taken modulo `2**current_width`, hence exact
    whenever I[t] itself fits. Beats of one neuron group come with t = 0..T-1 in order; `t_last` clears the history
    (and so does a reset), so the window starts empty at the next group's `t_first`.

    Latency: `latency` cycles: `max_window - 1` (0: wires), with multipliers 3 (or 0), one on the way to them, one
    for the products and one for the sums. Throughput: one beat each cycle. Back-pressure: a beat that waits
    at `o` freezes the whole pipeline; `i.ready` depends combinationally on `o.ready`.

    Parameters
    ----------
    lanes : R, neurons of one beat.
    acc_width : bits of the signed sums P.
    max_window, max_tau : limits of the run-time window and shift.
    current_width : bits of the signed current I.
    multiply : build a shift as a product with a power of two, for a device with multiplier blocks to spare (two for
        each lane when max_window is 3): the shifters are most of the block's LUTs.

    Members
    -------
    i : stream of `hw.rows.drain_layout`.
    tau : 0..max_tau, stable while a beat is in flight; with multipliers from the cycle before the first beat on.
    window : 1..max_window, stable likewise.
    o : stream of `current_layout`.
    """

    def __init__(
        self,
        *,
        lanes: int,
        acc_width: int,
        max_window: int,
        max_tau: int,
        current_width: int,
        multiply: bool = False,
    ):
        check_range("Lanes", lanes, 1, 1024)
        check_range("Accumulator width", acc_width, 2, 40)
        check_range("Largest window", max_window, 1, 4)
        check_range("Largest tau", max_tau, 0, 7)
        check_range("Current width", current_width, 2, 64)
        if type(multiply) is not bool:
            raise FitError(f"Multiply must be True or False, not {multiply!r}")
        self.lanes = lanes
        self.acc_width = acc_width
        self.max_window = max_window
        self.max_tau = max_tau
        self.current_width = current_width
        self.multiply = multiply
        self.latency = self.latency_of(max_window, multiply)
        super().__init__(
            {
                "i": In(stream.Signature(drain_layout(lanes, acc_width))),
                "tau": In(range(max(max_tau, 1) + 1)),  # Verilog has no ports of 0 bits
                "window": In(range(max_window + 1)),
                "o": Out(stream.Signature(current_layout(lanes=lanes, width=current_width))),
            }
        )

    @staticmethod
    def latency_of(max_window: int, multiply: bool) -> int:
        """Cycles from a beat's acceptance to its current."""
        return 3 if multiply and max_window > 1 else max_window - 1

    def elaborate(self, platform):
        m = Module()
        taps = self.max_window
        if taps == 1:
            m.d.comb += [self.i.ready.eq(self.o.ready), self.o.valid.eq(self.i.valid)]
            m.d.comb += [self.o.payload[mark].eq(self.i.payload[mark]) for mark in _MARKS]
            m.d.comb += [self.o.payload.current[r].eq(self.i.payload.value[r]) for r in range(self.lanes)]
            return m

        advance = Signal()
        restart = ResetSignal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # shift j of 1..max_window-1 works while window + j > max_window; shifts 1..j together give total[j]
        tau: list[Any] = [None]
        total: list[Any] = [0]
        for j in range(1, taps):
            amount = Signal(range(self.max_tau + 1), name=f"tau_{j}")
            m.d.comb += amount.eq(Mux(self.window > taps - j, self.tau, 0))
            tau.append(amount)
            total.append(total[-1] + amount)

        # powers[r][j] = P << total[j]: one more in each stage, the last included (which adds), or all behind a
        # register, as multiplier blocks have a place of their own on a chip; a stage hands on what it has
        valid, marks = self.i.valid, {mark: self.i.payload[mark] for mark in _MARKS}
        powers = [[self.i.payload.value[r]] for r in range(self.lanes)]
        factors = []
        for j in range(1, taps if self.multiply else 1):
            factors.append(Signal(j * self.max_tau + 1, name=f"factor_{j}", reset_less=True))
            m.d.sync += factors[-1].eq(1 << total[j])
        for stage in range(1, self.latency + 1):
            shifts = stage if not self.multiply else 0 if stage == 1 else taps - 1
            for r in range(self.lanes):
                for j in range(len(powers[r]), shifts + 1):
                    power = Signal(self._narrowed(self.acc_width + j * self.max_tau), name=f"power_{j}_{r}")
                    shifted = powers[r][0] * factors[j - 1] if self.multiply else powers[r][-1] << tau[j]
                    m.d.comb += power.eq(shifted)
                    powers[r].append(power)
            if stage < self.latency:
                held_valid = Signal(name=f"valid_{stage}")
                held_marks = {mark: Signal(name=f"{mark}_{stage}", reset_less=True) for mark in _MARKS}
                held_powers = [
                    [
                        Signal.like(power, name=f"held_{stage}_{j}_{r}", reset_less=True)
                        for j, power in enumerate(lane)
                    ]
                    for r, lane in enumerate(powers)
                ]
                with m.If(advance):
                    m.d.sync += held_valid.eq(valid)
                    m.d.sync += [held_marks[mark].eq(marks[mark]) for mark in _MARKS]
                    m.d.sync += [
                        held.eq(power)
                        for held_row, row in zip(held_powers, powers, strict=True)
                        for held, power in zip(held_row, row, strict=True)
                    ]
                valid, marks, powers = held_valid, held_marks, held_powers

        # all additions stand side by side in the last stage; history is z_tap of the step before
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            m.d.sync += [self.o.payload[mark].eq(marks[mark]) for mark in _MARKS]
        for r in range(self.lanes):
            above: Any = 0
            for tap in range(taps - 1, 0, -1):
                # P times at most the sum of its powers: with a shift one bit more than the widest, for the others
                # together are less than it; without, all terms are as wide
                terms = taps - 1 - tap
                bits = self.acc_width + ceil_log2(sum(1 << n * self.max_tau for n in range(terms + 1)))
                history = Signal(self._narrowed(bits), name=f"history_{tap}_{r}", reset_less=True)
                # the reset is part of the clear, not a reset of its own: a flip-flop has one synchronous reset
                with m.If((valid & advance) | restart):
                    with m.If(marks["t_last"] | (self.window <= tap) | restart):
                        m.d.sync += history.eq(0)
                    with m.Else():
                        m.d.sync += history.eq(powers[r][terms] + above)
                above = history
            with m.If(advance):
                m.d.sync += self.o.payload.current[r].eq(powers[r][taps - 1] + above)
        return m

    def _narrowed(self, bits):
        """Nothing needs more bits than the current itself, because sums are exact modulo `2**current_width`."""
        return signed(min(bits, self.current_width))
