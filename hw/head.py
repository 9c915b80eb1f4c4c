# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Classifier head: sums the drained products over tokens and time steps, adds the bias, finds the argmax."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.hw.payloads import check_power_of_two, check_range, drain_layout
from ds2ta.hw.store import DualPortMemory

__all__ = ["ClassifierHead", "logit_layout"]


def logit_layout(logit_width: int, classes_max: int) -> data.StructLayout:
    """One logit: class `index`, its value, and with `last` the class of the sample."""
    index = range(classes_max)
    return data.StructLayout({"logit": signed(logit_width), "index": index, "class_index": index, "last": 1})


def _pick(values: Sequence[Value], chosen: Value) -> Value:
    """The value whose bit of the one-hot `chosen` is set."""
    picked: Value = Const(0)
    for value, bit in zip(values, chosen, strict=True):
        picked = picked | (value & bit.replicate(len(value)))
    return picked.as_signed()


class _Place:
    """Where the head is: token, group and class, and which of them end in this cycle."""

    def __init__(self, head: "ClassifierHead", lanes: int):
        self.running = Signal()
        self.serving = Signal()  # the group's classes go through the adder
        self.position = Signal.like(head.positions)  # counted from 1
        self.first_token = Signal()
        self.last_token = Signal()
        self.accept = Signal()
        # class `index` sits in lane `lane` of the present group
        self.index = Signal.like(head.o.payload.index)
        self.tile_index = Signal.like(self.index)  # first class of the tile
        self.lane = Signal(lanes, init=1)  # one-hot: a wide selector is cheapest as AND and OR
        self.beyond = Signal()  # all classes of this commit are served: what follows is padding
        self.commit_last = Signal()  # the group is its commit's last
        self.enters = Signal()  # a class enters the adder
        self.final_class = Signal()
        self.served = Signal()  # a class enters it as the last of its group
        self.group_end = Signal()
        self.commit_end = Signal()


class _Addition:
    """A class between the two stages of the adder: what is to be added, and what becomes of the sum."""

    def __init__(self, head: "ClassifierHead", width: int):
        self.adding = Signal()
        self.emits = Signal()
        self.starts = Signal()  # the running logit starts with the bias
        self.addend = Signal(signed(width), reset_less=True)
        self.bias = Signal.like(head.bias[0], reset_less=True)
        self.added_index = Signal.like(head.o.payload.index, reset_less=True)
        self.added_final = Signal()


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
        m.submodules.totals = totals = DualPortMemory(
            width=self._width, depth=self._classes_max, block=True, fast=self._fast
        )
        at = _Place(self, self._lanes)
        m.d.comb += [
            self.i.ready.eq(~at.serving),
            at.accept.eq(self.i.valid & self.i.ready),
            at.first_token.eq(at.position == 1),
            at.last_token.eq(at.position == self.positions),
        ]
        self._walk(m, at)
        sums = self._sum(m, at)
        now = self._pick_addends(m, at, sums, totals)
        self._keep_or_emit(m, now, totals)
        m.d.comb += self.busy.eq(at.running | now.adding | self.o.valid)
        with m.If(self.start):
            m.d.sync += [
                *(at.running.eq(1), at.position.eq(1), at.index.eq(0), at.tile_index.eq(0), at.beyond.eq(0)),
                self.bias_group.eq(0),
            ]
        return m

    def _walk(self, m: Module, at: _Place) -> None:
        """From class to class, group to group, token to token, tile to tile."""
        beat = self.i.payload
        m.d.comb += [
            at.final_class.eq(at.index == (self.classes - 1)[: len(at.index)]),
            at.served.eq(at.enters & (at.final_class | at.lane[-1])),
            at.group_end.eq(at.served | (at.accept & beat.t_last & at.beyond)),
            at.commit_end.eq(at.group_end & Mux(at.serving, at.commit_last, beat.last)),
        ]
        with m.If(at.accept & beat.t_last):
            m.d.sync += [at.serving.eq(~at.beyond), at.commit_last.eq(beat.last)]
        with m.If(at.enters):
            m.d.sync += [at.lane.eq(at.lane << 1), at.index.eq(at.index + 1), at.beyond.eq(at.final_class)]
        with m.If(at.served):
            m.d.sync += [at.serving.eq(0), at.lane.eq(1)]
            with m.If(at.first_token):
                m.d.sync += self.bias_group.eq(self.bias_group + 1)
        with m.If(at.commit_end):
            m.d.sync += [at.index.eq(at.tile_index), at.beyond.eq(0), at.position.eq(at.position + 1)]
            with m.If(at.last_token):
                m.d.sync += [at.index.eq(at.index + 1), at.tile_index.eq(at.index + 1), at.position.eq(1)]
                m.d.sync += at.running.eq(~(at.beyond | at.final_class))

    def _sum(self, m: Module, at: _Place) -> list[Signal]:
        """The sums of a group over t; they start from zero because the group before has cleared them."""
        sums = [Signal(signed(self._sum_width), name=f"sum_{r}") for r in range(self._lanes)]
        for r in range(self._lanes):
            with m.If(at.accept):
                m.d.sync += sums[r].eq(sums[r] + self.i.payload.value[r])
            with m.If(at.group_end):
                m.d.sync += sums[r].eq(0)
        return sums

    def _pick_addends(self, m: Module, at: _Place, sums: list[Signal], totals: DualPortMemory) -> _Addition:
        """First stage of the one adder: what is to be added, and the running logit, are fetched."""
        now = _Addition(self, self._sum_width)
        stalled = Signal()
        m.d.comb += [
            stalled.eq(now.adding & now.emits & self.o.valid & ~self.o.ready),
            at.enters.eq(at.serving & ~stalled),
            totals.read_address.eq(at.index),
            totals.read_enable.eq(at.enters),
        ]
        with m.If(~stalled):
            m.d.sync += [
                *(now.adding.eq(at.serving), now.emits.eq(at.last_token), now.starts.eq(at.first_token)),
                *(now.addend.eq(_pick(sums, at.lane)), now.bias.eq(_pick(list(self.bias), at.lane))),
                *(now.added_index.eq(at.index), now.added_final.eq(at.final_class)),
            ]
        return now

    def _keep_or_emit(self, m: Module, now: _Addition, totals: DualPortMemory) -> None:
        """Second stage: adds; the sum becomes the running logit, or, in the last token, a logit that leaves, with
        the best class so far."""
        logit, width = self.o.payload, self._width
        total = Signal(signed(width))
        value = Signal.like(total, reset_less=True)
        shown = Signal.like(logit.index, reset_less=True)
        final = Signal()
        m.d.comb += [
            total.eq(Mux(now.starts, now.bias, totals.read_data.as_signed()) + now.addend),
            totals.write.enable.eq(now.adding & ~now.emits),
            totals.write.address.eq(now.added_index),
            totals.write.data.eq(total),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                *(self.o.valid.eq(now.adding & now.emits), value.eq(total)),
                *(shown.eq(now.added_index), final.eq(now.added_final)),
            ]

        # value > best as a carry: the best is kept inverted, and signs are inverted to compare as unsigned
        offset = Signal(width)
        inverted = Signal(width, reset_less=True)
        best_index = Signal.like(logit.index)
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
        ]
        with m.If(self.o.valid & better):
            m.d.sync += [inverted.eq(~offset), best_index.eq(shown)]
