# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Spike bank: the memory that passes read rows from and write the words of neuron groups to."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import RowWrite, check_power_of_two, check_range, row_layout
from ds2ta.hw.store import memory_attributes

__all__ = ["SpikeBank"]

_WORD = 16  # bits of the narrowest block RAM that has write enables inside of a word (iCE40)


class SpikeBank(wiring.Component):
    """Rows of g spike words that are read whole and written in any of their slots (of R words each).

    A slot of a row may be read while another is written; the same may not. `read_data` shows the slots that were
    read, of row `read_address`, one cycle later, and holds until a cycle reads again; what stands in the place of a
    slot that was not read is open. Content at power-up: zero.

    Latency: 1 cycle. Throughput: one read and one write each cycle.

    Parameters: `row_lanes` g, `time_steps` T, `slots` g / R, `address_width`, `rows`.

    Members: `read_address`, `read_enable`, `read_data`; `write` of `RowWrite`; `collision` (simulation only; a
    check, not logic that is kept): a slot is read and written at the same row in this cycle.
    """

    def __init__(self, *, row_lanes: int, time_steps: int, slots: int, address_width: int, rows: int):
        row = row_layout(row_lanes, time_steps)
        check_power_of_two("Slots", slots, 1, row_lanes)
        check_range("Bank rows", rows, 1, 1 << 22)
        # slots narrower than a block RAM's word share one, whose bits have write enables of their own
        self._bits = row.size // slots
        self._together = min(slots, 1 << max(1, _WORD // self._bits).bit_length() - 1)  # powers of two, both
        self._rows = rows
        shape = {"row_lanes": row_lanes, "time_steps": time_steps, "slots": slots}
        super().__init__(
            {
                "read_address": In(address_width),
                "read_enable": In(slots),
                "read_data": Out(row.size),
                "write": In(RowWrite(**shape, address_width=address_width)),
                "collision": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        write, bits, many = self.write, self._bits, self._together
        collides = Signal(len(write.slots))
        for number, first in enumerate(range(0, len(write.slots), many)):
            memory: Memory = Memory(
                shape=unsigned(many * bits),
                depth=self._rows,
                init=[],
                attrs=memory_attributes(depth=self._rows, fast=False),
            )
            m.submodules[f"memory_{number}"] = memory
            sink = memory.write_port(granularity=bits)
            m.d.comb += [
                sink.addr.eq(write.address),
                sink.data.eq(write.row.word_select(number, many * bits)),
                sink.en.eq(write.slots[first : first + many] & write.enable.replicate(many)),
            ]
            source = memory.read_port()
            m.d.comb += [
                source.addr.eq(self.read_address),
                source.en.eq(self.read_enable[first : first + many].any()),
            ]
            m.d.comb += self.read_data.word_select(number, many * bits).eq(source.data)
        m.d.comb += [
            collides.eq(self.read_enable & write.slots & write.enable.replicate(len(write.slots))),
            self.collision.eq(collides.any() & (self.read_address == write.address)),
        ]
        return m
