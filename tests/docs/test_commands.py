# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""docs/commands.md has what `--help` says; commands that the documents show exist, with the options shown."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from ds2ta.commands.main import app
from ds2ta.commands.page import PAGE, render

TOP = Path(__file__).resolve().parents[2]
STALE = "run `make pages`"
PAGES = [
    TOP / "README.md",
    TOP / "CONTRIBUTING.md",
    *sorted((TOP / "docs").glob("*.md")),
    TOP / "models" / "README.md",
]
GROUP = typer.main.get_command(app)


def test_page_is_what_help_says():
    text = PAGE.read_text()
    assert render(text) == text, STALE


@pytest.mark.parametrize("name", sorted(GROUP.commands))
def test_every_option_of_help_is_on_the_page(name):
    """Read from the printed help, not from what it is printed from."""
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 0
    (section,) = re.findall(rf"^### {name}\n(.*?)(?=^### |\Z)", PAGE.read_text(), re.M | re.S)
    options = set(re.findall(r"^[│\s]*[*\s]*(--[a-z-]+)", done.output, re.M)) - {"--help"}
    assert options == set(re.findall(r"^\| `(--[a-z-]+)", section, re.M))


def shown() -> list[tuple[str, str]]:
    """(page, command) of every line that begins with `ds2ta` or `.venv/bin/ds2ta` in a block or in backticks."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        lines = re.findall(r"^(?:\$ |    )?(?:\.venv/bin/)?(ds2ta [a-z].*)$", text, re.M)
        lines += re.findall(r"`(?:\.venv/bin/)?(ds2ta [a-z][^`\n]*)`", text)
        found += [(page.name, line) for line in lines]
    return found


def wrong(line: str) -> str | None:
    """What a command line has that the command has not."""
    words = shlex.split(line, comments=True)[1:]
    command = GROUP.commands.get(words[0])
    if command is None:
        return f"no command {words[0]}"
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    unknown = [word for word in words[1:] if word.startswith("--") and word not in known | {"--help"}]
    return f"{words[0]} has no option {unknown[0]}" if unknown else None


def test_commands_in_documents_exist():
    lines = [(page, line) for page, line in shown() if "..." not in line]
    assert len(lines) > 40
    assert {line: what for _, line in lines if (what := wrong(line))} == {}


@pytest.mark.parametrize("line", ["ds2ta rum x", "ds2ta run x --backends rtl", "ds2ta plot m --o x # --out"])
def test_the_check_bites(line):
    assert wrong(line)
