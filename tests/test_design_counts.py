# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Counts of designs on paper, against plain loops over every event, and against the exact cycle model."""

import numpy as np
import pytest

from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.network import InputSpec, LayerSpec, Network, StemConv
from ds2ta.records.design_counts import _count, _packed, _rows, design_counts

GROUP = 4  # lanes of a row


def taps(height: int, width: int, y: int, x: int, lines: int, columns: int = 1):
    """Places that the outputs of so many lines and columns see, those outside left out."""
    for line in range(y - 1, y + lines + 1):
        for column in range(x - 1, x + columns + 1):
            if 0 <= line < height and 0 <= column < width:
                yield line, column


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_convolution_by_plain_loops(lines):
    random = np.random.default_rng(lines)
    live = random.random((2, 2, 5, 4, 6)) < 0.3  # samples, planes, height, width, channels
    live[:, :, :2] = False  # tokens without an event
    spec = LayerSpec(name="any", kernel=3, inputs=6, outputs=8, height=5, width=4, tasa=False)
    wanted = np.zeros(3)
    for sample in live:
        for y in range(0, 5, lines):
            for x in range(4):
                events = row_pairs = 0
                for line, column in taps(5, 4, y, x, lines):
                    for plane in sample[:, line, column]:
                        for start in range(0, 6, GROUP):
                            alive = int(plane[start : start + GROUP].sum())
                            events, row_pairs = events + alive, row_pairs + -(-alive // 2)
                wanted += [max(1, events), max(1, row_pairs), max(1, -(-events // 2))]
    assert _count(_rows(live, GROUP), spec, lines).tolist() == (wanted / 2).tolist()


@pytest.mark.parametrize("lines", [1, 2])
def test_packed_pixels_by_plain_loops(lines):
    random = np.random.default_rng(5)
    images = random.integers(0, 4, (2, 3, 5, 7)).astype(np.uint8)
    images[:, :, :, :4] = 0
    network = Network(
        name="packed",
        input=InputSpec(channels=3, height=5, width=7, bits=2),
        time_steps=4,
        stem=(StemConv(channels=8),),
        embed_dim=8,
        heads=1,
        depth=0,
        hidden_dim=8,
    )
    events = 0
    for image in images:
        for y in range(0, 5, lines):
            for x in range(0, 7, 4):
                found = 0
                for line in range(y - 1, y + lines + 1):
                    for shift in (-1, 0, 1):
                        for channel in range(3):
                            for plane in range(2):
                                word = [
                                    image[channel, line, x + slot + shift] >> plane & 1
                                    for slot in range(4)
                                    if 0 <= line < 5 and 0 <= x + slot + shift < 7
                                ]
                                found += any(word)
                events += max(1, found)
    found = _packed(images, network, network.layers()[0], lines, 8, 2)
    assert found.events == events / 2
    assert found.token_pairs <= found.row_pairs <= found.events
    assert (found.lines, found.drain) == (lines, 5 * 7 * 8 * 4 / 2)


def test_events_are_those_of_the_cycle_model():
    """One line, one event at a time, behind the first layer, which the machine packs: what the engine does, but for
    the null event of an empty token."""
    model, chosen = load_model(model_path("digits-tiny")), MACHINES["digits-tiny"]
    machine, program = fit(model, **chosen)
    passes = [predict(program, machine, sample, slow.run(model, sample)) for sample in model.samples[:2]]
    by_pass = {step.name: np.mean([run[index].events for run in passes]) for index, step in enumerate(passes[0])}
    sizes = {"lanes": machine.lanes, "row_lanes": machine.row_lanes, "drain_lanes": machine.drain_lanes}
    counted = list(design_counts(model_path("digits-tiny"), **sizes, samples=2))
    for spec in model.network.layers()[1:]:
        found = next(item for item in counted if (item.layer, item.lines) == (spec.name, 1))
        empty = spec.height * spec.width * -(-spec.outputs // machine.lanes)
        assert by_pass[spec.name] <= found.events <= by_pass[spec.name] + empty
