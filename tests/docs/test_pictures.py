# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The pictures show the present design, models and records, and load nothing from elsewhere."""

import re
from xml.etree import ElementTree

import pytest

from ds2ta.files import model_path
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model, model_digest
from ds2ta.records import diagram, pictures
from ds2ta.records.pictures import FOLDER, MAPS, PICTURES, cycles_source
from ds2ta.records.terminal import draw, recorder

STALE = "run `make pictures`"
_BYTE_CYCLES = 11  # of the link, for a byte while a request comes in (fpga/link.py); the core takes one in a cycle
DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def text_of(picture: str) -> str:
    return (FOLDER / picture).read_text()


def description(picture: str) -> str:
    (found,) = ElementTree.fromstring(text_of(picture)).iter(DESCRIPTION)
    return found.text


@pytest.mark.parametrize("picture", [*PICTURES, "demo.svg"])
def test_whole_and_by_itself(picture):
    text = text_of(picture)
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search(r"@font-face|<script|@import|(?:href|src)=[\"']https?:|url\([\"']?https?:", text)


def test_every_picture_is_shown_and_made():
    """No picture without a command, none that no page shows."""
    assert {path.name for path in FOLDER.iterdir()} == {*PICTURES, "demo.svg"}
    top = FOLDER.parents[1]
    pages = "".join(page.read_text() for page in (top / "README.md", *(top / "docs").glob("*.md")))
    for picture in FOLDER.iterdir():
        assert f"pictures/{picture.name})" in pages, f"no page shows {picture.name}"


def test_block_diagram_is_the_netlist():
    assert pictures.blocks() == text_of("blocks.svg"), STALE


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("lacking", [True, False])
def test_a_wrong_block_diagram_is_refused(part, lacking, monkeypatch):
    """A block or connection that the design lacks, or has besides."""
    design = diagram.drawn()
    changed = [set(own) for own in design]
    extra = "spare" if part == 0 else ("engine", "lif")
    changed[part] = changed[part] - {min(changed[part])} if lacking else changed[part] | {extra}
    monkeypatch.setattr(diagram, "designed", lambda machine: tuple(changed))
    with pytest.raises(ValueError, match="draws what is not there" if lacking else "it lacks"):
        diagram.block_diagram(Machine())


def test_cycles_are_on_record():
    assert description("cycles.svg") == cycles_source(), STALE


def test_attention_map_is_of_the_model():
    assert description("attention.svg") == model_digest(load_model(model_path(MAPS[0]))), STALE


def test_demo_is_what_the_board_answers():
    """Class and margin of each digit are those of golden, its cycles those of the cycle model on a serial line."""
    shown = "".join(ElementTree.fromstring(text_of("demo.svg")).itertext()).replace("\xa0", " ")
    words = {
        name: [int(found) for found in re.findall(rule, shown)]
        for name, rule in (("class", r"class (\d)"), ("margin", r"margin (\d+)"), ("cycles", r"(\d+) cycles "))
    }
    model = load_model(model_path("digits-tiny"))
    machine, _ = fit(model, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
    program, count = compile_model(model, machine), len(words["class"])
    taps = [slow.run(model, sample) for sample in model.samples[:count]]
    logits = [sorted(own["logits"].tolist()) for own in taps]
    assert count == 5
    assert words["class"] == [int(own["logits"].argmax()) for own in taps], STALE
    assert words["margin"] == [own[-1] - own[-2] for own in logits], STALE
    cycles = [
        total_cycles(predict(program, machine, sample, own))
        for sample, own in zip(model.samples, taps, strict=False)
    ]
    waited = {on_line - found for on_line, found in zip(words["cycles"], cycles, strict=True)}
    assert len(waited) == 1, STALE  # for the bytes of a sample, which come slower than the core takes them
    assert 0 <= waited.pop() <= _BYTE_CYCLES * model.samples[0].size, STALE
    assert f"{count} of {count}" in shown


def test_a_terminal_is_drawn_without_its_escapes():
    console = recorder()
    console.print("[bold green]good news[/]")
    text = draw(console, title="x")
    found = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    assert "good news" in found
    assert "\x1b" not in text
    assert draw(recorder(), title="x") == draw(recorder(), title="x")
