# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""An SDRAM on a board: margins at the pads by hand, the two clocks, what a board top with one refuses."""

import re
from dataclasses import replace

import pytest

from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.clocks import find_pll
from ds2ta.fpga.design import design
from ds2ta.fpga.sdram_pads import PHASE, margins
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.hw.sdram import IS42S16160G
from ds2ta.modelfile import load_model

STREAM = {"weights": "stream", "ring_rows": 512, "memory_bits": 16}


def test_margins():
    """At 50 MHz and 270 degrees: the chip's edge comes 15 ns behind a command's, 5 ns before the next one's. A word
    is on the lines from 5.4 ns behind the edge at 55 to 2.5 ns behind that at 75, and is taken at 80."""
    found = margins(IS42S16160G, 50e6, 0.75)
    assert found.out_setup == pytest.approx(15 - 1 - 1.5)
    assert found.out_hold == pytest.approx(5 - 1 - 0.8)
    assert found.back_setup == pytest.approx(80 - (55 + 5.4 + 6))
    assert found.back_hold == pytest.approx(75 + 2.5 + 3 - 80)
    assert found.least == pytest.approx(0.5)


@pytest.mark.parametrize("clock_hz", [20e6, 140e6])
def test_a_clock_without_margins_is_refused(clock_hz):
    with pytest.raises(
        FitError, match=rf"clock: {clock_hz / 1e6:g} MHz leaves -\d.* ns for the SDRAM, IS42S16160G-7"
    ):
        margins(IS42S16160G, clock_hz)


@pytest.mark.parametrize("hz", [62.5e6, 65e6, 70e6, 75e6, 80e6])
def test_the_pll_makes_the_phase(hz):
    """In whole periods of its oscillator, behind the first clock; the margins hold for what it makes."""
    pll = replace(find_pll("ecp5", 25_000_000, hz), phase=PHASE)
    values = pll.parameters
    late = (values["CLKOS_CPHASE"] - values["CLKOP_CPHASE"]) / values["CLKOP_DIV"]
    assert values["CLKOS_DIV"] == values["CLKOP_DIV"]
    assert late == pll.second_phase
    assert abs(late - PHASE) <= 0.5 / pll.output + 1e-9
    assert margins(IS42S16160G, pll.hz, late).least > 0.5


def test_a_board_with_weights_in_its_sdram():
    """39 pins, each where the board has it; the chip's clock from the PLL's second output; one that all words
    share."""
    found = design(BOARDS["ulx3s_25f"], model=load_model(model_path("digits-tiny")), choices=STREAM, clock_hz=65e6)
    pins = re.findall(r'LOCATE COMP "sdram_0__(\w+?)__io(?:\[\d+\])?" SITE "(\w+)"', found.constraints["top.lpf"])
    assert len(pins) == len({site for _, site in pins}) == 39
    assert {name: sum(one == name for one, _ in pins) for name in ("clk", "a", "ba", "dq", "dqm")} == {
        "clk": 1,
        "a": 13,
        "ba": 2,
        "dq": 16,
        "dqm": 2,
    }
    assert found.rtlil.count('parameter \\CLKOS_ENABLE "ENABLED"') == 1
    for cell, count in (("ODDRX1F", 1), ("OFS1P3DX", 2 * (39 - 1) + 1), ("IFS1P3DX", 16)):
        assert len(re.findall(rf"^  cell \\{cell} ", found.rtlil, re.M)) == count, cell


def test_a_board_without_it_is_as_before():
    text = design(BOARDS["ulx3s_25f"]).rtlil
    assert "sdram" not in text
    assert "CLKOS" not in text


@pytest.mark.parametrize(
    ("board", "change", "clock_hz", "message"),
    [
        (
            "icebreaker",
            {"lanes": 8},
            None,
            "weights: stream needs an SDRAM, the board has none; weights=ram mends it",
        ),
        ("ulx3s_25f", {"memory_bits": 32}, 65e6, "memory_bits: 32 must be 16, .* memory_bits=16 mends it"),
        ("ulx3s_25f", {}, 25e6, r"clock: 25 MHz is the crystal's, an SDRAM needs two phases; take another"),
        ("ulx3s_25f", {}, 150e6, r"clock: 150 MHz leaves -[\d.]+ ns for the SDRAM"),
        (
            "ulx3s_25f",
            {"ring_rows": 65536, "lanes": 32},
            65e6,
            "456 block RAM needed for ring_rows 65536 of 32 lanes",
        ),
    ],
)
def test_refused(board, change, clock_hz, message):
    with pytest.raises(FitError, match=message):
        design(
            BOARDS[board], model=load_model(model_path("digits-tiny")), choices=STREAM | change, clock_hz=clock_hz
        )


def test_a_memory_that_is_too_small():
    machine = machine_from_dict(STREAM | {"lanes": 128, "weight_rows": 1 << 20, "tables": "ram"})
    with pytest.raises(
        FitError, match=r"weight_rows: 1048576 rows of 32 words are 33554432 words, .* has 16777216; "
    ):
        BoardTop(machine, clock_hz=65_000_000, memory=IS42S16160G)
    half = machine.model_copy(update={"weight_rows": 1 << 19})
    assert BoardTop(half, clock_hz=65_000_000, memory=IS42S16160G).signature.members["sdram"]
