# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Inputs that come in bands through a bank A that is smaller than they are: the passes that the compiler makes, and
whole networks in every layer and every cycle."""

import numpy as np
import pytest

from ds2ta.errors import FitError
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.core import count_width, sample_length
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.layout import Allocator
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.weight_feed import PERFECT, MemoryTiming
from ds2ta.golden import slow
from ds2ta.model import IntegerModel
from ds2ta.network import MAX_SIDE, network_from_dict
from ds2ta.records.paper_scale import paper_scale_model
from ds2ta.records.work import needed_additions
from ds2ta.sim.activity import count
from ds2ta.sim.backends import first_difference
from ds2ta.sim.network import RtlNetwork

CHOICES = {"lanes": 16, "row_lanes": 4, "drain_lanes": 2, "score_channels": 4, "tables": "ram", "weights": "ram"}
STREAM = {"weights": "stream", "memory_bits": 16, "events": 2, "pipeline": "deep"}
MEMORY = MemoryTiming(page_words=100, page_gap=9, period=90, busy=7)


def model_of(kind: str, shape: tuple[int, int, int], bits: int, steps: int, stem: str) -> IntegerModel:
    """A network of such an input. `stem`: channels of its layers, those with a pool marked by a p."""
    channels, height, width = shape
    layers = [{"channels": int(one.rstrip("p")), "pool": one.endswith("p")} for one in stem.split()]
    network = network_from_dict(
        {
            "name": "banded",
            "input": {"kind": kind, "channels": channels, "height": height, "width": width, "bits": bits},
            "time_steps": steps,
            "stem": layers,
            "embed_dim": layers[-1]["channels"],
            "heads": 1,
            "depth": 1,
            "hidden_dim": 16,
            "window": 2,
            "residual": "add",
            "classes": 3,
        }
    )
    generator = np.random.default_rng(height * width)
    samples = generator.integers(0, 1 << bits, (2, *network.sample_shape)).astype(np.uint8)
    if kind == "frames":
        samples *= generator.random(samples.shape) < 0.4
    return paper_scale_model(network, samples, np.zeros(2, np.int64))


#: Model, bank_a_rows, bands.
NETWORKS = {
    "pool": (("frames", (2, 16, 12), 3, 3, "8p 8p"), 128, 8),
    "odd-height": (("frames", (2, 15, 9), 2, 4, "6p 8p"), 128, 2),
    "no-pool": (("frames", (1, 27, 12), 2, 2, "12 6p 8p"), 256, 2),
    "packed": (("image", (3, 17, 11), 8, 4, "8p 8p"), 128, 9),  # the last band's line came with the one before
    "lines-at-once": (("frames", (2, 30, 8), 4, 2, "4p 8p"), 256, 3),
    "one-step": (("image", (1, 16, 16), 4, 1, "8p 8p"), 128, 3),
    # five lines in bank A, so a band might have three, but for the pool; and a bank B of its own size
    "one-line-at-once": (("frames", (2, 16, 24), 2, 3, "16p 8p 8p"), 128, 8),
}


@pytest.mark.parametrize(("shape", "rows", "bands"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("weights", ["ram", "stream"])
def test_networks(shape, rows, bands, weights):
    """Every tensor, and the counters of every pass."""
    model = model_of(*shape)
    choices, memory = (CHOICES | STREAM, MEMORY) if weights == "stream" else (CHOICES, PERFECT)
    machine, program = fit(model, **choices, bank_a_rows=rows)
    first = [item for item in program.instructions if item.name == "stem.0"]
    assert len(first) == bands
    assert [item.above for item in first] == [False] + [True] * (bands - 1)
    assert [item.below for item in first] == [True] * (bands - 1) + [False]
    assert program.regions["input"].rows > machine.rows_of(0) == rows
    timing = {"memory": memory} if weights == "stream" else {}
    with RtlNetwork(model, machine, program=program, **timing) as rtl:
        for sample in model.samples:
            wanted = slow.run(model, sample)
            found = rtl.run(sample, trace=True)
            assert first_difference(model, wanted, found.trace | {"logits": found.logits}) is None
            began = {"began": found.began} if weights == "stream" else {}
            assert found.passes == predict(program, machine, sample, wanted, **timing, **began)


def test_all_lines_come_once():
    """The passes of the input take every line, in order; each band's source is there, and not yet overwritten."""
    for shape, rows, _ in NETWORKS.values():
        model = model_of(*shape)
        _, program = fit(model, **CHOICES, bank_a_rows=rows)
        height, region = model.network.input.height, program.regions["input"]
        line = (region.line_words if region.pixels else region.width) * region.pitch
        there = done = 0
        for item in program.instructions:
            if item.opcode == Opcode.INPUT:
                assert item.first_line == there
                assert item.target == there * line % rows
                there += item.height_last + 1
            elif item.name == "stem.0":
                assert item.first_line == done
                done += item.height_last * item.lines + item.live_lines
                assert there == min(done + 1, height)
                assert (there - max(item.first_line - 1, 0)) * line <= rows
                assert not (item.first_line % 2 and model.network.stem[0].pool)
        assert there == done == height


