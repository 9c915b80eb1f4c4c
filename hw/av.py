"""A x V: lists of denoised scores, and the event-driven accumulator whose sums are the membranes of the LIF."""

from amaranth.hdl import Array, Cat, Module, Mux, ResetSignal, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ds2ta.hw.nsad import EntryWrite
from ds2ta.hw.rows import check_range, row_layout

__all__ = ["AvAccumulator", "EntryLists", "attended_layout", "entry_layout", "term_layout"]


def entry_layout(position_width: int, bits: int) -> data.StructLayout:
    """An entry of a list as it is read: `value` A of the key at `position`, or, if `end`, the end of the list of
    its time step (`row_ends`: of the last time step, `query_ends`: for the last time)."""
    return data.StructLayout({"position": position_width, "value": bits, "end": 1, "row_ends": 1, "query_ends": 1})


def term_layout(row_lanes: int, time_steps: int, bits: int, tag_width: int) -> data.StructLayout:
    """A term of `A x V`: add `value` to every lane whose V spikes at the present time step in `row`, or, if `end`,
    finish the time step. `tag` of the last time step's end comes out with the row."""
    return data.StructLayout(
        {"row": row_layout(row_lanes, time_steps), "value": bits, "end": 1, "tag": unsigned(tag_width)}
    )


def attended_layout(row_lanes: int, time_steps: int, tag_width: int) -> data.StructLayout:
    """A row of attention spikes and its tag."""
    return data.StructLayout({"row": row_layout(row_lanes, time_steps), "tag": unsigned(tag_width)})


