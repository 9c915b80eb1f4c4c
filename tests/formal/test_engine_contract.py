# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: SynapticEngine is its equations, cycle by cycle, for any events, weights, stalls and resets.

Assumed: shifts and the shape of a commit (`groups`, `lines`, `pixels`, `rest`) are in range; the shape, the spacing
and `waits` stand still from the issue of an event on until the block is neither busy nor rests; a token begins with
`first`; and no token is larger than the accumulators can hold at the worst weights. Without `waits` beats never
wait and the spacing is at least that of a commit's beats and rests; with it the spacing is at least the latency.
With one event more, or one cycle less, the proof must fail.
"""

from itertools import combinations
from types import SimpleNamespace

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
    "max_spacing": 16,
}
PAIRS = {"lanes": 2, "drain_lanes": 1, "max_shift": 0, "events": 2}
SLOW = {"weight_latency": 2}  # the weight memory


class _Engine(Elaboratable):
    """The block beside a model: the event that is held, those on their way by age, wide accumulators, a snapshot of
    them, and counters of beats. `most` events a token, with pairs `most` above what the accumulators can hold;
    `short` cycles less than a commit takes between tokens' ends."""

    def __init__(self, block, most: int, short: int):
        self.block, self.most, self.short = block, most, short
        self.wide = signed(block.acc_width + 2)
        self.peek = {}

    def _inside(self, name: str, shape) -> Signal:
        """The value of a register of the block."""
        self.peek[f"dut.{name}"] = Signal(shape, name=f"peek_{name}")
        return self.peek[f"dut.{name}"]

    def _grid(self, name: str, **options) -> list[list[Signal]]:
        """A wide register for each lane and time step."""
        lanes, T = self.block.lanes, self.block.time_steps
        return [[Signal(self.wide, name=f"{name}_{k}_{t}", **options) for t in range(T)] for k in range(lanes)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.block
        drain = self._drain_state()
        self._assume(m, drain)
        self._issue(m, drain)
        sums = self._single(m) if self.block.events == 1 else self._pairs(m)
        self._drain(m, drain, sums)
        self._spacing(m, drain)
        return m

    def _assume(self, m: Module, drain: SimpleNamespace) -> None:
        """The shape of a commit, its length in cycles, and how far apart tokens end."""
        block, T = self.block, self.block.time_steps
        shape = Cat(block.groups, block.lines, block.pixels, block.rest, block.spacing_last, block.waits)
        stands = Signal(len(shape))
        m.d.sync += [stands.eq(shape), drain.stands.eq(drain.issues | block.busy | drain.rested.any())]
        cells = block.groups * block.lines
        spacing = drain.spacing + self.short
        m.d.comb += [
            drain.length.eq(cells * Mux(block.pixels, T, 1) * (T + block.rest)),
            drain.spacing.eq(block.spacing_last + 1),
            Assume((block.groups > 0) & (block.lines > 0) & (cells <= block.lanes // block.drain_lanes)),
            Assume(block.rest <= block.max_rest),
            Assume(~drain.stands | (shape == stands)),
            Assume(Mux(block.waits, block.spacing_last >= block.latency, spacing >= drain.length)),
            Assume(block.waits | block.o.ready),
        ]

    def _issue(self, m: Module, drain: SimpleNamespace) -> None:
        """One event is held until the next is offered. `live[n]`, `last[n]`, `events[n]` are n + 1 cycles old."""
        block, event = self.block, self.block.i.payload
        held = Signal(event.shape(), reset_less=True, name="model_held")
        held_valid = Signal(name="model_held_valid")
        closes, may, issues = event.first | event.flush, Signal(), Signal()
        longest = 1 << len(block.spacing_last)
        since = drain.since = Signal(range(longest + 1), init=longest, name="since")  # a token's end, and no longer
        apart = drain.apart = Signal.like(drain.spacing, name="apart")  # of that token's end and the next
        m.d.comb += [
            drain.issues.eq(issues),
            may.eq(~closes | ((since >= apart) & (drain.empty | ~block.waits))),
            issues.eq(held_valid & block.i.valid & may),
            Assert(block.i.ready == (~held_valid | may)),
        ]
        with m.If(block.i.valid & block.i.ready):
            m.d.sync += [held.eq(event), held_valid.eq(~event.flush)]
        with m.If(issues & closes):
            m.d.sync += [since.eq(1), apart.eq(drain.spacing)]
        with m.Elif(since != longest):
            m.d.sync += since.eq(since + 1)
        ages = block.weight_latency + 2
        self.live = [Signal(name=f"live_{age + 1}") for age in range(ages)]
        self.last = [Signal(name=f"last_{age + 1}") for age in range(ages)]
        self.events = [Signal(event.shape(), name=f"event_{age + 1}", reset_less=True) for age in range(ages)]
        m.d.sync += [Cat(self.live).eq(Cat(issues, self.live)), Cat(self.last).eq(Cat(issues & closes, self.last))]
        m.d.sync += [new.eq(old) for new, old in zip(self.events, [held, *self.events], strict=False)]

        if block.events == 1:
            m.d.comb += Assume(event.shift <= block.max_shift)
            m.d.comb += [Assert(some.shift <= block.max_shift) for some in (held, *self.events)]
        halves = [held] if block.events == 1 else [held.low, held.high]
        for port, half in enumerate(halves):
            m.d.comb += Assert(~issues | (block.weight_enable[port] & (block.weight_address[port] == half.address)))
        if block.events == 1 and not block.registered:
            m.d.comb += Assert(block.weight_enable[0] == issues)
        self.rows = [
            Signal(len(data), name=f"rows_{port}", reset_less=True) for port, data in enumerate(block.weight_data)
        ]
        m.d.sync += [row.eq(data) for row, data in zip(self.rows, block.weight_data, strict=True)]
        late = block.events == 2 or block.registered
        m.d.comb += Assert(block.stored == (self.rows[0] if late else block.weight_data[0]))
        # registers of the block that are the model's
        still = Mux(since < apart, apart - since, 0)  # to wait
        m.d.comb += [
            Assert(self._inside("held_valid", 1) == held_valid),
            Assert(~held_valid | (self._inside("held", len(Value.cast(held))) == Value.cast(held))),
            Assert(~self._inside("spaced", len(block.spacing_last)) == still),
            Assert(self._inside("last", 3) == Cat(self.last[-3:])),
        ]
        if block.weight_latency == 2:
            m.d.comb += [
                Assert(self._inside("issued_0", 1) == self.live[0]),
                Assert(self._inside("issued_last_0", 1) == self.last[0]),
                Assert(
                    ~self.live[0]
                    | (self._inside("issued_event_0", len(Value.cast(held))) == Value.cast(self.events[0]))
                ),
            ]
        busy = Cat(self.live[: block.weight_latency + block.events]).any() | Cat(self.last).any() | ~drain.empty
        m.d.comb += Assert(block.busy == busy)

    def _row(self, port: int, now: Value) -> list[Value]:
        """The weights of a row."""
        bits = self.block.weight_bits
        return [now[k * bits : (k + 1) * bits].as_signed() for k in range(self.block.lanes)]

    def _single(self, m: Module) -> list[list[Value]]:
        """What one event at a time adds, `count` events so far: the sums as a commit takes them."""
        block, L, T = self.block, self.block.weight_latency, self.block.time_steps
        arriving, doing, live = self.events[L - 1], self.events[L], self.live[L]
        product = [Signal(self.wide, name=f"model_product_{k}", reset_less=True) for k in range(block.lanes)]
        row = self._row(0, block.weight_data[0])
        m.d.sync += [product[k].eq(row[k] << arriving.shift) for k in range(block.lanes)]

        token, defined = Signal(), Signal()  # a token is open; the sums are those of one
        count, total = Signal(range(self.most + 1)), Signal(range(self.most + 2))
        sums = self._grid("sum", reset_less=True)
        m.d.comb += total.eq(Mux(doing.first, 1, count + 1))
        with m.If(live):
            m.d.comb += Assume((doing.first | token) & (total <= self.most))
            m.d.sync += [token.eq(~self.last[L]), defined.eq(1), count.eq(total)]
            for k in range(block.lanes):
                for t in range(T):
                    term = Mux(doing.mask[t], product[k], 0)
                    m.d.sync += sums[k][t].eq(Mux(doing.first, term, sums[k][t] + term))
        m.d.comb += Assert(block.useful == (live & doing.mask.any()))

        # the block's registers are the model's, no sum is out of range
        m.d.comb += [
            Assert(self._inside("fetched_mask", T) == arriving.mask),
            Assert(self._inside("fetched_shift", doing.shift.shape()) == arriving.shift),
            Assert(self._inside("works", 1) == (live & doing.mask.any())),
            Assert(~live | (self._inside("load", 1) == doing.first)),
            Assert(defined | ~(token | self.last[-1])),
            Assert(count <= self.most),
        ]
        weight = 1 << block.weight_bits - 1 << block.max_shift
        for k in range(block.lanes):
            inner = self._inside(f"product_{k}", signed(block.weight_bits + block.max_shift))
            m.d.comb += Assert(inner == product[k])
            m.d.comb += Assert((product[k] >= -weight) & (product[k] < weight))
            for t in range(T):
                inner = self._inside(f"acc_{k}_{t}", signed(block.acc_width))
                low, high = -weight * count, (weight - 1) * count
                with m.If(defined):
                    m.d.comb += Assert((inner == sums[k][t]) & (sums[k][t] >= low) & (sums[k][t] <= high))
        return sums

    def _pairs(self, m: Module) -> list[list[Value]]:
        """What two events at a time add, `bound` above the magnitude of every sum: the sums as a commit takes
        them."""
        block, L, T = self.block, self.block.weight_latency, self.block.time_steps
        arrived, doing = self.events[L], self.events[L + 1]
        sums, pair, total = self._grid("sum"), self._grid("model_pair"), self._grid("model_total")
        double, last = Signal(), self.last[L + 1]
        largest = 1 << block.weight_bits - 1
        bound, reached = Signal(range((1 << block.acc_width) + 1)), Signal(block.acc_width + 3)
        rows = [self._row(port, row) for port, row in enumerate(self.rows)]
        m.d.comb += [
            double.eq(self.live[L + 1] & doing.double),
            reached.eq(Mux(double, bound << 1, bound) + Mux(self.live[L + 1], 2 * largest, 0)),
            Assume(reached <= (1 << block.acc_width - 1) + self.most),
        ]
        m.d.sync += bound.eq(Mux(last, 0, reached))
        for k in range(block.lanes):
            for t in range(T):
                low, high = Mux(arrived.low.mask[t], rows[0][k], 0), Mux(arrived.high.mask[t], rows[1][k], 0)
                m.d.sync += pair[k][t].eq(Mux(self.live[L], low + high, 0))
                m.d.comb += total[k][t].eq(Mux(double, sums[k][t] << 1, sums[k][t]) + pair[k][t])
                m.d.sync += sums[k][t].eq(Mux(last, 0, total[k][t]))
        useful = doing.low.mask.any() + doing.high.mask.any()
        m.d.comb += Assert(block.useful == Mux(self.live[L + 1], useful, 0))

        # the block's registers are the model's, no sum is out of range
        m.d.comb += Assert(bound <= (1 << block.acc_width - 1) + self.most)
        for port, name in enumerate(("low", "high")):
            m.d.comb += Assert(self._inside(f"row_{port}", len(self.rows[port])) == self.rows[port])
            for stage in range(2):
                mask = Mux(self.live[L - 1 + stage], self.events[L - 1 + stage][name].mask, 0)
                m.d.comb += Assert(self._inside(f"mask_{stage}_{port}", T) == mask)
        for stage in range(3):
            doubles = self.live[L - 1 + stage] & self.events[L - 1 + stage].double
            m.d.comb += Assert(self._inside(f"double_{stage}", 1) == doubles)
        m.d.comb += Assert(self._inside("counts", 2) == Mux(self.live[L + 1], useful, 0))
        for k in range(block.lanes):
            for t in range(T):
                m.d.comb += [
                    Assert(self._inside(f"pair_{k}_{t}", signed(block.weight_bits + 1)) == pair[k][t]),
                    Assert((pair[k][t] >= -2 * largest) & (pair[k][t] <= 2 * (largest - 1))),
                    Assert(self.live[L + 1] | (pair[k][t] == 0)),
                    Assert(self._inside(f"acc_{k}_{t}", signed(block.acc_width)) == sums[k][t]),
                    Assert((sums[k][t] >= -bound) & ((sums[k][t] < bound) | ((sums[k][t] == 0) & (bound == 0)))),
                ]
        return total

    def _drain_state(self) -> SimpleNamespace:
        """Where the drain is. `elapsed`: cycles since its first; `shown`: a pair's beat is in its register."""
        block, T = self.block, self.block.time_steps
        most = block.lanes // block.drain_lanes
        return SimpleNamespace(
            draining=Signal(name="model_draining"),
            shown=Signal(name="model_shown"),
            empty=Signal(name="empty"),
            issues=Signal(name="issues"),
            stands=Signal(name="stands"),
            line=Signal(range(most + 1), name="line"),
            group=Signal(range(most + 1), name="group"),
            pixel=Signal(range(T + 1), name="model_pixel"),
            step=Signal(range(T + 1), name="model_step"),
            rested=Signal(block.rest.shape(), name="rested"),
            elapsed=Signal(8, name="elapsed"),
            length=Signal(8, name="length"),
            spacing=Signal(len(block.spacing_last) + 1, name="spacing"),
        )

    def _drain(self, m: Module, now: SimpleNamespace, sums: list[list[Value]]) -> None:
        """The shadow: a snapshot, and the beat that is shown; behind the steps of each group it may rest."""
        block, lanes, T, R = self.block, self.block.lanes, self.block.time_steps, self.block.drain_lanes
        cell, pixels_last = Signal(8), Signal(range(T))  # what the beat shows of the shadow
        names = ("taken", "group_ends", "final", "commits")
        taken, group_ends, final, commits = (Signal(name=name) for name in names)
        snapshot = self._grid("snapshot", reset_less=True)
        ready = block.o.ready if block.events == 1 else ~now.shown | block.o.ready
        group_last = now.group == block.groups - 1
        m.d.comb += [
            commits.eq(self.last[-1]),
            pixels_last.eq(Mux(block.pixels, T - 1, 0)),
            cell.eq((now.line * block.groups + now.group) * T + Mux(block.pixels, now.pixel, now.step)),
            taken.eq(now.draining & (now.rested == 0) & ready),
            group_ends.eq(taken & (now.step == T - 1) & (now.pixel == pixels_last)),
            final.eq(group_ends & group_last & (now.line == block.lines - 1)),
            now.empty.eq(~now.draining & ~now.shown),
            Assert(~block.overrun),
            Assert(~commits | ~now.draining | final),
        ]
        m.d.sync += now.elapsed.eq(Mux(commits, 0, now.elapsed + (now.draining | now.rested.any())))
        with m.If(taken & (now.step == T - 1)):
            m.d.sync += now.rested.eq(block.rest)
        with m.Elif(now.rested != 0):
            m.d.sync += now.rested.eq(now.rested - 1)
        counters = (now.line, now.group, now.pixel, now.step)
        with m.If(commits):
            m.d.sync += [now.draining.eq(1), *(counter.eq(0) for counter in counters)]
            m.d.sync += [snapshot[k][t].eq(sums[k][t]) for k in range(lanes) for t in range(T)]
        with m.Elif(final):
            m.d.sync += now.draining.eq(0)
        with m.Elif(group_ends & group_last):
            m.d.sync += [now.line.eq(now.line + 1), *(counter.eq(0) for counter in counters[1:])]
        with m.Elif(group_ends):
            m.d.sync += [now.group.eq(now.group + 1), now.pixel.eq(0), now.step.eq(0)]
        with m.Elif(taken & (now.step == T - 1)):
            m.d.sync += [now.pixel.eq(now.pixel + 1), now.step.eq(0)]
        with m.Elif(taken):
            m.d.sync += now.step.eq(now.step + 1)

        # the beat, with pairs one register later
        beat = {
            "t_first": now.step == 0,
            "t_last": now.step == T - 1,
            "group_last": now.pixel == pixels_last,
            "last": group_last,
        }
        for r in range(R):
            column = Array(snapshot[k * R + r][t] for k in range(lanes // R) for t in range(T))
            beat[f"value_{r}"] = column[cell]
        if block.events == 1:
            valid, shown = now.draining & (now.rested == 0), beat
        else:
            valid = now.shown
            shown = {name: Signal(Value.cast(value).shape(), name=f"shown_{name}") for name, value in beat.items()}
            with m.If(ready):
                m.d.sync += now.shown.eq(now.draining & (now.rested == 0))
                m.d.sync += [shown[name].eq(value) for name, value in beat.items()]
        m.d.comb += Assert(block.o.valid == valid)
        with m.If(valid):
            for name in ("t_first", "t_last", "group_last", "last"):
                m.d.comb += Assert(block.o.payload[name] == shown[name])
            for r in range(R):
                m.d.comb += Assert(block.o.payload.value[r] == shown[f"value_{r}"])

        # the block's registers are the model's
        m.d.comb += Assert(self._inside("draining", 1) == now.draining)
        m.d.comb += Assert(now.rested <= block.rest)
        if block.max_rest:
            m.d.comb += Assert(self._inside("left", block.rest.shape()) == now.rested)
        lines_left = self._inside("lines_left", block.lines.shape())
        groups_left = self._inside("groups_left", block.groups.shape())
        with m.If(now.draining):
            m.d.comb += [
                Assert((now.line < block.lines) & (now.group < block.groups)),
                Assert((now.pixel <= pixels_last) & (now.step < T)),
                Assert(self._inside("step", range(T)) == now.step),
                Assert(self._inside("pixel", range(T)) == now.pixel),
                Assert(self._inside("step_last", 1) == (now.step == T - 1)),
                Assert(self._inside("pixel_last", 1) == (now.pixel == pixels_last)),
                Assert(groups_left == block.groups - now.group),
                Assert(lines_left == block.lines - now.line),
            ]
            for name, left in (("group_last", groups_left), ("line_last", lines_left)):
                last = self._inside(name, 1)
                # of one bit, both are one register
                m.d.comb += Assert(last == (left == 1) if len(left) > 1 else last)
            if block.events == 1:
                self._shifted(m, cell, snapshot)
            else:
                m.d.comb += Assert(self._inside("at", range(lanes // R * T)) == cell)
                for k in range(lanes):
                    for t in range(T):
                        inner = self._inside(f"shadow_{k}_{t}", signed(block.acc_width))
                        m.d.comb += Assert(inner == snapshot[k][t])

    def _shifted(self, m: Module, cell: Value, snapshot: list[list[Value]]) -> None:
        """The shadow's chains are the snapshot, shifted on by `cell`."""
        lanes, T, R = self.block.lanes, self.block.time_steps, self.block.drain_lanes
        for r in range(R):
            cells = [snapshot[k * R + r][t] for k in range(lanes // R) for t in range(T)]
            for place in range(len(cells)):
                inner = self._inside(f"shadow_{r}_{place}", signed(self.block.acc_width))
                for gone in range(len(cells) - place):
                    with m.If(cell == gone):
                        m.d.comb += Assert(inner == cells[place + gone])

    def _spacing(self, m: Module, now: SimpleNamespace) -> None:
        """Why no commit finds the shadow draining: the newest token's end is `since` cycles old, any two are a
        spacing apart, and without `waits` the age of a drain says where it is."""
        block, T = self.block, self.block.time_steps
        ages = len(self.last)
        age = ages + 1 + now.elapsed  # of the end that is being drained
        each = T + block.rest  # of a group's steps, for each of its pixels
        groups = now.line * block.groups + now.group
        done = (groups * Mux(block.pixels, T, 1) + now.pixel) * each + now.step
        busy = Cat(self.last).any() | ~now.empty | now.rested.any()
        m.d.comb += Assert((now.since >= 1) & (now.since <= 1 << len(block.spacing_last)))
        m.d.comb += Assert(~busy | (now.apart == now.spacing))
        m.d.comb += Assert(now.apart <= 1 << len(block.spacing_last))
        m.d.comb += Assert(~(Cat(self.live).any() | busy) | now.stands)
        for first, second in combinations(range(ages), 2):
            m.d.comb += Assert(~(self.last[first] & self.last[second]) | (second - first >= now.spacing))
        for number, last in enumerate(self.last):
            with m.If(last):
                m.d.comb += [Assert(self.live[number]), Assert(now.since <= number + 1)]
                with m.If(block.waits):
                    m.d.comb += Assert(now.empty)
                with m.Elif(now.draining | now.rested.any()):
                    m.d.comb += Assert(age >= number + 1 + now.spacing)
        with m.If(~block.waits):
            with m.If(now.draining):
                m.d.comb += Assert(now.elapsed + now.rested == done)
            with m.Elif(now.rested.any()):
                m.d.comb += Assert(now.elapsed + now.rested == now.length)
            with m.If(now.draining | now.rested.any()):
                m.d.comb += Assert(now.since <= age)


def _verdict(folder, block: type, *, more: int = 0, short: int = 0, **shape) -> str:
    dut = block(**{**SHAPE, **shape})
    if dut.events == 1:
        most = (1 << dut.acc_width - 1) // (1 << dut.weight_bits - 1 << dut.max_shift) + more
    else:
        most = more * (1 << dut.weight_bits)
    ports = [Value.cast(dut.i.payload), dut.i.valid, dut.o.ready, *dut.weight_data]
    ports += [dut.groups, dut.lines, dut.pixels, dut.rest, dut.spacing_last, dut.waits]
    return prove(folder, _Engine(dut, most, short), ports, steps=12)


@pytest.mark.parametrize("slow", [{}, SLOW], ids=["memory-1", "memory-2"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"registered": True},
        {"lanes": 2, "time_steps": 3, "drain_lanes": 1, "max_spacing": 32},
        {"lanes": 3, "drain_lanes": 3, "weight_bits": 3, "acc_width": 7},
        {"lanes": 2, "drain_lanes": 1, "weight_bits": 3, "max_shift": 2, "acc_width": 8},
        {"lanes": 4, "drain_lanes": 1, "max_lines": 4},
        {"lanes": 2, "drain_lanes": 1, "max_lines": 2, "max_rest": 2},
        {"lanes": 2, "time_steps": 1, "max_shift": 0},
        PAIRS,
        {**PAIRS, "lanes": 4, "drain_lanes": 2},
        {**PAIRS, "time_steps": 3, "max_spacing": 32},
        {**PAIRS, "lanes": 3, "drain_lanes": 3, "weight_bits": 3, "acc_width": 7},
        {**PAIRS, "lanes": 4, "weight_bits": 4, "acc_width": 9, "max_lines": 4},
        {**PAIRS, "max_lines": 2, "max_rest": 2},
        {**PAIRS, "lanes": 2, "time_steps": 1},
    ],
    ids=lambda shape: "-".join(f"{name}{value}" for name, value in shape.items()) or "usual",
)
def test_the_block_is_its_equations(shape, slow, tmp_path):
    assert _verdict(tmp_path, SynapticEngine, **shape, **slow) == "proved"


@pytest.mark.parametrize("shape", [{}, PAIRS], ids=["single", "pairs"])
def test_one_event_more_overflows(shape, tmp_path):
    assert _verdict(tmp_path, SynapticEngine, more=1, **shape) == "refuted"


@pytest.mark.parametrize("rest", [0, 2])
@pytest.mark.parametrize("shape", [{}, PAIRS], ids=["single", "pairs"])
def test_one_cycle_less_overruns(shape, rest, tmp_path):
    assert _verdict(tmp_path, SynapticEngine, short=1, max_rest=rest, **shape) == "refuted"


@pytest.mark.parametrize("shape", [{}, PAIRS], ids=["single", "pairs"])
@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("now.spaced.all() & (drained | ~self.waits)", "(drained | ~self.waits)", {}),
        ("now.spaced.all() & (drained | ~self.waits)", "now.spaced.all()", {}),
        ("now.spaced.eq(~self.spacing_last)", "now.spaced.eq(~self.spacing_last + 1)", {}),
        ("now.spaced.eq(~self.spacing_last)", "now.spaced.eq(~self.spacing_last - 1)", {}),
        ("with m.If(now.issues & now.last):", "with m.If(now.last):", {}),
        ("now.issues, now.issues & now.last", "now.issues, now.last", {}),
        ("now.last.eq(event.first | event.flush)", "now.last.eq(event.first)", {}),
        ("now.waits.eq(~event.flush)", "now.waits.eq(1)", {}),
        ("self.i.ready.eq(~now.waits | now.may)", "self.i.ready.eq(now.may)", {}),
        ("last.eq(self.last), event", "last.eq(now.last), event", SLOW),
        ("issued.under_way | in_flight", "in_flight", SLOW),
        ("commits & drain.draining & ~drain.freed", "commits & drain.draining", {}),
        ("self.rest, left - rests", "self.rest, left", {"max_rest": 1}),
        ("shifts = drain.taken & (drain.step_last | ~self.pixels)", "shifts = drain.taken", {}),
        (
            "now.step_last & now.pixel_last & now.group_last & now.line_last",
            "now.step_last & now.pixel_last & now.group_last",
            {"max_lines": 2},
        ),
        ("now.group_last.eq(now.groups_left == 2)", "now.group_last.eq(now.groups_left == 1)", {}),
        ("now.lines_left.eq(now.lines_left - 1)", "now.lines_left.eq(now.lines_left)", {"max_lines": 2}),
        ("(now.pixel == T - 2)", "(now.pixel == T - 1)", {}),
    ],
)
def test_a_planted_bug_is_refuted(old, new, more, shape, tmp_path):
    assert _verdict(tmp_path, planted(SynapticEngine, old, new), **shape, **more) == "refuted"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clear.eq(~mask & first.replicate(T))", "clear.eq(0)"),
        ("load.eq(first)", "load.eq(0)"),
        ("(mask | first.replicate(T)) & fetched.replicate(T)", "mask & fetched.replicate(T)"),
        ("(mask | first.replicate(T)) & fetched.replicate(T)", "mask | first.replicate(T)"),
        ("works.eq(fetched & mask.any())", "works.eq(mask.any())"),
        ("shown[k] << shift", "shown[k] << (shift ^ 1)"),
        ("self.useful.eq(works),\n            commits.eq(last[2])", "self.useful.eq(works), commits.eq(last[1])"),
        ("enable = now.issues if", "enable = self.i.valid if"),
        ("Mux(commits, parallel, serial)", "parallel"),
    ],
)
def test_a_bug_planted_into_single_events_is_refuted(old, new, tmp_path):
    assert _verdict(tmp_path, planted(SynapticEngine, old, new)) == "refuted"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Mux(double[2], doubled, acc[k][t]) + pair", "acc[k][t] + pair"),
        ("double[0].eq(event.double & now.valid)", "double[0].eq(event.double)"),
        ("double[2].eq(double[1])", "double[2].eq(double[0])"),
        ("[acc[k][t].eq(0) for", "[acc[k][t].eq(total[k][t]) for"),
        ("row[port][k], 0)", "row[0][k], 0)"),
        ("else (now.event.low, now.event.high)", "else (now.event.low, now.event.low)"),
        ("mask[0][port].eq(Mux(now.valid, half.mask, 0))", "mask[0][port].eq(half.mask)"),
        ("mask[1][0].any() + mask[1][1].any()", "mask[1][0].any() | mask[1][1].any()"),
        ("self.useful.eq(counts),\n            commits.eq(last[2])", "self.useful.eq(counts), commits.eq(last[1])"),
        ("return total, live", "return acc, live"),
        ("m.d.sync += at.eq(0)", "pass"),
        ("shown.ready.eq(~self.o.valid | self.o.ready)", "shown.ready.eq(1)"),
    ],
)
def test_a_bug_planted_into_pairs_is_refuted(old, new, tmp_path):
    assert _verdict(tmp_path, planted(SynapticEngine, old, new), **PAIRS) == "refuted"
