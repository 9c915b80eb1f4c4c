# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The memory checker: reads the stores back while the machine is idle and compares their CRCs with expectations."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import crc, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.stores import CHUNK, scan_signature, store_shapes

__all__ = ["StoreChecker"]

_WORD = 32
_STEP = 4  # bits that the CRC takes in a cycle


def _parts(word: Value) -> list[Value]:
    return [word[at : at + _STEP] for at in range(0, _WORD, _STEP)]


#: Ports to the reader of an external memory.
_EXTERNAL = {
    "rows": Out(_WORD),
    "expected": Out(_WORD),
    "known": Out(1),
    "checked": In(1),
    "done": In(1),
    "differs": In(1),
    "failed": In(1),
    "stored": In(_WORD),
    "wrong": Out(1),
}


class StoreChecker(wiring.Component):
    """CRC-32 (that of zlib) of each store over its first rows, over and over.

    A store's CRC is that of the bytes of rows 0, 1, ... `check_rows` - 1, each row's chunks as little endian 16-bit
    words. All four stores are one scan; the CRC of no rows is 0. The CRC takes 4 bits a cycle, which saves a third
    of the logic that whole chunks would take: a row takes 5 chunks + 2 + `weight_latency` cycles, a store two
    requests to the register file and a cycle beside that. It stops between rows when `idle` falls and goes on where
    it was.

    Members
    -------
    idle: a row may be begun. quiet: no row is being read; the machine may start in such a cycle if `idle` is low.
    scan: to the accelerator.
    restart: pulse, contents or expectations have changed: forget everything and begin again.
    fetch, fetch_expected, fetch_store, fetched, word, found: the settings, asked for from the register file;
      `fetch` is held up to the cycle of `fetched`, in which `word` is the setting and (with `fetch_expected`)
      `found` is the store's CRC; a `restart` makes it void.
    good: the last whole scan since `restart` agreed. bad: stores that disagreed, kept until `restart`.
    agreed: pulse, a whole scan agreed.
    rows, expected, known (where weights are a stream): settings of the weights, for their reader; `known` falls
      with `restart`, until they were fetched anew.
    checked, done, differs, failed, stored: from the reader: its first reading has ended, one has, whether that
      differs, the memory failed, and the CRC. A reading that differs, and a memory that failed, count as a
      disagreement, at any time. wrong: it failed, until `restart`.
    """

    def __init__(self, machine: Machine):
        self._shapes, self._streams = store_shapes(machine), machine.streams
        self._settle = 1 + machine.weight_latency  # cycles from the first with a row's address to its first chunk
        scan = scan_signature(machine)
        super().__init__(
            {
                "idle": In(1),
                "quiet": Out(1),
                "scan": In(scan),
                "restart": In(1),
                "fetch": Out(1),
                "fetch_expected": Out(1),
                "fetch_store": Out(range(len(self._shapes))),
                "fetched": In(1),
                "word": In(_WORD),
                "found": Out(_WORD),
                "good": Out(1),
                "bad": Out(len(self._shapes)),
                "agreed": Out(1),
                **(_EXTERNAL if machine.streams else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = unit = crc.Processor(CRC32_ISO_HDLC(data_width=_STEP))
        scan, store = self.scan, self.fetch_store
        left = Signal(bits_for(max(shape.rows for shape in self._shapes.values())))  # rows of this store
        chunk, settle = Signal.like(scan.chunk), Signal(range(self._settle))
        last_chunk, last_store = Signal(), Signal()
        clean = Signal(init=1)  # nothing in this scan has disagreed
        differs = Signal(_WORD // _STEP)  # CRC and setting, part by part: block RAM leaves no time for the whole
        part = Signal(range(CHUNK // _STEP))  # of the chunk
        lasts = [shape.chunks - 1 for shape in self._shapes.values()]
        with m.Switch(store):
            for number, last in enumerate(lasts):
                with m.Case(number):
                    m.d.comb += last_chunk.eq(chunk[: bits_for(max(lasts))] == last)
        external = store == 0 if self._streams else Const(0)
        m.d.comb += [
            scan.store.eq(store),
            scan.chunk.eq(chunk),
            last_store.eq(store == len(self._shapes) - 1),
            unit.data.eq(scan.data.word_select(part, _STEP)),
            self.found.eq(Mux(external, self.stored, unit.crc) if self._streams else unit.crc),
            self.quiet.eq(~scan.enable),
        ]
        parts = zip(_parts(self.word), _parts(self.found), strict=True)
        m.d.sync += differs.eq(Cat(word != found for word, found in parts))

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.fetch.eq(1), unit.start.eq(1)]
                m.d.sync += [left.eq(self.word), scan.row.eq(0)]
                with m.If(self.fetched):
                    m.next = "WAIT"
                    if self._streams:
                        with m.If(external):
                            m.d.sync += self.rows.eq(self.word)
                            m.next = "EXPECT"
            with m.State("WAIT"):
                m.d.sync += [chunk.eq(0), settle.eq(self._settle - 1)]
                with m.If(~left.any()):
                    m.next = "COMPARE"
                with m.Elif(self.idle):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.comb += scan.enable.eq(1)
                m.d.sync += settle.eq(settle - 1)
                with m.If(~settle.any()):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += scan.enable.eq(1)
                m.next = "ADD"
            with m.State("ADD"):
                m.d.comb += [scan.enable.eq(1), unit.valid.eq(1)]
                m.d.sync += part.eq(part + 1)
                with m.If(part == CHUNK // _STEP - 1):
                    m.d.sync += chunk.eq(chunk + 1)
                    m.next = "READ"
                    with m.If(last_chunk):
                        m.d.sync += [scan.row.eq(scan.row + 1), left.eq(left - 1)]
                        m.next = "WAIT"
            with m.State("COMPARE"):
                m.d.comb += [self.fetch.eq(1), self.fetch_expected.eq(1)]
                with m.If(self.fetched):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += [
                    store.eq(Mux(last_store, 0, store + 1)),
                    clean.eq(last_store | (clean & ~differs.any())),
                ]
                with m.If(differs.any()):
                    m.d.sync += [self.bad.bit_select(store, 1).eq(1), self.good.eq(0)]
                with m.Elif(last_store & clean):
                    m.d.sync += self.good.eq(1)
                    m.d.comb += self.agreed.eq(~self.restart)
                m.next = "BEGIN"
            if self._streams:
                self._ask_reader(m)
        if self._streams:
            self._listen_to_reader(m, clean)
        return ResetInserter(self.restart)(m)

    def _ask_reader(self, m: Module) -> None:
        """An external memory is read by another, who is told what to expect; of no rows there is no reading."""
        with m.State("EXPECT"):
            m.d.comb += [self.fetch.eq(1), self.fetch_expected.eq(1)]
            with m.If(self.fetched):
                m.d.sync += [self.expected.eq(self.word), self.known.eq(1)]
                m.next = "EXTERNAL"
        with m.State("EXTERNAL"), m.If(self.checked | ~self.rows.any()):
            m.next = "COMPARE"

    def _listen_to_reader(self, m: Module, clean: Signal) -> None:
        """What it finds at any time, also while a sample is worked on."""
        with m.If(self.failed):
            m.d.sync += self.wrong.eq(1)
        with m.If(self.failed | (self.done & self.differs)):
            m.d.sync += [self.bad[0].eq(1), self.good.eq(0), clean.eq(0)]
