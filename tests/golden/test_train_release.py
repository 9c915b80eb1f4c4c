"""`train_preset` and `quantize_file`: files in, files out."""

import io

import pytest
from rich.console import Console

from ds2ta.errors import Ds2taError, NetworkError
from ds2ta.golden import release
from ds2ta.golden.data import load_data
from ds2ta.golden.presets import Preset
from ds2ta.golden.recipe import TrainingConfig
from ds2ta.golden.release import integer_accuracy, quantize_file, train_preset
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
    assert about["command"] == "ds2ta train spark --out models/"
    assert about["integer_accuracy"] == integer_accuracy(model, data.test_samples, data.test_labels)
    assert "held-out accuracy" in screen.getvalue()

    again = quantize_file(checkpoint, tmp_path / "again.safetensors")
    assert load_model(tmp_path / "again.safetensors").provenance == again.provenance
    for name, layer in again.synapses.items():
        assert (layer.weight == model.synapses[name].weight).all()
        assert (layer.bias == model.synapses[name].bias).all()

    # a finished run resumes to the same model; another seed gives another one and says so
    resumed = train_preset(
        "spark", out=tmp_path / "models", checkpoint=checkpoint, resume=True, console=Console(file=screen)
    )
    assert model_digest(load_model(resumed)) == model_digest(model)
    other = train_preset(
        "spark", out=tmp_path / "other", checkpoint=tmp_path / "o.ckpt", seed=5, console=Console(file=screen)
    )
    assert load_model(other).provenance["command"].endswith("--seed 5")
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
