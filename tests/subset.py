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
    "tests/test_wheel.py": ("none", "builds a wheel and an environment for it"),
    "tests/docs/test_examples.py": ("none", "whole networks, trained and simulated"),
    "tests/docs/test_site.py": ("none", "builds every page"),
    "tests/formal/": ("first", "one proof of each promise"),
    "tests/fpga/": ("first", "one machine, board or mistake of each kind"),
    "tests/gateware/": ("first", "one network or machine of each kind: digits-tiny where there is a choice"),
    "tests/golden/": ("first", "one network, data set or format of each kind"),
    "tests/golden/test_standalone.py": ("none", "trains in processes of its own"),
    "tests/golden/test_train_long.py": ("none", "trains, is cut and trains again"),
    "tests/hw/": ("first", "the first shape of every block, and the first of its limits"),
    "tests/sim/": ("first", "one machine, stall profile or kind of difference"),
    "tests/sim/test_verify.py::test_shipped": ("none", "the largest networks"),
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
