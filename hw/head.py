"""Classifier head: sums the drained products over tokens and time steps, adds the bias, finds the argmax."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.hw.payloads import check_power_of_two, check_range, drain_layout
from ds2ta.hw.store import SpikeBank

__all__ = ["ClassifierHead", "logit_layout"]


def logit_layout(logit_width: int, classes_max: int) -> data.StructLayout:
    """One logit: class `index`, its value, and with `last` the class of the sample."""
    index = range(classes_max)
    return data.StructLayout({"logit": signed(logit_width), "index": index, "class_index": index, "last": 1})


def _pick(values: list[Value], chosen: Value) -> Value:
    """The value whose bit of the one-hot `chosen` is set."""
    picked = Const(0)
    for value, bit in zip(values, chosen, strict=True):
        picked = picked | (value & bit.replicate(len(value)))
    return picked.as_signed()


class ClassifierHead(wiring.Component):
    """`logit_o = bias_o + sum over tokens and t of value_o`; the class is the argmax, ties to the lowest index.

    `i` is the engine's drain stream: one commit for each token, tile-major (every token of the first tile of
    classes, then of the second). The T beats of a group are added up in `lanes` registers; then the group's classes
    go one by one through a single adder, to the running logits in a small memory, or, in the last token, to `o`.
    So logits leave in the order 0 .. classes - 1. Padding lanes cost nothing and never leave.

    Latency: the final beat of a group of the last token accepted in cycle c gives its first logit in cycle c+3.
    Throughput: a group of n classes takes T cycles, one beat each, then n cycles in which the input waits; a group
    of padding takes T. Back-pressure: an untaken logit holds the adder, and with it the input at the next group's
    end. `i.ready` is a register; outside of a run it is high, but no beat may come.

    Arithmetic is modulo `2**logit_width`, which must hold the logits (interval analysis), not the partial sums.

    Parameters: `lanes` R, `acc_width`, `logit_width`, `param_width`, `classes_max`, `positions_max` (tokens),
    `time_steps` (T at most; sizes the registers), `fast` (running logits in LUT memory, see `hw/store.py`).

    Members: `i`; `start` (pulse, only while `busy` is low); `positions` (tokens) and `classes`, at least 1 and
    stable while `busy`; `bias_group`, `bias`: group of R biases from a synchronous memory of latency 1 that reads
    in every cycle; `o`; `busy` from `start` until the last commit has been swallowed and `o` was taken.
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
        time_steps: int = 16,
        fast: bool = False,
    ):
        check_power_of_two("Lanes", lanes, 1, 32)
        check_range("Accumulator width", acc_width, 2, 48)
        check_range("Parameter width", param_width, 2, 48)
        check_range("Classes", classes_max, 2, 1024)
        check_range("Positions", positions_max, 1, 1 << 16)
        check_range("Time steps", time_steps, 1, 16)
        check_range("Logit width", logit_width, acc_width, 64)
        self._lanes, self._width, self._classes_max, self._fast = lanes, logit_width, classes_max, fast
        self._sum_width = min(logit_width, acc_width + ceil_log2(time_steps))
        groups = -(-classes_max // lanes)
        super().__init__(
            {
                "i": In(stream.Signature(drain_layout(lanes, acc_width))),
                "start": In(1),
                "positions": In(range(positions_max + 1)),
                "classes": In(range(classes_max + 1)),
                "bias_group": Out(range(max(2, groups))),
                "bias": In(data.ArrayLayout(signed(param_width), lanes)),
                "o": Out(stream.Signature(logit_layout(logit_width, classes_max))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        beat, logit, width = self.i.payload, self.o.payload, self._width
        m.submodules.totals = totals = SpikeBank(width=width, depth=self._classes_max, block=True, fast=self._fast)

        running = Signal()
        serving = Signal()  # the group's classes go through the adder
        position = Signal.like(self.positions)  # counted from 1
        first_token = Signal()
        last_token = Signal()
        accept = Signal()
        m.d.comb += [
            self.i.ready.eq(~serving),
            accept.eq(self.i.valid & self.i.ready),
            first_token.eq(position == 1),
            last_token.eq(position == self.positions),
        ]

        # where we are: class `index` sits in lane `lane` of the present group
        index = Signal.like(logit.index)
        tile_index = Signal.like(index)  # first class of the tile
        lane = Signal(self._lanes, init=1)  # one-hot: a wide selector is cheapest as AND and OR
        beyond = Signal()  # all classes of this commit are served: what follows is padding
        commit_last = Signal()  # the group is its commit's last
        step = Signal()  # a class enters the adder
        final_class = Signal()
        served = Signal()  # ... as the last of its group
        group_end = Signal()
        commit_end = Signal()
        m.d.comb += [
            final_class.eq(index == (self.classes - 1)[: len(index)]),
            served.eq(step & (final_class | lane[-1])),
            group_end.eq(served | (accept & beat.t_last & beyond)),
            commit_end.eq(group_end & Mux(serving, commit_last, beat.last)),
        ]
        with m.If(accept & beat.t_last):
            m.d.sync += [serving.eq(~beyond), commit_last.eq(beat.last)]
        with m.If(step):
            m.d.sync += [lane.eq(lane << 1), index.eq(index + 1), beyond.eq(final_class)]
        with m.If(served):
            m.d.sync += [serving.eq(0), lane.eq(1)]
            with m.If(first_token):
                m.d.sync += self.bias_group.eq(self.bias_group + 1)
        with m.If(commit_end):
            m.d.sync += [index.eq(tile_index), beyond.eq(0), position.eq(position + 1)]
            with m.If(last_token):
                m.d.sync += [index.eq(index + 1), tile_index.eq(index + 1), position.eq(1)]
                m.d.sync += running.eq(~(beyond | final_class))

        # the sums of a group over t; they start from zero because the group before has cleared them
        sums = [Signal(signed(self._sum_width), name=f"sum_{r}") for r in range(self._lanes)]
        for r in range(self._lanes):
            with m.If(accept):
                m.d.sync += sums[r].eq(sums[r] + beat.value[r])
            with m.If(group_end):
                m.d.sync += sums[r].eq(0)

        # one adder: first stage, fetch
        adding = Signal()
        emits = Signal()
        starts = Signal()  # the running logit starts with the bias
        stalled = Signal()
        addend = Signal.like(sums[0], reset_less=True)
        bias = Signal.like(self.bias[0], reset_less=True)
        added_index = Signal.like(index, reset_less=True)
        added_final = Signal()
        m.d.comb += [
            stalled.eq(adding & emits & self.o.valid & ~self.o.ready),
            step.eq(serving & ~stalled),
            totals.read_address.eq(index),
            totals.read_enable.eq(step),
        ]
        with m.If(~stalled):
            m.d.sync += [
                *(adding.eq(serving), emits.eq(last_token), starts.eq(first_token)),
                *(addend.eq(_pick(sums, lane)), bias.eq(_pick(list(self.bias), lane))),
                *(added_index.eq(index), added_final.eq(final_class)),
            ]
        # second stage: add, keep or emit
        total = Signal(signed(width))
        value = Signal.like(total, reset_less=True)
        shown = Signal.like(index, reset_less=True)
        final = Signal()
        m.d.comb += [
            total.eq(Mux(starts, bias, totals.read_data.as_signed()) + addend),
            totals.write.enable.eq(adding & ~emits),
            totals.write.address.eq(added_index),
            totals.write.row.eq(total),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                *(self.o.valid.eq(adding & emits), value.eq(total)),
                *(shown.eq(added_index), final.eq(added_final)),
            ]

        # value > best as a carry: the best is kept inverted, and signs are inverted to compare as unsigned
        offset = Signal(width)
        inverted = Signal(width, reset_less=True)
        best_index = Signal.like(index)
        better = Signal()
        difference = Signal(width + 1)
        m.d.comb += [
            offset.eq(value ^ (1 << width - 1)),
            difference.eq(offset + inverted),
            better.eq((shown == 0) | difference[width]),
            logit.logit.eq(value),
            logit.index.eq(shown),
            logit.last.eq(final),
            logit.class_index.eq(Mux(better, shown, best_index)),
            self.busy.eq(running | adding | self.o.valid),
        ]
        with m.If(self.o.valid & better):
            m.d.sync += [inverted.eq(~offset), best_index.eq(shown)]

        with m.If(self.start):
            m.d.sync += [
                *(running.eq(1), position.eq(1), index.eq(0), tile_index.eq(0), beyond.eq(0)),
                self.bias_group.eq(0),
            ]
        return m
