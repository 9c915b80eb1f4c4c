# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of ClassifierHead: spikes and weights through the slow model; the drain beats are its products."""

import itertools

import cocotb
import numpy as np
from amaranth.hdl import signed
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from ds2ta.golden.slow import head, synapse
from ds2ta.hw.head import logit_layout
from ds2ta.hw.payloads import drain_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import MemoryModel, StreamSink, StreamSource, pack, reset


class _Bench:
    def __init__(self, dut, stall: str):
        self.dut = dut
        self.parameters = parameters = bench_parameters()
        self.lanes, self.classes_max = parameters["lanes"], parameters["classes_max"]
        self.steps, self.logit_width = parameters["time_steps"], parameters["logit_width"]
        self.groups = -(-self.classes_max // self.lanes)
        self.source = StreamSource(dut, "i", drain_layout(self.lanes, parameters["acc_width"]), stall=stall, seed=8)
        self.sink = StreamSink(dut, "o", logit_layout(self.logit_width, self.classes_max), stall=stall, seed=9)
        self.bias = MemoryModel(dut, [0] * self.groups, read=("bias_group", None, "bias"))
        self.generator = np.random.default_rng(8)

    async def classify(self, x, weight, bias, tile_groups: int, padding: int = 0):
        """One sample: x [T, N, C], weight [classes, C], bias [classes], tiles of `tile_groups` groups, the last one
        with `padding` more groups than its classes need. Padding lanes carry values, which must not matter.
        Returns (cycles of accepted beats, of logits)."""
        lanes, dut = self.lanes, self.dut
        classes, tokens = len(weight), x.shape[1]
        P = synapse(weight, x)  # [T, N, classes]
        limit = (1 << self.parameters["acc_width"] - 1) - 1
        assert P.min() >= -limit - 1
        assert P.max() <= limit
        expected = head(x, weight, bias)
        groups = -(-classes // lanes)
        tiles = [range(at, min(at + tile_groups, groups)) for at in range(0, groups, tile_groups)]
        tiles[-1] = range(tiles[-1].start, groups + padding)
        beats = []
        for tile in tiles:
            for n in range(tokens):
                for group in tile:
                    for t in range(self.steps):
                        value = [
                            int(P[t, n, k]) if k < classes else int(self.generator.integers(-limit, limit))
                            for k in range(group * lanes, (group + 1) * lanes)
                        ]
                        last = t == self.steps - 1 and group == tile[-1]
                        beats.append(
                            {"value": value, "t_first": t == 0, "t_last": t == self.steps - 1, "last": last}
                        )
        spare = self.generator.integers(0, 1 << self.parameters["param_width"] - 1, groups * lanes - classes)
        padded = np.concatenate([bias, spare]).reshape(groups, lanes)
        layout = data.ArrayLayout(signed(self.parameters["param_width"]), lanes)
        self.bias.words[:groups] = [pack(layout, [int(value) for value in row]) for row in padded]
        dut.positions.value, dut.classes.value = tokens, classes
        assert not dut.busy.value
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        first = len(self.source.cycles), len(self.sink.cycles)
        self.source.start(beats)
        found = await self.sink.take(classes)
        while dut.busy.value:
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        assert [one["logit"] for one in found] == expected.tolist()
        assert [one["index"] for one in found] == list(range(classes))
        assert [one["last"] for one in found] == [0] * (classes - 1) + [1]
        assert found[-1]["class_index"] == int(np.argmax(expected))
        assert not self.sink.received
        taken = self.source.cycles[first[0] :]
        assert len(taken) == len(beats)
        return taken, self.sink.cycles[first[1] :]

    def numbers(self, classes: int, tokens: int, channels: int):
        """Random spikes, weights and biases within the widths of the machine."""
        top = min(7, ((1 << self.parameters["acc_width"] - 1) - 1) // channels)
        edge = (1 << self.parameters["param_width"] - 1) - 1
        room = (1 << self.logit_width - 1) - 1 - top * channels * tokens * self.steps
        edge = min(edge, room)
        return (
            (self.generator.random((self.steps, tokens, channels)) < 0.4).astype(np.int64),
            self.generator.integers(-top, top + 1, (classes, channels)),
            self.generator.integers(-edge, edge + 1, classes),
        )


@cocotb.test()
@cocotb.parametrize(stall=["never", "random:0.4", "bursts"])
async def samples(dut, stall):
    """Every number of classes, one token and several, one tile and several, padding groups behind the classes."""
    bench = _Bench(dut, stall)
    await reset(dut)
    counts = sorted({1, 2, bench.lanes, bench.lanes + 1, bench.classes_max - 1, bench.classes_max} - {0})
    for classes in (count for count in counts if count <= bench.classes_max):
        groups = -(-classes // bench.lanes)
        for tokens in (1, 2, 5):
            for tile_groups in sorted({1, 2, max(1, groups - 1), groups}):
                for padding in range(3 if groups % tile_groups else 1):
                    x, weight, bias = bench.numbers(classes, tokens, 6)
                    await bench.classify(x, weight, bias, tile_groups, padding)


@cocotb.test()
async def ties(dut):
    """Equal logits: the lowest index wins. All logits negative: the least negative one wins."""
    bench = _Bench(dut, "never")
    await reset(dut)
    classes = bench.classes_max
    x = np.ones((bench.steps, 3, 2), np.int64)
    none = np.zeros((classes, 2), np.int64)
    for bias in (
        np.zeros(classes, np.int64),
        np.full(classes, -5),
        -1 - np.arange(classes),
        -classes + np.arange(classes),
        np.where(np.arange(classes) % 2, 3, -3),
        np.where(np.arange(classes) == classes - 1, 0, -1),
    ):
        await bench.classify(x, none, bias, bench.groups)
    equal = np.full((classes, 2), -1)
    await bench.classify(x, equal, np.zeros(classes, np.int64), bench.groups)


@cocotb.test()
async def widest(dut):
    """Sums and logits at both ends of their widths."""
    bench = _Bench(dut, "never")
    await reset(dut)
    classes, parameters = bench.classes_max, bench.parameters
    top = (1 << parameters["acc_width"] - 1) - 1
    tokens = min(4, ((1 << bench.logit_width - 1) - 1) // (top * bench.steps))
    assert tokens >= 1
    x = np.ones((bench.steps, tokens, 1), np.int64)
    rest = (1 << bench.logit_width - 1) - 1 - top * bench.steps * tokens
    edge = min((1 << parameters["param_width"] - 1) - 1, rest)
    for sign in (1, -1):
        weight = np.full((classes, 1), sign * top)
        await bench.classify(x, weight, np.full(classes, sign * edge), bench.groups)


def _filled(slots: int, total: int, low: int, high: int) -> tuple[int, int, int]:
    """How to come to `total`, or as near to it as can be, in `slots` values of low..high: (full slots, their value,
    value of one slot more)."""
    value = high if total > 0 else low
    full = min(slots, abs(total) // abs(value))
    return full, value, total - full * value if full < slots else 0


@cocotb.test()
async def opposite_ends(dut):
    """Every other class has its logit at the upper end of the width, the rest at the lower one, with a bias at the
    same end or at the opposite one, and as many tokens as the block takes. Values are at their ends; the sum of a
    group over the time steps is so too."""
    bench = _Bench(dut, "never")
    await reset(dut)
    classes, parameters = bench.classes_max, bench.parameters
    tokens, steps = parameters["positions_max"], bench.steps
    ends, value_ends, bias_ends = (
        (-(1 << parameters[key] - 1), (1 << parameters[key] - 1) - 1)
        for key in ("logit_width", "acc_width", "param_width")
    )
    for high_first, with_bias in itertools.product((0, 1), (0, 1)):
        x = np.zeros((steps, tokens, 4), np.int64)
        weight, bias = np.zeros((classes, 4), np.int64), np.zeros(classes, np.int64)
        for kind in range(2):  # of class: its logit is ends[end]
            end = kind ^ high_first
            start = int(np.clip(bias_ends[end if with_bias else 1 - end], *ends))
            bias[kind::2] = start
            full, value, rest = _filled(steps * tokens, ends[end] - start, *value_ends)
            slots = np.arange(steps * tokens).reshape(tokens, steps).T  # tokens one after the other
            x[:, :, 2 * kind], x[:, :, 2 * kind + 1] = slots < full, slots == full
            weight[kind::2, 2 * kind : 2 * kind + 2] = value, rest
        logits = head(x, weight, bias)
        assert not parameters.get("reaches") or set(logits.tolist()) == set(ends)
        await bench.classify(x, weight, bias, bench.groups)


@cocotb.test()
async def timing(dut):
    """One beat a cycle; after each group one idle cycle for each of its classes, none for padding; its first logit
    three cycles after its last beat."""
    bench = _Bench(dut, "never")
    await reset(dut)
    classes, tokens = bench.classes_max, 3
    x, weight, bias = bench.numbers(classes, tokens, 4)
    padding = 1
    taken, shown = await bench.classify(x, weight, bias, bench.groups, padding)
    at = taken[0]
    beats: list[int] = []
    logits: list[int] = []
    for n in range(tokens):
        for group in range(bench.groups + padding):
            beats += range(at, at + bench.steps)
            at += bench.steps
            served = max(0, min(bench.lanes, classes - group * bench.lanes))
            if n == tokens - 1:
                logits += range(at + 2, at + 2 + served)
            at += served
    assert taken == beats
    assert shown == logits
