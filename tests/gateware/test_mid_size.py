# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network that a small ECP5 holds only with its weights in an external memory and its samples in bands, whole: on
the bare accelerator in every layer and every cycle, and through the AXI shell.
`tests/fpga/test_virtual_mid_size.py` has it on a board."""

import pytest

from ds2ta.files import DOCS
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.area import AROUND, BLOCK_BITS, estimate
from ds2ta.gateware.axi.shell import AxiAccelerator
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.planner import FILL
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.weight_feed import SDRAM
from ds2ta.golden import slow
from ds2ta.modelfile import model_digest, save_model
from ds2ta.records.mid_size import MID_SIZE, main, mid_size_model
from ds2ta.sim.build import run_bench
from ds2ta.sim.expected import expect
from ds2ta.sim.network import RtlNetwork
from ds2ta.sim.verify import difference

BOARD = BOARDS["ulx3s_25f"]
CLOCK_HZ = 100_000_000


@pytest.fixture(scope="module")
def model():
    return mid_size_model()


@pytest.fixture(scope="module")
def fitted(model):
    return fit(model, **MACHINES[MID_SIZE.name])


def test_the_network_is_too_large_for_the_chip(model):
    """Of its weights twice the block RAM of the device, which does hold its machine."""
    bits = sum(layer.weight.size * layer.bits for layer in model.synapses.values())
    assert bits > 2.2 * BOARD.limits["block_rams"] * BLOCK_BITS["ecp5"]


def test_the_machine_fits_the_board(model, fitted):
    """By the estimate; with it and the cycle model docs/boards.md says what it is."""
    machine, program = fitted
    top = BoardTop(machine, clock_hz=round(BOARD.core_hz), memory=BOARD.sdram)
    area = estimate(top, "ecp5", AROUND)
    assert area.over(BOARD.limits, FILL["ecp5"]) == {}
    wanted = expect(model, machine, program, model.samples[0])
    waits = sum(item.waits for item in wanted.passes)
    luts, rams = BOARD.limits["luts"], BOARD.limits["block_rams"]
    words = f"""its core takes {area.packed_luts:,} of {luts:,} LUTs and {area.block_rams} of {rams} block RAMs;
        a recording takes {wanted.cycles:,} cycles, {waits:,} of them waits"""
    assert " ".join(words.split()) in " ".join((DOCS / "boards.md").read_text().split())


def test_every_way_is_taken(model, fitted):
    """Without which the tests below would show less than they say."""
    machine, program = fitted
    assert machine.streams
    assert machine.ring_rows.bit_count() > 1
    assert len(program.weight_image) > 4 * machine.ring_rows
    assert model.network.embed_dim % machine.lanes
    assert program.regions["input"].rows > machine.rows_of(0)
    passes = [(item.name, item.opcode) for item in program.instructions]
    assert passes.count(("input", Opcode.INPUT)) == passes.count(("stem.0", Opcode.SYNAPSE)) > 1
    tiles = [item for item in program.instructions if item.name.endswith(".q")]
    assert all(item.tiles_last and item.live_rows_last + 1 < machine.lanes // machine.row_lanes for item in tiles)


def test_network(model, fitted):
    """Layers, kept entries, logits, and the counters of every pass, which waits for an SDRAM now and then."""
    machine, program = fitted
    sample = model.samples[0]
    with RtlNetwork(model, machine, program=program, memory=SDRAM) as rtl:
        found = rtl.run(sample, trace=True)
        assert difference(rtl, sample, slow.run(model, sample), found) is None
    waiting = {item.name for item in found.passes if item.waits}
    assert {"stem.2", "rpe", "block.0.fc1", "block.3.fc2"} <= waiting


def test_axi(model, tmp_path):
    """Everything by registers and streams, the weights by bursts from a memory on AXI that stalls at random."""
    machine, _ = fit(model, **MACHINES[MID_SIZE.name] | {"memory_bits": 64})
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    parameters = {"machine": machine.model_dump(), "clock_hz": CLOCK_HZ, "model": str(path)}
    bench = {"module": "ds2ta.sim.benches.bench_axi", "testcase": "waiting_sample"}
    run_bench(AxiAccelerator(machine, clock_hz=CLOCK_HZ), **bench, parameters=parameters)


def test_the_file(model, tmp_path, capsys):
    """The command writes the network of these tests."""
    main([str(tmp_path / "mid")])
    save_model(model, tmp_path / "same")
    assert (tmp_path / "mid").read_bytes() == (tmp_path / "same").read_bytes()
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'mid'}: 578544 weights, ")
    assert model_digest(model)[:12] == "10c57dcb646c"
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "no" / "folder")])
    assert ended.value.code == 2
