# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs that the bench and the proofs of the AXI shell must find (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "gateware/axi/lite.py",
        "old": "answer_write(word.strb.any())",
        "new": "answer_write(0)",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "a partial write is told to have worked",
    },
    {
        "file": "gateware/axi/lite.py",
        "old": "can_write.eq(aw_full & w_full & ~self.b.valid)",
        "new": "can_write.eq(aw_full & w_full & ~self.b.valid & ~self.r.valid)",
        "test": "tests/formal/test_axi_protocol.py::test_writes_and_reads_take_turns",
        "why": "reads without end starve a write",
    },
    {
        "file": "gateware/axi/stream.py",
        "old": "self.bus.request.eq(now.begun)",
        "new": "self.bus.request.eq(0)",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "the core keeps the bytes of a dropped packet",
    },
    {
        "file": "gateware/axi/stream.py",
        "old": "with m.If(self.cut & now.begun):",
        "new": "with m.If(0):",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "the rest of a sample that was cut begins a new one",
    },
    {
        "file": "gateware/axi/stream.py",
        "old": 'valid & self._status("result_trusted")',
        "new": "valid",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "answers of corrupted stores are trusted",
    },
    {
        "file": "gateware/axi/stream.py",
        "old": "m.d.sync += now.left.eq(self.bus.read_data - 1)",
        "new": "m.d.sync += now.left.eq(self.bus.read_data)",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "TLAST is expected a byte too late",
    },
    {
        "file": "gateware/axi/registers.py",
        "old": "end = address.chunk == last[address.store]",
        "new": "end = address.chunk == 1",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "rows of more than two chunks are loaded wrong",
    },
    {
        "file": "gateware/axi/registers.py",
        "old": "& ~self.refuse",
        "new": "",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "a load waits on the bus for the end of a sample",
    },
    {
        "file": "gateware/axi/registers.py",
        "old": "events & ~clear | new.as_value()",
        "new": "(events | new.as_value()) & ~clear",
        "test": "tests/formal/test_axi_protocol.py::test_registers",
        "why": "an event that comes while it is cleared is lost",
    },
    {
        "file": "gateware/axi/shell.py",
        "old": "m.d.comb += domain.rst.eq(~self.aresetn)",
        "new": "m.d.comb += domain.rst.eq(0)",
        "test": "tests/gateware/test_axi.py::test_bench",
        "why": "no reset",
    },
    {
        "file": "gateware/fusesoc.py",
        "old": '"-Wall", *(',
        "new": '"-Wno-fatal", *(',
        "test": "tests/gateware/test_fusesoc.py::test_lint_fails_on_a_broken_file",
        "why": "lint without teeth",
    },
]
