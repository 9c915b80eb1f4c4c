# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""An SDRAM at the pads of an ECP5: registers at every pad, a clock of its own phase, and the margins that this
leaves."""

from dataclasses import dataclass

from amaranth.hdl import Const, DomainRenamer, Elaboratable, Module
from amaranth.lib import io

from ds2ta.errors import FitError
from ds2ta.hw.sdram import SdramChip

__all__ = ["CHIP_DOMAIN", "PHASE", "Margins", "SdramPads", "margins"]

#: Clock domain of the chip's clock: that of the core, later by `phase`.
CHIP_DOMAIN = "sdram"
#: Of the clock's period: late enough for what comes back to be there two edges of the core after it was given,
#: early enough to meet what goes out. `clocks.Pll` takes the nearest that it can make.
PHASE = 0.75
#: ns from the edge of the chip's clock inside of the FPGA, over its pad, the board and the pad of a data line, to
#: the register there, without the chip's own time. Assumed, not measured: no tool of this flow knows them.
_ROUND = (3.0, 6.0)
#: ns by which pads of one bank differ, with the traces behind them. Assumed, too.
_SKEW = 1.0


@dataclass(frozen=True)
class Margins:
    """In ns: what is left of the time before and behind the edge that takes something, at the chip for what goes
    out, at the FPGA for what comes back. The order of the edges is that of `fpga.top.SDRAM_ROUND_TRIP`."""

    out_setup: float
    out_hold: float
    back_setup: float
    back_hold: float

    @property
    def least(self) -> float:
        return min(self.out_setup, self.out_hold, self.back_setup, self.back_hold)


def margins(chip: SdramChip, clock_hz: float, phase: float = PHASE) -> Margins:
    """With a CAS latency of 3. A command leaves its pad at 0 and is taken at `phase`; its word leaves the chip 2
    periods later and is taken at 4 periods. Raises `FitError` where none is left."""
    period = 1e9 / clock_hz
    late = phase * period
    found = Margins(
        out_setup=late - _SKEW - chip.t_setup,
        out_hold=period - late - _SKEW - chip.t_hold,
        back_setup=2 * period - late - chip.t_access - _ROUND[1],
        back_hold=late - period + chip.t_keep + _ROUND[0],
    )
    if found.least < 0:
        raise FitError(
            f"clock: {clock_hz / 1e6:g} MHz leaves {found.least:.1f} ns for the SDRAM, {chip.name}, at the pads; "
            "take another clock, or weights=ram"
        )
    return found


class SdramPads(Elaboratable):
    """`hw.sdram.pins_signature` at the board's resource `sdram`, requested with `dir="-"`: outputs a cycle later,
    inputs in a register at the pad, the chip's clock from the domain `sdram`."""

    def __init__(self, pins, resource):
        self._pins, self._resource = pins, resource

    def elaborate(self, platform) -> Module:
        m = Module()
        pins, resource = self._pins, self._resource
        outputs = {
            "clk_en": pins.cke,
            "cs": Const(1),
            "ras": ~pins.command[2],
            "cas": ~pins.command[1],
            "we": ~pins.command[0],
            "ba": pins.bank,
            "a": pins.address,
            "dqm": pins.mask,
        }
        for name, value in outputs.items():
            m.submodules[name] = pad = io.FFBuffer(io.Direction.Output, getattr(resource, name))
            m.d.comb += pad.o.eq(value)
        m.submodules.dq = data = io.FFBuffer(io.Direction.Bidir, resource.dq)
        m.d.comb += [data.o.eq(pins.out), data.oe.eq(pins.drive), pins.back.eq(data.i)]
        clock = DomainRenamer(CHIP_DOMAIN)(io.DDRBuffer(io.Direction.Output, resource.clk))
        m.submodules.clk = clock
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]
        return m
