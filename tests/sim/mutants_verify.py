# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into the comparison of whole networks: each is a kind of difference that would go unseen."""

MUTANTS = [
    {
        "file": "sim/verify.py",
        "old": "        if len(golden) != len(entries):\n",
        "new": "        if len(golden) < len(entries):\n",
        "test": "tests/sim/test_verify.py::test_wrong_entries_and_counts_are_named",
        "why": "a map that has lost its last entries passes",
    },
    {
        "file": "sim/verify.py",
        "old": 'for counter in ("cycles", "events", "rows", "waits"):',
        "new": 'for counter in ("cycles", "events", "waits"):',
        "test": "tests/sim/test_verify.py::test_wrong_entries_and_counts_are_named",
        "why": "the counter of rows is not compared",
    },
    {
        "file": "sim/verify.py",
        "old": "if (first := first_difference(model, wanted, trace)) is not None:",
        "new": "if (first := first_difference(model, wanted, wanted)) is not None:",
        "test": "tests/sim/test_verify.py::test_a_wrong_spike_is_named",
        "why": "golden is compared with itself",
    },
    {
        "file": "sim/verify.py",
        "old": '        return f"{missing[0]}: the rtl shows no such layer"',
        "new": "        pass",
        "test": "tests/sim/test_verify.py::test_a_missing_layer_is_named",
        "why": "a layer that the machine never shows passes",
    },
    {
        "file": "sim/verify.py",
        "old": "                network.reset()\n",
        "new": "",
        "test": "tests/sim/test_verify.py::test_no_answer_is_a_difference",
        "why": "after a hang the machine is not brought back to its start",
    },
    {
        "file": "ds2ta/records/designs.py",
        "old": '    return text + (json.dumps(loaded) if loaded else "")',
        "new": "    return text",
        "test": "tests/sim/test_rtl_runs.py::test_the_digest_sees_what_is_loaded",
        "why": "the record of a machine that is loaded does not notice another program",
    },
    {
        "file": "sim/harness.cpp",
        "old": "        if (!simulation.waves.isOpen()) return 3;\n",
        "new": "",
        "test": "tests/test_cli.py::test_waves",
        "why": "a run writes no waves and does not say so",
    },
]
