# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`train_preset` and `quantize_file`: files in, files out."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from ds2ta.computer import computer
from ds2ta.errors import DataError, Ds2taError, NetworkError
from ds2ta.golden.data.known import KNOWN
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training import release
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.golden.training.release import integer_accuracy, quantize_file, train_preset
from ds2ta.golden.training.train import train
from ds2ta.modelfile import load_model, model_digest
from ds2ta.network import network_from_dict

SPARK = Preset(
    network=network_from_dict(
        {
            "name": "spark",
            "input": {"kind": "image", "channels": 1, "height": 8, "width": 8, "bits": 5},
            "time_steps": 2,
            "stem": [{"channels": 4, "pool": True}, {"channels": 8, "pool": True}],
            "embed_dim": 8,
            "heads": 1,
            "depth": 1,
            "hidden_dim": 8,
        }
    ),
    config=TrainingConfig(epochs_float=1, epochs_quantized=1, epochs_frozen=0, batch=256),
)


def test_train_preset_and_quantize_file(tmp_path, monkeypatch):
    monkeypatch.setitem(release.PRESETS, "spark", SPARK)
    screen = io.StringIO()
    checkpoint = tmp_path / "work" / "spark.ckpt"
    path = train_preset("spark", out=tmp_path / "models", checkpoint=checkpoint, console=Console(file=screen))
    assert path == tmp_path / "models" / "spark.safetensors"
    model = load_model(path)
    about, data = model.provenance, load_data("digits")
    assert about["command"] == "ds2ta train spark --out FOLDER"
    assert about["hardware"] == f"{computer()}, 1 thread"
    assert about["date"] == load_checkpoint(checkpoint).progress["date"]
    assert about["integer_accuracy"] == integer_accuracy(model, data.test_samples, data.test_labels)
    assert "held-out accuracy" in screen.getvalue()

    assert model.about == KNOWN["digits"]
    assert np.array_equal(model.samples, data.test_samples[:64])
    assert np.array_equal(model.labels, data.test_labels[:64])

    _, again = quantize_file(checkpoint, tmp_path / "again.safetensors")
    assert load_model(tmp_path / "again.safetensors").provenance == again.provenance
    for name, layer in again.synapses.items():
        assert (layer.weight == model.synapses[name].weight).all()
        assert (layer.bias == model.synapses[name].bias).all()

    # samples that may not be passed on stay outside of the file
    private = KNOWN["digits"].samples.model_copy(update={"pass_on": False})
    with monkeypatch.context() as patch:
        patch.setitem(KNOWN, "digits", KNOWN["digits"].model_copy(update={"samples": private}))
        quantize_file(checkpoint, tmp_path / "private.safetensors")
    bare = load_model(tmp_path / "private.safetensors")
    assert len(bare.samples) == len(bare.labels) == 0
    assert bare.about.samples == private
    assert bare.provenance["integer_accuracy"] == about["integer_accuracy"]

    # a finished run resumes to the same model; another seed gives another one and says so
    resumed = train_preset(
        "spark", out=tmp_path / "models", checkpoint=checkpoint, resume=True, console=Console(file=screen)
    )
    assert model_digest(load_model(resumed)) == model_digest(model)
    other = train_preset(
        "spark", out=tmp_path / "other", checkpoint=tmp_path / "o.ckpt", seed=5, console=Console(file=screen)
    )
    assert load_model(other).provenance["command"] == "ds2ta train spark --seed 5 --out FOLDER"
    assert load_model(other).provenance["seed"] == 5
    assert model_digest(load_model(other)) != model_digest(model)


def test_unknown_preset_leaves_nothing_behind(tmp_path):
    with pytest.raises(NetworkError, match=r"preset must be one of digits-tiny, .*, not 'imagenet'"):
        train_preset("imagenet", out=tmp_path / "models", checkpoint=tmp_path / "x.ckpt")
    assert not list(tmp_path.iterdir())


def test_quantize_file_refuses_a_model_file(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(Ds2taError, match="not a readable safetensors file"):
        quantize_file(tmp_path / "junk", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


MISTAKES = {
    "seed": ({"seed": -1}, r"--seed -1: input should be greater than or equal to 0"),
    "threads": ({"threads": 0}, r"--threads 0: input should be greater than or equal to 1"),
    "many threads": ({"threads": 65}, r"--threads 65: input should be less than or equal to 64"),
    "bits": ({"bits": 9}, r"--bits 9: input should be less than or equal to 8"),
    "device": ({"device": "tpu"}, r"--device tpu: must be cpu or cuda"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_options_leave_nothing_behind(mistake, tmp_path):
    options, message = MISTAKES[mistake]
    with pytest.raises(NetworkError, match=message):
        train_preset("digits-tiny", out=tmp_path / "models", checkpoint=tmp_path / "x.ckpt", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_no_gpu(tmp_path):
    with pytest.raises(NetworkError, match="--device cuda: no GPU is there"):
        train_preset("digits-tiny", out=tmp_path / "models", checkpoint=tmp_path / "x.ckpt", device="cuda")


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for place in ({"out": tmp_path / "file" / "x"}, {"checkpoint": tmp_path / "file" / "x" / "s"}):
        options = {"out": tmp_path / "models", "checkpoint": tmp_path / "s"} | place
        with pytest.raises(DataError, match="no folder can be made there"):
            train_preset("digits-tiny", **options)


def test_an_unfinished_run_is_not_exported(tmp_path):
    data = load_data("digits")
    network = SPARK.network
    path = tmp_path / "half.ckpt"
    train(network, SPARK.config, path=path, data=data, stop_after=1)
    with pytest.raises(NetworkError, match=r"half.ckpt: 1 of 2 epochs are done: .* with the rest; --bits 4"):
        quantize_file(path, tmp_path / "out.safetensors")
    with pytest.raises(NetworkError, match="--samples: only --bits"):
        quantize_file(path, tmp_path / "out.safetensors", count=3)
    with pytest.raises(NetworkError, match="--bits 9: input should be less than or equal to 8"):
        quantize_file(path, tmp_path / "out.safetensors", bits=9)
    with pytest.raises(Ds2taError, match=r"none/out\.safetensors: cannot be written"):
        quantize_file(path, tmp_path / "none" / "out.safetensors", bits=4)
    assert not (tmp_path / "out.safetensors").exists()


def test_only_the_preset_itself_goes_to_the_models(tmp_path, monkeypatch):
    """Another seed must not take the place of a shipped file."""
    monkeypatch.setitem(release.PRESETS, "spark", SPARK)
    monkeypatch.setattr(release, "MODELS", tmp_path / "models")
    monkeypatch.setattr(release, "BUILD", tmp_path / "build")
    for seed, where in ((None, "models"), (6, "build/trained"), (0, "models")):
        path = train_preset("spark", out=None, checkpoint=tmp_path / f"{seed}.ckpt", seed=seed, threads=2)
        assert path == tmp_path / where / "spark.safetensors"
        command = load_model(path).provenance["command"]
        assert command == "ds2ta train spark" + (f" --seed {seed}" if seed is not None else "") + " --threads 2"
