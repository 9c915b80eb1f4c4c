# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The LIF array: leaky integration, threshold and hard reset of `lanes` neurons (paper, eq. 2 and 3)."""

from amaranth.hdl import Module, ResetSignal, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_range

__all__ = ["LifArray", "neuron_layout", "spike_layout"]


def neuron_layout(*, lanes: int, current_width: int, param_width: int) -> data.StructLayout:
    """Payload of the input stream: one time step of `lanes` neurons with their parameters."""
    return data.StructLayout(
        {
            "current": data.ArrayLayout(signed(current_width), lanes),
            "bias": data.ArrayLayout(signed(param_width), lanes),
            "margin": data.ArrayLayout(signed(param_width), lanes),
            "t_first": 1,
            "t_last": 1,
            "last": 1,
        }
    )


def spike_layout(*, lanes: int, membrane_width: int) -> data.StructLayout:
    """Payload of the output stream; `membrane` is U, before the reset by a spike."""
    return data.StructLayout(
        {
            "spike": lanes,
            "membrane": data.ArrayLayout(signed(membrane_width), lanes),
            "t_first": 1,
            "t_last": 1,
            "last": 1,
        }
    )


class LifArray(wiring.Component):
    """`U[t] = leak(V[t-1]) + I[t] + B`, `s[t] = U[t] >= B + M`, `V[t] = s[t] ? 0 : U[t]`, `V[-1] = 0`.

    B is the bias and M the margin (threshold minus bias) of the neuron; `leak(V) = floor(V (1 - 2^-leak_shift))`.
    Beats of one neuron group come with t = 0..T-1 in order and the same parameters; `t_last` clears the membrane
    (and so does a reset). Nothing saturates: `membrane_width` must hold every U.

    With `E = leak(V) + I`, both `U = E + B` and the sign of `E - M` hang on E side by side. Adders in a row ripple
    together: the second waits for one bit of the first, not for all, so one cycle is enough, with three adders a
    neuron instead of the four and their registers that a stage of its own for `I + B` and `M - I` would take.

    Latency: 1 cycle. Throughput: one beat each cycle. Back-pressure: a beat that waits at `o` freezes the block;
    `i.ready` depends combinationally on `o.ready`.

    Parameters
    ----------
    lanes : R, neurons of one beat.
    current_width, param_width, membrane_width : bits of the signed I; of B and M; of U and V.
    leak_shift : k = log2 of the membrane time constant tau_m.

    Members
    -------
    i : stream of `neuron_layout`.
    o : stream of `spike_layout`.
    """

    #: Cycles from the acceptance of a beat to its spikes.
    latency = 1

    def __init__(self, *, lanes: int, current_width: int, param_width: int, membrane_width: int, leak_shift: int):
        check_range("Lanes", lanes, 1, 1024)
        check_range("Current width", current_width, 2, 64)
        check_range("Parameter width", param_width, 2, 64)
        check_range("Membrane width", membrane_width, 2, 64)
        check_range("Leak shift", leak_shift, 1, 4)
        self.lanes = lanes
        self.current_width = current_width
        self.param_width = param_width
        self.membrane_width = membrane_width
        self.leak_shift = leak_shift
        source = neuron_layout(lanes=lanes, current_width=current_width, param_width=param_width)
        super().__init__(
            {
                "i": In(stream.Signature(source)),
                "o": Out(stream.Signature(spike_layout(lanes=lanes, membrane_width=membrane_width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        source, sink = self.i.payload, self.o.payload
        advance = Signal()
        take = Signal()
        restart = ResetSignal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & advance),
            self.i.ready.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                sink.t_first.eq(source.t_first),
                sink.t_last.eq(source.t_last),
                sink.last.eq(source.last),
            ]
        # U - Theta fits these bits whenever U fits its own, so sums modulo 2**bits have the right sign
        bits = max(self.membrane_width, self.param_width + 1) + 1
        k = self.leak_shift
        for r in range(self.lanes):
            voltage = Signal(signed(self.membrane_width), name=f"voltage_{r}", reset_less=True)
            kept = Signal(signed(self.membrane_width), name=f"kept_{r}")
            excited = Signal(signed(bits), name=f"excited_{r}")
            excess = Signal(signed(bits), name=f"excess_{r}")
            membrane = Signal(signed(self.membrane_width), name=f"membrane_{r}")
            fired = Signal(name=f"fired_{r}")
            m.d.comb += [
                # floor(V (2^k - 1) / 2^k); for k = 1 that is V >> 1 and needs no adder
                kept.eq(voltage >> 1 if k == 1 else ((voltage << k) - voltage) >> k),
                excited.eq(kept + source.current[r]),
                excess.eq(excited - source.margin[r]),
                fired.eq(~excess[-1]),
                membrane.eq(excited + source.bias[r]),
            ]
            # the reset is part of the clear, not a reset of its own: a flip-flop has one synchronous reset
            with m.If(take | restart):
                with m.If(fired | source.t_last | restart):
                    m.d.sync += voltage.eq(0)
                with m.Else():
                    m.d.sync += voltage.eq(membrane)
            with m.If(advance):
                m.d.sync += [sink.spike[r].eq(fired), sink.membrane[r].eq(membrane)]
        return m
