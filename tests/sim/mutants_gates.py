# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into the cell models and what runs netlists: a model that hides a hazard is the worst of them."""

MUTANTS = [
    {
        "file": "sim/cells/ice40.v",
        "old": "wire [15:0] word = stored & ~collided | wrong & collided;",
        "new": "wire [15:0] word = stored;",
        "test": "tests/sim/test_gates.py::test_memories[ice40]",
        "why": "a collision returns the old word, as the model of yosys does",
    },
    {
        "file": "sim/cells/ice40.v",
        "old": "wire [15:0] collided = reads & RADDR[7:0] == WADDR[7:0] ? written : 16'h0;",
        "new": "wire [15:0] collided = reads & RADDR[7:0] == WADDR[7:0] ? {16{writes}} : 16'h0;",
        "test": "tests/sim/test_gates.py::test_memories[ice40]",
        "why": "bits of the word that are not written are spoiled too",
    },
    {
        "file": "sim/cells/ecp5.v",
        "old": "wire [35:0] read_b = ((clean_b & ~other_b | wrong_b & other_b) >> place_b) & ONES_B;",
        "new": "wire [35:0] read_b = (clean_b >> place_b) & ONES_B;",
        "test": "tests/sim/test_gates.py::test_memories[ecp5]",
        "why": "a collision returns the old word",
    },
    {
        "file": "sim/cells/ecp5.v",
        "old": "if (width < 9 && address[2]) place = place + 4;",
        "new": "if (width < 9 && address[2]) place = place + 3;",
        "test": "tests/sim/test_gates.py::test_memories[ecp5]",
        "why": "nibbles lie elsewhere than their initial values",
    },
    {
        "file": "sim/cells/ecp5.v",
        "old": "wire signed [18:0] a = {SIGNEDA & A17,",
        "new": "wire signed [18:0] a = {A17,",
        "test": "tests/sim/test_gates.py::test_multipliers",
        "why": "every factor is signed",
    },
    {
        "file": "sim/packed.py",
        "old": '"1\'b1" if pin in _PULLED_UP else "1\'b0"',
        "new": '"1\'b0"',
        "test": "tests/sim/test_gates.py::test_memories[packed]",
        "why": "open clock enables are low",
    },
    {
        "file": "sim/gates.py",
        "old": "(2 * number - 1) * len(outputs)",
        "new": "(2 * number // 2) * len(outputs)",
        "test": "tests/sim/test_gates.py::test_faults",
        "why": "faults all in the first half, several in one cell",
    },
]
