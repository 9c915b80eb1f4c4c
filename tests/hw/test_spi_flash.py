# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of the flash reader; its clocks for the boards; limits of its parameters."""

import pytest

from ds2ta.errors import FitError
from ds2ta.hw.spi_flash import SpiFlashReader, half_cycles, wake_cycles
from ds2ta.sim.build import run_bench


@pytest.mark.parametrize(
    ("half", "clock_hz", "address", "fast"),
    [
        (1, 30e6, 0x100F80, False),
        (2, 75e6, 0xABCF00, False),
        (2, 96e6, 0xFFFFF0, True),
        (5, 100e6, 0, False),
    ],
)
def test_bench(half, clock_hz, address, fast):
    shape = {"half": half, "wake": wake_cycles(clock_hz), "address": address, "fast": fast}
    run_bench(
        SpiFlashReader(**shape),
        module="ds2ta.sim.benches.bench_spi_flash",
        parameters={**shape, "period_ns": 1e9 / clock_hz},
    )


@pytest.mark.parametrize(
    ("clock_hz", "most_hz", "half"),
    [(30e6, 25e6, 1), (50e6, 25e6, 1), (50.1e6, 25e6, 2), (75e6, 25e6, 2), (96e6, 25e6, 2), (12e6, 50e6, 1)],
)
def test_the_clock_keeps_its_limit(clock_hz, most_hz, half):
    assert half_cycles(clock_hz=clock_hz, most_hz=most_hz) == half
    assert clock_hz / (2 * half) <= most_hz


def test_the_wait_behind_the_release():
    assert wake_cycles(30e6) == 900
    assert wake_cycles(96e6) == 2880


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half": 0}, "Half period must be an integer from 1 to 256, not 0"),
        ({"half": 257}, "Half period must be an integer from 1 to 256, not 257"),
        ({"wake": 0}, "Wake cycles must be an integer from 1 to 65536, not 0"),
        ({"wake": 65_537}, "Wake cycles must be an integer from 1 to 65536, not 65537"),
        ({"address": -1}, "Flash address must be an integer from 0 to 16777215, not -1"),
        ({"address": 1 << 24}, "Flash address must be an integer from 0 to 16777215, not 16777216"),
    ],
)
def test_limits(change, message):
    shape = {"half": 256, "wake": 65_536, "address": (1 << 24) - 1}
    SpiFlashReader(**shape)
    with pytest.raises(FitError, match=message):
        SpiFlashReader(**{**shape, **change})
