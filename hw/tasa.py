"""The barrel-shift TASA accumulator: the temporal window over synaptic sums (paper, eq. 1, 4 and 5)."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from ds2ta.hw.engine import drain_layout

from ds2ta.errors import FitError

__all__ = ["Tasa", "current_layout"]


def current_layout(*, lanes, width):
    """Payload of the current stream: one time step of `lanes` neurons."""
    return data.StructLayout(
        {"current": data.ArrayLayout(signed(width), lanes), "t_first": 1, "t_last": 1, "last": 1}
    )


class Tasa(wiring.Component):
    """`I[t] = sum_{m=0}^{window-1} P[t-m] << (tau * (window-1-m))`, `P[t < 0] = 0`, for `lanes` neurons at once.

    The paper's `2^(-tau m)` with `tau * (window-1)` fraction bits kept, so nothing is ever rounded. Computed as a
    transposed filter, which needs one shift by tau for each tap and no shifted history:

        z_M-1[t] = P[t];   z_m[t] = (P[t] << tau (window-1-m)) + z_m+1[t-1];   I[t] = z_0[t]

    Taps beyond `window` neither shift nor keep history. All sums are taken modulo `2**current_width`, hence exact
    whenever I[t] itself fits. Beats of one neuron group come with t = 0..T-1 in order; `t_last` clears the history
    (and so does a reset), so the window starts empty at the next group's `t_first`.

    Latency: `max_window - 1` cycles (0: wires). Throughput: one beat each cycle. Back-pressure: a beat that waits
    at `o` freezes the whole pipeline; `i.ready` depends combinationally on `o.ready`.

    Parameters
    ----------
    lanes : R, neurons of one beat.
    acc_width : bits of the signed sums P.
    max_window, max_tau : limits of the run-time window and shift.
    current_width : bits of the signed current I.

    Members
    -------
    i : stream of `drain_layout`.
    tau : 0..max_tau, stable while a beat is in flight.
    window : 1..max_window, stable while a beat is in flight.
    o : stream of `current_layout`.
    """

    def __init__(self, *, lanes, acc_width, max_window, max_tau, current_width):
        for name, value, low, high in (
            ("lanes", lanes, 1, 1024),
            ("acc_width", acc_width, 2, 40),
            ("max_window", max_window, 1, 4),
            ("max_tau", max_tau, 0, 7),
            ("current_width", current_width, 2, 64),
        ):
            if type(value) is not int or not low <= value <= high:
                raise FitError(f"Tasa {name} must be an integer in {low}..{high}, not {value!r}")
        self.lanes = lanes
        self.acc_width = acc_width
        self.max_window = max_window
        self.max_tau = max_tau
        self.current_width = current_width
        self.latency = max_window - 1
        super().__init__(
            {
                "i": In(stream.Signature(drain_layout(lanes=lanes, width=acc_width))),
                "tau": In(range(max_tau + 1)),
                "window": In(range(max_window + 1)),
                "o": Out(stream.Signature(current_layout(lanes=lanes, width=current_width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        taps = self.max_window
        if taps == 1:
            m.d.comb += [
                self.i.ready.eq(self.o.ready),
                self.o.valid.eq(self.i.valid),
                self.o.payload.t_first.eq(self.i.payload.t_first),
                self.o.payload.t_last.eq(self.i.payload.t_last),
                self.o.payload.last.eq(self.i.payload.last),
            ]
            m.d.comb += [self.o.payload.current[r].eq(self.i.payload.value[r]) for r in range(self.lanes)]
            return m

        def widened(bits):
            return signed(min(bits, self.current_width))

        # shift j of max_window - 1 is in use when window + j > max_window; history m is when m < window
        tau = [None]
        for j in range(1, taps):
            amount = Signal(self.tau.shape(), name=f"tau_{j}")
            m.d.comb += amount.eq(Mux(self.window > taps - j, self.tau, 0))
            tau.append(amount)

        advance = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance),
        ]
        # powers[r][j] = P << (tau_1 + ... + tau_j), one more for each stage, carried beside the marks
        valid, marks = self.i.valid, self.i.payload
        powers = [[self.i.payload.value[r]] for r in range(self.lanes)]
        for stage in range(1, taps):
            for r in range(self.lanes):
                shifted = Signal(widened(self.acc_width + stage * self.max_tau), name=f"shifted_{stage}_{r}")
                m.d.comb += shifted.eq(powers[r][-1] << tau[stage])
                powers[r].append(shifted)
            if stage == taps - 1:
                break
            held_valid = Signal(name=f"valid_{stage}")
            held_marks = Signal(data.StructLayout({"t_first": 1, "t_last": 1, "last": 1}), name=f"marks_{stage}")
            with m.If(advance):
                m.d.sync += [
                    held_valid.eq(valid),
                    held_marks.t_first.eq(marks.t_first),
                    held_marks.t_last.eq(marks.t_last),
                    held_marks.last.eq(marks.last),
                ]
            for r in range(self.lanes):
                for j, power in enumerate(powers[r]):
                    held = Signal(power.shape(), name=f"power_{stage}_{j}_{r}", reset_less=True)
                    with m.If(advance):
                        m.d.sync += held.eq(power)
                    powers[r][j] = held
            valid, marks = held_valid, held_marks

        # all additions happen side by side in the last stage; history[m] is z_m of the step before
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(valid),
                self.o.payload.t_first.eq(marks.t_first),
                self.o.payload.t_last.eq(marks.t_last),
                self.o.payload.last.eq(marks.last),
            ]
        for r in range(self.lanes):
            above = 0
            for tap in range(taps - 1, 0, -1):
                # a tap's sum of n terms: its widest term, doubled at most n-1 times
                bits = self.acc_width + (taps - 1 - tap) * self.max_tau + (taps - 1 - tap)
                history = Signal(widened(bits), name=f"history_{tap}_{r}")
                with m.If(advance & valid):
                    with m.If(marks.t_last | (self.window <= tap)):
                        m.d.sync += history.eq(0)
                    with m.Else():
                        m.d.sync += history.eq(powers[r][taps - 1 - tap] + above)
                above = history
            with m.If(advance):
                m.d.sync += self.o.payload.current[r].eq(powers[r][taps - 1] + above)
        return m
