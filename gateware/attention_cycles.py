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
    waits: bool = False,
) -> int:
    """Cycles from the `start` pulse of an `AttentionUnit` to the first cycle with `done` high again (both counted
    from the cycle of the pulse, so that a phase that ends in the next cycle takes 1), if its output never waits.

    scores [T, heads, N, N] are S, `tables` [heads, head_dim] the denoiser tables; `channels` is B; `fast`: that of
    the unit, a score waits beside the score unit; `waits`: no row of Q or K is fetched in a cycle in which a row
    comes out, which is written to their memory at once.

    A recurrence over the rows of pairs (query, key) follows the four stages that can wait for each other: the fetch
    of rows, the score unit, the denoiser and the reading of the lists. All times are cycle numbers, `start` is
    cycle 0."""
    scores, tables = np.asarray(scores), np.asarray(tables)
    T, heads, N, _ = scores.shape
    head_dim = head_rows * row_lanes
    chunks = row_lanes // channels  # cycles of a row in the score unit
    start_delay = max(0, (4 if fast else 3) - T)  # a list's last end must be in the memory before it is read

    written: set[int] = set()  # cycles in which a row comes out

    def fetch(cycle: int) -> int:
        """When a row can be fetched, from `cycle` on."""
        while waits and cycle in written:
            cycle += 1
        return cycle

    summed = 0  # cycle in which the last chunk of the row before is added up
    accepted = 1  # cycle in which the score unit took it; from then on the next row is fetched
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
            fetched = accepted - 1
            for _ in range(head_rows):  # of Q
                fetched = fetch(fetched + 1)
            accepted = fetched + (2 if head_rows == 1 else 1)  # the query memory does not read what it is given
            for pair in looked_up[query]:
                for row in range(head_rows):
                    # a chunk is counted when the one before is added up, and added up a cycle later
                    counted = max(fetch(accepted) + 1, summed)
                    added = counted + 1 if row else max(counted + 1, left)
                    summed = added + chunks - 1
                    accepted = counted if chunks == 1 else summed - 1
                left = max(summed + 1, taken + 1)
                taken = max(left, free)
                if not fast:
                    left = taken
                free = taken + pair
            swap = max(free + T, lists_free)
            free = swap
            finish = swap + start_delay
            for _ in range(head_rows):
                finish += entries[query] + T
                written.add(finish + 3)
            lists_free = finish + 1
        free += 1  # the next head's floor is searched from the cycle after the swap
    return finish + 4
