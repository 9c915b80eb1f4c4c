# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Run a cocotb bench on the emitted Verilog of a component.

`run_bench` is what a pytest driver calls; `bench_parameters` is what the bench calls in the simulator process.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
import find_libpython
from amaranth.lib import wiring

from ds2ta.gateware.verilog import emit, snake
from ds2ta.sim.verilator import build_simulator

__all__ = ["BenchError", "bench_parameters", "build_bench", "run_bench"]

_PARAMETERS = "DS2TA_BENCH_PARAMETERS"
_TAIL = 6000


class BenchError(AssertionError):
    """A bench found a difference, hung, or could not run."""


def bench_parameters() -> dict:
    """Inside a bench: the `parameters` that its driver gave to `run_bench`."""
    return json.loads(os.environ[_PARAMETERS])


def _public(verilog: str, name: str, extra: Sequence[str]) -> str:
    """Verilator control file that publishes the ports of the top module, and `extra` of its signals (or
    `module.signal` of others), and nothing else: each published signal costs simulation speed."""
    (body,) = re.findall(rf"^module {name}\b.*?^endmodule", verilog, re.M | re.S)
    ports = re.findall(r"^ *(?:input|output) (?:\w+ )*?(?:\[\d+:\d+\] )?(\w+)[;,]?$", body, re.M)
    places = [(part.rpartition(".")[0] or name, part.rpartition(".")[2]) for part in sorted({*ports, *extra})]
    lines = [f'public_flat_rw -module "{module}" -var "{port}"' for module, port in places]
    return "\n".join(["`verilator_config", *lines, ""])


def build_bench(verilog: str, name: str, *, waves: bool = False, extra: Sequence[str] = ()) -> Path:
    """A simulator of module `name` with cocotb's main program, built at most once for equal arguments."""
    library = cocotb_tools.config.libs_dir
    return build_simulator(
        "sim",
        name,
        verilog,
        (cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp").read_text(),
        files={"ports.vlt": _public(verilog, name, extra)},
        options=["--vpi", "--timescale", "1ns/1ps"],
        waves=waves,
        libraries=[f"-L{library}", "-lcocotbvpi_verilator"],
    )


def run_bench(
    component: wiring.Component,
    *,
    module: str,
    name: str | None = None,
    parameters: Mapping | None = None,
    testcase: str | None = None,
    waves: bool = False,
    extra: Sequence[str] = (),
    timeout: float = 900,
) -> str:
    """Emit `component`, simulate it under the cocotb tests of `module`, raise `BenchError` unless all pass.

    `module` is a dotted name (`ds2ta.sim.benches.bench_lif`) or the path of a Python file. `parameters` (JSON data)
    reach the bench through `bench_parameters()`. `testcase` selects one test by name. `waves` leaves `dump.vcd` in
    the folder that the returned log names. `extra` publishes more signals of the top module, or `module.signal` of
    another. Returns the log."""
    name = name or snake(component)
    simulator = build_bench(emit(component, name), name, waves=waves, extra=extra)
    search = list(sys.path)
    if module.endswith(".py"):
        search.insert(0, str(Path(module).resolve().parent))
        module = Path(module).stem
    runs = simulator.parent / "runs"
    runs.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=runs))
    results = folder / "results.xml"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search),
        "LD_LIBRARY_PATH": os.pathsep.join(
            filter(None, [str(cocotb_tools.config.libs_dir), os.environ.get("LD_LIBRARY_PATH")])
        ),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{find_libpython.find_libpython()};{cocotb_tools.config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": name,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        # pytest makes the assertions of these files tell their values; by default those of all modules on earth,
        # and imports take three times as long
        "COCOTB_REWRITE_ASSERTION_FILES": "bench_*.py *_host.py",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COCOTB_RANDOM_SEED": "1",
        "TOPLEVEL_LANG": "verilog",
        _PARAMETERS: json.dumps(dict(parameters or {})),
    }
    if testcase:
        environment["COCOTB_TEST_FILTER"] = rf"\.{re.escape(testcase)}$"
    log = folder / "log"
    command = [str(simulator), *(["--trace"] if waves else [])]
    with open(log, "w") as out:
        try:
            run = subprocess.run(command, cwd=folder, env=environment, stdout=out, stderr=out, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{module} on {name}: no end within {timeout} s, see {log}") from None
    text = log.read_text(errors="replace")
    cases = list(ElementTree.parse(results).iter("testcase")) if results.exists() else []
    failed = [case.get("name", "?") for case in cases if {"failure", "error"} & {child.tag for child in case}]
    if failed or not cases or run.returncode:
        raise BenchError(f"{module} on {name}: {', '.join(failed) or 'no test ran'}, see {log}\n{text[-_TAIL:]}")
    return f"{log}\n{text}"
