# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random networks of a given shape, at the size of the digits: alive everywhere, repeatable, fit for machines."""

import hashlib

import numpy as np
import pytest

from ds2ta.gateware.compiler import fit
from ds2ta.golden import slow
from ds2ta.golden.data.known import KNOWN
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training.presets import PRESETS
from ds2ta.modelfile import load_model
from ds2ta.network import network_from_dict
from ds2ta.records.paper_scale import BITS, FIRING, main, paper_scale_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("scale") / "m.safetensors"
    main([str(path), "--network", "digits-small"])
    return path


def test_a_network_of_a_preset(made, capsys):
    model = load_model(made)
    assert model.network == PRESETS["digits-small"].network
    assert model.about == KNOWN["digits"]
    assert len(model.samples) == 64
    assert {layer.bits for layer in model.synapses.values()} == {BITS}
    assert {layer.tau for layer in model.synapses.values() if layer.spec.tasa} == {2}
    weights = np.concatenate([layer.weight.ravel() for layer in model.synapses.values()])
    assert (int(weights.min()), int(weights.max())) == (-7, 7)
    assert abs(float(weights.mean())) < 0.05
    assert abs(float(weights.std()) - np.sqrt(3.5)) < 0.05  # fourteen coins
    fit(model, row_lanes=32, lanes=32)


def test_every_layer_is_alive(made):
    """No more neurons fire than shall, with a threshold of one less more would; the map has zeros and others."""
    model = load_model(made)
    trace = slow.run(model, model.samples[0], inner=True)
    for name in model.network.neuron_layers():
        share = trace[name].mean()
        assert FIRING / 2 < share <= FIRING, name
        layer = model.synapses.get(name)
        low = layer.firing_threshold.max() - 1 if layer else model.attention_threshold[int(name.split(".")[1])] - 1
        sums = trace[f"{name}.sum"]
        currents = slow.tasa(sums, layer.tau, layer.window) if layer else sums
        assert slow.lif(currents, 0, low, 1)[0].mean() > FIRING or not low, name
    for block in range(model.network.depth):
        kept = (trace[f"block.{block}.denoised"] > 0).mean()
        assert 0 < kept < (trace[f"block.{block}.score"] > 0).mean() < 1
    assert len({tuple(slow.run(model, sample)["logits"]) for sample in model.samples[:4]}) == 4


def test_equal_seeds_give_equal_files(made, tmp_path, capsys):
    """Pinned: on every machine. Another seed gives another network."""
    main([str(tmp_path / "again"), "--network", "digits-small", "--seed", "0"])
    assert (tmp_path / "again").read_bytes() == made.read_bytes()
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'again'}: 127304 weights, ")
    weight = load_model(made).synapses["rpe"].weight
    assert hashlib.sha256(weight.tobytes()).hexdigest()[:16] == "1a44b52e3a8f2353"
    main([str(tmp_path / "other"), "--network", "digits-small", "--seed", "1"])
    assert not np.array_equal(load_model(tmp_path / "other").synapses["rpe"].weight, weight)


def test_frames_without_a_window_or_nsad():
    network = network_from_dict(
        {
            "name": "frames",
            "input": {"kind": "frames", "channels": 2, "height": 6, "width": 6, "bits": 2},
            "time_steps": 3,
            "stem": [{"channels": 8, "pool": True}],
            "embed_dim": 8,
            "heads": 2,
            "depth": 1,
            "hidden_dim": 8,
            "window": 1,
            "nsad": False,
            "classes": 4,
        }
    )
    samples = np.random.default_rng(0).integers(0, 4, (2, *network.sample_shape), np.uint8)
    model = paper_scale_model(network, samples, np.zeros(2, np.int64))
    assert {(layer.tau, layer.window) for layer in model.synapses.values()} == {(0, 1)}
    assert (model.denoisers[0] == [1, 2, 3, 4]).all()
    assert model.about.pixels is model.about.events is None
    assert slow.run(model, samples[0])["block.0.fc2"].any()


@pytest.mark.parametrize("pass_on", [True, False])
def test_recordings_of_ones_own(tmp_path, capsys, monkeypatch, pass_on):
    """A network file and a folder of recordings: class names and samples in the model, but for private ones."""
    monkeypatch.setattr("ds2ta.files.BUILD", tmp_path / "build")
    random = np.random.default_rng(0)
    for place in ("train/cup", "train/pen", "test/cup", "test/pen"):
        (tmp_path / "data" / place).mkdir(parents=True)
        columns = [np.arange(4000), random.integers(0, 12, 4000), random.integers(0, 12, 4000), np.arange(4000) % 2]
        np.save(tmp_path / "data" / place / "a.npy", np.rec.fromarrays(columns, names="t,x,y,p"))
    own = f"{{kind: recordings, width: 12, height: 12, window_ms: 1, bits: 2, pass_on: {str(pass_on).lower()}}}"
    net = tmp_path / "net.yaml"
    net.write_text(
        f"like: nmnist-tiny\ndata: {own}\nnetwork: {{name: mine, classes: 2, input: {{height: 12, width: 12}}}}"
    )
    words = [str(tmp_path / "m"), "--network", str(net), "--data", str(tmp_path / "data")]
    main(words)
    model = load_model(tmp_path / "m")
    assert capsys.readouterr().err.startswith("train: 8 samples of 2 recordings (cup 4, pen 4)\n")
    assert (model.about.classes, len(model.samples)) == (("cup", "pen"), 8 if pass_on else 0)
    samples = load_data(model.provenance["data"], tmp_path / "data").test_samples
    assert slow.run(model, samples[0])["logits"].any()
    if pass_on:
        assert np.array_equal(model.samples, samples)
    net.write_text(net.read_text().replace("classes: 2", "classes: 3"))
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "its classes (2) are not those of network mine (3)\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network", "vit-9"], "preset must be one of"),
        (["--network", "vit-4-384"], "data set cifar10 is read from files"),
        (["--network", "vit-4-384", "--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "m"), *words])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
