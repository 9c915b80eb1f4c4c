# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into the SDRAM controller: each least time too short, pins dropped, and what only counts show."""

MUTANTS = [
    {
        "file": "hw/sdram.py",
        "old": "_Command.PRECHARGE, self.t_rp)\n            m.d.sync += [self.pins.address.eq(1 << 10), ",
        "new": "_Command.PRECHARGE, self.t_rp - 1)\n            m.d.sync += [self.pins.address.eq(1 << 10), ",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "t_rp one cycle short",
    },
    {
        "file": "hw/sdram.py",
        "old": "_Command.ACTIVATE, self.t_rcd)",
        "new": "_Command.ACTIVATE, self.t_rcd - 1)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "t_rcd one cycle short",
    },
    {
        "file": "hw/sdram.py",
        "old": "now.age >= self.t_ras",
        "new": "now.age >= self.t_ras - 2",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "t_ras short",
    },
    {
        "file": "hw/sdram.py",
        "old": "now.refreshes.eq(1)\n                self._command(m, now, _Command.REFRESH, self.t_rfc)",
        "new": "now.refreshes.eq(1)\n                self._command(m, now, _Command.REFRESH, self.t_rfc - 1)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "t_rfc one cycle short",
    },
    {
        "file": "hw/sdram.py",
        "old": "_Command.WRITE, self.t_wr + 1)",
        "new": "_Command.WRITE, self.t_wr - 1)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "t_wr short",
    },
    {
        "file": "hw/sdram.py",
        "old": "[self.pins.address.eq(1 << 10), now.open.eq(0)",
        "new": "[self.pins.address.eq(0), now.open.eq(0)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "A10 is missing: one bank alone is precharged",
    },
    {
        "file": "hw/sdram.py",
        "old": "self.pins.bank.eq(bank), now.open",
        "new": "self.pins.bank.eq(0), now.open",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "the bank's pins are dropped",
    },
    {
        "file": "hw/sdram.py",
        "old": "self.refresh - 1), now.due.eq(1)",
        "new": "self.refresh - 1), now.due.eq(0)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "nothing is ever refreshed",
    },
    {
        "file": "hw/sdram.py",
        "old": "& ~now.due & ~now.row_ends",
        "new": "& ~now.row_ends",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "a run that nobody takes starves the refresh",
    },
    {
        "file": "hw/sdram.py",
        "old": "mode = self.cas << 4",
        "new": "mode = 2 << 4",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "the chip answers a cycle early",
    },
    {
        "file": "hw/sdram.py",
        "old": "with m.If(~now.flying.any()):",
        "new": "if True:",
        "test": "tests/hw/test_sdram.py::test_bench[25 MHz]",
        "why": "a write meets the word of a read on the lines",
    },
    {
        "file": "hw/sdram.py",
        "old": "now.left.any() & now.room.any()",
        "new": "now.left.any()",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "words that nobody takes are lost",
    },
    {
        "file": "hw/sdram.py",
        "old": "now.row_ends.eq(column.all())",
        "new": "now.row_ends.eq(0)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "a run goes on at the beginning of its row",
    },
    {
        "file": "hw/sdram.py",
        "old": "with m.Elif(now.turn == 9):",
        "new": "with m.Elif(now.turn == 7):",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "the mode is set before eight refreshes",
    },
    {
        "file": "hw/sdram.py",
        "old": "init=owner.power_up)",
        "new": "init=owner.power_up // 2)",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "commands come before the chip's clock is stable",
    },
    {
        "file": "hw/sdram.py",
        "old": "(now.open & (now.due | now.row_ends | ~now.left.any()))",
        "new": "(now.open & (now.row_ends | ~now.left.any()))",
        "test": "tests/hw/test_sdram.py::test_bench[133 MHz]",
        "why": "a row that stands still is never closed for a refresh",
    },
]
