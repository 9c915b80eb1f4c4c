# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Settings of all tests: what a run leaves out, and what it records."""

import gc
import warnings

import long_runs
import pytest
import subset
from amaranth.hdl import UnusedElaboratable


def pytest_addoption(parser):
    group = parser.getgroup("ds2ta")
    group.addoption("--check", action="store_true", help="the subset of `make check`, see tests/subset.py")
    group.addoption("--record-long", action="store_true", help="record the long tests, see tests/long_runs.py")


def pytest_configure(config):
    # Amaranth warns of components that are never elaborated, when the garbage collector finds them, which may be in
    # another test. Tests of parameter limits make such components on purpose.
    config.addinivalue_line("filterwarnings", "ignore::amaranth.hdl.UnusedElaboratable")
    if config.getoption("--record-long"):
        config.pluginmanager.register(long_runs.Recorder())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    items[:] = long_runs.left_out(items, config.getoption("-m"))
    if config.getoption("--check"):
        rest = set(items)
        items[:] = subset.chosen(items)
        config.hook.pytest_deselected(items=list(rest.difference(items)))


def pytest_sessionfinish():
    """What the last tests left is found here: behind this, pytest collects without the filter above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        gc.collect()
