# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""docs/results.md shows what is on record, and the record belongs to the models at hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ds2ta.commands import main as cli
from ds2ta.errors import DataError, ModelFileError
from ds2ta.files import model_path
from ds2ta.golden.data.sets import load_data, spread
from ds2ta.golden.operations import measure
from ds2ta.golden.sparsity import attention_sparsity
from ds2ta.modelfile import load_model, model_digest, save_model
from ds2ta.records import figures_page, results
from ds2ta.records.results_page import TABLES, bits_rows, render_page
from ds2ta.sim import activity

STALE = "run `ds2ta results --record`"
MODELS = results.shipped_models()
TINY = model_path("digits-tiny")


def page() -> str:
    return results.PAGE.read_text()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A record and pages of our own."""
    for name in ("RECORD", "PAGE"):
        copy = tmp_path / getattr(results, name).name
        copy.write_text(getattr(results, name).read_text())
        monkeypatch.setattr(results, name, copy)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results -->\n<!-- /results -->\n")
    monkeypatch.setattr(figures_page, "PAGES", {readme: ("results",)})
    return tmp_path


@pytest.fixture
def ds2ta(monkeypatch, capsys):
    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ds2ta", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_the_page_shows_the_record():
    assert render_page(page(), results.read_results(), MODELS) == page(), STALE
    for name in TABLES:
        assert page().count(f"<!-- {name} -->\n") == page().count(f"<!-- /{name} -->\n") == 1


@pytest.mark.parametrize("name", MODELS)
def test_accuracies_on_the_page_are_those_in_the_files(name):
    about = MODELS[name].provenance
    cells = (
        f"| `{name}` | {about['data']} |",
        f" | {about['integer_accuracy']:.2f} | ",
        f" | {about['test_samples']} | ",
        f" | `{about['command']}` | ",
    )
    table = page().split("<!-- accuracy -->")[1].split("<!-- /accuracy -->")[0]
    assert any(all(cell in line for cell in cells) for line in table.splitlines()), STALE


@pytest.mark.parametrize("name", MODELS)
def test_the_record_belongs_to_the_models(name):
    """A model that was trained again needs new rows."""
    record, digest = results.read_results(), model_digest(MODELS[name])
    again = f"run `ds2ta results --record models/{name}.safetensors`"
    assert record["accuracy"].get(name, {}).get("digest") == digest, again
    if name in record["activity"]:
        assert record["activity"][name]["digest"] == digest, f"run `ds2ta sparsity --record` for {name}"


def test_recorded_counts_are_measured_again():
    """On data that is at hand everywhere; the RTL's counts are golden's, or they were never written."""
    record, data = results.read_results(), load_data("digits")
    ours = [name for name in record["activity"] if MODELS[name].provenance["data"] == "digits"]
    assert {"digits-tiny", "digits-small"} <= set(ours)
    for name in ours:
        row, model = record["activity"][name], MODELS[name]
        chosen = spread(len(data.test_labels), row["samples"])
        assert len(chosen) == row["samples"]
        found = measure(model, data.test_samples[chosen])
        assert [vars(block) for block in attention_sparsity(model.network, found)] == row["blocks"]
        assert int((found.logits.argmax(axis=1) == data.test_labels[chosen]).sum()) == row["right"]
        assert row["rtl"]["kept"] == row["rtl"]["kept_golden"]
        assert row["rtl"]["events"] == row["rtl"]["events_golden"]
        both = spread(len(chosen), row["rtl"]["samples"])
        assert found.kept[both].sum(axis=0).tolist() == row["rtl"]["kept"]


@pytest.mark.parametrize("change", ["accuracy", "activity", "kept", "bits", "speed", "model"])
def test_render_shows_a_change(change):
    record, models = json.loads(json.dumps(results.read_results())), dict(MODELS)
    if change == "accuracy":
        record["accuracy"]["digits-tiny"]["hardware"] = "an abacus"
    elif change == "activity":
        record["activity"]["digits-tiny"]["blocks"][0]["kept"] -= 5000
    elif change == "kept":
        record["activity"]["digits-tiny"]["rtl"]["kept"][0] += 1
    elif change == "bits":
        row = MODELS["digits-tiny"].provenance | {"model": "digits-tiny", "bits": 7, "hardware": "an abacus"}
        record["bits"].append(row)
    elif change == "model":
        about = models["digits-small"].provenance | {"integer_accuracy": 12.34}
        models["digits-small"] = replace(models["digits-small"], provenance=about)
    else:
        record["speed"] = [*record["speed"], {"what": "an abacus", "ours": 1.5, "ratio": None}]
    found = render_page(page(), record, models)
    assert found != page()
    if change == "model":
        assert found.count("| 12.34 |") == 1


def test_the_command_says_when_the_page_is_stale(files, ds2ta):
    assert ds2ta("results")[:2] == (0, "results.md is up to date\n")
    edited = page().replace("99.72", "99.99", 1)
    assert edited != page()
    results.PAGE.write_text(edited)
    assert ds2ta("results")[0] == 1
    assert ds2ta("results", "--record")[0] == 0
    assert "| 360 of 360 |" in (files / "README.md").read_text()
    assert ds2ta("results")[0] == 0
    assert "99.99" not in page()


def test_models_and_rows_are_put_on_record(files, ds2ta, tmp_path):
    tiny = load_model(TINY)
    layers = {name: replace(layer, bits=5) for name, layer in tiny.synapses.items()}
    about = tiny.provenance | {"integer_accuracy": 98.5, "command": "ds2ta train digits-tiny --bits 5"}
    other = tmp_path / "digits-tiny.safetensors"
    save_model(replace(tiny, synapses=layers, provenance=about), other)
    rows = tmp_path / "rows.json"
    row = dict(zip(results.SPEED, ("a", 1234.56, 300, 4.1152, "e", "f", "g"), strict=True))
    alone = row | {"what": "b", "spikingjelly": None, "ratio": None, "threads": 2}
    rows.write_text(json.dumps([row, alone]))
    for _ in range(2):  # the second time takes the place of the first
        code, *_ = ds2ta(
            "results", "--record", TINY, other, "--speed", rows, "--hardware", "an abacus", "--date", "2001-02-03"
        )
        assert code == 0
    record = results.read_results()
    made = {"digest": model_digest(tiny), "hardware": "an abacus", "date": "2001-02-03"}
    assert record["accuracy"]["digits-tiny"] == made
    assert [row["integer_accuracy"] for row in record["bits"] if row["bits"] == 5] == [98.5]
    own = {row["bits"]: row["integer_accuracy"] for row in bits_rows(record, MODELS)}
    assert own[4] == tiny.provenance["integer_accuracy"]
    assert "`ds2ta train digits-tiny --bits 5` | an abacus | 2001-02-03 |" in page()
    assert "| a |  |  |  | 1235 | 300 |  |  | 4.12 |  | e |  | `f` | g |  |" in page()
    assert "| b |  | 2 |  | 1235 |  |  |  |  |  | e |  | `f` | g |  |" in page()
    assert render_page(page(), record, results.shipped_models()) == page()


MISTAKES = {
    "no model": (["--record", "nowhere.safetensors"], "no such model file"),
    "not recorded": ([TINY], "put on record with --record"),
    "date": (["--record", TINY, "--date", "yesterday"], "--date yesterday: write it as"),
    "no rows": (["--record", "--speed", "nowhere.json"], "not a readable JSON file"),
    "not rows": (["--record", "--speed", results.RECORD], "must be a list of objects"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_leave_everything_as_it_was(mistake, files, ds2ta):
    before = {path: path.read_bytes() for path in files.iterdir()}
    words, message = MISTAKES[mistake]
    code, _, err = ds2ta("results", *words)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in files.iterdir()} == before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "row 0 has no 'command'"),
        ({"command": "c", "ours": None}, "row 0: ours is None, and must be a number"),
        ({"command": "c", "ratio": "3"}, "row 0: ratio is '3', and must be a number"),
    ],
)
def test_rows_of_speed_that_are_not_whole(row, message, tmp_path):
    path = tmp_path / "rows.json"
    whole = {"what": "x", "ours": 1, "spikingjelly": 2, "ratio": 3, "unit": "z", "hardware": "w"}
    path.write_text(json.dumps([whole | row]))
    with pytest.raises(DataError, match=message):
        results.add_speed({}, path)


def test_a_model_of_somebody_else_is_not_recorded(tmp_path):
    tiny = load_model(TINY)
    other = replace(tiny, provenance={"command": "mine"})
    with pytest.raises(ModelFileError, match=r"is not models/digits-tiny\.safetensors"):
        results.shipped_name(other, Path("other.safetensors"))
    assert results.shipped_name(tiny, TINY) == "digits-tiny"
    save_model(other, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="its provenance has no data"):
        results.add_trained_model(results.read_results(), tmp_path / "other.safetensors")


def test_sparsity_on_the_rtl(files, ds2ta):
    code, out, err = ds2ta("sparsity", TINY, "--samples", 5, "--rtl", 2, "--record")
    assert code == 0, err
    assert "RTL: 2 samples, equal to golden" in out
    row = results.read_results()["activity"]["digits-tiny"]
    assert row["command"] == "ds2ta sparsity models/digits-tiny.safetensors --samples 5 --rtl 2"
    data = load_data("digits").test_samples
    kept = measure(load_model(TINY), data[[0, 144]]).kept  # 5 of 360 are every 72nd, 2 of these the first and third
    assert row["rtl"]["kept"] == kept.sum(axis=0).tolist()
    assert render_page(page(), results.read_results(), results.shipped_models()) == page()


def test_a_wrong_count_is_an_error_and_not_recorded(files, ds2ta, monkeypatch):
    honest = activity.count

    def wrong(*arguments, **options):
        found = honest(*arguments, **options)
        found.events["block.0.attn"][1] -= 1
        return found

    monkeypatch.setattr(activity, "count", wrong)
    before = {path: path.read_bytes() for path in files.iterdir()}
    code, out, err = ds2ta("sparsity", TINY, "--samples", 3, "--rtl", 2, "--record")
    assert code == 1
    assert "sample 1: block.0.attn: the RTL counts" in err
    assert "equal" not in out
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_a_model_that_does_not_say_its_data(ds2ta, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(replace(load_model(TINY), provenance={}), other)
    for command in ("sparsity", "plot"):
        code, _, err = ds2ta(command, other, *(["--out", tmp_path / "out"] if command == "plot" else []))
        assert (code, err.count("\n")) == (2, 1)
        assert "does not say which data set" in err
    assert not (tmp_path / "out").exists()


def test_samples_are_spread_evenly():
    assert spread(10, 4).tolist() == [0, 2, 5, 7]
    assert spread(3, 9).tolist() == [0, 1, 2]
    assert np.diff(spread(10_000, 300)).max() <= 34
