"""Classifier head: sums the drained products over tokens and time steps, adds the bias, finds the argmax."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.hw.rows import check_power_of_two, check_range, drain_layout
from ds2ta.hw.store import SpikeBank

__all__ = ["ClassifierHead", "logit_layout"]


def logit_layout(logit_width: int, classes_max: int) -> data.StructLayout:
    """One logit: class `index`, its value, and with `last` the class of the sample."""
    index = range(classes_max)
    return data.StructLayout({"logit": signed(logit_width), "index": index, "class_index": index, "last": 1})


class ClassifierHead(wiring.Component):
    """`logit_o = bias_o + sum over tokens and t of value_o`; the class is the argmax, ties to the lowest index.

    `i` is the engine's drain stream: one commit for each token, tile-major (every token of the first tile of
    classes, then of the second). Group j of a commit adds its T beats to the running sums of its `lanes` classes,
    which rest in a small memory between tokens. In the last token of a tile each finished group is emitted at once,
    class by class in the order 0 .. classes - 1; padding is swallowed.

    Latency: the final beat of a group of the last token accepted in cycle c gives its first logit in cycle c+2.
    Throughput: one beat each cycle without a stall (a stream of T = 1: one beat every two cycles); in the last
    token of a tile the input also rests after each group, one cycle for each class of the group, longer if `o` is
    not taken: one logit may wait in `o`. `i.ready` depends combinationally on `i.payload.t_last`.

    Arithmetic is modulo `2**logit_width`, which must hold the logits (interval analysis), not the partial sums.

    Parameters: `lanes` R, `acc_width`, `logit_width`, `param_width`, `classes_max`, `positions_max` (tokens).

    Members: `i`; `start` (pulse, only while `busy` is low); `positions` (tokens) and `classes`, at least 1 and
    stable while `busy`; `bias_group`, `bias`: group of R biases from a synchronous memory of latency 1 that reads
    in every cycle; `o`; `busy` from `start` until the last commit has been swallowed and `o` was taken.
    A commit has at most `ceil(classes_max / R)` groups.
    Paper: mean over tokens and time and the linear classifier; the mean's factor does not move the argmax.
    """

    def __init__(
        self,
        *,
        lanes: int,
        acc_width: int,
        logit_width: int,
        param_width: int,
        classes_max: int,
        positions_max: int = 1024,
    ):
        check_power_of_two("Lanes", lanes, 1, 32)
        check_range("Accumulator width", acc_width, 2, 48)
        check_range("Parameter width", param_width, 2, 48)
        check_range("Classes", classes_max, 2, 1024)
        check_range("Positions", positions_max, 1, 1 << 16)
        check_range("Logit width", logit_width, acc_width, 64)
        self._lanes, self._groups, self._width = lanes, -(-classes_max // lanes), logit_width
        super().__init__(
            {
                "i": In(stream.Signature(drain_layout(lanes, acc_width))),
                "start": In(1),
                "positions": In(range(positions_max + 1)),
                "classes": In(range(classes_max + 1)),
                "bias_group": Out(range(max(2, self._groups))),
                "bias": In(data.ArrayLayout(signed(param_width), lanes)),
                "o": Out(stream.Signature(logit_layout(logit_width, classes_max))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        beat, logit = self.i.payload, self.o.payload
        lanes, width = self._lanes, self._width
        m.submodules.partial = partial = SpikeBank(width=lanes * width, depth=max(2, self._groups))

        running, emitting = Signal(), Signal()
        position = Signal.like(self.positions)  # counted from 1
        group = Signal.like(partial.write.address)  # of this commit
        accept, group_end, first_token, last_token = Signal(), Signal(), Signal(), Signal()
        writing = Signal()  # the sums of the group before go to the memory
        m.d.comb += [
            # a group of a single beat waits for the write of the group before it
            self.i.ready.eq(running & ~emitting & ~(writing & beat.t_last)),
            accept.eq(self.i.valid & self.i.ready),
            group_end.eq(accept & beat.t_last),
            first_token.eq(position == 1),
            last_token.eq(position == self.positions),
        ]

        # the sums of one group, and the others in the memory; a sole group never leaves its registers
        following, written = Signal.like(group), Signal.like(group, reset_less=True)
        fetched = Signal()  # the memory shows the sums of this group
        from_memory, from_sums = Signal(), Signal()
        m.d.comb += [
            from_memory.eq(beat.t_first & fetched & ~first_token),
            from_sums.eq(~beat.t_first | (~fetched & ~first_token)),
        ]
        sums = [Signal(signed(width), name=f"sum_{r}", reset_less=True) for r in range(lanes)]
        for r in range(lanes):
            base = (partial.read_data.word_select(r, width) & from_memory.replicate(width)) | (
                sums[r] & from_sums.replicate(width)
            )
            with m.If(accept):
                m.d.sync += sums[r].eq(base.as_signed() + beat.value[r])
        m.d.comb += [
            following.eq(Mux(beat.last, 0, group + 1)),
            partial.write.address.eq(written),
            partial.write.row.eq(Cat(sums)),
            partial.write.enable.eq(writing),
            partial.read_address.eq(following),
            partial.read_enable.eq(group_end & (following != group)),
        ]
        m.d.sync += [writing.eq(group_end), written.eq(group)]
        with m.If(group_end):
            m.d.sync += [group.eq(following), fetched.eq(partial.read_enable)]
            with m.If(beat.last):
                m.d.sync += position.eq(Mux(last_token, 1, position + 1))

        # a finished group leaves its registers class by class
        lane, index = Signal(range(lanes)), Signal.like(logit.index)  # of the next logit
        value, shown = Signal.like(logit.logit, reset_less=True), Signal.like(index, reset_less=True)  # of this one
        final = Signal()
        complete, tile_end = Signal(), Signal()  # all classes are out; the group is its commit's last
        with m.If(group_end & last_token):
            m.d.sync += [emitting.eq(~complete), tile_end.eq(beat.last)]
            with m.If(complete & beat.last):
                m.d.sync += running.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(emitting & (~self.o.valid | self.o.ready)):
            m.d.sync += [
                self.o.valid.eq(1),
                value.eq(Array(sums)[lane] + self.bias[lane]),
                shown.eq(index),
                final.eq(index == (self.classes - 1)[: len(index)]),
                index.eq(index + 1),
                lane.eq(lane + 1),
            ]
            with m.If(lane == lanes - 1):
                m.d.sync += [emitting.eq(0), self.bias_group.eq(self.bias_group + 1)]
            with m.If(index == (self.classes - 1)[: len(index)]):
                m.d.sync += [emitting.eq(0), complete.eq(1), running.eq(~tile_end)]

        # value > best as a carry: the best is kept inverted, and signs are inverted to compare as unsigned
        offset, inverted = Signal(width), Signal(width, reset_less=True)
        best_index, better, difference = Signal.like(index), Signal(), Signal(width + 1)
        m.d.comb += [
            offset.eq(value ^ (1 << width - 1)),
            difference.eq(offset + inverted),
            better.eq((shown == 0) | difference[width]),
            logit.logit.eq(value),
            logit.index.eq(shown),
            logit.last.eq(final),
            logit.class_index.eq(Mux(better, shown, best_index)),
            self.busy.eq(running | self.o.valid),
        ]
        with m.If(self.o.valid & better):
            m.d.sync += [inverted.eq(~offset), best_index.eq(shown)]

        with m.If(self.start):
            m.d.sync += [
                *(running.eq(1), complete.eq(0), emitting.eq(0), position.eq(1)),
                *(group.eq(0), index.eq(0), lane.eq(0), self.bias_group.eq(0)),
            ]
        return m
