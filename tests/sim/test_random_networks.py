# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Random networks: fast golden, slow golden and RTL agree in every layer, and the cycle model in every pass.

A few machines with loadable stores serve all networks: hypothesis draws a network for one of them, loads it at run
time, and compares. Between them the machines cover every choice (lanes, row width, drain lanes, score channels,
buffers, leak, events at once with and without a long pipeline), and networks of fewer time steps than the machine
has.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.weight_feed import MemoryTiming
from ds2ta.golden import slow
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.random_model import models, random_model
from ds2ta.sim.backends import first_difference
from ds2ta.sim.network import RtlNetwork, expected_entries
from ds2ta.sim.verify import verify

_ROOMY = {
    "weights": "ram",
    "tables": "ram",
    "weight_bits": 8,
    "max_shift": 7,
    "max_planes": 3,
    "max_window": 4,
    "max_tau": 7,
    "acc_width": 24,
    "current_width": 46,
    "param_width": 46,
    "membrane_width": 48,
    "attention_width": 20,
    "logit_width": 32,
    "denoiser_bits": 8,
    "bank_rows": 4096,
    "weight_rows": 8192,
    "parameter_rows": 1024,
    "denoiser_entries": 128,
    "instructions": 40,
    "max_count": 256,
    "max_tokens": 16,
    "max_heads": 8,
    "max_head_dim": 32,
    "max_channels": 4,
    "max_bits": 8,
    "max_classes": 12,
}
_MACHINES = {
    "serial": {
        "lanes": 8,
        "row_lanes": 8,
        "drain_lanes": 1,
        "score_channels": 1,
        "buffer_rows": 2,
        "time_steps": 10,
        "leak_shift": 1,
    },
    "wide": {
        "lanes": 24,
        "row_lanes": 8,
        "drain_lanes": 4,
        "events": 2,
        "score_channels": 8,
        "buffer_rows": 8,
        "pipeline": "long",
        "shifters": "multipliers",
        "time_steps": 5,
        "leak_shift": 2,
        "max_lines": 3,
    },
    "broad rows": {
        "lanes": 16,
        "row_lanes": 16,
        "drain_lanes": 4,
        "events": 2,
        "score_channels": 4,
        "buffer_rows": 2,
        "time_steps": 4,
        "leak_shift": 3,
    },
    # fewer steps than the residual stream has planes and a pool windows, so the drain rests
    "few steps": {
        "lanes": 20,
        "row_lanes": 4,
        "drain_lanes": 4,
        "score_channels": 4,
        "buffer_rows": 4,
        "pipeline": "long",
        "time_steps": 2,
        "leak_shift": 1,
        "max_lines": 5,
    },
    # banks that are read or written in a cycle, with slots that leave bits of their nibbles
    "single port": {
        "banks": "spram",
        "lanes": 12,
        "row_lanes": 4,
        "drain_lanes": 1,
        "score_channels": 2,
        "buffer_rows": 4,
        "time_steps": 3,
        "leak_shift": 1,
        "max_lines": 3,
    },
    # as on an UP5K: rows of one word of single-port RAM
    "single port, small": {
        "banks": "spram",
        "weights": "spram",
        "lanes": 8,
        "row_lanes": 4,
        "drain_lanes": 2,
        "score_channels": 4,
        "buffer_rows": 8,
        "time_steps": 4,
        "leak_shift": 2,
        "max_lines": 2,
    },
    # weights from a memory that is now faster, now slower than the work
    "streamed": {
        "weights": "stream",
        "ring_rows": 256,
        "memory_bits": 16,
        "lanes": 12,
        "row_lanes": 4,
        "drain_lanes": 2,
        "events": 2,
        "score_channels": 2,
        "buffer_rows": 4,
        "pipeline": "long",
        "time_steps": 4,
        "leak_shift": 1,
        "max_lines": 2,
    },
}
_MEMORY = MemoryTiming(page_words=96, page_gap=9, period=71, busy=6)


@pytest.fixture(scope="module", params=_MACHINES)
def named_rtl(request):
    """A machine's name, and one simulator of it for all its networks."""
    with RtlNetwork(None, machine_from_dict(_ROOMY | _MACHINES[request.param]), memory=_MEMORY) as rtl:
        yield request.param, rtl


def _models(name: str):
    machine = _MACHINES[name]
    return models(
        row_lanes=machine["row_lanes"],
        time_steps=(1, machine["time_steps"]),
        leak_shift=machine["leak_shift"],
        max_dim=min(32, machine["lanes"]) if machine["lanes"] > 8 else 24,
        max_positions=64,
        samples=2,
    )


def test_random_networks(named_rtl):
    name, rtl = named_rtl

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(model=_models(name))
    def agree(model):
        rtl.load(model, waiting=model.samples[0])
        fast = IntegerNetwork(model).trace(model.samples)
        for number, sample in enumerate(model.samples):
            wanted = slow.run(model, sample)
            golden = {key: np.asarray(values)[number] for key, values in fast.items()}
            assert set(golden) == set(wanted)
            assert first_difference(model, wanted, golden) is None
            found = rtl.run(sample, trace=True, limit=1_000_000)
            trace = found.trace | {"logits": found.logits}
            assert set(wanted) - set(trace) <= {f"block.{block}.denoised" for block in range(2)}
            assert first_difference(model, wanted, trace) is None
            assert found.class_index == int(np.argmax(wanted["logits"]))
            for block, entries in found.entries.items():
                assert entries == expected_entries(wanted[f"block.{block}.denoised"])
            wanted_passes = predict(rtl.program, rtl.machine, sample, wanted, memory=_MEMORY, began=found.began)
            assert found.passes == wanted_passes

    agree()


@pytest.mark.parametrize("pipeline", ["short", "long"])
def test_one_token_and_one_time_step(pipeline):
    """The smallest networks on machines of just their size: a tensor of one position fills a whole power of two of
    rows (which `fit` once refused), and the trace has ports that would be of no bits."""
    limits = {"row_lanes": 8, "max_dim": 8, "depth": 1, "time_steps": 1, "max_positions": 1, "max_tokens": 1}
    limits |= {"stem": 1, "ragged": False, "leak_shift": 1, "residual": "add", "nsad": True, "samples": 8}
    drawn = (random_model(np.random.default_rng(seed), **limits) for seed in range(100))
    found = [model for model in drawn if model.network.hidden_dim == 64]
    assert len(found) > 3
    choices = {"lanes": 8, "row_lanes": 8, "drain_lanes": 2, "weights": "ram", "tables": "ram"}
    model, fitted = found[0], [fit(model, **choices, pipeline=pipeline) for model in found]
    machine, program = fitted[0]
    assert (machine.time_steps, machine.max_tokens, machine.bank_rows) == (1, 1, 9)
    for seen in verify(model, machine, program, model.samples):
        assert seen.difference is None
    shown = IntegerNetwork(model).trace(model.samples)
    assert len(np.unique(shown["logits"].numpy(), axis=0)) > 1
