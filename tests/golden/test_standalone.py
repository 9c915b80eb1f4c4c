# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The training core with torch, numpy and safetensors alone: the same files as with everything installed.

A child process sees none of the other packages, and runs the packed file of `make pack`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_data import CONFIG, NETWORK, squares

from ds2ta.golden.data import sets as data
from ds2ta.golden.training import train
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
#: What pip installs with torch, numpy and safetensors.
PRESENT = {
    *("torch", "torchgen", "functorch", "numpy", "safetensors"),
    *("filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "sympy", "typing_extensions"),
    *("ds2ta", "small_data"),
}
BARE = f"""
import importlib.abc, sys
sys.path.insert(0, {{pack!r}})
sys.path.insert(1, {str(Path(__file__).parent)!r})
class Absent(importlib.abc.MetaPathFinder):
    found = sys.meta_path[:]
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top[0] != "_" and top not in sys.stdlib_module_names and top not in {sorted(PRESENT)!r}:
            return None
        return next((spec for one in self.found if (spec := one.find_spec(name, path, target))), None)
for name in [name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names]:
    if not name.startswith("_"):
        del sys.modules[name]
sys.meta_path[:] = [Absent()]
import ds2ta
assert "ds2ta-train.pyz" in ds2ta.__file__
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """The file of `make pack`, made in a copy of what it reads."""
    place = tmp_path_factory.mktemp("pack")
    shutil.copy(ROOT / "Makefile", place)
    for name in ("ds2ta", "golden"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    done = subprocess.run(["make", "pack"], cwd=place, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return place / done.stdout.strip()


def bare(pack: Path, script: str, *arguments: str) -> subprocess.CompletedProcess:
    """A script on such a machine."""
    command = [sys.executable, "-c", BARE.format(pack=str(pack)) + script, *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=env, check=False)


def test_the_other_packages_are_hidden(pack):
    for name in ("pydantic", "rich", "typer", "amaranth", "sklearn"):
        done = bare(pack, f"import {name}")
        assert f"No module named '{name}'" in done.stderr


def test_recipes_are_the_same(pack):
    script = """
import json
from ds2ta.golden.training.presets import PRESETS
print(json.dumps({name: [preset.network.model_dump(mode="json"), preset.config.model_dump(mode="json"),
    preset.config.model_dump(mode="json", exclude_none=True), [repr(layer) for layer in preset.network.layers()]]
    for name, preset in PRESETS.items()}))
"""
    done = bare(pack, script)
    assert done.returncode == 0, done.stderr
    wanted = {
        name: [
            preset.network.model_dump(mode="json"),
            preset.config.model_dump(mode="json"),
            preset.config.model_dump(mode="json", exclude_none=True),
            [repr(layer) for layer in preset.network.layers()],
        ]
        for name, preset in PRESETS.items()
    }
    assert json.loads(done.stdout) == json.loads(json.dumps(wanted))


def test_recordings_of_ones_own_are_the_same(pack):
    """A recipe with a group in the place of a name, from the values in a checkpoint."""
    size = {"kind": "frames", "channels": 2, "height": 12, "width": 16, "bits": 4}
    own = {"kind": "recordings", "width": 16, "height": 12, "window_ms": 2.5, "steps": 3, "input": size}
    wanted = TrainingConfig.model_validate({"data": own}).model_dump(mode="json")
    script = f"""
import json
from ds2ta.golden.training.recipe import TrainingConfig
config = TrainingConfig.model_validate({wanted!r})
assert config.data.input.width == 16 and config.data.window == 2500
print(json.dumps(config.model_dump(mode="json")))
"""
    done = bare(pack, script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == wanted


MISTAKES = {
    "unknown": ("TrainingConfig(epochs=3)", "('epochs',) Extra inputs are not permitted"),
    "low": ("TrainingConfig(batch=1)", "('batch',) Input should be ge 2"),
    "high": ("TrainingConfig(label_smoothing=1)", "('label_smoothing',) Input should be lt 1"),
    "nested": ("TrainingConfig(short_starts=[{'epochs': 0, 'steps': 1}])", "('epochs',) Input should be ge 1"),
    "absent": ("ShortStart(epochs=1)", "('steps',) Field required"),
    "validator": (
        "TrainingConfig(epochs_float=1, short_starts=[{'epochs': 2, 'steps': 1}])",
        "() Value error, short_starts take 2 epochs, epochs_float is 1",
    ),
}


def test_bad_recipes_are_refused(pack):
    calls = [call for call, _ in MISTAKES.values()]
    script = f"""
from ds2ta.checked import ValidationError
from ds2ta.golden.training.recipe import ShortStart, TrainingConfig
for call in {calls!r}:
    try:
        print(eval(call))
    except ValidationError as error:
        print(error.errors()[0]["loc"], error.errors()[0]["msg"])
config = TrainingConfig(layer_bits={{"head": 5}})
assert config == TrainingConfig(layer_bits={{"head": 5}}) != TrainingConfig()
assert config.model_copy(update={{"seed": 3}}).seed == 3 and config.seed == 0
try:
    config.seed = 1
except AttributeError as error:
    print(error)
"""
    done = bare(pack, script)
    wanted = [message for _, message in MISTAKES.values()]
    assert done.stdout.splitlines() == [*wanted, "TrainingConfig is frozen: seed stays as it is"], done.stderr


def test_a_run_there_and_here_is_one_run(pack, tmp_path, monkeypatch):
    """Begun there, cut by the clock, ended here: the weights of a run that was only here; and the other way."""
    monkeypatch.setitem(data._LOADERS, "squares", data._Loader(squares, False))
    script = """
import sys
from small_data import CONFIG, NETWORK, squares
from ds2ta.golden.data import sets as data
from ds2ta.golden.training import run, standalone
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import Preset
data._LOADERS["squares"] = data._Loader(squares, False)
PRESETS["squares"] = Preset(NETWORK, CONFIG)
run.JOURNAL_EVERY = 3
standalone.main(sys.argv[1:])
"""
    whole = train.train(NETWORK, CONFIG, path=tmp_path / "whole.safetensors")
    first = tmp_path / "first" / "state.safetensors"
    done = bare(pack, script, "squares", "--state", str(first), "--minutes", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{first}: 0 of 3 epochs, 1 steps of the next; not done yet\n"
    half = load_checkpoint(first)
    assert (half.network.network, half.network.config) == (NETWORK, CONFIG)
    here = train.train(NETWORK, CONFIG, path=first, resume=True)
    second = tmp_path / "second.safetensors"
    train.train(NETWORK, CONFIG, path=second, stop_after=1.5)
    done = bare(pack, script, "squares", "--state", str(second))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{second}: 3 of 3 epochs, done\n")
    there = load_checkpoint(second)
    for found in (here, there):
        state = found.network.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in whole.network.state_dict().items())
        told = {"seconds": 0, "command": "ds2ta-train.pyz squares"}
        assert found.progress | told == whole.progress | told


def test_mistakes_are_one_line(pack, tmp_path):
    script = "import sys\nfrom ds2ta.golden.training import standalone\nstandalone.main(sys.argv[1:])"
    done = bare(pack, script, "cifar-ecp5", "--data", str(tmp_path), "--state", str(tmp_path / "s.safetensors"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
