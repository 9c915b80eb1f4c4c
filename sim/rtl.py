# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Emitted Verilog as a fast program: a component behind `harness.cpp`, driven from Python without cocotb.

For whole networks, where a bench that wakes Python each cycle would take minutes. Everything is derived from the
component's signature: each input stream is a source; each output stream is a channel that is always ready; a group
of outputs `X`, `X_*` with a flag `X_valid` (the trace ports of the accelerator) is a channel as well. Channels are
kept of every cycle in which they are valid. Other inputs and outputs are set and read by name.

The protocol with the program, all in 64-bit little endian words: a command is its number (see `_COMMANDS`) and its
arguments (see `harness.cpp`), the answer is the number of words that follow, the present cycle, and the results. A
payload takes as many words as it needs; a beat is the cycle and then the words of each port of its channel.
"""

import struct
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib import stream, wiring

from ds2ta.errors import Ds2taError
from ds2ta.gateware.verilog import WAIVERS, emit, port_widths, snake
from ds2ta.gateware.weight_feed import MemoryTiming
from ds2ta.sim.verilator import build_simulator

__all__ = ["Beats", "Rtl", "RtlError"]

_HARNESS = Path(__file__).with_name("harness.cpp")
_COMMANDS = ("reset", "send", "run", "set", "get", "advance", "collect", "offer", "feed")


class RtlError(Ds2taError):
    """The simulated accelerator did not answer."""


def _words(width: int) -> int:
    return max(1, -(-width // 64))


def _split(value: int, width: int) -> list[int]:
    return [value >> 64 * index & (1 << 64) - 1 for index in range(_words(width))]


def _joined(words: Iterable[int]) -> int:
    return sum(word << 64 * index for index, word in enumerate(words))


@dataclass(frozen=True)
class _Channel:
    valid: str  # the port that says so
    fields: Mapping[str, int]  # port -> width, in their order in a beat

    def place(self, port: str, bit: int) -> tuple[int, int]:
        """Word and bit in a beat (word 0 is the cycle)."""
        word = 1
        for name, width in self.fields.items():
            if name == port:
                return word + bit // 64, bit % 64
            word += _words(width)
        raise KeyError(port)

    @property
    def length(self) -> int:
        return 1 + sum(map(_words, self.fields.values()))


@dataclass(frozen=True)
class Beats:
    """What one channel showed: `cycle` uint64 [n] and, for each port, `values[port]` as Python integers."""

    cycle: np.ndarray
    values: Mapping[str, list[int]]

    def __len__(self) -> int:
        return len(self.cycle)


class _Interface:
    """Sources, channels, plain inputs and outputs of a component, and the C++ that reaches them."""

    def __init__(self, component: wiring.Component, widths: Mapping[str, tuple[str, int]]):
        streams = {
            name: member
            for name, member in component.signature.members.items()
            if member.is_signature and isinstance(member.signature, stream.Signature)
        }
        outputs = {name: width for name, (way, width) in widths.items() if way == "output"}
        self.widths = {name: width for name, (_, width) in widths.items()}
        self.layouts = {name: member.signature.members["payload"].shape for name, member in streams.items()}
        self.sources = [name for name, member in streams.items() if member.flow == wiring.In]
        self.channels: dict[str, _Channel] = {}
        for name, member in streams.items():
            if member.flow == wiring.Out:
                self.channels[name] = _Channel(
                    f"{name}__valid", {f"{name}__payload": widths[f"{name}__payload"][1]}
                )
        for flag in outputs:
            name = flag.removesuffix("_valid")
            if name != flag and not name.endswith("_"):
                group = {
                    port: width for port, width in outputs.items() if port == name or port.startswith(f"{name}_")
                }
                self.channels[name] = _Channel(flag, group)
        ends = tuple(f"{name}__" for name in streams)
        self.inputs = [
            name for name, (way, _) in widths.items() if way == "input" and name not in ("clk", "rst")
            and not name.startswith(ends)
        ]  # fmt: skip
        self.outputs = [name for name in outputs if not name.startswith(ends)]

    def header(self) -> str:
        def member(port: str) -> str:
            return "top." + port.replace("__", "___05F")  # how Verilator spells two underscores

        def switch(head: str, cases: Iterable[str], otherwise: str = "") -> list[str]:
            body = [f"        case {number}: {case}" for number, case in enumerate(cases)]
            return [f"static inline {head} {{", "    switch (number) {", *body, "    }", f"    {otherwise}", "}"]

        def ready(name: str) -> str:
            return member(f"{name}__ready") if f"{name}__ready" in self.widths else "1"

        def gets(ports: Iterable[str]) -> str:
            return " ".join(f"get({member(port)}, to);" for port in ports)

        lines = [f"static const int CHANNELS = {len(self.channels)};"]
        lines += switch(
            "void source_put(Vtop& top, int number, bool valid, const Word* from)",
            (
                f"{member(name + '__valid')} = valid; put({member(name + '__payload')}, from); break;"
                for name in self.sources
            ),
        )
        lines += switch(
            "bool source_ready(Vtop& top, int number)",
            (f"return {ready(name)};" for name in self.sources),
            "return 0;",
        )
        lines += switch(
            "int source_words(int number)",
            (f"return {_words(self.widths[name + '__payload'])};" for name in self.sources),
            "return 0;",
        )
        lines += switch(
            "bool channel_valid(const Vtop& top, int number)",
            (f"return {member(channel.valid)};" for channel in self.channels.values()),
            "return 0;",
        )
        lines += switch(
            "void channel_get(const Vtop& top, int number, std::vector<Word>& to)",
            (f"{gets(channel.fields)} break;" for channel in self.channels.values()),
        )
        lines += switch(
            "void input_put(Vtop& top, int number, const Word* from)",
            (f"put({member(name)}, from); break;" for name in self.inputs),
        )
        lines += switch(
            "int input_words(int number)",
            (f"return {_words(self.widths[name])};" for name in self.inputs),
            "return 0;",
        )
        lines += switch(
            "void output_get(const Vtop& top, int number, std::vector<Word>& to)",
            (f"{gets([name])} break;" for name in self.outputs),
        )
        always = [f"{name}__ready" for name in self.channels if f"{name}__ready" in self.widths]
        lines += [
            "static inline void outputs_ready(Vtop& top) {",
            *(f"    {member(port)} = 1;" for port in always),
            "}",
        ]
        return "\n".join([*lines, ""])


class Rtl:
    """A running simulation of `component`; a context manager. `waves` names a VCD file to write.

    `verilog` is simulated in place of the emitted one: its module `name` must have the same ports, but for outputs
    outside of streams, which it may lack. `waivers` are the rules of Verilator's lint that it may break.
    `optimize` goes to the compiler."""

    def __init__(
        self,
        component: wiring.Component,
        *,
        name: str | None = None,
        waves: Path | str | None = None,
        verilog: str | None = None,
        waivers: Iterable[str] = WAIVERS,
        optimize: str = "-O2",
    ):
        name = name or snake(component)
        verilog = verilog or emit(component, name)
        self._interface = _Interface(component, port_widths(verilog, name))
        self.simulator = build_simulator(
            "rtl",
            name,
            verilog,
            _HARNESS.read_text(),
            files={"ports.h": self._interface.header()},
            options=["-O3", "--x-assign", "fast", "--x-initial", "fast"],
            waivers=waivers,
            waves=waves is not None,
            optimize=optimize,
        )
        self._process = subprocess.Popen(
            [str(self.simulator), *([str(Path(waves).resolve())] if waves else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin  # they were asked for
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.cycle = 0
        try:
            self.reset()
        except RtlError:  # it could not even begin, say for waves that cannot be written
            self.close()
            raise

    def __enter__(self) -> "Rtl":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation (and complete its waves)."""
        with suppress(BrokenPipeError):  # what an ended simulator has not read
            self._stdin.close()
        self._process.wait()
        self._stdout.close()

    def _command(self, name: str, *numbers: int, payload: bytes = b"") -> np.ndarray:
        try:
            number = _COMMANDS.index(name)
            self._stdin.write(struct.pack(f"<{1 + len(numbers)}Q", number, *numbers) + payload)
            self._stdin.flush()
            (length,) = struct.unpack("<Q", self._stdout.read(8))
            answer = np.frombuffer(self._stdout.read(8 * length), dtype="<u8")
        except (OSError, struct.error):
            raise RtlError(f"the simulator {self.simulator} has ended: {self._process.poll()}") from None
        self.cycle = int(answer[0])
        return answer[1:]

    def reset(self, cycles: int = 2) -> None:
        """Hold reset. Memory contents survive it."""
        self._command("reset", cycles)

    def advance(self, cycles: int = 1) -> None:
        self._command("advance", cycles)

    def send(self, source: str, payloads: Iterable[int] | np.ndarray, *, limit: int = 10_000_000) -> None:
        """Transfer packed payloads, one a cycle where the component takes them."""
        width = self._interface.widths[f"{source}__payload"]
        if not isinstance(payloads, np.ndarray):
            payloads = [word for payload in payloads for word in _split(payload, width)]
        data = np.asarray(payloads, dtype="<u8").tobytes()
        beats = len(data) // 8 // _words(width)
        (sent,) = self._command("send", self._interface.sources.index(source), beats, limit, payload=data)
        if sent != beats:
            raise RtlError(f"stream {source}: {sent} of {beats} beats accepted in {limit} cycles")

    def offer(self, source: str, payload: int) -> None:
        """Hold a packed payload valid until the next `send` of the stream, whose first beat must be the same."""
        number = self._interface.sources.index(source)
        self._command("offer", number, *_split(payload, self._interface.widths[f"{source}__payload"]))

    def feed(self, source: str, payloads: Iterable[int], timing: MemoryTiming) -> None:
        """Let a memory send packed payloads over and over, from now on and after each reset from the first on; the
        stream takes no `send` beside that."""
        width = self._interface.widths[f"{source}__payload"]
        words = np.asarray([word for payload in payloads for word in _split(payload, width)], dtype="<u8")
        beats, number = len(words) // _words(width), self._interface.sources.index(source)
        numbers = timing.page_words, timing.page_gap, timing.period, timing.busy
        self._command("feed", number, beats, *numbers, payload=words.tobytes())

    def run(self, channel: str = "result", *, limit: int = 10_000_000) -> None:
        """Run until `channel`, an output stream with a field `last`, has shown it since the last `collect`."""
        field = self._interface.layouts[channel]["last"]
        place = self._interface.channels[channel].place(f"{channel}__payload", field.offset)
        number, length = list(self._interface.channels).index(channel), self._interface.channels[channel].length
        if not self._command("run", number, length, *place, limit)[0]:
            raise RtlError(f"stream {channel}: no last beat within {limit} cycles")

    def collect(self) -> dict[str, Beats]:
        """What every channel has shown since the last call."""
        words = self._command("collect")
        found, at = {}, 0
        for name, channel in self._interface.channels.items():
            end = at + 1 + int(words[at])
            table = words[at + 1 : end].reshape(-1, channel.length)
            at = end
            values, column = {}, 1
            for port, width in channel.fields.items():
                parts = table[:, column : column + _words(width)]
                column += _words(width)
                values[port] = [_joined(row) for row in parts.tolist()]
            found[name] = Beats(table[:, 0], values)
        return found

    def set(self, port: str, value: int) -> None:
        """Set a plain input."""
        number = self._interface.inputs.index(port)
        self._command("set", number, *_split(value, self._interface.widths[port]))

    def get(self, port: str) -> int:
        """Read a plain output, with the present inputs."""
        return _joined(self._command("get", self._interface.outputs.index(port)).tolist())
