# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""When the rows of a weight ring arrive: the part of the cycle model that an external memory takes.

It follows the documented behaviour of `hw/ring.py` alone, and a memory whose timing is stated, not looked at.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ds2ta.gateware.machine import Machine

__all__ = ["PERFECT", "SDRAM", "MemoryTiming", "WeightFeed"]


@dataclass(frozen=True)
class MemoryTiming:
    """A memory that offers its words in order, one a cycle but for two things: behind each page of `page_words`
    words (0: none) come `page_gap` cycles without one, and no word is offered anew in the first `busy` of each
    `period` cycles. A word that is offered stays until it is taken. After a reset it begins with the first one."""

    page_words: int = 0
    page_gap: int = 0
    period: int = 1
    busy: int = 0

    @property
    def perfect(self) -> bool:
        """A word each cycle."""
        return not (self.page_words and self.page_gap) and not self.busy

    def offered(self, cycle: int) -> int:
        """The first cycle from `cycle` on in which a word is offered."""
        late = cycle % self.period
        return cycle if late >= self.busy else cycle + self.busy - late

    def longest(self, words: int) -> int:
        """No fewer cycles than so many words take."""
        pages = -(-words // self.page_words) if self.page_words else 0
        cycles = words + pages * self.page_gap
        return self.period * (-(-cycles // (self.period - self.busy)) + 1)


#: A word each cycle.
PERFECT = MemoryTiming()
#: About that of a 16-bit SDR SDRAM at a core's clock of 100 MHz: rows of 512 words, precharge and activation in
#: between, a refresh each 7.8 us.
SDRAM = MemoryTiming(page_words=512, page_gap=8, period=780, busy=7)


class WeightFeed:
    """The ring of a machine and the memory before it, through one sample. At its start the machine has rested until
    the ring took no more. `began`: number of the sample's first cycle; all cycles are counted so.

    `rows_there` and `holds` may be asked for in the order of time alone, after all `free` before."""

    def __init__(self, machine: Machine, tiles: Sequence[int], timing: MemoryTiming, began: int):
        self._timing = timing
        self._words = machine.row_words
        self._total, self._ring = sum(tiles), machine.ring_rows
        first = min(self._total, self._ring)
        self._written = [began - 3] * first  # the cycle in which each row is written
        self._holds: set[int] = set()
        self._frees: deque[tuple[int, int]] = deque()  # cycle, rows that are free behind it
        self._freed = 0
        self._taken = first * self._words  # words so far
        # the cycle from which the memory may offer the next word, which waits, if the ring is full
        self._next = began - timing.page_gap - timing.period

    def free(self, cycle: int, rows: int) -> None:
        """A tile is freed in `cycle`."""
        self._freed += rows
        self._frees.append((cycle, self._freed))

    def rows_there(self, count: int) -> int:
        """The cycle in which the last of the sample's first `count` rows is written."""
        while len(self._written) < count:
            if not self._row():
                raise AssertionError("a tile waits for rows that have no room")
        return self._written[count - 1]

    def holds(self, cycle: int) -> bool:
        """A row is written in this cycle."""
        while self._next <= cycle and self._row():
            pass
        return cycle in self._holds

    def _row(self) -> bool:
        """Take the words of a row; False where there is none, or no room that is known of."""
        row = len(self._written)
        if row == self._total:
            return False
        begin = self._timing.offered(self._next)
        if row >= self._ring:  # all but `ring` rows before it must be free
            while self._frees and self._frees[0][1] <= row - self._ring:
                self._frees.popleft()
            if not self._frees:
                return False
            begin = max(begin, self._frees[0][0] + 1)
        last = self._words_from(begin)
        self._written.append(last + 1)
        self._holds.add(last + 1)
        return True

    def _words_from(self, begin: int) -> int:
        """Take a row's words, the first in cycle `begin`; the cycle of the last."""
        timing = self._timing
        if timing.perfect:
            self._next = begin + self._words
            return self._next - 1
        at = begin
        for number in range(self._words):
            at = timing.offered(self._next) if number else begin
            self._taken += 1
            page_ends = timing.page_words and self._taken % timing.page_words == 0
            self._next = at + 1 + (timing.page_gap if page_ends else 0)
        return at
