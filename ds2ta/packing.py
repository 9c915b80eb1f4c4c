# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Weights in as many bits as they have: a stream of two's complement numbers, lowest bits first, as
`docs/model-file.md`, section 5, specifies it."""

import numpy as np

__all__ = ["pack", "packed_bytes", "unpack"]

_GROUP = 8  # weights of b bits take b whole bytes together, and lie in one 64-bit word on the way


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of so many weights."""
    return -(-count * bits // 8)


def pack(weight: np.ndarray, bits: int) -> np.ndarray:
    """int8 weights of any shape, which `bits` bits hold, as uint8 `[bytes]`."""
    codes = np.zeros(-(-weight.size // _GROUP) * _GROUP, np.uint8)
    codes[: weight.size] = weight.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    words = np.zeros(len(codes) // _GROUP, "<u8")
    for place in range(_GROUP):
        words |= codes[place::_GROUP].astype("<u8") << np.uint64(place * bits)
    stream = words.view(np.uint8).reshape(-1, 8)[:, :bits]
    return np.ascontiguousarray(stream).reshape(-1)[: packed_bytes(weight.size, bits)]


def unpack(stream: np.ndarray, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """The int8 weights of that shape in a stream of the right length. ValueError where a bit behind the last weight
    is set."""
    count = int(np.prod(shape))
    if (unused := len(stream) * 8 - count * bits) and stream[-1] >> (8 - unused):
        raise ValueError("a bit behind the last weight is set, it must be 0")
    padded = np.zeros(-(-count // _GROUP) * bits, np.uint8)
    padded[: len(stream)] = stream
    words = np.zeros((len(padded) // bits, 8), np.uint8)
    words[:, :bits] = padded.reshape(-1, bits)
    whole = words.reshape(-1).view("<u8")
    codes = np.empty(len(whole) * _GROUP, np.uint8)
    for place in range(_GROUP):
        codes[place::_GROUP] = whole >> np.uint64(place * bits) & np.uint64((1 << bits) - 1)
    sign = np.uint8(1 << (bits - 1))
    return ((codes ^ sign) - sign)[:count].view(np.int8).reshape(shape)
