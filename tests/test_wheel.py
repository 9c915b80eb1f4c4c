# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The package alone: built as a wheel, installed into an empty environment elsewhere, and used from there."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from command_lines import NEEDED, run_lines
from test_layout import PARTS, TOP, sources

from ds2ta.commands import main as cli
from ds2ta.files import DIGITS, FROM_FILES, model_path
from ds2ta.golden import slow
from ds2ta.modelfile import load_model

#: What is no module, and yet needed where there is no checkout.
DATA = {
    *("models/README.md", "models/digits-small.safetensors", "models/digits-tiny.safetensors", "models/digits.npy"),
    "gateware/area.json",
    *(f"gateware/templates/{name}.j2" for name in ("README.md", "accelerator_tb.v", "axi_tb.v")),
    *(f"gateware/templates/{name}.j2" for name in ("constraints.sdc", "instance.v")),
    "sim/templates/report.html.j2",
    *(
        "sim/board.cpp",
        "sim/flash_chip.cpp",
        "sim/flash_chip.h",
        "sim/harness.cpp",
        "sim/primitives.v",
        "sim/cells/ecp5.v",
        "sim/cells/ice40.v",
    ),
}
#: Without the search path of whoever runs the tests.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def called(command: list, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600, check=False, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, because setuptools leaves folders behind that would get into the next wheel."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, source)
    for name in ("ds2ta", "models", *PARTS):
        shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = called([*PIP, "wheel", "--no-deps", "--wheel-dir", out, source])
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory) -> Path:
    """The environment: nothing but the wheel and what its base asks for."""
    place = tmp_path_factory.mktemp("alone") / "an environment"
    done = called([sys.executable, "-m", "venv", "--without-pip", place])
    assert done.returncode == 0, done.stderr[-3000:]
    done = called([*PIP, "--python", place / "bin" / "python", "install", "--no-compile", wheel])
    if re.search("NewConnectionError|Temporary failure in name resolution|ReadTimeoutError", done.stderr):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr[-3000:]
    return place


@pytest.fixture
def ds2ta(alone, tmp_path):
    """Runs a command line there, in an empty folder; returns its exit code, output and error output."""

    def run(*words, by: tuple = ("ds2ta",), **more: str) -> tuple[int, str, str]:
        done = called([alone / "bin" / by[0], *by[1:], *words], cwd=tmp_path, env=CLEAN | more)
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_wheel_holds_the_modules_and_their_data(wheel):
    modules = {
        str(path.relative_to(TOP)).removeprefix("ds2ta/")
        for folder in ("ds2ta", *PARTS)
        for path in sources(folder)
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"ds2ta", wheel.name.rpartition("-py3")[0] + ".dist-info"}
    found = {name.removeprefix("ds2ta/") for name in names if name.startswith("ds2ta/")}
    assert found == modules | DATA
    assert wheel.stat().st_size < 1_000_000


def test_version(ds2ta):
    shown = f"ds2ta {metadata.version('ds2ta')}\n"
    assert ds2ta("--version") == (0, shown, "")
    assert ds2ta("--version", by=("python", "-m", "ds2ta")) == (0, shown, "")


def test_help(ds2ta):
    code, out, err = ds2ta("--help")
    assert (code, err) == (0, "")
    assert "--version" in out
    assert "Show completion" in out


def test_shell_completion(ds2ta):
    found = ds2ta(_DS2TA_COMPLETE="complete_bash", COMP_WORDS="ds2ta ver", COMP_CWORD="1")
    assert (found[0], found[1].split(), found[2]) == (0, ["verilog", "verify"], "")


def test_verilog_is_that_of_the_checkout(ds2ta, tmp_path, monkeypatch):
    code, out, err = ds2ta("verilog", "--model", "digits-tiny", "--out", "theirs")
    assert (code, err) == (0, "")
    assert "digits-tiny" in out
    monkeypatch.setattr("sys.argv", ["ds2ta", "verilog", "--model", "digits-tiny", "--out", str(tmp_path / "ours")])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    theirs, ours = (
        {path.name: path.read_bytes() for path in (tmp_path / side / "digits-tiny").iterdir()}
        for side in ("theirs", "ours")
    )
    assert len(theirs) > 20
    assert theirs == ours


