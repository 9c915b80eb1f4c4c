# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A device that answers the frames of the host link, and its registers by name."""

import struct
import time
from collections.abc import Callable, Sequence

from ds2ta.fpga.exchange import Exchange, LinkError, Port
from ds2ta.fpga.frames import MAX_REGISTERS, Request, ResponseFrame, Status, read_payload, write_payload
from ds2ta.gateware.registers import REGISTERS

__all__ = ["Device", "RefusedError", "StalledError"]


class RefusedError(LinkError):
    """The device refused a request; `status` says why."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class StalledError(LinkError):
    """The core takes no sample byte, or does not come to an end."""


class Device:
    """Registers behind an open port.

    `timeout`, `attempts`: how long one attempt waits for the response to a request, in seconds, and how often a
    request is sent. `patience`: seconds for what the core does by itself (a memory check, a result). `name` is what
    errors call the port."""

    def __init__(
        self, port: Port, *, name: str = "port", timeout: float = 1.0, attempts: int = 4, patience: float = 60.0
    ):
        self._exchange = Exchange(port, name=name, timeout=timeout, attempts=attempts)
        self.patience = patience
        self.name, self.traffic = name, self._exchange.traffic

    def read(self, name: str, index: int = 0, count: int = 1) -> list[int]:
        """`count` words of the register `name` from word `index` on."""
        register = REGISTERS[name]
        words: list[int] = []
        for start in range(index, index + count, MAX_REGISTERS):
            number = min(MAX_REGISTERS, index + count - start)
            response = self.ask(Request.READ, read_payload(register.at(start), number), f"reading {name}")
            if (came := len(response.payload)) != 4 * number:
                raise LinkError(f"{self.name}: reading {name}: {came} bytes came, not {4 * number}")
            words += struct.unpack(f"<{number}{'i' if register.signed else 'I'}", response.payload)
        return words

    def write(self, name: str, values: Sequence[int], index: int = 0) -> None:
        """Set words of the register `name` from word `index` on."""
        for start in range(0, len(values), MAX_REGISTERS):
            part = values[start : start + MAX_REGISTERS]
            payload = write_payload(REGISTERS[name].at(index + start), part)
            self.ask(Request.WRITE, payload, f"writing {name} = {', '.join(map(str, part))}")

    def status(self) -> dict[str, int]:
        """The fields of the register `status`."""
        return REGISTERS["status"].decode(self.read("status")[0])

    def command(self, **fields: int) -> None:
        """Give the fields of the register `command`, such as rescan=1."""
        self.write("command", [REGISTERS["command"].encode(**fields)])

    def reset(self) -> None:
        """Drop sample and result. The model and the settings of the memory check stay."""
        self.command(core_reset=1)

    def ask(self, kind: Request, payload: bytes, doing: str, *, accept: tuple[Status, ...] = ()) -> ResponseFrame:
        """The response to one request, its status OK or one of `accept`; `doing` is for the `RefusedError` else."""
        response = self._exchange.ask(kind, payload)
        if response.status != Status.OK and response.status not in accept:
            known = response.status in list(Status)
            reason = Status(response.status).name if known else f"unknown status {response.status}"
            raise RefusedError(f"{self.name}: {doing}: refused by the board: {reason}", response.status)
        return response

    def wait(self, until: Callable[[dict[str, int]], int], what: str) -> dict[str, int]:
        """The first status that fulfils `until`. Raises `StalledError`, with the core reset, when none comes."""
        deadline = time.monotonic() + self.patience
        while True:
            state = self.status()
            if until(state):
                return state
            if time.monotonic() > deadline:
                now = ", ".join(name for name, value in state.items() if value) or "nothing"
                (at,) = self.read("pass")
                self.reset()
                raise StalledError(
                    f"{self.name}: {what} did not end within {self.patience:g} s (status: {now}; pass {at}); the "
                    f"core has been reset; if that repeats, load the model again"
                )

    def close(self) -> None:
        """Let go of the port. The board keeps its model."""
        self._exchange.close()
