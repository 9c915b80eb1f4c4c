# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Residual connection and max-pool: joins new spikes with a tensor of a spike bank, in place and bit-sliced."""

from contextlib import AbstractContextManager, nullcontext

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import RowWrite, check_power_of_two, check_range, placed_words_layout, row_layout

__all__ = ["Residual", "ResidualMode"]

_WINDOWS = 4  # that a pixel may belong to, of a 3x3 pool with stride 2


class ResidualMode(enum.IntEnum, shape=2):
    """How words join what is at their place: as they are, OR-ed into the old ones, added to the old bit planes, or
    OR-ed into each of the pool's windows that they belong to."""

    STORE = 0
    OR = 1
    ADD = 2
    POOL = 3


class _Joining:
    """The words at hand, where they are written now, and where they go next."""

    def __init__(self, residual: "Residual"):
        place = residual.i.payload
        self.carry = Signal(residual.bits, reset_less=True)  # the words, then what is left of them to add
        self.address = Signal.like(place.address, name="address", reset_less=True)  # of the write
        # of the plane that is written, or of the window that `address` named
        self.home = Signal.like(place.address, name="home", reset_less=True)
        self.slot = Signal.like(place.slot, name="slot", reset_less=True)
        self.across, self.down, self.first_column, self.first_line = (
            Signal(name=name, reset_less=True) for name in ("across", "down", "first_column", "first_line")
        )
        self.plane = Signal.like(residual.planes_out, name="plane")  # number of the plane being written, from 1
        self.window = Signal(range(_WINDOWS))  # of the window, from 0
        self.present = Signal()  # what is being written has an old value, now at the memory's output
        self.adding, self.pooling = Signal(name="adding"), Signal(name="pooling")
        self.last = Signal(init=1)  # nothing comes behind it
        self.goes_on = Signal()  # what comes next has an old value
        self.step = Signal.like(place.address, name="step", reset_less=True)  # to where it goes
        # with a single port: the words go on to the next place; its old value is read, and nothing is written
        self.moves, self.fetches = Signal(), Signal()


