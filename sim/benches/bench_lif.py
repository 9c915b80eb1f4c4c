# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of LifArray: inputs steered onto threshold and threshold - 1, extremes, stalls, cycle counts, reset."""

import itertools

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.golden import slow
from ds2ta.hw.lif import neuron_layout, spike_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, break_off, reset

STALLS = ["never", "random:0.3", "random:0.7", "bursts"]


def _source(dut, stall: str) -> StreamSource:
    shape = {key: bench_parameters()[key] for key in ("lanes", "current_width", "param_width")}
    return StreamSource(dut, "i", neuron_layout(**shape), stall=stall, seed=1)


def _sink(dut, stall: str) -> StreamSink:
    shape = {key: bench_parameters()[key] for key in ("lanes", "membrane_width")}
    return StreamSink(dut, "o", spike_layout(**shape), stall=stall, seed=2)


def _range(key: str) -> tuple[int, int]:
    half = 1 << bench_parameters()[key] - 1
    return -half, half - 1


def _beats(I, bias, margin) -> list[dict]:  # noqa: E741 (the paper's name)
    steps, groups, _ = I.shape
    return [
        {
            "current": I[t, group].tolist(),
            "bias": bias[group].tolist(),
            "margin": margin[group].tolist(),
            "t_first": int(t == 0),
            "t_last": int(t == steps - 1),
            "last": int(t == steps - 1 and group == groups - 1),
        }
        for group in range(groups)
        for t in range(steps)
    ]


def _expected(I, bias, margin) -> list[dict]:  # noqa: E741
    steps, groups, _ = I.shape
    spikes, membrane = slow.lif(I, bias, bias + margin, bench_parameters()["leak_shift"])
    low, high = _range("membrane_width")
    assert np.all((low <= membrane) & (membrane <= high)), "the stimulus must not overflow the membrane"
    return [
        {
            "spike": sum(int(bit) << r for r, bit in enumerate(spikes[t, group])),
            "membrane": membrane[t, group].tolist(),
            "t_first": int(t == 0),
            "t_last": int(t == steps - 1),
            "last": int(t == steps - 1 and group == groups - 1),
        }
        for group in range(groups)
        for t in range(steps)
    ]


def _spread(generator, key: str, shape) -> np.ndarray:
    """Numbers of every size within the range of `key`, its ends included."""
    low, high = _range(key)
    sizes = generator.integers(1, bench_parameters()[key] + 1, shape)
    half = np.left_shift(1, sizes - 1)
    chosen = generator.integers(-half, half)
    return np.where(generator.random(shape) < 0.1, generator.choice([low, high], shape), chosen)


def _steered(generator, groups: int):
    """Currents half of which put U on the threshold or one below it, as far as the current's range allows."""
    parameters = bench_parameters()
    steps, shape, k = parameters["time_steps"], (groups, parameters["lanes"]), parameters["leak_shift"]
    bias, margin = _spread(generator, "bias_width", shape), _spread(generator, "param_width", shape)
    low, high = _range("current_width")
    I = np.zeros((steps, *shape), np.int64)  # noqa: E741
    V = np.zeros(shape, np.int64)
    for t in range(steps):
        exact = margin - slow.leak(V, k) - generator.integers(0, 2, shape)
        steer = (generator.random(shape) < 0.5) & (low <= exact) & (exact <= high)
        I[t] = np.where(steer, exact, _spread(generator, "current_width", shape))
        spikes, membrane = slow.lif(I[: t + 1], bias, bias + margin, k)
        V = np.where(spikes[t] == 1, 0, membrane[t])
    return I, bias, margin


def _constant(current: int, bias: int, margin: int):
    parameters = bench_parameters()
    shape = 1, parameters["lanes"]
    return (
        np.full((parameters["time_steps"], *shape), current, np.int64),
        np.full(shape, bias, np.int64),
        np.full(shape, margin, np.int64),
    )


async def _compare(source, sink, I, bias, margin) -> list[dict]:  # noqa: E741
    expected = _expected(I, bias, margin)
    source.start(_beats(I, bias, margin))
    assert await sink.take(len(expected)) == expected
    return expected


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def steered_onto_the_threshold(dut, stall):
    source, sink = _source(dut, stall), _sink(dut, stall)
    await reset(dut)
    generator = np.random.default_rng(11)
    gaps = []
    for _ in range(30):
        I, bias, margin = _steered(generator, 12)  # noqa: E741
        _, membrane = slow.lif(I, bias, bias + margin, bench_parameters()["leak_shift"])
        gaps.append((membrane - bias - margin).ravel())
        await _compare(source, sink, I, bias, margin)
    every = np.concatenate(gaps)
    assert np.mean(every == 0) > 0.05, "too few on the threshold"
    assert np.mean(every == -1) > 0.05, "too few one below the threshold"


