# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The documents build as pages, without a warning, and the pages stand by themselves."""

import logging
import os
import posixpath
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ds2ta.records.site import ELSEWHERE, relink

TOP = Path(__file__).resolve().parents[2]


class References(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text: str):
        super().__init__()
        self.loaded: list[str] = []
        self.leads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") != "canonical":
            self.loaded.append(values["href"])
        if tag == "a" and values.get("href"):
            self.leads.append(values["href"])


def test_builds_and_stands_by_itself(tmp_path):
    """`make docs`, then: no page loads anything from elsewhere, or leads to a page that is not there."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=TOP,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        found = References(page.read_text())
        assert [name for name in found.loaded if "//" in name and not name.startswith("data:")] == [], page.name
        for target in [*found.loaded, *found.leads]:
            path = target.partition("#")[0].partition("?")[0]
            if page.name == "404.html" or not path or ":" in path:
                continue
            assert (page.parent / path).exists(), f"{page.name} leads to {target}"
    board = (tmp_path / "site" / "api" / "boards.html").read_text()
    assert 'id="ds2ta.fpga.host.Board.infer"' in board, "no API page of the driver"


@pytest.mark.parametrize(
    ("page", "text", "wanted"),
    [
        ("index.md", "[a](docs/axi.md)", "[a](axi.md)"),
        ("index.md", "![a](docs/pictures/blocks.svg)", "![a](pictures/blocks.svg)"),
        ("index.md", "[a](models/README.md#commands)", "[a](models.md#commands)"),
        ("axi.md", "[a](registers.md)", "[a](registers.md)"),
        ("figures.md", "| [hw/lif.py](../hw/lif.py) |", "| hw/lif.py |"),
        ("decisions.md", "[a](../models/README.md)", "[a](models.md)"),
        ("models.md", "[a](../docs/axi.md)", "[a](axi.md)"),
        ("api/boards.md", "[a](../host-link.md)", "[a](../host-link.md)"),
        ("index.md", "[a](https://example.org/x.md) [b](#results)", "[a](https://example.org/x.md) [b](#results)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page, text, wanted):
    assert relink(text, page) == wanted


def test_a_link_to_nothing_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        relink("[a](../hw/nothing.py)", "axi.md")
    assert "docs/axi.md: links to hw/nothing.py, which does not exist" in caplog.text


def test_every_document_is_a_page():
    """All Markdown of the repository is in the navigation, none twice."""
    shown = re.findall(r"^ +- .+: (\S+\.md)$", (TOP / "mkdocs.yml").read_text(), re.M)
    pages = [posixpath.relpath(path.relative_to(TOP).as_posix(), "docs") for path in (TOP / "docs").rglob("*.md")]
    assert sorted(shown) == sorted([*pages, *ELSEWHERE.values()])
