# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The estimate of area against synthesis: of memories, of every board and accelerator on record."""

import json

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.files import DOCS, model_path
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.area import AROUND, Estimate, estimate, parts_of
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.machines import ECP5, ICE40, MACHINES
from ds2ta.gateware.synthesis import area
from ds2ta.hw.bank import SpikeBank
from ds2ta.hw.memory_reader import MemoryReader
from ds2ta.hw.sdram import IS42S16160G
from ds2ta.hw.store import DualPortMemory, Store
from ds2ta.modelfile import load_model
from ds2ta.records.boards import read_boards

STALE = "run `python -m ds2ta.records.area_fit`"
MOST = 0.1  # that an estimate may be off

MEMORIES = {
    "a store of words": lambda: Store(width=64, depth=88, kind="ram"),
    "wide, and deeper than two memories of LUTs": lambda: Store(width=832, depth=36, kind="ram"),
    "wide, and as deep as two": lambda: Store(width=832, depth=32, kind="ram"),
    "deep and narrow": lambda: Store(width=10, depth=3000, kind="ram"),
    "wide and shallow": lambda: Store(width=448, depth=135, kind="ram"),
    "two ports": lambda: Store(width=48, depth=1500, kind="ram", ports=2),
    "two ports, registered": lambda: Store(width=32, depth=2100, kind="ram", ports=2, latency=2),
    "read only, with a remainder": lambda: Store(
        width=32, depth=2100, kind="rom", init=[n * 2654435761 % (1 << 32) for n in range(2100)], latency=2
    ),
    "written whole": lambda: DualPortMemory(width=24, depth=300),
    "small": lambda: DualPortMemory(width=19, depth=10, block=True),
    "a bank in slots": lambda: SpikeBank(row_lanes=8, time_steps=4, slots=4, address_width=12, rows=3000),
    "a bank of whole rows": lambda: SpikeBank(row_lanes=16, time_steps=4, slots=1, address_width=11, rows=1156),
}


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
@pytest.mark.parametrize("name", MEMORIES)
def test_memories_are_counted_as_yosys_maps_them(name, family):
    if name == "two ports, registered" and family == "ice40":
        pytest.skip("its remainder asks for LUT memory, which iCE40 has not")
    make = MEMORIES[name]
    assert estimate(make(), family).block_rams == area(make(), family).block_rams


class Product(wiring.Component):
    a: In(12)
    b: In(12)
    o: Out(24)

    def __init__(self, factor: int = 0):
        super().__init__()
        self._factor = factor

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a * (self._factor or self.b))
        return m


@pytest.mark.parametrize("factor", [0, 16, 24])
def test_products_are_counted_as_yosys_maps_them(factor):
    """A row of weights has no power of two of words in a memory where lanes are 96."""
    assert estimate(Product(factor), "ecp5").multipliers == area(Product(factor), "ecp5").multipliers


def off(estimated: int, measured: int) -> float:
    return abs(estimated - measured) / measured


@pytest.mark.parametrize("name", read_boards())
def test_recorded_boards(name):
    report = read_boards()[name]
    board = BOARDS[report["board"]]
    top = BoardTop(
        machine_from_dict(report["machine"]),
        clock_hz=round(report["timing"]["clock_hz"]),
        memory=board.sdram,
    )
    found, uses = estimate(top, board.family, AROUND), report["resources"]
    assert off(found.luts, uses["luts"]["mapped"]) < MOST, STALE
    assert off(found.packed_luts, uses["luts"]["used"]) < MOST, STALE
    assert off(found.registers, uses["registers"]["mapped"]) < MOST, STALE
    for resource in ("block_rams", "single_port_rams", "multipliers"):
        assert getattr(found, resource) == uses[resource]["mapped"], resource


AREAS = [row for row in json.loads((DOCS / "figures.json").read_text())["area"] if row["target"] == "ecp5"]


@pytest.mark.parametrize("row", AREAS, ids=lambda row: row["model"])
def test_recorded_accelerators(row):
    """Machines of other sizes than the boards', which the weights were not fitted to. Their tables are ROMs, whose
    mapping hangs on what they hold; on iCE40 much of them becomes LUTs."""
    model = load_model(model_path(row["model"]))
    machine, program = fit(model, **MACHINES[row["model"]] | ECP5.get(row["model"], {}))
    found = estimate(Accelerator(machine, program), "ecp5")
    assert off(found.luts, row["luts"]) < MOST, STALE
    assert off(found.registers, row["registers"]) < MOST, STALE
    assert found.multipliers == row["multipliers"]


def test_blocks_go_by_the_names_of_reports():
    """Those of the accelerator and those around it, each once; a module inside of a block counts for the block."""
    machine, _ = fit(load_model(model_path("digits-tiny")), **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
    found = parts_of(BoardTop(machine, clock_hz=24_000_000), AROUND)
    around = {"", "core", "core.checker", "core.file", "link", "receiver", "transmitter"}
    assert {*around, "accelerator", "engine"} <= set(found)
    assert "U$0" not in found
    alone = parts_of(Accelerator(machine))
    assert alone[""].registers == found["accelerator"].registers
    assert alone["attention"].memories == found["attention"].memories
    assert len(alone["attention"].memories) == 3


def test_readers_are_told_apart():
    """The reader of an external memory, in the core, has the name of the reader of rows, in the accelerator. One of
    another shape than its factor was found with, against synthesis."""
    shape = {"memory_bits": 16, "address_bits": 18, "row_words": 8, "ring_rows": 512}
    core, top = Module(), Module()
    core.submodules.reader = MemoryReader(**shape)
    top.submodules.core = core
    found, alone = estimate(top, "ecp5", AROUND), area(MemoryReader(**shape), "ecp5")
    assert off(found.luts, alone.luts) < MOST, STALE
    model = load_model(model_path("digits-tiny"))
    machine, _ = fit(model, **MACHINES["digits-tiny"] | {"weights": "stream", "memory_bits": 16, "tables": "ram"})
    parts = parts_of(BoardTop(machine, clock_hz=24_000_000, memory=IS42S16160G), AROUND)
    assert parts["reader"].registers == parts_of(Accelerator(machine))["reader"].registers
    assert parts["core.reader"].registers > 100


def test_what_a_device_lacks():
    """LUTs by their share, others to the last; what is just enough is not named."""
    need = Estimate(luts=90, packed_luts=100, registers=50, block_rams=8, single_port_rams=0, multipliers=3)
    limits = {"luts": 125, "registers": 50, "block_rams": 8, "single_port_rams": 0, "multipliers": 3}
    assert need.over(limits, 0.8) == {}
    assert need.over(limits, 0.79) == {"luts": (100, 98)}
    assert need.over({**limits, "block_rams": 7, "multipliers": 2}) == {"block_rams": (8, 7), "multipliers": (3, 2)}
