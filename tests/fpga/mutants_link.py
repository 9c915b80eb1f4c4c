# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs that the tests of serial line and host link must find (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "hw/uart.py",
        "old": "m.d.sync += self.o.payload.bad.eq(~line | missed)",
        "new": "m.d.sync += self.o.payload.bad.eq(~line)",
        "test": "tests/hw/test_uart.py::test_receiver_bench[4]",
        "why": "a lost byte leaves no mark",
    },
    {
        "file": "hw/uart.py",
        "old": "(self._divisor - 1) // 2 - 1, self._divisor - 1",
        "new": "self._divisor - 1, self._divisor - 1",
        "test": "tests/hw/test_uart.py::test_receiver_bench[5]",
        "why": "sampled at the edge of a bit, not in its middle",
    },
    {
        "file": "hw/cobs.py",
        "old": "sink.bad.eq(~code | spoiled)",
        "new": "sink.bad.eq(spoiled)",
        "test": "tests/hw/test_cobs.py::test_decoder_bench",
        "why": "an end within a block is taken for a good one",
    },
    {
        "file": "hw/cobs.py",
        "old": "(size == _FULL - 1)",
        "new": "(size == _FULL)",
        "test": "tests/hw/test_cobs.py::test_encoder_bench",
        "why": "a block of 255 bytes",
    },
    {
        "file": "fpga/link.py",
        "old": "                & m.submodules.crc.match_detected\n",
        "new": "",
        "test": "tests/fpga/test_link.py::test_fuzz[small-0]",
        "why": "frames with a wrong CRC are acted upon",
    },
    {
        "file": "fpga/link.py",
        "old": "with m.Elif(frame.content & (~walk.receiving | frame.full)):",
        "new": "with m.Elif(frame.content & frame.full):",
        "test": "tests/fpga/test_link.py::test_lost_frames[small]",
        "why": "the tail of a lost frame is taken for a frame",
    },
    {
        "file": "fpga/link.py",
        "old": "with m.If(request.address[request.rows :].any()):",
        "new": "with m.If(0):",
        "test": "tests/fpga/test_link.py::test_loads[small]",
        "why": "a LOAD beyond the last row wraps to the first",
    },
    {
        "file": "fpga/link_parts.py",
        "old": "self.beyond.eq(more | carry)",
        "new": "self.beyond.eq(more)",
        "test": "tests/fpga/test_link.py::test_samples[small]",
        "why": "offset and length together overflow",
    },
    {
        "file": "fpga/link.py",
        "old": "self.busy & (is_load | (is_sample & self.sample_full))",
        "new": "self.busy & is_load",
        "test": "tests/fpga/test_link.py::test_samples[small]",
        "why": "a sample is taken while the last one is worked on",
    },
    {
        "file": "fpga/link.py",
        "old": "m.d.comb += m.submodules.buffer.read_enable.eq(~held)",
        "new": "m.d.comb += m.submodules.buffer.read_enable.eq(1)",
        "test": "tests/fpga/test_link.py::test_reads[small]",
        "why": "a READ loses its count",
    },
    {
        "file": "fpga/top.py",
        "old": "link.sample_full.eq(core.sample_full)",
        "new": "link.sample_full.eq(1)",
        "test": "tests/fpga/test_top.py::test_a_sample_in_parts",
        "why": "the second part of a sample is refused",
    },
]
