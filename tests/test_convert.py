# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta convert`, what a file says about classes and samples, and files without samples, as users meet them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ds2ta.about import About, Events, Pixels, SampleOrigin
from ds2ta.commands.main import app
from ds2ta.commands.options import some_samples
from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.export import SIDECAR
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden import slow
from ds2ta.golden.data.known import KNOWN
from ds2ta.golden.random_model import random_model
from ds2ta.modelfile import VERSION, file_version, load_model, model_digest, save_model
from ds2ta.sim.expected import expect, noise

OLD = Path(__file__).parent / "core" / "digits-tiny-version-1.safetensors"
NAMES = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "[bold]nine")


@pytest.fixture
def ds2ta():
    """Runs a command that must do well; returns what it printed."""

    def run(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_an_old_file_becomes_a_new_one(ds2ta, tmp_path):
    """Same numbers, same digest, smaller, and what is known of the digits beside them; the old one is as it was."""
    before, new = OLD.read_bytes(), tmp_path / "new.safetensors"
    told = ds2ta("convert", OLD, new).splitlines()
    old, made = load_model(OLD), load_model(new)
    assert OLD.read_bytes() == before
    assert (file_version(OLD), file_version(new)) == (1, VERSION)
    assert model_digest(made) == model_digest(old)
    assert made.about == KNOWN["digits"]
    assert all((layer.weight == old.synapses[name].weight).all() for name, layer in made.synapses.items())
    assert told[0] == f"{OLD}: version 1, {len(before)} bytes, SHA-256 {model_digest(old)}"
    assert told[1] == f"{new}: version {VERSION}, {new.stat().st_size} bytes, SHA-256 as before"
    assert new.read_bytes() == model_path("digits-tiny").read_bytes(), "the shipped file is what convert makes"
    whole = sum(layer.weight.size for layer in old.synapses.values())
    packed = sum(-(-layer.weight.size * layer.bits // 8) for layer in old.synapses.values())
    more = len(made.about.model_dump_json()) + 500  # for the words about it, once more escaped
    assert new.stat().st_size < len(before) - whole + packed + more


def test_what_a_file_says_itself_stays(ds2ta, tmp_path):
    model = load_model(OLD)
    own = About(pixels=Pixels(colours="grey", black=16, white=0, fit="stretch"))
    save_model(replace(model, about=own), tmp_path / "own")
    ds2ta("convert", tmp_path / "own", tmp_path / "new")
    assert load_model(tmp_path / "new").about == replace_about(KNOWN["digits"], pixels=own.pixels)


def replace_about(about: About, **values: object) -> About:
    return about.model_copy(update=values)


def test_a_foreign_model_stays_without_words(ds2ta, tmp_path):
    """Of a data set that nobody knows, or of one that is not this network's."""
    model = load_model(OLD)
    for number, data in enumerate((None, "letters", "cifar10", "nmnist", 3)):
        save_model(replace(model, provenance={"data": data}), tmp_path / f"old{number}")
        ds2ta("convert", tmp_path / f"old{number}", tmp_path / f"new{number}")
        assert load_model(tmp_path / f"new{number}").about == About()


def test_names_come_out_of_run(ds2ta, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    new, images = tmp_path / "named", tmp_path / "images.npy"
    told = ds2ta("convert", OLD, new, "--classes", tmp_path / "names.txt")
    assert f"classes: 10, {', '.join(NAMES)}\n" in told
    model = load_model(new)
    assert model.about.classes == NAMES
    nine = int(np.flatnonzero(model.labels == 9)[0])
    np.save(images, model.samples[[0, nine]])
    wanted = [int(np.argmax(slow.run(model, model.samples[at])["logits"])) for at in (0, nine)]
    assert wanted[1] == 9
    lines = [json.loads(line) for line in ds2ta("run", new, images, "--json").splitlines()]
    assert [(line["class"], line["name"]) for line in lines] == [(number, NAMES[number]) for number in wanted]
    table = ds2ta("run", new, images)
    for number in wanted:
        assert re.search(rf"\b{number} +\S +{re.escape(NAMES[number])} ", table)
    assert all("name" not in json.loads(line) for line in ds2ta("run", OLD, images, "--json").splitlines())


def test_samples_are_cut_and_that_is_said(ds2ta, tmp_path):
    old = load_model(OLD)
    for count in (0, 5, 500):
        new = tmp_path / f"new{count}"
        told = ds2ta("convert", OLD, new, "--samples", count)
        made = load_model(new)
        kept = min(count, 64)
        assert np.array_equal(made.samples, old.samples[:kept])
        assert np.array_equal(made.labels, old.labels[:kept])
        assert ("SHA-256 as before" in told) == (kept == 64)
        assert (f"SHA-256 {model_digest(made)}, for its samples are others" in told) == (kept < 64)
        assert f"self-test samples: {kept}, of Optical Recognition" in told


def test_info_tells_what_a_file_is_about(ds2ta, tmp_path):
    model = random_model(np.random.default_rng(3), row_lanes=8, depth=0, kind="frames", channels=2, classes=12)
    about = About(
        classes=tuple(f"class {number}" for number in range(12)),
        events=Events(cut="time", microseconds=100_000, sensor_height=480, sensor_width=640),
        samples=SampleOrigin(source="somebody's", licence="all rights reserved", pass_on=False),
    )
    save_model(replace(model, about=about), tmp_path / "m")
    told = ds2ta("info", tmp_path / "m")
    assert f"version {VERSION}, {(tmp_path / 'm').stat().st_size} bytes\n" in told
    assert "classes: 12, class 0, class 1, " in told
    assert "class 9, ...\n" in told
    assert "events: frames of equal time in 100000 us, from a sensor of 640 x 480 pixels\n" in told
    assert "samples: 3, of somebody's, licence: all rights reserved (MUST NOT be passed on)\n" in told
    told = ds2ta("info", OLD)
    assert "version 1, 41980 bytes\n" in told
    assert "classes: 10, without names\n" in told
    assert "self-test samples: 64\n" in told


@pytest.fixture
def bare(tmp_path) -> Path:
    """A model file without samples."""
    model = load_model(OLD)
    save_model(replace(model, samples=model.samples[:0], labels=model.labels[:0]), tmp_path / "bare.safetensors")
    return tmp_path / "bare.safetensors"


def test_hardware_of_a_model_without_samples(bare, tmp_path):
    """Cycles are those of noise, always the same, and one line says so."""
    model = load_model(bare)
    said = "digits-tiny: its file has no samples; cycles are those of noise\n"
    for words in (["info", bare], ["verilog", "--model", bare, "--out", tmp_path / "out"]):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert done.stderr == said
    machine, program = fit(model, **MACHINES["digits-tiny"])
    cycles = expect(model, machine, program, noise(model)[0]).cycles
    sidecar = json.loads((tmp_path / "out" / "digits-tiny" / SIDECAR).read_text())
    assert sidecar["predicted_cycles"] == [cycles]


def test_no_demo_without_samples(bare):
    done = CliRunner().invoke(app, ["demo", "--model", str(bare)])
    assert str(done.exception) == "demo of 20 images: digits-tiny carries none"


def test_samples_to_count_cycles_on(capsys):
    """Those of the file; noise that the model takes where there are none, with a line about it."""
    model = load_model(OLD)
    assert np.array_equal(some_samples(model, 4), model.samples[:4])
    assert np.array_equal(some_samples(model), model.samples)
    # of a network of the paper's size few, or a build would count for an hour before it begins
    layer = model.synapses["block.0.fc1"]
    large = replace(layer, weight=np.broadcast_to(np.int8(1), (1 << 14, 1 << 14)))
    assert len(some_samples(replace(model, synapses=model.synapses | {"block.0.fc1": large}))) == 1
    assert capsys.readouterr().err == ""
    for seed, kind in enumerate(("image", "frames")):
        model = random_model(np.random.default_rng(seed), kind=kind, depth=0)
        made = some_samples(replace(model, samples=model.samples[:0], labels=model.labels[:0]), 4)
        assert made.shape == (1, *model.network.sample_shape)
        assert np.array_equal(slow.check_sample(model, made[0]), noise(model)[0])
        assert "its file has no samples" in capsys.readouterr().err
