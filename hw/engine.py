# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The event-driven synaptic engine: `lanes` output channels times `time_steps` accumulators.

An event is one non-zero spike word (or one bit plane of an integer activation) of one input channel. It fetches
one weight row and updates all lanes and all time steps in one cycle, so a weight is read once for all T steps
(paper, eq. 1 and 3: the sum over j of `w_kj * s_j[t]`, which the TASA window then combines over t). With a weight
memory of two read ports, two events of a token are added in each cycle.
"""

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_range, drain_layout, event_layout, pair_layout

__all__ = ["SynapticEngine"]


class _Issue:
    """The event that waits for the next one, since only that tells whether it is its token's last."""

    def __init__(self, engine: "SynapticEngine"):
        self.event = Signal.like(engine.i.payload, name="held", reset_less=True)
        self.waits, self.last = Signal(name="held_valid"), Signal(name="held_last")
        self.may, self.issues = Signal(), Signal()  # it may go on, it does
        # counts the cycles until a token may end, up to all ones
        self.spaced = Signal.like(engine.spacing_last, init=-1)


class _Issued:
    """The event on its way beside its weight row, in the cycle before that row comes."""

    def __init__(self, m: Module, now: _Issue, cycles: int):
        self.valid, self.last = now.issues, now.issues & now.last
        self.event = now.event
        self.under_way: Value = Const(0, 1)  # one is
        for cycle in range(cycles):
            valid, last = Signal(name=f"issued_{cycle}"), Signal(name=f"issued_last_{cycle}")
            event = Signal.like(now.event, name=f"issued_event_{cycle}", reset_less=True)
            m.d.sync += [valid.eq(self.valid), last.eq(self.last), event.eq(self.event)]
            self.valid, self.last, self.event = valid, last, event
            self.under_way = self.under_way | valid


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
        self.taken, self.freed = Signal(), Signal(name="freed")  # a beat is accepted; it is the last of its commit


