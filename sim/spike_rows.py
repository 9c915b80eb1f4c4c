# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Plain layout arithmetic of spike memories for benches: NumPy tensors to rows of spike words and back.

Written from the layout's definition only (position-major, bit planes outermost, then channel groups of g lanes).
A row is a list of g spike words; bit t of a word is time step t.
"""

import numpy as np

__all__ = ["input_rows", "plane_rows", "row_bits"]


def row_bits(row: list[int], time_steps: int) -> int:
    """A row as the packed integer of a memory word."""
    return sum(word << lane * time_steps for lane, word in enumerate(row))


def plane_rows(values: np.ndarray, planes: int, row_lanes: int) -> list[list[int]]:
    """Rows of one position, `values` [T, C] below `2**planes`: for each bit plane, for each group of g channels."""
    steps, channels = values.shape
    rows = []
    for plane in range(planes):
        for start in range(0, channels, row_lanes):
            row = [0] * row_lanes
            for channel in range(start, min(start + row_lanes, channels)):
                for t in range(steps):
                    row[channel - start] |= (int(values[t, channel]) >> plane & 1) << t
            rows.append(row)
    return rows


def input_rows(values: np.ndarray, bits: int, interleave: int, row_lanes: int) -> list[list[int]]:
    """Rows of one place of the input tensor, `values` [t, C]: lane `(plane * interleave + c) mod g` of row
    `(plane * interleave + c) div g` has bit `plane` of `values[t, c]` as its bit t. What t counts is the time
    step, or the pixel of an image's word."""
    rows = [[0] * row_lanes for _ in range(-(-bits * interleave // row_lanes))]
    for (t, channel), value in np.ndenumerate(values):
        for plane in range(bits):
            row, lane = divmod(plane * interleave + channel, row_lanes)
            rows[row][lane] |= (int(value) >> plane & 1) << t
    return rows
