# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: SynapticEngine is its equations, cycle by cycle, for any events, weights, stalls and resets.

Assumed: shifts and the shape of a commit (`groups`, `lines`, `pixels`, `rest`) are in range, and the shape stands
still; a token begins with `first`; and no token has more events than the accumulators can hold at the worst
weights. With one event more the proof must fail.
"""

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value, signed
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

        # the shadow: a snapshot, and the beat that is shown; behind each group it may rest
        draining = Signal()
        line, group, pixel, step, rested = (
            Signal(8, name=name) for name in ("line", "group", "pixel", "at", "rested")
        )
        shape = Cat(block.groups, block.lines, block.pixels, block.rest)
        stands = Signal(len(shape))
        groups, cell = Signal(8), Signal(8)  # groups of a commit; what the beat shows of the shadow
        group_ends, pixels_last = Signal(), Signal(8)
        snapshot = [
            [Signal(wide, name=f"snapshot_{k}_{t}", reset_less=True) for t in range(T)] for k in range(lanes)
        ]
        begun = Signal()
        final = Signal()
        m.d.sync += [begun.eq(1), stands.eq(shape)]
        m.d.comb += [
            Assume(
                (block.groups > 0) & (block.lines > 0) & (groups <= lanes // R) & (block.rest <= block.max_rest)
            ),
            Assume(~begun | (shape == stands)),
            groups.eq(block.groups * block.lines),
            pixels_last.eq(Mux(block.pixels, T - 1, 0)),
            cell.eq((line * block.groups + group) * T + Mux(block.pixels, pixel, step)),
            group_ends.eq(block.o.valid & block.o.ready & (step == T - 1) & (pixel == pixels_last)),
            final.eq(group_ends & (group == block.groups - 1) & (line == block.lines - 1)),
            Assert(advance == ~(ends & draining & ~final)),
            Assert(block.o.valid == (draining & (rested == 0))),
            Assert(block.busy == (fetched | arrived | draining)),
        ]
        with m.If(group_ends):
            m.d.sync += rested.eq(block.rest)
        with m.Elif(rested != 0):
            m.d.sync += rested.eq(rested - 1)
        with m.If(ends & advance):
            m.d.sync += [draining.eq(1), *(counter.eq(0) for counter in (line, group, pixel, step))]
            m.d.sync += [snapshot[k][t].eq(sums[k][t]) for k in range(lanes) for t in range(T)]
        with m.Elif(final):
            m.d.sync += draining.eq(0)
        with m.Elif(group_ends & (group == block.groups - 1)):
            m.d.sync += [line.eq(line + 1), *(counter.eq(0) for counter in (group, pixel, step))]
        with m.Elif(group_ends):
            m.d.sync += [group.eq(group + 1), pixel.eq(0), step.eq(0)]
        with m.Elif(block.o.ready & block.o.valid & (step == T - 1)):
            m.d.sync += [pixel.eq(pixel + 1), step.eq(0)]
        with m.Elif(block.o.ready & block.o.valid):
            m.d.sync += step.eq(step + 1)
        with m.If(draining):
            m.d.comb += [
                Assert((line < block.lines) & (group < block.groups) & (pixel <= pixels_last) & (step < T)),
                Assert(block.o.payload.t_first == (step == 0)),
                Assert(block.o.payload.t_last == (step == T - 1)),
                Assert(block.o.payload.group_last == (pixel == pixels_last)),
                Assert(block.o.payload.last == (group == block.groups - 1)),
            ]
            for r in range(R):
                column = Array(snapshot[k * R + r][t] for k in range(lanes // R) for t in range(T))
                m.d.comb += Assert(block.o.payload.value[r] == column[cell])

        self._strengthen(m, locals())
        return m

    def _strengthen(self, m, model):
        """What makes the induction go through: the block's registers are the model's, no sum is out of range."""
        block, token, count, product = self.block, model["token"], model["count"], model["product"]
        held, doing, draining, cell = model["held"], model["doing"], model["draining"], model["cell"]
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
        lines_left = self._inside("lines_left", block.lines.shape())
        groups_left = self._inside("groups_left", block.groups.shape())
        if block.max_rest:
            m.d.comb += Assert(self._inside("left", block.rest.shape()) == model["rested"])
        m.d.comb += Assert(model["rested"] <= block.rest)
        with m.If(draining):
            m.d.comb += [
                Assert(self._inside("step", range(T)) == model["step"]),
                Assert(self._inside("pixel", range(T)) == model["pixel"]),
                Assert(self._inside("step_last", 1) == (model["step"] == T - 1)),
                Assert(self._inside("pixel_last", 1) == (model["pixel"] == model["pixels_last"])),
                Assert(groups_left == block.groups - model["group"]),
                Assert(lines_left == block.lines - model["line"]),
            ]
            for name, left in (("group_last", groups_left), ("line_last", lines_left)):
                last = self._inside(name, 1)
                m.d.comb += Assert(
                    last == (left == 1) if len(left) > 1 else last
                )  # of one bit, both are one register
            for r in range(R):
                cells = [model["snapshot"][k * R + r][t] for k in range(lanes // R) for t in range(T)]
                for place in range(len(cells)):
                    inner = self._inside(f"shadow_{r}_{place}", signed(block.acc_width))
                    for gone in range(len(cells) - place):
                        with m.If(cell == gone):
                            m.d.comb += Assert(inner == cells[place + gone])


def _verdict(folder, block: type, *, more: int = 0, **shape) -> str:
    dut = block(**{**SHAPE, **shape})
    events = (1 << dut.acc_width - 1) // (1 << dut.weight_bits - 1 << dut.max_shift) + more
    harness = _Engine(dut, events)
    ports = [Value.cast(dut.i.payload), dut.i.valid, dut.o.ready, Value.cast(dut.weight_data)]
    ports += [dut.groups, dut.lines, dut.pixels, dut.rest]
    return prove(folder, harness, ports, steps=12)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"lanes": 2, "time_steps": 3, "drain_lanes": 1},
        {"lanes": 3, "drain_lanes": 3, "weight_bits": 3, "acc_width": 7},
        {"lanes": 2, "drain_lanes": 1, "weight_bits": 3, "max_shift": 2, "acc_width": 8},
        {"lanes": 4, "drain_lanes": 1, "max_lines": 4},
        {"lanes": 2, "drain_lanes": 1, "max_lines": 2, "max_rest": 2},
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
        ("~(moves & drain.draining & ~drain.freed)", "1"),
        ("~(moves & drain.draining & ~drain.freed)", "~(two.commits & pending & drain.draining)"),
        ("Mux(moved, parallel, serial)", "parallel"),
        ("self.rest, left - rests", "self.rest, left"),
        ("shifts = drain.taken & (drain.step_last | ~self.pixels)", "shifts = drain.taken"),
        (
            "now.step_last & now.pixel_last & now.group_last & now.line_last",
            "now.step_last & now.pixel_last & now.group_last",
        ),
        ("now.group_last.eq(now.groups_left == 2)", "now.group_last.eq(now.groups_left == 1)"),
        ("now.lines_left.eq(now.lines_left - 1)", "now.lines_left.eq(now.lines_left)"),
        ("(now.pixel == T - 2)", "(now.pixel == T - 1)"),
    ],
)
def test_a_planted_bug_is_refuted(old, new, tmp_path):
    shape = {"max_lines": 2} if "line" in old else {"max_rest": 1} if "rest" in old else {}
    assert _verdict(tmp_path, planted(SynapticEngine, old, new), **shape) == "refuted"
