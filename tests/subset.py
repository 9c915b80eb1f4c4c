# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The tests of `make check`: what a change of any room most likely breaks, in at most three minutes on two cores
once the simulators are built. `make test` runs them all.

A rule is for everything whose name begins so; the longest that fits counts. `all` tests, the `first` case of each
(of those that go over shapes, machines or networks), or `none`.
"""

from collections.abc import Iterable

import pytest

__all__ = ["RULES", "chosen", "rule"]

#: Beginning of a test's name -> (which, why)
RULES = {
    "tests/": ("all", "takes seconds"),
}


def rule(name: str) -> str:
    """Which cases of a test are chosen."""
    return RULES[max((begin for begin in RULES if name.startswith(begin)), key=len)][0]


def chosen(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The items of the subset, in their order."""
    found, seen = [], set()
    for item in items:
        which, test = rule(item.nodeid), item.nodeid.partition("[")[0]
        if which == "all" or (which == "first" and test not in seen):
            found.append(item)
        seen.add(test)
    return found
