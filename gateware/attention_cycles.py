# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Exact number of clock cycles of an attention phase, from the scores and tables alone."""

import numpy as np

__all__ = ["attention_cycles"]


def attention_cycles(
    scores: np.ndarray,
    tables: np.ndarray,
    *,
    head_rows: int,
    row_lanes: int,
    channels: int,
    fast: bool = False,
) -> int:
    """Cycles from the `start` pulse of an `AttentionUnit` to the first cycle with `done` high again (both counted
    from the cycle of the pulse, so that a phase that ends in the next cycle takes 1), if its output never waits.

    scores [T, heads, N, N] are S, `tables` [heads, head_dim] the denoiser tables; `channels` is B; `fast`: that of
    the unit, a score waits beside the score unit.

    A recurrence over pairs (query, key) follows the four stages that can wait for each other: the fetch of rows,
    the score unit, the denoiser and the reading of the lists. All times are cycle numbers, `start` is cycle 0."""
    scores, tables = np.asarray(scores), np.asarray(tables)
    T, heads, N, _ = scores.shape
    head_dim = head_rows * row_lanes
    chunks = head_rows * (row_lanes // channels)  # cycles of a pair in the score unit
    fetch = head_rows + (2 if head_rows == 1 else 1)  # from the first row of Q to the first row of K at the memory
    start_delay = max(0, 3 - T)  # a list's last end must be in the memory before it is read

    summed = 0  # cycle in which the last chunk of the pair before is added up
    counted = (
        0  # cycle in which it entered the counting stage; the first row of Q is issued in it, or after `start`
    )
    taken = 0  # cycle in which the denoiser took the pair before
    left = 0  # cycle in which it left the score unit
    lists_free = 0  # cycle from which the lists can be swapped
    free = 1  # cycle from which the denoiser can take a pair; of a head: from which it searches the floor
    finish = 0
    for head in range(heads):
        table = tables[head]
        kept_from = np.flatnonzero(table[: head_dim - 1])
        floor = int(kept_from[0]) + 1 if len(kept_from) else head_dim
        free += min(floor + 1, head_dim)
        looked_up = np.maximum((scores[:, head] >= floor).sum(axis=0), 1).tolist()
        entries = (np.concatenate([[0], table])[scores[:, head]] != 0).sum(axis=(0, 2)).tolist()
        for query in range(N):
            first_row = counted if finish or query or head else 1
            entered = max(first_row + fetch, summed)
            begun = max(entered + 1, left)
            for pair in looked_up[query]:
                summed = begun + chunks - 1
                counted = summed - 1 if chunks > 1 else entered
                left = max(summed + 1, taken + 1)
                taken = max(left, free)
                if not fast:
                    left = taken
                free = taken + pair
                entered, begun = summed, left
            swap = max(free + T, lists_free)
            free = swap
            reading = head_rows * (entries[query] + T)
            lists_free = swap + start_delay + reading + 1
            finish = swap + start_delay + reading
        free += 1  # the next head's floor is searched from the cycle after the swap
    return finish + 4
