# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of StoreChecker over machines whose rows have one chunk, some, and many."""

import pytest

from ds2ta.gateware.checker import StoreChecker
from ds2ta.gateware.machine import Machine
from ds2ta.sim.build import run_bench

MACHINES = {
    "narrow": {
        "lanes": 4,
        "row_lanes": 4,
        "drain_lanes": 1,
        "score_channels": 1,
        "weight_rows": 7,
        "param_width": 8,
    },
    "wide": {
        "pipeline": "deep",
        "lanes": 64,
        "row_lanes": 16,
        "drain_lanes": 8,
        "weight_rows": 33,
        "instructions": 3,
        "param_width": 21,
    },
}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_bench(machine):
    machine = {**machine, "parameter_rows": 5, "denoiser_entries": 12, "max_head_dim": 32, "instructions": 3}
    run_bench(
        StoreChecker(Machine(**machine)), module="ds2ta.sim.benches.bench_checker", parameters={"machine": machine}
    )
