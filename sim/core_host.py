# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a host does with a Core, for its benches: identify, load, classify, read."""

import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.registers import REGISTERS, STORES
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.stores import load_layout, store_images, store_shapes
from ds2ta.modelfile import load_model
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.bus import Bus
from ds2ta.sim.expected import Expected, expect
from ds2ta.sim.run_memory import RunMemory
from ds2ta.sim.stream import StreamSource, pack, reset

__all__ = ["Host"]


class Host:
    """Drives every port of a core; the bench's parameters name model, machine and samples."""

    def __init__(self, dut, stall: str = "never", seed: int = 0):
        given = bench_parameters()
        self.built_in = given["built_in"]
        self.dut, self.model = dut, load_model(given["model"])
        self.machine = machine_from_dict(given["machine"])
        self.program = compile_model(self.model, self.machine)
        self.shapes = store_shapes(self.machine)
        self.images = store_images(self.program)
        self.samples = [np.array(sample, dtype=np.uint8) for sample in np.load(given["samples"])]
        self.bus = Bus(dut)
        self.bytes = StreamSource(dut, "sample", stall=stall, seed=seed)
        self.words = None if self.built_in else StreamSource(dut, "load")
        self.length = len(self.sample(0))
        self.memory: RunMemory | None = None
        if self.machine.streams:
            self.memory = RunMemory(
                dut,
                self._memory_words(),
                memory_bits=self.machine.memory_bits,
                address_bits=self.machine.memory_address_bits,
                stall=given.get("memory_stall", "never"),
                latency=given.get("memory_latency", 0),
            )
        for port in ("sample__valid", "frame_good", "frame_dropped", *(() if self.built_in else ("load__valid",))):
            getattr(dut, port).value = 0
        self._wanted: dict[int, Expected] = {}

    def _memory_words(self) -> list[int]:
        """The model's weights where nobody can load them, else nothing of value."""
        if self.shapes["weights"].loadable:
            return [0] * (self.machine.weight_rows * self.machine.row_words)
        image, size = self.shapes["weights"].to_bytes(self.images["weights"]), self.machine.memory_bits // 8
        return [int.from_bytes(image[at : at + size], "little") for at in range(0, len(image), size)]

    def sample(self, number: int) -> list[int]:
        return [int(value) for value in sample_bytes(self.model, self.samples[number])]

    def crc(self, name: str, rows: list[int] | None = None) -> int:
        image = self.images[name] if rows is None else rows
        return self.shapes[name].crc(image)

    async def start(self) -> None:
        """Reset; the built-in model is there, another is loaded as a host does it."""
        await reset(self.dut, limit=20_000_000)
        if not self.built_in:
            await self.load()
            await self.expect()
            await self.bus.write("sample_length", self.length)
            await self.bus.write("classes", self.model.network.classes)
        await self.good()

    async def load(self) -> None:
        """Every row of every store that can be loaded."""
        for name, shape in self.shapes.items():
            if shape.loadable:
                for row, value in enumerate(self.images[name]):
                    await self.put(name, row, value)

    async def expect(self) -> None:
        for number, name in enumerate(STORES):
            await self.bus.write("check_rows", len(self.images[name]), number)
            await self.bus.write("check_expected", self.crc(name), number)

    def loader(self) -> StreamSource:
        """The load stream of a core whose stores can be loaded."""
        assert self.words is not None, "nothing can be loaded where the model is built in"
        return self.words

    def external(self) -> RunMemory:
        """The memory of a machine whose weights are a stream."""
        assert self.memory is not None, "the machine has its weights inside"
        return self.memory

    def flip(self, row: int, bit: int) -> None:
        """Flip a bit of a row of weights in the memory outside."""
        word, place = divmod(bit.bit_length() - 1, self.machine.memory_bits)
        self.external().words[row * self.machine.row_words + word] ^= 1 << place

    async def put(self, name: str, row: int, value: int) -> None:
        """Load one row of a store."""
        layout = load_layout(self.machine)
        for chunk, data in enumerate(self.shapes[name].split(value)):
            word = {"store": self.shapes[name].number, "row": row, "chunk": chunk, "data": data}
            await self.loader().send([pack(layout, word)])

    async def until(self, **wanted: int) -> dict[str, int]:
        """Poll `status` until its fields have these values."""
        for _ in range(20_000):
            status = await self.bus.fields("status")
            if all(status[name] == value for name, value in wanted.items()):
                return status
        raise AssertionError(f"status does not come to {wanted}, it is {status}")

    async def good(self) -> None:
        status = await self.until(memory_good=1)
        assert not status["memory_error"]
        assert not status["bad_stores"]

    def wanted(self, number: int) -> Expected:
        """What the core must make of a sample."""
        if number not in self._wanted:
            self._wanted[number] = expect(self.model, self.machine, self.program, self.samples[number])
        return self._wanted[number]

    async def check(self, number: int, *, count: int, trusted: int = 1, counters: bool = True) -> None:
        """The registers hold the result of a sample, the `count`-th since the reset."""
        wanted = self.wanted(number)
        status = await self.bus.fields("status")
        assert (status["result_valid"], status["result_trusted"]) == (1, trusted)
        assert await self.bus.read("result_number") == count
        assert await self.bus.read("result_class") == wanted.class_index
        for index, logit in enumerate(wanted.logits):
            assert REGISTERS["logits"].decode(await self.bus.read("logits", index))["logits"] == logit
        if counters:
            for index, expected in enumerate(wanted.passes):
                cycles, *found, waits = [await self.bus.read("counters", 4 * index + place) for place in range(4)]
                assert found == [expected.events, expected.rows], expected
                if self.machine.streams:  # when its words come depends on the memory
                    assert 0 <= waits < cycles, expected
                else:
                    assert (cycles, waits) == (expected.cycles, 0), expected

    async def classify(self, number: int, *, count: int, trusted: int = 1, counters: bool = True) -> None:
        self.bytes.start(self.sample(number))
        await self.until(busy=1)
        await self.until(busy=0)
        await self.check(number, count=count, trusted=trusted, counters=counters)

    async def total(self, number: int) -> int:
        """Cycles of a sample from its first byte to its end, counted by the core since its last reset of it."""
        await self.classify(number, count=1)
        passes = range(len(self.program.instructions))
        total = sum([await self.bus.read("counters", 4 * index) for index in passes])
        await self.bus.write("command", REGISTERS["command"].encode(core_reset=1))
        return total

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
