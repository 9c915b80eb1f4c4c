# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Progress bars for what a `Board` tells its callback, and the line that shows how a build stands."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["Bars", "BuildLine"]


class Bars:
    """A context manager; called with (what is done, how much of it, of how much) it moves the bar of that name.
    The bars vanish at the end; nothing is shown where `console` is no terminal, or when `hidden`."""

    def __init__(self, console: Console, *, hidden: bool = False):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, console=console, transient=True, disable=hidden or not console.is_terminal
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total)


class BuildLine:
    """A context manager that shows how a build stands: on a terminal one line that renews itself and vanishes at
    the end, elsewhere a plain line when none has come for a minute."""

    every = 60.0  # seconds between plain lines

    def __init__(self, board: str, console: Console, *, clock: Callable[[], float] = time.monotonic):
        self._board, self._console, self._clock = board, console, clock
        self._last = clock()
        self._shown: tuple[str, str, float, float | None] | None = None
        self._at = 0.0
        self._live = Live(
            console=console,
            transient=True,
            refresh_per_second=2,
            get_renderable=self._render,
            redirect_stderr=False,
        )

    def __enter__(self) -> "BuildLine":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._last = self._clock()
        self._console.print(f"{self._board}: {text}", markup=False, highlight=False, soft_wrap=True)

    def __call__(self, phase: str, detail: str, spent: float, left: float | None) -> None:
        self._shown, self._at = (phase, detail, spent, left), self._clock()
        if not self._console.is_terminal and self._at - self._last >= self.every:
            self.say(_standing(*self._shown))

    def _render(self) -> Text:
        """The line as it is now: time goes on where the tool is silent."""
        if self._shown is None:
            return Text("")
        phase, detail, spent, left = self._shown
        waited = self._clock() - self._at
        left = None if left is None else max(0.0, left - waited)
        text = f"{self._board}: {_standing(phase, detail, spent + waited, left)}"
        return Text(text, no_wrap=True, overflow="ellipsis")


def _standing(phase: str, detail: str, spent: float, left: float | None) -> str:
    what = f"{phase}: {detail}" if detail else phase
    ahead = "" if left is None else f", about {_minutes(left)} left"
    return f"{what} ({_minutes(spent)}{ahead})"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
