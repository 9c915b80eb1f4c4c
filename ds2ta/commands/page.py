# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`docs/commands.md` from the commands themselves: `python -m ds2ta.commands.page` writes it anew."""

from typing import Any

import typer
import typer.main

from ds2ta.commands.main import app
from ds2ta.files import DOCS, MODELS, demand_checkout

__all__ = ["PAGE", "render"]

PAGE = DOCS / "commands.md"


def render(page: str) -> str:
    """The page with its region `help` made from what `--help` says."""
    from ds2ta.records.markdown import fill

    group: Any = typer.main.get_command(app)  # Click's, whose types Typer keeps to itself
    context = typer.Context(group, info_name="ds2ta")
    lines = _command(group, None, "ds2ta")
    for name in sorted(group.list_commands(context)):
        lines += _command(group.get_command(context, name), context, name)
    return fill(page, "help", lines[:-1])


def _command(command: Any, parent: typer.Context | None, name: str) -> list[str]:
    from ds2ta.records.markdown import table

    context = typer.Context(command, info_name=name, parent=parent)
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [f"### {name}", "", "```text", *usage.splitlines(), "```", "", *_text(command.help), ""]
    records = [param.get_help_record(context) for param in command.get_params(context)]
    shown = [record for record in records if record is not None and not record[0].startswith("--help")]
    rows = [(f"`{what}`", _cell(meaning)) for what, meaning in shown]
    return [*lines, *table(("argument, option", "meaning"), rows), ""] if rows else lines


def _text(text: str | None) -> list[str]:
    return (text or "").strip().splitlines()


def _cell(text: str) -> str:
    """One line, without the place of somebody's checkout."""
    return " ".join(text.split()).replace(f"{MODELS}/", "models/").replace("|", "\\|")


if __name__ == "__main__":
    demand_checkout("commands.page")
    PAGE.write_text(render(PAGE.read_text()))