class SynapticEngine(wiring.Component):
    """`acc[k][t] += mask[t] ? weight[k] << shift : 0` for every lane k and time step t, one event each cycle.

    A `first` event starts a token. The last event of a token, which is known when the next `first` or a `flush` is
    offered, moves the sums to the shadow registers. A `flush` event does only that; its other fields are ignored.
    The shadow drains as beats (line, group, t): `value[r] = acc[(line * groups + group) * drain_lanes + r][t]`,
    `lines * groups * time_steps` beats a commit. In a packed layer (`pixels`) accumulator t belongs to pixel t and
    to all time steps of its neuron, so each beat comes T times: (line, group, pixel, t). An event that is neither
    `first` nor `flush` while no token is pending is meaningless and must not be sent.

    With `events` = 2 a pair of events comes at once: `acc[k][t] = (double ? 2 : 1) acc[k][t] + (low.mask[t]
    ? weight[0][k] : 0) + (high.mask[t] ? weight[1][k] : 0)`. Bit planes come highest first, and the first pair of
    each plane but a token's first doubles, so nothing is shifted.

    Latency: an event is issued in the first cycle c, after that of its acceptance, in which another is offered;
    weight row at `weight_data` in c + `weight_latency`; first beat of a commit valid in c + `latency`. Throughput:
    one event or pair each cycle, one beat each cycle. Back-pressure: nothing stands still behind the issue. The
    last event of a token waits there until `spacing_last + 1` cycles after the one of the token before, in which
    the drain is done if no beat waits; where the sink may let beats wait (`waits`), also until it is done.
    `i.ready` depends combinationally on `i.payload`, not on `o.ready`.

    Accumulators do not saturate: `acc_width` must hold every partial sum of a token (the compiler's interval
    analysis). With one event at a time they have no reset, because `first` defines them; with pairs a token's end
    empties them, and a reset.

    Parameters
    ----------
    lanes : output channels computed at once.
    time_steps : T, spike bits of a mask and accumulators of a lane.
    drain_lanes : R, neurons of one drain beat; divides `lanes`.
    weight_bits, max_shift : signed weights, shifted left by 0..max_shift (0: no shifter is built).
    acc_width : bits of a signed accumulator.
    address_width : bits of a weight row's address.
    events : 1, or 2. weight_latency : of the weight memory, 1 to 3 cycles.
    max_lines, max_rest : limits of `lines` and `rest`. max_spacing : of the cycles between tokens' ends.
    registered : with one event, a register stands before the shifter, not behind it: for a device whose block RAM
        is so slow that no logic may follow it. Costs registers where those behind the shifter are free.
    ring : the weight memory cannot be read in each cycle.

    Members
    -------
    i : stream of `hw.payloads.event_layout`, or `pair_layout`.
    weight_address, weight_enable, weight_data : read ports, one for each event, of a synchronous memory. Its
        output is used in one cycle alone.
    groups, lines : drain groups of an output line and lines of a commit, both at least 1 and their product at most
        lanes // drain_lanes; `pixels`: the layer is packed; all stable while `busy`, and for `rest` cycles more.
    rest : cycles without a beat behind the T beats of a group (packed: of each of its pixels), for a sink that
        needs them (where `max_rest` is not 0).
    spacing_last : cycles from a token's end to the next, at least, less one: those of a commit's beats and rests.
    waits : a beat may have to wait; `spacing_last` must be at least `latency`.
    o : stream of `hw.payloads.drain_layout`.
    stored : the weight row of the first port, one cycle late if `registered` or with pairs, while no event comes:
        for a check of the memory.
    useful : events with a non-zero mask that are accumulated in this cycle.
    busy : an event has been issued and not drained (one that waits for the next alone is not busy).
    overrun : a commit finds the shadow draining, which never happens.
    holds (with `ring`) : no event is issued, because the memory cannot be read in this cycle.
    """

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
        events: int = 1,
        weight_latency: int = 1,
        max_lines: int = 1,
        max_rest: int = 0,
        max_spacing: int = 255,
        registered: bool = False,
        ring: bool = False,
    ):
        check_range("Most lines", max_lines, 1, 64)
        check_range("Longest rest", max_rest, 0, 16)
        check_range("Largest spacing", max_spacing, 8, 1 << 20)
        check_range("Lanes", lanes, 1, 1024)
        check_range("Time steps", time_steps, 1, 16)
        check_range("Drain lanes", drain_lanes, 1, lanes)
        check_range("Weight bits", weight_bits, 2, 8)
        check_range("Largest shift", max_shift, 0, 15)
        check_range("Accumulator width", acc_width, weight_bits + max_shift, 40)
        check_range("Address width", address_width, 1, 32)
        check_range("Events", events, 1, 2)
        check_range("Weight latency", weight_latency, 1, 3)
        if lanes % drain_lanes:
            raise FitError(f"Drain lanes must divide the {lanes} lanes, not {drain_lanes!r}")
        self.lanes = lanes
        self.time_steps = time_steps
        self.drain_lanes = drain_lanes
        self.weight_bits = weight_bits
        self.max_shift = max_shift
        self.acc_width = acc_width
        self.address_width = address_width
        self.events = events
        self.max_rest = max_rest
        self.registered = registered
        self.ring = ring
        self.weight_latency = weight_latency
        self.latency = self.latency_of(events, weight_latency)
        self._row = row = data.ArrayLayout(signed(weight_bits), lanes)
        if events == 1:
            event = event_layout(address_width, max_shift, time_steps)
        else:
            event = pair_layout(address_width, time_steps)
        super().__init__(
            {
                "i": In(stream.Signature(event)),
                "weight_address": Out(address_width).array(events),
                "weight_enable": Out(1).array(events),
                "weight_data": In(row.size).array(events),  # flat, see `MemoryWrite`
                "groups": In(range(lanes // drain_lanes + 1)),
                "lines": In(range(max_lines + 1)),
                "pixels": In(1),
                "rest": In(range(max(1, max_rest) + 1)),
                "spacing_last": In(range(max_spacing)),
                "waits": In(1),
                "o": Out(stream.Signature(drain_layout(drain_lanes, acc_width))),
                "stored": Out(row.size),
                "useful": Out(range(events + 1)),
                "busy": Out(1),
                "overrun": Out(1),
                **({"holds": In(1)} if ring else {}),
            }
        )

    @staticmethod
    def latency_of(events: int, weight_latency: int) -> int:
        """Cycles from the issue of a token's last event to its first beat."""
        return (3 if events == 1 else 4) + weight_latency

    def elaborate(self, platform):
        m = Module()
        now, drain = _Issue(self), _Drain(self)
        commits = Signal()  # sums move to the shadow
        issued = _Issued(m, now, self.weight_latency - 1)
        self._fetch(m, now)
        if self.events == 1:
            acc, in_flight = self._single(m, issued, commits)
        else:
            total, in_flight = self._pairs(m, issued, commits)
        shown = self._drain(m, drain, commits)
        shifts = drain.taken & (drain.step_last | ~self.pixels)
        if self.events == 1:
            self._shift_shadow(m, acc, shown, commits, shifts)
        else:
            self._choose_shadow(m, total, shown, commits, shifts)
        drained = ~drain.draining & ~self.o.valid
        self._issue(m, now, drained)
        m.d.comb += [
            self.busy.eq(issued.under_way | in_flight | ~drained),
            self.overrun.eq(commits & drain.draining & ~drain.freed),
        ]
        return m

    def _issue(self, m: Module, now: _Issue, drained: Value) -> None:
        """Takes an event, and hands on the one before when it is known whether a token ends with it."""
        event = self.i.payload
        may = ~now.last | (now.spaced.all() & (drained | ~self.waits))
        m.d.comb += [
            now.last.eq(event.first | event.flush),
            now.may.eq(may & ~self.holds if self.ring else may),
            now.issues.eq(now.waits & self.i.valid & now.may),
            self.i.ready.eq(~now.waits | now.may),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [now.event.eq(event), now.waits.eq(~event.flush)]
        # the cycles of a commit's drain, counted while its sums are still on their way
        with m.If(now.issues & now.last):
            m.d.sync += now.spaced.eq(~self.spacing_last)
        with m.Elif(~now.spaced.all()):
            m.d.sync += now.spaced.eq(now.spaced + 1)

    def _fetch(self, m: Module, now: _Issue) -> None:
        """Asks for the rows of an event that is issued. Where a register stands right behind the memory, it is
        spared the late enable."""
        halves = (now.event,) if self.events == 1 else (now.event.low, now.event.high)
        enable = now.issues if self.events == 1 and not self.registered else Const(1)
        m.d.comb += [self.weight_address[port].eq(half.address) for port, half in enumerate(halves)]
        m.d.comb += [self.weight_enable[port].eq(enable) for port in range(self.events)]

    def _drain(self, m: Module, now: _Drain, commits: Signal) -> stream.Interface:
        """Counts the beats of a commit. With pairs a register stands behind the choice among the sums."""
        T = self.time_steps
        shown = stream.Signature(self.o.payload.shape()).create(path=("shown",))
        beat, rests = shown.payload, Signal()
        m.d.comb += [
            shown.valid.eq(now.draining & ~rests),
            now.taken.eq(shown.valid & shown.ready),
            now.freed.eq(now.taken & now.step_last & now.pixel_last & now.group_last & now.line_last),
            beat.t_first.eq(now.step == 0),
            beat.t_last.eq(now.step_last),
            beat.group_last.eq(now.pixel_last),
            beat.last.eq(now.group_last),
        ]
        if self.events == 1:
            m.d.comb += [self.o.valid.eq(shown.valid), self.o.payload.eq(beat), shown.ready.eq(self.o.ready)]
        else:
            m.d.comb += shown.ready.eq(~self.o.valid | self.o.ready)
            with m.If(shown.ready):
                m.d.sync += [self.o.valid.eq(shown.valid), self.o.payload.eq(beat)]
        group_ends = now.taken & now.step_last & now.pixel_last
        if self.max_rest:
            left = Signal.like(self.rest)
            m.d.comb += rests.eq(left.any())
            m.d.sync += left.eq(Mux(now.taken & now.step_last, self.rest, left - rests))

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
        with m.If(commits):
            m.d.sync += [now.draining.eq(1), now.step.eq(0), now.step_last.eq(T == 1), now.pixel.eq(0)]
            m.d.sync += [now.pixel_last.eq(~self.pixels | (T == 1)), *first_group]
            m.d.sync += [now.lines_left.eq(self.lines), now.line_last.eq(self.lines == 1)]
        return shown

    def _single(self, m: Module, now: _Issued, commits: Signal) -> tuple[list[list[Signal]], Value]:
        """One event at a time: its row is shifted, then added, then the shadow takes the sums.

        A bit of an accumulator is to be one LUT. On iCE40 that holds for this very form: the multiplexer stands
        behind the adder and is the adder LUT's only reader, so yosys merges both (the LUT has one input to spare
        beside its carry); the mask is a clock enable, and the clear a synchronous reset, because neither goes
        through the data. For ECP5, gateware/carry_adders.py does what yosys does not."""
        T, event = self.time_steps, now.event
        fetched, arrived, last = Signal(), Signal(), Signal(3)
        shift, mask = (
            Signal.like(event[name], name=f"fetched_{name}", reset_less=True) for name in ("shift", "mask")
        )
        first, load = Signal(reset_less=True), Signal(reset_less=True)
        enable, clear, works = Signal(T), Signal(T, reset_less=True), Signal()
        m.d.comb += [
            self.useful.eq(works),
            commits.eq(last[2]),
        ]
        m.d.sync += [
            fetched.eq(now.valid),
            last.eq(now.last | last << 1),
            shift.eq(event.shift),
            mask.eq(event.mask),
            first.eq(event.first),
            enable.eq((mask | first.replicate(T)) & fetched.replicate(T)),
            clear.eq(~mask & first.replicate(T)),
            load.eq(first),
            arrived.eq(fetched),
            works.eq(fetched & mask.any()),
        ]
        shape = signed(self.weight_bits + self.max_shift)
        product = [Signal(shape, name=f"product_{k}", reset_less=True) for k in range(self.lanes)]
        if self.registered:
            row, amount = Signal(self._row, name="row", reset_less=True), Signal.like(shift)
            m.d.sync += [row.as_value().eq(self.weight_data[0]), amount.eq(shift)]
            m.d.comb += self.stored.eq(row.as_value())
            m.d.comb += [product[k].eq(row[k] << amount) for k in range(self.lanes)]
        else:
            m.d.comb += self.stored.eq(self.weight_data[0])
            shown = self._row(self.weight_data[0])
            m.d.sync += [product[k].eq(shown[k] << shift) for k in range(self.lanes)]
        acc = self._sums("acc")
        for t in range(T):
            with m.If(enable[t]):
                for k in range(self.lanes):
                    with m.If(clear[t]):
                        m.d.sync += acc[k][t].eq(0)
                    with m.Else():
                        m.d.sync += acc[k][t].eq(Mux(load, product[k], acc[k][t] + product[k]))
        return acc, fetched | arrived | last.any()

    def _pairs(self, m: Module, now: _Issued, commits: Signal) -> tuple[list[list[Signal]], Value]:
        """Two events at a time: their rows in registers, then the sums of what they add, then the accumulators, or
        the shadow in their place with a token's last pair.

        For ECP5, gateware/carry_adders.py maps each of the two additions to carry cells alone, masks and doubling
        included."""
        T, event = self.time_steps, now.event
        halves = (event.low, event.high)
        live, last = Signal(3), Signal(3)
        double = [Signal(name=f"double_{stage}") for stage in range(3)]
        mask = [[Signal(T, name=f"mask_{stage}_{port}") for port in range(2)] for stage in range(2)]
        row = [Signal(self._row, name=f"row_{port}", reset_less=True) for port in range(2)]
        counts = Signal(range(3))
        m.d.comb += [
            self.stored.eq(row[0].as_value()),
            self.useful.eq(counts),
            commits.eq(last[2]),
        ]
        # what is not live adds nothing and doubles nothing
        m.d.sync += [
            live.eq(now.valid | live << 1),
            last.eq(now.last | last << 1),
            double[0].eq(event.double & now.valid),
            double[1].eq(double[0]),
            double[2].eq(double[1]),
            *(mask[0][port].eq(Mux(now.valid, half.mask, 0)) for port, half in enumerate(halves)),
            *(mask[1][port].eq(mask[0][port]) for port in range(2)),
            *(row[port].as_value().eq(self.weight_data[port]) for port in range(2)),
            counts.eq(mask[1][0].any() + mask[1][1].any()),
        ]
        shape = signed(self.weight_bits + 1)
        acc = self._sums("acc", reset_less=False)
        total = [
            [Signal(signed(self.acc_width), name=f"total_{k}_{t}") for t in range(T)] for k in range(self.lanes)
        ]
        for k in range(self.lanes):
            for t in range(T):
                term = [Mux(mask[1][port][t], row[port][k], 0) for port in range(2)]
                pair = Signal(shape, name=f"pair_{k}_{t}")
                m.d.sync += pair.eq(term[0] + term[1])
                doubled = (acc[k][t] << 1)[: self.acc_width].as_signed()
                m.d.comb += total[k][t].eq(Mux(double[2], doubled, acc[k][t]) + pair)
                m.d.sync += acc[k][t].eq(total[k][t])
        with m.If(commits):
            m.d.sync += [acc[k][t].eq(0) for k in range(self.lanes) for t in range(T)]
        return total, live.any() | last.any()

    def _sums(self, name: str, reset_less: bool = True) -> list[list[Signal]]:
        """Registers of a sum for each lane and time step."""
        shape, T = signed(self.acc_width), self.time_steps
        return [
            [Signal(shape, name=f"{name}_{k}_{t}", reset_less=reset_less) for t in range(T)]
            for k in range(self.lanes)
        ]

    def _shift_shadow(
        self, m: Module, acc: list[list[Signal]], shown: stream.Interface, commits: Signal, shifts: Value
    ) -> None:
        """The shadow registers: drain_lanes shift chains, loaded in parallel; the next beat is always at their
        heads."""
        T = self.time_steps
        depth = self.lanes // self.drain_lanes * T
        for r in range(self.drain_lanes):
            chain = [Signal(signed(self.acc_width), name=f"shadow_{r}_{q}", reset_less=True) for q in range(depth)]
            m.d.comb += shown.payload.value[r].eq(chain[0])
            with m.If(commits | shifts):
                for q in range(depth):
                    parallel = acc[q // T * self.drain_lanes + r][q % T]
                    # the tail has nothing behind it: what it takes while shifting is never drained
                    serial = chain[q + 1] if q + 1 < depth else parallel
                    m.d.sync += chain[q].eq(Mux(commits, parallel, serial))

    def _choose_shadow(
        self, m: Module, total: list[list[Signal]], shown: stream.Interface, commits: Signal, shifts: Value
    ) -> None:
        """The shadow registers, which take the sums without a multiplexer; a beat is chosen among them by its
        number."""
        T = self.time_steps
        depth = self.lanes // self.drain_lanes * T
        shadow = self._sums("shadow")
        at = Signal(range(depth))
        with m.If(shifts):
            m.d.sync += at.eq(at + 1)
        with m.If(commits):
            m.d.sync += at.eq(0)
            m.d.sync += [shadow[k][t].eq(total[k][t]) for k in range(self.lanes) for t in range(T)]
        for r in range(self.drain_lanes):
            column = Array(shadow[q // T * self.drain_lanes + r][q % T] for q in range(depth))
            m.d.comb += shown.payload.value[r].eq(column[at])
