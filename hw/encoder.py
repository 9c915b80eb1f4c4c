# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Input encoder: turns the bytes of a sample into the bit-plane rows of the input tensor (direct encoding)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ds2ta.hw.payloads import MemoryWrite, check_range, row_layout

__all__ = ["InputEncoder"]


class InputEncoder(wiring.Component):
    """Bit p of channel c becomes bit t of the spike word in lane `f % g` of row `base + n * rows + f // g`, with
    `f = p * C' + c`, C' the power of two at or above `max_channels`, `rows = rows_last + 1 = ceil(bits * C' / g)`.

    What n and t are depends on the sample. An image is presented at every time step, so a word holds **T
    neighbouring pixels** of a line instead of T times the same, as the first tap of a convolution sees them: pixel
    x of line y is bit `(x + 1) % T` of the word `n = y * words + (x + 1) // T`, of `words = width // T + 1` in a
    line; what lies beyond the line is zero. With T = 1 there is nothing to gain: n is the position. Of `frames`
    (event counts), n is the position `y * width + x` and t the time step; steps beyond the model's are zero. Lanes
    without a plane or a channel are zero.

    Bytes come position by position, then channel; of frames, step by step of each channel.

    Throughput: a byte each cycle. Bits that no byte gives (around a line, or behind the model's steps) take a cycle
    each for all words together; of the rows of a word all but the last take a cycle of their own. So a sample of
    w x h positions takes `1 + h w channels + h (words T - w) + h words rows_last` cycles from `start` to the last
    write, as frames `1 + h w (channels steps + T - steps + rows_last)`, when no byte is late.

    Latency: a row is written in the cycle after the last bit of its words came; `done` rises in the cycle after the
    last write. The memory takes its writes at once.

    A word is a shift register, and so is the column of a plane's words where they are more than a row: no
    multiplexer over the bits of a sample.

    Parameters: `row_lanes` g, `time_steps` T, `max_channels` (1..4), `max_bits` (1..8), `address_width`,
    `count_width` (bits of `width_last`, `height_last`), `event_frames`: False for machines that only see images
    (`frames` must be 0 then).

    Members: `i` {value: 8 bits}, ready only while bytes are wanted; `start` begins a sample (only while `done`);
    `frames`; `channels_last`, `width_last`, `height_last`, `rows_last`: counts less one; `steps_last`: of an image
    T - 1, else the model's steps less one; `bits`; `base`; stable from `start` until `done`; `write` {address, row,
    enable}; `done` is high before the first start and after the last row.
    Paper: direct encoding of static images, event-count frames of neuromorphic data.
    """

    def __init__(
        self,
        *,
        row_lanes: int,
        time_steps: int,
        max_channels: int,
        max_bits: int,
        address_width: int,
        count_width: int,
        event_frames: bool = True,
    ):
        row = row_layout(row_lanes, time_steps).size
        check_range("Input channels", max_channels, 1, 4)
        check_range("Input bits", max_bits, 1, 8)
        check_range("Address width", address_width, 1, 24)
        check_range("Count width", count_width, 1, 16)
        self._lanes, self._steps, self._channels, self._bits = row_lanes, time_steps, max_channels, max_bits
        self._interleave = 1 << ceil_log2(max_channels)
        self._rows = -(-max_bits * self._interleave // row_lanes)
        self._event_frames = event_frames
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"value": 8}))),
                "start": In(1),
                "frames": In(1),
                "channels_last": In(range(max(2, max_channels))),
                "bits": In(bits_for(max_bits)),
                "steps_last": In(range(max(2, time_steps))),
                "width_last": In(count_width),
                "height_last": In(count_width),
                "rows_last": In(range(max(2, self._rows))),
                "base": In(address_width),
                "write": Out(MemoryWrite(row, address_width)),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        loading, filling, writing = Signal(), Signal(), Signal()  # bytes come; missing bits are made up; rows leave
        takes, fills, whole, ended = Signal(), Signal(), Signal(), Signal()
        row, rows_end, free = Signal.like(self.rows_last), Signal(), Signal()
        m.d.comb += [
            rows_end.eq(row == self.rows_last),
            # the last row of the words leaves while their successors' first bits come
            free.eq(~writing | rows_end),
            self.i.ready.eq(loading & free),
            takes.eq(self.i.valid & self.i.ready),
            fills.eq(filling & free),
        ]
        channel, channel_last = self._states(m, loading, filling, takes=takes, fills=fills, whole=whole)
        m.d.comb += ended.eq(whole & ((takes & channel_last) | fills))
        m.d.sync += writing.eq(ended | (writing & ~rows_end))
        with m.If(writing):
            m.d.sync += [row.eq(Mux(rows_end, 0, row + 1)), self.write.address.eq(self.write.address + 1)]
            with m.If(rows_end & ~loading & ~filling):
                m.d.sync += self.done.eq(1)
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), self.write.address.eq(self.base)]
        words = self._words(m, channel, takes, fills, writing & ~rows_end)
        m.d.comb += [self.write.data.eq(Cat(words[: self._lanes])), self.write.enable.eq(writing)]
        return m

    def _states(
        self, m: Module, loading: Signal, filling: Signal, *, takes: Signal, fills: Signal, whole: Signal
    ) -> tuple[Signal, Signal]:
        """Counts bits, those of bytes and those missing, which tells the ones from the others. The answer: the
        channel of the byte, and whether it is the position's last."""
        frames: Value = self.frames if self._event_frames else Const(0)
        packs = ~frames & (self._steps > 1)
        channel, step = Signal.like(self.channels_last), Signal.like(self.steps_last)
        x, y = Signal.like(self.width_last, name="x"), Signal.like(self.height_last, name="y")
        channel_last, step_last, x_last, y_last, position_ends, over = (
            Signal(name=name) for name in ("channel_last", "step_last", "x_last", "y_last", "position_ends", "over")
        )
        m.d.comb += [
            channel_last.eq(channel == self.channels_last),
            step_last.eq(step == self.steps_last),
            whole.eq(step == self._steps - 1),
            x_last.eq(x == self.width_last),
            y_last.eq(y == self.height_last),
            position_ends.eq(takes & channel_last & (step_last | ~frames)),
        ]
        with m.If(takes & (step_last | ~frames)):
            m.d.sync += channel.eq(Mux(channel_last, 0, channel + 1))
        with m.If(fills | (takes & (channel_last | frames))):
            ends = whole | (step_last & frames & ~channel_last & ~fills)
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
        with m.If(position_ends):
            m.d.sync += x.eq(Mux(x_last, 0, x + 1))
            with m.If(x_last):
                m.d.sync += y.eq(Mux(y_last, 0, y + 1))
                with m.If(y_last):
                    m.d.sync += [over.eq(1), loading.eq(0)]

        # around a line of pixels, and behind the model's last step
        lacks = Mux(frames, ~whole, x_last & ~(whole & y_last) & packs)
        with m.If(position_ends & lacks):
            m.d.sync += [loading.eq(0), filling.eq(1)]
        with m.If(fills & Mux(packs, ~step.any() | (whole & over), whole)):
            m.d.sync += [loading.eq(~over), filling.eq(0)]
        with m.If(self.start):
            m.d.sync += [loading.eq(~packs), filling.eq(packs), over.eq(0)]
        return channel, channel_last

    def _words(self, m: Module, channel: Signal, takes: Signal, fills: Signal, moves: Value) -> list[Value]:
        """The words, by plane, then channel. Each is shifted T times before it leaves, those without a plane or a
        channel with the last channel's, so nothing of their predecessors stays."""
        words: list[Value] = []
        shifts = []
        beyond: list[Value] = [Const(0), *(c > self.channels_last for c in range(1, self._channels))]
        for c in range(self._channels):
            spare = beyond[c] & (channel == self.channels_last)
            shifts.append(Signal(name=f"shifts_{c}"))
            m.d.comb += shifts[c].eq((takes & ((channel == c) | spare)) | fills)
        for slot in range(self._rows * self._lanes):
            plane, c = divmod(slot, self._interleave)
            exists = plane < self._bits and c < self._channels
            words.append(
                Signal(self._steps, name=f"word_{slot}", reset_less=True) if exists else Const(0, self._steps)
            )
        for slot, word in enumerate(words):
            if isinstance(word, Const):
                continue
            plane, c = divmod(slot, self._interleave)
            fresh = self.i.payload.value[plane] & (plane < self.bits) & ~beyond[c] & ~fills
            with m.If(shifts[c]):
                m.d.sync += word.eq(Cat(word, fresh)[1:])
            if slot + self._lanes < len(words):
                with m.If(moves):
                    m.d.sync += word.eq(words[slot + self._lanes])
        return words
