# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The tool behind `make break`: a bug that is found counts, any other outcome is reported for what it is."""

import pytest
from mutation import load, run, stale

MUTANTS = [
    {"file": "ds2ta/sum.py", "old": "a + b", "new": "a - b", "test": "tests/test_sum.py::test_sum"},
    {"file": "ds2ta/sum.py", "old": "a + b", "new": "b + a", "test": "tests/test_sum.py::test_sum", "why": "equal"},
    {"file": "ds2ta/sum.py", "old": "return", "new": "retrun", "test": "tests/test_sum.py::test_sum"},
    {"file": "ds2ta/sum.py", "old": "a * b", "new": "a", "test": "tests/test_sum.py::test_sum"},
    {"file": "ds2ta/sum.py", "old": "a + b", "new": "a", "test": "tests/test_sum.py::test_wrong"},
]


@pytest.fixture
def tree(tmp_path):
    files = {
        "ds2ta/__init__.py": "",
        "ds2ta/sum.py": "def total(a, b):\n    return a + b\n",
        "tests/test_sum.py": (
            "from ds2ta.sum import total\n"
            "def test_sum():\n    assert total(2, 3) == 5\n"
            "def test_wrong():\n    assert total(2, 3) == 6\n"
        ),
        "tests/mutants_sum.py": f'"""Mutants."""\n\nMUTANTS = {MUTANTS!r}\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_verdicts(tree, jobs):
    before = {path: path.read_text() for path in tree.rglob("*.py")}
    verdicts = [verdict for verdict, _ in run(load(tree), tree, jobs=jobs)]
    assert verdicts == ["killed", "SURVIVED", "BROKEN", "STALE", "BROKEN"]
    assert {path: path.read_text() for path in tree.rglob("*.py")} == before


def test_lists_are_read(tree):
    assert load(tree) == MUTANTS


def test_every_mutant_of_this_project_can_be_planted():
    assert [reason for mutant in load() if (reason := stale(mutant))] == []
