# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What every board runs: the core behind a serial line. Clock, reset and pins are the board's."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.fpga.link import HostLink
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.core import Core
from ds2ta.gateware.machine import Machine
from ds2ta.hw.uart import UartReceiver, UartTransmitter, baud_divisor

__all__ = ["DEFAULT_BAUD", "BoardTop"]

DEFAULT_BAUD = 1_000_000


class BoardTop(wiring.Component):
    """A machine with a host on its serial line (docs/host-link.md), in the clock domain `sync`.

    Latency and throughput: those of `fpga.link.HostLink` behind a line of `baud` bits a second.

    Parameters: `machine`; `program` for its ROM stores; `clock_hz`, of the domain; `baud`, that the clock must hit
    within 2 %; `digest`: SHA-256 of the built-in model.

    Members: `rx` (asynchronous), `tx`: the line; `busy`: a sample is open or worked on; `error`: a memory does not
    hold what it should.
    """

    def __init__(
        self,
        machine: Machine,
        program: Program | None = None,
        *,
        clock_hz: int,
        baud: int = DEFAULT_BAUD,
        digest: bytes = b"",
    ):
        self.divisor = baud_divisor(clock_hz=clock_hz, baud=baud)
        self._core = Core(machine, program, clock_hz=clock_hz, digest=digest)
        self._link = HostLink(machine)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1), "error": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.link = link = self._link
        m.submodules.receiver = receiver = UartReceiver(divisor=self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        wiring.connect(m, receiver.o, link.i)
        wiring.connect(m, link.o, transmitter.i)
        wiring.connect(m, link.bus, core.bus)
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
        return m
