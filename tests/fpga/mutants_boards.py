# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs of clocks, builds, reports and flashing (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "fpga/clocks.py",
        "old": "m.d.sync += [self.reset.eq(1), count.eq(0)]",
        "new": "m.d.sync += self.reset.eq(1)",
        "test": "tests/fpga/test_clocks.py::test_a_lost_lock_resets_again",
        "why": "no wait after the second lock",
    },
    {
        "file": "fpga/clocks.py",
        "old": "1 + sum(self.detector_hz >= bound",
        "new": "sum(self.detector_hz >= bound",
        "test": "tests/fpga/test_clocks.py::test_ice40_settings_are_those_of_icepll",
        "why": "the loop filter of another range",
    },
    {
        "file": "fpga/build.py",
        "old": "        raise TimingError(_miss(report))",
        "new": "        pass",
        "test": "tests/fpga/test_board_build.py::test_a_missed_clock_fails_the_build",
        "why": "a missed clock passes",
    },
    {
        "file": "fpga/build.py",
        "old": 'report["digest"] == wanted.digest and report["sha256"]',
        "new": 'report["digest"] == wanted.digest or report["sha256"]',
        "test": "tests/fpga/test_board_build.py::test_a_build",
        "why": "a damaged bitstream counts as built",
    },
    {
        "file": "fpga/report.py",
        "old": 'achieved >= hz and all(item["achieved"] >= item["constraint"] for item in clocks.values())',
        "new": "achieved >= hz",
        "test": "tests/fpga/test_board_report.py::test_every_clock_must_hold",
        "why": "clocks besides the core's are not looked at",
    },
    {
        "file": "fpga/flash.py",
        "old": "device not found|no dfu compatible device",
        "new": "device not found",
        "test": "tests/fpga/test_flash.py::test_failures_are_one_line",
        "why": "an absent OrangeCrab is not called absent",
    },
    {
        "file": "ds2ta/following.py",
        "old": "(rest + file.read()).split",
        "new": "file.read().split",
        "test": "tests/fpga/test_progress.py::test_lines_come_whole_and_while_the_tool_runs[log]",
        "why": "a line that comes in two parts is told as its end",
    },
    {
        "file": "fpga/tool_log.py",
        "old": "max(here, 0.0) + sum",
        "new": "here + sum",
        "test": "tests/fpga/test_progress.py::test_what_is_told",
        "why": "a phase that takes longer than on record shortens those behind it",
    },
    {
        "file": "fpga/progress.py",
        "old": "self._at - self._last >= self.every",
        "new": "True",
        "test": "tests/fpga/test_progress.py::test_plain_lines_are_few",
        "why": "a log of thousands of lines",
    },
]
