# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Spike bank: the memory that passes read rows from and write the words of neuron groups to."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import RowWrite, check_power_of_two, check_range, row_layout
from ds2ta.hw.store import column_bits, memory_attributes, single_port_rams

__all__ = ["SpikeBank"]

# bits of the narrowest block RAM that has write enables inside of a word (iCE40), and of a single-port RAM
_WORD = 16
_NIBBLE = 4  # bits with a write enable of their own in a single-port RAM


class SpikeBank(wiring.Component):
    """Rows of g spike words that are read whole and written in any of their slots (of R words each).

    A slot of a row may be read while another is written; the same may not. `read_data` shows the slots that were
    read, of row `read_address`, one cycle later, and holds until a cycle reads again; what stands in the place of a
    slot that was not read is open. Content at power-up: zero.

    With `single_port` the rows lie in the single-port RAM of an iCE40 UP5K, each slot in nibbles of its own, so a
    cycle reads or writes and never does both, whatever the slots and rows; a write leaves `read_data` open. Content
    at power-up: undefined.

    Latency: 1 cycle. Throughput: one read and one write each cycle; with `single_port` one of the two.

    Parameters: `row_lanes` g, `time_steps` T, `slots` g / R, `address_width`, `rows`, `single_port`; `columns`: cut
    as `column_bits` has it, for ECP5.

    Members: `read_address`, `read_enable`, `read_data`; `write` of `RowWrite`; `collision` (simulation only; a
    check, not logic that is kept): a slot is read and written at the same row in this cycle; with `single_port`:
    there is a read and a write.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        slots: int,
        address_width: int,
        rows: int,
        single_port: bool = False,
        columns: bool = False,
    ):
        row = row_layout(row_lanes, time_steps)
        check_power_of_two("Slots", slots, 1, row_lanes)
        check_range("Bank rows", rows, 1, 1 << 22)
        # slots narrower than a block RAM's word share one, whose bits have write enables of their own
        self._bits = row.size // slots
        self._together = min(slots, 1 << max(1, _WORD // self._bits).bit_length() - 1)  # powers of two, both
        self._rows, self._single_port, self._cut = rows, single_port, columns
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

    @staticmethod
    def words_of(slots: int, bits: int) -> int:
        """Words of 16 bits in a row of `slots` of so many bits, where each has nibbles of its own."""
        return -(-slots * -(-bits // _NIBBLE) * _NIBBLE // _WORD)

    def elaborate(self, platform) -> Module:
        m = Module()
        if self._single_port:
            self._single(m)
        else:
            self._dual(m)
        return m

    def _dual(self, m: Module) -> None:
        """Block RAM."""
        write, bits, many = self.write, self._bits, self._together
        collides = Signal(len(write.slots))
        for number, first in enumerate(range(0, len(write.slots), many)):
            row = write.row.word_select(number, many * bits)
            enables = write.slots[first : first + many] & write.enable.replicate(many)
            reads = self.read_enable[first : first + many].any()
            cut = column_bits(bits, self._rows) if self._cut and many == 1 else many * bits
            columns: list[Value] = []
            for low in range(0, many * bits, cut):
                memory: Memory = Memory(
                    shape=unsigned(min(cut, many * bits - low)),
                    depth=self._rows,
                    init=[],
                    attrs=memory_attributes(depth=self._rows, fast=False),
                )
                name = f"memory_{number}_{low // cut}" if cut < many * bits else f"memory_{number}"
                m.submodules[name] = memory
                sink = memory.write_port(granularity=bits if many > 1 else None)
                m.d.comb += [
                    sink.addr.eq(write.address),
                    sink.data.eq(row[low : low + cut]),
                    sink.en.eq(enables),
                ]
                source = memory.read_port()
                m.d.comb += [source.addr.eq(self.read_address), source.en.eq(reads)]
                columns.append(source.data)
            shown = Cat(columns) if len(columns) > 1 else columns[0]
            m.d.comb += self.read_data.word_select(number, many * bits).eq(shown)
        m.d.comb += [
            collides.eq(self.read_enable & write.slots & write.enable.replicate(len(write.slots))),
            self.collision.eq(collides.any() & (self.read_address == write.address)),
        ]

    def _single(self, m: Module) -> None:
        """Single-port RAM, each slot in nibbles of its own."""
        write, bits, slots = self.write, self._bits, range(len(self.write.slots))
        nibbles = -(-bits // _NIBBLE)  # of a slot
        columns = range(self.words_of(len(slots), bits))
        spare = Const(0, _WORD)
        places = [spare[: nibbles * _NIBBLE - bits]] * len(slots)  # what a slot leaves of its nibbles
        words = Cat(*(Cat(write.row.word_select(slot, bits), places[slot]) for slot in slots), spare)
        masks = Cat(*(write.slots[slot].replicate(nibbles) for slot in slots), spare)
        reads = Signal()
        m.d.comb += [reads.eq(self.read_enable.any()), self.collision.eq(reads & write.enable)]
        shown = single_port_rams(
            m,
            depth=self._rows,
            address=Mux(write.enable, write.address, self.read_address),
            reads=reads,
            writes=write.enable,
            selects=[reads | write.enable] * len(columns),
            masks=[masks.word_select(column, _WORD // _NIBBLE) for column in columns],
            words=[words.word_select(column, _WORD) for column in columns],
        )
        m.d.comb += self.read_data.eq(Cat(shown.word_select(slot, nibbles * _NIBBLE)[:bits] for slot in slots))