@pytest.mark.parametrize(("shape", "rows", "bands"), NETWORKS.values(), ids=NETWORKS)
def test_a_sample_is_counted_with_all_its_bands(shape, rows, bands):
    """Its bytes, and the registers of the core that must hold them."""
    model = model_of(*shape)
    machine, program = fit(model, **CHOICES, bank_a_rows=rows)
    assert sample_length(program) == model.samples[0].size
    assert model.samples[0].size < 1 << count_width(machine)


def test_the_largest_sample_has_room_in_the_core():
    """256 x 256 pixels, though a loop of this machine counts to a fraction of that."""
    machine, _ = fit(model_of("frames", (2, 16, 12), 3, 3, "8p 8p"), **CHOICES, bank_a_rows=128)
    assert machine.max_count < MAX_SIDE
    assert 1 << count_width(machine) > MAX_SIDE * MAX_SIDE * 2 * 3


def test_without_need_there_are_none():
    """A bank A that holds the input has it whole, and need not be a power of two."""
    model = model_of(*NETWORKS["pool"][0])
    whole, program = fit(model, **CHOICES)
    machine, same = fit(model, **CHOICES, bank_a_rows=whole.bank_rows)
    assert [item.name for item in same.instructions] == [item.name for item in program.instructions]
    smaller = program.regions["input"].rows
    machine, same = fit(model, **CHOICES, bank_a_rows=smaller)
    assert smaller & (smaller - 1)
    assert not machine.bands
    assert compile_model(model, machine) == same


def test_tensors_are_placed_for_a_smaller_bank_a():
    """Of two ways that take as many rows in all, that which bank A has room for."""
    tensors = [((0,), 2, 2, 3), ((0,), 9, 2, 5), ((0,), 4, 4, 6), ((1,), 6, 2, 5), ((1,), 9, 1, 3)]

    def rows(bank_a_rows: int) -> tuple[int, int]:
        sketch = Allocator()
        for tensor in tensors:
            sketch.place(*tensor)
        placed = Allocator(sketch.plan(bank_a_rows))
        for tensor in tensors:
            placed.place(*tensor)
        return placed.rows(0), placed.rows()

    assert rows(0) == (15, 15)
    assert rows(13) == (13, 15)


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [
        (
            NETWORKS["pool"][0],
            32,
            "model banded: a band of its input has 4 lines of 24 rows, the machine's bank_a_rows is 32; "
            "--set bank_a_rows=128 takes it",
        ),
        (
            NETWORKS["pool"][0],
            100,
            "model banded: its input has 384 rows and comes in bands, for which bank_a_rows, 100, must be a power "
            "of two; --set bank_a_rows=128 takes it",
        ),
        (
            ("frames", (2, 16, 12), 3, 3, "8p"),
            128,
            "model banded: its only layer of the patch splitter writes both banks, so its input, of 384 rows, "
            "comes whole; the machine's bank_a_rows is 128; --set bank_a_rows=0 takes it",
        ),
        (
            ("frames", (2, 15, 9), 2, 4, "6p 8p"),
            64,
            "model banded: bank_a_rows must be 128, the machine has 64; --set bank_a_rows=128 takes it",
        ),
    ],
    ids=["no-band-fits", "no-power-of-two", "one-layer", "another-tensor"],
)
def test_refusals(shape, rows, message):
    with pytest.raises(FitError) as caught:
        fit(model_of(*shape), **CHOICES, bank_a_rows=rows)
    assert str(caught.value) == message


def test_a_layer_in_bands_counts_as_one():
    """Needed additions are those of a machine that has the input whole; a layer's events are those of all bands."""
    shape, rows, bands = NETWORKS["pool"]
    model = model_of(*shape)
    sample = model.samples[0]
    trace = slow.run(model, sample)
    _, whole = fit(model, **CHOICES)
    machine, program = fit(model, **CHOICES, bank_a_rows=rows)
    assert needed_additions(model, program, sample, trace) == needed_additions(model, whole, sample, trace)
    events = [item.events for item in predict(program, machine, sample, trace) if item.name == "stem.0"]
    assert len(events) == bands
    assert count(model, machine, program, model.samples[:1]).events["stem.0"].tolist() == [sum(events)]
