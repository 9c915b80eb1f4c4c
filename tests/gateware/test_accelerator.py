# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The shipped networks of digits on their accelerators, on at least 50 held-out images each: some of them under
cocotb, with stalls and resets, all at the pace of the C++ harness; stores that are loaded. The larger networks are
those of `tests/sim/test_verify.py`."""

import numpy as np
import pytest

from ds2ta.files import DIGITS, model_path
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.gateware.weight_feed import MemoryTiming
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.sim.backends import first_difference
from ds2ta.sim.build import run_bench
from ds2ta.sim.network import RtlNetwork
from ds2ta.sim.verify import verify

IMAGES = 50
IMAGES_UNDER_COCOTB = 8


@pytest.mark.parametrize("name", DIGITS)
def test_bench(name, tmp_path):
    path = model_path(name)
    model = load_model(path)
    machine, program = fit(model, **MACHINES[name])
    samples = tmp_path / "samples.npy"
    np.save(samples, model.samples[:IMAGES_UNDER_COCOTB])
    run_bench(
        Accelerator(machine, program, trace=True),
        name="accelerator",
        module="ds2ta.sim.benches.bench_accelerator",
        parameters={"model": str(path), "machine": machine.model_dump(), "samples": str(samples)},
    )


@pytest.mark.parametrize("name", DIGITS)
def test_images(name):
    model = load_model(model_path(name))
    assert len(model.samples) >= IMAGES
    seen = list(verify(model, *fit(model, **MACHINES[name]), model.samples))
    assert [item.difference for item in seen] == [None] * len(model.samples)


def test_loadable_stores():
    """digits-tiny as an iCE40 UP5K would hold it: weights loaded into single-port RAM, tables into block RAM."""
    model = load_model(model_path("digits-tiny"))
    machine, program = fit(model, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
    with RtlNetwork(model, machine, program=program) as rtl:
        for sample in model.samples[:3]:
            wanted = slow.run(model, sample)
            found = rtl.run(sample, trace=True)
            assert first_difference(model, wanted, found.trace | {"logits": found.logits}) is None
            assert found.passes == predict(rtl.program, machine, sample, wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"events": 1, "memory_bits": 16, "buffer_rows": 2},
        {"events": 2, "memory_bits": 128},  # faster than it is used: the ring is full
        {"events": 2, "memory_bits": 32, "pipeline": "deep", "ring_rows": 544, "lanes": 24},
    ],
    ids=["one-event", "wide-memory", "deep"],
)
def test_streamed_weights(change):
    """digits-tiny with its weights in an external memory that has pages and is refreshed: every layer, and the
    cycles and waits of every pass."""
    model = load_model(model_path("digits-tiny"))
    choices = MACHINES["digits-tiny"] | {"weights": "stream", "tables": "ram"}
    machine, program = fit(model, **choices | change)
    memory = MemoryTiming(page_words=100, page_gap=9, period=90, busy=7)
    waits = 0
    with RtlNetwork(model, machine, program=program, memory=memory) as rtl:
        for sample in model.samples[:4]:
            wanted = slow.run(model, sample)
            found = rtl.run(sample, trace=True)
            assert first_difference(model, wanted, found.trace | {"logits": found.logits}) is None
            assert found.passes == predict(program, machine, sample, wanted, memory=memory, began=found.began)
            waits += sum(item.waits for item in found.passes)
    assert waits > 4 * len(program.instructions), "no pass has waited"
