# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""One request, one response, over a line that may lose, garble, delay or double what it carries.

Every request of the link is idempotent, so whoever waits in vain asks again with the same sequence number, behind
a delimiter that cuts off whatever the board has half received. What does not response the present question (a bad
frame, an older sequence number, another kind) is counted and left alone.
"""

import random
import time
from dataclasses import dataclass
from typing import Protocol

import serial

from ds2ta.errors import Ds2taError
from ds2ta.fpga.frames import (
    DELIMITER,
    MAX_WIRE,
    FrameError,
    Request,
    ResponseFrame,
    decode_response,
    encode_request,
    read_payload,
)

__all__ = ["Exchange", "LinkError", "NoResponseError", "Port", "Traffic"]

_LONGEST_READ = 4096


class LinkError(Ds2taError):
    """The board is not there, is gone, or answers what it should not."""


class NoResponseError(LinkError):
    """Every attempt to ask was in vain."""


class Port(Protocol):
    """What is needed of a `serial.Serial`. `read` returns what came, at least one byte unless its timeout passes;
    `OSError` means that the port is gone."""

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...
    def close(self) -> None: ...


@dataclass
class Traffic:
    """What an exchange has seen so far. `strays`: good answers to something else than was asked last."""

    sent: int = 0  # bytes
    received: int = 0
    requests: int = 0
    repeats: int = 0
    bad_frames: int = 0
    strays: int = 0


class Exchange:
    """Asks a board over an open port. `timeout`: seconds that one attempt waits for its response; `attempts`: how
    often a question is asked in all. `name` is what errors call the port."""

    def __init__(self, port: Port, *, name: str, timeout: float = 1.0, attempts: int = 4):
        if timeout <= 0 or attempts < 1:
            raise LinkError(
                f"{name}: timeout must be positive and attempts at least 1, not {timeout} and {attempts}"
            )
        self.name, self.traffic = name, Traffic()
        self._port, self._timeout, self._attempts = port, timeout, attempts
        self._sequence = random.randrange(256)
        self._received = b""
        self._apart = True  # the board may hold the start of a frame: cut it off before the next one
        self._begun = False

    def ask(self, kind: Request, payload: bytes) -> ResponseFrame:
        """The board's response, whatever its status. Raises `NoResponseError` when none of the attempts brings one,
        `LinkError` when the port is gone, `FrameError` for a payload that no frame can carry."""
        if not self._begun:
            # A driver that died may have left a response on its way, with any number. Taken for the response to
            # this question, which does not matter, it does no harm.
            self._begun = True
            self._ask(Request.READ, read_payload(0, 1))
        return self._ask(kind, payload)

    def _ask(self, kind: Request, payload: bytes) -> ResponseFrame:
        self._sequence = (self._sequence + 1) % 256
        wire = encode_request(self._sequence, kind, payload)
        self.traffic.requests += 1
        for attempt in range(self._attempts):
            self.traffic.repeats += attempt > 0
            self._send(DELIMITER + wire if self._apart else wire)
            response = self._await(kind)
            self._apart = response is None
            if response is not None:
                return response
        raise NoResponseError(
            f"{self.name}: no response to {kind.name} in {self._attempts} attempts of {self._timeout:g} s; is the "
            f"board powered and flashed with a ds2ta bitstream, and is the baud rate that of its build?"
        )

    def close(self) -> None:
        """Close the port; no error when it is gone already."""
        try:
            self._port.close()
        except OSError:
            self._received = b""

    def _gone(self, error: OSError) -> LinkError:
        return LinkError(f"{self.name}: the connection is gone ({error}); plug the board in and open it again")

    def _send(self, wire: bytes) -> None:
        try:
            self._port.write(wire)
        except serial.SerialTimeoutException:
            raise NoResponseError(
                f"{self.name}: takes no bytes for {self._timeout:g} s; does something else hold the port?"
            ) from None
        except OSError as error:
            raise self._gone(error) from None
        self.traffic.sent += len(wire)

    def _await(self, kind: Request) -> ResponseFrame | None:
        """The response to the present sequence number; None when it does not come in time."""
        deadline, late = time.monotonic() + self._timeout, False
        while True:
            while DELIMITER in self._received:
                frame, _, self._received = self._received.partition(DELIMITER)
                if frame and (response := self._match(frame, kind)) is not None:
                    return response
            if len(self._received) > MAX_WIRE:  # no frame is so long
                self._received = self._received[-MAX_WIRE:]
            if late:
                return None
            late = time.monotonic() >= deadline  # on a busy host it may have come by now: read once more
            try:
                received = self._port.read(min(_LONGEST_READ, max(1, self._port.in_waiting)))
            except OSError as error:
                raise self._gone(error) from None
            self.traffic.received += len(received)
            self._received += received

    def _match(self, frame: bytes, kind: Request) -> ResponseFrame | None:
        try:
            response = decode_response(frame)
        except FrameError:
            self.traffic.bad_frames += 1
            return None
        if (response.sequence, response.kind) != (self._sequence, kind):
            self.traffic.strays += 1
            return None
        return response
