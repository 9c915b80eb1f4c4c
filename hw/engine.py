# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The event-driven synaptic engine: `lanes` output channels times `time_steps` accumulators.

An event is one non-zero spike word (or one bit plane of an integer activation) of one input channel. It fetches
one weight row and updates all lanes and all time steps in one cycle, so a weight is read once for all T steps
(paper, eq. 1 and 3: the sum over j of `w_kj * s_j[t]`, which the TASA window then combines over t).
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range, drain_layout, event_layout

__all__ = ["SynapticEngine"]


class _Fetched:
    """Stage 1: the event whose weight row is at the memory's output."""

    def __init__(self, event):
        self.fetched = Signal()
        self.live = Signal()  # it is no flush
        self.shift = Signal.like(event.shift, reset_less=True)
        self.mask = Signal.like(event.mask, reset_less=True)
        self.first = Signal(reset_less=True)
        self.flush = Signal(reset_less=True)


class _Arrived:
    """Stage 2: the event as what the accumulators' flip-flops need."""

    def __init__(self, engine: "SynapticEngine"):
        T, shape = engine.time_steps, signed(engine.weight_bits + engine.max_shift)
        # the shifted row
        self.product = [Signal(shape, name=f"product_{k}", reset_less=True) for k in range(engine.lanes)]
        self.enable = Signal(T)
        self.clear = Signal(T, reset_less=True)
        self.load = Signal(reset_less=True)
        self.arrived = Signal()
        self.starts = Signal()
        self.commits = Signal()
        self.works = Signal()


class _Drain:
    """Where the drain of the shadow is: loop counters, innermost first, and whether each is at its end."""

    def __init__(self, engine: "SynapticEngine"):
        T = engine.time_steps
        self.draining = Signal()
        self.step, self.pixel = (Signal(range(T), name=name) for name in ("step", "pixel"))
        # this one included
        self.groups_left = Signal.like(engine.groups, name="groups_left", reset_less=True)
        self.lines_left = Signal.like(engine.lines, name="lines_left", reset_less=True)
        self.step_last, self.pixel_last, self.group_last, self.line_last = (
            Signal(name=f"{loop}_last", reset_less=True) for loop in ("step", "pixel", "group", "line")
        )
        self.taken, self.freed = Signal(), Signal()  # a beat is accepted; it is the last of its commit