class Residual(wiring.Component):
    """`x' = s`, `x | s` or `x + s` for the spike words s of a group of neurons and the tensor x already at their
    place.

    The integers of an `add` stream are stored as bit planes, plane p at `address + p * plane_pitch`, so the sum is
    a ripple of half adders over the planes, `R * T` neurons side by side:
    `x'_p = x_p ^ c_p`, `c_{p+1} = x_p & c_p`, `c_0 = s`, for p in `0 .. planes_out - 1`, `x_p = 0` for
    p >= `planes_in`. `planes_out` must hold the sum (the compiler's interval analysis): no carry leaves.

    With POOL the words go to their windows w, `x'_w = x_w | s`: spikes are 0 or 1, so their maximum is the OR.
    Words that are the first of a window are stored instead: those of the `first_column`, or whose window is
    `across`, and of the `first_line`, or whose window is `down`. One window is that at `address`; two are that and
    the other; of four, that at `address` comes last, behind that across, down, and across and down.

    Latency: words accepted in cycle c, plane p, or the p-th window, written in cycle c+1+p. Throughput: one group
    every `period_of` cycles; no bubbles. Only the length of an addition, or the windows, hold the input.

    The memory takes its writes at once, or a cycle late. So the last writes of a group share their cycles with the
    first reads of the next one, and groups that follow each other directly must have different places: all of a
    layer have. The groups of a pool must come `period_of` cycles apart, or more: then the next pixel, or that
    below, which have windows in common with four, find them written, which is why these come in that order. So no
    cycle reads and writes one slot of a row.

    With `single_port` no cycle reads and writes at all, and the memory must take its writes at once: each old value
    is read in a cycle of its own, behind the write of the one before. A group that may begin with a read waits for
    the last write of the one before it.

    Parameters: `lanes` R, `row_lanes` g, `time_steps` T, `address_width`, `max_planes` (bit planes of the largest
    sum), `single_port`.

    Members: `i`: `hw.payloads.placed_words_layout`; `mode`, `planes_in`, `planes_out` (1 .. max_planes, planes_in
    <= planes_out), `plane_pitch`, `position_pitch`, `line_pitch` (with POOL: rows from a window to that across and
    down, across, down): stable while `busy` or `i.valid`; `read_address`, `read_enable`, `read_data`: read
    port of a synchronous memory of rows, latency 1; `write` {address, row, slots, enable}: the words,
    in their slot alone; `busy`: words are being written.
    Paper: residual connections of the encoder block; `or` is the binary variant; max-pool layers of the patch
    splitter.
    """

    def __init__(
        self,
        *,
        lanes: int,
        row_lanes: int,
        time_steps: int,
        address_width: int,
        max_planes: int,
        single_port: bool = False,
    ):
        row = row_layout(row_lanes, time_steps)
        check_power_of_two("Lanes", lanes, 1, row_lanes)
        check_range("Address width", address_width, 1, 24)
        check_range("Planes", max_planes, 1, 8)
        self._slots, self.bits, self._single_port = row_lanes // lanes, lanes * time_steps, single_port
        shape = {"row_lanes": row_lanes, "time_steps": time_steps, "slots": self._slots}
        words = placed_words_layout(lanes, time_steps, self._slots, address_width)
        super().__init__(
            {
                "i": In(stream.Signature(words)),
                "mode": In(ResidualMode),
                "planes_in": In(range(max_planes + 1)),
                "planes_out": In(range(max_planes + 1)),
                "plane_pitch": In(address_width),
                "position_pitch": In(address_width),
                "line_pitch": In(address_width),
                "read_address": Out(address_width),
                "read_enable": Out(self._slots),
                "read_data": In(row.size),
                "write": Out(RowWrite(**shape, address_width=address_width)),
                "busy": Out(1),
            }
        )

    @staticmethod
    def period_of(mode: ResidualMode, planes_in: int, planes_out: int, single_port: bool) -> int:
        """Cycles from one group to the next, of the longest: its writes, and, with a single port, its reads. Of a
        pixel's four windows the last has no old value."""
        reads, writes = {
            ResidualMode.STORE: (0, 1),
            ResidualMode.OR: (1, 1),
            ResidualMode.ADD: (planes_in, planes_out),
            ResidualMode.POOL: (_WINDOWS - 1, _WINDOWS),
        }[mode]
        return writes + reads * single_port

    @classmethod
    def longest_period(cls, max_planes: int, single_port: bool) -> int:
        """Of all modes."""
        return max(cls.period_of(mode, max_planes, max_planes, single_port) for mode in ResidualMode)

    def elaborate(self, platform) -> Module:
        m = Module()
        now = _Joining(self)
        place = self.i.payload
        first = place.first_column & place.first_line  # of a window
        old: Value = self.read_data[: self.bits]
        for index in range(1, self._slots):
            old = Mux(now.slot[index], self.read_data.word_select(index, self.bits), old)
        reads, starts, written = Signal(), Signal(), Signal(self.bits)
        base = Signal.like(now.home, name="base")
        m.d.comb += [
            now.adding.eq(self.mode == ResidualMode.ADD),
            now.pooling.eq(self.mode == ResidualMode.POOL),
            self.i.ready.eq(~self.busy | self._ends(now)),
            starts.eq(self.i.valid & self.i.ready),
            self.write.address.eq(now.address),
            self.write.enable.eq(self.busy & ~now.fetches if self._single_port else self.busy),
            self.write.slots.eq(now.slot),
            self.write.row.eq(written.replicate(self._slots)),
            self.read_enable.eq(Mux(self.i.ready, place.slot, now.slot) & reads.replicate(self._slots)),
        ]
        m.d.comb += self.read_address.eq(base + self._next_place(m, now))
        with self._moving(m, self.i.ready | now.moves):
            m.d.sync += [now.present.eq(reads), now.address.eq(self.read_address)]
        # an old value is read while the one before it is written, or behind that
        with m.If(self.i.ready):
            m.d.comb += [base.eq(place.address), reads.eq(starts & (self._merges(now) | now.pooling & ~first))]
            m.d.sync += [self.busy.eq(self.i.valid), now.plane.eq(1), now.window.eq(0), now.home.eq(place.address)]
            m.d.sync += [
                getattr(now, name).eq(place[name])
                for name in ("slot", "across", "down", "first_column", "first_line")
            ]
        with m.Else():
            m.d.comb += [base.eq(now.home), reads.eq(now.fetches if self._single_port else now.goes_on)]
            with self._moving(m, now.moves):
                m.d.sync += [now.plane.eq(now.plane + 1), now.window.eq(now.window + 1)]
                with m.If(now.adding):
                    m.d.sync += now.home.eq(self.read_address)
            if self._single_port:
                m.d.comb += now.moves.eq(now.fetches | ~now.goes_on)
                m.d.sync += now.fetches.eq(~now.moves & ~now.last)
                with m.If(now.last):  # low while something is fetched
                    m.d.sync += self.busy.eq(0)

        # two LUTs a bit: what is written, and the carry with its load (its clear is the flip-flop's reset)
        with m.If(~now.present):
            m.d.comb += written.eq(now.carry)
        with m.Elif(now.adding):
            m.d.comb += written.eq(now.carry ^ old)
        with m.Else():
            m.d.comb += written.eq(now.carry | old)
        with m.If(self.i.ready):
            m.d.sync += now.carry.eq(place.words)
        with m.Elif(now.adding & ~now.fetches if self._single_port else now.adding):
            m.d.sync += now.carry.eq(now.carry & old)
            with m.If(~now.present):
                m.d.sync += now.carry.eq(0)
        return m

    def _moving(self, m: Module, moves: Value) -> AbstractContextManager:
        """What is done when the words go on: with both ports in every cycle."""
        return m.If(moves) if self._single_port else nullcontext()

    def _ends(self, now: "_Joining") -> Value:
        """A group ends, and makes room for the next one, unless such may want the port for a read."""
        if self._single_port:
            return now.last & ~(self._merges(now) | now.pooling)
        return now.last

    def _merges(self, now: "_Joining") -> Value:
        """There is an old value where the words go first; of a pool see there."""
        return (self.mode == ResidualMode.OR) | (now.adding & (self.planes_in != 0))

    def _next_place(self, m: Module, now: "_Joining") -> Value:
        """How far it is to the place that is read next: in the cycle of a group's acceptance, to its first one,
        else to what comes behind the place that is written, the next plane or the next window. All that can be
        known a cycle before stands in registers."""
        place, four = self.i.payload, now.across & now.down
        windows_last = Cat(now.across | now.down, four)
        with m.If(self.i.ready):
            m.d.sync += now.last.eq(
                Mux(now.pooling, ~(place.across | place.down), ~now.adding | (self.planes_out == 1))
            )
            m.d.sync += now.step.eq(Mux(place.across & ~place.down, self.position_pitch, self.line_pitch))
        with m.Elif(now.moves) if self._single_port else m.Else():
            m.d.sync += now.last.eq(
                Mux(now.pooling, now.window + 1 == windows_last, now.plane + 1 == self.planes_out)
            )
            m.d.sync += now.step.eq(Mux(now.window == 0, self.plane_pitch, 0))
        with m.If(now.adding):
            m.d.sync += now.step.eq(self.plane_pitch)
            m.d.comb += now.goes_on.eq(now.present & (now.plane != self.planes_in))
        with m.Elif(~four):
            m.d.comb += now.goes_on.eq(Mux(now.across, ~now.first_line, ~now.first_column))
        with m.Else():  # where the third of four windows is, nothing has been
            m.d.comb += now.goes_on.eq(now.window != 1)
        first = Mux(now.pooling & place.across & place.down, self.position_pitch, 0)
        return Mux(self.i.ready, first, now.step)
