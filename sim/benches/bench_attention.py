# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of AttentionUnit: whole attention phases with scores, list entries, spikes and exact cycle counts."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ds2ta.gateware.attention_cycles import attention_cycles
from ds2ta.golden import slow
from ds2ta.hw.payloads import addressed_row_layout
from ds2ta.hw.score import score_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.spike_rows import plane_rows, row_bits
from ds2ta.sim.stream import Holds, MemoryModel, StreamSink, cycle, in_background, next_cycle, reset, unpacker

STALLS = ["never", "random:0.3", "random:0.8", "bursts"]
_COUNTS = ("tokens", "heads", "head_rows", "head_dim", "groups")
_BASES = ("q_base", "k_base", "v_base", "o_base", "table_base")


def _shape(*keys: str) -> list[int]:
    return [bench_parameters()[key] for key in keys]


class Phase:
    """One attention phase: a case of the driver (tokens, heads, tables), spikes of given density, and all that must
    come of them. `edge` puts the threshold onto a membrane of the first time step, or one above it."""

    def __init__(self, generator, case: dict, density, *, edge: int | None = None):
        lanes, steps, width, k = _shape("row_lanes", "time_steps", "membrane_width", "leak_shift")
        self.tables = np.array(case["tables"])
        self.tokens, self.table_base = case["tokens"], case["base"]
        self.heads, self.head_dim = self.tables.shape
        self.head_rows = self.head_dim // lanes
        self.groups = self.heads * self.head_rows
        shape = steps, self.tokens, self.heads * self.head_dim
        self.Q, self.K, self.V = (
            (generator.random(shape) < part).astype(int) for part in np.broadcast_to(density, 3)
        )

        depth = 1 << bench_parameters()["address_width"]
        needed = self.tokens * self.groups
        self.q_base = int(generator.integers(depth - needed + 1))
        self.k_base = (self.q_base + int(generator.choice([needed, depth - needed]))) % depth
        self.v_base, self.o_base = (int(base) for base in generator.integers(0, depth, 2))

        parts = [slice(h * self.head_dim, (h + 1) * self.head_dim) for h in range(self.heads)]
        S = [slow.scores(self.Q[..., part], self.K[..., part]) for part in parts]
        A = [slow.denoise(S[h], self.tables[h]) for h in range(self.heads)]
        Y = np.concatenate([slow.attend(A[h], self.V[..., part]) for h, part in enumerate(parts)], axis=2)
        self.S, self.A = np.stack(S, axis=1), np.stack(A, axis=1)
        if edge is None:
            self.threshold = int(generator.integers(1, max(2, Y.max())))
        else:
            reached = Y[0][Y[0] > edge]
            self.threshold = int(generator.choice(reached)) + edge if len(reached) else 1
        self.spikes, self.U = slow.lif(Y, 0, self.threshold, k)
        assert max(self.U.max(), self.threshold) < 1 << width, "the stimulus must not overflow the membrane"

    def words(self, *tensors: tuple[np.ndarray, int]) -> list[int]:
        """A bank with these tensors at their bases and noise elsewhere."""
        lanes, steps, width = _shape("row_lanes", "time_steps", "address_width")
        noise = np.random.default_rng(1).bytes(lanes * steps << width)
        found = [int.from_bytes(noise[at :: 1 << width]) % (1 << lanes * steps) for at in range(1 << width)]
        for X, base in tensors:
            for n in range(self.tokens):
                for group, row in enumerate(plane_rows(X[:, n], 1, lanes)):
                    found[(base + n * self.groups + group) % (1 << width)] = row_bits(row, steps)
        return found

    def expected_scores(self) -> list[list[int]]:
        _, H, N, _ = self.S.shape
        return [self.S[:, h, i, j].tolist() for h in range(H) for i in range(N) for j in range(N)]

    def expected_entries(self) -> list[tuple[int, int, int]]:
        T, H, N, _ = self.A.shape
        order = ((h, i, j, t) for h in range(H) for i in range(N) for j in range(N) for t in range(T))
        return [(t, j, int(self.A[t, h, i, j])) for h, i, j, t in order if self.A[t, h, i, j]]

    def expected_rows(self) -> list[dict]:
        lanes, width = _shape("row_lanes", "address_width")
        rows = [plane_rows(self.spikes[:, n], 1, lanes) for n in range(self.tokens)]
        return [
            {"row": rows[i][group], "address": (self.o_base + i * self.groups + group) % (1 << width)}
            for h in range(self.heads)
            for i in range(self.tokens)
            for group in range(h * self.head_rows, (h + 1) * self.head_rows)
        ]

    def expected_cycles(self) -> int:
        lanes, channels, fast = _shape("row_lanes", "score_channels", "fast")
        shape = {"head_rows": self.head_rows, "row_lanes": lanes, "channels": channels, "fast": fast}
        return attention_cycles(self.S, self.tables, **shape)


