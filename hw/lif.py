"""The LIF array: leaky integration, threshold and hard reset of `lanes` neurons (paper, eq. 2 and 3)."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError

__all__ = ["LifArray", "neuron_layout", "spike_layout"]


def neuron_layout(*, lanes, current_width, param_width):
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


def spike_layout(*, lanes, membrane_width):
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

    The first stage computes `J = I + B` and `N = M - I`, the second `U = leak(V) + J` and, side by side,
    `leak(V) >= N`, so that no cycle has to wait for two carry chains one after the other.

    Latency: 2 cycles. Throughput: one beat each cycle. Back-pressure: a beat that waits at `o` freezes the
    pipeline; `i.ready` depends combinationally on `o.ready`.

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
    latency = 2

    def __init__(self, *, lanes, current_width, param_width, membrane_width, leak_shift):
        for name, value, low, high in (
            ("lanes", lanes, 1, 1024),
            ("current_width", current_width, 2, 64),
            ("param_width", param_width, 2, 64),
            ("membrane_width", membrane_width, 2, 64),
            ("leak_shift", leak_shift, 1, 4),
        ):
            if type(value) is not int or not low <= value <= high:
                raise FitError(f"LifArray {name} must be an integer in {low}..{high}, not {value!r}")
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
        width = self.membrane_width
        source, sink = self.i.payload, self.o.payload
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        summed = Signal()
        marks = Signal(data.StructLayout({"t_first": 1, "t_last": 1, "last": 1}), reset_less=True)
        with m.If(advance):
            m.d.sync += [
                summed.eq(self.i.valid),
                marks.t_first.eq(source.t_first),
                marks.t_last.eq(source.t_last),
                marks.last.eq(source.last),
                self.o.valid.eq(summed),
                sink.t_first.eq(marks.t_first),
                sink.t_last.eq(marks.t_last),
                sink.last.eq(marks.last),
            ]
        drive_bits = max(self.current_width, self.param_width) + 1
        spikes = []
        for r in range(self.lanes):
            drive = Signal(signed(drive_bits), name=f"drive_{r}", reset_less=True)
            need = Signal(signed(drive_bits), name=f"need_{r}", reset_less=True)
            voltage = Signal(signed(width), name=f"voltage_{r}")
            kept = Signal(signed(width), name=f"kept_{r}")
            membrane = Signal(signed(width), name=f"membrane_{r}")
            fired = Signal(name=f"fired_{r}")
            k = self.leak_shift
            m.d.comb += [
                # floor(V (1 - 2^-k)) = V - ceil(V / 2^k); for k = 1 that is V >> 1 and needs no adder
                kept.eq(voltage >> 1 if k == 1 else voltage + (~voltage >> k) + (voltage[:k] == 0)),
                membrane.eq(kept + drive),
                fired.eq(kept >= need),
            ]
            with m.If(advance):
                m.d.sync += [
                    drive.eq(source.current[r] + source.bias[r]),
                    need.eq(source.margin[r] - source.current[r]),
                    sink.membrane[r].eq(membrane),
                ]
            with m.If(advance & summed):
                with m.If(fired | marks.t_last):
                    m.d.sync += voltage.eq(0)
                with m.Else():
                    m.d.sync += voltage.eq(membrane)
            spikes.append(fired)
        with m.If(advance):
            m.d.sync += sink.spike.eq(Cat(*spikes))
        return m
