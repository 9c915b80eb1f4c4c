# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A driver of the register bus for cocotb benches."""

from cocotb.triggers import RisingEdge

from ds2ta.gateware.registers import REGISTERS
from ds2ta.sim.stream import cycle

__all__ = ["Bus"]


class Bus:
    """The initiator of port `bus` of a component. One access at a time; `cycles` is the duration of the last one
    from `enable` to `done`. An access that takes more than `patience` cycles fails the test."""

    def __init__(self, dut, *, patience: int = 100):
        self._dut, self._patience, self._edge = dut, patience, RisingEdge(dut.clk)
        dut.bus__enable.value = 0
        self.cycles = 0

    async def access(self, address: int, data: int | None = None) -> tuple[int, bool]:
        """Read a word, or write `data`: what was read, and whether the access failed."""
        dut = self._dut
        dut.bus__enable.value = 1
        dut.bus__address.value = address
        dut.bus__write.value = data is not None
        dut.bus__write_data.value = data or 0
        await self._edge
        begin = cycle()
        dut.bus__enable.value = 0
        await self._edge
        while not dut.bus__done.value:
            assert cycle() - begin < self._patience, f"bus: no answer from address {address:#x}"
            await self._edge
        self.cycles = cycle() - begin
        return int(dut.bus__read_data.value), bool(dut.bus__error.value)

    async def read(self, name: str, index: int = 0) -> int:
        """A register that must answer."""
        word, failed = await self.access(REGISTERS[name].at(index))
        assert not failed, f"bus: register {name}[{index}] cannot be read"
        return word

    async def write(self, name: str, word: int, index: int = 0) -> None:
        """A register that must take the word."""
        _, failed = await self.access(REGISTERS[name].at(index), word)
        assert not failed, f"bus: register {name}[{index}] does not take {word:#x}"

    async def fields(self, name: str) -> dict[str, int]:
        """A register's fields."""
        return REGISTERS[name].decode(await self.read(name))
