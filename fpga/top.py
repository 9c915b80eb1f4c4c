# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What every board runs: the core behind a serial line. Clock, reset and pins are the board's."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.fpga.boot import BootFlash, BootLoader, BootRegister
from ds2ta.fpga.boot_format import machine_tag
from ds2ta.fpga.link import HostLink
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.core import Core
from ds2ta.gateware.machine import Machine
from ds2ta.hw.sdram import SDRAM_BITS, SdramChip, SdramController, pins_signature
from ds2ta.hw.spi_flash import SpiFlashReader
from ds2ta.hw.uart import UartReceiver, UartTransmitter, baud_divisor

__all__ = ["DEFAULT_BAUD", "SDRAM_ROUND_TRIP", "BoardTop"]

DEFAULT_BAUD = 1_000_000
#: Cycles that a word of an SDRAM takes beside its CAS latency: half a one to the chip, whose clock is turned, half
#: a one back, and a register at the pads on either way.
SDRAM_ROUND_TRIP = 3


class BoardTop(wiring.Component):
    """A machine with a host on its serial line (docs/host-link.md), in the clock domain `sync`.

    Latency and throughput: those of `fpga.link.HostLink` behind a line of `baud` bits a second.

    Parameters: `machine`; `program` for its ROM stores; `clock_hz`, of the domain; `baud`, that the clock must hit
    within 2 %; `digest`: SHA-256 of the built-in model; `memory`: the SDRAM for weights that are a stream, at the
    domain's clock; `boot`: the flash that a model is loaded from at power-up, before the line is listened to.

    Members: `rx` (asynchronous), `tx`: the line; `busy`: a sample is open or worked on; `error`: a memory does not
    hold what it should; `sdram` (with weights that are a stream): `hw.sdram.pins_signature`; with `boot`,
    `flash_sck`, `flash_cs` (1 selects), `flash_copi`, `flash_cipo`.
    """

    def __init__(
        self,
        machine: Machine,
        program: Program | None = None,
        *,
        clock_hz: int,
        baud: int = DEFAULT_BAUD,
        digest: bytes = b"",
        memory: SdramChip | None = None,
        boot: BootFlash | None = None,
    ):
        self.divisor = baud_divisor(clock_hz=clock_hz, baud=baud)
        self._core = Core(machine, program, clock_hz=clock_hz, digest=digest)
        self._link = HostLink(machine)
        members = {"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "error": Out(1)}
        self.memory = memory if machine.streams else None  # the chip that holds weights
        if machine.streams:
            self._sdram = _controller(machine, memory, clock_hz)
            members["sdram"] = Out(pins_signature(self._sdram.chip.row_bits))
        self._flash: SpiFlashReader | None = None
        if boot is not None:
            self._flash = SpiFlashReader(half=boot.half, wake=boot.wake, address=boot.address, fast=boot.fast)
            self._loader = BootLoader(machine=machine_tag(machine), room=boot.room)
            members |= {f"flash_{name}": Out(1) for name in ("sck", "cs", "copi")} | {"flash_cipo": In(1)}
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.link = link = self._link
        m.submodules.receiver = receiver = UartReceiver(divisor=self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        if self._flash is None:
            wiring.connect(m, receiver.o, link.i)
            wiring.connect(m, link.o, transmitter.i)
            wiring.connect(m, link.bus, core.bus)
        else:
            self._boot(m, self._flash)
        wiring.connect(m, link.sample, core.sample)
        if "load" in link.signature.members:
            wiring.connect(m, link.load, core.load)
            m.d.comb += link.load_error.eq(core.load_error)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.busy.eq(core.busy),
            link.sample_full.eq(core.sample_full),
            core.frame_good.eq(link.frame_good),
            core.frame_dropped.eq(link.frame_dropped),
            self.busy.eq(core.busy),
            self.error.eq(core.error),
        ]
        if "sdram" in self.signature.members:
            self._connect_memory(m)
        return m

    def _connect_memory(self, m: Module) -> None:
        """The core's addresses are those of the words that it knows, the chip has more."""
        core = self._core
        m.submodules.sdram = sdram = self._sdram
        wiring.connect(m, wiring.flipped(self.sdram), sdram.pins)
        m.d.comb += [
            sdram.memory.run.valid.eq(core.memory.run.valid),
            core.memory.run.ready.eq(sdram.memory.run.ready),
            *(sdram.memory.run.payload[name].eq(core.memory.run.payload[name]) for name in ("address", "words")),
            core.memory.word.valid.eq(sdram.memory.word.valid),
            sdram.memory.word.ready.eq(core.memory.word.ready),
            core.memory.word.payload.eq(sdram.memory.word.payload),
            core.memory.ready.eq(sdram.memory.ready),
            core.memory.failed.eq(sdram.memory.failed),
            sdram.write.valid.eq(core.memory_write.valid),
            core.memory_write.ready.eq(sdram.write.ready),
            *(sdram.write.payload[name].eq(core.memory_write.payload[name]) for name in ("address", "word")),
        ]

    def _boot(self, m: Module, flash: SpiFlashReader) -> None:
        """The loader between line and link, its register between link and core."""
        m.submodules.flash, m.submodules.loader, m.submodules.boot = flash, self._loader, BootRegister()
        loader, register, link = self._loader, m.submodules.boot, self._link
        wiring.connect(m, flash.o, loader.flash)
        wiring.connect(m, m.submodules.receiver.o, loader.line)
        wiring.connect(m, loader.link, link.i)
        wiring.connect(m, link.o, loader.answer)
        wiring.connect(m, loader.o, m.submodules.transmitter.i)
        wiring.connect(m, link.bus, register.bus)
        wiring.connect(m, register.core, self._core.bus)
        m.d.comb += [
            flash.read.eq(loader.read),
            loader.dropped.eq(link.frame_dropped),
            register.state.eq(loader.state),
            flash.cipo.eq(self.flash_cipo),
            self.flash_sck.eq(flash.sck),
            self.flash_cs.eq(flash.cs),
            self.flash_copi.eq(flash.copi),
        ]


def _controller(machine: Machine, chip: SdramChip | None, clock_hz: int) -> SdramController:
    """Of the board's SDRAM, if it holds the weights."""
    if chip is None:
        raise FitError("machine: weights: stream needs an SDRAM, the board has none; weights=ram mends it")
    if machine.memory_bits != SDRAM_BITS:
        raise FitError(
            f"machine: memory_bits: {machine.memory_bits} must be {SDRAM_BITS}, the width of the board's SDRAM; "
            f"memory_bits={SDRAM_BITS} mends it"
        )
    if (words := machine.weight_rows * machine.row_words) > 1 << chip.address_bits:
        raise FitError(
            f"machine: weight_rows: {machine.weight_rows} rows of {machine.row_words} words are {words} words, the "
            f"board's SDRAM, {chip.name}, has {1 << chip.address_bits}; a smaller model mends it"
        )
    return SdramController(chip, clock_hz=clock_hz, round_trip=SDRAM_ROUND_TRIP)
