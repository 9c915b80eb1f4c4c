# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Markdown that is rendered: tables, and the regions of a page that hold them."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["fill", "table"]


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def fill(page: str, region: str, lines: Iterable[str]) -> str:
    """The page with these lines between `<!-- REGION -->` and `<!-- /REGION -->`."""
    text = "\n".join(lines) + "\n"
    marks = re.compile(rf"(<!-- {region} -->\n).*?(<!-- /{region} -->)", re.S)
    page, found = marks.subn(lambda at: at[1] + text + at[2], page)
    if found != 1:
        raise ValueError(f"a page has {found} regions <!-- {region} -->, must have one")
    return page
