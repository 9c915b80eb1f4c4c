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


def input_rows(values: np.ndarray, bits: int, row_lanes: int) -> list[list[int]]:
    """Rows of one position of the input tensor, `values` [T, C], C <= 4: lane `(plane * Cp + c) mod g` of row
    `(plane * Cp + c) div g`, Cp the power of two next to C."""
    steps, channels = values.shape
    padded = {1: 1, 2: 2, 3: 4, 4: 4}[channels]
    rows = [[0] * row_lanes for _ in range(-(-bits * padded // row_lanes))]
    for plane in range(bits):
        for channel in range(channels):
            index = plane * padded + channel
            for t in range(steps):
                rows[index // row_lanes][index % row_lanes] |= (int(values[t, channel]) >> plane & 1) << t
    return rows
