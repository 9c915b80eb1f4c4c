# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What yosys and nextpnr are at, read from their logs line by line, and the seconds that each phase took."""

import re
import time
from collections.abc import Callable

__all__ = ["PHASES", "Watch"]

#: Phases of a build, in order; the tools' log tells when placement ends and routing begins.
PHASES = ("synthesis", "placement", "routing", "packing")

# what a line says -> what is told of it
_YOSYS = re.compile(r"^(?P<number>\d+(?:\.\d+)*)\. Executing (?P<name>\S+)")
_NEXTPNR: tuple[tuple[re.Pattern, str], ...] = (
    (re.compile(r"^Info: Creating initial analytic placement for (?P<cells>\d+) cells"), "{cells} cells to place"),
    (
        re.compile(r"^Info: +at initial placer iter (?P<turn>\d+), wirelen = (?P<length>\d+)"),
        "first guess {turn}, wire length {length}",
    ),
    (
        re.compile(r"^Info: +at iteration #(?P<turn>\d+), type \S+: .* legal = (?P<length>\d+)"),
        "iteration {turn}, wire length {length}",
    ),
    (
        re.compile(r"^Info: +at iteration #(?P<turn>\d+): temp = .* wirelen = (?P<length>\d+)"),
        "refined, iteration {turn}, wire length {length}",
    ),
    (re.compile(r"^Info: Routing (?P<arcs>\d+) arcs"), "{arcs} arcs to go"),
    # iteration | with and without ripup | the same since the last line | remaining arcs | seconds
    (re.compile(r"^Info: +\d+ \|[ \d]+\|[ \d]+\| *(?P<arcs>\d+)\|"), "{arcs} arcs to go"),
    (
        re.compile(r"^Info: +iter=(?P<turn>\d+) wires=\d+ overused=(?P<wires>\d+)"),
        "iteration {turn}, {wires} wires to go",
    ),
)
_ROUTES = re.compile(r"^Info: (Routing\.\.|Running router)")
_ROUTED = re.compile(r"^Info: Routing complete")


class Watch:
    """Told of phases and of lines of logs, it tells `show` what to print: (phase, detail, seconds in the phase,
    seconds left or None). `expected`: seconds of each phase in an earlier build."""

    def __init__(
        self,
        show: Callable[[str, str, float, float | None], None],
        *,
        expected: dict[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._show, self._expected, self._clock = show, expected or {}, clock
        self._phase, self._detail, self._since = "", "", 0.0
        self.seconds: dict[str, float] = {}

    def phase(self, name: str) -> None:
        """A phase begins; the one before, if any, ends."""
        self.end()
        self._phase, self._detail, self._since = name, "", self._clock()
        self.tell()

    def end(self) -> None:
        """The phase at hand ends."""
        if self._phase:
            self.seconds[self._phase] = self._clock() - self._since
            self._phase = ""

    def tell(self) -> None:
        """Show how things stand."""
        if self._phase:
            self._show(self._phase, self._detail, self._clock() - self._since, self.left())

    def left(self) -> float | None:
        """Seconds to the end, by the earlier build, if it has told its own."""
        if self._phase not in self._expected:
            return None
        behind = PHASES[PHASES.index(self._phase) + 1 :]
        here = self._expected[self._phase] - (self._clock() - self._since)
        return max(here, 0.0) + sum(self._expected.get(name, 0.0) for name in behind)

    def yosys(self, line: str) -> None:
        """A line of yosys: its passes are numbered, those inside of others with them."""
        if found := _YOSYS.match(line):
            self._say("yosys pass {number} {name}".format(**found.groupdict()))

    def nextpnr(self, line: str) -> None:
        """A line of nextpnr."""
        if _ROUTES.match(line) and self._phase != "routing":
            self.phase("routing")
        elif _ROUTED.match(line):
            self._say("complete, timing analysis")
        for pattern, text in _NEXTPNR:
            if found := pattern.match(line):
                self._say(text.format(**found.groupdict()))

    def _say(self, detail: str) -> None:
        if detail != self._detail:
            self._detail = detail
            self.tell()
