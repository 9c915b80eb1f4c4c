"""Zero skipping: turns rows of spike words into one event for each non-zero word.

Rows without a spike are dropped as they arrive, up to one a cycle, while earlier rows wait in an elastic buffer;
a priority encoder then spends exactly one cycle on each non-zero word. Time is proportional to activity as long
as the scan keeps ahead, which `buffer_rows` provides for.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.hw.row_reader import read_layout
from ds2ta.hw.rows import check_range, event_layout, row_layout

__all__ = ["ZeroSkip"]


class ZeroSkip(wiring.Component):
    """Events of a layer, position by position.

    A position's first event has `first` set; a position without any spike gives one null event (`first`, empty
    mask), so that its neurons are still updated. After the last position comes one `flush` event.

    Event address = row weight + channel lane; shift = row shift + plane lane, where the `lane_bits` low bits of
    the lane number the channel and the rest the bit plane.

    Latency: a row accepted in cycle c is seen by the buffer's end at c + buffer_rows at the earliest.
    Throughput: one row a cycle in, one event a cycle out; no bubble between rows that are waiting.

    Members: `lane_bits`; `i` rows; `o` events; `rows` pulses for each row of the bank that was scanned.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        weight_width: int,
        shift_width: int,
        max_shift: int,
        buffer_rows: int,
    ):
        row_layout(row_lanes, time_steps)  # checks both
        check_range("Weight width", weight_width, 1, 24)
        check_range("Shift width", shift_width, 1, 3)
        check_range("Largest shift", max_shift, 0, 7)
        check_range("Buffer rows", buffer_rows, 1, 8)
        self._lanes, self._steps, self._buffer_rows = row_lanes, time_steps, buffer_rows
        super().__init__(
            {
                "lane_bits": In(range(ceil_log2(row_lanes) + 1)),
                "i": In(
                    stream.Signature(
                        read_layout(
                            row_lanes=row_lanes,
                            time_steps=time_steps,
                            weight_width=weight_width,
                            shift_width=shift_width,
                        )
                    )
                ),
                "o": Out(
                    stream.Signature(
                        event_layout(address_width=weight_width, max_shift=max_shift, time_steps=time_steps)
                    )
                ),
                "rows": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        arrived = self.i.payload
        words = [arrived.row[lane] for lane in range(self._lanes)]

        # Scan: keep a row with a spike, or the last row of a position that has kept none.
        alive, kept_any, flushing, keep = Signal(self._lanes), Signal(), Signal(), Signal()
        m.d.comb += [
            alive.eq(Cat(word.any() for word in words)),
            keep.eq(flushing | (self.i.valid & (alive.any() | (arrived.last & ~kept_any)))),
        ]

        # Elastic buffer: each place moves on when the next one is free.
        places = [
            {
                "valid": Signal(name=f"place{index}_valid"),
                "row": Signal.like(arrived.row.as_value(), name=f"place{index}_row"),
                "weight": Signal.like(arrived.weight, name=f"place{index}_weight"),
                "shift": Signal.like(arrived.shift, name=f"place{index}_shift"),
                "alive": Signal(self._lanes, name=f"place{index}_alive"),
                "first": Signal(name=f"place{index}_first"),
                "flush": Signal(name=f"place{index}_flush"),
            }
            for index in range(self._buffer_rows)
        ]
        head = places[-1]
        done = Signal()  # the head row leaves in this cycle
        free = ~head["valid"] | done
        source = None
        for index in range(self._buffer_rows - 1, -1, -1):
            place = places[index]
            if index == 0:
                entering = Signal()
                m.d.comb += entering.eq(free)
                source = {
                    "valid": keep,
                    "row": arrived.row.as_value(),
                    "weight": arrived.weight,
                    "shift": arrived.shift,
                    "alive": alive & ~flushing.replicate(self._lanes),
                    "first": ~kept_any,
                    "flush": flushing,
                }
            else:
                source = places[index - 1]
            moving = Signal(name=f"place{index}_moves")
            m.d.comb += moving.eq(free)
            with m.If(moving):
                m.d.sync += [place[field].eq(source[field]) for field in place]
            free = ~places[index - 1]["valid"] | moving if index else None
        m.d.comb += [
            self.i.ready.eq(~flushing & (entering | ~keep)),
            self.rows.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += kept_any.eq(~arrived.last & (kept_any | alive.any()))
            with m.If(arrived.end):
                m.d.sync += flushing.eq(1)
        with m.If(flushing & entering):
            m.d.sync += flushing.eq(0)

        # Serve: the lowest live lane, one event a cycle.
        event = self.o.payload
        lowest = Signal(self._lanes)
        rest = Signal(self._lanes)
        lane = Signal(range(self._lanes))
        m.d.comb += [
            rest.eq(head["alive"] & (head["alive"] - 1)[: self._lanes]),
            lowest.eq(head["alive"] & ~rest),
            lane.eq(
                Cat(
                    Cat(lowest[index] for index in range(self._lanes) if index >> bit & 1).any()
                    for bit in range(ceil_log2(self._lanes))
                )
            ),
        ]
        mask = Const(0)
        for index in range(self._lanes):  # one-hot select: AND-OR, no decoder behind the priority encoder
            word = head["row"].word_select(index, self._steps)
            mask = mask | Mux(lowest[index], word, 0)
        channel, plane = Signal.like(lane), Signal.like(lane)
        with m.Switch(self.lane_bits):
            for bits in range(ceil_log2(self._lanes) + 1):
                with m.Case(bits):
                    m.d.comb += [channel.eq(lane[:bits]), plane.eq(lane[bits:])]
        m.d.comb += [
            self.o.valid.eq(head["valid"]),
            # rows of a tap are aligned to the channels they interleave, so this is an addition without a carry
            event.address.eq(head["weight"] | channel),
            event.shift.eq(head["shift"] + plane),
            event.mask.eq(mask),
            event.first.eq(head["first"]),
            event.flush.eq(head["flush"]),
            done.eq(self.o.ready & ~rest.any()),
        ]
        with m.If(self.o.valid & self.o.ready & ~done):
            m.d.sync += [head["alive"].eq(rest), head["first"].eq(0)]
        return m
