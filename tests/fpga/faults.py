# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bad lines: what lies between a host and a board loses, garbles, delays and doubles."""

import random
from collections.abc import Callable

__all__ = ["KINDS", "Faults", "FaultyPort", "random_faults"]

KINDS = ("lost", "cut", "garbled", "noise", "zeros", "doubled", "late")


class Faults:
    """Spoils what `when` picks, up to `most` times in a row: `when(direction, number of the piece)`."""

    def __init__(self, kind: str, when, most: int = 3):
        self.kind, self.when, self.most = kind, when, most
        self.number = self.row = self.done = 0
        self.kept = {"to": b"", "from": b""}

    def __call__(self, direction: str, wire: bytes) -> list[bytes]:
        self.number += 1
        before, self.kept[direction] = self.kept[direction], b""
        if self.row >= self.most or not self.when(direction, self.number):
            self.row = 0
            return [before, wire]
        self.row += 1
        self.done += 1
        at = self.number % max(1, len(wire) - 1)
        match self.kind:
            case "lost":
                return [before]
            case "cut":
                return [before, wire[:at]]
            case "garbled":
                return [before, wire[:at] + bytes([wire[at] ^ 0x10]) + wire[at + 1 :]]
            case "noise":
                return [before, bytes(range(1, 256)) * 3, wire]
            case "zeros":
                return [before, bytes(5), wire]
            case "doubled":
                return [before, wire, wire]
            case "late":
                self.kept[direction] = wire
                return [before]


def random_faults(seed: int, rate: float) -> Callable[[str, bytes], list[bytes]]:
    """Each kind of fault on its own, each piece with this probability, in both directions."""
    luck = random.Random(seed)
    lines = [Faults(kind, lambda *_: luck.random() < rate, most=1) for kind in KINDS]

    def fault(direction: str, wire: bytes) -> list[bytes]:
        pieces = [wire]
        for line in lines:
            pieces = [after for before in pieces for after in line(direction, before) if after]
        return pieces

    return fault


class FaultyPort:
    """A serial port behind such a line; answers pass frame by frame."""

    def __init__(self, port, fault: Callable[[str, bytes], list[bytes]]):
        self.port, self.fault = port, fault
        self.frame = b""

    @property
    def in_waiting(self) -> int:
        return self.port.in_waiting

    def write(self, data: bytes) -> None:
        for piece in self.fault("to", data):
            self.port.write(piece)

    def read(self, size: int) -> bytes:
        *frames, self.frame = (self.frame + self.port.read(size)).split(b"\0")
        return b"".join(piece for frame in frames for piece in self.fault("from", frame + b"\0"))

    def close(self) -> None:
        self.port.close()
