# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Zero skipping: turns rows of spike words into events, one or two a cycle, of the non-zero words alone.

Rows without a spike are dropped as they arrive, one a cycle, while earlier rows wait in a small memory; priority
encoders then spend exactly one cycle on each non-zero word, or on each two of a row. Time is proportional to
activity as long as the scan keeps ahead, which `buffer_rows` provides for.
"""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.hw.payloads import check_power_of_two, check_range, event_layout, pair_layout, row_layout
from ds2ta.hw.row_reader import read_layout
from ds2ta.hw.slices import pipeline_register
from ds2ta.hw.store import DualPortMemory

__all__ = ["ZeroSkip"]


def _count(bits: Value) -> Value:
    """How many of the bits are set: full adders first."""
    if len(bits) <= 3:
        return sum(bits[1:], bits[0])
    third = -(-len(bits) // 3)
    return sum((_count(bits[at : at + third]) for at in range(third, len(bits), third)), _count(bits[:third]))


def _position(one_hot: Value) -> Value:
    """Number of the bit that is set."""
    lanes = len(one_hot)
    return Cat(
        Cat(one_hot[index] for index in range(lanes) if index >> bit & 1).any() for bit in range(ceil_log2(lanes))
    )


class ZeroSkip(wiring.Component):
    """Events of a layer, position by position.

    A position's first event has `first` set; a position without any spike gives one null event (`first`, empty
    mask), so that its neurons are still updated. Behind a row with `end` comes one `flush` event, of which only
    that flag means anything.

    With `events` = 1, an event has its row's bit plane as `shift`. With `events` = 2, the lowest and the highest
    lane with a spike make a pair, and the last of an odd number one with an empty second mask. Then the first event
    of each bit plane but a position's first has `double` set; a plane without a spike that comes behind one with
    spikes gives a null event for that.

    Event address = row weight + channel, of which the `lane_bits` low bits of the lane are the number; only lanes
    whose other bits are the row's `part` count. A row's weight is a multiple of the channels that it holds.

    Latency: the first event of a row accepted in cycle c is valid in c + 3 at the earliest, if `registered` in
    c + 4. Throughput: one row a cycle in, one event or pair a cycle out; no bubble between rows that are waiting.
    Back-pressure: a row, empty or not, is accepted while fewer than `buffer_rows` rows wait in the memory (one more
    may be at its output); `i.ready` and `o.valid` come from registers, so neither side's timing reaches the other.
    If `registered`, one more row waits for that in a register.

    Parameters: `row_lanes`, `time_steps`, `weight_width`, `plane_width`, `max_shift`, `buffer_rows` (power of two),
    `events`; `registered`: a register stands between the search for spikes in a row and their count.

    Members: `lane_bits`; `i` rows; `o` events, `hw.payloads.event_layout` or `pair_layout`; `rows` pulses for each
    row of the bank that was scanned.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        weight_width: int,
        plane_width: int,
        max_shift: int,
        buffer_rows: int,
        events: int = 1,
        registered: bool = False,
    ):
        row = row_layout(row_lanes, time_steps)  # checks both
        check_range("Weight width", weight_width, 1, 24)
        check_range("Plane width", plane_width, 1, 3)
        check_range("Largest shift", max_shift, 0, 7)
        check_power_of_two("Buffer rows", buffer_rows, 2, 64)
        check_range("Events", events, 1, 2)
        self._lanes, self._steps, self._buffer_rows, self._events = row_lanes, time_steps, buffer_rows, events
        self._registered = registered
        self._kept = data.StructLayout(
            {
                "row": row.size,
                "alive": row_lanes,  # lanes with a spike
                "turns": range(row_lanes // events),  # cycles that their events take, less one
                "weight": weight_width,
                "plane": plane_width,
                "double": 1,
                "first": 1,
                "flush": 1,
            }
        )
        if events == 1:
            event = event_layout(address_width=weight_width, max_shift=max_shift, time_steps=time_steps)
        else:
            event = pair_layout(address_width=weight_width, time_steps=time_steps)
        super().__init__(
            {
                "lane_bits": In(range(ceil_log2(row_lanes) + 1)),
                "i": In(
                    stream.Signature(
                        read_layout(
                            row_lanes=row_lanes,
                            time_steps=time_steps,
                            weight_width=weight_width,
                            plane_width=plane_width,
                        )
                    )
                ),
                "o": Out(stream.Signature(event)),
                "rows": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.waiting = waiting = DualPortMemory(width=self._kept.size, depth=self._buffer_rows)
        # rows in the memory that have not been fetched; both of its ends hang on registers
        level, waits, full = Signal(range(self._buffer_rows + 1)), Signal(), Signal()
        stores = self._scan(m, waiting, full)
        shown, moves, done = Signal(), Signal(), Signal()

        # The memory is a queue; at its output stands the row that is being served.
        fetches = Signal()
        m.d.comb += [
            waiting.write.enable.eq(stores),
            fetches.eq(waits & (~shown | (moves & done))),
            waiting.read_enable.eq(fetches),
        ]
        m.d.sync += [
            waits.eq(stores | (waits & ~(fetches & (level == 1)))),
            full.eq(~fetches & (full | (stores & (level == self._buffer_rows - 1)))),
        ]
        with m.If(stores):
            m.d.sync += waiting.write.address.eq(waiting.write.address + 1)
        with m.If(fetches):
            m.d.sync += waiting.read_address.eq(waiting.read_address + 1)
        with m.If(stores ^ fetches):
            m.d.sync += level.eq(Mux(stores, level + 1, level - 1))
        with m.If(~shown | (moves & done)):
            m.d.sync += shown.eq(fetches)

        self._serve(m, waiting, shown=shown, moves=moves, done=done)
        return m

    def _scan(self, m: Module, waiting: DualPortMemory, full: Signal) -> Signal:
        """Rows to the memory: one with a spike, or the last of a bit plane that has kept none and is needed, for a
        position has one event at least, and each plane behind its first event doubles; after the layer's last row
        the flush. The answer is high in a cycle in which one is stored."""
        lanes, source = self._lanes, self._search(m)
        arrived, alive = source.payload.read, source.payload.alive
        accept, flushing = Signal(), Signal()
        kept_any, kept_plane = Signal(), Signal()  # rows of this position, of this plane
        keep, stores, needed = (Signal() for _ in range(3))
        kept = data.View(self._kept, waiting.write.data)
        count = Signal(range(lanes + 1))
        m.d.comb += [
            source.ready.eq(~flushing & ~full),
            accept.eq(source.valid & source.ready),
            self.rows.eq(accept),
            needed.eq((arrived.last | kept_any) if self._events == 2 else (arrived.last & ~kept_any)),
            keep.eq(alive.any() | (arrived.plane_last & ~kept_plane & needed)),
            stores.eq(Mux(flushing, ~full, accept & keep)),
            count.eq(_count(alive)),
            kept.row.eq(arrived.row.as_value()),
            kept.alive.eq(alive),
            kept.turns.eq(Mux(flushing | ~alive.any(), 0, (count + self._events - 1 >> self._events - 1) - 1)),
            kept.weight.eq(arrived.weight),
            kept.plane.eq(arrived.plane),
            kept.double.eq(kept_any & ~kept_plane),
            kept.first.eq(~kept_any),
            kept.flush.eq(flushing),
        ]
        with m.If(accept):
            m.d.sync += kept_any.eq(~arrived.last & (kept_any | alive.any()))
            m.d.sync += kept_plane.eq(~arrived.plane_last & (kept_plane | alive.any()))
        with m.If(accept & arrived.end):
            m.d.sync += flushing.eq(1)
        with m.Elif(stores):
            m.d.sync += flushing.eq(0)
        return stores

    def _search(self, m: Module) -> stream.Interface:
        """The rows that come, each with the lanes of its part that have a spike."""
        found = data.StructLayout({"read": self.i.payload.shape(), "alive": self._lanes})
        source = stream.Signature(found).create(path=("searched",))
        row, part = self.i.payload.row, self.i.payload.part
        spikes = (row[lane].any() & ((Const(lane) >> self.lane_bits) == part) for lane in range(self._lanes))
        m.d.comb += [
            source.valid.eq(self.i.valid),
            self.i.ready.eq(source.ready),
            source.payload.read.eq(self.i.payload),
            source.payload.alive.eq(Cat(spikes)),
        ]
        return pipeline_register(m, source) if self._registered else source

    def _serve(self, m: Module, waiting: DualPortMemory, *, shown: Signal, moves: Signal, done: Signal) -> None:
        """Events of the row at the memory's output, while one is `shown` there, one or two in each cycle in which
        the output `moves`: the lowest live lane, and the highest; `done` with the row's last."""
        lanes, served, event = self._lanes, data.View(self._kept, waiting.read_data), self.o.payload
        begun, past = Signal(), Signal(lanes)  # the row has given an event; lanes served
        left, left_none = Signal.like(served.turns), Signal(reset_less=True)  # turns behind this one
        live, lowest, highest = (Signal(lanes, name=name) for name in ("live", "lowest", "highest"))
        turns = Mux(begun, left, served.turns)
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            live.eq(served.alive & ~past),
            done.eq(Mux(begun, left_none, ~served.turns.any())),
            lowest.eq(live & ~(live & (live - 1)[:lanes])),
        ]
        chosen: list[Value] = [lowest]
        if self._events == 2:
            backwards = Cat(reversed(list(live)))
            m.d.comb += highest.eq(
                Cat(reversed(list((backwards & ~(backwards & (backwards - 1)[:lanes]))[:lanes])))
            )
            chosen.append(highest & ~lowest)
        masks, addresses = [], []
        for number, one_hot in enumerate(chosen):
            # one-hot select: AND-OR, no decoder behind the priority encoder
            words = (Mux(one_hot[index], served.row.word_select(index, self._steps), 0) for index in range(lanes))
            lane = Signal(range(lanes), name=f"lane_{number}")
            m.d.comb += lane.eq(_position((lowest, highest)[number]))
            masks.append(reduce(or_, words))
            # rows are aligned to the channels that they hold: an addition without a carry
            addresses.append(served.weight | (lane & ((1 << self.lane_bits) - 1)[: len(lane)]))
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(shown),
                event.first.eq(served.first & ~begun),
                event.flush.eq(served.flush),
            ]
            if self._events == 1:
                m.d.sync += [event.address.eq(addresses[0]), event.mask.eq(masks[0]), event.shift.eq(served.plane)]
            else:
                for part, address, mask in zip((event.low, event.high), addresses, masks, strict=True):
                    m.d.sync += [part.address.eq(address), part.mask.eq(mask)]
                m.d.sync += event.double.eq(served.double & ~begun)
        with m.If(moves & shown):
            m.d.sync += [begun.eq(~done), past.eq(Mux(done, 0, past | lowest | highest))]
            m.d.sync += [left.eq(turns - 1), left_none.eq(turns == 1)]
