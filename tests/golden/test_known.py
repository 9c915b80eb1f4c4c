# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What model files say about data sets agrees with the readers of these sets, and goes to their networks alone."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from ds2ta.about import About
from ds2ta.golden.data.known import KNOWN, known_about
from ds2ta.golden.data.sets import dataset_names, load_data
from ds2ta.golden.random_model import random_model
from ds2ta.golden.training.presets import PRESETS
from ds2ta.modelrules import check_model


def test_every_data_set_is_known():
    assert set(KNOWN) == set(dataset_names())


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_known_suits_the_presets(name):
    """Class names as many as classes, levels within the bits, events of the sensor's size."""
    preset = PRESETS[name]
    network, about = preset.network, known_about(preset.config.data, preset.network)
    assert about is KNOWN[preset.config.data]
    assert about.samples is not None
    assert len(about.classes) in (0, network.classes)
    assert (about.pixels is None) == (network.input.kind == "frames") == (about.events is not None)
    if about.pixels:
        assert max(about.pixels.black, about.pixels.white) < 1 << network.input.bits
    else:
        assert (about.events.sensor_height, about.events.sensor_width) == (
            network.input.height,
            network.input.width,
        )


def test_levels_of_digits_are_those_of_the_data():
    data = load_data("digits")
    pixels = KNOWN["digits"].pixels
    assert (pixels.black, pixels.white) == (data.train_samples.min(), data.train_samples.max())


def test_class_names_of_cifar100():
    names = KNOWN["cifar100"].classes
    assert len(set(names)) == 100
    assert list(names) == sorted(names), "the publishers' names are in order"


@pytest.mark.parametrize(
    ("data", "change"),
    [
        ("cifar10", {"classes": 11}),
        ("cifar10", {"channels": 1}),
        ("cifar10", {"kind": "frames", "channels": 2}),
        ("nmnist", {"kind": "frames", "channels": 3}),
        ("nmnist", {"kind": "image", "channels": 2}),
        ("letters", {}),
        (None, {}),
        (["cifar10"], {}),
    ],
)
def test_other_networks_are_told_nothing(data, change):
    limits = {"kind": "image", "channels": 3, "classes": 10, "input_bits": 8, "depth": 0} | change
    model = random_model(np.random.default_rng(0), **limits)
    assert known_about(data, model.network) == About()


@pytest.mark.parametrize(("data", "kind", "channels"), [("cifar10", "image", 3), ("cifar10-dvs", "frames", 2)])
def test_networks_of_the_set_are_told(data, kind, channels):
    model = random_model(np.random.default_rng(0), kind=kind, channels=channels, classes=10, input_bits=8, depth=0)
    about = known_about(data, model.network)
    assert about is KNOWN[data]
    check_model(dataclasses.replace(model, about=about), "m")


def test_no_torch_is_needed():
    """`ds2ta convert` works where torch is not installed."""
    code = "import sys; import ds2ta.golden.data.known; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
