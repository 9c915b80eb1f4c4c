# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The host's side of a board: identify it, load a model, classify, read what the core counts.

    with Board.open("/dev/ttyUSB1") as board:
        board.load(model)
        results = board.infer(images)

One driver for a board on a cable and for a simulated one behind a pseudo-terminal. Whatever goes wrong is a
`Ds2taError` of one line.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import serial
import serial.tools.list_ports

from ds2ta.errors import FitError
from ds2ta.fpga.boot import BootState
from ds2ta.fpga.device import Device, RefusedError, StalledError
from ds2ta.fpga.exchange import LinkError, Port
from ds2ta.fpga.frames import MAX_PAYLOAD, MAX_WIRE, Request, Status, read_payload, sample_payload
from ds2ta.fpga.loading import (
    StoreContents,
    check_settings,
    digest_words,
    load_payloads,
    sample_settings,
    store_contents,
)
from ds2ta.fpga.top import DEFAULT_BAUD
from ds2ta.gateware.compiler import Program, compile_model
from ds2ta.gateware.cycles import total_cycles
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.register_file import COUNT_BITS
from ds2ta.gateware.registers import IDENTITY, REGISTERS, STORES, VERSION, machine_from_words
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.sequencer import PassCounters
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest

__all__ = [
    "Board",
    "BoardResult",
    "Identity",
    "MemoryCheckError",
    "Progress",
    "UntrustedError",
]

#: What is being done, how much of it is done, of how much.
Progress = Callable[[str, int, int], None]

_BITS = 10  # that a byte takes on the line
_POLL = 0.02  # seconds that one read of the port may block
_SAMPLE_BYTES = MAX_PAYLOAD - len(sample_payload(0, b""))
_COUNTERS = 4  # words of one pass


class MemoryCheckError(LinkError):
    """A memory of the board does not hold what was loaded."""


class UntrustedError(LinkError):
    """A result came from memories that are not known to be good."""


@dataclass(frozen=True)
class Identity:
    """What a board is. `version`: (major, minor) of its register map. `digest`: SHA-256 (hex) of the model that it
    says to hold; zeros for none."""

    version: tuple[int, int]
    clock_hz: int
    machine: Machine
    digest: str


@dataclass(frozen=True)
class BoardResult:
    """One sample's result. `cycles`: of the core, from the first byte to the end; the counter of the first pass
    runs on while the line brings no bytes, and wraps at `counter_width`. `trusted`: the memories were known to be
    good from before the first byte until after the result. `seconds`: from the first byte sent until the result was
    known here."""

    class_index: int
    logits: tuple[int, ...]
    cycles: int
    trusted: bool
    counters: tuple[PassCounters, ...]
    seconds: float


