# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a figure was measured on, in a few words."""

import os
import platform
from pathlib import Path

__all__ = ["computer", "interpreter"]


def computer() -> str:
    """The computer at hand: kind of processor, and how many cores."""
    kind = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{kind}, {os.cpu_count()} cores"


def interpreter() -> str:
    """The same without the model of the processor, and the version of Python."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
