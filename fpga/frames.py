"""Frames between host and board: what they ask, what they answer (docs/host-link.md)."""

from enum import IntEnum

__all__ = ["MAX_PAYLOAD", "Answer", "Opcode"]

MAX_PAYLOAD = 256  # bytes of payload, of a request and of an answer (which has a status besides)


class Opcode(IntEnum):
    """What a frame asks for; its answer has bit 7 set besides."""

    READ = 0x01
    WRITE = 0x02
    LOAD = 0x03
    SAMPLE = 0x04


class Answer(IntEnum):
    """Status of an answer."""

    OK = 0
    OPCODE = 1
    LENGTH = 2
    ADDRESS = 3
    BUSY = 4
    OFFSET = 5
    STALLED = 6
