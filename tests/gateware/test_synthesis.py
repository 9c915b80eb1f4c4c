# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Area figures come from a real synthesis, count every kind of cell, and are the same when asked again."""

import dataclasses

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import Ds2taError
from ds2ta.gateware.synthesis import area
from ds2ta.hw.store import DualPortMemory, Store


class Adder(wiring.Component):
    """A registered sum of known size: `width` bits in `width` LUTs on iCE40, their carries beside them."""

    def __init__(self, width, traced=0):
        self._traced = traced
        traces = {"trace_sum": Out(traced)} if traced else {}
        super().__init__({"a": In(width), "b": In(width), "total": Out(width), **traces})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.total.eq(self.a + self.b)
        if self._traced:
            extra = Signal(self._traced)
            m.d.sync += extra.eq(extra + self.a)
            m.d.comb += self.trace_sum.eq(extra)
        return m


def test_an_adder():
    ice40, ecp5 = area(Adder(16), "ice40"), area(Adder(16), "ecp5")
    assert (ice40.registers, ecp5.registers) == (16, 16)
    assert 16 <= ice40.luts <= 18
    assert 14 <= ice40.carry <= 16
    assert ecp5.carry == 8
    assert ecp5.luts == ecp5.lut4 + 2 * ecp5.carry
    assert ice40.block_rams == ice40.multipliers == ice40.other == ecp5.other == 0
    assert area(Adder(32)).luts >= ice40.luts + 16


def test_memories_carry_no_collision_logic():
    """A bank of 256 x 16 is one block RAM and nothing that compares addresses or bypasses data."""
    bank = area(DualPortMemory(width=16, depth=256), unused=["collision"])
    assert (bank.block_rams, bank.registers) == (1, 0)
    assert bank.luts <= 1
    rom = area(
        Store(width=16, depth=256, kind="rom", init=[(row * 40503 + 7) % 65521 for row in range(256)]), "ecp5"
    )
    assert (rom.block_rams, rom.registers) == (1, 0)


def test_single_port_rams():
    store = area(Store(width=32, depth=20_000, kind="spram"))
    assert (store.single_port_rams, store.block_rams) == (4, 0)


def test_trace_outputs_cost_nothing():
    plain = area(Adder(16))
    traced = area(Adder(16, traced=24))
    assert dataclasses.astuple(plain) == dataclasses.astuple(traced)
    assert area(Adder(16, traced=24), unused=["none"]).registers == 40


def test_equal_when_asked_again():
    assert area(Adder(5)) == area(Adder(5))


def test_a_target_that_does_not_exist():
    component = Adder(4)
    with pytest.raises(Ds2taError, match="target must be one of ice40, ecp5, not 'virtex'"):
        area(component, "virtex")
    area(component)
