# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The page of `ds2ta report`: whole by itself, and its figures those of the Verilog and of the slow model."""

import importlib.util
import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ds2ta.commands import main as cli
from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.sim.network import RtlNetwork
from ds2ta.sim.report import page, passes_of, rates_of, regions_of

NAME = "digits-tiny"
VOID = {"meta", "rect"}  # elements that end where they begin
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """Demands that elements are closed in order; keeps text by heading, and every attribute."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.sections: dict[str, list[str]] = {}
        self._heading = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "h2":
            self._heading = text
        elif text.strip():
            self.sections.setdefault(self._heading, []).append(text.strip())


@pytest.fixture(scope="module")
def model():
    return load_model(model_path(NAME))


@pytest.fixture(scope="module")
def text(model):
    return page(model, MACHINES[NAME], list(model.samples[:2]), None)


def test_the_page_is_whole_by_itself(text):
    """Closed elements, nothing from elsewhere, no script; every section has something to say."""
    found = Elements(text)
    wanted = [
        "Where the cycles go",
        "Boards",
        "A sample",
        "Layers",
        "Activity",
        "Attention and denoisers",
        "Memories",
    ]
    assert [heading for heading in found.sections if heading] == wanted
    assert all(len(words) > 1 for words in found.sections.values())
    assert not re.search(r"https?:|//|@import|<script|<link|<img|src=|href=|\burl\(", text.replace("<!DOCTYPE", ""))
    assert not {name for name, _ in found.attributes} & {"src", "href", "onload", "onclick"}
    assert ("name", "viewport") in found.attributes
    assert "@media print" in text


def test_passes_are_those_of_the_verilog(model, text):
    machine, program = fit(model, **MACHINES[NAME])
    samples = model.samples[:2]
    found, cycles = passes_of(machine, program, samples, [slow.run(model, sample) for sample in samples])
    with RtlNetwork(model, machine, program=program) as rtl:
        results = [rtl.run(sample) for sample in samples]
    assert cycles == np.mean([result.cycles for result in results])
    for number, item in enumerate(found):
        counted = [result.passes[number] for result in results]
        assert item.name == counted[0].name
        assert item.cycles == np.mean([one.cycles for one in counted])
        assert item.events == np.mean([one.events for one in counted])
        assert f'<td>{item.name}</td><td class="n">{item.cycles:,.0f}</td>' in text
    assert f"{cycles:,.0f}" in text


def test_rates_are_counted_by_hand(model):
    traces = [slow.run(model, sample) for sample in model.samples[:3]]
    found = dict(rates_of(traces))
    assert {"stem.0", "block.0.attn", "block.0.denoised", "block.0.x2"} <= found.keys()
    assert not {"logits", "block.0.score"} & found.keys()
    for name, steps in found.items():
        for step, rate in enumerate(steps):
            values = [value for trace in traces for value in trace[name][step].ravel().tolist()]
            assert rate == pytest.approx(sum(value != 0 for value in values) / len(values))


@pytest.mark.parametrize("name", [NAME, "cifar-ecp5"])
def test_no_two_tensors_share_rows_while_both_live(name):
    """As the compiler promises; but a pass puts the residual stream into the place of the one that it joins."""
    loaded = load_model(model_path(name))
    _, program = fit(loaded, **MACHINES[name])
    found = regions_of(program)
    assert {region.name for region in found} == program.regions.keys()
    for one, other in itertools.combinations(found, 2):
        apart = one.base + one.rows <= other.base or other.base + other.rows <= one.base
        joins = int(one.base == other.base)
        after = one.last < other.born + joins or other.last < one.born + joins
        assert one.bank != other.bank or apart or after, (one, other)


def test_class_names_and_noise(model):
    """Names where there are names, and what looks like markup is text; a file without samples shows noise, and says
    so."""
    classes = ("<b>zero</b>", *map(str, range(1, 10)))
    named = replace(model, about=model.about.model_copy(update={"classes": classes}), samples=model.samples[:0])
    text = page(named, MACHINES[NAME], [model.samples[0]], None)
    assert "&lt;b&gt;zero&lt;/b&gt;" in text
    assert "<b>zero" not in text
    assert "noise, for the file has no sample" in text


def test_command(tmp_path, capsys, monkeypatch):
    """The file, with a row for each board, what does not fit with its reason; mistakes are one line, and leave
    nothing."""

    def run(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["ds2ta", "report", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0

    out = tmp_path / "page.html"
    assert run(NAME, "--out", out, "--samples", 1) == 0
    rows = Elements(out.read_text()).sections["Boards"]
    assert "iCEBreaker (iCE40 UP5K)" in rows
    assert run(model_path("cifar-ecp5"), "--out", out, "--samples", 1) == 0
    assert "does not fit: " in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    capsys.readouterr()
    for words, message in (
        (["--out", tmp_path], f"error: {tmp_path}: is a folder; name a file in it"),
        (
            ["--out", str(tmp_path / "no" / "page.html")],
            f"error: {tmp_path / 'no' / 'page.html'}: cannot be written",
        ),
        (["--set", "lanes=7"], "error: machine: lanes: 7 must be"),
    ):
        assert run(NAME, *words) == 2
        said = capsys.readouterr().err
        assert said.startswith(message)
        assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "amaranth_boards" else find(name, *more)
    )
    assert run(NAME, "--out", out, "--samples", 1) == 0
    assert "pip install 'ds2ta[fpga]'" in out.read_text().replace("&#39;", "'")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [360, 1000])
def test_in_a_browser(text, width, tmp_path):
    """No error of the console, and a picture that is not empty."""
    (tmp_path / "page.html").write_text(text)
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--hide-scrollbars",
    ]
    command += [
        f"--window-size={width},3000",
        f"--screenshot={tmp_path / 'page.png'}",
        f"file://{tmp_path}/page.html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    assert (tmp_path / "page.png").stat().st_size > 30_000
