# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs in the way of weights from an external memory (`make break`; `tests/mutation.py` says how)."""

MUTANTS = [
    {
        "file": "hw/ring.py",
        "old": "self.i.ready.eq(room.any() & ~ended)",
        "new": "self.i.ready.eq(room.any())",
        "test": "tests/hw/test_ring.py::test_bench[single]",
        "why": "the next sample's rows come in while the last ones are in use",
    },
    {
        "file": "hw/ring.py",
        "old": "self.i.ready.eq(room.any() & ~ended)",
        "new": "self.i.ready.eq(~ended)",
        "test": "tests/hw/test_ring.py::test_bench[single]",
        "why": "rows that are in use are overwritten",
    },
    {
        "file": "hw/ring.py",
        "old": "self.granted.eq(self.claims & enough & ~recent)",
        "new": "self.granted.eq(self.claims & enough)",
        "test": "tests/hw/test_ring.py::test_bench[pairs]",
        "why": "a second tile is granted on the rows of the first",
    },
    {
        "file": "hw/ring.py",
        "old": "enough.eq(there >= self.tile_rows)",
        "new": "enough.eq(there + 1 >= self.tile_rows)",
        "test": "tests/hw/test_ring.py::test_bench[pairs]",
        "why": "a tile is granted before its last row is there",
    },
    {
        "file": "hw/ring.py",
        "old": "there.eq(there + writes - Mux",
        "new": "there.eq(there + full_row - Mux",
        "test": "tests/hw/test_ring.py::test_bench[single]",
        "why": "a row counts a cycle before it is written",
    },
    {
        "file": "hw/ring.py",
        "old": "room.eq(room + Mux(self.frees, self.tile_rows, 0) - full_row)",
        "new": "room.eq(Mux(self.frees, room + self.tile_rows, room - full_row))",
        "test": "tests/hw/test_ring.py::test_bench[word-rows]",
        "why": "a row that is complete when a tile is freed does not count",
    },
    {
        "file": "hw/ring.py",
        "old": "m.d.comb += self.holds.eq(writes)",
        "new": "m.d.comb += self.holds.eq(full_row)",
        "test": "tests/hw/test_ring.py::test_bench[pairs]",
        "why": "reads are void a cycle too early",
    },
    {
        "file": "hw/ring.py",
        "old": "m.d.sync += store.load.address.eq(0)",
        "new": "m.d.sync += store.load.address.eq(store.load.address)",
        "test": "tests/hw/test_ring.py::test_bench[single]",
        "why": "the next sample begins where the last one ended",
    },
    {
        "file": "hw/gather.py",
        "old": "waits.eq(~there & ~self.granted), there.eq(0)",
        "new": "waits.eq(~there & ~self.granted)",
        "test": "tests/hw/test_gather.py::test_bench[g8-tiles-wait]",
        "why": "one grant is good for every tile behind it",
    },
    {
        "file": "hw/gather.py",
        "old": "waits.eq(~there & ~self.granted), there.eq(0)",
        "new": "waits.eq(~there), there.eq(self.granted)",
        "test": "tests/hw/test_gather.py::test_bench[g8-tiles-wait]",
        "why": "a grant in a tile's last cycle goes to the tile behind the next",
    },
    {
        "file": "hw/gather.py",
        "old": "claiming.eq(unclaimed.any()), unclaimed",
        "new": "claiming.eq(1), unclaimed",
        "test": "tests/hw/test_gather.py::test_bench[g8-tiles-wait]",
        "why": "a tile behind the last one is claimed",
    },
    {
        "file": "hw/gather.py",
        "old": "(Const(1) if self._tiles_wait else now.tile_last)",
        "new": "now.tile_last",
        "test": "tests/hw/test_gather.py::test_bench[g8-tiles-wait]",
        "why": "the end of a tile is not marked",
    },
    {
        "file": "hw/engine.py",
        "old": "may & ~self.holds if self.ring else may",
        "new": "may",
        "test": "tests/hw/test_engine.py::test_bench[8-4-2-4-4-12-12-4-0-False-2-1-True]",
        "why": "an event reads the memory while a row is written",
    },
    {
        "file": "gateware/accelerator.py",
        "old": "ring.frees.eq(engine.i.valid & engine.i.ready & engine.i.payload.flush)",
        "new": "ring.frees.eq(part.zero_skip.o.valid & engine.i.payload.flush)",
        "test": "tests/gateware/test_accelerator.py::test_streamed_weights[long]",
        "why": "a tile is freed while its last event waits",
    },
    {
        "file": "gateware/accelerator.py",
        "old": "m.d.comb += engine.holds.eq(ring.holds)",
        "new": "m.d.comb += engine.holds.eq(0)",
        "test": "tests/gateware/test_accelerator.py::test_streamed_weights[long]",
        "why": "events read what is being written",
    },
    {
        "file": "gateware/compiler.py",
        "old": "channels = row_lanes\n",
        "new": "channels = source.interleave\n",
        "test": "tests/sim/test_random_networks.py::test_random_networks[streamed]",
        "why": "rows between layers that belong to no tile",
    },
]
