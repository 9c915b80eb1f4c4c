# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of the whole accelerator: real images, every layer's tensor, logits, class and counters against the PyTorch
integer golden model and the cycle model; stalls on both ends; reset in the middle of a sample."""

import random

import cocotb
import numpy as np
from cocotb.triggers import Edge, FallingEdge, RisingEdge

from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.sequencer import COUNTERS
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.modelfile import load_model
from ds2ta.sim.backends import first_difference
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.network import Decoder, expected_entries
from ds2ta.sim.rtl import Beats
from ds2ta.sim.stream import StreamSink, StreamSource, cycle, reset

_CHANNELS = {
    "trace_row": ("trace_row", "trace_row_address", "trace_row_odd", "trace_row_slots", "trace_row_pass"),
    "trace_write": ("trace_write", "trace_write_address", "trace_write_slots", "trace_write_pass"),
    "trace_score": ("trace_score", "trace_score_pass"),
    "trace_entry": ("trace_entry", "trace_entry_step", "trace_entry_key", "trace_entry_pass"),
    "trace_collision": ("trace_collision_pass",),
    "trace_overrun": ("trace_overrun_pass",),
}


class _Monitor:
    """Takes the beats of a trace channel; asleep while it is not valid."""

    def __init__(self, dut, channel: str):
        self._dut, self._channel = dut, channel
        self.taken: list[tuple[int, ...]] = []
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        valid, edge = getattr(self._dut, f"{self._channel}_valid"), RisingEdge(self._dut.clk)
        ports = [getattr(self._dut, name) for name in _CHANNELS[self._channel]]
        while True:
            if not int(valid.value):
                await Edge(valid)
            await edge
            if int(valid.value):
                self.taken.append(tuple(int(port.value) for port in ports))

    def beats(self) -> Beats:
        names = _CHANNELS[self._channel]
        found = {name: [beat[place] for beat in self.taken] for place, name in enumerate(names)}
        self.taken = []
        return Beats(np.zeros(len(found[names[0]]), dtype=np.uint64), found)


class _Bench:
    def __init__(self, dut, stall: str = "never", seed: int = 0, slow: str | None = None):
        given = bench_parameters()
        self.dut, self.model = dut, load_model(given["model"])
        self.machine = machine_from_dict(given["machine"])
        self.program = compile_model(self.model, self.machine)
        self.decoder = Decoder(self.model, self.machine, self.program)
        self.golden = IntegerNetwork(self.model)
        self.samples = np.load(given["samples"])
        self.source = StreamSource(dut, "sample", stall=stall, seed=seed)
        self.sink = StreamSink(dut, "result", stall=slow or stall, seed=seed + 1)
        self.monitors = {channel: _Monitor(dut, channel) for channel in _CHANNELS}

    async def start(self) -> None:
        await reset(self.dut, limit=50_000_000)

    async def check(self, sample: np.ndarray, *, counters: bool) -> None:
        """One sample through the machine; every tensor, logit and (without stalls) counter must be right."""
        clock = cocotb.start_soon(self._time_at_work())
        self.source.start([int(value) for value in sample_bytes(self.model, sample)])
        words = await self.sink.take(self.model.network.classes, patience=2_000_000)
        while self.dut.busy.value:
            await RisingEdge(self.dut.clk)
        beats = {channel: monitor.beats() for channel, monitor in self.monitors.items()}
        assert not len(beats["trace_collision"]), "a spike bank was read where it was written"
        assert not len(beats["trace_overrun"]), "words came to a busy residual unit"
        found = self.golden.trace(sample[None])
        wanted = {name: np.asarray(value)[0] for name, value in found.items()}
        result = Beats(np.zeros(len(words), dtype=np.uint64), {"result__payload": words})
        logits, class_index = self.decoder.result(result)
        trace = self.decoder.trace(beats) | {"logits": logits}
        maps = {f"block.{block}.denoised" for block in range(self.model.network.depth)}
        missing = set(wanted) - set(trace) - maps
        assert not missing, f"no tensor of {missing}"
        assert first_difference(self.model, wanted, trace) is None
        assert class_index == int(np.argmax(wanted["logits"]))
        for block, entries in self.decoder.entries(beats).items():
            assert entries == expected_entries(wanted[f"block.{block}.denoised"]), f"denoised map of block {block}"
        if counters:
            passes = predict(self.program, self.machine, sample, wanted)
            assert await clock == sum(item.cycles for item in passes), "the counters are not the clock"
            for _ in range(3):
                await RisingEdge(self.dut.clk)
            for index, expected in enumerate(passes):
                assert await self.counters(index) == (expected.cycles, expected.events, expected.rows), expected

    async def _time_at_work(self) -> int:
        """Clock cycles of `busy`."""
        await RisingEdge(self.dut.busy)
        start = cycle()
        await FallingEdge(self.dut.busy)
        return cycle() - start

    async def counters(self, index: int) -> tuple[int, int, int]:
        found: list[int] = []
        for which in range(3):
            self.dut.counter_address.value = COUNTERS * index + which
            for _ in range(2):
                await RisingEdge(self.dut.clk)
            found.append(int(self.dut.counter_data.value))
        cycles, events, rows = found
        return cycles, events, rows


@cocotb.test()
async def images(dut):
    """Every image: all trace, logits, class, counters. Also A-B-A: the first image again at the end."""
    bench = _Bench(dut)
    await bench.start()
    for sample in [*bench.samples, bench.samples[0]]:
        await bench.check(sample, counters=True)


@cocotb.test()
@cocotb.parametrize(stall=["random:0.4", "bursts"])
async def stalls(dut, stall):
    """Late bytes and a slow reader change nothing but the time."""
    bench = _Bench(dut, stall, seed=5)
    await bench.start()
    for sample in bench.samples[:2]:
        await bench.check(sample, counters=False)


@cocotb.test()
async def back_to_back(dut):
    """Samples in one unbroken stream of bytes, a slow reader: the next waits at the door, no answer is lost."""
    bench = _Bench(dut, seed=9, slow="random:0.9")
    await bench.start()
    samples = bench.samples[:3]
    bench.source.start([int(value) for sample in samples for value in sample_bytes(bench.model, sample)])
    classes = bench.model.network.classes
    words = await bench.sink.take(classes * len(samples), patience=2_000_000)
    wanted = np.asarray(bench.golden.run(samples))
    for number in range(len(samples)):
        part = words[number * classes : (number + 1) * classes]
        logits, class_index = bench.decoder.result(Beats(np.zeros(classes), {"result__payload": part}))
        assert logits.tolist() == wanted[number].tolist()
        assert class_index == int(np.argmax(wanted[number]))


@cocotb.test()
async def reset_anywhere(dut):
    """Reset in the middle of any pass, then a clean result."""
    bench = _Bench(dut)
    await bench.start()
    generator = random.Random(3)
    total = sum(
        item.cycles
        for item in predict(
            bench.program,
            bench.machine,
            bench.samples[0],
            {name: np.asarray(value)[0] for name, value in bench.golden.trace(bench.samples[:1]).items()},
        )
    )
    for _ in range(6):
        task = bench.source.start([int(value) for value in sample_bytes(bench.model, bench.samples[1])])
        for _ in range(generator.randrange(1, total)):
            await RisingEdge(dut.clk)
        task.cancel()
        dut.sample__valid.value = 0
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        for monitor in bench.monitors.values():
            monitor.beats()
        bench.sink.received.clear()
        await bench.check(bench.samples[0], counters=True)
