# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Tables in README and docs/figures.md are those of the records, and the records are those of this hardware."""

import copy
import json
from dataclasses import replace

import pytest

from ds2ta.files import model_path
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.design import design, hardware
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.modelfile import load_model, model_digest
from ds2ta.records import boards, figures_page
from ds2ta.records.boards import board_table, read_boards, record_key
from ds2ta.records.designs import figures_digest
from ds2ta.records.figures_page import PAGES, Recorded, read_figures, render_page
from ds2ta.records.markdown import fill
from ds2ta.records.mid_size import mid_size_model

STALE = "run `ds2ta bench --record`"
STALE_BOARD = "run `ds2ta build --board all --record`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_what_is_on_record(page):
    text = page.read_text()
    assert render_page(text, PAGES[page], Recorded.read()) == text, "run `ds2ta results --record`"


def test_figures_belong_to_the_hardware():
    """Any change of the netlists or of the models makes the recorded figures old."""
    assert read_figures()["sources"] == figures_digest(), STALE


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_boards_belong_to_the_sources(board):
    """Any change of what a bitstream is made of makes its recorded figures old."""
    recorded = read_boards().get(record_key(board.name, board.model))
    assert recorded is not None, STALE_BOARD
    assert recorded["digest"] == design(board).digest, STALE_BOARD
    assert recorded["timing"]["held"]
    assert recorded["timing"]["clock_hz"] == board.core_hz
    assert len(recorded["sha256"]) == 64


#: Networks that boards are fitted to, as far as the project has them; the paper's are made of a data set.
NETWORKS = {"cifar-ecp5": lambda: load_model(model_path("cifar-ecp5")), "mid-96": mid_size_model}
FITTED = [(board, name) for board in BOARDS.values() for name in board.networks]


@pytest.mark.parametrize(("board", "network"), FITTED, ids=lambda part: getattr(part, "name", part))
def test_fitted_networks_belong_to_the_sources(board, network):
    """The same of the networks that a board is fitted to: the design of the recorded machine, and that machine."""
    recorded, fitting = read_boards().get(record_key(board.name, network)), board.networks[network]
    assert recorded is not None, STALE_BOARD
    machine = machine_from_dict(recorded["machine"])
    anew = hardware(board, machine, clock_hz=fitting.core_hz, seed=fitting.seed)
    assert anew.tools.items() <= recorded["tools"].items(), STALE_BOARD  # a nextpnr of one's own is a tool more
    anew = replace(anew, tools=recorded["tools"])
    assert recorded["digest"] == anew.digest_with(recorded["model_sha256"]), STALE_BOARD
    assert recorded["timing"]["held"]
    assert recorded["timing"]["clock_hz"] == anew.clock_hz
    if network in NETWORKS:
        model = NETWORKS[network]()
        assert recorded["model_sha256"] == model_digest(model), STALE_BOARD
        assert machine == fit(model, **fitting.choices)[0], STALE_BOARD
    else:
        assert fitting.choices.items() <= machine.model_dump().items(), STALE_BOARD


def test_every_record_is_of_a_board_as_it_is_now():
    known = {record_key(board.name, name) for board in BOARDS.values() for name in (board.model, *board.networks)}
    assert read_boards().keys() == known


def change_cycles(found: Recorded) -> Recorded:
    found.figures["cycles"][0]["cycles_per_image"] += 1
    return found


def change_board(found: Recorded) -> Recorded:
    found.boards["icebreaker/digits-tiny"]["images_per_second"] += 1
    return found


def change_area(found: Recorded) -> Recorded:
    found.figures["area"][0]["luts"] += 1
    return found


def change_block(found: Recorded) -> Recorded:
    found.figures["blocks"][0]["luts"] += 1
    return found


def change_run(found: Recorded) -> Recorded:
    found.runs["digits-small"]["mismatches"] += 1
    return found


def change_model(found: Recorded) -> Recorded:
    model = found.models["cifar-ecp5"]
    other = replace(model, provenance=model.provenance | {"integer_accuracy": 12.34})
    return replace(found, models={**found.models, "cifar-ecp5": other})


@pytest.mark.parametrize(
    ("change", "regions"),
    [
        (change_cycles, {"models"}),
        (change_board, {"boards", "results"}),
        (change_area, {"area"}),
        (change_block, {"blocks"}),
        (change_run, {"results"}),
        (change_model, {"results"}),
    ],
)
def test_a_changed_figure_shows(change, regions):
    recorded = Recorded.read()
    changed = change(
        replace(recorded, **{key: copy.deepcopy(getattr(recorded, key)) for key in ("figures", "boards", "runs")})
    )
    found = set()
    for page, names in PAGES.items():
        text = page.read_text()
        found |= {name for name in names if render_page(text, [name], changed) != text}
    assert found == regions


def test_a_board_without_a_build_and_a_model_without_a_board():
    found = replace(Recorded.read(), boards={})
    (readme, figures) = (render_page(page.read_text(), PAGES[page], found) for page in PAGES)
    assert "| routed, fastest board | - | - | - | - |" in readme
    assert "iCEBreaker" not in figures


def test_record_renews_file_and_table(tmp_path, monkeypatch):
    """Boards keep their order, a newer report takes the place of the older."""
    first = read_boards()["icebreaker/digits-tiny"]
    other = first | {"board": "another", "title": "Another", "images_per_second": 1234.4}
    monkeypatch.setattr(boards, "RECORD", tmp_path / "boards.json")
    boards.write_boards([first])
    boards.write_boards([other])
    boards.write_boards([first | {"title": "Anew"}])
    known = json.loads(boards.RECORD.read_text())
    assert list(known) == ["another/digits-tiny", "icebreaker/digits-tiny"]
    assert known["another/digits-tiny"] == other
    lines = board_table(known.values())
    assert len(lines) == 4
    assert lines[0].startswith("| board |")
    assert "| 1234 |" in lines[2]
    assert lines[3].startswith("| Anew |")


def test_renew_writes_the_pages(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("head\n<!-- boards -->\nold\n<!-- /boards -->\ntail\n")
    monkeypatch.setattr(figures_page, "PAGES", {page: ("boards",)})
    figures_page.renew_pages()
    text = page.read_text()
    assert text.startswith("head\n<!-- boards -->\n| board |")
    assert text.endswith("|\n<!-- /boards -->\ntail\n")
    assert "old" not in text


@pytest.mark.parametrize("text", ["", "<!-- a -->\n<!-- /a -->\n" * 2, "<!-- a -->\n"])
def test_a_page_must_have_its_region_once(text):
    with pytest.raises(ValueError, match="must have one"):
        fill(text, "a", ["x"])
