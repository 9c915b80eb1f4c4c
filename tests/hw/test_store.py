# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb benches of Store and DualPortMemory, and checks their parameter limits."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Fragment, Shape
from amaranth.hdl._mem import MemoryInstance

from ds2ta.errors import FitError
from ds2ta.hw.store import DualPortMemory, Store, column_bits, without_collision_logic
from ds2ta.sim.build import run_bench

ROM = {"width": 9, "depth": 3, "kind": "rom", "init": [5, 0, 511]}


def _content(width: int, rows: int) -> list[int]:
    generator = random.Random(width)
    return [generator.randrange(1 << width) for _ in range(rows)]


@pytest.mark.parametrize(
    "shape",
    [
        ROM,
        {"width": 64, "depth": 300, "kind": "rom", "init": _content(64, 290)},
        {"width": 1, "depth": 1, "kind": "rom", "init": [1]},
        {"width": 36, "depth": 300, "kind": "ram", "init": _content(36, 7)},
        {"width": 16, "depth": 1, "kind": "ram"},
        {"width": 5, "depth": 33, "kind": "ram", "chunk_bits": 8},
        {"width": 70, "depth": 17, "kind": "ram", "chunk_bits": 8},
    ],
    ids=lambda shape: f"{shape['kind']}-{shape['width']}x{shape['depth']}",
)
def test_bench(shape):
    run_bench(Store(**shape), module="ds2ta.sim.benches.bench_store", testcase="contents", parameters=shape)


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "rom", "width": 12, "depth": 2100, "init": _content(12, 2070), "ports": 2, "latency": 2},
        {"kind": "rom", "width": 64, "depth": 30, "init": _content(64, 30), "ports": 2},
        {"kind": "ram", "width": 36, "depth": 1024, "init": _content(36, 7), "ports": 1, "latency": 2},
        {"kind": "ram", "width": 20, "depth": 2049, "ports": 2, "latency": 2},
        {"kind": "rom", "width": 9, "depth": 2100, "init": _content(9, 2070), "ports": 2, "latency": 3},
        {"kind": "ram", "width": 37, "depth": 1100, "init": _content(37, 7), "ports": 1, "latency": 3},
        {"kind": "ram", "width": 21, "depth": 2049, "ports": 2, "latency": 3},
        {"kind": "ram", "width": 40, "depth": 33, "ports": 2},
        # parts of 4096, 1024 and 80 rows; of 8192 and 2048, the last not full, whose chunks are cut in threes
        {"kind": "ram", "width": 24, "depth": 5200, "ports": 2, "latency": 2},
        {"kind": "ram", "width": 13, "depth": 9400, "chunk_bits": 6, "ports": 1, "latency": 3},
        {"kind": "rom", "width": 3, "depth": 20000, "init": _content(3, 19990), "ports": 2, "latency": 2},
    ],
    ids=lambda shape: f"{shape['kind']}-{shape['width']}x{shape['depth']}",
)
def test_ports_bench(shape):
    run_bench(Store(**shape), module="ds2ta.sim.benches.bench_store", testcase="every_port", parameters=shape)


def _shapes(store: Store) -> list[tuple[int, int]]:
    """(bits, rows) of a store's memories, each once, as they come."""
    memories = [part for part, *_ in Fragment.get(store, None).subfragments if isinstance(part, MemoryInstance)]
    return list(dict.fromkeys((Shape.cast(part._data.shape).width, part._data.depth) for part in memories))


@pytest.mark.parametrize(
    ("depth", "latency", "shapes"),
    [
        (4384, 1, [(32, 4384)]),
        (1024, 2, [(32, 1024)]),
        (4384, 2, [(4, 4096), (32, 288)]),
        (2752, 3, [(8, 2048), (32, 704)]),
        (3584, 3, [(4, 3584)]),  # four block RAMs of 1,024 rows would be as many
        (4192, 2, [(4, 4096), (32, 96)]),
        (16384, 2, [(1, 16384)]),
        (40000, 2, [(1, 16384), (4, 4096), (8, 2048), (32, 1024), (32, 64)]),
    ],
)
def test_parts(depth, latency, shapes):
    """No part is deeper than a block RAM of its columns' width."""
    assert _shapes(Store(width=32, depth=depth, kind="ram", ports=2, latency=latency)) == shapes


