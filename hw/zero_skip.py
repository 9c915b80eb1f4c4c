# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Zero skipping: turns rows of spike words into one event for each non-zero word.

Rows without a spike are dropped as they arrive, one a cycle, while earlier rows wait in a small memory; a priority
encoder then spends exactly one cycle on each non-zero word. Time is proportional to activity as long as the scan
keeps ahead, which `buffer_rows` provides for.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.hw.payloads import check_power_of_two, check_range, event_layout, row_layout
from ds2ta.hw.row_reader import read_layout
from ds2ta.hw.store import DualPortMemory

__all__ = ["ZeroSkip"]


def _several(bits: Value) -> tuple[Value, Value]:
    """Whether any of the bits is set, and whether more than one is: a tree of one LUT a node, for each answer."""
    if len(bits) == 1:
        return bits, Const(0)
    half = len(bits) // 2
    (low, more_low), (high, more_high) = _several(bits[:half]), _several(bits[half:])
    return low | high, (low & high) | more_low | more_high


class ZeroSkip(wiring.Component):
    """Events of a layer, position by position.

    A position's first event has `first` set; a position without any spike gives one null event (`first`, empty
    mask), so that its neurons are still updated. After the last position comes one `flush` event, of which only
    that flag means anything.

    Event address = row weight + channel lane; shift = row shift + plane lane, where the `lane_bits` low bits of
    the lane number the channel and the rest the bit plane; a row's weight and shift are multiples of the channels
    and of the planes that it holds.

    Latency: the first event of a row accepted in cycle c is valid in c + 3 at the earliest. Throughput: one row a
    cycle in, one event a cycle out; no bubble between rows that are waiting. Back-pressure: a row, empty or not, is
    accepted while fewer than `buffer_rows` rows wait in the memory (one more may be at its output); `i.ready` and
    `o.valid` come from registers, so neither side's timing reaches the other.

    Parameters: `row_lanes`, `time_steps`, `weight_width`, `shift_width`, `max_shift`, `buffer_rows` (power of two).

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
        row = row_layout(row_lanes, time_steps)  # checks both
        check_range("Weight width", weight_width, 1, 24)
        check_range("Shift width", shift_width, 1, 3)
        check_range("Largest shift", max_shift, 0, 7)
        check_power_of_two("Buffer rows", buffer_rows, 2, 64)
        self._lanes, self._steps, self._buffer_rows = row_lanes, time_steps, buffer_rows
        self._kept = data.StructLayout(
            {
                "row": row.size,
                "alive": row_lanes,  # lanes with a spike
                "single": 1,  # one of them at most
                "weight": weight_width,
                "shift": shift_width,
                "first": 1,
                "flush": 1,
            }
        )
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
        """Rows to the memory: one with a spike, or the last of a position that has kept none; after the layer's
        last row the flush. The answer is high in a cycle in which one is stored."""
        lanes, arrived = self._lanes, self.i.payload
        accept, alive, kept_any, flushing = Signal(), Signal(lanes), Signal(), Signal()
        keep, stores = (Signal() for _ in range(2))
        kept = data.View(self._kept, waiting.write.data)
        m.d.comb += [
            self.i.ready.eq(~flushing & ~full),
            accept.eq(self.i.valid & self.i.ready),
            self.rows.eq(accept),
            alive.eq(Cat(arrived.row[lane].any() for lane in range(lanes))),
            keep.eq(alive.any() | (arrived.last & ~kept_any)),
            stores.eq(Mux(flushing, ~full, accept & keep)),
            kept.row.eq(arrived.row.as_value()),
            kept.alive.eq(alive),
            kept.single.eq(flushing | ~_several(alive)[1]),
            kept.weight.eq(arrived.weight),
            kept.shift.eq(arrived.shift),
            kept.first.eq(~kept_any),
            kept.flush.eq(flushing),
        ]
        with m.If(accept):
            m.d.sync += kept_any.eq(~arrived.last & (kept_any | alive.any()))
        with m.If(accept & arrived.end):
            m.d.sync += flushing.eq(1)
        with m.Elif(stores):
            m.d.sync += flushing.eq(0)
        return stores

    def _serve(self, m: Module, waiting: DualPortMemory, *, shown: Signal, moves: Signal, done: Signal) -> None:
        """Events of the row at the memory's output, while one is `shown` there: the lowest live lane, one in each
        cycle in which the output `moves`; `done` with the row's last."""
        lanes, served = self._lanes, data.View(self._kept, waiting.read_data)
        begun = Signal()  # the row has given an event
        past, left_single = Signal(lanes), Signal(reset_less=True)  # lanes served; one left at most
        live, rest, lowest = Signal(lanes), Signal(lanes), Signal(lanes)
        lane = Signal(range(lanes))
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            live.eq(served.alive & ~past),
            done.eq(Mux(begun, left_single, served.single)),
            rest.eq(live & (live - 1)[:lanes]),
            lowest.eq(live & ~rest),
            lane.eq(
                Cat(
                    Cat(lowest[index] for index in range(lanes) if index >> bit & 1).any()
                    for bit in range(ceil_log2(lanes))
                )
            ),
        ]
        mask: Value = Const(0)
        for index in range(lanes):  # one-hot select: AND-OR, no decoder behind the priority encoder
            mask = mask | Mux(lowest[index], served.row.word_select(index, self._steps), 0)
        channel = Signal.like(lane)
        m.d.comb += channel.eq(lane & ((1 << self.lane_bits) - 1)[: len(lane)])
        event = self.o.payload
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(shown),
                # rows are aligned to the channels and planes that they interleave: additions without a carry
                event.address.eq(served.weight | channel),
                event.shift.eq(served.shift | (lane >> self.lane_bits)),
                event.mask.eq(mask),
                event.first.eq(served.first & ~begun),
                event.flush.eq(served.flush),
            ]
        with m.If(moves & shown):
            m.d.sync += [begun.eq(~done), past.eq(Mux(done, 0, past | lowest)), left_single.eq(~_several(rest)[1])]
