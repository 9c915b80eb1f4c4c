# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Hooks of mkdocs (`mkdocs.yml`): README and its like become pages, and links between documents lead to pages.

A link to a file that is no page keeps its text and loses its target, for the pages stand by themselves; one to a
file that does not exist is a warning, and so the end of a build with `--strict`.
"""

import logging
import posixpath
import re
import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from ds2ta.files import BUILD, ROOT

__all__ = ["ELSEWHERE", "on_files", "on_page_markdown", "on_startup", "relink"]

#: Documents outside of docs/ -> their pages.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
    "models/README.md": "models.md",
}
_PARTS = ("hw", "gateware", "golden", "sim", "fpga")  # folders of the checkout that are parts of the package
_PAGES = {page: source for source, page in ELSEWHERE.items()}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_log = logging.getLogger("mkdocs.hooks.site")


def on_startup(command: str, dirty: bool) -> None:
    """A tree in which docstrings are found where the installed package has them; before the plugins look for it."""
    tree = BUILD / "docs-source" / "ds2ta"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for path in (ROOT / "ds2ta").iterdir():
        if path.name not in _PARTS:
            (tree / path.name).symlink_to(path)
    for part in _PARTS:
        (tree / part).symlink_to(ROOT / part)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The documents outside of docs/."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links led to pages."""
    return relink(markdown, page.file.src_uri)


def relink(markdown: str, page: str, root: Path = ROOT) -> str:
    """The text of a page (`page`: its name in docs/), links of the repository turned into those of the site."""
    source = _PAGES.get(page, f"docs/{page}")

    def link(found: re.Match) -> str:
        image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (root / path).exists():
            _log.warning(f"{source}: links to {path}, which does not exist")
            return found[0]
        name = ELSEWHERE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if name is None:
            return text
        return f"{image}[{text}]({posixpath.relpath(name, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(link, markdown)
