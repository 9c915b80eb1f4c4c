# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Spike bank: the memory that passes read rows from and write the words of neuron groups to."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import RowWrite, check_power_of_two, row_layout
from ds2ta.hw.store import DualPortMemory

__all__ = ["SpikeBank"]


class SpikeBank(wiring.Component):
    """Rows of g spike words that are read whole and written in any of their slots (of R words each).

    Each slot is a memory of its own, so a slot of a row may be read while another is written; the same may not.
    `read_data` of a slot is that at `read_address` of the last cycle with its bit of `read_enable`, one cycle
    later, and holds. Content at power-up: zero.

    Latency: 1 cycle. Throughput: one read and one write each cycle.

    Parameters: `row_lanes` g, `time_steps` T, `slots` g / R, `address_width`, `rows`.

    Members: `read_address`, `read_enable`, `read_data`; `write` of `RowWrite`; `collision` (simulation only; a
    check, not logic that is kept): a slot is read and written at the same row in this cycle.
    """

    def __init__(self, *, row_lanes: int, time_steps: int, slots: int, address_width: int, rows: int):
        row = row_layout(row_lanes, time_steps)
        check_power_of_two("Slots", slots, 1, row_lanes)
        self._memories = [DualPortMemory(width=row.size // slots, depth=rows) for _ in range(slots)]
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
        write = self.write
        for index, memory in enumerate(self._memories):
            m.submodules[f"slot_{index}"] = memory
            m.d.comb += [
                memory.read_address.eq(self.read_address),
                memory.read_enable.eq(self.read_enable[index]),
                memory.write.address.eq(write.address),
                memory.write.data.eq(write.row.word_select(index, len(memory.write.data))),
                memory.write.enable.eq(write.enable & write.slots[index]),
            ]
        m.d.comb += [
            self.read_data.eq(Cat(memory.read_data for memory in self._memories)),
            self.collision.eq(Cat(memory.collision for memory in self._memories).any()),
        ]
        return m