@pytest.mark.parametrize(
    ("width", "rows", "bits"),
    [
        (160, 1024, 160),
        (64, 2048, 9),
        (160, 4096, 4),
        (160, 8192, 2),
        (128, 3840, 4),  # 32 block RAMs instead of 30
        (128, 3072, 128),  # 32 instead of 24
        (16, 16384, 1),
        (16, 20000, 16),  # 32 instead of 20
    ],
)
def test_column_bits(width, rows, bits):
    assert column_bits(width, rows) == bits


@pytest.mark.parametrize(
    ("width", "depth"), [(16, 1000), (40, 16384), (32, 16385), (12, 40000)], ids=lambda value: str(value)
)
def test_spram_bench(width, depth):
    shape = {"width": width, "depth": depth, "kind": "spram"}
    run_bench(Store(**shape), module="ds2ta.sim.benches.bench_store", testcase="contents", parameters=shape)


@pytest.mark.parametrize(("width", "depth"), [(32, 5), (4, 1), (160, 33)])
def test_spike_bank_bench(width, depth):
    shape = {"width": width, "depth": depth}
    run_bench(DualPortMemory(**shape), module="ds2ta.sim.benches.bench_store", testcase="traffic", parameters=shape)


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ({"width": 1, "init": []}, {"width": 0}, "Store width must be an integer from 1 to 16384, not 0"),
        ({"width": 16384}, {"width": 16385}, "Store width must be an integer from 1 to 16384, not 16385"),
        ({"ports": 2}, {"ports": 3}, "Store ports must be an integer from 1 to 2, not 3"),
        ({"latency": 3}, {"latency": 4}, "Store latency must be an integer from 1 to 3, not 4"),
        ({"depth": 3}, {"depth": 0}, "Store depth must be an integer from 1 to 4194304, not 0"),
        ({"depth": 3}, {"depth": 2}, "Store init must be at most 2 rows, not 3"),
        ({"init": [511]}, {"init": [0, 512]}, r"Store init row 1 must be in 0..2\*\*9-1, not 512"),
        ({"init": [0]}, {"init": [-1]}, r"Store init row 0 must be in 0..2\*\*9-1, not -1"),
        ({"kind": "ram"}, {"kind": "flash"}, "Store kind must be one of rom, ram, spram, not 'flash'"),
        (
            {"kind": "spram", "init": []},
            {"kind": "spram"},
            "Store init must be empty .*, not 3 rows",
        ),
        ({"chunk_bits": 1}, {"chunk_bits": 0}, "Chunk bits must be an integer from 1 to 16384, not 0"),
        (
            {"chunk_bits": 1 << 14},
            {"chunk_bits": (1 << 14) + 1},
            "Chunk bits must be an integer from 1 to 16384, not 16385",
        ),
        (
            {"kind": "spram", "init": [], "chunk_bits": 16},
            {"kind": "spram", "init": [], "chunk_bits": 8},
            "Chunk bits must be 16 for kind 'spram', not 8",
        ),
    ],
)
def test_store_limits(good, bad, message):
    assert "module" in rtlil.convert(Store(**{**ROM, **good}))
    with pytest.raises(FitError, match=message):
        Store(**{**ROM, **bad})


@pytest.mark.parametrize(
    ("key", "good", "bad", "message"),
    [
        ("width", 1, 0, "Memory width must be an integer from 1 to 4096, not 0"),
        ("width", 4096, 4097, "Memory width must be an integer from 1 to 4096, not 4097"),
        ("depth", 1, 0, "Memory depth must be an integer from 1 to 4194304, not 0"),
    ],
)
def test_bank_limits(key, good, bad, message):
    assert "module" in rtlil.convert(DualPortMemory(**{"width": 8, "depth": 4, key: good}))
    with pytest.raises(FitError, match=message):
        DualPortMemory(**{"width": 8, "depth": 4, key: bad})


def test_collision_masks_are_all_patched():
    text = rtlil.convert(DualPortMemory(width=8, depth=16))
    assert r"\COLLISION_X_MASK 1'0" in text
    patched = without_collision_logic(text)
    assert r"\COLLISION_X_MASK 1'1" in patched
    assert patched.replace(r"\COLLISION_X_MASK 1'1", r"\COLLISION_X_MASK 1'0") == text
