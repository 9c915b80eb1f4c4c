# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Network files: what they mean, and one line with file, line, key and limit for whatever is wrong with them."""

import re

import pytest

from ds2ta.errors import NetworkError
from ds2ta.files import ROOT
from ds2ta.golden.data.recordings import EventSettings
from ds2ta.golden.training.netfile import find_preset, load_net
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import ImageAugmentation, ShortStart, TrainingConfig
from ds2ta.network import InputSpec

#: Recordings of a sensor that is larger than the preset's frames. Ends inside of `data`.
OWN = "like: vit-2-256\ndata:\n  kind: recordings\n  width: 240\n  height: 180\n  window_ms: 100\n"


def write(folder, text: str):
    path = folder / "net.yaml"
    path.write_text(text)
    return path


def test_a_preset_with_changes(tmp_path):
    found = load_net(
        write(
            tmp_path,
            "like: cifar-ecp5\n"
            "data: cifar100\n"
            "network:\n  name: mine\n  stem: [{channels: 16, pool: true}, {channels: 128}]\n  classes: 100\n"
            "recipe:\n  epochs_float: 7\n  images: {crop: 2}\n  short_starts: [{epochs: 5, steps: 1}]\n",
        )
    )
    base = PRESETS["cifar-ecp5"]
    assert found.network.name == "mine"
    assert [(conv.channels, conv.pool) for conv in found.network.stem] == [(16, True), (128, False)]
    assert (found.network.hidden_dim, found.network.classes) == (base.network.hidden_dim, 100)
    assert (found.config.data, found.config.epochs_float) == ("cifar100", 7)
    assert found.config.images == ImageAugmentation(crop=2)  # its other keys are those of the preset
    assert found.config.short_starts == (ShortStart(epochs=5, steps=1),)
    assert found.config.rate_float == base.config.rate_float


def test_null_takes_a_group_away(tmp_path):
    found = load_net(write(tmp_path, "like: cifar-ecp5\nrecipe: {short_starts: null, images: null}\n"))
    assert (found.config.short_starts, found.config.images) == (None, None)


def test_the_file_in_the_documents(tmp_path):
    page = (ROOT / "docs" / "training.md").read_text()
    found = load_net(write(tmp_path, re.search(r"```yaml\n(.*?)```", page, re.S)[1]))
    assert (found.network.name, found.network.classes, found.config.data) == ("cifar100-ecp5", 100, "cifar100")
    assert found.config.short_starts == (ShortStart(epochs=12, steps=1),)


def test_recordings_of_ones_own(tmp_path):
    """Frames are those of the preset, of the file, or of the sensor; steps are the network's."""
    found = load_net(write(tmp_path, OWN))
    assert found.config.data.window == 100_000
    assert (found.config.data.steps, found.config.data.bits) == (10, 4)
    assert found.network.input == found.config.data.input == PRESETS["vit-2-256"].network.input
    found = load_net(
        write(tmp_path, f"{OWN}  bits: 2\nnetwork: {{time_steps: 4, input: {{height: 90, channels: 1}}}}\n")
    )
    assert found.network.input == InputSpec(kind="frames", channels=1, height=90, width=128, bits=2)
    assert (found.config.data.steps, found.config.data.input) == (4, found.network.input)
    found = load_net(write(tmp_path, OWN.replace("vit-2-256", "digits-tiny")))
    assert found.network.input == InputSpec(kind="frames", channels=2, height=180, width=240, bits=4)
    assert TrainingConfig.model_validate(found.config.model_dump(mode="json", exclude_none=True)) == found.config


