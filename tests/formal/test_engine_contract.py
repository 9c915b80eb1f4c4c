# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: SynapticEngine is its equations, cycle by cycle, for any events, weights, stalls and resets.

Assumed: shifts and `groups` are in range, `groups` stands still; a token begins with `first`; and no token has more
events than the accumulators can hold at the worst weights. With one event more the proof must fail.
"""

import pytest
from amaranth.hdl import Array, Assert, Assume, Elaboratable, Module, Mux, Signal, Value, signed
from prove import planted, prove

from ds2ta.hw.engine import SynapticEngine

SHAPE = {
    "lanes": 4,
    "time_steps": 2,
    "drain_lanes": 2,
    "weight_bits": 2,
    "max_shift": 1,
    "acc_width": 5,
    "address_width": 1,
}


class _Engine(Elaboratable):
    """The block beside a model with wide accumulators, a snapshot of them, and counters of beats."""

    def __init__(self, block, events: int):
        self.block, self.events = block, events
        self.peek = {}

    def _inside(self, name: str, shape) -> Signal:
        """The value of a register of the block."""
        self.peek[f"dut.{name}"] = Signal(shape, name=f"peek_{name}")
        return self.peek[f"dut.{name}"]

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = block = self.block
        lanes, T, R = block.lanes, block.time_steps, block.drain_lanes
        wide = signed(block.acc_width + 4)
        event, advance = block.i.payload, block.i.ready

        # the pipeline: what was accepted, its shifted weights, what it does
        fetched = Signal()
        arrived = Signal()
        held = Signal(event.shape(), reset_less=True)
        doing = Signal(event.shape(), reset_less=True)
        product = [Signal(wide, name=f"model_product_{k}", reset_less=True) for k in range(lanes)]
        with m.If(advance):
            m.d.sync += [fetched.eq(block.i.valid), held.eq(event), arrived.eq(fetched), doing.eq(held)]
            m.d.sync += [product[k].eq(block.weight_data[k] << held.shift) for k in range(lanes)]
        m.d.comb += [
            Assume(event.shift <= block.max_shift),
            Assert(block.weight_enable == (block.i.valid & advance)),
            Assert(~block.weight_enable | (block.weight_address == event.address)),
            Assert(block.busy == (fetched | arrived | block.o.valid)),
            Assert(block.useful == (arrived & advance & ~doing.flush & (doing.mask != 0))),
        ]

        # the token in the accumulators: `count` events so far
        token = Signal()
        count = Signal(8)
        total = Signal(8)
        starts = Signal()
        ends = Signal()
        sums = [[Signal(wide, name=f"sum_{k}_{t}", reset_less=True) for t in range(T)] for k in range(lanes)]
        m.d.comb += [
            starts.eq(arrived & doing.first & ~doing.flush),
            ends.eq(arrived & (doing.first | doing.flush) & token),
            total.eq(Mux(starts, 1, count + 1)),
        ]
        with m.If(arrived & ~doing.flush):
            m.d.comb += [Assume(starts | token), Assume(total <= self.events)]
        with m.If(arrived & advance):
            m.d.sync += [token.eq(~doing.flush), count.eq(Mux(doing.flush, 0, total))]
            for k in range(lanes):
                for t in range(T):
                    term = Mux(doing.mask[t], product[k], 0)
                    with m.If(~doing.flush):
                        m.d.sync += sums[k][t].eq(Mux(doing.first, term, sums[k][t] + term))

        # the shadow: a snapshot, of which `beat` beats have gone
        draining = Signal()
        beat = Signal(8)
        groups = Signal.like(block.groups)
        snapshot = [
            [Signal(wide, name=f"snapshot_{k}_{t}", reset_less=True) for t in range(T)] for k in range(lanes)
        ]
        begun = Signal()
        final = Signal()
        m.d.sync += [begun.eq(1), groups.eq(block.groups)]
        m.d.comb += [
            Assume((block.groups > 0) & (block.groups <= lanes // R)),
            Assume(~begun | (block.groups == groups)),
            final.eq(draining & block.o.ready & (beat == block.groups * T - 1)),
            Assert(advance == ~(ends & draining & ~final)),
            Assert(block.o.valid == draining),
        ]
        with m.If(ends & advance):
            m.d.sync += [draining.eq(1), beat.eq(0)]
            m.d.sync += [snapshot[k][t].eq(sums[k][t]) for k in range(lanes) for t in range(T)]
        with m.Elif(final):
            m.d.sync += draining.eq(0)
        with m.Elif(block.o.ready & draining):
            m.d.sync += beat.eq(beat + 1)
        with m.If(draining):
            m.d.comb += [
                Assert(beat < block.groups * T),
                Assert(block.o.payload.t_first == (beat % T == 0)),
                Assert(block.o.payload.t_last == (beat % T == T - 1)),
                Assert(block.o.payload.last == (beat == block.groups * T - 1)),
            ]
            for r in range(R):
                column = Array(snapshot[group * R + r][t] for group in range(lanes // R) for t in range(T))
                m.d.comb += Assert(block.o.payload.value[r] == column[beat])

        self._strengthen(m, locals())
        return m

    def _strengthen(self, m, model):
        """What makes the induction go through: the block's registers are the model's, no sum is out of range."""
        block, token, count, product = self.block, model["token"], model["count"], model["product"]
        held, doing, draining, beat = model["held"], model["doing"], model["draining"], model["beat"]
        lanes, T, R = block.lanes, block.time_steps, block.drain_lanes
        live = model["arrived"] & ~doing.flush
        weight = 1 << block.weight_bits - 1 << block.max_shift
        m.d.comb += [
            Assert(self._inside("fetched", 1) == model["fetched"]),
            Assert(self._inside("mask", T) == held.mask),
            Assert(self._inside("shift", held.shift.shape()) == held.shift),
            Assert(self._inside("first", 1) == held.first),
            Assert(self._inside("flush", 1) == held.flush),
            Assert(self._inside("arrived", 1) == model["arrived"]),
            Assert(self._inside("enable", T) == Mux(live, doing.mask | doing.first.replicate(T), 0)),
            Assert(self._inside("works", 1) == (live & (doing.mask != 0))),
            Assert(self._inside("starts", 1) == (live & doing.first)),
            Assert(self._inside("commits", 1) == (model["arrived"] & (doing.first | doing.flush))),
            Assert(self._inside("pending", 1) == token),
            Assert(self._inside("moves", 1) == (model["arrived"] & (doing.first | doing.flush) & token)),
            Assert(count <= self.events),
        ]
        with m.If(model["arrived"]):
            m.d.comb += Assert(self._inside("load", 1) == doing.first)
            m.d.comb += Assert(self._inside("clear", T) == Mux(doing.first, ~doing.mask, 0))
        for k in range(lanes):
            inner = self._inside(f"product_{k}", signed(block.weight_bits + block.max_shift))
            with m.If(model["arrived"]):
                m.d.comb += Assert(inner == product[k])
            m.d.comb += Assert((product[k] >= -weight) & (product[k] < weight))
            for t in range(T):
                value = model["sums"][k][t]
                inner = self._inside(f"acc_{k}_{t}", signed(block.acc_width))
                with m.If(token):
                    m.d.comb += [
                        Assert(inner == value),
                        Assert((value >= -weight * count) & (value <= (weight - 1) * count)),
                    ]
        step, remaining = self._inside("step", range(T)), self._inside("remaining", block.groups.shape())
        with m.If(draining):
            m.d.comb += [Assert(step == beat % T), Assert(remaining == block.groups - beat // T)]
            for r in range(R):
                cells = [model["snapshot"][group * R + r][t] for group in range(lanes // R) for t in range(T)]
                for place in range(len(cells)):
                    inner = self._inside(f"shadow_{r}_{place}", signed(block.acc_width))
                    for gone in range(len(cells) - place):
                        with m.If(beat == gone):
                            m.d.comb += Assert(inner == cells[place + gone])


def _verdict(folder, block: type, *, more: int = 0, **shape) -> str:
    dut = block(**{**SHAPE, **shape})
    events = (1 << dut.acc_width - 1) // (1 << dut.weight_bits - 1 << dut.max_shift) + more
    harness = _Engine(dut, events)
    ports = [Value.cast(dut.i.payload), dut.i.valid, dut.o.ready, Value.cast(dut.weight_data), dut.groups]
    return prove(folder, harness, ports, steps=12)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"lanes": 2, "time_steps": 3, "drain_lanes": 1},
        {"lanes": 3, "drain_lanes": 3, "weight_bits": 3, "acc_width": 7},
        {"lanes": 2, "drain_lanes": 1, "weight_bits": 3, "max_shift": 2, "acc_width": 8},
    ],
)
def test_the_block_is_its_equations(shape, tmp_path):
    assert _verdict(tmp_path, SynapticEngine, **shape) == "proved"


def test_one_event_more_overflows(tmp_path):
    assert _verdict(tmp_path, SynapticEngine, more=1) == "refuted"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("two.clear.eq(~one.mask & one.first.replicate(T))", "two.clear.eq(0)"),
        ("two.load.eq(one.first)", "two.load.eq(0)"),
        ("(one.mask | one.first.replicate(T)) & one.live", "one.mask & one.live"),
        ("one.first.replicate(T)) & one.live.replicate(T)", "one.first.replicate(T)) & one.fetched.replicate(T)"),
        ("self.weight_data[k] << one.shift", "self.weight_data[k] << (one.shift ^ 1)"),
        ("pending.eq(two.starts)", "pending.eq(1)"),
        ("~(moves & draining & ~freed)", "1"),
        ("~(moves & draining & ~freed)", "~(two.commits & pending & draining)"),
        ("Mux(moved, parallel, serial)", "parallel"),
        ("(remaining == 1) & (step == T - 2)", "step == T - 2"),
    ],
)
def test_a_planted_bug_is_refuted(old, new, tmp_path):
    assert _verdict(tmp_path, planted(SynapticEngine, old, new)) == "refuted"
