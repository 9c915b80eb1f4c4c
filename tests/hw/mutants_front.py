# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into the front of the machine, from address to event, and into the parameter fetch."""

MUTANTS = [
    {
        "file": "hw/gather.py",
        "old": "line.eq(self.source_line << self.stride2)",
        "new": "line.eq(self.source_line)",
        "test": "tests/hw/test_gather.py::test_bench[g8]",
        "why": "a pool's addresses are off by a line",
    },
    {
        "file": "hw/gather.py",
        "old": "now.pad_x.eq(now.kx[0] & now.x_last & self.pad_right)",
        "new": "now.pad_x.eq(now.kx[0] & now.x_last)",
        "test": "tests/hw/test_gather.py::test_bench[g8]",
        "why": "the last column of an even pool is taken for padding",
    },
    {
        "file": "hw/gather.py",
        "old": "now.shift.eq(now.shift + (self._row_lanes >> self.lane_bits))",
        "new": "now.shift.eq(now.shift + 1)",
        "test": "tests/hw/test_gather.py::test_bench[g8]",
        "why": "the second row of an interleaved input has the wrong bit plane",
    },
    {
        "file": "hw/row_reader.py",
        "old": "Mux(beat.pad, Const(0,",
        "new": "Mux(0, Const(0,",
        "test": "tests/hw/test_row_reader.py::test_bench[g8-T4]",
        "why": "padding shows the row read before",
    },
    {
        "file": "hw/row_reader.py",
        "old": "self.i.ready.eq(~valid | advances)",
        "new": "self.i.ready.eq(1)",
        "test": "tests/hw/test_row_reader.py::test_bench[g8-T4]",
        "why": "a stalled row is overwritten",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "kept_any.eq(~arrived.last & (kept_any | alive.any()))",
        "new": "kept_any.eq(kept_any | alive.any())",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "only the layer's first position opens a token",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "(alive.any() | (arrived.last & ~kept_any))",
        "new": "alive.any()",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "a position without a spike is lost",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "m.d.sync += flushing.eq(1)",
        "new": "m.d.sync += flushing.eq(0)",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "the last token is never flushed",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "event.shift.eq(served.shift | (lane >> self.lane_bits))",
        "new": "event.shift.eq(served.shift)",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "bit planes inside a row are all of the first one's weight",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "full.eq(~fetches & (full | (stores & (level == self._buffer_rows - 1))))",
        "new": "full.eq(~fetches & (full | (stores & (level == self._buffer_rows - 2))))",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "same events, but one place of the memory is never used: only exact cycle counts see it",
    },
    {
        "file": "hw/zero_skip.py",
        "old": "fetches.eq(waits & (~shown | (moves & done)))",
        "new": "fetches.eq(waits & (~shown | done))",
        "test": "tests/hw/test_zero_skip.py::test_bench[g8-2]",
        "why": "a row is replaced while its last event waits",
    },
    {
        "file": "hw/row_reader.py",
        "old": "advances.eq(~self.o.valid | self.o.ready)",
        "new": "advances.eq(1)",
        "test": "tests/hw/test_row_reader.py::test_bench[registered]",
        "why": "a stalled row is overwritten in the register",
    },
    {
        "file": "hw/parameters.py",
        "old": "self.i.ready.eq(~self.o.valid | self.o.ready)",
        "new": "self.i.ready.eq(1)",
        "test": "tests/hw/test_parameters.py::test_bench[registered]",
        "why": "a stalled beat is overwritten in the register",
    },
    {
        "file": "hw/parameters.py",
        "old": "Mux(beat.last & ~tile_ends, tile, following)",
        "new": "following",
        "test": "tests/hw/test_parameters.py::test_bench[R2]",
        "why": "the pointer does not return to the tile's first row",
    },
    {
        "file": "hw/parameters.py",
        "old": "tile.eq(following), position.eq(0)",
        "new": "tile.eq(following), position.eq(position)",
        "test": "tests/hw/test_parameters.py::test_bench[R2]",
        "why": "positions are not counted anew in the second tile",
    },
]
