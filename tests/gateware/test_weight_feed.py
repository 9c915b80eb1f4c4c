# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Weights from an external memory: when rows come, against a simulation of every cycle; what the memory holds;
which networks get such a machine, and what is refused. The whole machine runs in test_accelerator.py and
tests/sim/test_random_networks.py."""

import json
import random
import time

import pytest
from test_needs import model_of

from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.export import MEMORY, SIDECAR, export
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.machines import MACHINES, machine_choices
from ds2ta.gateware.stores import memory_image, store_shapes
from ds2ta.gateware.weight_feed import PERFECT, SDRAM, MemoryTiming, WeightFeed
from ds2ta.modelfile import load_model
from ds2ta.sim.expected import shown_run

RING = {"weights": "stream", "ring_rows": 32, "memory_bits": 16, "lanes": 8, "weight_bits": 6}  # 3 words a row


def naive(total: int, timing: MemoryTiming, began: int, frees: dict[int, int], cycles: int) -> list[int]:
    """The cycles in which rows are written, from the ring's docstring, one cycle after the other: a full ring at
    `began`, so many rows freed in each cycle of `frees`."""
    words, held = 3, min(total, 32)
    row, word, offered, next_word = held, 0, held < total, 0
    written = []
    for cycle in range(began, began + cycles):
        if not offered and cycle >= next_word and cycle % timing.period >= timing.busy and row < total:
            offered = True
        if offered and held < 32:
            offered, word = False, word + 1
            taken = row * words + word
            next_word = cycle + 1
            if timing.page_words and taken % timing.page_words == 0:
                next_word += timing.page_gap
            if word == words:
                written.append(cycle + 1)
                row, word, held = row + 1, 0, held + 1
        held -= frees.get(cycle, 0)
    return written


@pytest.mark.parametrize("seed", range(40))
def test_every_cycle(seed):
    generator = random.Random(seed)
    busy = generator.choice([0, 1, 6])
    timing = MemoryTiming(
        page_words=generator.choice([0, 1, 7, 30]),
        page_gap=generator.choice([0, 3]),
        period=busy + generator.randint(1, 40),
        busy=busy,
    )
    tiles = [generator.randint(1, 20) for _ in range(generator.randint(2, 30))]
    total, began, at = sum(tiles), generator.randrange(1000), 0
    frees: dict[int, int] = {}
    feed = WeightFeed(machine_from_dict(RING), tiles, timing, began)
    expected: list[int] = []
    held, rows = [], 0
    at = began + generator.randint(1, 50)
    for rows_of_tile in tiles:
        rows += rows_of_tile
        there = feed.rows_there(rows)
        for cycle in range(at, max(at, there) + 20):
            if feed.holds(cycle):
                held.append(cycle)
        at = max(at, there) + 20 + generator.choice([0, generator.randint(0, 200)])
        held += [cycle for cycle in range(max(held, default=began) + 1, at + 1) if feed.holds(cycle)]
        feed.free(at, rows_of_tile)
        frees[at] = rows_of_tile
        at += 1
    expected = naive(total, timing, began, frees, at - began + 2000)
    assert held == [cycle for cycle in expected if cycle < at]
    assert [feed.rows_there(number + 1) for number in range(min(total, 32), total)] == expected


def test_a_tile_that_has_no_room():
    feed = WeightFeed(machine_from_dict(RING), [20, 20], PERFECT, 0)
    with pytest.raises(AssertionError, match="no room"):
        feed.rows_there(40)


@pytest.mark.parametrize("timing", [PERFECT, SDRAM, MemoryTiming(page_words=5, page_gap=3, period=9, busy=8)])
@pytest.mark.parametrize("words", [1, 5, 6, 1000])
def test_longest(timing, words):
    """No memory takes longer than it says, whenever it begins, nor much less."""
    slowest = 0
    for began in range(timing.period):
        at = began
        for number in range(words):
            at = timing.offered(at) + 1
            if timing.page_words and (number + 1) % timing.page_words == 0:
                at += timing.page_gap
        slowest = max(slowest, at - began)
    assert slowest <= timing.longest(words) <= 3 * slowest + 2 * timing.period


def test_memory_image(tmp_path):
    """The file beside the Verilog is the weights, row by row in whole words."""
    model = load_model(model_path("digits-tiny"))
    choices = MACHINES["digits-tiny"] | {"weights": "stream", "lanes": 24, "memory_bits": 64}
    machine, program = fit(model, **choices)
    run = shown_run(model, machine, program, model.samples[0])
    sidecar = export(model, machine, program, tmp_path / "tiny", predicted=[], run=run)
    image = (tmp_path / "tiny" / MEMORY).read_bytes()
    assert image == memory_image(machine, program)
    each = len(image) // len(program.weight_image)
    assert (each, sidecar["memory"]["words"]) == (16, 2 * machine.weight_rows)  # 24 lanes of 4 bits in 2 words
    rows = [int.from_bytes(image[at : at + each], "little") for at in range(0, len(image), each)]
    assert rows == program.weight_image
    assert json.loads((tmp_path / "tiny" / SIDECAR).read_text())["memory"] == sidecar["memory"]
    assert export(model, machine, program, tmp_path / "tiny", predicted=[], run=run) == sidecar
    (tmp_path / "tiny" / MEMORY).write_bytes(image[:-1])
    with pytest.raises(FitError, match="not written by ds2ta"):
        export(model, machine, program, tmp_path / "tiny", predicted=[], run=run)
    assert store_shapes(machine)["weights"].external
    assert not store_shapes(machine)["weights"].loadable


def test_rows_of_a_layer():
    """Tiles follow each other without a gap, in the ring's address space."""
    model = load_model(model_path("digits-tiny"))
    machine, program = fit(model, **MACHINES["digits-tiny"] | {"weights": "stream", "memory_bits": 16})
    rows = 0
    for item in program.instructions:
        if item.tile_rows:
            assert item.weights == rows % machine.ring_rows
            assert item.tile_rows % machine.row_lanes == 0
            rows += item.tile_rows * (item.tiles_last + 1)
    assert rows == machine.weight_rows == len(program.weight_image)
    assert machine.weight_rows > 4 * machine.ring_rows


