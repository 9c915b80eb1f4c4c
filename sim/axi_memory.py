# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What AXI demands of a master that reads, looked at by a monitor, for cocotb benches."""

from collections.abc import Callable
from dataclasses import dataclass

import cocotb
from cocotb.triggers import RisingEdge

__all__ = ["Burst", "ReadMonitor"]

_PAGE = 4096
#: Of the AR channel, what is the same for every burst: one ID, INCR, normal memory that is bufferable.
_FIXED = {"arid": 0, "arburst": 1, "arlock": 0, "arcache": 3, "arprot": 0, "arqos": 0}


@dataclass(frozen=True)
class Burst:
    """A read burst: first byte and beats."""

    address: int
    beats: int


class ReadMonitor:
    """Looks at channels `m_axi_ar*` and `m_axi_r*` of `dut` at every edge of `clock`. The test fails where AXI, or
    the master's own limits, are broken: an offer withdrawn or changed, or made in reset; a burst that is too long,
    not aligned, over a boundary of 4 KiB; too many bursts at once; a beat refused. `bursts`: what was taken.
    `lawful`: the memory's RLAST can be believed, so that bursts under way can be counted."""

    def __init__(
        self, dut, clock, in_reset: Callable[[], bool], *, memory_bits: int, longest: int, outstanding: int
    ):
        self.bursts: list[Burst] = []
        self.most, self.lawful = 0, True  # most: bursts at once, so far
        self._dut, self._clock, self._in_reset = dut, clock, in_reset
        self._bytes, self._longest, self._outstanding = memory_bits // 8, longest, outstanding
        cocotb.start_soon(self._watch())

    def _port(self, name: str) -> int:
        return int(getattr(self._dut, f"m_axi_{name}").value)

    async def _watch(self) -> None:
        held, open_bursts = None, 0
        edge = RisingEdge(self._clock)
        while True:
            await edge
            if self._in_reset():
                held, open_bursts = None, 0
                await edge  # the first edge of a reset is where it begins to act
                while self._in_reset():
                    assert not self._port("arvalid"), "AR: ARVALID is high in reset"
                    await edge
                continue
            offer = (self._port("araddr"), self._port("arlen")) if self._port("arvalid") else None
            assert held is None or offer == held, f"AR: an offer was taken back or changed: {held} -> {offer}"
            held = offer
            if self._port("rvalid"):
                assert self._port("rready"), "R: a beat is refused"
                open_bursts -= self._port("rlast")
            if offer is not None and self._port("arready"):
                held = None
                self._judge(Burst(offer[0], offer[1] + 1))
                open_bursts += 1
                self.most = max(self.most, open_bursts)
                assert not self.lawful or open_bursts <= self._outstanding, f"AR: {open_bursts} bursts at once"

    def _judge(self, burst: Burst) -> None:
        for name, value in _FIXED.items():
            assert self._port(name) == value, f"AR: {name} is {self._port(name)}"
        assert 1 << self._port("arsize") == self._bytes, f"AR: arsize is {self._port('arsize')}"
        assert burst.beats <= self._longest, f"AR: {burst} is too long"
        assert burst.address % self._bytes == 0, f"AR: {burst} is not aligned"
        last = burst.address + burst.beats * self._bytes - 1
        assert burst.address // _PAGE == last // _PAGE, f"AR: {burst} crosses a boundary of 4 KiB"
        self.bursts.append(burst)
