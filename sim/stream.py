"""Drivers for cocotb benches: stream ends with seeded stalls, a memory, reset, watchdog, payload packing.

All work on the flattened ports of emitted Verilog: stream `i` is `i__valid`, `i__ready`, `i__payload`. After
`await RisingEdge(clk)` a read gives the value from before the edge and a write acts after it, as for a flip-flop.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

import cocotb
from amaranth.hdl import Shape
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer
from cocotb.utils import get_sim_time

__all__ = ["MemoryModel", "StreamSink", "StreamSource", "cycle", "pack", "reset", "unpack"]

PERIOD = 10  # ns
_ends: dict = {}  # the latest end of each stream, for messages about hangs


def pack(layout, value) -> int:
    """Python value -> payload bits. A struct takes a dict (missing fields are 0), an array a sequence, else an int
    that must fit."""
    if isinstance(layout, data.StructLayout):
        if unknown := set(value) - set(layout.members):
            raise KeyError(f"no field {unknown} in {layout!r}")
        bits = 0
        for name, item in value.items():
            field = layout[name]
            bits |= pack(field.shape, item) << field.offset
        return bits
    if isinstance(layout, data.ArrayLayout):
        if len(value) != layout.length:
            raise ValueError(f"{len(value)} elements for {layout!r}")
        width = Shape.cast(layout.elem_shape).width
        return sum(pack(layout.elem_shape, item) << index * width for index, item in enumerate(value))
    shape = Shape.cast(layout)
    value = int(value)
    low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
    if not low <= value < high:
        raise ValueError(f"{value} does not fit {shape!r}")
    return value & (1 << shape.width) - 1


def unpack(layout, bits: int):
    """Payload bits -> Python value: the inverse of `pack`."""
    if isinstance(layout, data.StructLayout):
        return {name: unpack(layout[name].shape, bits >> layout[name].offset) for name in layout.members}
    if isinstance(layout, data.ArrayLayout):
        width = Shape.cast(layout.elem_shape).width
        return [unpack(layout.elem_shape, bits >> index * width) for index in range(layout.length)]
    shape = Shape.cast(layout)
    bits &= (1 << shape.width) - 1
    return bits - (1 << shape.width) if shape.signed and bits >> shape.width - 1 else bits


def cycle() -> int:
    """Number of the present clock cycle: differences of it are latencies."""
    return int(get_sim_time("ns")) // PERIOD


def _stalls(profile: str, seed: int) -> Iterator[bool] | None:
    """Endless decisions "stall now?". `never`; `random:P` stalls a cycle with probability P; `bursts` alternates
    runs of 1..8 stalled and 1..8 free cycles. None means never."""
    generator = random.Random(seed)
    kind, _, argument = profile.partition(":")

    def randomly() -> Iterator[bool]:
        chance = float(argument)
        while True:
            yield generator.random() < chance

    def bursts() -> Iterator[bool]:
        while True:
            yield from [True] * generator.randint(1, 8) + [False] * generator.randint(1, 8)

    if kind == "never":
        return None
    return {"random": randomly, "bursts": bursts}[kind]()


async def reset(dut, *, limit: int = 1_000_000, clock: bool = True) -> None:
    """Start the clock, hold reset for two cycles, and arm a watchdog: the test fails after `limit` cycles."""
    if clock:
        Clock(dut.clk, PERIOD, unit="ns").start()
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)

    async def watchdog() -> None:
        await Timer(limit * PERIOD, unit="ns")
        raise AssertionError(
            f"watchdog: no end within {limit} cycles; {'; '.join(map(str, _ends.values())) or 'no streams'}"
        )

    cocotb.start_soon(watchdog())


class _End:
    def __init__(self, dut, name: str, layout=None, *, stall: str = "never", seed: int = 1):
        self._edge = RisingEdge(dut.clk)
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._layout, self._stall, self.name = layout, _stalls(stall, f"{name}{seed}"), name
        self.cycles: list[int] = []  # the cycle of each transfer
        _ends[name] = self

    def __str__(self) -> str:
        state = f"valid={int(self._valid.value)} ready={int(self._ready.value)}"
        return f"stream {self.name}: {len(self.cycles)} transfers, {state}"


class StreamSource(_End):
    """Drives an input stream. `layout` None takes payloads as packed integers."""

    def start(self, values: Iterable) -> cocotb.task.Task:
        """`send` in the background; await the result to wait for its end."""
        return cocotb.start_soon(self.send(values))

    async def send(self, values: Iterable) -> None:
        """Transfer all `values`, each held until it is accepted; returns in the cycle after the last transfer."""
        for value in values:
            bits = value if self._layout is None else pack(self._layout, value)
            while self._stall and next(self._stall):
                await self._edge
            self._payload.value = bits
            self._valid.value = 1
            await self._edge
            while not self._ready.value:
                await self._edge
            self.cycles.append(cycle())
            self._valid.value = 0


class StreamSink(_End):
    """Takes an output stream from its creation on, into `received` (unpacked; packed integers without `layout`),
    and checks what every stream promises: valid and payload stay while ready is low."""

    def __init__(self, dut, name: str, layout=None, *, stall: str = "never", seed: int = 1):
        super().__init__(dut, name, layout, stall=stall, seed=seed)
        self.received: list = []
        self._task = cocotb.start_soon(self._collect())

    async def _collect(self) -> None:
        held = None
        while True:
            ready = not (self._stall and next(self._stall))
            self._ready.value = ready
            await self._edge
            valid = bool(self._valid.value)
            if held is not None:
                now = int(self._payload.value) if valid else None
                assert now == held, f"stream {self.name}: valid or payload changed while not ready"
            if valid and ready:
                bits = int(self._payload.value)
                self.received.append(bits if self._layout is None else unpack(self._layout, bits))
                self.cycles.append(cycle())
            held = int(self._payload.value) if valid and not ready else None

    async def take(self, count: int, *, patience: int = 20_000) -> list:
        """Wait for `count` more payloads and return them, removed from `received`. Fails when `patience` cycles
        pass without a transfer."""
        seen, idle = len(self.received), 0
        while len(self.received) < count:
            await self._edge
            idle = 0 if len(self.received) != seen else idle + 1
            seen = len(self.received)
            assert idle < patience, (
                f"stream {self.name}: {seen} of {count} payloads, then none for {patience} cycles; "
                + "; ".join(map(str, _ends.values()))
            )
        taken, self.received[:] = self.received[:count], self.received[count:]
        return taken


class MemoryModel:
    """A synchronous memory behind a component's memory ports: latency 1, read data held while enable is low.

    `read` = (address, enable, data) and `write` = (address, enable, data) name ports of the dut; `words` is the
    live content (packed integers). A read and a write of one address in one cycle fail the test, as the hardware
    promises never to do it. A component whose enable port was dropped may be given None for it."""

    def __init__(self, dut, words: Sequence[int], *, read: Sequence[str] = (), write: Sequence[str] = ()):
        self.words = list(words)
        self.writes: list[tuple[int, int]] = []
        ports: Callable = lambda names: [getattr(dut, name) if name else None for name in names]  # noqa: E731
        self._task = cocotb.start_soon(self._serve(RisingEdge(dut.clk), ports(read), ports(write)))

    async def _serve(self, edge, read, write) -> None:
        while True:
            await edge
            source = sink = None
            if read and (read[1] is None or read[1].value):
                source = int(read[0].value)
                read[2].value = self.words[source] if source < len(self.words) else 0
            if write and (write[1] is None or write[1].value):
                sink, word = int(write[0].value), int(write[2].value)
                self.words[sink] = word
                self.writes.append((sink, word))
            assert sink is None or sink != source, f"memory: read and write of address {sink} in one cycle"
