# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Sequencer over program and counter sizes."""

import pytest

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.sequencer import Sequencer
from ds2ta.sim.build import run_bench


@pytest.mark.parametrize(
    "machine",
    [{"instructions": 16, "counter_width": 24}, {"instructions": 5, "counter_width": 8, "bank_rows": 4}],
    ids=["whole", "short-counters"],
)
def test_bench(machine):
    run_bench(
        Sequencer(Machine(**machine)), module="ds2ta.sim.benches.bench_sequencer", parameters={"machine": machine}
    )
