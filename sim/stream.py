# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drivers for cocotb benches: stream ends with seeded stalls, a memory, reset, watchdog, payload packing.

All work on the flattened ports of emitted Verilog: stream `i` is `i__valid`, `i__ready`, `i__payload`. After
`await RisingEdge(clk)` a read gives the value from before the edge and a write acts after it, as for a flip-flop.

What has something to do in every cycle runs `in_background`, where a cycle costs a tenth of what it costs a task of
cocotb: its scheduler is where benches of small blocks spend their time.
"""

import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence

import cocotb
from amaranth.hdl import Shape
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import Event, RisingEdge, Timer
from cocotb.utils import get_sim_time

__all__ = [
    *("Background", "Holds", "MemoryModel", "StreamSink", "StreamSource"),
    *(
        "break_off",
        "cycle",
        "in_background",
        "next_cycle",
        "pack",
        "packer",
        "reset",
        "stalls",
        "unpack",
        "unpacker",
    ),
]

PERIOD = 10  # ns
_ends: dict = {}  # the latest end of each stream, for messages about hangs


def packer(layout) -> Callable:
    """`pack` for one layout, which is looked at but once."""
    if isinstance(layout, data.StructLayout):
        fields = {name: (packer(layout[name].shape), layout[name].offset) for name in layout.members}

        def pack_struct(value) -> int:
            if unknown := value.keys() - fields.keys():
                raise KeyError(f"no field {unknown} in {layout!r}")
            bits = 0
            for name, item in value.items():
                inner, offset = fields[name]
                bits |= inner(item) << offset
            return bits

        return pack_struct
    if isinstance(layout, data.ArrayLayout):
        element, width, length = packer(layout.elem_shape), Shape.cast(layout.elem_shape).width, layout.length

        def pack_array(value) -> int:
            if len(value) != length:
                raise ValueError(f"{len(value)} elements for {layout!r}")
            return sum(element(item) << index * width for index, item in enumerate(value))

        return pack_array
    shape = Shape.cast(layout)
    low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
    mask = (1 << shape.width) - 1

    def pack_number(value) -> int:
        value = int(value)
        if not low <= value < high:
            raise ValueError(f"{value} does not fit {shape!r}")
        return value & mask

    return pack_number


def pack(layout, value) -> int:
    """Python value -> payload bits. A struct takes a dict (missing fields are 0), an array a sequence, else an int
    that must fit."""
    return packer(layout)(value)


def unpacker(layout) -> Callable:
    """`unpack` for one layout, which is looked at but once."""
    if isinstance(layout, data.StructLayout):
        fields = [(name, unpacker(layout[name].shape), layout[name].offset) for name in layout.members]
        return lambda bits: {name: inner(bits >> offset) for name, inner, offset in fields}
    if isinstance(layout, data.ArrayLayout):
        element, width = unpacker(layout.elem_shape), Shape.cast(layout.elem_shape).width
        places = [index * width for index in range(layout.length)]
        return lambda bits: [element(bits >> place) for place in places]
    shape = Shape.cast(layout)
    mask, sign = (1 << shape.width) - 1, 1 << shape.width - 1 if shape.signed else 0
    return lambda bits: ((bits & mask) ^ sign) - sign


def unpack(layout, bits: int):
    """Payload bits -> Python value: the inverse of `pack`."""
    return unpacker(layout)(bits)


def cycle() -> int:
    """Number of the present clock cycle: differences of it are latencies."""
    return int(get_sim_time("ns")) // PERIOD


class _NextCycle:
    def __await__(self) -> Generator[None]:
        yield


#: What a coroutine `in_background` awaits to go on after the next edge of its clock; it can await nothing else.
next_cycle = _NextCycle()


class Background:
    """A coroutine that `in_background` runs: await it for its end, or `cancel` it."""

    def __init__(self, coroutine: Coroutine, begun: int):
        self._coroutine, self._end = coroutine, Event()
        self.begun, self.ended = begun, False  # begun: time in steps

    def step(self) -> None:
        """Go on to the next `await next_cycle`, or to the end."""
        try:
            self._coroutine.send(None)
        except StopIteration:
            self.cancel()

    def cancel(self) -> None:
        """Go no further."""
        self._coroutine.close()
        self.ended = True
        self._end.set()

    def __await__(self) -> Generator:
        yield from self._end.wait().__await__()


class _Clock:
    """One task of cocotb for all that runs in the background of a test."""

    def __init__(self, clk):
        self.running: list[Background] = []
        self.new: list[Background] = []
        self.task = cocotb.start_soon(self._run(RisingEdge(clk)))

    async def _run(self, edge: RisingEdge) -> None:
        while True:
            await edge
            if self.new:  # what another task has begun at this very edge waits for the next one
                now = get_sim_time()
                self.running += [one for one in self.new if one.begun != now]
                self.new = [one for one in self.new if one.begun == now]
            for one in self.running:
                if not one.ended:
                    one.step()
            if any(one.ended for one in self.running):
                self.running = [one for one in self.running if not one.ended]


_clocks: dict[object, _Clock] = {}  # clock -> that of the latest test that has used it


def in_background(dut, coroutine: Coroutine) -> Background:
    """Run a coroutine that awaits `next_cycle` and nothing else; it begins at once. An exception in it fails the
    test."""
    clock = _clocks.get(dut.clk)
    if clock is None or clock.task.done():
        clock = _clocks[dut.clk] = _Clock(dut.clk)
    background = Background(coroutine, get_sim_time())
    background.step()
    clock.new.append(background)
    return background


def stalls(profile: str, seed: str) -> Iterator[bool] | None:
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


async def break_off(dut, sending: Background, *sinks: "StreamSink", offered: bool = False, rest: int = 1) -> None:
    """Stop what goes into stream `i` (or leave it `offered`), reset for a cycle, wait for `rest` cycles, and forget
    what the sinks have received."""
    sending.cancel()
    dut.i__valid.value = offered
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    dut.i__valid.value = 0
    for _ in range(rest):
        await RisingEdge(dut.clk)
    for sink in sinks:
        sink.received.clear()


class _End:
    def __init__(self, dut, name: str, layout=None, *, stall: str = "never", seed: int = 1):
        self._dut = dut
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._layout, self._stall, self.name = layout, stalls(stall, f"{name}{seed}"), name
        self.cycles: list[int] = []  # the cycle of each transfer
        _ends[name] = self

    def __str__(self) -> str:
        state = f"valid={int(self._valid.value)} ready={int(self._ready.value)}"
        return f"stream {self.name}: {len(self.cycles)} transfers, {state}"


class StreamSource(_End):
    """Drives an input stream. `layout` None takes payloads as packed integers."""

    def start(self, values: Iterable) -> Background:
        """`send` in the background; await the result to wait for its end."""
        return in_background(self._dut, self._send(values))

    async def send(self, values: Iterable) -> None:
        """Transfer all `values`, each held until it is accepted; returns in the cycle after the last transfer."""
        await self.start(values)

    async def _send(self, values: Iterable) -> None:
        bits_of = int if self._layout is None else packer(self._layout)
        valid = False
        for value in values:
            bits = bits_of(value)
            while self._stall and next(self._stall):
                if valid:
                    self._valid.value = valid = False
                await next_cycle
            self._payload.value = bits
            if not valid:
                self._valid.value = valid = True
            await next_cycle
            while not self._ready.value:
                await next_cycle
            self.cycles.append(cycle())
        self._valid.value = False


class StreamSink(_End):
    """Takes an output stream from its creation on, into `received` (unpacked; packed integers without `layout`),
    and checks what every stream promises: valid and payload stay while ready is low."""

    def __init__(self, dut, name: str, layout=None, *, stall: str = "never", seed: int = 1):
        super().__init__(dut, name, layout, stall=stall, seed=seed)
        self.received: list = []
        self._wanted, self._patience, self._idle, self._there = 0, 0, 0, Event()  # of a `take` that waits
        self._task = in_background(dut, self._collect())

    async def _collect(self) -> None:
        value_of = int if self._layout is None else unpacker(self._layout)
        ready: bool | None = None
        held: int | None = None
        while True:
            before, ready = ready, not (self._stall and next(self._stall))
            if ready != before:
                self._ready.value = ready
            await next_cycle
            valid = bool(self._valid.value)
            if held is not None:
                now = int(self._payload.value) if valid else None
                assert now == held, f"stream {self.name}: valid or payload changed while not ready"
            if valid and ready:
                self.received.append(value_of(int(self._payload.value)))
                self.cycles.append(cycle())
            held = int(self._payload.value) if valid and not ready else None
            if self._wanted:
                self._look(valid and ready)

    def _look(self, transfer: bool) -> None:
        self._idle = 0 if transfer else self._idle + 1
        assert self._idle < self._patience, (
            f"stream {self.name}: {len(self.received)} of {self._wanted} payloads, then none for {self._patience} "
            f"cycles; {'; '.join(map(str, _ends.values()))}"
        )
        if len(self.received) >= self._wanted:
            self._there.set()

    async def take(self, count: int, *, patience: int = 20_000) -> list:
        """Wait for `count` more payloads and return them, removed from `received`, in the cycle after the last one.
        Fails when `patience` cycles pass without a transfer."""
        if len(self.received) < count:
            self._wanted, self._patience, self._idle = count, patience, 0
            self._there.clear()
            try:
                await self._there.wait()
            finally:  # also where the one that waits is cancelled
                self._wanted = 0
            await RisingEdge(self._dut.clk)
        taken, self.received[:] = self.received[:count], self.received[count:]
        return taken


class Holds:
    """Drives input `name`, if the dut has it, by which a memory says that it cannot be read in this cycle: with a
    `stall` profile. Its port `enable` must be low then. `cycles`: those in which it was."""

    def __init__(self, dut, name: str, enable: str, *, stall: str = "random:0.3"):
        self.cycles: set[int] = set()
        if name in dir(dut):
            in_background(dut, self._drive(getattr(dut, name), getattr(dut, enable), stalls(stall, name)))

    async def _drive(self, holds, enable, stall: Iterator[bool] | None) -> None:
        while True:
            held = bool(stall and next(stall))
            holds.value = held
            await next_cycle
            if held:
                self.cycles.add(cycle())
                assert not enable.value, "a memory is read that cannot be read"


class MemoryModel:
    """A synchronous memory behind a component's memory ports: read data held while enable is low, `latency` 1; or
    more, the same so many cycles later.

    `read` = (address, enable, data) and `write` = (address, enable, data) name ports of the dut; `words` is the
    live content (packed integers). A read and a write of one address in one cycle fail the test, as the hardware
    promises never to do it. A component whose enable port was dropped may be given None for it. In a cycle with the
    port `void` high a read gives anything."""

    def __init__(
        self,
        dut,
        words: Sequence[int],
        *,
        read: Sequence[str | None] = (),
        write: Sequence[str | None] = (),
        latency: int = 1,
        void: str | None = None,
    ):
        self._late, self._noise = latency - 1, random.Random(4)
        self._void = getattr(dut, void) if void else None
        self.words = list(words)
        self.writes: list[tuple[int, int]] = []
        ports: Callable = lambda names: [getattr(dut, name) if name else None for name in names]  # noqa: E731
        self._task = in_background(dut, self._serve(ports(read), ports(write)))

    async def _serve(self, read, write) -> None:
        shown, on_its_way = 0, deque([0] * self._late)
        while True:
            await next_cycle
            source = sink = None
            if read and (read[1] is None or read[1].value):
                source = int(read[0].value)
                shown = self.words[source] if source < len(self.words) else 0
                if self._void is not None and self._void.value:
                    shown = self._noise.getrandbits(len(read[2]))
            if read:
                on_its_way.append(shown)
                read[2].value = on_its_way.popleft()
            if write and (write[1] is None or write[1].value):
                sink, word = int(write[0].value), int(write[2].value)
                self.words[sink] = word
                self.writes.append((sink, word))
            assert sink is None or sink != source, f"memory: read and write of address {sink} in one cycle"
