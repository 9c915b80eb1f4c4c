# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The accelerator as an AXI peripheral: registers on AXI4-Lite, samples and results on AXI4-Stream, an interrupt;
streamed weights by an AXI4 master.

    s_axil_* -> bridge -.                  .-> core: registers, checker, accelerator
                        +-> arbiter -> bus +
    s_axis_* -> packets '      ^           '-> shell: loading, events -> irq
    m_axis_* <-----'-----------'                           core -> memory -> m_axi_*

`docs/axi.md` tells integrators how to use it, with every transaction worked out in hex.
"""

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.gateware.axi.lite import AxiLiteBridge, BusArbiter
from ds2ta.gateware.axi.memory import MASTER_BITS, AxiMemory, join_master, master_ports
from ds2ta.gateware.axi.registers import BASE_BITS, SHELL, AxiRegisters, register_layout
from ds2ta.gateware.axi.stream import PacketStreams
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.core import Core, count_width
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import ADDRESS_BITS, REGISTERS

__all__ = ["AxiAccelerator"]

_BYTE_ADDRESS = ADDRESS_BITS + 2
_PULSES = ("answered", "was_early", "was_late")

#: Port -> direction and width, by AXI's names.
_PORTS = {
    "aclk": In(1),
    "aresetn": In(1),
    "s_axil_awaddr": In(_BYTE_ADDRESS),
    "s_axil_awprot": In(3),
    "s_axil_awvalid": In(1),
    "s_axil_awready": Out(1),
    "s_axil_wdata": In(32),
    "s_axil_wstrb": In(4),
    "s_axil_wvalid": In(1),
    "s_axil_wready": Out(1),
    "s_axil_bresp": Out(2),
    "s_axil_bvalid": Out(1),
    "s_axil_bready": In(1),
    "s_axil_araddr": In(_BYTE_ADDRESS),
    "s_axil_arprot": In(3),
    "s_axil_arvalid": In(1),
    "s_axil_arready": Out(1),
    "s_axil_rdata": Out(32),
    "s_axil_rresp": Out(2),
    "s_axil_rvalid": Out(1),
    "s_axil_rready": In(1),
    "s_axis_tdata": In(8),
    "s_axis_tvalid": In(1),
    "s_axis_tready": Out(1),
    "s_axis_tlast": In(1),
    "m_axis_tdata": Out(32),
    "m_axis_tvalid": Out(1),
    "m_axis_tready": In(1),
    "m_axis_tlast": Out(1),
    "irq": Out(1),
}


class AxiAccelerator(wiring.Component):
    """A core behind AXI. One clock, `aclk`; `aresetn` low for one cycle resets all but the contents of the stores.

    Registers (`gateware/registers.py`, those of the AXI shell included) are at byte address 4 x word address of
    `s_axil`; see `AxiLiteBridge`. Packets of sample bytes go into `s_axis`, packets of result words come out of
    `m_axis`; see `PacketStreams`. TDATA of `s_axis` is one byte: samples of any length are then whole beats, no
    TKEEP is needed, and a byte takes the encoder as long as a beat. `frames_good` counts packets that were answered
    with a valid result, `frames_dropped` the others. `irq` is level-sensitive, active high. Where weights are a
    stream, `m_axi` reads them from `external_base` on; see `AxiMemory`.

    Parameters: as `Core`: `machine`; `program` for ROM stores; `clock_hz` of `aclk`; `digest` of a built-in model.

    Latency and throughput: of the blocks inside; the streams add 3 cycles to a sample and its bus accesses.
    """

    def __init__(self, machine: Machine, program: Program | None = None, *, clock_hz: int, digest: bytes = b""):
        self._core = Core(machine, program, clock_hz=clock_hz, digest=digest, result_stream=True)
        self.machine = machine
        self._memory: AxiMemory | None = None
        ports = dict(_PORTS)
        if machine.streams:
            bits = machine.memory_bits
            if bits not in MASTER_BITS:
                raise FitError(
                    f"machine: memory_bits: {bits}: the AXI shell reads streamed weights in words of "
                    f"{' or '.join(map(str, MASTER_BITS))} bits; memory_bits={MASTER_BITS[0]} mends it"
                )
            self._memory = AxiMemory(
                memory_bits=bits, address_bits=machine.memory_address_bits, byte_address_bits=BASE_BITS
            )
            ports |= master_ports(bits, BASE_BITS)
        super().__init__(ports)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain()
        domain.clk = self.aclk
        m.d.comb += domain.rst.eq(~self.aresetn)
        m.submodules.core = core = self._core
        m.submodules.bridge = bridge = AxiLiteBridge()
        m.submodules.streams = streams = PacketStreams(
            logit_width=self.machine.logit_width,
            max_classes=self.machine.max_classes,
            count_width=count_width(self.machine),
        )
        m.submodules.arbiter = arbiter = BusArbiter()
        m.submodules.registers = registers = AxiRegisters(self.machine)
        self._channels(m, bridge, streams)

        # ---- the bus
        wiring.connect(m, streams.bus, arbiter.first)
        wiring.connect(m, bridge.bus, arbiter.second)
        local = Signal()
        own = [
            register.at(index)
            for name, register in SHELL.items()
            for index in range(register.count)
            if name != "external_base" or self.machine.streams
        ]
        command = register_layout(REGISTERS["command"])(arbiter.bus.write_data)
        commands = arbiter.bus.enable & arbiter.bus.write & (arbiter.bus.address == REGISTERS["command"].address)
        m.d.comb += [
            local.eq(Cat(arbiter.bus.address == address for address in own).any()),
            registers.bus.enable.eq(arbiter.bus.enable & local),
            core.bus.enable.eq(arbiter.bus.enable & ~local),
            arbiter.bus.done.eq(registers.bus.done | core.bus.done),
            arbiter.bus.error.eq(Mux(local, registers.bus.error, core.bus.error)),
            arbiter.bus.read_data.eq(Mux(local, registers.bus.read_data, core.bus.read_data)),
            # also of the streams' own core_reset, when they look at nothing any more
            streams.cut.eq(commands & command.core_reset),
        ]
        for target in (registers.bus, core.bus):
            m.d.comb += [
                target.write.eq(arbiter.bus.write),
                target.address.eq(arbiter.bus.address),
                target.write_data.eq(arbiter.bus.write_data),
            ]

        # ---- samples, results, loading, events
        wiring.connect(m, streams.sample, core.sample)
        wiring.connect(m, core.result, streams.result)
        if hasattr(registers, "load"):
            wiring.connect(m, registers.load, core.load)
        if self._memory is not None:
            m.submodules.memory = memory = self._memory
            wiring.connect(m, core.memory, memory.memory)
            m.d.comb += [memory.base.eq(registers.base), core.memory_moved.eq(registers.moved)]
            join_master(m, memory, self)
        m.d.comb += [
            streams.busy.eq(core.busy),
            registers.refuse.eq(core.busy | streams.engaged),
            registers.memory_error.eq(core.error),
            *(getattr(registers, pulse).eq(getattr(streams, pulse)) for pulse in _PULSES),
            core.frame_good.eq(streams.good),
            core.frame_dropped.eq(streams.dropped),
            self.irq.eq(registers.irq),
        ]
        return m

    def _channels(self, m: Module, bridge: AxiLiteBridge, streams: PacketStreams) -> None:
        """Names of AXI to streams."""
        for prefix, channel, fields in (
            ("s_axil_aw", bridge.aw, {"addr": bridge.aw.payload}),
            ("s_axil_w", bridge.w, {"data": bridge.w.payload.data, "strb": bridge.w.payload.strb}),
            ("s_axil_ar", bridge.ar, {"addr": bridge.ar.payload}),
            ("s_axis_t", streams.i, {"data": streams.i.payload.data, "last": streams.i.payload.last}),
        ):
            m.d.comb += [
                channel.valid.eq(getattr(self, f"{prefix}valid")),
                getattr(self, f"{prefix}ready").eq(channel.ready),
                *(field.eq(getattr(self, f"{prefix}{name}")) for name, field in fields.items()),
            ]
        for prefix, channel, fields in (
            ("s_axil_b", bridge.b, {"resp": bridge.b.payload}),
            ("s_axil_r", bridge.r, {"data": bridge.r.payload.data, "resp": bridge.r.payload.resp}),
            ("m_axis_t", streams.o, {"data": streams.o.payload.data, "last": streams.o.payload.last}),
        ):
            m.d.comb += [
                getattr(self, f"{prefix}valid").eq(channel.valid),
                channel.ready.eq(getattr(self, f"{prefix}ready")),
                *(getattr(self, f"{prefix}{name}").eq(field) for name, field in fields.items()),
            ]
