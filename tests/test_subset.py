# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`make check` leaves no folder out, and what its rules speak of exists."""

import ast
from pathlib import Path

import pytest
from subset import RULES, chosen, rule

TESTS = Path(__file__).resolve().parent
TOP = TESTS.parent


class Named:
    """As much of a test as a rule looks at."""

    def __init__(self, nodeid: str):
        self.nodeid = nodeid


def functions(file: Path) -> list[str]:
    """The names of the tests in a file."""
    tree = ast.parse(file.read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_every_folder_is_covered():
    for folder in {file.parent for file in TESTS.rglob("test_*.py")}:
        names = [
            f"{file.relative_to(TOP).as_posix()}::{name}"
            for file in folder.glob("test_*.py")
            for name in functions(file)
        ]
        assert sum(rule(name) != "none" for name in names) >= len(names) / 2, folder


@pytest.mark.parametrize("begin", RULES)
def test_a_rule_is_about_something(begin):
    file, _, name = begin.partition("::")
    assert (TOP / file).exists()
    assert not name or name in functions(TOP / file)
    which, why = RULES[begin]
    assert which in ("all", "first", "none")
    assert why


def test_the_longest_rule_counts_and_the_first_case():
    names = [f"tests/hw/test_lif.py::test_bench[{case}]" for case in "abc"]
    names += ["tests/sim/test_verify.py::test_shipped[a]", "tests/test_cli.py::test_run[a]"]
    names += ["tests/test_cli.py::test_run[b]"]
    found = [item.nodeid for item in chosen(map(Named, names))]
    assert found == [names[0], *names[-2:]]
