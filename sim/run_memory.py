# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A memory behind a `memory_port`, for cocotb benches: words of a list, in runs, with stalls and with faults."""

import random
from collections import deque

from ds2ta.hw.payloads import memory_layout, memory_write_layout, run_layout
from ds2ta.sim.stream import StreamSink, in_background, next_cycle, packer, stalls, unpacker

__all__ = ["RunMemory"]


class RunMemory:
    """Serves port `name` of `dut`, from the list `words`, which may be changed at any time.

    A run is taken after some cycles of `stall` (a profile of `sim.stream`) while fewer than `ahead` wait; the first
    word comes `latency` cycles later or more. What a user must not do fails the test: to take a run back or change
    it, to ask past the end or before `ready`, to refuse a word. A port `name`_write of `memory_write_layout`, where
    there is one, writes words, each after some cycles of `stall`.

    `runs`: (first word, number) of each run that was taken. `glitches`: {word: bits that come wrong once}. `fails`:
    words whose coming raises `failed` once. `dumb`: no run is taken, no word comes. `ready`: what the port shows. A
    reset of `dut` is one of the memory.
    """

    def __init__(
        self,
        dut,
        words: list[int],
        *,
        memory_bits: int,
        address_bits: int,
        name: str = "memory",
        stall: str = "never",
        latency: int = 0,
        ahead: int = 2,
    ):
        self.words, self.runs = words, list[tuple[int, int]]()
        self.glitches, self.fails = dict[int, int](), set[int]()
        self.dumb, self.ready = False, True
        self._dut, self._name, self._latency, self._ahead = dut, name, latency, ahead
        self._unpack, self._pack = unpacker(run_layout(address_bits)), packer(memory_layout(memory_bits))
        self._stalls = [stalls(stall, f"{name}{part}") for part in ("run", "word")]
        self._noise = random.Random(name)
        self._width = memory_bits
        self._waiting: deque[tuple[int, int, int]] = deque()  # first word, number, cycles until it may come
        for port, value in (
            ("run__ready", 0),
            ("word__valid", 0),
            ("word__payload", 0),
            ("ready", 0),
            ("failed", 0),
        ):
            self._set(port, value)
        in_background(dut, self._serve())
        if hasattr(dut, f"{name}_write__valid"):
            self._sink = StreamSink(dut, f"{name}_write", memory_write_layout(address_bits), stall=stall, seed=6)
            in_background(dut, self._write())

    async def _write(self) -> None:
        while True:
            await next_cycle
            for one in self._sink.received:
                self.words[one["address"]] = one["word"]
            self._sink.received.clear()

    def _port(self, port: str):
        return getattr(self._dut, f"{self._name}__{port}")

    def _set(self, port: str, value: int) -> None:
        self._port(port).value = value

    def _now(self, which: int) -> bool:
        mine = self._stalls[which]
        return not (self.dumb or (mine is not None and next(mine)))

    async def _serve(self) -> None:
        held, taking, sent = None, False, False
        at = 0  # words of the first run that were sent
        while True:
            await next_cycle
            if self._dut.rst.value:
                self._waiting.clear()
                held, taking, sent, at = None, False, False, 0
                for port in ("run__ready", "word__valid", "failed"):
                    self._set(port, 0)
                continue
            self._set("ready", self.ready)
            asked = int(self._port("run__payload").value) if self._port("run__valid").value else None
            assert held is None or asked == held, "a run that was asked for is taken back or changed"
            assert not sent or self._port("word__ready").value, "a word is refused"
            held = None if taking else asked
            if asked is not None:
                assert self.ready, "a run is asked for before the memory is ready"
            if taking and asked is not None:
                run = self._unpack(asked)
                assert 0 < run["words"] <= len(self.words) - run["address"], run
                self.runs.append((run["address"], run["words"]))
                self._waiting.append((run["address"], run["words"], self._latency))
            taking = len(self._waiting) < self._ahead and self._now(0)
            self._set("run__ready", taking)
            self._waiting = deque((first, size, max(0, left - 1)) for first, size, left in self._waiting)
            sent = bool(self._waiting) and not self._waiting[0][2] and self._now(1)
            self._set("word__valid", sent)
            self._set("failed", 0)
            payload = {"word": self._noise.getrandbits(self._width), "last": self._noise.getrandbits(1)}
            if sent:
                first, size, _ = self._waiting[0]
                word, at = first + at, at + 1
                payload = {"word": self.words[word] ^ self.glitches.pop(word, 0), "last": at == size}
                if word in self.fails:
                    self.fails.remove(word)
                    self._set("failed", 1)
                if at == size:
                    self._waiting.popleft()
                    at = 0
            self._set("word__payload", self._pack(payload))
