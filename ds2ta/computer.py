"""What a figure was measured on, in a few words."""

import os
import platform
from pathlib import Path

__all__ = ["computer"]


def computer() -> str:
    """The computer at hand: kind of processor, and how many cores."""
    kind = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{kind}, {os.cpu_count()} cores"