class EntryLists(wiring.Component):
    """Two sets of T lists of (position, value): one is written while the other is read.

    A list ends at an entry of value 0, which is never kept, or after `max_tokens` entries. `swap` makes the written
    set the one to read; it may come with, or after, the acceptance of the last list's end by the writer
    (`write.valid` follows one cycle later). The set is read `rows` times: for each row, for each time step, all
    entries and then the end.

    Latency: the first entry is at `o` one cycle after `swap` (T = 2: two, T = 1: three, since the last end is still
    being written). Throughput: one entry or end each cycle. Back-pressure: `o` holds. `free` is low from the cycle
    after `swap` through the cycle of the last end.

    Parameters: `time_steps` T, `max_tokens` (padded to a power of two), `max_rows`, `bits` of a value,
    `position_width`.

    Members: `write` (`EntryWrite`), `position` of its key; `swap`; `rows` (1..max_rows, stable); `free`; `o` stream
    of `entry_layout`.
    """

    def __init__(self, *, time_steps: int, max_tokens: int, max_rows: int, bits: int, position_width: int):
        check_range("Time steps", time_steps, 1, 16)
        check_range("Tokens", max_tokens, 1, 1024)
        check_range("Rows of a head", max_rows, 1, 256)
        check_range("Denoiser bits", bits, 1, 8)
        check_range("Position width", position_width, 1, 24)
        self._steps, self._max_rows = time_steps, max_rows
        self._index_width = (max_tokens - 1).bit_length()
        super().__init__(
            {
                "write": In(EntryWrite(time_steps, bits)),
                "position": In(position_width),
                "swap": In(1),
                "rows": In(range(max_rows + 1)),
                "free": Out(1, init=1),
                "o": Out(stream.Signature(entry_layout(position_width, bits))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        T, width = self._steps, self._index_width
        word = data.StructLayout({"value": len(self.write.value), "position": len(self.position)})
        m.submodules.memory = memory = Memory(
            shape=unsigned(word.size),
            depth=2 << (len(self.write.t) + width),
            init=[],
            attrs={"no_rw_check": 1},
        )
        store, fetch = memory.write_port(), memory.read_port()

        # writing: one count for each time step, whose top bit says that the list is full
        write = self.write
        write_set = Signal()
        counts = Array(Signal(width + 1, name=f"count_{t}") for t in range(T))
        count = Signal(width + 1)
        full = count[width]
        m.d.comb += [
            count.eq(counts[write.t]),
            store.addr.eq(Cat(count[:width], write.t, write_set)),
            store.data.eq(Cat(write.value, self.position)),
            store.en.eq(write.valid & ~full),
        ]
        for t in range(T):
            with m.If(write.valid & (write.t == t)):
                m.d.sync += counts[t].eq(Mux(write.end, 0, counts[t] + 1))
        with m.If(write.valid & write.end & (write.t == T - 1)):
            m.d.sync += write_set.eq(~write_set)

        # reading: (row, t, index) of the entry that is at the memory's output
        read_set = Signal()
        row = Signal.like(self.rows, init=1)
        step = Signal.like(write.t)
        index, following = Signal(width + 1), Signal(width + 1)
        next_step = Signal.like(step)
        ended, row_ends, all_ends, moves = Signal(), Signal(), Signal(), Signal()
        begins = Signal()
        found = data.View(word, fetch.data)
        m.d.comb += [
            ended.eq((found.value == 0) | index[width]),
            row_ends.eq(ended & (step == T - 1)),
            all_ends.eq(row_ends & (row == self.rows)),
            self.o.payload.position.eq(found.position),
            self.o.payload.value.eq(found.value),
            self.o.payload.end.eq(ended),
            self.o.payload.row_ends.eq(row_ends),
            self.o.payload.query_ends.eq(all_ends),
            moves.eq(self.o.valid & self.o.ready),
            following.eq(index + 1),
            next_step.eq(step),
        ]
        with m.If(ended):
            m.d.comb += [following.eq(0), next_step.eq(Mux(row_ends, 0, step + 1))]
        with m.If(begins):
            m.d.comb += [following.eq(0), next_step.eq(0)]
        m.d.comb += [
            fetch.addr.eq(Cat(following[:width], next_step, read_set)),
            fetch.en.eq(begins | moves),
        ]
        with m.If(begins | moves):
            m.d.sync += [index.eq(following), step.eq(next_step)]
        with m.If(begins):
            m.d.sync += self.o.valid.eq(1)
        with m.If(moves & row_ends):
            m.d.sync += row.eq(Mux(all_ends, 1, row + 1))
        with m.If(moves & all_ends):
            m.d.sync += [self.o.valid.eq(0), self.free.eq(1), read_set.eq(~read_set)]
        with m.If(self.swap):
            m.d.sync += self.free.eq(0)

        # the last list's end is in the memory two cycles after `swap`, and is read T - 1 cycles after the first
        starting = self.swap
        for delay in range(3 - T):
            late = Signal(name=f"starting_{delay}")
            m.d.sync += late.eq(starting)
            starting = late
        m.d.comb += begins.eq(starting)
        return m


class AvAccumulator(wiring.Component):
    """`U[t] = leak(V[t-1]) + sum_j A[t][i][j] v[t][j]`, `s = U >= threshold`, `V = 0 if s else U`, V[-1] = 0, for g
    channels (paper, eq. 2 and 3 on `A x V`); leak(V) = V - ceil(V / 2^leak_shift). Exact.

    The accumulator is the membrane. One term is added each cycle in every lane whose V spikes; the end of a time
    step is one cycle of comparison, reset and leak. With leak_shift 1 the lanes hold `2^t U` (floors nest, so
    halving later is exact) and it is the term and the threshold, common to all lanes, that are scaled: then a lane
    is one adder, whose carry also is the comparison, at the cost of T - 1 more bits.

    Latency: a term accepted in cycle c is in the membrane at the end of c + 1; `o` is valid two cycles after the
    acceptance of the last time step's end. Throughput: one term each cycle, no bubble between rows. Back-pressure:
    the end of a time step waits while a finished row waits at `o`.

    Parameters: `row_lanes` g, `time_steps` T, `denoiser_bits` of A, `membrane_width` (holds every U, unsigned),
    `leak_shift`, `tag_width`.

    Members: `i` stream of `term_layout`; `threshold` (at least 1, stable); `o` stream of `attended_layout`;
    `membrane` (g lanes, `2^t U` where `scaled`, else U), valid with `compared` in the cycle of a comparison: for
    benches, free when not connected.
    """

    latency = 2

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        denoiser_bits: int,
        membrane_width: int,
        leak_shift: int,
        tag_width: int = 0,
    ):
        term = term_layout(row_lanes, time_steps, denoiser_bits, tag_width)
        check_range("Denoiser bits", denoiser_bits, 1, 8)
        check_range("Membrane width", membrane_width, denoiser_bits, 40)
        check_range("Leak shift", leak_shift, 1, 4)
        self._lanes, self._steps, self._leak_shift = row_lanes, time_steps, leak_shift
        self.scaled = leak_shift == 1
        self._width = membrane_width + (time_steps - 1 if self.scaled else 0)
        super().__init__(
            {
                "i": In(stream.Signature(term)),
                "threshold": In(membrane_width),
                "o": Out(stream.Signature(attended_layout(row_lanes, time_steps, tag_width))),
                "membrane": Out(data.ArrayLayout(unsigned(self._width), row_lanes)),
                "compared": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        T, width = self._steps, self._width
        term = self.i.payload
        step = Signal(range(T))
        step_last = Signal()
        # operand stage: what is added to which lanes
        operand = Signal(width, reset_less=True)  # A, or minus the threshold at the end of a time step
        spikes = Signal(self._lanes)
        compares, finishes = Signal(), Signal(reset_less=True)
        tag, tag_out = Signal.like(term.tag, reset_less=True), Signal.like(term.tag, reset_less=True)
        m.d.comb += self.o.payload.tag.eq(tag_out)
        moves = Signal()
        m.d.comb += [
            moves.eq(~(compares & self.o.valid & ~self.o.ready)),
            self.i.ready.eq(moves),
            step_last.eq(step == T - 1),
            self.compared.eq(compares & moves),
        ]
        scale = step if self.scaled else 0
        with m.If(moves):
            m.d.sync += [
                compares.eq(self.i.valid & term.end),
                finishes.eq(step_last),
                tag.eq(term.tag),
                operand.eq(Mux(term.end, -self.threshold, term.value) << scale),
                spikes.eq(
                    Cat(term.row[lane].bit_select(step, 1) for lane in range(self._lanes))
                    & (self.i.valid & ~term.end).replicate(self._lanes)
                ),
            ]
        with m.If(self.i.valid & moves & term.end):
            m.d.sync += step.eq(Mux(step_last, 0, step + 1))

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(compares & moves):
            m.d.sync += [self.o.valid.eq(finishes), tag_out.eq(tag)]

        # the clock enable and the synchronous reset of the flip-flops do all but the addition
        empties, ends = Signal(), Signal()
        m.d.comb += [
            empties.eq(ResetSignal() | self.compared & finishes),
            ends.eq(ResetSignal() | self.compared),
        ]
        for lane in range(self._lanes):
            membrane = Signal(width, name=f"membrane_{lane}", reset_less=True)
            row = Signal(T, name=f"row_{lane}", reset_less=True)
            total = Signal(width + 1, name=f"total_{lane}")
            fires = total[width]  # carry of `membrane - threshold`
            m.d.comb += [
                total.eq(membrane + operand),
                self.membrane[lane].eq(membrane),
                self.o.payload.row[lane].eq(row),
            ]
            with m.If(self.compared):
                m.d.sync += row.eq(Cat(row, fires)[1:])
            if self.scaled:
                with m.If(spikes[lane] | empties | (self.compared & fires)):
                    m.d.sync += membrane.eq(Mux(ends, 0, total))
            else:
                rounding = (1 << self._leak_shift) - 1
                leaked = membrane - ((membrane + rounding) >> self._leak_shift)
                with m.If(spikes[lane] | ends):
                    m.d.sync += membrane.eq(Mux(empties | ends & fires, 0, Mux(ends, leaked, total)))
        return m
