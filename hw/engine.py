# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The event-driven synaptic engine: `lanes` output channels times `time_steps` accumulators.

An event is one non-zero spike word (or one bit plane of an integer activation) of one input channel. It fetches
one weight row and updates all lanes and all time steps in one cycle, so a weight is read once for all T steps
(paper, eq. 1 and 3: the sum over j of `w_kj * s_j[t]`, which the TASA window then combines over t).
"""

from amaranth.hdl import Module, Mux, Signal, signed
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


class SynapticEngine(wiring.Component):
    """`acc[k][t] += mask[t] ? weight[k] << shift : 0` for every lane k and time step t, one event each cycle.

    A `first` event starts a token: it loads instead of adding, and moves the token before it, if one is pending,
    to the shadow registers. A `flush` event (address, shift, mask and first are ignored) only moves the pending
    token out. The shadow drains as beats (group, t), group-major, `value[r] = acc[group * drain_lanes + r][t]`,
    `groups * time_steps` beats a commit. An event that is neither `first` nor `flush` while no token is pending
    is meaningless and must not be sent.

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
    registered : the register of stage 2 stands before the shifter, not behind it: for a device whose block RAM
        is so slow that no logic may follow it. Costs registers where those behind the shifter are free.

    Members
    -------
    i : stream of `hw.rows.event_layout`.
    weight_address, weight_enable, weight_data : read port of a synchronous memory, latency 1, whose output holds
        while `weight_enable` is 0 (which it never is if `registered`: the row waits in a register).
    groups : drain groups of a commit, 1..lanes // drain_lanes, stable while `busy`.
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
        registered: bool = False,
    ):
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
        self.registered = registered
        event = event_layout(address_width, max_shift, time_steps)
        super().__init__(
            {
                "i": In(stream.Signature(event)),
                "weight_address": Out(address_width),
                "weight_enable": Out(1),
                "weight_data": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "groups": In(range(lanes // drain_lanes + 1)),
                "o": Out(stream.Signature(drain_layout(drain_lanes, acc_width))),
                "stored": Out(data.ArrayLayout(signed(weight_bits), lanes)),
                "useful": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        T = self.time_steps
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

        # the shadow gives its beats out
        draining = Signal()
        step = Signal(range(T))
        remaining = Signal(self.groups.shape(), reset_less=True)
        last = Signal()
        freed = Signal()
        taken = Signal()
        m.d.comb += [
            taken.eq(draining & self.o.ready),
            freed.eq(taken & last),
            advance.eq(~(moves & draining & ~freed)),
            moved.eq(moves & advance),
            self.o.valid.eq(draining),
            self.o.payload.t_first.eq(step == 0),
            self.o.payload.t_last.eq(step == T - 1),
            self.o.payload.last.eq(last),
            self.useful.eq(two.works & advance),
            self.busy.eq(one.fetched | two.arrived | draining),
        ]
        with m.If(moved):
            m.d.sync += [draining.eq(1), remaining.eq(self.groups), step.eq(0)]
            m.d.sync += last.eq((self.groups == 1) if T == 1 else 0)
        with m.Elif(freed):
            m.d.sync += draining.eq(0)
        with m.Elif(taken):
            m.d.sync += step.eq(Mux(step == T - 1, 0, step + 1))
            m.d.sync += last.eq((remaining == 2) if T == 1 else (remaining == 1) & (step == T - 2))
            with m.If(step == T - 1):
                m.d.sync += remaining.eq(remaining - 1)
        self._shadow(m, acc, moved, taken)
        return m

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

    def _shadow(self, m: Module, acc: list[list[Signal]], moved: Signal, taken: Signal) -> None:
        """The shadow registers: drain_lanes shift chains, loaded in parallel; the next beat is always at their
        heads."""
        T = self.time_steps
        depth = self.lanes // self.drain_lanes * T
        for r in range(self.drain_lanes):
            chain = [Signal(signed(self.acc_width), name=f"shadow_{r}_{q}", reset_less=True) for q in range(depth)]
            m.d.comb += self.o.payload.value[r].eq(chain[0])
            with m.If(moved | taken):
                for q in range(depth):
                    parallel = acc[q // T * self.drain_lanes + r][q % T]
                    # the tail has nothing behind it: what it takes while shifting is never drained
                    serial = chain[q + 1] if q + 1 < depth else parallel
                    m.d.sync += chain[q].eq(Mux(moved, parallel, serial))
