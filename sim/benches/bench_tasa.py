# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Tasa: every tau and window, extremes, stalls, cycle counts, reset in mid-window."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.payloads import drain_layout
from ds2ta.hw.tasa import current_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, reset

STALLS = ["never", "random:0.3", "random:0.7", "bursts"]


def _source(dut, stall: str) -> StreamSource:
    layout = drain_layout(bench_parameters()["lanes"], bench_parameters()["acc_width"])
    return StreamSource(dut, "i", layout, stall=stall, seed=1)


def _sink(dut, stall: str) -> StreamSink:
    layout = current_layout(lanes=bench_parameters()["lanes"], width=bench_parameters()["current_width"])
    return StreamSink(dut, "o", layout, stall=stall, seed=2)


def _settings() -> list[tuple[int, int]]:
    """All (tau, window) of the block."""
    parameters = bench_parameters()
    taus, windows = range(parameters["max_tau"] + 1), range(1, parameters["max_window"] + 1)
    return sorted(
        ((tau, window) for tau in taus for window in windows), key=lambda pair: (pair[0] * 5 % 8, pair[1])
    )


def _limit(tau: int, window: int) -> int:
    """The largest magnitude of P with which no current can leave `current_width`, within `acc_width`."""
    parameters = bench_parameters()
    weight = sum(1 << tau * m for m in range(window))
    widest = (1 << parameters["current_width"] - 1) // weight
    return min(1 << parameters["acc_width"] - 1, widest)


def _sums(generator, tau: int, window: int, groups: int) -> np.ndarray:
    """P [T, groups, lanes]: both limits held, alternating, one before and one behind a time step, so that what
    comes meets a history of the other end; single pulses, small values, anything."""
    parameters = bench_parameters()
    steps, lanes = parameters["time_steps"], parameters["lanes"]
    low = -_limit(tau, window)
    high = -low - 1
    sums = generator.integers(low, high + 1, (steps, groups, lanes))
    for group in range(groups):
        kind = group % 8
        if kind == 0:
            sums[:, group] = low
        elif kind == 1:
            sums[:, group] = high
        elif kind == 2:
            sums[:, group] = np.where(np.arange(steps)[:, None] % 2, high, low)
        elif kind == 3:
            pulse = generator.integers(0, steps)
            sums[:, group] = np.where(np.arange(steps)[:, None] == pulse, generator.choice([low, high, -1, 1]), 0)
        elif kind == 4:
            sums[:, group] = generator.integers(max(low, -2), min(high, 2) + 1, (steps, lanes))
        elif kind == 5:
            turn = generator.integers(1, steps + 1)
            sums[:, group] = np.where(np.arange(steps)[:, None] < turn, *generator.permutation([low, high]))
    return sums


def _beats(values: np.ndarray, name: str) -> list[dict]:
    """Beats of one commit in drain order: group, then time step. The marks that are only handed on change with the
    group; `group_last` and `last` are those of all of its beats."""
    steps, groups, _ = values.shape
    return [
        {
            name: values[t, group].tolist(),
            "t_first": int(t == 0),
            "t_last": int(t == steps - 1),
            "group_last": int(group % 3 != 1),
            "last": int(group % 4 == 3 or group == groups - 1),
        }
        for group in range(groups)
        for t in range(steps)
    ]


async def _configure(dut, tau: int, window: int) -> None:
    dut.tau.value = tau
    dut.window.value = window
    if bench_parameters()["multiply"]:  # the factors take a cycle
        await RisingEdge(dut.clk)


async def _compare(dut, source, sink, sums: np.ndarray, tau: int, window: int) -> None:
    await _configure(dut, tau, window)
    expected = _beats(slow.tasa(sums, tau, window), "current")
    source.start(_beats(sums, "value"))
    assert await sink.take(len(expected)) == expected, f"tau {tau}, window {window}"


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def every_tau_and_window(dut, stall):
    source, sink = _source(dut, stall), _sink(dut, stall)
    await reset(dut)
    generator = np.random.default_rng(5)
    for tau, window in _settings():
        await _compare(dut, source, sink, _sums(generator, tau, window, 16), tau, window)


@cocotb.test()
async def full_speed(dut):
    """One beat a cycle, each `latency` cycles after its sum, whatever the window."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(6)
    for tau, window in _settings():
        begin = len(sink.cycles)
        await _compare(dut, source, sink, _sums(generator, tau, window, 5), tau, window)
        assert np.diff(source.cycles[begin:]).tolist() == [1] * (len(source.cycles) - begin - 1)
        delays = set(np.subtract(sink.cycles[begin:], source.cycles[begin:]).tolist())
        assert delays == {bench_parameters()["latency"]}


@cocotb.test()
async def full_pipeline_waits(dut):
    """With the output shut, the block takes as many beats as it has stages, then none; none is lost."""
    source = _source(dut, "never")
    await reset(dut)
    tau, window = _settings()[-1]
    sums = _sums(np.random.default_rng(7), tau, window, 7)
    await _configure(dut, tau, window)
    dut.o__ready.value = 0
    source.start(_beats(sums, "value"))
    for _ in range(12):
        await RisingEdge(dut.clk)
    assert len(source.cycles) == bench_parameters()["latency"]
    sink = _sink(dut, "bursts")
    expected = _beats(slow.tasa(sums, tau, window), "current")
    assert await sink.take(len(expected)) == expected


@cocotb.test()
async def reset_empties_the_window(dut):
    """A reset after any number of beats leaves neither a beat nor history."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(8)
    tau, window = max(_settings(), key=lambda pair: (pair[1], pair[0]))
    for cut in range(1, 2 * bench_parameters()["time_steps"] + 4):
        await _configure(dut, tau, window)
        begin = len(source.cycles)
        sending = source.start(_beats(_sums(generator, tau, window, 7)[:, 1:], "value"))
        while len(source.cycles) < begin + cut:
            await RisingEdge(dut.clk)
        await break_off(dut, sending, sink)
        assert not dut.o__valid.value
        await _compare(dut, source, sink, _sums(generator, tau, window, 7), tau, window)