class Bench:
    """The banks, the output and the traces of the unit."""

    def __init__(self, dut, stall: str = "never"):
        self.dut, self._stall = dut, stall
        self.held: set[int] = set()  # cycles in which no row of Q and K may be read
        self.keys = MemoryModel(dut, [], read=("qk_address", "qk_enable", "qk_data"))
        self.values = MemoryModel(dut, [], read=("v_address", "v_enable", "v_data"))
        self.restart()

    def restart(self) -> None:
        """New output and traces, with nothing received."""
        for task in getattr(self, "tasks", []):
            task.cancel()
        layout = addressed_row_layout(*_shape("row_lanes", "time_steps", "address_width"))
        self.sink = StreamSink(self.dut, "o", layout, stall=self._stall, seed=2)
        self.scores: list = []
        self.entries: list = []
        self.kept = 0
        self.tasks = [self.sink._task, in_background(self.dut, self._watch())]

    async def _watch(self) -> None:
        dut = self.dut
        steps, largest = _shape("time_steps", "max_head_dim")
        score_of = unpacker(score_layout(steps, largest, 0)["score"].shape)
        while True:
            await next_cycle
            if dut.trace_score__valid.value:
                self.scores.append(score_of(int(dut.trace_score__score.value)))
            if dut.trace_entry__valid.value:
                entry = tuple(int(getattr(dut, f"trace_entry__{key}").value) for key in ("t", "j", "value"))
                self.entries.append(entry)
            self.kept += int(dut.entries.value)

    async def begin(self, phase: Phase) -> int:
        """Start; the answer is the cycle of the pulse."""
        dut = self.dut
        assert dut.done.value
        self.keys.words[:] = phase.words((phase.Q, phase.q_base), (phase.K, phase.k_base))
        self.values.words[:] = phase.words((phase.V, phase.v_base))
        for name in (*_COUNTS, *_BASES, "threshold"):
            getattr(dut, name).value = getattr(phase, name)
        dut.start.value = 1
        await RisingEdge(dut.clk)
        dut.start.value = 0
        return cycle()

    async def run(self, phase: Phase) -> int:
        """A whole phase, everything compared; the answer is its length in cycles."""
        started = await self.begin(phase)
        await RisingEdge(self.dut.clk)
        while not self.dut.done.value:
            await RisingEdge(self.dut.clk)
        length = cycle() - started
        expected = phase.expected_rows()
        assert self.scores == phase.expected_scores()
        assert self.entries == phase.expected_entries()
        assert self.kept == len(self.entries)
        assert await self.sink.take(len(expected)) == expected
        for _ in range(8):  # done, and at rest
            await RisingEdge(self.dut.clk)
            assert self.dut.done.value
            assert not self.dut.qk_enable.value
            assert not self.dut.v_enable.value
        assert not self.sink.received
        self.scores.clear()
        self.entries.clear()
        self.kept = 0
        return length


async def _load_tables(dut) -> None:
    """Fill a ram with the image that a rom is built with."""
    if "load__enable" in dir(dut):
        for address, value in enumerate(bench_parameters()["image"]):
            dut.load__enable.value = 1
            dut.load__address.value = address
            dut.load__data.value = value
            await RisingEdge(dut.clk)
        dut.load__enable.value = 0


async def _open(dut, stall: str = "never", holds: str = "never") -> Bench:
    bench = Bench(dut, stall)
    await reset(dut)
    bench.held = Holds(dut, "qk_holds", "qk_enable", stall=holds).cycles
    await _load_tables(dut)
    return bench


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def phases(dut, stall):
    """Every case of the driver at every density, one after the other without a reset; exact cycle counts, unless
    the memory of Q and K cannot be read now and then."""
    bench = await _open(dut, stall, "random:0.3")
    generator = np.random.default_rng(1)
    for density in (0.2, 1, 0.5, 0, (0.9, 0.9, 0.1)):
        for case in bench_parameters()["cases"]:
            phase = Phase(generator, case, density)
            length = await bench.run(phase)
            if stall == "never" and not bench.held:
                assert length == phase.expected_cycles()


@cocotb.test()
async def full_scores(dut):
    """All channels of Q and K spike at all steps: the score is head_dim and selects the table's last entry."""
    bench = await _open(dut)
    for case in bench_parameters()["cases"]:
        phase = Phase(np.random.default_rng(2), case, (1, 1, 0.5))
        assert set(phase.S.ravel().tolist()) == {phase.head_dim}
        assert phase.A[0, :, 0, 0].tolist() == phase.tables[:, -1].tolist()
        assert await bench.run(phase) == phase.expected_cycles()


@cocotb.test()
async def steered_onto_the_threshold(dut):
    """The threshold on, and one above, a membrane that occurs."""
    bench = await _open(dut)
    generator = np.random.default_rng(3)
    gaps = []
    for _ in range(4):
        for edge in (0, 1):
            for case in bench_parameters()["cases"]:
                phase = Phase(generator, case, 0.6, edge=edge)
                gaps += (phase.U - phase.threshold).ravel().tolist()
                await bench.run(phase)
    assert gaps.count(0) >= 5, "too few on the threshold"
    assert gaps.count(-1) >= 5, "too few one below the threshold"


@cocotb.test()
async def shut_output_waits(dut):
    """A shut output stops the unit before the lists overrun; nothing is lost."""
    generator = np.random.default_rng(4)
    bench = await _open(dut)
    case = max(bench_parameters()["cases"], key=lambda case: case["tokens"])
    phase = Phase(generator, case, 0.5)
    for task in bench.tasks:
        task.cancel()
    dut.o__ready.value = 0
    await bench.begin(phase)
    for _ in range(2 * phase.expected_cycles() + 100):
        await RisingEdge(dut.clk)
    assert not dut.done.value
    assert not dut.qk_enable.value
    bench._stall = "bursts"
    bench.restart()
    expected = phase.expected_rows()
    assert await bench.sink.take(len(expected)) == expected


@cocotb.test()
async def reset_at_any_cycle(dut):
    generator = np.random.default_rng(5)
    bench = await _open(dut)
    cases = bench_parameters()["cases"]
    length = Phase(generator, cases[0], 0.5).expected_cycles()
    for cut in range(1, length + 6, max(1, length // 60)):
        await bench.begin(Phase(generator, cases[0], 0.5))
        for _ in range(cut):
            await RisingEdge(dut.clk)
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        assert dut.done.value
        bench.restart()
        phase = Phase(generator, cases[cut % len(cases)], 0.5)
        assert await bench.run(phase) == phase.expected_cycles()
