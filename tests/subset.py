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
    "tests/test_extras.py": ("none", "a process for each command and extra"),
    "tests/test_figures.py": ("none", "elaborates every board"),
    "tests/test_cli.py::test_waves": ("none", "a simulator that writes waves"),
    "tests/core/test_modelfile_damage.py": ("none", "thousands of files"),
    "tests/docs/test_examples.py": ("none", "whole networks, trained and simulated"),
    "tests/docs/test_site.py": ("none", "builds every page"),
    "tests/docs/test_snippets.py": ("none", "runs what the documents show"),
    "tests/formal/": ("first", "one proof of each promise"),
    "tests/formal/test_engine_contract.py::test_one_event_more_overflows": ("none", "the longest proof"),
    "tests/fpga/": ("first", "one machine, board or mistake of each kind"),
    "tests/fpga/test_board_build.py": ("none", "places and routes"),
    "tests/fpga/test_boot_virtual.py": ("none", "a board in a process for each test"),
    "tests/fpga/test_host.py::test_random_faults": ("none", "thousands of faults"),
    "tests/fpga/test_link.py::test_bench": ("none", "the demo goes through the link"),
    "tests/fpga/test_top.py": ("none", "a board top, after its parts"),
    "tests/fpga/test_virtual.py": ("none", "a board in a process for each test"),
    "tests/fpga/test_virtual_mid_size.py": ("none", "a board of its own"),
    "tests/fpga/test_virtual.py::test_demo": ("all", "the main job"),
    "tests/gateware/": ("first", "one network or machine of each kind: digits-tiny where there is a choice"),
    "tests/gateware/test_accelerator.py::test_images": ("none", "test_bench runs the same network"),
    "tests/gateware/test_attention_cycles.py": ("none", "test_accelerator counts the cycles too"),
    "tests/gateware/test_axi.py": ("none", "the shell around the core"),
    "tests/gateware/test_checker.py": ("none", "the demo checks its memories"),
    "tests/gateware/test_compiler.py::test_smallest_machine": ("none", "compiles for hundreds of machines"),
    "tests/gateware/test_core.py": ("none", "the demo goes through the core"),
    "tests/gateware/test_mid_size.py": ("none", "simulators of a larger machine"),
    "tests/gateware/test_register_file.py::test_bench": ("none", "the demo goes through the registers"),
    "tests/gateware/test_verilog_shipped.py::test_every_block_alone": ("none", "a lint run for each block"),
    "tests/golden/": ("first", "one network, data set or format of each kind"),
    "tests/golden/test_standalone.py": ("none", "trains in processes of its own"),
    "tests/golden/test_train_long.py": ("none", "trains, is cut and trains again"),
    "tests/hw/": ("first", "the first shape of every block, and the first of its limits"),
    "tests/hw/test_cobs.py": ("none", "the demo goes through it"),
    "tests/sim/": ("first", "one machine, stall profile or kind of difference"),
    "tests/sim/test_activity.py": ("none", "a simulated network to count in"),
    "tests/sim/test_gates.py::test_record": ("none", "maps every board's accelerator"),
    "tests/sim/test_random_networks.py::test_one_token_and_one_time_step": ("none", "machines of their own"),
    "tests/sim/test_rtl_runs.py": ("none", "elaborates every shipped network"),
    "tests/sim/test_verify.py::test_command_records_what_golden_says": ("none", "a simulated network of its own"),
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
