# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: no output stream withdraws or changes an offer that is not accepted. Inputs are arbitrary,
even those that break their own promises; so are the moments of resets. Only an overrun of the engine, one event
at a time, replaces a beat; the block tells it, and test_engine_contract.py proves that it never comes."""

import pytest
from amaranth.hdl import Assert, Elaboratable, Module, Signal, Value
from prove import planted, prove

from ds2ta.hw.engine import SynapticEngine
from ds2ta.hw.lif import LifArray
from ds2ta.hw.tasa import Tasa

ENGINE = {
    "lanes": 4,
    "time_steps": 2,
    "drain_lanes": 2,
    "weight_bits": 2,
    "max_shift": 1,
    "acc_width": 4,
    "address_width": 2,
    "max_spacing": 8,
}
PAIRS = {**ENGINE, "lanes": 2, "drain_lanes": 1, "events": 2}
TASA = {"lanes": 1, "acc_width": 3, "max_window": 3, "max_tau": 2, "current_width": 8}
LIF = {"lanes": 2, "current_width": 4, "param_width": 4, "membrane_width": 6, "leak_shift": 1}


class _Stable(Elaboratable):
    def __init__(self, block):
        self.block = block

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = block = self.block
        waits = Signal()
        offered = Signal.like(Value.cast(block.o.payload), reset_less=True)
        lost = block.overrun if getattr(block, "events", 0) == 1 else 0
        m.d.sync += [waits.eq(block.o.valid & ~block.o.ready & ~lost), offered.eq(block.o.payload)]
        with m.If(waits):
            m.d.comb += [Assert(block.o.valid), Assert(Value.cast(block.o.payload) == offered)]
        return m


def _inputs(block):
    found = [Value.cast(block.i.payload), block.i.valid, block.o.ready, *getattr(block, "weight_data", ())]
    for name in ("groups", "lines", "pixels", "rest", "spacing_last", "waits", "tau", "window"):
        if hasattr(block, name):
            found.append(Value.cast(getattr(block, name)))
    return found


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (SynapticEngine, ENGINE),
        (SynapticEngine, PAIRS),
        (Tasa, TASA),
        (Tasa, {**TASA, "multiply": True}),
        (LifArray, LIF),
    ],
)
def test_offers_stand(block, shape, tmp_path):
    dut = block(**shape)
    assert prove(tmp_path, _Stable(dut), _inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("block", "shape", "old", "new"),
    [
        (SynapticEngine, ENGINE, "commits & drain.draining & ~drain.freed", "0"),
        (SynapticEngine, ENGINE, "now.taken.eq(shown.valid & shown.ready)", "now.taken.eq(shown.valid)"),
        (SynapticEngine, ENGINE, "shifts = drain.taken &", "shifts = drain.draining &"),
        (SynapticEngine, PAIRS, "shown.ready.eq(~self.o.valid | self.o.ready)", "shown.ready.eq(1)"),
        (SynapticEngine, PAIRS, "with m.If(shown.ready):", "with m.If(shown.valid):"),
        (Tasa, TASA, "advance.eq(~self.o.valid | self.o.ready)", "advance.eq(1)"),
        (LifArray, LIF, "advance.eq(~self.o.valid | self.o.ready)", "advance.eq(1)"),
    ],
)
def test_a_planted_bug_is_refuted(block, shape, old, new, tmp_path):
    dut = planted(block, old, new)(**shape)
    assert prove(tmp_path, _Stable(dut), _inputs(dut)) == "refuted"
