# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A terminal as a picture: what a command prints, as SVG."""

import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

__all__ = ["draw", "recorder"]

_COLUMNS = 122  # five digits of `ds2ta demo` side by side


def recorder() -> Console:
    """A console whose output `draw` shows. It passes for a file, so that no progress bars move in it."""
    return Console(record=True, width=_COLUMNS, force_terminal=False, color_system="truecolor")


def draw(console: Console, *, title: str) -> str:
    """What a console has recorded, as SVG that loads nothing: without the fonts that rich fetches."""
    plain = re.sub(r"\s*@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)
    return console.export_svg(title=title, code_format=plain, unique_id="terminal")
