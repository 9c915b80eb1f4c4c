# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Reads an external memory from its first word to the last, over and over, and computes a CRC of every reading."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import crc, data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import check_range
from ds2ta.hw.ring import memory_layout

__all__ = ["MemoryReader", "memory_port", "run_layout", "write_layout"]


def run_layout(address_bits: int) -> data.StructLayout:
    """A run of words to read: `words`, at least 1, from `address` on, which may not pass the end of the memory."""
    return data.StructLayout({"address": address_bits, "words": address_bits + 1})


def write_layout(address_bits: int) -> data.StructLayout:
    """A word to write."""
    return data.StructLayout({"address": address_bits, "word": 16})


def memory_port(memory_bits: int, address_bits: int) -> wiring.Signature:
    """An external memory that is read in runs, seen from its user. `run` asks for one, `word` brings its words in
    order, `last` with the last of them. `ready`: the memory may be asked; it stays so."""
    return wiring.Signature(
        {
            "run": Out(stream.Signature(run_layout(address_bits))),
            "word": In(stream.Signature(memory_layout(memory_bits))),
            "ready": In(1),
        }
    )


class MemoryReader(wiring.Component):
    """Words 0 .. `words` - 1 of a memory, again and again, to `o`, each reading with `last` at its end.

    After a `restart` the first reading goes nowhere: it is there for its CRC (that of zlib, of the words as little
    endian bytes). Then each reading goes to `o`, which may let it wait for any time, and is checked too: `differs`
    tells of the reading that ended last whether its CRC was not `expected`. A reading that a `restart` or a
    `resync` meets is read to its end, without effect, and the next one begins.

    Words are asked for in runs of `piece`, the last one of a reading shorter, so that a break is soon over. After a
    `restart` the reader waits for 2**`settle` cycles, as long as words are written one after the other.

    Latency: a word that comes in cycle c is offered in c. Throughput: a word each cycle; between two runs lie 2
    cycles, between two readings 3, and what the memory needs. `done` comes 2 cycles after a reading's last word,
    with `differs` and `found`, which stay.

    Parameters: `memory_bits` of a word, `address_bits` of its number, `piece`, `settle` as above; `patience`: log2
    of the cycles without a word after which the memory counts as `stalled`.

    Members
    -------
    memory : `memory_port`.
    o : stream of `memory_layout`.
    words : of a reading, 0: none is begun. expected : CRC. Both stable while `words` is not 0.
    restart : pulse: words of the memory, their number, or the CRC are other ones. Also at the beginning.
    resync : pulse: whoever takes `o` begins anew with the first word. What `o` offers in that cycle may be taken
        back.
    checked : a whole reading has ended since the last `restart`. done : pulse, one has ended. differs, found : its
        CRC was not `expected`; its CRC.
    stalled : no word came for long though one was asked for, and not held up; until `restart`.
    """

    def __init__(
        self, *, memory_bits: int, address_bits: int, piece: int = 4096, settle: int = 14, patience: int = 16
    ):
        check_range("Address bits", address_bits, 1, 32)
        check_range("Piece", piece, 1, 1 << 16)
        check_range("Settle", settle, 1, 24)
        check_range("Patience", patience, 2, 24)
        self._memory_bits, self._piece, self._settle, self._patience = memory_bits, piece, settle, patience
        super().__init__(
            {
                "memory": Out(memory_port(memory_bits, address_bits)),
                "o": Out(stream.Signature(memory_layout(memory_bits))),
                "words": In(address_bits + 1),
                "expected": In(32),
                "restart": In(1),
                "resync": In(1),
                "checked": Out(1),
                "done": Out(1),
                "differs": Out(1),
                "found": Out(32),
                "stalled": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.crc = unit = crc.Processor(CRC32_ISO_HDLC(data_width=self._memory_bits))
        word, run = self.memory.word, self.memory.run
        reads, drops, silent, takes = Signal(), Signal(), Signal(), Signal()  # drops: words are without effect
        left, final = Signal.like(self.words), Signal()  # words from this run on; it is the reading's last
        settled = Signal(self._settle)
        breaks = self.restart | self.resync
        m.d.comb += [
            silent.eq(drops | ~self.checked),
            self.o.valid.eq(reads & word.valid & ~silent),
            self.o.payload.word.eq(word.payload.word),
            self.o.payload.last.eq(word.payload.last & final),
            word.ready.eq(reads & (silent | self.o.ready)),
            takes.eq(word.valid & word.ready),
            unit.data.eq(word.payload.word),
            unit.valid.eq(takes),
        ]
        m.d.sync += [self.done.eq(0), settled.eq(Mux(self.restart, 0, settled + ~settled.all()))]
        with m.FSM():
            with m.State("REST"):
                m.d.comb += unit.start.eq(self.memory.ready & self.words.any() & settled.all() & ~breaks)
                m.d.sync += [drops.eq(0), left.eq(self.words), run.payload.address.eq(0)]
                with m.If(unit.start):
                    m.next = "PIECE"
            with m.State("PIECE"):
                m.d.sync += [
                    drops.eq(drops | breaks),
                    final.eq(left <= self._piece),
                    run.payload.words.eq(Mux(left <= self._piece, left, self._piece)),
                ]
                m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += run.valid.eq(1)
                m.d.sync += drops.eq(drops | breaks)
                with m.If(run.ready):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += reads.eq(1)
                m.d.sync += drops.eq(drops | breaks)
                with m.If(takes & word.payload.last):
                    m.d.sync += [
                        left.eq(left - run.payload.words),
                        run.payload.address.eq(run.payload.address + run.payload.words),
                    ]
                    with m.If(drops | breaks):
                        m.next = "REST"
                    with m.Elif(final):
                        m.next = "COMPARE"
                    with m.Else():
                        m.next = "PIECE"
            with m.State("COMPARE"):
                m.d.sync += self.found.eq(unit.crc)
                with m.If(~breaks):
                    m.d.sync += [self.checked.eq(1), self.differs.eq(unit.crc != self.expected), self.done.eq(1)]
                m.next = "REST"
        with m.If(self.restart):
            m.d.sync += [self.checked.eq(0), self.differs.eq(0)]
        self._watch(m, reads & ~word.valid)
        return m

    def _watch(self, m: Module, waits) -> None:
        """The memory is late."""
        late = Signal(self._patience)
        m.d.sync += late.eq(Mux(waits, late + 1, 0))
        with m.If(late.all()):
            m.d.sync += self.stalled.eq(1)
        with m.If(self.restart):
            m.d.sync += self.stalled.eq(0)
