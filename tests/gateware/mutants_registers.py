# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs that the benches of Core and RegisterFile must find (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "gateware/core.py",
        "old": "now.shut.eq(now.full | reset.forget)",
        "new": "now.shut.eq(now.full)",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a byte is taken in the cycle of a core_reset, and lost",
    },
    {
        "file": "gateware/core.py",
        "old": "result.payload.last & ~reset.forget)",
        "new": "result.payload.last)",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a result that ends in the cycle of a core_reset is counted",
    },
    {
        "file": "gateware/core.py",
        "old": "ResetSignal() | (reset.resets & checker.quiet)",
        "new": "ResetSignal() | reset.resets",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a core_reset spoils the row that the checker is reading",
    },
    {
        "file": "gateware/core.py",
        "old": "reset.recovers.eq(ResetSignal() | reset.resets)",
        "new": "reset.recovers.eq(reset.resets)",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a result outlasts a reset of one cycle",
    },
    {
        "file": "gateware/core.py",
        "old": "now.waits & (accelerator.busy | free)",
        "new": "now.waits",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a sample begins in the middle of a row that is checked",
    },
    {
        "file": "gateware/core.py",
        "old": "now.waits.eq(self.sample.valid & ~now.shut)",
        "new": "now.waits.eq(self.sample.valid)",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "bytes that wait for a result stop the check of the memories",
    },
    {
        "file": "gateware/core.py",
        "old": "self.sample.ready.eq(accelerator.sample.ready & ~now.shut)",
        "new": "self.sample.ready.eq(accelerator.sample.ready)",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a byte beyond the sample is swallowed",
    },
    {
        "file": "gateware/core.py",
        "old": "~self._checker.good & (accelerator.busy | self.error)",
        "new": "~self._checker.good & accelerator.busy",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a result stays trusted when a memory turns out bad",
    },
    {
        "file": "gateware/core.py",
        "old": "~self._checker.good & (accelerator.busy | self.error)",
        "new": "~self._checker.good & self.error",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a result is trusted whose memories were not checked yet",
    },
    {
        "file": "gateware/core.py",
        "old": "restart | self._file.changed | self._file.command[2]",
        "new": "self._file.changed | self._file.command[2]",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a loaded word leaves memory_good",
    },
    {
        "file": "gateware/core.py",
        "old": "word.row < rows[word.store]",
        "new": "word.row <= rows[word.store]",
        "test": "tests/gateware/test_core.py::test_loaded",
        "why": "a row too many",
    },
    {
        "file": "gateware/register_file.py",
        "old": "with m.Elif(~keep.enable):",
        "new": "with m.Else():",
        "test": "tests/gateware/test_register_file.py::test_bench[2-8-32-32-6-1-300]",
        "why": "a write is lost to a logit in the same cycle",
    },
    {
        "file": "gateware/register_file.py",
        "old": "| self.events) & ~erased",
        "new": "| self.events)",
        "test": "tests/gateware/test_register_file.py::test_bench[2-8-32-32-6-1-300]",
        "why": "an event before a clear is counted after it",
    },
    {
        "file": "gateware/register_file.py",
        "old": "Mux(turn.puts[1], found, place)",
        "new": "place",
        "test": "tests/gateware/test_register_file.py::test_bench[2-8-32-32-6-1-300]",
        "why": "the CRC found overwrites the one expected",
    },
    {
        "file": "gateware/register_file.py",
        "old": "(address[:low] < count)",
        "new": "(address[:low] <= count)",
        "test": "tests/gateware/test_register_file.py::test_bench[10-60-13-24-12-11-65538]",
        "why": "a logit too many",
    },
]
