# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The record of whole networks on the emitted Verilog is that of the present hardware and models."""

from dataclasses import replace

import numpy as np
import pytest

from ds2ta.files import FROM_FILES, SHIPPED, model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.modelfile import load_model, model_digest
from ds2ta.records import designs
from ds2ta.records.rtl_runs import read_runs
from ds2ta.sim.expected import expect

LEAST = 100
STALE = "run `ds2ta verify models/{0}.safetensors --data DIR --record`"


def test_every_network_of_real_data_is_recorded():
    runs = read_runs()
    assert set(FROM_FILES) <= set(runs) <= set(SHIPPED)
    for entry in runs.values():
        assert entry["samples"] >= LEAST
        assert entry["mismatches"] == 0
        assert len(entry["cycles_each"]) == len(entry["classes"]) == entry["samples"]


@pytest.mark.parametrize("name", read_runs())
def test_belongs_to_the_hardware_and_the_model(name):
    entry, model, stale = read_runs()[name], load_model(model_path(name)), STALE.format(name)
    assert entry["model_sha256"] == model_digest(model), f"another model than now: {stale}"
    assert entry["sources"] == designs.design_digest(model), f"another design than now: {stale}"


@pytest.mark.parametrize("name", read_runs())
def test_is_what_golden_and_the_cycle_model_say(name):
    """The samples in the model file are the first ones of the data set, so of the record."""
    entry, model = read_runs()[name], load_model(model_path(name))
    classes = classify(IntegerNetwork(model).run(model.samples))
    assert entry["classes"][: len(classes)] == classes.tolist()
    wanted = expect(model, *fit(model, **MACHINES[name]), model.samples[0])
    assert entry["cycles_each"][0] == wanted.cycles
    assert [item["pass"] for item in entry["passes"]] == [item.name for item in wanted.passes]
    cycles = np.array(entry["cycles_each"])
    assert entry["cycles"] == {"mean": cycles.mean(), "min": cycles.min(), "max": cycles.max()}
    for block in entry["blocks"]:
        assert block["entries"] == entry["samples"] * model.network.time_steps * model.network.heads * (
            model.network.tokens**2
        )
        assert 0 < block["kept"] <= block["scores"] <= block["entries"]


def test_the_digest_sees_what_is_loaded(monkeypatch):
    """Another bias is another design, although no netlist holds it."""
    name = "digits-tiny"
    monkeypatch.setitem(designs.MACHINES, name, MACHINES[name] | {"weights": "ram", "tables": "ram"})
    model = load_model(model_path(name))
    layer = model.synapses["rpe"]
    bias = layer.bias.copy()
    bias[3] += 1
    other = replace(model, synapses=model.synapses | {"rpe": replace(layer, bias=bias)})
    assert designs.design_digest(model) != designs.design_digest(other)
