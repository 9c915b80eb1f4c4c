# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time and all inputs of the declared widths: LifArray is the integer neuron, and its membrane never
leaves the interval that the fixed point of the leak gives. The model here computes in numbers too wide to overflow.
"""

import pytest
from amaranth.hdl import Assert, Elaboratable, Module, Mux, Signal, Value, signed
from prove import planted, prove

from ds2ta.golden import slow
from ds2ta.hw.lif import LifArray
from ds2ta.intervals import Interval


def _interval(current_width: int, param_width: int, leak_shift: int) -> Interval:
    """The limits that U approaches under the most negative and the most positive I + B, held for ever."""
    most_negative = -(1 << current_width - 1) - (1 << param_width - 1)
    limits = []
    for drive in (most_negative, -most_negative - 2):
        U = drive
        while (after := slow.leak(U, leak_shift) + drive) != U:
            U = after
        limits.append(U)
    return Interval(*limits)


class _Neuron(Elaboratable):
    """A block of one lane beside the equations. `voltage` shows the block's membrane register."""

    def __init__(self, block, limits: Interval):
        self.block, self.limits = block, limits
        self.voltage = Signal(signed(block.membrane_width), name="peek_voltage")
        self.peek = {"dut.voltage_0": self.voltage}

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = block = self.block
        beat, k = block.i.payload, block.leak_shift
        wide = signed(self.block.membrane_width + 8)
        V, leaked, U, fires = Signal(wide), Signal(wide), Signal(wide), Signal()
        # ceil(V / 2^k) as the contract writes it, not as the block computes it
        m.d.comb += [
            leaked.eq(V - ((V + (1 << k) - 1) >> k)),
            U.eq(leaked + beat.current[0] + beat.bias[0]),
            fires.eq(beat.bias[0] + beat.margin[0] <= U),
        ]
        offered = Signal()
        spike = Signal()
        membrane = Signal(wide)
        with m.If(block.i.valid & block.i.ready):
            m.d.sync += [V.eq(Mux(fires | beat.t_last, 0, U)), spike.eq(fires), membrane.eq(U), offered.eq(1)]
        with m.Elif(block.o.ready):
            m.d.sync += offered.eq(0)
        m.d.comb += [
            Assert((self.limits.low <= V) & (self.limits.high >= V)),
            Assert(self.voltage == V),
            Assert(block.o.valid == offered),
        ]
        with m.If(offered):
            m.d.comb += [
                Assert(block.o.payload.spike == spike),
                Assert(block.o.payload.membrane[0] == membrane),
                Assert((membrane >= self.limits.low) & (membrane <= self.limits.high)),
            ]
        return m


def _verdict(folder, block: type, current_width: int, param_width: int, leak_shift: int, *, fewer: int = 0) -> str:
    limits = _interval(current_width, param_width, leak_shift)
    dut = block(
        lanes=1,
        current_width=current_width,
        param_width=param_width,
        membrane_width=limits.bits - fewer,
        leak_shift=leak_shift,
    )
    harness = _Neuron(dut, limits)
    ports = [Value.cast(dut.i.payload), dut.i.valid, dut.o.ready]
    return prove(folder, harness, ports)


@pytest.mark.parametrize("leak_shift", [1, 2, 3, 4])
@pytest.mark.parametrize(("current_width", "param_width"), [(4, 4), (6, 3), (3, 6), (10, 8)])
def test_the_block_is_the_neuron(current_width, param_width, leak_shift, tmp_path):
    assert _verdict(tmp_path, LifArray, current_width, param_width, leak_shift) == "proved"


@pytest.mark.parametrize("leak_shift", [1, 2])
def test_one_bit_less_overflows(leak_shift, tmp_path):
    assert _verdict(tmp_path, LifArray, 4, 4, leak_shift, fewer=1) == "refuted"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fired.eq(~excess[-1])", "fired.eq(~excess[-1] & (excess != 0))"),
        ("fired | source.t_last | restart", "fired | restart"),
        ("fired | source.t_last | restart", "source.t_last | restart"),
        ("(voltage << k) - voltage", "(voltage << k) - voltage + 1"),
        ("take | restart", "self.i.valid | restart"),
        ("take | restart", "take"),
    ],
)
def test_a_planted_bug_is_refuted(old, new, tmp_path):
    assert _verdict(tmp_path, planted(LifArray, old, new), 4, 4, 2) == "refuted"
