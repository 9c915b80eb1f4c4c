# amaranth: UnusedElaboratable=no
"""The shipped networks on their accelerators, on at least 50 held-out images each, and what a model cannot do."""

import numpy as np
import pytest

from ds2ta.cli import ROOT, SHIPPED
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.presets import MACHINES
from ds2ta.modelfile import load_model
from ds2ta.sim.build import run_bench

IMAGES = 50


@pytest.mark.parametrize("name", SHIPPED)
def test_bench(name, tmp_path):
    path = ROOT / "models" / f"{name}.safetensors"
    model = load_model(path)
    machine = fit(model, **MACHINES[name])
    assert len(model.samples) >= IMAGES
    samples = tmp_path / "samples.npy"
    np.save(samples, model.samples[:IMAGES])
    run_bench(
        Accelerator(machine, compile_model(model, machine), trace=True),
        name="accelerator",
        module="ds2ta.sim.test_accelerator",
        parameters={"model": str(path), "machine": machine.model_dump(), "samples": str(samples)},
    )
