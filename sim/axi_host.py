# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A host on AXI, for the benches of the AXI shell: cocotbext-axi's masters and streams, with seeded stalls on every
channel, and the steps that each integrator's driver makes too: load, configure, wait, send a sample, take its
result. Where weights are a stream, there is a memory on AXI that holds them.
"""

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiRamRead,
    AxiReadBus,
    AxiResp,
    AxiStreamBus,
    AxiStreamSink,
    AxiStreamSource,
)

from ds2ta.gateware.axi.memory import BURST, OUTSTANDING
from ds2ta.gateware.axi.stream import closing_layout
from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import REGISTERS
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.stores import memory_image, store_images, store_shapes
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.sim.axi_memory import ReadMonitor
from ds2ta.sim.stream import unpack

__all__ = ["BASE", "AxiError", "AxiHost", "Ram", "ResultPacket", "store_words"]

#: Where streamed weights lie: above 4 GiB, one word of 128 bits before a page.
BASE = 0x12_3456_7FF0

_PERIOD = 10  # ns
_AT_ONCE = 8  # writes in flight
_POLL = 200  # cycles


class AxiError(Exception):
    """A register access was answered with SLVERR."""


@dataclass(frozen=True)
class ResultPacket:
    """One packet of `m_axis`: the logits before the closing word, and its fields."""

    logits: list[int]
    closing: Mapping[str, int]


def store_words(model: IntegerModel, machine: Machine) -> dict[str, list[int]]:
    """Store -> the words that load a model into it from row 0 on; loadable stores alone."""
    images = store_images(compile_model(model, machine))
    return {
        name: [word for row in images[name] for word in shape.split(row)]
        for name, shape in store_shapes(machine).items()
        if shape.loadable
    }


def _stalls(chance: float, seed: str) -> Iterator[bool]:
    generator = random.Random(seed)
    while True:
        yield generator.random() < chance


class Ram(AxiRamRead):
    """The memory of streamed weights; words at the byte addresses `bad` are answered with SLVERR."""

    def __init__(self, bus: AxiReadBus, clock, reset, **options):
        self.bad: set[int] = set()
        super().__init__(bus, clock, reset, size=1 << 48, **options)

    async def _read(self, address: int, length: int) -> bytes:
        if address in self.bad:
            raise ValueError("an error that was planted")
        return await super()._read(address, length)


class AxiHost:
    """`stall`: the chance of a stalled cycle on each of the seven channels, or nine with those of `ram`."""

    def __init__(self, dut, model: IntegerModel, machine: Machine, *, stall: float = 0.0, limit: int = 2_000_000):
        self.dut, self.model, self.machine = dut, model, machine
        logging.getLogger("cocotb").setLevel(logging.WARNING)  # cocotbext-axi tells of every transfer
        around = {"clock": dut.aclk, "reset": dut.aresetn, "reset_active_level": False}
        self._limit = limit
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), **around)
        self.samples = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **around)
        self.results = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **around)
        write, read = self.registers.write_if, self.registers.read_if
        self.channels = {
            "aw": write.aw_channel,
            "w": write.w_channel,
            "b": write.b_channel,
            "ar": read.ar_channel,
            "r": read.r_channel,
            "samples": self.samples,
            "results": self.results,
        }
        self._ram: Ram | None = None
        self._monitor: ReadMonitor | None = None
        if machine.streams:
            bits = {"memory_bits": machine.memory_bits, "longest": BURST, "outstanding": OUTSTANDING}
            self._monitor = ReadMonitor(dut, dut.aclk, lambda: not dut.aresetn.value, **bits)
            self._ram = ram = Ram(AxiReadBus.from_prefix(dut, "m_axi"), **around)
            self.channels |= {"memory's ar": ram.ar_channel, "memory's r": ram.r_channel}
        if stall:
            for name, channel in self.channels.items():
                channel.set_pause_generator(_stalls(stall, name))

    async def start(self, *, clock: bool = True) -> None:
        """Clock, reset, and a watchdog over the whole test."""
        if clock:
            Clock(self.dut.aclk, _PERIOD, unit="ns").start()

            async def watchdog() -> None:
                await Timer(self._limit * _PERIOD, unit="ns")
                raise AssertionError(f"watchdog: no end within {self._limit} cycles")

            cocotb.start_soon(watchdog())
        await self.reset()

    async def reset(self) -> None:
        self.dut.aresetn.value = 0
        await self.cycles(2)
        self.dut.aresetn.value = 1
        await self.cycles(2)

    async def cycles(self, count: int) -> None:
        await ClockCycles(self.dut.aclk, count)

    # ---- registers

    async def write_bytes(self, address: int, data: bytes) -> AxiResp:
        return (await self.registers.write(address, data)).resp

    async def write_at(self, address: int, value: int) -> AxiResp:
        """Write at a word address; the response."""
        return await self.write_bytes(4 * address, value.to_bytes(4, "little"))

    async def read_at(self, address: int) -> tuple[int, AxiResp]:
        response = await self.registers.read(4 * address, 4)
        return int.from_bytes(response.data, "little"), response.resp

    async def write(self, register: str, value: int, index: int = 0) -> None:
        if await self.write_at(REGISTERS[register].at(index), value) != AxiResp.OKAY:
            raise AxiError(register)

    async def read(self, register: str, index: int = 0) -> int:
        value, response = await self.read_at(REGISTERS[register].at(index))
        if response != AxiResp.OKAY:
            raise AxiError(register)
        return value

    async def fields(self, register: str) -> dict[str, int]:
        return REGISTERS[register].decode(await self.read(register))

    async def command(self, **bits: int) -> None:
        await self.write("command", REGISTERS["command"].encode(**bits))

    async def seek(self, store: str, *, row: int = 0, chunk: int = 0) -> None:
        number = store_shapes(self.machine)[store].number
        await self.write("load_address", REGISTERS["load_address"].encode(store=number, row=row, chunk=chunk))

    # ---- a model

    @property
    def ram(self) -> Ram:
        """The memory of streamed weights."""
        assert self._ram is not None, "the machine has its weights inside"
        return self._ram

    @property
    def monitor(self) -> ReadMonitor:
        """What that memory is asked for."""
        assert self._monitor is not None, "the machine has its weights inside"
        return self._monitor

    def image(self) -> bytes:
        """What the memory holds of the model."""
        return memory_image(self.machine, compile_model(self.model, self.machine))

    async def place(self, base: int) -> None:
        """Put the weights into the memory and tell where they lie."""
        self.ram.write(base, self.image())
        await self.write("external_base", base & 0xFFFF_FFFF, 0)
        await self.write("external_base", base >> 32, 1)

    async def load(self) -> None:
        """Fill the stores, then `configure`."""
        for store, words in store_words(self.model, self.machine).items():
            await self.seek(store)
            await self.stream_words(words)
        await self.configure()

    async def stream_words(self, words: Sequence[int]) -> None:
        """Words for `load_data`, some at once."""
        for place in range(0, len(words), _AT_ONCE):
            writes = [cocotb.start_soon(self.write("load_data", word)) for word in words[place : place + _AT_ONCE]]
            for one in writes:
                await one

    async def configure(self) -> None:
        """What is told, and not loaded; and the memory outside, which is new in each test."""
        if self.machine.streams:
            await self.place(BASE)
        images, shapes = store_images(compile_model(self.model, self.machine)), store_shapes(self.machine)
        for number, (name, shape) in enumerate(shapes.items()):
            await self.write("check_rows", len(images[name]), number)
            await self.write("check_expected", shape.crc(images[name]), number)
        digest = bytes.fromhex(model_digest(self.model))
        for number in range(len(digest) // 4):
            await self.write("model_digest", int.from_bytes(digest[4 * number :][:4], "little"), number)
        await self.write("sample_length", self.model.samples[0].size)
        await self.write("classes", self.model.network.classes)

    async def wait_for(self, field: str) -> None:
        """Until a bit of `status` is 1."""
        await self.until(REGISTERS["status"].address, REGISTERS["status"].encode(**{field: 1}))

    async def until(self, address: int, mask: int, *, limit: int = 200_000) -> None:
        for _ in range(0, limit, _POLL):
            if (await self.read_at(address))[0] & mask:
                return
            await self.cycles(_POLL)
        raise AssertionError(f"word {address:#x}: no bit of {mask:#x} is set after {limit} cycles")

    # ---- samples

    def packet(self, number: int) -> bytes:
        """Bytes of one of the model's samples, in the machine's order."""
        return sample_bytes(self.model, self.model.samples[number]).tobytes()

    async def send(self, packet: Sequence[int]) -> None:
        await self.samples.send(bytes(packet))

    async def words(self) -> list[int]:
        """The next packet of `m_axis`."""
        data = bytes((await self.results.recv()).tdata)
        return [int.from_bytes(data[place : place + 4], "little") for place in range(0, len(data), 4)]

    async def result(self) -> ResultPacket:
        *logits, closing = await self.words()
        return ResultPacket([word - (word >> 31 << 32) for word in logits], unpack(closing_layout(), closing))
