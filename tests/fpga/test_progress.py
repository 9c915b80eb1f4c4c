# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How a build is shown: a fake tool writes an excerpt of a log line by line; what is told of it is compared."""

import io
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from rich.console import Console

from ds2ta.errors import Ds2taError
from ds2ta.following import follow
from ds2ta.fpga.progress import BuildLine
from ds2ta.fpga.tool_log import PHASES, Watch

YOSYS = """\
1. Executing RTLIL frontend.
2. Executing SYNTH_ICE40 pass.
2.1. Executing HIERARCHY pass (managing design hierarchy).
Top module:  \\top
2.31.7. Executing OPT_EXPR pass (perform const folding).
"""
NEXTPNR = """\
Info: Packing constants..
Info: Creating initial analytic placement for 4007 cells, random placement wirelen = 130106.
Info:     at initial placer iter 0, wirelen = 478
Info:     at iteration #1, type ALL: wirelen solved = 461, spread = 39384, legal = 59188; time = 0.18s
Info:     at iteration #2, type ALL: wirelen solved = 1940, spread = 30529, legal = 52420; time = 0.75s
Info: Running simulated annealing placer for refinement.
Info:   at iteration #5: temp = 0.000000, timing cost = 16, wirelen = 43700
Info: Routing globals...
Info: Routing..
Info: Routing 12845 arcs.
Info:            |   (re-)routed arcs  |   delta    | remaining|       time spent     |
Info:    IterCnt |  w/ripup   wo/ripup |  w/r  wo/r |      arcs| batch(sec) total(sec)|
Info:       1000 |      133        867 |  133   867 |     11978|       0.68       0.68|
Info: Routing complete.
"""
TOLD = [
    ("placement", ""),
    ("placement", "4007 cells to place"),
    ("placement", "first guess 0, wire length 478"),
    ("placement", "iteration 1, wire length 59188"),
    ("placement", "iteration 2, wire length 52420"),
    ("placement", "refined, iteration 5, wire length 43700"),
    ("routing", ""),
    ("routing", "12845 arcs to go"),
    ("routing", "11978 arcs to go"),
    ("routing", "complete, timing analysis"),
]
EXPECTED = {"synthesis": 40.0, "placement": 600.0, "routing": 1200.0, "packing": 5.0}


class Clock:
    """Ten seconds each time that a line of a log has come."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tool(text: str, to: str, status: int = 0) -> list[str]:
    """A tool that writes `text` to a file by lines, with a pause in the middle of one."""
    code = f"""
        import sys, time
        with open({to!r}, "w") if {to!r} else sys.stdout as log:
            for number, line in enumerate({text!r}.splitlines(True)):
                log.write(line[:5])
                log.flush()
                time.sleep(0.3 if number == 3 else 0)
                log.write(line[5:])
                log.flush()
        print("said", file=sys.stderr)
        sys.exit({status})
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


@pytest.mark.parametrize("to", ["", "log"])
def test_lines_come_whole_and_while_the_tool_runs(to, tmp_path):
    lines = []
    output, log = tmp_path / "out", tmp_path / to if to else None
    status = follow(tool(NEXTPNR, to, 3), folder=tmp_path, output=output, line=lines.append, log=log)
    assert status == 3
    assert lines[:14] == NEXTPNR.splitlines()
    assert output.read_text() == ("" if to else NEXTPNR) + "said\n"


def test_a_line_without_an_end_and_an_old_log(tmp_path):
    lines = []
    (tmp_path / "log").write_text("of an older run\n")
    follow(tool("a\nb", "log"), folder=tmp_path, output=tmp_path / "out", line=lines.append, log=tmp_path / "log")
    assert lines == ["a", "b"]


def test_a_silent_tool_is_watched(tmp_path):
    told = []
    silent = [sys.executable, "-c", "import time; time.sleep(1)"]
    watch = Watch(lambda *what: told.append(what[:2]))
    watch.phase("routing")
    assert follow(silent, folder=tmp_path, output=tmp_path / "out", line=watch.nextpnr, tick=watch.tell) == 0
    assert told[0] == ("routing", "")
    assert len(told) > 3


