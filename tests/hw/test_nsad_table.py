# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of NsadTable over kinds and sizes, and checks its parameter limits."""

import numpy as np
import pytest
from amaranth.back import rtlil

from ds2ta.errors import FitError
from ds2ta.hw.nsad_table import NsadTable
from ds2ta.sim.build import run_bench

SHAPE = {"entries": 16, "bits": 6, "score_bits": 5, "kind": "rom"}


# 64 entries fill their address space, so that the last lies in word 0
@pytest.mark.parametrize(
    ("tables", "head_dim", "bits", "kind"),
    [(4, 16, 6, "rom"), (4, 16, 6, "ram"), (3, 8, 8, "rom"), (3, 8, 1, "ram"), (1, 4, 3, "rom"), (5, 64, 8, "rom")],
)
def test_bench(tables, head_dim, bits, kind):
    values = np.random.default_rng(7).integers(0, 1 << bits, (tables, head_dim))
    values[:, [0, -1]] = (1 << bits) - 1  # both ends of each table are seen
    values[0, 1] = 0
    table = NsadTable(
        entries=values.size,
        bits=bits,
        score_bits=head_dim.bit_length(),
        kind=kind,
        init=values.ravel().tolist() if kind == "rom" else (),
    )
    run_bench(
        table, module="ds2ta.sim.benches.bench_nsad_table", parameters={"tables": values.tolist(), "kind": kind}
    )


@pytest.mark.parametrize(
    ("change", "bad", "message"),
    [
        ({"entries": 1}, {"entries": 0}, "Denoiser entries must be an integer from 1 to 1048576, not 0"),
        ({}, {"entries": (1 << 20) + 1}, "Denoiser entries must be an integer from 1 to 1048576, not 1048577"),
        ({"bits": 1}, {"bits": 0}, "Denoiser bits must be an integer from 1 to 8, not 0"),
        ({"bits": 8}, {"bits": 9}, "Denoiser bits must be an integer from 1 to 8, not 9"),
        ({"score_bits": 1}, {"score_bits": 0}, "Score bits must be an integer from 1 to 11, not 0"),
        ({"score_bits": 11}, {"score_bits": 12}, "Score bits must be an integer from 1 to 11, not 12"),
        ({"kind": "ram"}, {"kind": "spram"}, "Denoiser kind must be one of rom, ram, not 'spram'"),
        ({"init": [1] * 16}, {"init": [1] * 17}, "Denoiser init must be at most 16 entries, not 17"),
        ({"init": [0, 63]}, {"init": [0, 64]}, r"Denoiser init entry 1 must be in 0..2\*\*6-1, not 64"),
        ({"init": [0]}, {"init": [-1]}, r"Denoiser init entry 0 must be in 0..2\*\*6-1, not -1"),
    ],
)
def test_limits(change, bad, message):
    assert "module" in rtlil.convert(NsadTable(**{**SHAPE, **change}))
    with pytest.raises(FitError, match=f"^{message}$"):
        NsadTable(**{**SHAPE, **bad})
