# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of SdramController over chips and clocks, and checks its parameter limits."""

from dataclasses import asdict, replace

import pytest

from ds2ta.errors import FitError
from ds2ta.hw.sdram import AS4C32M16SB, IS42S16160G, SdramController
from ds2ta.sim.build import run_bench

#: A chip of short rows, so that runs cross many of them; the shortest power-up that a bench has patience for.
SMALL = {"row_bits": 11, "column_bits": 5, "power_up": 2000.0}
CASES = {
    "80 MHz": (AS4C32M16SB, {"clock_hz": 80e6, "cas": 2, "round_trip": 1}),
    "133 MHz": (AS4C32M16SB, {"clock_hz": 133e6, "cas": 3, "round_trip": 3}),
    "100 MHz": (IS42S16160G, {"clock_hz": 100e6, "cas": 2, "round_trip": 2}),
    "25 MHz": (IS42S16160G, {"clock_hz": 25e6, "cas": 3, "round_trip": 1}),
}


@pytest.mark.parametrize(("chip", "options"), CASES.values(), ids=CASES)
def test_bench(chip, options):
    small = replace(chip, **SMALL)
    controller = SdramController(small, **options)
    times = {name: asdict(small)[name] for name in ("t_rp", "t_rcd", "t_ras", "t_rc", "t_rfc", "t_wr", "power_up")}
    cycles = {name: getattr(controller, name) for name in ("t_rp", "t_rcd", "t_ras", "t_rc", "t_rfc", "refresh")}
    parameters = {**options, "row_bits": 11, "column_bits": 5, "times": times, "cycles": cycles}
    run_bench(controller, module="ds2ta.sim.benches.bench_sdram", parameters=parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cas": 4}, "CAS latency must be an integer from 2 to 3, not 4"),
        ({"round_trip": 5}, "Round trip must be an integer from 1 to 4, not 5"),
        ({"clock_hz": 250e6}, "SDRAM clock must be from 1 to 200 MHz, not 250"),
        ({"clock_hz": 1.5e6}, "SDRAM clock of 1.5 MHz leaves no time between refreshes"),
    ],
)
def test_limits(options, message):
    with pytest.raises(FitError, match=message):
        SdramController(AS4C32M16SB, **{"clock_hz": 80e6} | options)
