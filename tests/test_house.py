# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a stranger looks for: the licence of every file, versions in the change log, who to cite."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ds2ta import modelfile
from ds2ta.fpga import boot_format, frames
from ds2ta.gateware import program, registers
from ds2ta.gateware.machine import Machine
from ds2ta.golden.training import checkpoint

TOP = Path(__file__).resolve().parents[1]
TAGS = ("SPDX-" + "FileCopyrightText: 2026 the ds2ta authors", "SPDX-" + "License-Identifier: BSD-2-Clause")
SUFFIXES = {".py", ".cpp", ".v", ".h", ".sh", ".yml"}
NAMES = {"Makefile", "run"}
HEAD = 4  # lines: behind `#!` or a word to Amaranth, which work on the first line only


def sources() -> list[Path]:
    """Source files of the checkout, without what git ignores where git can tell."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [TOP / name for name in listed.stdout.splitlines()]
    else:
        paths = [path for path in TOP.rglob("*") if not {"build", ".venv"} & set(path.relative_to(TOP).parts)]
    return [path for path in paths if path.is_file() and (path.suffix in SUFFIXES or path.name in NAMES)]


def unmarked(paths: list[Path]) -> list[str]:
    """Those that do not carry both tags in their head."""
    found = []
    for path in paths:
        head = "\n".join(path.read_text().splitlines()[:HEAD])
        if not all(re.search(rf"^\W*{re.escape(tag)}(?: \*/)?$", head, re.M) for tag in TAGS):
            found.append(str(path))
    return found


def test_every_source_file_states_its_licence():
    paths = sources()
    assert len(paths) > 300
    assert unmarked(paths) == []


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("# {0}\n# {1}\n\nx = 1\n", True),
        ("#!/bin/sh\n# {0}\n# {1}\n", True),
        ("/* {0} */\n/* {1} */\n", True),
        ("# {0}\n", False),
        ("# {1}\n", False),
        ("# {0}\n# {1}-Patent\n", False),
        ("\n\n\n\n# {0}\n# {1}\n", False),
        ("", False),
    ],
)
def test_the_licence_check_bites(tmp_path, text, marked):
    file = tmp_path / "module.py"
    file.write_text(text.format(*TAGS))
    assert (unmarked([file]) == []) is marked


def test_reuse_lint():
    """Every file of the project has a licence, and the text of every licence is here."""
    done = subprocess.run(
        [sys.executable, "-m", "reuse", "--root", str(TOP), "lint"],
        env=os.environ | {"REUSE_ENCODING_MODULE": "charset_normalizer"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_licence():
    """The package, the licence file and the REUSE text agree."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert project["license"] == "BSD-2-Clause"
    assert project["license-files"] == ["LICENSE"]
    text = (TOP / "LICENSE").read_text()
    assert "Copyright (c) 2026 the ds2ta authors\n" in text
    assert text == (TOP / "LICENSES" / "BSD-2-Clause.txt").read_text()


def test_change_log_has_the_versions():
    """The newest release of the change log is the package's, and its table has the versions of the code."""
    page = (TOP / "CHANGELOG.md").read_text()
    version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
    releases = re.findall(r"^## \[(.+?)\]", page, re.M)
    assert next(name for name in releases if name != "Unreleased") == version
    newest = page.split("\n## ", 2)[1]
    table = dict(re.findall(r"^\| (.+?) \| (.+?) \|", newest, re.M))
    assert {name: table[name] for name in table if name not in ("format", "---")} == {
        "model file": str(modelfile.VERSION),
        "checkpoint": str(checkpoint.VERSION),
        "register map": "{}.{}".format(*registers.VERSION),
        "frames": str(frames.VERSION),
        "boot image": str(boot_format.VERSION),
        "program word": f"{program.VERSION}, {program.PROGRAM_WORD} bits",
    }


def short(content: object) -> str:
    """A few digits that change with the content."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def fields_of_registers() -> object:
    found = []
    for item in registers.REGISTERS.values():
        fields = [(field.name, field.low, field.width) for field in item.fields]
        found.append((item.name, item.address, item.count, item.access.name, item.only, fields))
    return found, list(registers.MACHINE_KEYS)


def bits_of_frames() -> object:
    numbers = [[item.value for item in kind] for kind in (frames.Request, frames.Status)]
    wires = [
        frames.encode_request(1, frames.Request.READ, frames.read_payload(0, 2)),
        frames.encode_request(2, frames.Request.WRITE, frames.write_payload(8, [64])),
        frames.encode_request(3, frames.Request.LOAD, frames.load_payload(2, 5, 1, b"\x34\x12")),
        frames.encode_request(4, frames.Request.SAMPLE, frames.sample_payload(1, b"ab")),
        frames.encode_response(1, frames.Request.READ, frames.Status.OK, bytes(8)),
    ]
    return numbers, wires, frames.MAX_PAYLOAD


def bits_of_programs() -> object:
    layout = program.instruction_layout(Machine())
    return [(field.offset, field.width) for _, field in layout], [code.value for code in program.Opcode]


def bytes_of_a_model(folder: Path) -> object:
    """The file that the program in docs/model-file.md writes, read and written again by ours."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "model-file.md").read_text(), re.M | re.S)
    names = {"__name__": "documented"}
    exec(block, names)
    names["write_model"](folder / "theirs", *names["example"]())
    modelfile.save_model(modelfile.load_model(folder / "theirs"), folder / "ours")
    return (folder / "ours").read_bytes()


def test_versions_rise_with_what_they_stand_for(tmp_path):
    """What a driver, a host, a compiler or a writer of model files relies on, as digests: where one differs, raise
    the version if an older reader would go wrong (the minor number of the register map for what is added only), say
    so in CHANGELOG.md, and put the new digest here."""
    assert {
        ("register map", registers.VERSION): short(fields_of_registers()),
        ("frames", frames.VERSION): short(bits_of_frames()),
        ("boot image", boot_format.VERSION): short(boot_format.BootImage(5, "0f" * 32, b"\1\2\0").encode()),
        ("program word", program.VERSION): short(bits_of_programs()),
        ("model file", modelfile.VERSION): short(bytes_of_a_model(tmp_path)),
    } == {
        ("register map", (1, 2)): "c6a0e9ed9fe8",
        ("frames", 1): "42287fc531ff",
        ("boot image", 1): "d8c43003868c",
        ("program word", 3): "b06a1aae90db",
        ("model file", 2): "4260575de389",
    }


def test_citation():
    """A file that citation tools read, of this version, with the paper as what to cite besides."""
    found = yaml.safe_load((TOP / "CITATION.cff").read_text())
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == project["version"]
    assert found["license"] == project["license"]
    (paper,) = found["references"]
    assert paper["title"] in (TOP / "README.md").read_text()
    assert [author["family-names"] for author in paper["authors"]] == ["Xu", "Geng", "Yin", "Li"]


def test_hosted_ci():
    """The workflow calls `.ci/run` on the oldest and the newest Python, with the interpreter of the job."""
    (job,) = yaml.safe_load((TOP / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    done = subprocess.run(
        ["make", "--dry-run", "VENV=nowhere", "nowhere/bin/python"],
        cwd=TOP,
        env=os.environ | {"PYTHONS": "this-one"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "for name in this-one;" in done.stdout, done.stdout + done.stderr