@cocotb.test()
async def extremes(dut):
    """Every combination of the ends, zero and minus one of I, B and M, held over all time steps: the membrane goes
    to its most negative value, the margin's ends always or never fire."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    ends = [[*_range(key), 0, -1, 1] for key in ("current_width", "bias_width", "param_width")]
    cases = [_constant(*case) for case in itertools.product(*ends)]
    lowest = 0
    for case in cases:
        expected = await _compare(source, sink, *case)
        lowest = min(lowest, *(min(beat["membrane"]) for beat in expected))
    first = _range("current_width")[0] + _range("bias_width")[0]
    assert lowest < first if bench_parameters()["time_steps"] > 1 else lowest == first


def _driven(target: int, bias: int, margin: int):
    """Currents that take U to `target` and hold it there, or as near to it as currents can. None if a current that
    the range allows would carry U past the membrane's ends."""
    parameters = bench_parameters()
    low, high = _range("current_width")
    I, B, M = _constant(0, bias, margin)  # noqa: E741
    for t in range(parameters["time_steps"]):
        _, membrane = slow.lif(I[: t + 1], B, B + M, parameters["leak_shift"])
        I[t] = np.clip(target - membrane[t], low, high)
    _, membrane = slow.lif(I, B, B + M, parameters["leak_shift"])
    lowest, highest = _range("membrane_width")
    return (I, B, M) if lowest <= membrane.min() and membrane.max() <= highest else None


@cocotb.test()
async def opposite_ends(dut):
    """U at an end of the membrane (or as near to it as currents can) against bias and margin at theirs: the widest
    U - Theta, E - M and E + B of either sign. A shape that `reaches` leads to differences of both signs for which
    the wider of U and Theta has too few bits."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    ends = [_range(key) for key in ("membrane_width", "bias_width", "param_width")]
    gaps = [0]
    for ends_of_case in itertools.product(*ends):
        case = _driven(*ends_of_case)
        if case is not None:
            I, bias, margin = case  # noqa: E741
            await _compare(source, sink, *case)
            _, membrane = slow.lif(I, bias, bias + margin, bench_parameters()["leak_shift"])
            gaps += (membrane - bias - margin).ravel().tolist()
    half = 1 << max(bench_parameters()["membrane_width"], bench_parameters()["param_width"] + 1) - 1
    if bench_parameters().get("reaches"):
        assert min(gaps) < -half, "too few bits are enough for every U below its threshold"
        assert max(gaps) >= half, "too few bits are enough for every U above its threshold"


@cocotb.test()
async def padding_never_fires(dut):
    """Bias 0 and the largest margin, as unused channels have it, over every current that such a layer can carry."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    highest = _range("param_width")[1]
    for current in (0, 1, highest // (2 << bench_parameters()["leak_shift"]), _range("current_width")[0]):
        beats = await _compare(source, sink, *_constant(min(current, _range("current_width")[1]), 0, highest))
        assert not any(beat["spike"] for beat in beats)


@cocotb.test()
async def full_speed(dut):
    """One beat a cycle, its spikes one cycle later; the marks of every beat come out with it."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    await _compare(source, sink, *_steered(np.random.default_rng(12), 20))
    assert np.diff(source.cycles).tolist() == [1] * (len(source.cycles) - 1)
    assert set(np.subtract(sink.cycles, source.cycles).tolist()) == {1}


@cocotb.test()
async def shut_output_waits(dut):
    """With the output shut, one beat is taken and the membrane stands still; nothing is lost."""
    source = _source(dut, "never")
    await reset(dut)
    case = _steered(np.random.default_rng(13), 6)
    dut.o__ready.value = 0
    source.start(_beats(*case))
    for _ in range(8):
        await RisingEdge(dut.clk)
    assert len(source.cycles) == 1
    sink = _sink(dut, "bursts")
    expected = _expected(*case)
    assert await sink.take(len(expected)) == expected


@cocotb.test()
async def reset_clears_the_membrane(dut):
    """A reset after any number of beats, idle or with a beat at the input, leaves neither a beat nor a membrane."""
    source, sink = _source(dut, "never"), _sink(dut, "never")
    await reset(dut)
    generator = np.random.default_rng(14)
    low, high = _range("bias_width")[0], _range("param_width")[1]
    for offered in (False, True):
        for cut in range(1, bench_parameters()["time_steps"] + 3):
            begin = len(source.cycles)
            sending = source.start(_beats(*_constant(-1, low, high)) * 4)
            while len(source.cycles) < begin + cut:
                await RisingEdge(dut.clk)
            await break_off(dut, sending, sink, offered=offered)
            assert not dut.o__valid.value
            await _compare(source, sink, *_steered(generator, 3))
