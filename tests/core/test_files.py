# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What is shipped has a file, a preset and a machine, and nothing lies beside it unnamed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_files import same

from ds2ta.files import DIGIT_IMAGES, DIGITS, FROM_FILES, MODELS, SHIPPED, model_path
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden.data.known import KNOWN
from ds2ta.golden.training.presets import PRESETS
from ds2ta.modelfile import VERSION, file_version, load_model, model_digest


def test_every_file_is_named_and_every_name_has_a_file():
    found = {path.stem for path in MODELS.glob("*.safetensors")}
    assert found == set(SHIPPED), "a model in models/ must be in ds2ta/files.py, and the other way round"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_what_its_name_says(name):
    model = load_model(model_path(name))
    assert model.network == PRESETS[name].network
    assert len(model.samples) == len(model.labels) == 64
    assert name in MACHINES
    assert (model.provenance["data"] == "digits") == (name in DIGITS)
    assert (name in FROM_FILES) != (name in DIGITS)
    for figure in ("test_samples", "float_accuracy", "integer_accuracy"):  # what `make bench` shows
        assert model.provenance[figure] > 0


@pytest.mark.parametrize("name", DIGITS)
def test_the_images_of_digits_are_those_of_the_models(name):
    images = np.load(DIGIT_IMAGES)
    assert images.dtype == np.uint8
    assert np.array_equal(images, load_model(model_path(name)).samples)


def test_a_file_of_version_1_is_read_for_good():
    """The first file that was shipped of digits-tiny, as it was, beside the one of today."""
    old = Path(__file__).with_name("digits-tiny-version-1.safetensors")
    assert hashlib.sha256(old.read_bytes()).hexdigest()[:16] == "e3517ae8f518ef4d"
    assert file_version(old) == 1
    model, today = load_model(old), load_model(model_path("digits-tiny"))
    assert model_digest(model) == model_digest(today)
    assert same(replace(model, about=today.about), today)
    assert file_version(model_path("digits-tiny")) == VERSION


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_says_what_it_is_about(name):
    """It is packed, and has what is known of its data set."""
    model = load_model(model_path(name))
    assert file_version(model_path(name)) == VERSION
    assert model.about == KNOWN[model.provenance["data"]]
    assert model.about.samples.pass_on is not False
