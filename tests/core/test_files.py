"""What is shipped has a file, a preset and a machine, and nothing lies beside it unnamed."""

import pytest

from ds2ta.files import DIGITS, FROM_FILES, SHIPPED, model_path
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden.training.presets import PRESETS
from ds2ta.modelfile import load_model


def test_every_file_is_named_and_every_name_has_a_file():
    found = {path.stem for path in model_path("any").parent.glob("*.safetensors")}
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
