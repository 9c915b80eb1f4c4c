# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the cocotb bench of the byte stuffing."""

from ds2ta.hw.cobs import CobsDecoder, CobsEncoder
from ds2ta.sim.build import run_bench


def test_decoder_bench():
    run_bench(CobsDecoder(), module="ds2ta.sim.benches.bench_cobs", parameters={"encodes": False})


def test_encoder_bench():
    run_bench(CobsEncoder(), module="ds2ta.sim.benches.bench_cobs", parameters={"encodes": True})
