# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of the serial line, and checks its parameter limits."""

import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.uart import UartReceiver, UartTransmitter, baud_divisor
from ds2ta.sim.build import run_bench


# 4: the least; 24: 1 Mbaud at 24 MHz; 217: 115200 baud at 25 MHz
@pytest.mark.parametrize("divisor", [4, 5, 24, 217])
def test_receiver_bench(divisor):
    parameters = {"divisor": divisor, "sends": False}
    run_bench(UartReceiver(divisor=divisor), module="ds2ta.sim.benches.bench_uart", parameters=parameters)


@pytest.mark.parametrize("divisor", [4, 5, 24])
def test_transmitter_bench(divisor):
    parameters = {"divisor": divisor, "sends": True}
    run_bench(UartTransmitter(divisor=divisor), module="ds2ta.sim.benches.bench_uart", parameters=parameters)


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
@pytest.mark.parametrize(("good", "bad"), [(4, 3), (1 << 20, (1 << 20) + 1), (8, 8.0)])
def test_limits(component, good, bad):
    assert "module" in rtlil.convert(component(divisor=good))
    with pytest.raises(FitError, match=f"Divisor must be an integer from 4 to 1048576, not {bad}"):
        component(divisor=bad)


@pytest.mark.parametrize(
    ("clock_hz", "baud", "divisor"),
    [
        (24_000_000, 1_000_000, 24),
        (25_000_000, 115_200, 217),
        (12_000_000, 3_000_000, 4),
        (1_020_000, 100_000, 10),  # off by exactly 2 %
        (980_000, 100_000, 10),
    ],
)
def test_divisor(clock_hz, baud, divisor):
    assert baud_divisor(clock_hz=clock_hz, baud=baud) == divisor


@pytest.mark.parametrize(
    ("clock_hz", "baud", "message"),
    [
        (12_000_000, 4_000_000, "Baud rate must be at most 1/4 of the clock, 3000000, not 4000000: lower it"),
        (1_021_000, 100_000, r"Baud rate 100000: 1021000 Hz divided by 10 is off by \+2.1%, the limit is 2%"),
        (979_000, 100_000, "is off by -2.1%, the limit is 2%: choose 97900 baud or another clock"),
        (12_000_000, 0, "Clock and baud rate must be positive, not 12000000 Hz and 0 baud"),
        (0, 9600, "Clock and baud rate must be positive"),
    ],
)
def test_bad_divisors(clock_hz, baud, message):
    with pytest.raises(FitError, match=message):
        baud_divisor(clock_hz=clock_hz, baud=baud)
