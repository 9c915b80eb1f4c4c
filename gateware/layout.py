# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Where tensors lie in the spike banks, and the way between tensors and rows.

A row holds the spike words of `row_lanes` channels of one position; word bit t is time step t. Positions follow
each other every `pitch` rows, inside of a position the channel groups. Bit planes of integer activations are like
tensors of their own, `plane_pitch` rows apart, so that no rows are kept for planes that are still empty. The input
tensor alone, with fewer channels than a row has lanes, interleaves channels and bit planes in one row (`interleave`
channels a plane); and a word of an image, which is the same at all steps, holds neighbouring pixels of a line
instead, beginning with the one in front of it (`pixels` of them, in lines of `width`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    groups: int  # rows of one plane of a position
    pitch: int  # rows from one position to the next
    plane_pitch: int = 0  # rows from one plane to the next (where planes do not share rows)
    interleave: int = 0  # channels a plane when planes share a row (input tensor), else 0
    pixels: int = 0  # pixels a word (input tensor of an image), else 0
    width: int = 0  # pixels of a line where words hold pixels

    @property
    def words(self) -> int:
        """Places every `pitch` rows: positions, or words of pixels."""
        if not self.pixels:
            return self.positions
        return self.positions // self.width * self.line_words

    @property
    def line_words(self) -> int:
        """Words of a line of pixels."""
        return self.width // self.pixels + 1

    @property
    def rows(self) -> int:
        return self.words * self.pitch + (0 if self.interleave else (self.planes - 1) * self.plane_pitch)

    def place(self, position: int, channel: int, plane: int, row_lanes: int) -> tuple[int, int]:
        """Row and lane of the spike word of one position; where words hold pixels, of the word that holds it."""
        if self.pixels:
            y, x = divmod(position, self.width)
            position = y * self.line_words + (x + 1) // self.pixels
        start = self.base + position * self.pitch
        if self.interleave:
            slot = plane * self.interleave + channel
            return start + slot // row_lanes, slot % row_lanes
        return start + plane * self.plane_pitch + channel // row_lanes, channel % row_lanes


@dataclass(frozen=True)
class _Request:
    """Rows in some banks from one pass to another, at a given row if `base` is not None."""

    banks: tuple[int, ...]
    rows: int
    birth: int
    death: int
    base: int | None

    def meets(self, other: "_Request") -> bool:
        """Both are alive in one bank at one time."""
        return bool(set(self.banks) & set(other.banks)) and self.birth <= other.death and other.birth <= self.death


class Allocator:
    """Places tensors. A region is alive from the pass that writes it to the last that reads it.

    Where all tensors lie is decided together, so they are asked for twice: an allocator without a plan gives row 0
    to all, and its `plan` is what the next one, asked for the same in the same order, hands out."""

    def __init__(self, plan: Sequence[int] | None = None) -> None:
        self._plan = plan
        self._requests: list[_Request] = []

    def place(self, banks: tuple[int, ...], rows: int, birth: int, death: int, base: int | None = None) -> int:
        """The first row of a region."""
        self._requests.append(_Request(banks, rows, birth, death, base))
        return self._plan[len(self._requests) - 1] if self._plan else base or 0

    def plan(self, bank_a_rows: int = 0) -> list[int]:
        """First rows for all requests: first fit, tried in a few orders, of which that with the fewest rows
        wins, or, where bank A has `bank_a_rows`, that which exceeds them least."""
        orders = (
            lambda request: 0,  # as they come
            lambda request: -request.rows,
            lambda request: (request.death - request.birth, -request.rows),
            lambda request: -request.rows * (request.death - request.birth + 1),
        )
        plans = [
            self._fit(sorted(self._requests, key=lambda item: (item.base is None, order(item)))) for order in orders
        ]
        beyond = [max(0, self._top(plan, 0) - bank_a_rows) if bank_a_rows else 0 for plan in plans]
        return min(zip(beyond, plans, strict=True), key=lambda found: (found[0], self._top(found[1])))[1]

    def _fit(self, ordered: Sequence[_Request]) -> list[int]:
        placed: dict[int, int] = {}  # by the request's identity, as two may be equal
        for request in ordered:
            busy = sorted(
                (placed[id(other)], placed[id(other)] + other.rows)
                for other in ordered
                if id(other) in placed and request.meets(other)
            )
            base = request.base or 0
            for start, end in busy:
                if base + request.rows <= start:
                    break
                base = max(base, end)
            if request.base not in (None, base):
                raise AssertionError("a fixed region overlaps")
            placed[id(request)] = base
        return [placed[id(request)] for request in self._requests]

    def _top(self, plan: Sequence[int], *banks: int) -> int:
        among = set(banks or (0, 1))
        return max(
            base + request.rows
            for base, request in zip(plan, self._requests, strict=True)
            if among & set(request.banks)
        )

    def rows(self, *banks: int) -> int:
        """Rows that some banks, or both, need for what was placed by the plan."""
        assert self._plan is not None
        return self._top(self._plan, *banks)


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
            pixel = (position % region.width + 1) % region.pixels if region.pixels else 0
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
