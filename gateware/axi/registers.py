# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The registers that only the AXI shell has: loading of the stores, where the streamed weights lie, and events with
their interrupt."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.register_file import bus_signature
from ds2ta.gateware.registers import REGISTERS, Register
from ds2ta.gateware.stores import CHUNK, load_layout, store_shapes

__all__ = ["BASE_BITS", "SHELL", "AxiRegisters", "register_layout"]

#: Bits of `external_base`.
BASE_BITS = 64

#: Registers of this file: name -> register.
SHELL = {name: register for name, register in REGISTERS.items() if register.only == "AXI"}


def register_layout(register: Register) -> data.FlexibleLayout:
    """The fields of a register as gateware sees them."""
    return data.FlexibleLayout(32, {field.name: data.Field(field.width, field.low) for field in register.fields})


class AxiRegisters(wiring.Component):
    """`load_address`, `load_data`, `events`, `event_enable` and `external_base` on the register bus.

    A write of `load_data` becomes one word on `load` and moves the address on: chunk by chunk, then row by row. It
    is refused with an error and changes nothing when the address lies outside of a store that can be loaded, when
    one of its bits 31..16 is set, and while `refuse` is high, so that the bus never waits for a sample. Word 0 of
    `external_base` is kept until word 1 is written, which makes both hold: no address of two halves is ever read.

    Latency: an access ends in the cycle after `bus.enable`; a good write of `load_data` in the cycle after the word
    was taken. Throughput: the next access may begin with the cycle after `done`.

    Parameters: `machine`; without a store that can be loaded there is no `load`, without streamed weights no
    `base` and no `moved`, and their registers are unmapped.

    Members: `bus` (only for addresses of `SHELL`); `load`: of the core; `refuse`: a sample is taken or worked on;
    `answered`, `was_early`, `was_late`: pulses of `PacketStreams`; `memory_error`: level; `irq`: an enabled event
    is set; `base`: `external_base`, `moved`: pulse with its new value.
    """

    def __init__(self, machine: Machine):
        self._shapes = store_shapes(machine)
        self._loads = any(shape.loadable for shape in self._shapes.values())
        self._word_bytes = machine.memory_bits // 8
        members = {
            "bus": In(bus_signature()),
            "refuse": In(1),
            **{name: In(1) for name in ("answered", "was_early", "was_late", "memory_error")},
            "irq": Out(1),
        }
        if self._loads:
            members["load"] = Out(stream.Signature(load_layout(machine)))
        if machine.streams:
            members |= {"base": Out(BASE_BITS), "moved": Out(1)}
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        layout = register_layout(SHELL["events"])
        width = len(SHELL["events"].fields)
        events, enabled, clear = (Signal(width, name=name) for name in ("events", "enabled", "clear"))
        new = Signal(layout)
        before = Signal()  # memory_error, a cycle ago
        m.d.comb += [
            new.result.eq(self.answered),
            new.tlast_early.eq(self.was_early),
            new.tlast_late.eq(self.was_late),
            new.memory_error.eq(self.memory_error & ~before),
            self.irq.eq((events & enabled).any()),
        ]
        m.d.sync += [
            self.bus.done.eq(self.bus.enable),
            self.bus.error.eq(0),
            events.eq(events & ~clear | new.as_value()),
            before.eq(self.memory_error),
        ]
        with m.If(self.bus.enable), m.Switch(self.bus.address):
            with m.Case(SHELL["events"].address):
                m.d.sync += self.bus.read_data.eq(events)
                with m.If(self.bus.write):
                    m.d.comb += clear.eq(self.bus.write_data)
            with m.Case(SHELL["event_enable"].address):
                m.d.sync += self.bus.read_data.eq(enabled)
                with m.If(self.bus.write):
                    m.d.sync += enabled.eq(self.bus.write_data)
            with m.Default():  # those of loading and of the memory, or there are none
                m.d.sync += self.bus.error.eq(1)
        if self._loads:
            self._loading(m)
        if self._word_bytes:
            self._moving(m)
        return m

    def _moving(self, m: Module) -> None:
        """A reset of the shell is none of the memory, nor of the settings of its check."""
        low, base = Signal(32, init=-1, reset_less=True), Signal(BASE_BITS, init=-1, reset_less=True)
        address, word, write = SHELL["external_base"].address, self.bus.write_data, self.bus.write
        m.d.comb += self.base.eq(base)
        m.d.sync += self.moved.eq(0)
        with m.If(self.bus.enable & (self.bus.address == address)):
            refused = write & (self.refuse | (word & self._word_bytes - 1).any())
            m.d.sync += [self.bus.read_data.eq(low), self.bus.error.eq(refused)]
            with m.If(write & ~refused):
                m.d.sync += low.eq(word)
        with m.If(self.bus.enable & (self.bus.address == address + 1)):
            refused = write & self.refuse
            m.d.sync += [self.bus.read_data.eq(base[32:]), self.bus.error.eq(refused)]
            with m.If(write & ~refused):
                m.d.sync += [base.eq(Cat(low, word)), self.moved.eq(1)]

    def _loading(self, m: Module) -> None:
        address = Signal(register_layout(SHELL["load_address"]))
        entry = self.load.payload
        rows = Array(Const(shape.rows if shape.loadable else 0, 23) for shape in self._shapes.values())
        last = Array(Const(shape.chunks - 1, 8) for shape in self._shapes.values())
        inside, taken = (Signal(name=name) for name in ("inside", "taken"))
        m.d.comb += [
            inside.eq((address.row < rows[address.store]) & (address.chunk <= last[address.store])),
            taken.eq(self.load.valid & self.load.ready),
            entry.store.eq(address.store),
            entry.row.eq(address.row),
            entry.chunk.eq(address.chunk),
        ]
        with m.If(self.bus.enable):
            with m.If(self.bus.address == SHELL["load_address"].address):
                m.d.sync += [self.bus.read_data.eq(address.as_value()), self.bus.error.eq(0)]
                with m.If(self.bus.write):
                    m.d.sync += address.as_value().eq(self.bus.write_data)
            good = self.bus.write & inside & ~self.bus.write_data[CHUNK:].any() & ~self.refuse
            with m.If((self.bus.address == SHELL["load_data"].address) & good):
                m.d.sync += [
                    self.load.valid.eq(1),
                    entry.data.eq(self.bus.write_data),
                    self.bus.done.eq(0),
                    self.bus.error.eq(0),
                ]
        with m.If(taken):
            end = address.chunk == last[address.store]
            m.d.sync += [
                self.load.valid.eq(0),
                self.bus.done.eq(1),
                address.chunk.eq(Mux(end, 0, address.chunk + 1)),
                address.row.eq(address.row + end),
            ]
