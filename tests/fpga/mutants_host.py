# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs that the tests of the host driver must find (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "fpga/exchange.py",
        "old": "if (response.sequence, response.kind) != (self._sequence, kind):",
        "new": "if response.kind != kind:",
        "test": "tests/fpga/test_host.py::test_faults",
        "why": "an answer to an older question is taken",
    },
    {
        "file": "fpga/exchange.py",
        "old": "if not self._begun:",
        "new": "if not (self._begun or self.name):",
        "test": "tests/fpga/test_host.py::test_a_stale_answer_of_a_former_driver",
        "why": "a dead driver's answer is taken",
    },
    {
        "file": "fpga/exchange.py",
        "old": "self._send(DELIMITER + wire if self._apart else wire)",
        "new": "self._send(wire)",
        "test": "tests/fpga/test_host.py::test_one_repeat_is_enough_after_half_a_frame",
        "why": "half a frame in the board swallows the next one",
    },
    {
        "file": "fpga/host.py",
        "old": "if finished != before or taken >= offset + len(data):",
        "new": "if taken >= offset + len(data):",
        "test": "tests/fpga/test_host.py::test_the_answer_to_the_last_bytes_is_lost",
        "why": "a sample that was repeated after its result counts as refused",
    },
    {
        "file": "fpga/host.py",
        "old": 'self._write_digest("00" * 32)  # until all of it is there',
        "new": "tell",
        "test": "tests/fpga/test_host.py::test_hang_up_in_mid_load",
        "why": "half a model bears the digest of the one before",
    },
    {
        "file": "fpga/host.py",
        "old": 'if results and (state := self._check_again())["memory_error"]:',
        "new": 'if results and (state := self.status())["memory_error"]:',
        "test": "tests/fpga/test_host_errors.py::test_a_flip_in_the_last_sample",
        "why": "nobody looks at the memories after the last sample",
    },
    {
        "file": "fpga/host.py",
        "old": "% (1 << COUNT_BITS) >= 2,",
        "new": "% (1 << COUNT_BITS) >= 1,",
        "test": "tests/fpga/test_host_errors.py::test_a_flip_in_the_last_sample",
        "why": "the closing check ends with the scan that was at work",
    },
    {
        "file": "fpga/host.py",
        "old": "% (1 << COUNT_BITS) >= 2,",
        "new": "% (1 << 32) >= 2,",
        "test": "tests/fpga/test_host.py::test_scans_are_counted_past_the_end",
        "why": "one scan too few is waited for when their counter wraps",
    },
    {
        "file": "fpga/loading.py",
        "old": "divmod(start // _WORD, store.chunks)",
        "new": "divmod(start // _WORD, 1)",
        "test": "tests/fpga/test_host.py::test_load_and_infer",
        "why": "rows of several chunks are loaded to wrong places",
    },
    {
        "file": "fpga/frames.py",
        "old": "if (computed := zlib.crc32(content)) != stored:",
        "new": "if (computed := zlib.crc32(content)) & 0xFFFF != stored & 0xFFFF:",
        "test": "tests/fpga/test_frames.py::test_damage",
        "why": "half a CRC",
    },
]