class SynapticEngine(wiring.Component):
    """`acc[k][t] += mask[t] ? weight[k] << shift : 0` for every lane k and time step t, one event each cycle.

    A `first` event starts a token: it loads instead of adding, and moves the token before it, if one is pending,
    to the shadow registers. A `flush` event (address, shift, mask and first are ignored) only moves the pending
    token out. The shadow drains as beats (line, group, t): `value[r] = acc[(line * groups + group) * drain_lanes +
    r][t]`, `lines * groups * time_steps` beats a commit. In a packed layer (`pixels`) accumulator t belongs to
    pixel t and to all time steps of its neuron, so each beat comes T times: (line, group, pixel, t). An event that
    is neither `first` nor `flush` while no token is pending is meaningless and must not be sent.

    Latency: event accepted in cycle c, weight row at `weight_data` in c+1, accumulators updated at the end of c+2,
    first beat of a commit valid in c+3. Throughput: one event each cycle, one beat each cycle.
    Back-pressure: the pipeline stands still only while a commit finds the shadow draining; a shadow whose final
    beat is accepted in this very cycle is free, so drains follow each other without a gap. `i.ready` then
    depends combinationally on `o.ready`; `o` never depends on `i` in the same cycle.

    Accumulators do not saturate: `acc_width` must hold every partial sum of a token (the compiler's interval
    analysis). They have no reset, because `first` defines them.

    Parameters
    ----------
    lanes : output channels computed at once.
    time_steps : T, spike bits of a mask and accumulators of a lane.
    drain_lanes : R, neurons of one drain beat; divides `lanes`.
    weight_bits, max_shift : signed weights, shifted left by 0..max_shift (0: no shifter is built).
    acc_width : bits of a signed accumulator.
    address_width : bits of a weight row's address.
    max_lines, max_rest : limits of `lines` and `rest`.
    registered : the register of stage 2 stands before the shifter, not behind it: for a device whose block RAM
        is so slow that no logic may follow it. Costs registers where those behind the shifter are free.

    Members
    -------
    i : stream of `hw.rows.event_layout`.
    weight_address, weight_enable, weight_data : read port of a synchronous memory, latency 1, whose output holds
        while `weight_enable` is 0 (which it never is if `registered`: the row waits in a register).
    groups, lines : drain groups of an output line and lines of a commit, both at least 1 and their product at most
        lanes // drain_lanes; `pixels`: the layer is packed; all stable while `busy`.
    rest : cycles without a beat behind each group, for a sink that needs them (where `max_rest` is not 0).
    o : stream of `hw.rows.drain_layout`.
    stored : the weight row, one cycle late if `registered`, while no event comes: for a check of the memory.
    useful : an event with a non-zero mask is accumulated in this cycle.
    busy : an event is in the pipeline or a beat in the shadow (a pending token alone is not busy).
    """

    #: Cycles from the acceptance of a committing event to its first beat.
    latency = 3

    def __init__(
        self,
        *,
        lanes: int,
        time_steps: int,
        drain_lanes: int,
        weight_bits: int,
        max_shift: int,
        acc_width: int,
        address_width: int,
        max_lines: int = 1,
        max_rest: int = 0,
        registered: bool = False,
    ):
        check_range("Most lines", max_lines, 1, 64)
        check_range("Longest rest", max_rest, 0, 8)
        check_range("Lanes", lanes, 1, 1024)
        check_range("Time steps", time_steps, 1, 16)
        check_range("Drain lanes", drain_lanes, 1, lanes)
        check_range("Weight bits", weight_bits, 2, 8)
        check_range("Largest shift", max_shift, 0, 15)
        check_range("Accumulator width", acc_width, weight_bits + max_shift, 40)
        check_range("Address width", address_width, 1, 32)
        if lanes % drain_lanes:
            raise FitError(f"Drain lanes must divide the {lanes} lanes, not {drain_lanes!r}")
        self.lanes = lanes
        self.time_steps = time_steps
        self.drain_lanes = drain_lanes
        self.weight_bits = weight_bits
        self.max_shift = max_shift
        self.acc_width = acc_width
        self.address_width = address_width
        self.max_rest = max_rest
        self.registered = registered
        event = event_layout(address_width, max_shift, time_steps)
        super().__init__(
            {
                "i": In(stream.Signature(event)),
                "weight_address": Out(address_width),
                "weight_enable": Out(1),
                "weight_data": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "groups": In(range(lanes // drain_lanes + 1)),
                "lines": In(range(max_lines + 1)),
                "pixels": In(1),
                "rest": In(range(max(1, max_rest) + 1)),
                "o": Out(stream.Signature(drain_layout(drain_lanes, acc_width))),
                "stored": Out(data.ArrayLayout(signed(weight_bits), lanes)),
                "useful": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()  # the pipeline does not stand still
        one, two = _Fetched(self.i.payload), _Arrived(self)
        self._fetch(m, advance, one)
        self._shift(m, advance, one, two)
        acc = self._accumulate(m, advance, two)

        # a pending token is moved to the shadow when the next begins, or by a flush
        pending = Signal()
        moved = Signal()
        moves = Signal()  # commits & pending, a register of its own: the whole pipeline waits for it
        with m.If(two.commits & advance):
            m.d.sync += pending.eq(two.starts)
        with m.If(advance):
            m.d.sync += moves.eq(one.fetched & (one.first | one.flush) & Mux(two.commits, two.starts, pending))

        drain = _Drain(self)
        m.d.comb += [
            advance.eq(~(moves & drain.draining & ~drain.freed)),
            moved.eq(moves & advance),
            self.useful.eq(two.works & advance),
            self.busy.eq(one.fetched | two.arrived | drain.draining),
        ]
        self._drain(m, drain, moved)
        shifts = drain.taken & (drain.step_last | ~self.pixels)
        self._shadow(m, acc, moved, shifts)
        return m

    def _drain(self, m: Module, now: _Drain, moved: Signal) -> None:
        """Counts the beats of a commit."""
        T, beat = self.time_steps, self.o.payload
        rests = Signal()
        m.d.comb += [
            self.o.valid.eq(now.draining & ~rests),
            now.taken.eq(self.o.valid & self.o.ready),
            now.freed.eq(now.taken & now.step_last & now.pixel_last & now.group_last & now.line_last),
            beat.t_first.eq(now.step == 0),
            beat.t_last.eq(now.step_last),
            beat.group_last.eq(now.pixel_last),
            beat.last.eq(now.group_last),
        ]
        group_ends = now.taken & now.step_last & now.pixel_last
        if self.max_rest:
            left = Signal.like(self.rest)
            m.d.comb += rests.eq(left.any())
            m.d.sync += left.eq(Mux(group_ends, self.rest, left - rests))

        first_group = [now.groups_left.eq(self.groups), now.group_last.eq(self.groups == 1)]
        with m.If(now.taken):
            m.d.sync += [now.step.eq(Mux(now.step_last, 0, now.step + 1)), now.step_last.eq(now.step == T - 2)]
        with m.If(now.taken & now.step_last):
            m.d.sync += now.step_last.eq(T == 1)
            m.d.sync += [now.pixel.eq(Mux(now.pixel_last, 0, now.pixel + 1))]
            m.d.sync += now.pixel_last.eq(~self.pixels | (T == 1) | (now.pixel == T - 2))
        with m.If(group_ends):
            m.d.sync += [now.groups_left.eq(now.groups_left - 1), now.group_last.eq(now.groups_left == 2)]
            with m.If(now.group_last):
                m.d.sync += [*first_group, now.lines_left.eq(now.lines_left - 1)]
                m.d.sync += now.line_last.eq(now.lines_left == 2)
        with m.If(now.freed):
            m.d.sync += now.draining.eq(0)
        with m.If(moved):
            m.d.sync += [now.draining.eq(1), now.step.eq(0), now.step_last.eq(T == 1), now.pixel.eq(0)]
            m.d.sync += [now.pixel_last.eq(~self.pixels | (T == 1)), *first_group]
            m.d.sync += [now.lines_left.eq(self.lines), now.line_last.eq(self.lines == 1)]

    def _fetch(self, m: Module, advance: Signal, one: _Fetched) -> None:
        """Takes an event and asks for its weight row."""
        event, accept = self.i.payload, Signal()
        m.d.comb += [
            self.i.ready.eq(advance),
            accept.eq(self.i.valid & advance),
            self.weight_address.eq(event.address),
            # the hold register of stage 2 spares the memory, which lies all over a large device, the late enable
            self.weight_enable.eq(1 if self.registered else accept),
        ]
        m.d.comb += one.live.eq(one.fetched & ~one.flush)
        with m.If(advance):
            m.d.sync += one.fetched.eq(accept)
            m.d.sync += [
                one.shift.eq(event.shift),
                one.mask.eq(event.mask),
                one.first.eq(event.first),
                one.flush.eq(event.flush),
            ]

    def _shift(self, m: Module, advance: Signal, one: _Fetched, two: _Arrived) -> None:
        """Shifts the weight row, with a register behind the shifter or before it, and decodes the event."""
        T = self.time_steps
        if self.registered:
            # `row` takes every row that the memory shows for the first time, so that nothing but a register stands
            # behind the memory; while the pipeline stands, that is the row of stage 1, and stage 2's is in `kept`
            row, kept = (Signal.like(self.weight_data, name=name, reset_less=True) for name in ("row", "kept"))
            amount = Signal.like(one.shift, reset_less=True)
            fresh, stale = Signal(), Signal()
            m.d.sync += [fresh.eq(advance), stale.eq((stale | fresh) & ~advance)]
            with m.If(fresh):
                m.d.sync += [row.eq(self.weight_data), kept.eq(row)]
            with m.If(advance):
                m.d.sync += amount.eq(one.shift)
            m.d.comb += self.stored.eq(row)
            m.d.comb += [two.product[k].eq(Mux(stale, kept[k], row[k]) << amount) for k in range(self.lanes)]
        else:
            m.d.comb += self.stored.eq(self.weight_data)
            with m.If(advance):
                m.d.sync += [two.product[k].eq(self.weight_data[k] << one.shift) for k in range(self.lanes)]
        with m.If(advance):
            m.d.sync += [
                two.enable.eq((one.mask | one.first.replicate(T)) & one.live.replicate(T)),
                two.clear.eq(~one.mask & one.first.replicate(T)),
                two.load.eq(one.first),
                two.arrived.eq(one.fetched),
                two.starts.eq(one.live & one.first),
                two.commits.eq(one.fetched & (one.first | one.flush)),
                two.works.eq(one.live & one.mask.any()),
            ]

    def _accumulate(self, m: Module, advance: Signal, two: _Arrived) -> list[list[Signal]]:
        """The accumulators, by lane and time step.

        A bit of an accumulator is to be one LUT. On iCE40 that holds for this very form: the multiplexer stands
        behind the adder and is the adder LUT's only reader, so yosys merges both (the LUT has one input to spare
        beside its carry); the mask is a clock enable, and the clear a synchronous reset, because neither goes
        through the data. For ECP5, gateware/load_adder.py does what yosys does not.
        """
        T = self.time_steps
        acc = [
            [Signal(signed(self.acc_width), name=f"acc_{k}_{t}", reset_less=True) for t in range(T)]
            for k in range(self.lanes)
        ]
        for t in range(T):
            with m.If(two.enable[t] & advance):
                for k in range(self.lanes):
                    with m.If(two.clear[t]):
                        m.d.sync += acc[k][t].eq(0)
                    with m.Else():
                        m.d.sync += acc[k][t].eq(Mux(two.load, two.product[k], acc[k][t] + two.product[k]))
        return acc

    def _shadow(self, m: Module, acc: list[list[Signal]], moved: Signal, shifts: Value) -> None:
        """The shadow registers: drain_lanes shift chains, loaded in parallel; the next beat is always at their
        heads."""
        T = self.time_steps
        depth = self.lanes // self.drain_lanes * T
        for r in range(self.drain_lanes):
            chain = [Signal(signed(self.acc_width), name=f"shadow_{r}_{q}", reset_less=True) for q in range(depth)]
            m.d.comb += self.o.payload.value[r].eq(chain[0])
            with m.If(moved | shifts):
                for q in range(depth):
                    parallel = acc[q // T * self.drain_lanes + r][q % T]
                    # the tail has nothing behind it: what it takes while shifting is never drained
                    serial = chain[q + 1] if q + 1 < depth else parallel
                    m.d.sync += chain[q].eq(Mux(moved, parallel, serial))
