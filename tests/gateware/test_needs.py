# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a machine refuses of a model: whole messages, and the settings with which each ends really mend it. The page
that lists the rules names every parameter that one is about."""

import re

import numpy as np
import pytest

from ds2ta.errors import FitError
from ds2ta.files import DOCS
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machine import Machine, highest, machine_from_dict
from ds2ta.gateware.machines import machine_choices
from ds2ta.gateware.needs import needs
from ds2ta.gateware.reasons import reasons
from ds2ta.model import IntegerModel, Synapse
from ds2ta.network import network_from_dict


def model_of(*, bits: int = 4, window: int = 1, tau: int = 0, bias: int = 0, **network) -> IntegerModel:
    """A model of any shape: all weights 1, thresholds 1."""
    given = {"embed_dim": 8, "heads": 1, "depth": 1, "hidden_dim": 8, "window": 3, "nsad": True, "classes": 2}
    given |= {"name": "x", "input": {"channels": 1, "height": 2, "width": 2, "bits": 4}, **network}
    stem = given.pop("stem", ({"channels": given["embed_dim"]},))
    shape = network_from_dict({**given, "stem": stem})
    synapses = {}
    for spec in shape.layers():
        size = (spec.outputs, spec.inputs, *([3, 3] if spec.kernel == 3 else []))
        synapses[spec.name] = Synapse(
            spec=spec,
            weight=np.ones(size, np.int8),
            bias=np.full(spec.outputs, bias),
            threshold=None if spec.name == "head" else np.ones(spec.outputs, np.int64),
            bits=bits,
            tau=tau if spec.tasa else 0,
            window=window if spec.tasa else 1,
        )
    return IntegerModel(
        network=shape,
        synapses=synapses,
        denoisers=tuple(np.ones((shape.heads, shape.head_dim), np.uint8) for _ in range(shape.depth)),
        attention_threshold=(1,) * shape.depth,
        samples=np.zeros((1, *shape.sample_shape), np.uint8),
        labels=np.zeros(1, np.int64),
    )


def mends(message: str) -> list[list[str]]:
    """The ways that the end of a message offers, each as the values of options `--set`."""
    assert message.endswith(" takes it"), message
    ways = message.rpartition("; ")[2].removesuffix(" takes it").split(" or ")
    assert all(re.fullmatch(r"(--set \w+=\w+ ?)+", way) for way in ways), message
    return [re.findall(r"--set (\S+)", way) for way in ways]


def refused(model: IntegerModel, settings: list[str]) -> str:
    """The one line with which no machine of these settings is made for the model."""
    with pytest.raises(FitError) as caught:
        fit(model, **machine_choices(None, settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


HEADS_OF_12 = {"embed_dim": 24, "heads": 2}
CASES = {
    "samples": (
        {"input": {"kind": "frames", "channels": 2, "height": 2, "width": 2, "bits": 4}},
        ["samples=images"],
        "model x: its samples are frames, the machine's images; --set samples=any takes it",
    ),
    "leak": (
        {"leak_shift": 2},
        ["leak_shift=3"],
        "model x: leak_shift is 2, the machine's is 3; --set leak_shift=2 takes it",
    ),
    "head": (
        HEADS_OF_12,
        ["row_lanes=8", "score_channels=4"],
        "model x: a head has 12 channels, it must be a multiple of the machine's row_lanes, 8; "
        "--set row_lanes=4 takes it",
    ),
    "head and what must follow": (
        HEADS_OF_12,
        ["drain_lanes=8"],
        "model x: a head has 12 channels, it must be a multiple of the machine's row_lanes, 8; "
        "--set row_lanes=4 --set drain_lanes=4 --set score_channels=4 takes it",
    ),
    "width": (
        {"hidden_dim": 600},
        ["acc_width=8"],
        "x: layer block.0.fc2: acc_width must be 11 bits, this machine has 8 bits; --set acc_width=11 takes it",
    ),
    "width of another layer than the first in the way": (
        {"window": 3, "tau": 2, "depth": 2},
        ["current_width=8"],
        "x: layer block.0.q: current_width must be 10 bits, this machine has 8 bits; "
        "--set current_width=11 takes it",
    ),
    "planes": (
        {"residual": "add"},
        ["max_planes=1"],
        "x: residual stream: max_planes must be 3, this machine has 1; --set max_planes=3 takes it",
    ),
    "two at once": (
        {"classes": 9},
        ["max_classes=8", "max_tokens=3"],
        "model x: max_tokens must be 4, the machine has 3; --set max_tokens=4 --set max_classes=9 takes it",
    ),
    "time steps": (
        {},
        ["time_steps=2"],
        "model x: time_steps must be 4, the machine has 2; --set time_steps=4 takes it",
    ),
    "banks": (
        {},
        ["bank_rows=8"],
        "model x: its tensors need 16 rows in a spike bank, the machine's bank_rows is 8 (largest: block.0.x2, "
        "12 rows); "
        "--set bank_rows=16 takes it",
    ),
    "stores": (
        {},
        ["weight_rows=9", "parameter_rows=3"],
        "model x: weight_rows must be 144, the machine has 9; "
        "--set weight_rows=144 --set parameter_rows=33 takes it",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refusal_and_mend(case):
    """Whole messages; every way that one offers takes the model."""
    changes, settings, message = CASES[case]
    model = model_of(**changes)
    found = refused(model, settings)
    assert found == message
    for way in mends(message):
        machine, program = fit(model, **machine_choices(None, settings + way))
        assert compile_model(model, machine) == program


@pytest.mark.parametrize(
    ("changes", "settings", "message", "mended"),
    [
        (
            {"embed_dim": 12, "heads": 2},
            [],
            "model x: a head has 6 channels, it must be a multiple of the machine's row_lanes, 8, and of 4 on any "
            "machine: fewer heads, or another embed_dim, make it one",
            ({"embed_dim": 16, "heads": 2}, ["row_lanes=4", "score_channels=4"]),
        ),
        (
            {"input": {"channels": 1, "height": 33, "width": 32, "bits": 4}},
            [],
            "model x: max_tokens must be 1056, no machine has more than 1024: one more pool in its stem or a "
            "smaller "
            "input takes fewer",
            (
                {
                    "input": {"channels": 1, "height": 33, "width": 32, "bits": 4},
                    "stem": [{"channels": 8, "pool": True}],
                },
                [],
            ),
        ),
        (
            {"embed_dim": 160, "heads": 1},
            [],
            "model x: max_head_dim must be 160, no machine has more than 128: more heads of its embed_dim are "
            "smaller ones",
            ({"embed_dim": 160, "heads": 2}, []),
        ),
    ],
)
def test_where_the_model_must_change(changes, settings, message, mended):
    assert refused(model_of(**changes), settings) == message
    changes, settings = mended
    assert fit(model_of(**changes), **machine_choices(None, settings))


def test_stores_beyond_any_machine(monkeypatch):
    """A real one would need a network of gigabytes, so here all machines are smaller."""
    monkeypatch.setattr("ds2ta.gateware.needs.highest", lambda key: 100 if key == "weight_rows" else highest(key))
    message = refused(model_of(), [])
    assert re.fullmatch(
        r"model x: weight_rows must be \d+, no machine has more than 100: "
        "more lanes, or a smaller network, take fewer",
        message,
    )


def test_reasons():
    """Each number that a model bears upon, and only where the model is at the limit that the rule names."""
    model = model_of(residual="add", window=3, tau=2, classes=5)
    machine, program = fit(model, row_lanes=4, drain_lanes=2, score_channels=4)
    found = {key: (value, rule) for key, value, rule in reasons(model, machine, program)}
    assert found["row_lanes"] == (4, "divides a head of 8 channels: 8 or 4")
    assert found["lanes"] == (8, "a multiple of row_lanes, 4; no layer has more than 8 outputs")
    assert found["samples"][1] == "images alone, or any"
    asked = needs(model)
    assert set(asked) <= set(found)
    for key in (
        "acc_width",
        "current_width",
        "membrane_width",
        "max_shift",
        "max_planes",
        "bank_rows",
        "weight_rows",
    ):
        value, rule = found[key]
        assert re.match(r"at least (\d+)", rule)[1] == str(value), key
    for lanes in (4, 8, 12, 32):
        assert fit(model, lanes=lanes, row_lanes=4, drain_lanes=2, score_channels=4)


def test_the_page_has_every_rule():
    """Section 10 of the page names every parameter that a model bears upon, and none that there is not."""
    page = (DOCS / "model-file.md").read_text().partition("## 10. What a machine takes")[2].partition("\n## ")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.rpartition(" | ")[2] for row in rows)))
    model = model_of()
    bears = {key for key, _, _ in reasons(model, *fit(model))} | set(needs(model))
    assert bears <= named
    assert named <= set(Machine.model_fields)
    ends = page.partition("Some of these numbers end below")[2].partition("There the network must change")[0]
    limits = re.findall(r"`(\w+)` to\s(\d+)", ends)
    assert len(limits) == 4
    for key, limit in limits:
        assert highest(key) == int(limit), key


def test_a_machine_that_is_there():
    """The machine of a bitstream is refused with all the numbers that it lacks at once; then, as only a program can
    tell, with all the rows."""
    small, large = model_of(), model_of(classes=9, bits=8, bias=3000)
    machine, _ = fit(small)
    for keys in (
        {"weight_bits", "max_classes", "param_width", "membrane_width"},
        {"weight_rows", "parameter_rows"},
    ):
        with pytest.raises(FitError) as caught:
            compile_model(large, machine)
        (way,) = mends(str(caught.value))
        settings = machine_choices(None, way)
        assert keys <= set(settings)
        machine = machine_from_dict(machine.model_dump() | settings)
    assert compile_model(large, machine)
