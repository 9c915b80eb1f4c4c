# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The command line as its users meet it: answers, differences, files, and one line for every mistake."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from ds2ta.commands import main as cli
from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.export import MEMORY, SIDECAR
from ds2ta.gateware.fusesoc import CORE_FILE
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.reasons import reasons
from ds2ta.golden import slow
from ds2ta.golden.operations import measure
from ds2ta.modelfile import load_model, save_model
from ds2ta.sim.expected import predicted_cycles
from ds2ta.sim.network import RtlNetwork
from ds2ta.sim.rtl import RtlError

TINY = model_path("digits-tiny")


@pytest.fixture
def ds2ta(monkeypatch, capsys):
    """Runs a command line; returns its exit code, output and error output."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ds2ta", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def tiny():
    return load_model(TINY)


@pytest.fixture
def images(tmp_path, tiny):
    path = tmp_path / "images.npy"
    np.save(path, tiny.samples[:2])
    return path


def test_backends_agree(ds2ta, images, tiny):
    found = {}
    for backend in ("golden", "slow", "rtl"):
        code, out, _ = ds2ta("run", TINY, images, "--backend", backend, "--json")
        assert code == 0
        found[backend] = [json.loads(line) for line in out.splitlines()]
    machine, program = fit(tiny, **MACHINES[tiny.network.name])
    for number, sample in enumerate(tiny.samples[:2]):
        trace = slow.run(tiny, sample)
        wanted = {
            "sample": number,
            "class": int(np.argmax(trace["logits"])),
            "logits": trace["logits"].tolist(),
        }
        assert found["golden"][number] == found["slow"][number] == wanted
        cycles = total_cycles(predict(program, machine, sample, trace))
        assert found["rtl"][number] == wanted | {"cycles": cycles}


def test_run_table(ds2ta, images, tiny):
    code, out, _ = ds2ta("run", TINY, images)
    assert code == 0
    assert str(int(np.argmax(slow.run(tiny, tiny.samples[0])["logits"]))) in out


def test_diff_equal(ds2ta, images):
    code, out, _ = ds2ta("diff", TINY, images)
    assert (code, out.strip()) == (0, "2 samples: golden and rtl are equal in every layer")


def test_diff_names_the_first_difference(ds2ta, images, tiny, tmp_path):
    """A threshold moved to just above a membrane that fired on it: that layer, step, token and channel."""
    name = "block.0.fc1"
    inner = slow.run(tiny, tiny.samples[0], inner=True)
    fired = np.argwhere(inner[name])
    step, token, channel = (int(index) for index in fired[0])
    layer = tiny.synapses[name]
    threshold = layer.threshold.copy()
    threshold[channel] = inner[f"{name}.membrane"][step, token, channel] + 1
    changed = replace(tiny, synapses=tiny.synapses | {name: replace(layer, threshold=threshold)})
    other = tmp_path / "other.safetensors"
    save_model(changed, other)
    wrong = np.argwhere(slow.run(changed, tiny.samples[0])[name] != inner[name])[0]
    code, out, _ = ds2ta("diff", TINY, images, "--right", "slow", "--against", other)
    place = f"step {wrong[0]}, token {wrong[1]}, channel {wrong[2]}"
    assert (code, out.strip()) == (1, f"sample 0: {name} differs first, at {place}: golden 1, slow 0")


def test_verilog_folder(ds2ta, tmp_path, tiny):
    out = tmp_path / "verilog"
    code, text, _ = ds2ta("verilog", "--model", TINY, "--out", out)
    assert code == 0
    assert "digits-tiny" in text
    folder = out / "digits-tiny"
    sidecar = json.loads((folder / SIDECAR).read_text())
    assert sidecar["machine"] == fit(tiny, **MACHINES["digits-tiny"])[0].model_dump()
    names = (folder / "files.f").read_text().split()
    assert names[0] == "accelerator.v"
    beside = {"accelerator_tb.v", "accelerator_instance.v"}
    assert set(names) == {path.name for path in folder.glob("*.v")} - beside
    assert {*names, *beside, CORE_FILE} < set(sidecar["files"])
    for block in ("synaptic_engine", "tasa", "lif_array", "score_unit", "nsad_table", "av_accumulator"):
        assert f"module accelerator_{block}" in (folder / f"accelerator_{block}.v").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert ds2ta("verilog", "--model", TINY, "--out", out)[0] == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}, "written again for nothing"
    (folder / "accelerator.v").write_text("damaged")
    assert ds2ta("verilog", "--model", TINY, "--out", out)[0] == 2, "a changed file is not overwritten silently"


@pytest.mark.parametrize(("setting", "width"), [((), 64), (("--set", "memory_bits=128"), 128)])
def test_verilog_of_streamed_weights_behind_axi(setting, width, ds2ta, tmp_path):
    """The shell has a master; beside it lies what the memory must hold."""
    streamed = [word for one in ("weights=stream", "tables=ram", "ring_rows=512") for word in ("--set", one)]
    out = tmp_path / "verilog"
    assert ds2ta("verilog", "--model", TINY, "--shell", "axi", "--out", out, *streamed, *setting)[0] == 0
    sidecar = json.loads((out / "digits-tiny" / SIDECAR).read_text())
    assert sidecar["ports"]["m_axi_rdata"] == {"direction": "input", "width": width}
    assert (out / "digits-tiny" / MEMORY).stat().st_size == sidecar["memory"]["words"] * width // 8
    short = ("--set", "memory_bits=32")
    code, _, message = ds2ta(
        "verilog", "--model", TINY, "--shell", "axi", "--out", tmp_path / "no", *streamed, *short
    )
    assert code == 2
    assert "memory_bits=64 mends it" in message
    assert not (tmp_path / "no").exists()


def test_verilog_of_a_planned_machine(ds2ta, tmp_path):
    """What is set stays, what is not is chosen; the line that tells it is the one that gives it again."""
    given = {"lanes": 8, "row_lanes": 8, "drain_lanes": 2, "score_channels": 4}
    words = [f"--set={key}={value}" for key, value in given.items()]
    ask = [
        "verilog",
        "--model",
        TINY,
        "--out",
        tmp_path / "planned",
        "--board",
        "icebreaker",
        "--optimize",
        "cycles",
    ]
    code, _, err = ds2ta(*ask, *words)
    assert code == 0
    planned = json.loads((tmp_path / "planned" / "digits-tiny" / SIDECAR).read_text())["machine"]
    assert {key: planned[key] for key in given} == given
    assert (planned["weights"], planned["events"], planned["tables"]) == ("spram", 1, "ram")
    told = re.search(r"digits-tiny on icebreaker: (\d+) cycles .* best of \d+ machines: (.*)", err)
    again = told[2].split()
    code, _out, _ = ds2ta("verilog", "--model", TINY, "--out", tmp_path / "again", *again)
    assert code == 0
    assert json.loads((tmp_path / "again" / "digits-tiny" / SIDECAR).read_text())["machine"] == planned


def test_waves(ds2ta, images, tiny, tmp_path):
    waves = tmp_path / "run.vcd"
    code, out, _ = ds2ta("run", TINY, images, "--backend", "rtl", "--waves", waves, "--json")
    assert (code, out.count("\n")) == (0, 1), "a sample is enough for waves"
    assert "$enddefinitions" in waves.read_text()[:200_000]
    with pytest.raises(RtlError, match="has ended"):  # the folder went after the command had looked at it
        RtlNetwork(tiny, fit(tiny, **MACHINES[tiny.network.name])[0], waves=tmp_path / "lost" / "run.vcd")


def test_some_samples(ds2ta, images):
    """The first, unchanged; all where there are not so many."""
    _, whole, _ = ds2ta("run", TINY, images, "--backend", "slow", "--json")
    rows = whole.splitlines()
    for count in (1, len(rows) - 1, len(rows) + 5):
        code, out, _ = ds2ta("run", TINY, images, "--backend", "slow", "--json", "--samples", count)
        assert (code, out.splitlines()) == (0, rows[:count])


def test_info(ds2ta, tiny):
    code, out, _ = ds2ta("info", TINY)
    assert code == 0
    assert all(name in out for name in tiny.synapses)
    machine, program = fit(tiny, **MACHINES[tiny.network.name])
    for key, value, rule in reasons(tiny, machine, program):
        assert re.search(rf"\b{key} +\S +{value} +\S +{re.escape(rule)} ", out), key
    # what the adders do with four samples, by the fast model's count and the cycle model
    samples = tiny.samples[:4]
    operations = measure(tiny, samples).operations
    once = tiny.network.layers()[0].name
    counts = {name: operations[name].sum() for name in tiny.synapses}
    needed = sum(counts.values()) - counts[once] + counts[once] // tiny.network.time_steps
    cycles = sum(predicted_cycles(tiny, machine, program, samples))
    told = re.search(
        r"(\d+) cycles an image; .* ([\d.]+) needed additions a cycle, ([\d.]+) % of the peak of (\d+) ", out
    )
    assert [int(told[1]), int(told[4])] == [round(cycles / 4), machine.lanes * machine.time_steps]
    assert float(told[2]) == pytest.approx(needed / cycles, abs=0.06)
    assert float(told[3]) == pytest.approx(100 * needed / cycles / int(told[4]), abs=0.06)


def test_info_of_a_model_without_a_machine(ds2ta):
    code, out, _ = ds2ta("info", TINY, "--set", "row_lanes=32", "--set", "lanes=32")
    assert code == 0
    message = (
        "a head has 16 channels, it must be a multiple of the machine's row_lanes, 32; --set row_lanes=16 takes it"
    )
    assert out.endswith(f"machine: none: model digits-tiny: {message}\n")


def _saved(tmp_path, value) -> str:
    path = tmp_path / "bad.npy"
    np.save(path, value)
    return str(path)


def _bytes(folder, content: bytes):
    path = folder / "images.npy"
    path.write_bytes(content)
    return path


def _huge(folder):
    """A header that asks for more than any memory."""
    with (folder / "huge.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 60,)}
        np.lib.format.write_array_header_1_0(file, header)
    return folder / "huge.npy"


_BLANK = np.zeros((1, 1, 8, 8), np.uint8)

MISTAKES = {
    "no model": (lambda at: ["run", "nowhere.safetensors", "x.npy"], "nowhere.safetensors: no such model file"),
    "foreign model": (lambda at: ["info", _saved(at, np.zeros(3))], "not a readable safetensors file"),
    "no images": (lambda at: ["run", TINY, at / "x.npy"], "no such file"),
    "not an array": (lambda at: ["run", TINY, TINY], "not a .npy array of numbers"),
    "wrong type": (lambda at: ["run", TINY, _saved(at, np.zeros((1, 1, 8, 8)))], "type float64"),
    "wrong shape": (lambda at: ["run", TINY, _saved(at, np.zeros((1, 1, 8, 9), np.uint8))], "shape [1, 1, 8, 9]"),
    "no sample": (lambda at: ["run", TINY, _saved(at, np.zeros((0, 1, 8, 8), np.uint8))], "n >= 1"),
    "large value": (lambda at: ["run", TINY, _saved(at, np.full((1, 1, 8, 8), 32, np.uint8))], "takes 0..31"),
    "backend": (lambda at: ["run", TINY, TINY, "--backend", "fpga"], "golden, slow, rtl"),
    "waves": (lambda at: ["run", TINY, TINY, "--waves", "x.vcd"], "only the rtl backend"),
    "unknown key": (lambda at: ["verilog", "--model", TINY, "--set", "lane=8"], "KEY one of lanes"),
    "not a number": (lambda at: ["verilog", "--model", TINY, "--set", "lanes=many"], "whole number"),
    "not whole rows": (
        lambda at: ["verilog", "--model", TINY, "--set", "lanes=12"],
        "lanes: 12 must be a multiple of row_lanes, 8",
    ),
    "not a power": (
        lambda at: ["verilog", "--model", TINY, "--set", "drain_lanes=3"],
        "drain_lanes: 3 must be a power of two",
    ),
    "goal without a board": (lambda at: ["verilog", "--optimize", "cycles"], "--optimize and --board: give both"),
    "board without a goal": (lambda at: ["verilog", "--board", "icebreaker"], "--optimize and --board: give both"),
    "goal": (
        lambda at: ["verilog", "--model", TINY, "--optimize", "speed", "--board", "icebreaker"],
        "--optimize speed: must be cycles or area",
    ),
    "board": (
        lambda at: ["verilog", "--model", TINY, "--optimize", "area", "--board", "arty"],
        "board 'arty': must be one of",
    ),
    "small shifter": (lambda at: ["verilog", "--model", TINY, "--set", "max_tau=1"], "max_tau must be 2"),
    "small store": (lambda at: ["verilog", "--model", TINY, "--set", "weight_rows=9"], "weight_rows"),
    "small banks": (lambda at: ["verilog", "--model", TINY, "--set", "bank_rows=16"], "bank_rows is 16"),
    "small accumulator": (
        lambda at: ["verilog", "--model", TINY, "--set", "acc_width=8"],
        "layer stem.0: acc_width must be 10 bits, this machine has 8 bits",
    ),
    "cut archive": (lambda at: ["run", TINY, _bytes(at, b"PK\3\4rest")], "not a .npy array of numbers"),
    "huge array": (lambda at: ["run", TINY, _huge(at)], "not a .npy array of numbers"),
    "waves of nothing": (  # no empty file stays behind
        lambda at: ["run", TINY, TINY, "--backend", "rtl", "--waves", at / "x.vcd"],
        "not a .npy array of numbers",
    ),
    "waves nowhere": (
        lambda at: ["run", TINY, _saved(at, _BLANK), "--backend", "rtl", "--waves", at / "none" / "x.vcd"],
        "x.vcd: no such file or directory; name another place",
    ),
    "a file for a folder": (
        lambda at: ["verilog", "--model", TINY, "--out", _saved(at, np.zeros(1))],
        "cannot be written (Not a directory)",
    ),
    "models of one name": (
        lambda at: ["verilog", "--model", TINY, "--model", TINY, "--out", at],
        "two models of one name would go into one folder",
    ),
    "a missing second model": (
        lambda at: ["verilog", "--model", TINY, "--model", at / "none.safetensors", "--out", at],
        "none.safetensors: no such model file",
    ),
    "import preset": (lambda at: ["import", "x.pth", "y", "--like", "x"], "like must be one of"),
    "import mean": (lambda at: ["import", "x.pth", "y", "--mean", "a,b"], "--mean a,b: must be numbers"),
    "import file": (lambda at: ["import", "x.pth", "y"], "x.pth: no such file"),
    "import state": (lambda at: ["import", "x.pth"], "name the float checkpoint to write"),
    "seed": (lambda at: ["train", "digits-tiny", "--seed", "-1", "--out", at], "--seed -1: input should be"),
    "device": (lambda at: ["train", "digits-tiny", "--device", "tpu", "--out", at], "--device tpu: must be cpu"),
    "shell": (lambda at: ["verilog", "--shell", "wishbone"], "--shell wishbone: must be axi"),
    "clock": (lambda at: ["verilog", "--model", TINY, "--shell", "axi", "--clock-hz", "0"], "whole number of Hz"),
    "preset": (lambda at: ["train", "mnist", "--out", at], "digits-tiny"),
    "section": (lambda at: ["bench", "--only", "power"], "accuracy"),
    "figure format": (
        lambda at: ["plot", TINY, "--out", at / "out", "--format", "pdf"],
        "--format pdf: must be one of png, svg",
    ),
    "sample number": (
        lambda at: ["plot", TINY, "--out", at / "out", "--sample", "360"],
        "--sample 360: the data set has held-out samples 0..359",
    ),
    "no model to draw": (lambda at: ["plot", "nowhere.safetensors", "--out", at / "out"], "no such model file"),
    "another checkpoint": (
        lambda at: ["plot", TINY, "--out", at / "out", "--checkpoint", TINY],
        "format is 'ds2ta-integer'",
    ),
    "convert nothing": (lambda at: ["convert", at / "x", at / "y"], "x: no such model file"),
    "convert onto a file": (
        lambda at: ["convert", TINY, _saved(at, _BLANK)],
        "bad.npy: is there already, and is not overwritten; name another file or remove it",
    ),
    "convert in place": (lambda at: ["convert", TINY, TINY], "digits-tiny.safetensors: is there already"),
    "convert to nowhere": (lambda at: ["convert", TINY, at / "none" / "x"], "cannot be written (No such file"),
    "no class names": (
        lambda at: ["convert", TINY, at / "x", "--classes", at / "names.txt"],
        "names.txt: cannot be read (No such file or directory)",
    ),
    "class names of bytes": (
        lambda at: ["convert", TINY, at / "x", "--classes", _bytes(at, b"\xff\xfe")],
        "not a text file in UTF-8",
    ),
    "too few class names": (
        lambda at: ["convert", TINY, at / "x", "--classes", _bytes(at, b"one\ntwo\n")],
        "x: about: classes: 2 names for 10 classes",
    ),
    "option": (lambda at: ["run", "--fast"], "--fast"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake, ds2ta, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, message = MISTAKES[mistake]
    words = words(tmp_path)
    before = {path.name for path in tmp_path.rglob("*")}
    code, out, err = ds2ta(*words)
    assert code == 2
    assert message in err
    assert out == ""
    if mistake != "option":  # typer draws its own box around usage errors
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    assert {path.name for path in tmp_path.rglob("*")} == before, "something was half written"