def test_an_interrupt_ends_the_tool(tmp_path):
    class StopError(Exception):
        pass

    def stop(_):
        raise StopError

    forever = [sys.executable, "-c", "import time; print('x', flush=True); time.sleep(1000)"]
    with pytest.raises(StopError):
        follow(forever, folder=tmp_path, output=tmp_path / "out", line=stop)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_ends_its_tool(number, tmp_path):
    """Place and route would go on for an hour otherwise."""
    tool = "import os, time; open('pid', 'w').write(str(os.getpid())); print('x', flush=True); time.sleep(1000)"
    code = (
        "import sys; from pathlib import Path; from ds2ta.commands import main as cli; "
        f"from ds2ta.following import follow; here = Path.cwd(); tool = [sys.executable, '-c', {tool!r}]; "
        "cli.app = lambda: follow(tool, folder=here, output=here / 'out', line=print); "
        "cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        try:
            assert command.stdout.read(1) == b"x"
            command.send_signal(number)
            assert command.wait(60) != 0
        finally:
            command.kill()
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_tool_that_the_system_kills_is_one_line(tmp_path):
    """For want of memory, most likely: nothing of what the tool wrote says so."""
    dies = [sys.executable, "-c", "import os, signal; print('x'); os.kill(os.getpid(), signal.SIGKILL)"]
    with pytest.raises(Ds2taError, match=r"/out: the tool that wrote this was killed, .* fewer lanes$"):
        follow(dies, folder=tmp_path, output=tmp_path / "out", line=lambda _: None)


def watched(tmp_path, show, clock, expected=None) -> Watch:
    """A whole build with fake tools."""
    watch = Watch(show, expected=expected, clock=clock)

    def each(line):
        def told(text):
            clock.now += 10
            line(text)

        return told

    def run(text, line):
        follow(tool(text, "log"), folder=tmp_path, output=tmp_path / "out", line=each(line), log=tmp_path / "log")
        watch.end()

    watch.phase("synthesis")
    run(YOSYS, watch.yosys)
    watch.phase("placement")
    run(NEXTPNR, watch.nextpnr)
    watch.phase("packing")
    watch.end()
    return watch


def test_what_is_told(tmp_path):
    told = []
    watch = watched(tmp_path, lambda *what: told.append(what), Clock(), EXPECTED)
    assert [what[:2] for what in told if what[0] in ("placement", "routing")] == TOLD
    assert [what[1] for what in told if what[0] == "synthesis"] == [
        "",
        "yosys pass 1 RTLIL",
        "yosys pass 2 SYNTH_ICE40",
        "yosys pass 2.1 HIERARCHY",
        "yosys pass 2.31.7 OPT_EXPR",
    ]
    assert watch.seconds == {"synthesis": 50, "placement": 90, "routing": 50, "packing": 0}
    assert tuple(watch.seconds) == PHASES
    left = {what[:2]: what[3] for what in told}
    assert left["synthesis", ""] == 40 + 600 + 1200 + 5
    assert left["synthesis", "yosys pass 2.31.7 OPT_EXPR"] == 600 + 1200 + 5, "later than expected is no less"
    assert left["placement", "4007 cells to place"] == 600 - 20 + 1200 + 5
    assert left["routing", "11978 arcs to go"] == 1200 - 40 + 5
    assert left["packing", ""] == 5


def test_the_other_router():
    told = []
    watch = Watch(lambda *what: told.append(what[:2]))
    watch.phase("placement")
    watch.nextpnr("Info: Running router2...")
    watch.nextpnr("Info:     iter=3 wires=123456 overused=1234 overuse=2345 tmgfail=0 archfail=NA")
    assert told == [("placement", ""), ("routing", ""), ("routing", "iteration 3, 1234 wires to go")]


def test_plain_lines_are_few(tmp_path):
    clock, file = Clock(), io.StringIO()
    with BuildLine("icebreaker", Console(file=file, width=40), clock=clock) as line:
        line.say("synthesis")
        watched(tmp_path, line, clock, EXPECTED)
    assert file.getvalue().splitlines() == [
        "icebreaker: synthesis",
        "icebreaker: placement: 4007 cells to place (0:20, about 29:45 left)",
        "icebreaker: routing (0:00, about 20:05 left)",
    ]


def test_without_a_build_on_record_no_estimate(tmp_path):
    clock, file = Clock(), io.StringIO()
    with BuildLine("x", Console(file=file), clock=clock) as line:
        watched(tmp_path, line, clock)
    assert file.getvalue().splitlines() == [
        "x: placement: 4007 cells to place (0:20)",
        "x: routing (0:00)",
    ]


def test_a_terminal_has_one_line(tmp_path):
    clock, file = Clock(), io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    seen = []

    def show(*what):
        line(*what)
        line._live.refresh()
        seen.append(line._render().plain)

    with BuildLine("icebreaker", console, clock=clock) as line:
        watched(tmp_path, show, clock, EXPECTED)
        clock.now += 3
        assert line._render().plain == "icebreaker: packing (0:03, about 0:02 left)", "time goes on in silence"
    assert "icebreaker: routing: 11978 arcs to go (0:40, about 19:25 left)" in seen
    assert all(text in file.getvalue() for text in seen)
    assert file.getvalue().count("\n") == 1, "the line is renewed, not followed; it goes at the end"
