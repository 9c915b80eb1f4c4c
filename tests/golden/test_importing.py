# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta import`: what a checkpoint does not say is asked for, what is wrong is named, what is written goes on."""

import json

import pytest
import torch
import yaml
from spikformers import Spikformer, alive
from typer.testing import CliRunner

from ds2ta.commands.main import app
from ds2ta.errors import Ds2taError, NetworkError
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.golden.training.importing import import_file, look
from ds2ta.golden.training.importsettings import ASKED, missing, preset_of, read_settings
from ds2ta.golden.training.netfile import load_net
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.run import accuracy
from ds2ta.golden.training.spikformer import import_spikformer, read_shape
from ds2ta.golden.training.train import train

DIGITS = {
    "data": "digits",
    "size": [8, 8],
    "bits": 5,
    "time_steps": 4,
    "heads": 2,
    "pools": [2, 3],
    "residual": "add",
    "neuron": {"tau": 2.0, "threshold": 1.0, "reset": 0.0, "decay_input": True},
    "attention": {"scale": 0.125, "threshold": 0.5},
    "normalization": {"one": 16, "mean": [0.0], "deviation": [1.0]},
}
LINE = (
    "--data-set digits --size 8x8 --bits 5 --steps 4 --heads 2 --pools 2,3 --residual add --tau 2 --threshold 1 "
    "--reset 0 --decay-input --attention-scale 0.125 --attention-threshold 0.5 --one 16 --mean 0 --deviation 1"
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A random Spikformer for digits, with a moving average beside its weights."""
    torch.manual_seed(3)
    state = Spikformer(classes=10, channels=1).state_dict()
    path = tmp_path_factory.mktemp("digits") / "my spikformer.pth"
    torch.save({"state_dict": state, "state_dict_ema": state, "epoch": 3}, path)
    return path


def run(*arguments: object):
    """Exit code or our own error, and what was printed."""
    found = CliRunner().invoke(app, ["import", *map(str, arguments)])
    if isinstance(found.exception, Ds2taError):
        return str(found.exception), found.output
    return found.exit_code, found.output


def test_a_file_and_options_say_the_same(digits, tmp_path):
    for name, text in (("s.yaml", yaml.safe_dump(DIGITS)), ("s.json", json.dumps(DIGITS, indent=1))):
        path = tmp_path / name
        path.write_text(text)
        assert read_settings(path, {}) == read_settings(None, DIGITS)
        assert run(digits, tmp_path / f"{name}.safetensors", "--settings", path)[0] == 0
    assert run(digits, tmp_path / "o.safetensors", *LINE.split())[0] == 0
    one, *others = (load_checkpoint(tmp_path / f"{name}.safetensors").network for name in ("o", "s.yaml", "s.json"))
    for other in others:
        assert (other.network, other.config) == (one.network, one.config)
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())
    assert (tmp_path / "o.yaml").is_file()


def test_options_stand_over_the_file_and_both_over_a_preset(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("like: spikformer\nheads: 6\nneuron: {tau: 4.0}\n")
    found = read_settings(path, {"neuron": {"threshold": 0.5}})
    assert (found.heads, found.neuron.tau, found.neuron.threshold) == (6, 4.0, 0.5)
    assert (found.size, found.pools, found.time_steps, found.data) == ((32, 32), (2, 3), 4, "cifar10")
    assert [asked.key[0] for asked in missing(found)] == ["normalization"] * 3


def test_what_is_not_said_is_asked_for(digits, tmp_path):
    """Each of them, by key, option and meaning; none has a value of its own."""
    told, _ = run(digits, tmp_path / "x.safetensors")
    for asked in ASKED:
        assert asked.told in told
        values = {key: dict(value) if isinstance(value, dict) else value for key, value in DIGITS.items()}
        group = values if len(asked.key) == 1 else values[asked.key[0]]
        del group[asked.key[-1]]
        with pytest.raises(NetworkError) as refused:
            import_file(look(digits, options=values), tmp_path / "x.safetensors")
        assert str(refused.value) == f"{digits}: does not say {asked.told}"
    assert list(tmp_path.iterdir()) == []


def test_dry_run(digits):
    code, shown = run(digits, "--dry-run", "--heads", "2")
    assert code == 0
    for row in (
        "input channels 1",
        "convolutions 4, 8, 16, 32",
        "hidden_dim 64, MLP ratio 2",
        "classes 10",
        "heads 2",
    ):
        assert row in " ".join(shown.replace("│", " ").split()), row
    assert "missing: time_steps (--steps): time steps T\n" in shown
    assert "missing: heads" not in shown
    assert "unused: block.0.norm1.weight\n" in shown
    assert "note: the moving average 'state_dict_ema' not taken; --weights 'state_dict_ema' takes it\n" in shown
    code, shown = run(digits, "--dry-run", *LINE.split(), "--weights", "ema")
    assert code == 0
    assert "missing" not in shown
    assert "note: the other weights 'state_dict' not taken" in shown


def test_the_import_measures_and_goes_on(digits, tmp_path):
    """The accuracy is that of the network; fine-tuning to integers begins from the two files that are written."""
    code, shown = run(digits, tmp_path / "float.safetensors", *LINE.split())
    assert code == 0
    state = torch.load(digits, weights_only=True)["state_dict"]
    preset, values = preset_of(read_settings(None, DIGITS), read_shape(state), "my spikformer.pth")
    data = load_data("digits")
    right = accuracy(
        import_spikformer(state, network=preset.network, config=preset.config, **values),
        data.test_samples,
        data.test_labels,
    )
    assert f"float.safetensors: {right:.2f} % of the held-out samples right\n" in shown.replace(
        "\n", " "
    ) + "\n" or (f"{right:.2f} %" in shown)
    net = load_net(tmp_path / "float.yaml")
    assert (net.network, net.config) == (preset.network, preset.config)
    assert net.network.name == "my-spikformer"
    short = net.config.model_copy(update={"epochs_quantized": 1, "epochs_frozen": 0})
    done = train(net.network, short, origin=tmp_path / "float.safetensors")
    assert done.progress["float_accuracy"] == right
    assert done.progress["epochs"] == short.epochs_float + 1


def test_without_the_data_nothing_is_measured(tmp_path):
    torch.save(alive().state_dict(), tmp_path / "x.pth")
    options = [
        "--like",
        "spikformer",
        "--size",
        "16x16",
        "--heads",
        "2",
        "--one",
        "255",
        "--mean",
        "0",
        "--deviation",
        "1",
    ]
    code, shown = run(tmp_path / "x.pth", tmp_path / "f.safetensors", *options)
    assert code == 0
    assert "not measured" in shown
    assert load_checkpoint(tmp_path / "f.safetensors").progress["float_accuracy"] is None
    told, _ = run(tmp_path / "x.pth", tmp_path / "g.safetensors", *options, "--data", tmp_path / "none")
    assert "none: no such folder" in told
    assert not (tmp_path / "g.safetensors").exists()


WRONG = {
    "tau": ({"neuron": {"tau": 3.0}}, "neuron.tau 3: must be 2, 4, 8 or 16, since the hardware decays by shifts"),
    "soft": ({"neuron": {"reset": "soft"}}, "neuron.reset soft: the neurons of the integer contract are set to 0"),
    "low": ({"neuron": {"reset": 1.0}}, "neuron.threshold 1: must be above neuron.reset, 1"),
    "low attention": ({"neuron": {"reset": 0.75}}, "attention.threshold 0.5: must be above neuron.reset, 0.75"),
    "counts": (
        {"attention": {"scale": 0.15}},
        "attention.threshold 0.5 with attention.scale 0.15 is 6.66667 counts of A x V, it must be a whole number "
        "of them; --attention-scale 0.14285714285714285 makes it 7",
    ),
    "pools": ({"pools": [4]}, "pools 4: must be one of the convolutions 0..3"),
    "heads": ({"heads": 3}, "heads: 3 must divide embed_dim 32"),
    "data": ({"data": "imagenet"}, "data must be one of cifar10,"),
    "mean": ({"normalization": {"mean": [0.0, 0.0]}}, "normalization.mean [0.0, 0.0]: must be 1 numbers"),
    "deviation": (
        {"normalization": {"deviation": [0.0]}},
        "normalization.deviation [0.0]: must be 1 numbers above 0",
    ),
    "kind": ({"kind": "frames"}, "data set digits has kind image, the network frames"),
    "size": ({"size": [8, 9]}, "data set digits has width 8, the network 9"),
    "bits": ({"bits": 4}, "data set digits has 5 bits, the network 4"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_go_together_is_named(digits, tmp_path, kind):
    change, told = WRONG[kind]
    values = {
        key: value | change.get(key, {}) if isinstance(value, dict) else change.get(key, value)
        for key, value in DIGITS.items()
    }
    values |= {key: value for key, value in change.items() if key not in DIGITS}
    with pytest.raises(Ds2taError) as refused:
        import_file(look(digits, options=values), tmp_path / "x.safetensors")
    assert told in str(refused.value)
    assert list(tmp_path.iterdir()) == []


FILES = {
    "like: nothing\n": "like must be one of",
    "like: vit-4-384\n": "network vit-4-384: Spikformer has nsad off and window 1",
    "heads: 2\nsteps: 4\n": ":2: 'steps' is not one of like, name, data",
    "heads: 2\nneuron:\n  tau: slow\n": ":3: neuron.tau: Input should be a valid number (got 'slow')",
    "neuron: {taw: 2}\n": ":1: neuron.taw: Extra inputs are not permitted",
    "heads: 0\n": ":1: heads: Input should be greater than or equal to 1 (got 0)",
    "heads: true\n": ":1: heads: Input should be a valid integer (got True)",
    "neuron: {reset: hard}\n": ":1: neuron.reset",
    "size: [32]\n": ":1: size",
    "normalization: {mean: [.nan]}\n": "not plain values",
    "heads: 2\nheads: 3\n": ":2: heads stands twice",
    "- 1\n": "must be a mapping with the keys like, name",
    "heads: [\n": "not YAML",
}


@pytest.mark.parametrize("text", FILES)
def test_settings_files_that_are_wrong(digits, tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    told, _ = run(digits, "--dry-run", "--settings", path)
    assert FILES[text] in str(told)


OPTIONS = {
    "--steps 17": "--steps: Input should be less than or equal to 16 (got 17)",
    "--tau 1": "--tau: Input should be greater than 1 (got 1.0)",
    "--size 32": "--size: ",
    "--size 3x": "--size 3x: must be whole numbers with 'x' between them",
    "--pools ²": "--pools ²: must be whole numbers with ',' between them",
    "--mean 0,nan": "--mean 0,nan: must be numbers with ',' between them",
    "--reset hard": "--reset hard: must be numbers",
    "--residual iand": "--residual: Input should be 'add' or 'or' (got 'iand')",
    "--settings nowhere.yaml": "nowhere.yaml: cannot be read",
    "--weights other": "--weights other names 0 of them",
}


@pytest.mark.parametrize("line", OPTIONS)
def test_options_that_are_wrong(digits, line):
    told, _ = run(digits, "--dry-run", *line.split())
    assert str(told).removeprefix(f"{digits}: ").find(OPTIONS[line]) >= 0, told


def test_a_place_that_cannot_be_written(digits, tmp_path):
    told, _ = run(digits, tmp_path / "none" / "x.safetensors", *LINE.split())
    assert "cannot be written" in str(told)
    told, _ = run(digits, tmp_path / "x.yaml", *LINE.split())
    assert "the network file has that name" in str(told)
    told, _ = run(digits)
    assert "name the float checkpoint to write, or add --dry-run" in str(told)


def test_presets_of_baselines_are_settings():
    for name in ("spikformer", "spikformer-dvs"):
        settings = read_settings(None, {"like": name, "normalization": {"one": 1, "mean": [0], "deviation": [1]}})
        preset = PRESETS[name]
        assert settings.value(("bits",)) == preset.network.input.bits
        assert missing(settings) == []
