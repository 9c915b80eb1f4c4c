# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What version 2 of the model file says beside the numbers: `about` and `neurons`, each rule and each limit."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from model_files import NEWEST, PAGE, refused

from ds2ta.modelfile import load_model, model_digest, save_model

WHOLE = {
    "classes": ["cat", "dog", "neither"],
    "pixels": {"colours": "grey", "black": 0, "white": 15, "fit": "crop"},
    "events": None,
    "samples": {"source": "numbers counted up", "licence": "none needed", "pass_on": True},
}
EVENTS = {"cut": "time", "microseconds": 100_000, "sensor_height": 12, "sensor_width": 8}


def limits() -> dict[str, tuple[int, int]]:
    text = PAGE.read_text().split("<!-- limits: tests/core/test_about.py ", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([\w.]+)`(?: of \d \w+)? \| (-?\d+) \| (-?\d+) \|$", text, re.M)
    return {key: (int(low), int(high)) for key, low, high in rows}


def put(path: str, value: object, whole: dict | None = None) -> dict:
    found = copy.deepcopy(whole or WHOLE)
    *parents, last = path.split(".")
    at = found
    for part in parents:
        at = at[part]
    at[last] = value
    return found


def written(folder: Path, about: dict) -> Path:
    """The documented example with this `about`."""
    return NEWEST.write(folder / "m", [*NEWEST.parts()[:5], about])


def of_frames(folder: Path, events: object, *, channels: int = 2, **more: object) -> Path:
    """The same for frames of two channels."""
    network, layers, attention, tensors, provenance, _ = NEWEST.parts()
    network["input"] |= {"kind": "frames", "channels": channels}
    tensors["stem.0.weight"] = np.ones((4, channels, 3, 3), np.int8)
    tensors["samples"] = np.zeros((2, 2, channels, 3, 2), np.uint8)
    about = WHOLE | {"pixels": None, "events": events} | more
    return NEWEST.write(folder / "m", [network, layers, attention, tensors, provenance, about])


def test_all_of_it_comes_back(tmp_path: Path):
    model = load_model(written(tmp_path, WHOLE))
    assert json.loads(model.about.model_dump_json()) == WHOLE
    assert model.about.pixels.channels == 1
    save_model(model, tmp_path / "again")
    assert load_model(tmp_path / "again").about == model.about
    assert json.loads(load_model(of_frames(tmp_path, EVENTS)).about.model_dump_json())["events"] == EVENTS


def test_nothing_of_it_need_be_known(tmp_path: Path):
    nothing = {"classes": [], "pixels": None, "events": None, "samples": None}
    model = load_model(written(tmp_path, nothing))
    assert json.loads(model.about.model_dump_json()) == nothing
    assert model_digest(model) == model_digest(load_model(written(tmp_path, WHOLE)))


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (put("classes", ["cat", "dog"]), "classes: 2 names for 3 classes"),
        (put("classes", ["cat", "dog", "cat"]), "classes: name 2, 'cat', is there twice"),
        (put("classes", ["cat", "dog", ""]), "has 0 characters, it must have 1..64"),
        (put("classes", ["cat", "dog", "x" * 65]), "has 65 characters, it must have 1..64"),
        (put("classes", ["cat", "dog", "a\nb"]), "must be printable"),
        (put("classes", ["cat", "dog", "a\u200bb"]), "must be printable"),
        (put("classes", ["cat", "dog", " a"]), "without blanks at its ends"),
        (put("classes", ["cat", "dog", 3]), "about: classes.2: Input should be a valid string (got 3)"),
        (put("classes", "cat"), "about: classes: "),
        (put("pixels.colours", "rgb"), "pixels: 'rgb' takes 3 channels, the network has 1"),
        (put("pixels.colours", "cmyk"), "pixels.colours: Input should be 'grey' or 'rgb'"),
        (put("pixels.fit", "zoom"), "pixels.fit: Input should be 'crop', 'pad' or 'stretch'"),
        (put("pixels.white", 0), "pixels: black and white: both are 0, they must differ"),
        (put("pixels.white", 10), "samples: 0..11, about: pixels: they must lie in 0..10"),
        (
            put("pixels", put("black", 15, {"black": 0, "white": 1, "colours": "grey", "fit": "pad"})),
            "lie in 1..15",
        ),
        (put("pixels.white", 15.0), "pixels.white: Input should be a valid integer (got 15.0)"),
        (put("pixels", {"colours": "grey", "black": 0, "white": 15}), "pixels.fit: Field required"),
        (put("pixels", []), "about: pixels: "),
        (put("events", EVENTS), "events: the input is image, it must be null"),
        (put("samples.pass_on", "yes"), "samples.pass_on: Input should be a valid boolean"),
        (put("samples.licence", ""), "samples.licence: String should have at least 1 character"),
        (put("samples.source", "x" * 201), "samples.source: String should have at most 200 characters"),
        (put("samples.source", "a\0b"), "must be printable"),
        (put("mean", [0, 0, 0]), "about: mean: Extra inputs are not permitted"),
        ({key: value for key, value in WHOLE.items() if key != "events"}, "about is not canonical"),
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path: Path, about: dict, words: str):
    assert words in refused(written(tmp_path, about))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (EVENTS | {"cut": "count"}, "microseconds: 100000 with runs of equal count, it must be null"),
        (EVENTS | {"cut": "blink"}, "events.cut: Input should be 'count' or 'time'"),
        (EVENTS | {"sensor_height": None}, "events.sensor_height: "),
        ({"cut": "count"}, "events.microseconds: Field required"),
    ],
)
def test_events_that_cannot_be(tmp_path: Path, events: dict, words: str):
    assert words in refused(of_frames(tmp_path, events))


def test_events_and_pixels_are_for_their_inputs(tmp_path: Path):
    assert "pixels: the input is frames" in refused(of_frames(tmp_path, None, pixels=WHOLE["pixels"]))
    assert "they fill channels 1 or 2, the network has 3" in refused(of_frames(tmp_path, EVENTS, channels=3))
    assert load_model(of_frames(tmp_path, EVENTS, channels=1)).about.events.microseconds == 100_000
    whole = EVENTS | {"microseconds": None}
    for cut in ("time", "count"):
        assert load_model(of_frames(tmp_path, whole | {"cut": cut})).about.events.cut == cut


def test_inverted_pixels_and_files_without_samples(tmp_path: Path):
    """Black above white is ink on paper; levels that the samples leave out are for the next reader alone."""
    assert load_model(written(tmp_path, put("pixels.black", 11, put("pixels.white", 0)))).about.pixels.black == 11
    changed = [*NEWEST.parts()[:5], put("pixels.white", 3)]
    changed[3]["samples"], changed[3]["labels"] = changed[3]["samples"][:0], changed[3]["labels"][:0]
    assert load_model(NEWEST.write(tmp_path / "bare", changed)).about.pixels.white == 3


def test_the_page_has_the_limits():
    assert set(limits()) == {
        "pixels.black",
        "pixels.white",
        "events.microseconds",
        "events.sensor_height",
        "events.sensor_width",
        "leak",
    }


@pytest.mark.parametrize(("key", "low", "high"), [(key, *ends) for key, ends in limits().items() if key != "leak"])
def test_limits(tmp_path: Path, key: str, low: int, high: int):
    """Both ends are taken, one beyond is refused with the value and the limit."""
    part, _, name = key.partition(".")
    other = {"black": 8, "white": 8}  # so that no limit meets it

    def path(value: int) -> Path:
        if part == "events":
            return of_frames(tmp_path, EVENTS | {name: value})
        changed = [*NEWEST.parts()[:5], put("pixels", WHOLE["pixels"] | other | {name: value})]
        changed[3]["samples"][:] = 8
        return NEWEST.write(tmp_path / "m", changed)

    for limit, beyond in ((low, low - 1), (high, high + 1)):
        assert load_model(path(limit)).network.name == "example"
        message = refused(path(beyond))
        assert name in message
        assert re.search(rf"\b{abs(beyond)}\b", message)
        assert re.search(rf"\b{limit}\b", message)


@pytest.mark.parametrize(
    ("neurons", "words"),
    [
        ({"leak": {}, "reset": "soft"}, "reset is 'soft', which is reserved: neurons reset to 0"),
        ({"leak": {}, "reset": "none"}, "reset is 'none', it must be 'hard'"),
        ({"leak": {}}, "neurons: reset is missing"),
        ({"reset": "hard"}, "neurons: leak is missing"),
        ({"leak": [], "reset": "hard"}, "neurons: leak is not an object"),
        ({"leak": {"head": 2}, "reset": "hard"}, "leak: 'head' has no neurons in this network"),
        ({"leak": {"block.1.q": 2}, "reset": "hard"}, "leak: 'block.1.q' has no neurons in this network"),
        ({"leak": {"rpe": 1}, "reset": "hard"}, "leak of rpe is the network's, 1: it must be left out"),
        ({"leak": {"rpe": 0}, "reset": "hard"}, "leak of rpe is 0, it must be a whole number in 1..4"),
        ({"leak": {"rpe": 5}, "reset": "hard"}, "leak of rpe is 5, it must be a whole number in 1..4"),
        ({"leak": {"rpe": 2.0}, "reset": "hard"}, "leak of rpe is 2.0"),
        ({"leak": {"rpe": True}, "reset": "hard"}, "leak of rpe is True"),
        ({"leak": {}, "reset": "hard", "reversal": 1}, "neurons is not canonical"),
    ],
)
def test_neurons_that_are_not_are_refused(tmp_path: Path, neurons: dict, words: str):
    path = NEWEST.set_metadata(tmp_path / "m", neurons=NEWEST.canonical(neurons))
    assert words in refused(path)


def test_leaks_come_back_and_are_in_the_digest(tmp_path: Path):
    """By the documented writer and by ours; the limits are those of the page."""
    low, high = limits()["leak"]
    plain = load_model(NEWEST.write(tmp_path / "plain", NEWEST.parts()))
    usual = plain.network.leak_shift
    assert usual == low == 1
    leaks = {"rpe": high, "block.0.attn": low + 1}
    path = NEWEST.write(tmp_path / "leaks", [*NEWEST.parts(), leaks])
    model = load_model(path)
    assert model.leaks == leaks
    assert [model.leak_shift(name) for name in ("rpe", "block.0.attn", "stem.0")] == [high, low + 1, usual]
    assert model_digest(model) != model_digest(plain)
    save_model(model, tmp_path / "ours")
    assert load_model(tmp_path / "ours").leaks == leaks
    assert model_digest(load_model(tmp_path / "ours")) == model_digest(model)
