# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Banks of a single port: when words that are pooled are written, by the pool's definition."""

import numpy as np
import pytest

from ds2ta.gateware.cycles import pool_writes


@pytest.mark.parametrize("height", range(1, 7))
@pytest.mark.parametrize("width", range(1, 7))
def test_writes_of_a_pool(height, width):
    """The windows of 3 x 3 pixels, every second one, that a pixel belongs to are written one after the other; of
    four the first one last. Before the write of a window that has words already, but the pixel's first, lies its
    read."""
    seen = set()
    for y, x in np.ndindex(height, width):
        windows = [(v, u) for v, u in np.ndindex((height + 1) // 2, (width + 1) // 2)]
        windows = [(v, u) for v, u in windows if abs(2 * v - y) <= 1 and abs(2 * u - x) <= 1]
        if len(windows) == 4:
            windows.append(windows.pop(0))
        written, at = [], -1
        for window in windows:
            at += 1 + (window in seen and window != windows[0])
            written.append(at)
        seen |= set(windows)
        assert pool_writes(y, x, height, width) == written
