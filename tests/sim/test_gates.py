# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Netlists equal the RTL: cell models against the memories and products that they stand for, a whole network on the
cells of an iCE40 UP5K, and the record of the networks that take too long for every day (`make gatesim`)."""

import json
import random

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from gate_designs import MEMORIES, Memories, Multipliers, collided, traffic

from ds2ta.files import ROOT
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.stores import store_images
from ds2ta.golden import slow
from ds2ta.golden.random_model import random_model
from ds2ta.hw.store import DualPortMemory
from ds2ta.records.gate_runs import CASES, RECORD, GatesError, case, case_digest, compare
from ds2ta.sim import gates
from ds2ta.sim.expected import expect
from ds2ta.sim.gates import Gates, gate_verilog, with_faults
from ds2ta.sim.network import RtlNetwork
from ds2ta.sim.rtl import Rtl, RtlError
from ds2ta.sim.verilator import ToolError

CELLS = sorted((ROOT / "sim" / "cells").glob("*.v"))
BEATS = 3000
IMAGES = 5
FAULTS = 24
BLOCK_RAM = {"ice40": "SB_RAM40_4K", "ecp5": "DP16KD"}


def _play(simulation: Rtl, payloads: list[int]) -> list[int]:
    """The output stream in the cycle after each payload."""
    with simulation:
        simulation.collect()
        simulation.send("i", payloads)
        simulation.advance()
        return simulation.collect()["o"].values["o__payload"][1:]


@pytest.fixture(scope="module")
def memory_traffic():
    """Commands for all memories, packed, and what the RTL answers."""
    component = Memories()
    beats = {shape: traffic(shape, BEATS) for shape in MEMORIES}
    payloads = [0] * BEATS
    for shape in MEMORIES:
        fields, start = Memories.fields(shape), component.command[shape.name].offset
        for number, beat in enumerate(beats[shape]):
            for name, value in beat.items():
                payloads[number] |= value << start + fields[name].offset
    return beats, payloads, _play(Rtl(component), payloads)


@pytest.mark.parametrize(
    ("family", "packed"), [("ice40", False), ("ice40", True), ("ecp5", False)], ids=["ice40", "packed", "ecp5"]
)
def test_memories(family, packed, memory_traffic):
    """Every read that meets no write equals the RTL's; of those that do, the written bits alone may differ, and in
    each memory they do."""
    beats, payloads, expected = memory_traffic
    simulation = Gates(Memories(), family, packed=packed)
    assert simulation.netlist.cells[BLOCK_RAM[family]] >= len(MEMORIES)
    found = _play(simulation, payloads)
    assert [word & 0xFF for word in found] == [payload & 0xFF for payload in payloads]
    layout = Memories().shown
    for shape in MEMORIES:
        field = layout[shape.name]
        open_bits = collided(shape, beats[shape])
        differences = [(ours ^ theirs) >> field.offset & (1 << shape.width) - 1
                       for ours, theirs in zip(found, expected, strict=True)]  # fmt: skip
        promised = [index for index, bits in enumerate(differences) if bits & ~open_bits[index]]
        assert not promised, f"{shape.name} differs {len(promised)} times, first in beat {promised[0]}"
        if shape.chunk and not shape.shared:
            spoiled = sum(map(bool, differences))
            assert spoiled > sum(map(bool, open_bits)) / 2, f"{shape.name}: {spoiled} collisions seen"


def test_multipliers():
    component = Multipliers()
    generator = random.Random(18)
    ends = (0, 1, 0x1FFFF, 0x20000, 0x3FFFF, 0xFFFFFFFF, 0x80000000)
    pairs = [(a, b) for a in ends for b in ends]
    pairs += [(generator.getrandbits(32), generator.getrandbits(32)) for _ in range(1000)]
    simulation = Gates(component, "ecp5")
    assert simulation.netlist.cells["MULT18X18D"] >= len(component.shapes)
    words = _play(simulation, [a | b << 32 for a, b in pairs])

    def end(value, shape):
        value &= (1 << shape.width) - 1
        return value - (1 << shape.width) if shape.signed and value >> shape.width - 1 else value

    for (a, b), word in zip(pairs, words, strict=True):
        for index, (first, second) in enumerate(component.shapes):
            product = end(a, first) * end(b, second)
            assert word >> 64 * index & (1 << 64) - 1 == product & (1 << 64) - 1, (a, b, first, second)


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ('REGMODE_B("NOREG")', 'REGMODE_B("OUTREG")', "parameters that are not modelled"),
        ('CLKAMUX("CLKA")', 'CLKAMUX("INV")', "parameters that are not modelled"),
        (".OCEB(", ".RSTC(), .OCEB(", "RSTC"),
    ],
)
def test_cells_refuse_what_they_do_not_model(good, bad, message, monkeypatch):
    monkeypatch.setattr(
        gates, "gate_verilog", lambda *given, **more: gate_verilog(*given, **more).replace(good, bad)
    )
    with pytest.raises(ToolError, match=message):
        Gates(DualPortMemory(width=36, depth=512), "ecp5")


class Inverters(wiring.Component):
    """One LUT for each bit."""

    def __init__(self):
        super().__init__({"a": In(8), "b": In(8), "y": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.y.eq(self.a & ~self.b)
        return m


def test_faults():
    """Each fault inverts one output, all of them another one."""
    with Gates(Inverters(), "ice40", faults=8) as simulation:
        seen = []
        for fault in range(9):
            simulation.set("fault", fault)
            for a, b in [(0x5A, 0), (0x5A, 0x33), (0xFF, 0x0F)]:
                simulation.set("a", a)
                simulation.set("b", b)
                simulation.advance()
                seen.append(simulation.get("y") ^ a & ~b)
    assert seen[:3] == [0, 0, 0]
    assert seen[3::3] == seen[4::3] == seen[5::3]
    assert sorted(seen[3::3]) == [1 << bit for bit in range(8)]
    with pytest.raises(ValueError, match="less than 9 faults"):
        with_faults(gate_verilog(simulation.netlist), "inverters", 9)


@pytest.mark.long(on=lambda: case_digest("icebreaker") + "".join(path.read_text() for path in CELLS))
def test_network_on_ice40():
    """digits-tiny as the iCEBreaker holds it: real images, bit for bit; then broken cells, which the same
    comparison must see."""
    model, machine, program, family = case("icebreaker")
    with RtlNetwork(model, machine, program=program, gates=family, faults=FAULTS) as network:
        expected = [expect(model, machine, program, sample) for sample in model.samples[:IMAGES]]
        for sample, wanted in zip(model.samples, expected, strict=False):
            found = network.run(sample)
            compare(found, wanted)
        for store, rows in store_images(network.program).items():
            for row in [*range(0, len(rows), 17), len(rows) - 1]:
                assert network.scan(store, row) == rows[row], f"{store} row {row}"
        seen = []
        for fault in range(1, FAULTS + 1):
            network.inject(fault)
            network.reset()
            try:
                compare(network.run(model.samples[0], limit=3 * found.cycles), expected[0])
            except (GatesError, RtlError):
                seen.append(fault)
            network.inject(0)
            network.reset()
            network.load(model)
        assert len(seen) >= 2 * FAULTS / 3, f"{len(seen)} of {FAULTS} broken cells seen"
        compare(network.run(model.samples[0]), expected[0])


def test_banks_in_single_port_ram():
    """A small network whose spike banks and weights lie in single-port RAM, packed: layers, class and counters."""
    limits = {
        "row_lanes": 4,
        "max_dim": 8,
        "max_hidden": 8,
        "depth": 1,
        "time_steps": 4,
        "kind": "image",
        "samples": 2,
    }
    model = random_model(np.random.default_rng(7), **limits)
    shape = {"lanes": 4, "row_lanes": 4, "drain_lanes": 2, "score_channels": 4, "buffer_rows": 4}
    machine, program = fit(model, **shape, weights="spram", banks="spram", tables="ram")
    with RtlNetwork(model, machine, program=program, gates="ice40", packed=True) as network:
        for sample in model.samples:
            compare(network.run(sample), expect(model, machine, program, sample))


def test_record():
    """What `make gatesim` saw is what the golden model says, on the netlists that the present design gives."""
    found = {entry["case"]: entry for entry in json.loads(RECORD.read_text())}
    assert set(found) == set(CASES), "other cases than now: run `make gatesim`"
    for name, entry in found.items():
        model = case(entry["board"]).model
        assert (entry["board"], entry["family"]) == (CASES[name][0], case(entry["board"]).family)
        assert len(entry["logits"]) >= 3
        for sample, logits in zip(model.samples, entry["logits"], strict=False):
            assert slow.run(model, sample)["logits"].tolist() == logits, name
        assert entry["digest"] == case_digest(entry["board"]), (
            f"{name}: another netlist than now: run `make gatesim`"
        )