@pytest.mark.parametrize("name", DIGITS)
def test_info_by_name(name, ds2ta, alone):
    code, out, err = ds2ta("info", name)
    assert (code, err) == (0, "")
    file = Path(out.partition("\n")[0].removeprefix("file: "))
    assert file.is_relative_to(alone)
    assert file.read_bytes() == model_path(name).read_bytes()
    assert all(layer in out for layer in load_model(model_path(name)).synapses)


@pytest.mark.parametrize("words", [[], ["--backend", "slow"]], ids=["default", "slow"])
def test_run_without_torch(words, ds2ta):
    code, out, err = ds2ta("run", "digits-tiny", "digits", "--json", *words)
    model = load_model(model_path("digits-tiny"))
    wanted = [slow.run(model, sample)["logits"].tolist() for sample in model.samples]
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["logits"] for line in lines] == wanted
    assert [line["class"] for line in lines] == np.argmax(wanted, axis=1).tolist()
    assert err.count("\n") == (0 if words else 1)
    assert ("pip install 'ds2ta[train]' brings it" in err) == (not words)


def test_convert_without_torch(ds2ta, tmp_path):
    """A file of version 1 becomes the one that the wheel brings."""
    old = Path(__file__).parent / "core" / "digits-tiny-version-1.safetensors"
    code, _, err = ds2ta("convert", str(old), str(tmp_path / "new"))
    assert (code, err) == (0, "")
    assert (tmp_path / "new").read_bytes() == model_path("digits-tiny").read_bytes()


def test_report_without_an_extra(ds2ta, tmp_path):
    """All of the page but the boards, and what brings those."""
    code, out, err = ds2ta("report", "digits-tiny", "--out", str(tmp_path / "page.html"), "--samples", "1")
    assert (code, err) == (0, "")
    assert out.endswith("counted on 1 sample\n")
    text = (tmp_path / "page.html").read_text()
    assert "Where the cycles go" in text
    assert "ds2ta[fpga]" in text


def test_a_command_that_needs_more_names_the_extras(alone, tmp_path):
    for line, (code, out, err) in run_lines(alone / "bin" / "python", NEEDED, tmp_path, environment=CLEAN).items():
        assert (code, out) == (2, ""), (line, err)
        assert err.startswith("error: "), (line, err)
        assert f" not installed; pip install 'ds2ta[{NEEDED[line][0]}]' brings " in err, (line, err)
        assert err.count("\n") == 1, (line, err)
    assert not list(tmp_path.iterdir()), "something was half written"


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_model_that_is_left_out_says_where_it_is(name, ds2ta):
    code, out, err = ds2ta("info", name)
    assert (code, out) == (2, "")
    assert f"models/{name}.safetensors of a checkout" in err
    assert err.count("\n") == 1


RECORDS = [
    "results",
    "results --record",
    "bench --record",
    "build --board all --record",
    "sparsity digits-tiny --record",
    "verify digits-tiny --record",
]


def test_what_keeps_records_asks_for_a_checkout(alone, tmp_path):
    for line, (code, out, err) in run_lines(alone / "bin" / "python", RECORDS, tmp_path, environment=CLEAN).items():
        assert (code, out) == (2, ""), (line, err)
        assert err.startswith(f"error: {line.partition(' ')[0]}"), (line, err)
        assert "reads and writes docs/ of a checkout" in err, (line, err)
        assert str(alone) in err, (line, err)
        assert err.count("\n") == 1, (line, err)
    assert not list(tmp_path.iterdir())


def test_both_golden_sides_are_slow_without_torch(ds2ta):
    code, out, err = ds2ta("diff", "digits-tiny", "digits", "--right", "slow")
    assert (code, out) == (0, "64 samples: slow and slow are equal in every layer\n")
    assert "the slow backend answers" in err
