# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Where tensors lie in the spike banks, and the way between tensors and rows.

A row holds the spike words of `row_lanes` channels of one position; word bit t is time step t. Positions follow
each other every `pitch` rows. Inside a position come the bit planes of integer activations, `plane_pitch` rows
apart, and inside a plane the channel groups. The input tensor alone, with fewer channels than a row has lanes,
interleaves channels and bit planes in one row (`interleave` channels a plane); and a word of an image, which is the
same at all steps, holds neighbouring pixels of a line instead (`pixels` of them, in lines of `width`).
"""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Allocator", "Region", "rows_from_tensor", "tensor_from_rows"]


@dataclass(frozen=True, kw_only=True)
class Region:
    """A tensor `[T, positions, channels]` of values below `2**planes` in one bank, or at the same rows of both
    (`banks` holds the bank numbers)."""

    name: str
    banks: tuple[int, ...]
    base: int
    positions: int
    channels: int
    planes: int
    groups: int  # rows of one plane, padding included
    pitch: int  # rows from one position to the next
    interleave: int = 0  # channels a plane when planes share a row (input tensor), else 0
    pixels: int = 0  # pixels a word (input tensor of an image), else 0
    width: int = 0  # pixels of a line where words hold pixels

    @property
    def words(self) -> int:
        """Places every `pitch` rows: positions, or words of pixels."""
        if not self.pixels:
            return self.positions
        return self.positions // self.width * -(-self.width // self.pixels)

    @property
    def rows(self) -> int:
        return self.words * self.pitch

    def place(self, position: int, channel: int, plane: int, row_lanes: int) -> tuple[int, int]:
        """Row and lane of the spike word of one position; where words hold pixels, of the word that holds it."""
        if self.pixels:
            y, x = divmod(position, self.width)
            position = y * -(-self.width // self.pixels) + x // self.pixels
        start = self.base + position * self.pitch
        if self.interleave:
            slot = plane * self.interleave + channel
            return start + slot // row_lanes, slot % row_lanes
        return start + plane * self.groups + channel // row_lanes, channel % row_lanes


@dataclass
class Allocator:
    """First fit over rows and time. A region is alive from the pass that writes it to the last that reads it."""

    taken: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # bank, base, rows, birth, death

    def place(self, banks: tuple[int, ...], rows: int, birth: int, death: int, base: int | None = None) -> int:
        busy = sorted(
            (start, start + length)
            for bank, start, length, born, dead in self.taken
            if bank in banks and born <= death and birth <= dead
        )
        if base is None:
            base = 0
            for start, end in busy:
                if base + rows <= start:
                    break
                base = max(base, end)
        elif any(start < base + rows and base < end for start, end in busy):
            raise AssertionError("a fixed region overlaps")
        self.taken += [(bank, base, rows, birth, death) for bank in banks]
        return base

    @property
    def rows(self) -> int:
        return max(base + rows for _, base, rows, _, _ in self.taken)


def _positions_last(tensor: np.ndarray) -> np.ndarray:
    """[T, C, H, W] or [T, N, C] -> [T, N, C]."""
    if tensor.ndim == 4:
        steps, channels, height, width = tensor.shape
        return tensor.reshape(steps, channels, height * width).transpose(0, 2, 1)
    return tensor


def rows_from_tensor(region: Region, tensor: np.ndarray, row_lanes: int, time_steps: int) -> dict[int, int]:
    """Row address -> packed row, for every row that the region's planes touch."""
    values = _positions_last(tensor).astype(np.int64)
    steps, positions, channels = values.shape
    if (positions, channels) != (region.positions, region.channels) or values.max(initial=0) >> region.planes:
        raise ValueError(f"{region.name}: tensor {values.shape} of {values.max()} is not of this region")
    weights = 1 << np.arange(steps, dtype=object)
    found: dict[int, int] = {}
    for plane in range(region.planes):
        words = ((values >> plane & 1).astype(object) * weights[:, None, None]).sum(axis=0)
        for position in range(positions):
            pixel = position % region.width % region.pixels if region.pixels else 0
            for channel in range(channels):
                row, lane = region.place(position, channel, plane, row_lanes)
                found[row] = found.get(row, 0) | int(words[position, channel]) << (lane * time_steps + pixel)
    return found


def tensor_from_rows(
    region: Region, rows: dict[int, int], row_lanes: int, time_steps: int, steps: int
) -> np.ndarray:
    """The tensor `[steps, positions, channels]` that the rows hold; a missing row counts as zero."""
    values = np.zeros((steps, region.positions, region.channels), dtype=np.int64)
    for plane in range(region.planes):
        for position in range(region.positions):
            for channel in range(region.channels):
                row, lane = region.place(position, channel, plane, row_lanes)
                word = rows.get(row, 0) >> (lane * time_steps)
                for step in range(steps):
                    values[step, position, channel] |= (word >> step & 1) << plane
    return values
