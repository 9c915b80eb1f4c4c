# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The planner: what it chooses fits, nothing next to it is better, what is given stays, what cannot be is told."""

import numpy as np
import pytest

from ds2ta.errors import FitError
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.area import AROUND, BLOCK_BITS, estimate
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.planner import FILL, External, plan
from ds2ta.gateware.weight_feed import MemoryTiming
from ds2ta.golden import slow
from ds2ta.golden.random_model import random_model
from ds2ta.model import IntegerModel
from ds2ta.network import network_from_dict
from ds2ta.records.paper_scale import paper_scale_model
from ds2ta.sim.expected import predicted_cycles

LIMITS = {"luts": 30000, "registers": 20000, "block_rams": 40, "single_port_rams": 0, "multipliers": 28}
#: What is left to choose: lanes, drain lanes, events.
FIXED = {
    "tables": "ram",
    "pipeline": "long",
    "row_lanes": 8,
    "score_channels": 8,
    "buffer_rows": 8,
    "shifters": "logic",
}


@pytest.fixture(scope="module")
def model():
    return random_model(np.random.default_rng(4), samples=1, row_lanes=8, depth=1)


def planned(model, goal="cycles", limits=LIMITS, fixed=FIXED, **options):
    traces = [(sample, slow.run(model, sample)) for sample in model.samples]
    return plan(
        model, traces, design=Accelerator, family="ecp5", limits=limits, fixed=dict(fixed), goal=goal, **options
    )


@pytest.fixture(scope="module")
def fast(model):
    told: list[int] = []
    best = planned(model, progress=lambda number, _: told.append(number))
    assert told == list(range(1, best.tried + 1))
    return best


def fits(machine, limits=LIMITS) -> bool:
    return not estimate(Accelerator(machine), "ecp5", AROUND).over(limits, FILL["ecp5"])


def test_nothing_next_to_it_is_better(model, fast):
    """Each choice alone to its next value, by fits and cycles of their own."""
    best = fast
    machine, program = fit(model, **best.choices)
    assert machine == best.machine
    assert fits(machine)
    assert best.cycles == np.mean(predicted_cycles(model, machine, program, model.samples))
    for change in ({key: best.choices[key] * 2} for key in ("drain_lanes", "lanes", "events")):
        try:
            other, program = fit(model, **best.choices | change)
        except FitError:
            continue
        if fits(other):
            assert np.mean(predicted_cycles(model, other, program, model.samples)) >= best.cycles, change


def test_goals_and_limits(model, fast):
    """Fewer LUTs for more cycles, or the other way; a smaller device takes a slower machine."""
    small = planned(model, goal="area")
    assert small.area.luts < fast.area.luts
    assert small.cycles > fast.cycles
    most = (fast.area.packed_luts + small.area.packed_luts) // 2
    tight = planned(model, limits={**LIMITS, "luts": round(most / FILL["ecp5"])})
    assert tight.area.packed_luts <= most
    assert fast.cycles < tight.cycles <= small.cycles


def test_multipliers_where_there_are_some():
    """They take LUTs off the TASA lanes, where these shift far, and some cycles more."""
    model = random_model(np.random.default_rng(4), samples=1, row_lanes=8, depth=1, window=3, tau=5)
    alone = {key: value for key, value in FIXED.items() if key != "shifters"} | {"lanes": 8, "drain_lanes": 8}
    needs = planned(model, goal="area", fixed={**alone, "events": 1}).area.multipliers
    assert needs >= 8
    for many in (needs - 1, 0):
        best = planned(model, goal="area", limits={**LIMITS, "multipliers": many}, fixed={**alone, "events": 1})
        assert (best.machine.shifters, best.area.multipliers) == ("logic", 0), many


def test_what_is_given_stays(model):
    best = planned(model, fixed={**FIXED, "lanes": 24, "events": 1})
    assert (best.machine.lanes, best.machine.row_lanes, best.machine.events) == (24, 8, 1)
    assert (best.machine.pipeline, best.machine.drain_lanes) == ("long", 8)


