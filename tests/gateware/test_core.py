# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of Core: random networks built in and loaded, digits-tiny as an iCE40 holds it."""

import hashlib
import re

import numpy as np
import pytest

from ds2ta.errors import FitError
from ds2ta.files import ROOT
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.core import Core
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.gateware.verilog import emit
from ds2ta.golden.random_model import random_model
from ds2ta.modelfile import load_model, save_model
from ds2ta.sim.build import run_bench

CLOCK = 24_000_000
SMALL = {
    "row_lanes": 4,
    "max_dim": 8,
    "max_hidden": 8,
    "max_heads": 2,
    "depth": 1,
    "time_steps": 3,
    "stem": 1,
    "channels": 2,
    "input_bits": 3,
    "classes": 5,
    "max_tokens": 4,
    "max_positions": 16,
}
STREAMED = ["memory_in_mid_run", "memory_stalls", "memory_not_ready"]  # needs an external memory
LANES = {"lanes": 4, "row_lanes": 4, "drain_lanes": 2, "score_channels": 4}


# the memory behind each store in the hierarchy of the emitted Verilog, and the word that holds row 0
MEMORIES = {
    "weights": ("accelerator.weight_store.memory", 0),
    "program": ("accelerator.program_store.memory", 0),
    "parameters": ("accelerator.parameter_store.memory", 0),
    "denoiser": ("accelerator.attention.denoiser.table_2.store.memory", 1),
}


def _run(model, folder, choices, *, built_in=False, samples=2, upsets=False, large=False, **memory) -> list[str]:
    """Run the bench; the answer is what it left out."""
    machine, _ = fit(model, **choices)
    path, images = folder / "model.safetensors", folder / "samples.npy"
    save_model(model, path)
    np.save(images, model.samples[:samples])
    digest = hashlib.sha256(path.read_bytes()).digest() if built_in else bytes(32)
    core = Core(
        machine,
        compile_model(model, machine) if built_in else None,
        clock_hz=CLOCK,
        digest=digest if built_in else b"",
    )
    given = {"model": str(path), "machine": machine.model_dump(), "samples": str(images)}
    given |= memory | {"built_in": built_in, "large": large, "clock_hz": CLOCK, "digest": digest.hex()}
    extra = []
    if upsets:
        given["upsets"] = MEMORIES
        modules = re.findall(r"^module (core_store\w*)\(", emit(core, "core"), re.M)
        extra = [f"{module}.memory" for module in modules if module != "core_store_checker"]
    log = run_bench(core, name="core", module="ds2ta.sim.benches.bench_core", parameters=given, extra=extra)
    return re.findall(r"bench_core\.(\w+) +SKIP", log)


def test_loaded(tmp_path):
    model = random_model(np.random.default_rng(1), **SMALL, kind="frames")
    assert _run(model, tmp_path, LANES | {"weights": "ram", "tables": "ram"}, upsets=True) == STREAMED


def test_built_in(tmp_path):
    model = random_model(np.random.default_rng(2), **SMALL, kind="image")
    needs_loading = ["nothing_loaded", "load_refused", "changed_words", "trust", "upsets"]
    assert _run(model, tmp_path, LANES, built_in=True) == needs_loading + STREAMED


@pytest.mark.parametrize(
    ("change", "memory"),
    [
        ({"memory_bits": 16}, {}),
        ({"memory_bits": 16, "events": 2, "pipeline": "deep"}, {"memory_stall": "random:0.5", "memory_latency": 9}),
    ],
)
def test_streams(tmp_path, change, memory):
    model = random_model(np.random.default_rng(1), **SMALL, kind="frames")
    choices = LANES | {"weights": "stream", "ring_rows": 128, "tables": "ram"} | change
    assert _run(model, tmp_path, choices, upsets=True, **memory) == []


def test_streams_that_a_host_writes_past_the_core(tmp_path):
    model = random_model(np.random.default_rng(2), **SMALL, kind="image")
    choices = LANES | {"weights": "stream", "ring_rows": 128, "memory_bits": 64}
    needs_loading = ["nothing_loaded", "load_refused", "changed_words", "trust", "upsets"]
    assert _run(model, tmp_path, choices, built_in=True) == needs_loading


def test_digits_tiny(tmp_path):
    model = load_model(ROOT / "models" / "digits-tiny.safetensors")
    choices = MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"}
    assert _run(model, tmp_path, choices, large=True) == [
        *("core_reset", "reset_at_the_end", "between_rows", "trust", "upsets"),
        *STREAMED,
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock_hz": 0}, "Clock frequency must be a whole number of Hz below 2\\*\\*32, not 0"),
        ({"clock_hz": 1 << 32}, "Clock frequency must be .* not 4294967296"),
        ({"clock_hz": 12e6}, "Clock frequency must be .* not 12000000.0"),
        ({"digest": bytes(31)}, "Digest must have 32 bytes or none, not 31"),
        ({"machine": machine_from_dict({"logit_width": 33})}, "logit_width: 33 must be at most 32"),
    ],
)
def test_limits(change, message):
    good = {"machine": machine_from_dict({"logit_width": 32}), "clock_hz": (1 << 32) - 1, "digest": bytes(32)}
    assert Core(**good).signature.members["bus"]
    with pytest.raises(FitError, match=message):
        Core(**good | change)
