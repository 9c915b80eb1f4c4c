# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time and all sums: Tasa is the window of the paper, for any beats, bubbles, stalls and resets.

Assumed: tau and window are in range and stand still between resets. The model keeps the last sums themselves and
shifts each by its own weight, in numbers too wide to overflow; the block adds shifted partial sums modulo
`2**current_width`.
"""

import pytest
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, Signal, Value, signed
from prove import planted, prove

from ds2ta.hw.tasa import Tasa

SHAPE = {"lanes": 1, "acc_width": 4, "max_window": 3, "max_tau": 3, "current_width": 11}


class _Window(Elaboratable):
    """A block of one lane beside the equations: `past[m]` is P[t-m] of the beat before the last stage."""

    def __init__(self, block):
        self.block = block
        self.peek = {}

    def _inside(self, name: str, shape) -> Signal:
        """The value of a register of the block."""
        self.peek[f"dut.{name}"] = Signal(shape, name=f"peek_{name}")
        return self.peek[f"dut.{name}"]

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = block = self.block
        taps = block.max_window
        wide = signed(block.acc_width + (taps - 1) * block.max_tau + 4)
        advance = block.i.ready
        begun = Signal()
        tau = Signal.like(block.tau)
        window = Signal.like(block.window)
        m.d.sync += [begun.eq(1), tau.eq(block.tau), window.eq(block.window)]
        m.d.comb += [
            Assume(block.tau <= block.max_tau),
            Assume((block.window >= 1) & (block.window <= taps)),
            Assume(~begun | ((block.tau == tau) & (block.window == window))),
            Assert(advance == (~block.o.valid | block.o.ready)),
        ]
        if block.multiply:  # the factors take a cycle
            m.d.comb += Assume(begun | ~block.i.valid)
            for power in range(1, taps):
                used = sum(Mux(block.window + j > taps, block.tau, 0) for j in range(1, power + 1))
                factor = Signal(power * block.max_tau + 1, name=f"exact_factor_{power}")
                m.d.comb += factor.eq(1 << used)
                with m.If(begun):
                    m.d.comb += Assert(self._inside(f"factor_{power}", len(factor)) == factor)

        # beats wait for the last stage in a register less than the latency
        valid = block.i.valid
        beat = Value.cast(block.i.payload)
        for stage in range(1, block.latency):
            held_valid = Signal(name=f"model_valid_{stage}")
            held_beat = Signal.like(beat, name=f"model_beat_{stage}", reset_less=True)
            with m.If(advance):
                m.d.sync += [held_valid.eq(valid), held_beat.eq(beat)]
            inner = self._inside(f"held_{stage}_0_0", signed(block.acc_width))
            m.d.comb += [
                Assert(self._inside(f"valid_{stage}", 1) == held_valid),
                Assert(inner == held_beat[: block.acc_width].as_signed()),
                Assert(self._inside(f"t_last_{stage}", 1) == held_beat[block.acc_width + 1]),
            ]
            # multipliers work in the second stage, all at once
            powers = stage + 1 if not block.multiply else 1 if stage == 1 else taps
            for power in range(1, powers):
                # shift j of 1..max_window-1 is in use while window + j > max_window
                used = sum(Mux(block.window + j > taps, block.tau, 0) for j in range(1, power + 1))
                name = f"held_{stage}_{power}_0"
                width = min(block.acc_width + power * block.max_tau, block.current_width)
                exact = Signal(wide, name=f"exact_{name}")
                m.d.comb += exact.eq(held_beat[: block.acc_width].as_signed() << used)
                with m.If(held_valid):
                    m.d.comb += Assert(self._inside(name, width) == exact[:width])
            valid, beat = held_valid, held_beat
        value, t_last = beat[: block.acc_width].as_signed(), beat[block.acc_width + 1]

        past = [value] + [Signal(signed(block.acc_width), name=f"past_{lag}") for lag in range(1, taps)]
        with m.If(valid & advance):
            for lag in range(1, taps):
                m.d.sync += past[lag].eq(Mux(t_last, 0, past[lag - 1]))

        def windowed(window, first: int) -> Signal:
            """The window's terms of lag `first` and more, each with its own weight."""
            total = Signal(wide)
            terms = []
            for lag in range(first, taps):
                weight = (block.tau * (window - 1 - lag))[:5].as_unsigned()
                terms.append(Mux(lag < window, past[lag] << weight, 0))
            m.d.comb += total.eq(sum(terms))
            return total

        # history `tap` is a window shorter by tap - 1, without its newest term
        for tap in range(1, taps):
            terms = taps - 1 - tap
            most = sum(1 << n * block.max_tau for n in range(terms + 1))  # times a sum
            width = min(block.acc_width + (most - 1).bit_length(), block.current_width)
            shorter = windowed(block.window - (tap - 1), 1)
            m.d.comb += Assert(self._inside(f"history_{tap}_0", width) == shorter[:width])

        offered = Signal()
        current = Signal(block.current_width)
        marks = Signal(4)
        with m.If(advance):
            m.d.sync += [
                offered.eq(valid),
                current.eq(windowed(block.window, 0)),
                marks.eq(beat[block.acc_width :]),
            ]
        m.d.comb += Assert(block.o.valid == offered)
        with m.If(offered):
            shown = Value.cast(block.o.payload)
            m.d.comb += [
                Assert(shown[: block.current_width] == current),
                Assert(shown[block.current_width :] == marks),
            ]
        return m


def _verdict(folder, block: type, **shape) -> str:
    dut = block(**{**SHAPE, **shape})
    ports = [Value.cast(dut.i.payload), dut.i.valid, dut.o.ready, dut.tau, dut.window]
    return prove(folder, _Window(dut), ports, steps=10)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"max_window": 2, "max_tau": 7, "acc_width": 8, "current_width": 16},
        {"max_window": 4, "max_tau": 1, "current_width": 9},
        {"current_width": 6},
        {"multiply": True, "max_tau": 2},
    ],
)
def test_the_block_is_the_window(shape, tmp_path):
    assert _verdict(tmp_path, Tasa, **shape) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.window > taps - j", "self.window >= taps - j"),
        ("powers[r][-1] << tau[j]", "powers[r][-1] << (tau[j] ^ 1)"),
        ('marks["t_last"] | (self.window <= tap) | restart', "(self.window <= tap) | restart"),
        ('marks["t_last"] | (self.window <= tap) | restart', 'marks["t_last"] | restart'),
        ('marks["t_last"] | (self.window <= tap) | restart', 'marks["t_last"] | (self.window <= tap)'),
        ("(valid & advance) | restart", "advance | restart"),
        ("(valid & advance) | restart", "valid | restart"),
        ("powers[r][terms] + above", "powers[r][terms]"),
        ("powers[r][taps - 1] + above", "powers[r][taps - 1]"),
    ],
)
def test_a_planted_bug_is_refuted(old, new, tmp_path):
    assert _verdict(tmp_path, planted(Tasa, old, new)) == "refuted"