def test_refusals(model):
    with pytest.raises(FitError, match=r"^--optimize speed: must be cycles or area$"):
        planned(model, goal="speed")
    with pytest.raises(
        FitError,
        match=r"^model \S+: none of \d+ machines fits the device: luts: about \d+ of the 800 that may be used$",
    ):
        planned(model, limits={**LIMITS, "luts": 1000})
    with pytest.raises(FitError, match="it holds no samples to count cycles with; add some to the file"):
        plan(model, [], design=Accelerator, family="ecp5", limits=LIMITS, fixed=dict(FIXED), goal="cycles")


SLOW = External(16, MemoryTiming(page_words=64, page_gap=8, period=100, busy=10))


def model_of(kind: str, side: int, bits: int, stem: tuple[int, ...], depth: int) -> IntegerModel:
    """A network whose weights, or whose input, are large beside all else."""
    network = network_from_dict(
        {
            "name": "large",
            "input": {"kind": kind, "channels": 2, "height": side, "width": side, "bits": bits},
            "time_steps": 3,
            "stem": [{"channels": channels, "pool": True} for channels in stem],
            "embed_dim": stem[-1],
            "heads": stem[-1] // 8,
            "depth": depth,
            "hidden_dim": 4 * stem[-1],
            "window": 2,
            "residual": "or",
            "classes": 3,
        }
    )
    samples = (np.random.default_rng(0).random((1, *network.sample_shape)) < 0.2).astype(np.uint8)
    return paper_scale_model(network, samples, np.zeros(1, np.int64))


def test_weights_from_outside():
    """Where the block RAMs are too few for the weights they are a stream, and waits are counted; without a memory
    for them, or with another store given, there is no machine."""
    model = model_of("image", 8, 4, (16, 64), 2)
    bits = sum(layer.weight.size for layer in model.synapses.values()) * 4
    few = {**LIMITS, "block_rams": bits // BLOCK_BITS["ecp5"]}
    fixed = {**FIXED, "lanes": 16, "drain_lanes": 8}
    best = planned(model, limits=few, fixed=fixed, external=SLOW)
    assert (best.machine.weights, best.machine.memory_bits) == ("stream", 16)
    assert best.area.block_rams <= few["block_rams"]
    passes = predict(
        best.program, best.machine, model.samples[0], slow.run(model, model.samples[0]), memory=SLOW.timing
    )
    assert any(item.waits for item in passes)
    assert best.cycles == total_cycles(passes)
    with pytest.raises(FitError) as caught:
        planned(model, limits=few, fixed=fixed)
    assert str(caught.value) == (
        f"model large: its weights have {bits / 1e3:,.0f} kbit, the device's memories "
        f"{few['block_rams'] * 18_432 / 1e3:,.0f}, and it has no external memory for them; fewer bits, a smaller "
        "network or another device mends it"
    )
    with pytest.raises(FitError, match=r"^model large: none of \d+ machines fits the device: block_rams: about"):
        planned(model, limits=few, fixed={**fixed, "weights": "ram"}, external=SLOW)


def test_a_smaller_bank_a_where_block_rams_are_short():
    """An input larger than all other tensors comes in bands where that saves what is missing, and only there."""
    model = model_of("frames", 64, 4, (8, 16, 16, 16), 0)
    fixed = {**FIXED, "lanes": 16, "drain_lanes": 8, "events": 1}
    whole = planned(model, fixed=fixed)
    assert whole.machine.bank_a_rows == 0
    best = planned(model, limits={**LIMITS, "block_rams": whole.area.block_rams - 1}, fixed=fixed)
    assert best.area.block_rams < whole.area.block_rams
    assert best.machine.bands
    assert sum(item.name == "input" for item in best.program.instructions) > 1
