# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Runs a tool that takes long, and reads what it writes while it runs."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ds2ta.errors import Ds2taError

__all__ = ["follow"]

_EVERY = 0.2  # seconds


def follow(
    command: Sequence[str],
    *,
    folder: Path,
    output: Path,
    line: Callable[[str], None],
    log: Path | None = None,
    tick: Callable[[], None] = lambda: None,
) -> int:
    """Run `command` in `folder` with all its output in the file `output`, and return its exit status. `line` is
    called with each line of `log` (default: of the output) soon after it has come, `tick` now and then. The tool
    ends if the caller is interrupted. Raises `Ds2taError` if another kills it, as the system does that runs out of
    memory."""
    log = log or output
    log.unlink(missing_ok=True)
    with open(output, "wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        position, rest, ended = 0, b"", False
        try:
            while not ended:
                ended = process.poll() is not None  # first, so that what came before the end is still read
                if log.exists():
                    with open(log, "rb") as file:
                        file.seek(position)
                        *lines, rest = (rest + file.read()).split(b"\n")
                        position = file.tell()
                    for text in lines:
                        line(text.decode(errors="replace"))
                tick()
                if not ended:
                    time.sleep(_EVERY)
        except BaseException:
            process.kill()
            raise
        if rest:
            line(rest.decode(errors="replace"))
    if process.returncode == -signal.SIGKILL:
        raise Ds2taError(
            f"{output}: the tool that wrote this was killed, most likely because the machine's memory was short; "
            "a smaller design takes less, such as one of fewer lanes"
        )
    return process.returncode
