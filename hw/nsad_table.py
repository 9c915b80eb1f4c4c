# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Nonlinear spiking attention denoiser (NSAD): the tables of all heads."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range
from ds2ta.hw.store import Store

__all__ = ["NsadTable", "load_signature"]

_KINDS = ("rom", "ram")
_CHUNK_BITS = 16


def load_signature(entries: int) -> wiring.Signature:
    """Load port of a table that is not a rom, as `hw/store.py` has it; an entry is
    one chunk, so `chunk` is always 0."""
    address = max(1, (entries - 1).bit_length())
    return wiring.Signature({"enable": Out(1), "address": Out(address), "chunk": Out(1), "data": Out(_CHUNK_BITS)})


class NsadTable(wiring.Component):
    """`value = table[base + score - 1] if score else 0` (paper, eq. 6 and 7, as frozen integers).

    A table has d entries, for the scores 1..d: the score d must not wrap to 0, and 0 gives 0 by structure, so it
    costs no entry. Tables of all blocks and heads lie one behind the other in one store.

    Latency: 1 cycle. Throughput: one look-up each cycle.

    Parameters: `entries` of the whole store, `bits` of an entry, `score_bits`, `kind` ("rom" holds `init`, "ram" is
    filled through the load port), `init` (integers, the rest 0), `fast` as in `Store`.

    Members: `base` (first entry of the table), `score`, `value`; `stored`: the entry itself, before a score of 0
    hides it (entry `base - 1 + score`, for a check of the memory); for a ram `load` {enable, address, chunk, data},
    never used while look-ups are made.
    """

    def __init__(
        self,
        *,
        entries: int,
        bits: int,
        score_bits: int,
        kind: str = "rom",
        init: Sequence[int] = (),
        fast: bool = False,
    ):
        check_range("Denoiser entries", entries, 1, 1 << 20)
        check_range("Denoiser bits", bits, 1, 8)
        check_range("Score bits", score_bits, 1, 11)
        if kind not in _KINDS:
            raise FitError(f"Denoiser kind must be one of {', '.join(_KINDS)}, not {kind!r}")
        if len(init) > entries:
            raise FitError(f"Denoiser init must be at most {entries} entries, not {len(init)!r}")
        for entry, value in enumerate(init):
            if not 0 <= value < 1 << bits:
                raise FitError(f"Denoiser init entry {entry} must be in 0..2**{bits}-1, not {int(value)!r}")
        self._kind, self._fast = kind, fast
        # entry e lies in word e + 1 (modulo the address space), so that a look-up needs no `score - 1`
        self._width = max(1, (entries - 1).bit_length())
        self._depth = 1 << self._width if entries == 1 << self._width else entries + 1
        words = [0] * self._depth
        for entry, value in enumerate(init):
            words[(entry + 1) % self._depth] = int(value)
        self._words, self._bits = words, bits
        members = {"base": In(self._width), "score": In(score_bits), "value": Out(bits), "stored": Out(bits)}
        if kind != "rom":
            members["load"] = In(load_signature(entries))
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.store = store = Store(
            width=self._bits,
            depth=self._depth,
            kind=self._kind,
            init=self._words,
            chunk_bits=_CHUNK_BITS,
            fast=self._fast,
        )
        hit = Signal(reset_less=True)
        m.d.sync += hit.eq(self.score.any())
        m.d.comb += [
            store.address.eq(self.base + self.score),
            store.enable.eq(1),
            self.value.eq(store.data & hit.replicate(self._bits)),
            self.stored.eq(store.data),
        ]
        if self._kind != "rom":
            m.d.comb += [
                store.load.enable.eq(self.load.enable),
                store.load.address.eq(self.load.address + 1),
                store.load.data.eq(self.load.data),
                store.enable.eq(~self.load.enable),
            ]
        return m
