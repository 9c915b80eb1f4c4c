"""The attention cycle model on cases counted by hand; sim/test_attention.py compares it with the RTL everywhere."""

import numpy as np
import pytest

from ds2ta.gateware.attention_cycles import attention_cycles

ROW = {"row_lanes": 8, "channels": 8}


def test_one_empty_pair():
    """Q is fetched in cycle 1, K in 3; the empty table is searched in 1..8, the pair taken in 9; in 10 it is empty,
    in 11..14 four lists are ended, swapped in 14, read in 15..18; the row is out in 21 and done is high in 22."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.zeros((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 22


def test_early_floor():
    """The table's first entry is found in cycle 2, so the pair is taken when it is there, in 6, not in 9."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.ones((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 19


@pytest.mark.parametrize(("steps", "cycles"), [(1, 15), (2, 16), (3, 17), (4, 19), (5, 21)])
def test_time_steps(steps, cycles):
    """A step more is an end more to write and one more to read. One and two steps wait, two cycles and one, until
    the last end is in the memory."""
    scores, tables = np.zeros((steps, 1, 1, 1), int), np.ones((1, 8), int)
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == cycles


def test_entries_are_looked_up_and_read():
    """Two scores on the table cost one cycle more than one to look up, and two cycles to read."""
    scores, tables = np.zeros((4, 1, 1, 1), int), np.ones((1, 8), int)
    scores[1:3] = 5
    assert attention_cycles(scores, tables, head_rows=1, **ROW) == 19 + 1 + 2


@pytest.mark.parametrize(("channels", "chunks"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_serial_scores_bound_long_phases(channels, chunks):
    """Empty maps of two steps: a query costs its fetch and tokens * rows * chunks cycles, the rest is hidden."""
    tables = np.ones((1, 16), int)
    short, long = (
        attention_cycles(np.zeros((2, 1, n, n), int), tables, head_rows=2, row_lanes=8, channels=channels)
        for n in (20, 21)
    )
    assert long - short == 21 * (21 * 2 * chunks + 2) - 20 * (20 * 2 * chunks + 2)
