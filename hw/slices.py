# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Register slices: registers in a stream that part the logic of its two sides."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream

__all__ = ["pipeline_register", "register_slice", "skid_buffer"]


def register_slice(m: Module, source: stream.Interface) -> stream.Interface:
    """`source` as its taker shall see it, behind a register: valid, payload and ready all come from it. Latency: 1
    cycle. Throughput: a beat every 2 cycles, for slow streams."""
    held = source.signature.create(path=("held",))
    m.d.comb += source.ready.eq(~held.valid)
    with m.If(source.valid & source.ready):
        m.d.sync += [held.valid.eq(1), held.payload.eq(source.payload)]
    with m.Elif(held.ready):
        m.d.sync += held.valid.eq(0)
    return held


def pipeline_register(m: Module, source: stream.Interface) -> stream.Interface:
    """`source` as its taker shall see it, valid and payload from a register; `source.ready` hangs on the taker's.
    Latency: 1 cycle. Throughput: a beat each cycle."""
    shown = source.signature.create(path=("shown",))
    m.d.comb += source.ready.eq(~shown.valid | shown.ready)
    with m.If(source.ready):
        m.d.sync += [shown.valid.eq(source.valid), shown.payload.eq(source.payload)]
    return shown


def skid_buffer(m: Module, source: stream.Interface) -> stream.Interface:
    """`source` as its taker shall see it; `source.ready` comes from a register, because a beat that the taker does
    not take waits aside. Latency: none. Throughput: a beat each cycle."""
    passed = source.signature.create(path=("passed",))
    aside, waits = Signal.like(source.payload, name="aside", reset_less=True), Signal(name="waits")
    m.d.comb += [
        source.ready.eq(~waits),
        passed.valid.eq(source.valid | waits),
        passed.payload.eq(Mux(waits, aside, source.payload)),
    ]
    with m.If(~waits):
        m.d.sync += aside.eq(source.payload)
    m.d.sync += waits.eq(passed.valid & ~passed.ready)
    return passed
