# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""docs/spikingjelly.md: its commands run, one after another, and the hardware gives what was trained."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from ds2ta.commands import main
from ds2ta.commands.main import app
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.modelfile import load_model

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "spikingjelly.md").read_text()
EPOCHS = 3  # instead of 12


def commands() -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^ {4}((?:ds2ta|python) .+)$", PAGE, re.M)]


def test_the_page_has_the_whole_way():
    names = [words[1] for words in commands()]
    assert names[1:] == ["import", "import", "quantize", "info", "run", "verilog", "verify", "build"]


def test_every_command_runs(tmp_path, monkeypatch):
    (settings,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    (tmp_path / "settings.yaml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    printed = {}
    trained, *rest, build = commands()
    script = [sys.executable, "-W", "error", str(TOP / trained[1]), *trained[2:], "--epochs", str(EPOCHS)]
    subprocess.run(script, check=True, capture_output=True)
    for words in rest:
        done = CliRunner().invoke(app, words[1:])
        assert (done.exit_code, done.exception) == (0, None), (words, done.output)
        printed[" ".join(words[1:])] = done.output
    dry, imported, quantized, *_ = printed.values()
    asked = re.findall(r"^missing: (\w+)", dry, re.M)
    assert set(re.findall(r"^(\w+):", settings, re.M)) == set(asked)
    before = float(re.search(r"float.safetensors: ([\d.]+) %", imported)[1])
    after = float(re.search(r"([\d.]+) % as integers", quantized)[1])
    assert before > 80
    assert after > before - 5
    monkeypatch.setattr(sys, "path", [str(TOP / "examples"), *sys.path])
    from spikingjelly_spikformer import Spikformer

    network, data = Spikformer(), load_data("digits")
    network.load_state_dict(torch.load("spikformer.pth", weights_only=False)["net"])
    samples = torch.from_numpy(data.test_samples[:100])
    with torch.no_grad():
        wanted = network.double().eval()(samples.double() / 16.0)
        found = load_checkpoint("float.safetensors").network.double().eval()(samples)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert "module accelerator(" in Path("verilog", "spikformer", "accelerator.v").read_text()
    seen = {}

    def built(board, **settings):
        seen.update(settings, board=board)
        raise KeyboardInterrupt  # minutes of yosys and nextpnr would follow

    monkeypatch.setattr(main, "_built", built)
    CliRunner().invoke(app, build[1:])
    assert (seen["board"].name, load_model(seen["model"]).network.name) == ("ulx3s_85f", "spikformer")
    assert pytest.approx(after, abs=0.01) == load_model("model.safetensors").provenance["integer_accuracy"]
