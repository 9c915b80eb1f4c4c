# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A board top of a few hundred cells, to go through the whole flow in seconds."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["toy"]


class BoardTop(wiring.Component):
    """A register that is added up `depth` times in one cycle: the deeper, the slower."""

    def __init__(self, depth: int, width: int):
        self._depth, self._width = depth, width
        self.memory = None  # no SDRAM
        members = {"rx": In(1), "tx": Out(1), "busy": Out(1), "error": Out(1), "flash_cipo": In(1)}
        super().__init__(members | {f"flash_{name}": Out(1) for name in ("sck", "cs", "copi")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = inner = _Sums(self._depth, self._width)
        state = Signal(self._width)
        m.d.sync += state.eq((state << 1) | (self.rx ^ self.flash_cipo))
        m.d.comb += [
            inner.i.eq(state),
            self.tx.eq(inner.o.xor()),
            self.busy.eq(state[0]),
            self.error.eq(inner.o[-1]),
            self.flash_sck.eq(state[1]),
            self.flash_cs.eq(state[2]),
            self.flash_copi.eq(state[3]),
        ]
        return m


class _Sums(wiring.Component):
    def __init__(self, depth: int, width: int):
        self._depth = depth
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        total = self.i
        for number in range(self._depth):
            former, total = total, Signal(len(self.i), name=f"total{number}")
            m.d.comb += total.eq((former + (former >> 3)) ^ number)
        m.d.sync += self.o.eq(total)
        return m


def toy(depth: int, width: int = 16):
    """Takes the place of `fpga.top.BoardTop`; the machine that it is asked for is left out."""
    return lambda machine, **_: BoardTop(depth, width)
