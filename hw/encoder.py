# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Input encoder: turns the bytes of a sample into the bit-plane rows of the input tensor (direct encoding)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.payloads import MemoryWrite, check_range, row_layout

__all__ = ["InputEncoder"]


class InputEncoder(wiring.Component):
    """Bit p of channel c at step t of position n becomes bit t of lane `f % g` of row
    `base + n * rows + f // g`, with `f = p * Cp + c`, `Cp` the power of two next to `channels` (1, 2, 4, 4) and
    `rows = ceil(bits * Cp / g)`. Lanes without a plane or a channel are zero, and so are steps >= `model_steps`.

    The sample comes byte by byte: position-major, then channel, then, with `frames`, step 0 .. model_steps - 1.
    Without `frames` a byte holds for every step (an image is presented at each of them).

    Throughput: per position `channels * (frames ? model_steps : 1)` bytes are taken, one each cycle, into a ring;
    then the ring turns once for each bit plane and its low bits enter the row one lane each cycle, `rows * g`
    cycles without `i.ready`. So a row is a shift register, not a multiplexer over all sample bits, and a sample
    takes `positions * (bytes of a position + rows * g)` cycles when no byte is late.

    Latency: a row is written in the cycle in which its last lane is shifted; `done` rises in the cycle after the
    last write. The memory takes its writes at once.

    Parameters: `row_lanes` g, `time_steps` T, `max_channels` (1..4), `max_bits` (1..8), `address_width`,
    `event_frames`: False builds one ring instead of T, for machines that only see images (`frames` must be 0 then).

    Members: `i` {value: 8 bits}, ready only while bytes are wanted; `start` begins a sample (only while `done`);
    `frames`, `channels`, `bits`, `base`, `positions` (at least 1, 0 stands for `2**address_width`), `model_steps`
    (1..T): stable from `start` until `done`; `write` {address, row, enable}; `done` is high before the first start
    and after the last row.
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
        event_frames: bool = True,
    ):
        row = unsigned(row_layout(row_lanes, time_steps).size)
        check_range("Input channels", max_channels, 1, 4)
        check_range("Input bits", max_bits, 1, 8)
        check_range("Address width", address_width, 1, 24)
        self._lanes, self._steps, self._channels, self._bits = row_lanes, time_steps, max_channels, max_bits
        self._rings = time_steps if event_frames else 1
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"value": 8}))),
                "start": In(1),
                "frames": In(1),
                "channels": In(range(max_channels + 1)),
                "bits": In(range(max_bits + 1)),
                "base": In(address_width),
                "positions": In(address_width),
                "model_steps": In(range(time_steps + 1)),
                "write": Out(MemoryWrite(row, address_width)),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        frames = self.frames if self._rings > 1 else Const(0)
        loading = Signal()
        shifting = Signal()
        m.d.comb += self.i.ready.eq(loading)

        # where we are: byte (channel, step) while loading, lane, channel and plane while shifting
        channel = Signal(range(self._channels))
        last_channel = Signal(range(self._channels))
        step = Signal(range(self._steps))
        lane = Signal(range(self._lanes))
        planes_left = Signal.like(self.bits)  # the present one included
        position = Signal.like(self.positions)  # counted from 1
        byte_end = Signal()
        turn_end = Signal()
        row_end = Signal()
        m.d.comb += [
            last_channel.eq(self.channels - 1),
            byte_end.eq(loading & self.i.valid & (~frames | (step == (self.model_steps - 1)[: len(step)]))),
            # 3 channels use places for 4
            turn_end.eq(channel == (last_channel | (last_channel >> 1))),
            row_end.eq(lane == self._lanes - 1),
        ]
        with m.If(loading & self.i.valid):
            m.d.sync += step.eq(Mux(byte_end, 0, step + 1))
        with m.If(byte_end | shifting):
            m.d.sync += channel.eq(channel + 1)
        with m.If((byte_end & (channel == last_channel)) | (shifting & turn_end)):
            m.d.sync += channel.eq(0)
        with m.If(byte_end & (channel == last_channel)):
            m.d.sync += [loading.eq(0), shifting.eq(1), planes_left.eq(self.bits)]
        with m.If(shifting):
            m.d.sync += lane.eq(lane + 1)
            with m.If(turn_end & (planes_left != 0)):
                m.d.sync += planes_left.eq(planes_left - 1)
            with m.If(row_end & ~planes_left[1:].any()):  # at most one plane left
                m.d.sync += [shifting.eq(0), loading.eq(1), position.eq(position + 1)]
                with m.If(position == self.positions):
                    m.d.sync += [loading.eq(0), self.done.eq(1)]
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), loading.eq(1), position.eq(1)]

        # a ring of bytes for each step, or one for all
        live = Signal()  # the lane shifted in belongs to a channel and a plane
        m.d.comb += live.eq((planes_left != 0) & (channel <= last_channel))
        bits = []
        for t in range(self._rings):
            ring = [Signal(self._bits, name=f"byte_{t}_{c}", reset_less=True) for c in range(self._channels)]
            fresh = Signal(self._bits, name=f"fresh_{t}")
            m.d.comb += fresh.eq(Mux(loading, self.i.payload.value, ring[0] >> 1))
            with m.If(Mux(loading, self.i.valid & (~frames | (step == t)), live)):
                for c in range(self._channels):
                    beyond = ring[c + 1] if c + 1 < self._channels else fresh
                    m.d.sync += ring[c].eq(Mux(last_channel == c, fresh, beyond))
            bits.append(ring[0][0])
        word = Signal(self._steps)
        m.d.comb += word.eq(
            Cat(live & bits[min(t, self._rings - 1)] & (t < self.model_steps) for t in range(self._steps))
        )

        # the row shifts in lane by lane; its last word goes straight to the memory
        words = Signal((self._lanes - 1) * self._steps, reset_less=True)
        with m.If(shifting):
            m.d.sync += words.eq(Cat(words, word)[self._steps :])
        with m.If(self.start):
            m.d.sync += self.write.address.eq(self.base)
        with m.Elif(self.write.enable):
            m.d.sync += self.write.address.eq(self.write.address + 1)
        m.d.comb += [
            self.write.data.eq(Cat(words, word)),
            self.write.enable.eq(shifting & row_end),
        ]
        return m