def test_a_network_of_the_papers_size():
    """It gets a machine with an external memory without being asked for it, in seconds; what a chip holds, and what
    is set by hand, does not."""
    shape = {"embed_dim": 384, "heads": 12, "hidden_dim": 1536, "depth": 3}
    model = model_of(stem=({"channels": 384, "pool": True},), **shape)
    started = time.process_time()
    machine, program = fit(model, **machine_choices(model, []))
    assert time.process_time() - started < 30
    assert (machine.weights, machine.lanes, machine.row_lanes, machine.events) == ("stream", 128, 32, 2)
    assert machine.ring_rows == 3584 >= max(item.tile_rows for item in program.instructions) == 3456
    assert machine_choices(model, ["weights=ram", "ring_rows=0"])["weights"] == "ram"
    assert machine_choices(model_of(), []) == {}


def test_a_ring_that_is_too_small():
    model = model_of(embed_dim=64, heads=2, stem=({"channels": 64, "pool": True},))
    settings = ["weights=stream", "memory_bits=16", "ring_rows=256"]
    with pytest.raises(FitError) as caught:
        fit(model, **machine_choices(None, settings))
    assert str(caught.value) == "model x: ring_rows must be 576, the machine has 256; --set ring_rows=576 takes it"
    machine, program = fit(model, **machine_choices(None, [*settings[:2], "ring_rows=576"]))
    assert machine.ring_rows == max(item.tile_rows for item in program.instructions)
    assert fit(model, **machine_choices(None, settings[:2]))[0].ring_rows == 1024  # whole block RAMs
