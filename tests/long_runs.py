# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Tests that take minutes, marked `long`: `make test-long` runs them and records what it saw, `make test` checks
that the record is that of the present sources.

The mark says what the outcome hangs on:

    @pytest.mark.long(on=lambda: design(ICEBREAKER).digest)

In a run that leaves such a test out another test stands in for it, under the name of the test and `as recorded`. It
computes that text again and fails unless it is the one on record, together with the test's own source. So every
long test has its record, and only what it hangs on makes the record old.
"""

import datetime
import hashlib
import inspect
import json
import os
import platform
from pathlib import Path

import pytest

__all__ = ["RECORD", "Recorder", "StandIn", "depends", "exists", "left_out", "read_record"]

RECORD = Path(__file__).resolve().parents[1] / "docs" / "long-runs.json"
_STALE = "run `make test-long`"


def depends(item: pytest.Function) -> str:
    """SHA-256 over what the outcome of a long test hangs on."""
    on = item.get_closest_marker("long").kwargs["on"]()
    return hashlib.sha256(f"{inspect.getsource(item.function)}\0{on}".encode()).hexdigest()


def read_record() -> dict[str, dict]:
    """Test -> what was seen of it."""
    return {entry["test"]: entry for entry in json.loads(RECORD.read_text())} if RECORD.is_file() else {}


def exists(test: str) -> bool:
    """Whether there is still a test of that name."""
    file, _, name = test.partition("::")
    path = RECORD.parents[1] / file
    return path.is_file() and f"def {name.partition('[')[0]}(" in path.read_text()


def left_out(items: list[pytest.Item], expression: str) -> list[pytest.Item]:
    """The items, with a stand-in beside each long test that the expression of `-m` is about to leave out."""
    if expression != "not long":
        return items
    found = []
    for item in items:
        found.append(item)
        if item.get_closest_marker("long"):
            found.append(StandIn.from_parent(item.parent, name=f"{item.name} as recorded", stands_for=item))
    return found


class StandIn(pytest.Item):
    """Passes if the long test has passed before, with all that it hangs on as it is now."""

    def __init__(self, *, stands_for: pytest.Function, **more):
        super().__init__(**more)
        self._test = stands_for

    def runtest(self) -> None:
        entry = read_record().get(self._test.nodeid)
        if entry is None:
            raise AssertionError(f"{self._test.nodeid} is not in {RECORD.name}: {_STALE}")
        if entry["depends"] != depends(self._test):
            raise AssertionError(f"{self._test.nodeid}: its sources are not those of {RECORD.name}: {_STALE}")

    def repr_failure(self, excinfo, style=None) -> str:
        """One line: where it was raised says nothing."""
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, self.name


class Recorder:
    """Plugin of a run that records: what passed is put into the record, what did not is taken out of it, and so is
    what is no more."""

    def __init__(self):
        self._found: dict[str, dict | None] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        if item.get_closest_marker("long"):
            item.user_properties.append(("depends", depends(item)))  # goes with the reports to the controller

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if "depends" not in properties:
            return
        if not report.passed:
            self._found[report.nodeid] = None
        elif report.when == "call":
            self._found[report.nodeid] = {
                "test": report.nodeid,
                "depends": properties["depends"],
                "seconds": round(report.duration, 1),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "date": datetime.date.today().isoformat(),
            }

    def pytest_sessionfinish(self, session):
        if not hasattr(session.config, "workerinput"):  # workers leave it to their controller
            record = read_record() | self._found
            entries = [record[test] for test in sorted(record) if record[test] and exists(test)]
            RECORD.write_text(json.dumps(entries, indent=1) + "\n")