class Board(Device):
    """A board with an accelerator; a context manager. Parameters: those of `Device`."""

    def __init__(self, port: Port, **options):
        super().__init__(port, **options)
        self._loaded: tuple[IntegerModel, Program] | None = None

    @classmethod
    def open(cls, device: str, *, baud: int = DEFAULT_BAUD, timeout: float = 1.0, **options) -> "Board":
        """Open a serial port: a device name, or a URL that pyserial knows. Nothing is sent yet. `timeout`: seconds
        that a response may take beside its way, and that of its question, over a line of `baud`. Raises `LinkError`
        when there is no such port, or another program has it."""
        local: dict[str, Any] = {} if "://" in device else {"exclusive": True}
        if timeout > 0:  # what is not is refused below
            timeout += 2 * MAX_WIRE * _BITS / max(1, baud)
        try:
            port = serial.serial_for_url(
                device, baudrate=baud, timeout=min(_POLL, timeout), write_timeout=timeout, **local
            )
        except (OSError, ValueError) as error:
            found = ", ".join(sorted(item.device for item in serial.tools.list_ports.comports())) or "none"
            raise LinkError(
                f"{device}: cannot be opened as a serial port ({error}); ports of this machine: {found}; `ds2ta "
                f"board --virtual` makes one without a board"
            ) from None
        return cls(port, name=device, timeout=timeout, **options)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- model

    def identify(self) -> Identity:
        """Ask the board what it is. Raises `LinkError` for a device of another kind or of another version."""
        (found,) = self.read("id")
        if found != IDENTITY:
            raise LinkError(f"{self.name}: identifies itself as {found:#010x}, a ds2ta board as {IDENTITY:#010x}")
        version = REGISTERS["version"].decode(self.read("version")[0])
        if version["major"] != VERSION[0]:
            raise LinkError(
                f"{self.name}: its register map has version {version['major']}.{version['minor']}, this program "
                f"speaks {VERSION[0]}.x: use the ds2ta that built the bitstream, or build it anew"
            )
        return Identity(
            version=(version["major"], version["minor"]),
            clock_hz=self.read("clock_hz")[0],
            machine=machine_from_words(self.read("machine", count=REGISTERS["machine"].count)),
            digest=self._digest(),
        )

    def load(self, model: IntegerModel, *, force: bool = False, progress: Progress | None = None) -> bool:
        """Put a model into the board and wait until the board has checked its memories; False if the board held it
        already (and `force` is not given). Raises `FitError` when the machine is too small, `MemoryCheckError` when
        the memories do not hold what was sent."""
        tell = progress or (lambda *_: None)
        machine = self.identify().machine
        try:
            program = compile_model(model, machine)
        except FitError as error:
            raise FitError(f"{self.name}: {error}") from None
        stores = store_contents(machine, program)
        self._loaded = None
        self.reset()  # a sample that nobody completed keeps the stores closed
        fresh = force or not self._holds(model, stores)
        if fresh:
            self._fill(stores, tell)
        for name, values in sample_settings(model).items():
            self.write(name, values)
        tell("checking memories", 0, 1)
        state = self.wait(lambda now: now["memory_good"] or now["memory_error"], "the memory check")
        if state["memory_error"]:
            raise MemoryCheckError(self._memory_report(state["bad_stores"], stores))
        self._write_digest(model_digest(model))
        self._loaded = (model, program)
        tell("checking memories", 1, 1)
        return fresh

    def _fill(self, stores: Sequence[StoreContents], tell: Progress) -> None:
        self._write_digest("00" * 32)  # until all of it is there
        payloads = [payload for store in stores if store.loadable for payload in load_payloads(store)]
        for done, payload in enumerate(payloads):
            tell("loading", done, len(payloads))
            self.ask(Request.LOAD, payload, "loading")
        tell("loading", len(payloads), len(payloads))
        for name, values in check_settings(stores).items():
            self.write(name, values)

    def _holds(self, model: IntegerModel, stores: Sequence[StoreContents]) -> bool:
        """Whether the board says to hold just this, and checks its memories against it."""
        return (
            self._digest() == model_digest(model)
            and all(self.read(name, count=len(STORES)) == values for name, values in check_settings(stores).items())
            and not self.status()["memory_error"]
        )

    def boot_state(self) -> BootState | None:
        """What became of the model in the board's flash; None for a board that does not look there."""
        register = REGISTERS["boot"]
        response = self.ask(
            Request.READ, read_payload(register.address, 1), "reading boot", accept=(Status.ADDRESS,)
        )
        if response.status == Status.ADDRESS:
            return None
        return BootState(register.decode(int.from_bytes(response.payload, "little"))["state"])

    def _digest(self) -> str:
        register = REGISTERS["model_digest"]
        return struct.pack(f"<{register.count}I", *self.read("model_digest", count=register.count)).hex()

    def _write_digest(self, digest: str) -> None:
        self.write("model_digest", digest_words(digest))

    def _memory_report(self, bad: int, stores: Sequence[StoreContents]) -> str:
        found = self.read("check_found", count=len(STORES))
        wrong = [store for store in stores if bad >> store.number & 1]
        parts = [
            f"store {store.name} has CRC-32 {found[store.number]:#010x}, must have {store.crc:#010x}"
            for store in wrong
        ]
        mend = "load again with force=True; if it fails again, the memory is faulty"
        if fixed := [store.name for store in wrong if not store.loadable]:
            mend = f"{', '.join(fixed)} came with the bitstream: build it for this model"
        return f"{self.name}: memory check failed: {'; '.join(parts)}; {mend}"

    # ---- samples

    def infer(
        self,
        images: Iterable[np.ndarray],
        *,
        each: Callable[[int, BoardResult], None] | None = None,
        allow_untrusted: bool = False,
    ) -> list[BoardResult]:
        """Classify samples of the loaded model; `each` hears of every result as it comes. At the end the board
        reads all its memories once more. Raises `UntrustedError` when a result came from memories that are not
        known to be good; with `allow_untrusted` such results say so instead."""
        if self._loaded is None:
            raise LinkError(f"{self.name}: no model was loaded through this connection; call load(model) first")
        state = self.status()
        if state["busy"] or state["sample_open"]:
            self.reset()  # left over from somebody who broke off
        self.wait(lambda now: now["memory_good"] or now["memory_error"], "the memory check")
        results = []
        for number, image in enumerate(images):
            result = self._classify(number, *self._loaded, np.asarray(image))
            if not (result.trusted or allow_untrusted):
                raise UntrustedError(self._distrust(f"result of sample {number}", self.status()))
            results.append(result)
            if each is not None:
                each(number, result)
        if results and (state := self._check_again())["memory_error"]:
            if not allow_untrusted:
                raise UntrustedError(self._distrust(f"results of {len(results)} samples", state))
            results = [replace(result, trusted=False) for result in results]
        return results

    def _classify(self, number: int, model: IntegerModel, program: Program, image: np.ndarray) -> BoardResult:
        data = sample_bytes(model, image).tobytes()
        (before,) = self.read("result_number")
        begun = time.monotonic()
        for offset in range(0, len(data), _SAMPLE_BYTES):
            self._send(number, offset, data[offset : offset + _SAMPLE_BYTES], before)
        self.wait(
            lambda now: now["result_valid"] and not now["busy"] and self.read("result_number") != [before],
            f"sample {number}",
        )
        seconds = time.monotonic() - begun
        (class_index,) = self.read("result_class")
        logits = self.read("logits", count=model.network.classes)
        words = self.read("counters", count=_COUNTERS * len(program.instructions))
        counters = tuple(
            PassCounters(instruction.name, instruction.opcode, *words[_COUNTERS * index :][:_COUNTERS])
            for index, instruction in enumerate(program.instructions)
        )
        trusted = bool(self.status()["result_trusted"])  # last: it falls with any error seen until now
        return BoardResult(class_index, tuple(logits), total_cycles(counters), trusted, counters, seconds)

    def _send(self, number: int, offset: int, data: bytes, before: int) -> None:
        """One SAMPLE request. Sent again because its response was lost, it may find its bytes taken long ago;
        then the board refuses it, and that is well."""
        doing = f"sample {number}, bytes {offset}..{offset + len(data) - 1}"
        deadline = time.monotonic() + self.patience
        accept = (Status.BUSY, Status.OFFSET, Status.STALLED)
        while (
            status := self.ask(Request.SAMPLE, sample_payload(offset, data), doing, accept=accept).status
        ) != Status.OK:
            (finished,), (taken,) = self.read("result_number"), self.read("sample_bytes")
            if finished != before or taken >= offset + len(data):
                return
            if status == Status.BUSY and time.monotonic() < deadline:
                continue
            with contextlib.suppress(LinkError):  # what went wrong before is what counts
                self.reset()
            if status == Status.OFFSET:
                raise RefusedError(f"{self.name}: {doing}: refused by the board, it took {taken} bytes", status)
            raise StalledError(
                f"{self.name}: {doing}: the core takes no byte after {taken}; it has been reset, send the sample "
                f"again; if that repeats, load the model again"
            )

    def _check_again(self) -> dict[str, int]:
        """The status after all memories have been read whole once more: the scan at work and the next one."""
        (before,) = self.read("scans")
        return self.wait(
            lambda now: now["memory_error"] or (self.read("scans")[0] - before) % (1 << COUNT_BITS) >= 2,
            "the memory check",
        )

    def _distrust(self, what: str, state: dict[str, int]) -> str:
        bad = [name for number, name in enumerate(STORES) if state["bad_stores"] >> number & 1]
        why = f"memory {', '.join(bad)} changed" if bad else "the memories were not checked"
        return f"{self.name}: {what} cannot be trusted: {why}; load the model again and repeat"