def test_the_recordings_in_the_documents(tmp_path):
    page = (ROOT / "docs" / "training.md").read_text().partition("## Recordings of your own")[2]
    found = load_net(write(tmp_path, re.search(r"```yaml\n(.*?)```", page, re.S)[1]))
    assert (found.network.input.height, found.config.data.height) == (128, 260)
    said = set(re.findall(r"^  (\w+):", page.partition("network:")[0], re.M))
    assert said == set(EventSettings.model_fields)
    example = load_net(ROOT / "examples" / "recordings.yaml")
    assert (example.network.depth, example.network.embed_dim, example.network.classes) == (2, 256, 6)
    assert example.config.data.pass_on is False


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_written_out(name, tmp_path):
    import yaml

    preset = PRESETS[name]
    recipe = preset.config.model_dump(mode="json")
    values = {"data": recipe.pop("data"), "network": preset.network.model_dump(mode="json"), "recipe": recipe}
    assert load_net(write(tmp_path, yaml.safe_dump(values))) == preset
    assert find_preset(name) == preset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "like: digits-tiny\nrecipe:\n  epochs_float: 0\n",
            "net.yaml:3: recipe.epochs_float: .*greater.* 1 .got 0",
        ),
        ("like: digits-tiny\nrecipe:\n  epoch: 3\n", "net.yaml:3: recipe.epoch: Extra inputs .* .got 3"),
        ("like: digits-tiny\nrecipe:\n\n  images:\n    crop: -1\n", "net.yaml:5: recipe.images.crop: .* .got -1"),
        ("like: digits-tiny\nrecipe: {bits: four}\n", "net.yaml:2: recipe.bits: .*integer.* .got 'four'"),
        (
            "like: digits-tiny\nnetwork:\n  stem:\n  - channels: 4\n  - {pool: true}\n",
            r"net.yaml:5: network.stem.1.channels",
        ),
        ("like: digits-tiny\nnetwork: {heads: 3}\n", "net.yaml:2: network: heads: 3 must divide embed_dim 32"),
        ("like: digits-tiny\nnetwork: {heads: true}\n", "net.yaml:2: network.heads: .*integer"),
        ("like: digit\n", "net.yaml:1: like must be one of .*, not 'digit'"),
        ("like: [a]\n", "net.yaml:1: like must be the name of a preset"),
        ("like: digits-tiny\ndata: [a]\n", "net.yaml:2: data must be the name of a data set, or what your own"),
        ("like: digits-tiny\ndata: {a: 1}\n", "net.yaml:2: data.kind: Field required"),
        (f"{OWN}  bits: 9\n", r"net.yaml:7: data.bits: .*less than or equal to 8 \(got 9\)"),
        (
            OWN.replace("ms: 100", "ms: 0"),
            r"net.yaml:6: data.window_ms: .*greater than or equal to 0.001 \(got 0\)",
        ),
        (f"{OWN}  by: events\n", "net.yaml:7: data.by: Input should be 'time' or 'count' .got 'events'"),
        (f"{OWN}  skip: 1\n", "net.yaml:7: data.skip: .*boolean .got 1"),
        (f"{OWN}  steps: 3\n", "net.yaml:7: data.steps: Extra inputs are not permitted"),
        (f"{OWN}  kind: images\n", "net.yaml:7: kind stands twice"),
        (OWN.replace("recordings", "images"), "net.yaml:3: data.kind: Input should be 'recordings' .got 'images'"),
        (f"{OWN}network: {{input: 3}}\n", "net.yaml:7: network.input: .*object .got 3"),
        (
            f"{OWN}network: {{input: {{bits: 8}}}}\n",
            "net.yaml:7: network.input.bits: is 8, data.bits is 4: give one",
        ),
        (
            f"{OWN}network:\n  input:\n    height: 181\n",
            "net.yaml:9: network.input.height: is 181, the sensor has 180",
        ),
        (
            f"{OWN}network: {{input: {{channels: 3}}}}\n",
            "net.yaml:7: network.input.channels: is 3; events have two",
        ),
        (
            f"{OWN}network: {{input: {{kind: image}}}}\n",
            "net.yaml:7: network.input.kind: recordings become frames, not",
        ),
        (OWN.replace("240", "100"), "net.yaml:2: network.input.width: is 128, the sensor has 100 .data.width"),
        ("like: digits-tiny\nrecipe: {data: mnist}\n", "net.yaml:2: data stands beside recipe"),
        ("like: digits-tiny\nrecipe: 3\n", "net.yaml:2: recipe must be a mapping"),
        ("like: digits-tiny\nlanes: 3\n", "net.yaml:2: 'lanes' is not one of like, data, network, recipe"),
        ("like: digits-tiny\nlike: cifar-ecp5\n", "net.yaml:2: like stands twice"),
        ("data: digits\n", "has neither like"),
        ("network: {name: a}\n", "net.yaml:1: network.stem: Field required"),
        ("like: digits-tiny\nrecipe: {rate_float: .nan}\n", "net.yaml: recipe: not plain values"),
        ("like: digits-tiny\nrecipe: {data_: 2025-13-45}\n", "net.yaml: not YAML of plain values"),
        ("like: &a {b: *a}\n", "net.yaml:1: an alias inside of what it names"),
        ("like: digits-tiny\nrecipe: [\n", "net.yaml:3: not YAML"),
        ("like: !!python/object:os.system {}\n", "net.yaml:1: not YAML"),
        ("- 1\n", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_mistakes_are_one_line(text, words, tmp_path):
    with pytest.raises(NetworkError, match=words) as raised:
        load_net(write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(NetworkError, match=r"absent.yaml: cannot be read \(No such file"):
        find_preset(str(tmp_path / "absent.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"like: \xe9\xe9\n")
    with pytest.raises(NetworkError, match="is not UTF-8 text"):
        find_preset(str(tmp_path / "latin.yaml"))
    with pytest.raises(NetworkError, match=r"or a file NET.yaml, not 'cifar'"):
        find_preset("cifar")
