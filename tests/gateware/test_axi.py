# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the bench of the AXI shell; its ports and emitted Verilog; the document's example."""

import functools
import re

import pytest
from verilog_tools import icarus_accepts, needs_icarus, verilator_accepts, yosys_accepts

from ds2ta.errors import FitError
from ds2ta.files import ROOT
from ds2ta.gateware.axi.registers import AxiRegisters
from ds2ta.gateware.axi.shell import AxiAccelerator
from ds2ta.gateware.axi.stream import PacketStreams
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.verilog import emit, port_widths
from ds2ta.modelfile import load_model, model_digest
from ds2ta.sim import axi_example
from ds2ta.sim.build import run_bench

CLOCK_HZ = 100_000_000
# as AMBA names them: AXI4-Lite with 32 bits, AXI4-Stream with TLAST
PORTS = {
    "input": """aclk aresetn s_axil_awaddr:16 s_axil_awprot:3 s_axil_awvalid s_axil_wdata:32 s_axil_wstrb:4
        s_axil_wvalid s_axil_bready s_axil_araddr:16 s_axil_arprot:3 s_axil_arvalid s_axil_rready
        s_axis_tdata:8 s_axis_tvalid s_axis_tlast m_axis_tready""",
    "output": """s_axil_awready s_axil_wready s_axil_bresp:2 s_axil_bvalid s_axil_arready s_axil_rdata:32
        s_axil_rresp:2 s_axil_rvalid s_axis_tready m_axis_tdata:32 m_axis_tvalid m_axis_tlast irq""",
}
#: A machine with streamed weights has a master beside that, which reads only.
MASTER = {
    "input": "m_axi_arready m_axi_rid m_axi_rdata:128 m_axi_rresp:2 m_axi_rlast m_axi_rvalid",
    "output": """m_axi_arid m_axi_araddr:64 m_axi_arlen:8 m_axi_arsize:3 m_axi_arburst:2 m_axi_arlock
        m_axi_arcache:4 m_axi_arprot:3 m_axi_arqos:4 m_axi_arvalid m_axi_rready""",
}
STREAMED = [
    {"memory_bits": 64, "ring_rows": 512},
    {"memory_bits": 128, "ring_rows": 512, "lanes": 64},
]


@functools.cache
def tiny():
    return load_model(axi_example.MODEL)


def shell_of_rom(machine, program) -> AxiAccelerator:
    digest = bytes.fromhex(model_digest(tiny()))
    return AxiAccelerator(machine, program, clock_hz=CLOCK_HZ, digest=digest)


@functools.cache
def built_in() -> str:
    """Verilog of a shell whose model is in ROM."""
    return emit(shell_of_rom(*fit(tiny(), **MACHINES["digits-tiny"])))


def test_bench():
    machine = axi_example.machine(tiny())
    parameters = {"machine": machine.model_dump(), "clock_hz": CLOCK_HZ, "samples": 3}
    run_bench(
        AxiAccelerator(machine, clock_hz=CLOCK_HZ), module="ds2ta.sim.benches.bench_axi", parameters=parameters
    )


@pytest.mark.parametrize("choices", STREAMED, ids=lambda choices: f"{choices['memory_bits']} bits")
def test_bench_of_streamed_weights(choices):
    """Everything again, with the weights in a memory on AXI."""
    shell = streamed(**choices)
    parameters = {"machine": shell.machine.model_dump(), "clock_hz": CLOCK_HZ, "samples": 2}
    run_bench(shell, module="ds2ta.sim.benches.bench_axi", parameters=parameters)


def test_bench_of_a_built_in_model():
    machine, program = fit(tiny(), **MACHINES["digits-tiny"])
    parameters = {"machine": machine.model_dump(), "clock_hz": CLOCK_HZ}
    bench = {"module": "ds2ta.sim.benches.bench_axi", "testcase": "built_in"}
    run_bench(shell_of_rom(machine, program), **bench, parameters=parameters)


def named(*tables: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Ports by name, as `port_widths` tells them."""
    wanted = {}
    for table in tables:
        for way, names in table.items():
            for item in names.split():
                name, _, width = item.partition(":")
                wanted[name] = (way, int(width or 1))
    return wanted


def streamed(**choices: int | str) -> AxiAccelerator:
    """A shell whose weights come from a memory on AXI."""
    machine, _ = fit(tiny(), **{**MACHINES["digits-tiny"], **choices, "weights": "stream", "tables": "ram"})
    return AxiAccelerator(machine, clock_hz=CLOCK_HZ)


def test_ports():
    assert port_widths(built_in(), "axi_accelerator") == named(PORTS)


def test_ports_of_a_master(tmp_path):
    verilog = emit(streamed(**STREAMED[1]))
    assert port_widths(verilog, "axi_accelerator") == named(PORTS, MASTER)
    verilator_accepts(verilog, tmp_path)
    yosys_accepts(verilog, tmp_path)


@pytest.mark.parametrize("bits", [16, 32])
def test_a_memory_that_no_master_reads(bits):
    message = f"machine: memory_bits: {bits}: the AXI shell reads .* of 64 or 128 bits; memory_bits=64 mends it"
    with pytest.raises(FitError, match=message):
        streamed(memory_bits=bits, ring_rows=512)


def test_tools_accept_the_verilog(tmp_path):
    verilator_accepts(built_in(), tmp_path)
    yosys_accepts(built_in(), tmp_path)
    top = re.search(r"^module axi_accelerator\b.*?^endmodule", built_in(), re.M | re.S)[0]
    assert "__" not in re.search(r"\((.*?)\)", top, re.S)[1]
    assert not re.search(r"^  (reg|always)\b", top, re.M), "the top is wires alone"


@needs_icarus
def test_icarus(tmp_path):
    icarus_accepts(built_in(), tmp_path)


def test_a_machine_of_rom_has_nothing_to_load():
    machine, _ = fit(tiny(), **MACHINES["digits-tiny"])
    assert not hasattr(AxiRegisters(machine), "load")
    assert hasattr(AxiRegisters(axi_example.machine(tiny())), "load")


def test_limits():
    PacketStreams(logit_width=32, max_classes=2, count_width=8)
    with pytest.raises(FitError, match="logit_width: 33 is too wide for result words of 32 bits"):
        PacketStreams(logit_width=33, max_classes=2, count_width=8)


def test_the_documented_example_is_current():
    """`python -m ds2ta.sim.axi_example` mends a failure. That it is true is the bench's matter."""
    lines = "\n".join(axi_example.example(tiny(), axi_example.machine(tiny())))
    assert axi_example.block(axi_example.DOCUMENT.read_text()) == f"{lines}\n"


def test_the_document_names_every_register_of_the_shell():
    text = (ROOT / "docs" / "axi.md").read_text()
    for name in ("load_address", "load_data", "events", "event_enable", "external_base"):
        assert f"`{name}`" in text
