# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The cycle model: predicts, to the cycle, how long every pass takes on a given sample.

It knows nothing of the RTL but the documented latencies of the blocks, and of the sample only which spike words
are non-zero and the attention scores (taken from a golden model's trace). Time in a pass is counted from its
`start`, cycle 0; the fetch of its instruction comes before.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ds2ta.gateware.attention_cycles import attention_cycles
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.layout import Region
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Instruction, Opcode, instruction_words
from ds2ta.gateware.sequencer import PassCounters
from ds2ta.gateware.weight_feed import PERFECT, MemoryTiming, WeightFeed
from ds2ta.hw.engine import SynapticEngine
from ds2ta.hw.lif import LifArray
from ds2ta.hw.residual import ResidualMode
from ds2ta.hw.tasa import Tasa
from ds2ta.hw.walker import RowWalker

__all__ = ["pool_writes", "predict", "total_cycles"]


def predict(
    program: Program,
    machine: Machine,
    sample: np.ndarray,
    trace: Mapping[str, np.ndarray],
    *,
    memory: MemoryTiming = PERFECT,
    began: int = 0,
) -> tuple[PassCounters, ...]:
    """Counters of every pass for a sample and its trace by a golden model, when sample bytes are never late and the
    result stream is never held up. Where weights are a stream: with such a `memory`, and the sample's first byte in
    cycle `began`, as `memory` counts them, when the ring has long been full."""
    inputs = sample if sample.ndim == 4 else sample[None]
    trace = {**trace, "input": inputs}
    if not machine.streams:
        return tuple(_pass(instruction, program, machine, trace) for instruction in program.instructions)
    tiles = [item.tile_rows * (item.tiles_last + 1) for item in program.instructions]
    feed = WeightFeed(machine, tiles, memory, began)
    found: list[PassCounters] = []
    rows = 0  # of the passes before
    for instruction, more in zip(program.instructions, tiles, strict=True):
        weights = _Weights(feed, instruction, rows, began + total_cycles(tuple(found)) + instruction_words(machine))
        found.append(_pass(instruction, program, machine, trace, weights))
        rows += more
    return tuple(found)


def total_cycles(passes: tuple[PassCounters, ...]) -> int:
    """From the first byte's arrival at an idle machine to the end: one cycle to ask for the program, then the
    passes."""
    return 1 + sum(item.cycles for item in passes)


def _pass(
    instruction: Instruction,
    program: Program,
    machine: Machine,
    trace: Mapping[str, np.ndarray],
    weights: "_Weights | None" = None,
) -> PassCounters:
    waits = 0
    if instruction.opcode == Opcode.INPUT:
        cycles, events, rows = 3 + _encoded(instruction, program.regions["input"], machine), 0, 0
    elif instruction.opcode == Opcode.ATTENTION:
        scores = _at_machine_steps(trace[f"{instruction.reads}.score"], machine)
        heads, head_dim = scores.shape[1], (instruction.head_rows_last + 1) * machine.row_lanes
        tables = np.reshape(program.denoiser_image[instruction.table :][: heads * head_dim], (heads, head_dim))
        # the last row is written in the cycle in which `done` rises, and the pass ends in that one
        cycles = 1 + attention_cycles(
            scores,
            tables,
            head_rows=instruction.head_rows_last + 1,
            row_lanes=machine.row_lanes,
            channels=machine.score_channels,
            fast=machine.registered,
            waits=machine.single_port,
        )
        events, rows = int(np.count_nonzero(trace[f"{instruction.reads}.denoised"])), 0
    else:
        region = program.regions[instruction.reads]
        cycles, events, rows = _synapse(instruction, region, machine, trace, weights)
        waits = weights.waits if weights else 0
    words = instruction_words(machine)
    return PassCounters(instruction.name, instruction.opcode, words + cycles, events, rows, waits)


def _encoded(instruction: Instruction, region: Region, machine: Machine) -> int:
    """Cycles of the encoder: bytes, bits that words lack, rows of a word but the last."""
    positions = instruction.positions_last + 1
    words = positions // region.width * region.line_words if region.pixels else positions
    if instruction.frames:
        lacking = positions * (machine.time_steps - instruction.steps)
        return positions * instruction.channels * instruction.steps + lacking + words * (region.pitch - 1)
    lacking = words * region.pixels - positions if region.pixels else 0
    return positions * instruction.channels + lacking + words * (region.pitch - 1)


def _at_machine_steps(tensor: np.ndarray, machine: Machine) -> np.ndarray:
    """A model of fewer steps leaves the machine's later steps empty."""
    padding = machine.time_steps - tensor.shape[0]
    return np.pad(tensor, [(0, padding)] + [(0, 0)] * (tensor.ndim - 1))


@dataclass(frozen=True)
class _Beat:
    """A beat of the gather. `live`: non-zero spike words of its row."""

    live: int
    plane_last: bool  # of its bit plane
    last: bool  # of its output position


def _beats(instruction: Instruction, live: np.ndarray) -> Iterator[_Beat]:
    """Beats of the gather in one tile; every tile is alike. `live`: non-zero words of each row, [tap of a packed
    layer or 0, position of the source, bit plane, group]."""
    for y in range(instruction.height_last + 1):
        for x in range(instruction.width_last + 1):
            for plane in reversed(range(instruction.planes_last + 1)):
                found = list(_taps(instruction, live, y, x, plane))
                for number, words in enumerate(found):
                    plane_last = number == len(found) - 1
                    yield _Beat(words, plane_last, plane_last and plane == 0)


def _taps(instruction: Instruction, live: np.ndarray, y: int, x: int, plane: int) -> Iterator[int]:
    """Non-zero words of the rows that a bit plane of a position reads."""
    groups = range(instruction.groups_last + 1)

    def count(tap: int, position: int, group: int) -> int:
        return int(live[tap, position, plane, group])

    columns, lines = instruction.width_last + 1, instruction.height_last + 1
    if not instruction.kernel3:
        yield from (count(0, y * columns + x, group) for group in groups)
        return
    source_columns = instruction.source_line // instruction.source_pitch
    for ky in range(instruction.lines + 2):
        line = instruction.first_line + y * instruction.lines + ky - 1
        outside = line < 0 or (y == lines - 1 and ky > instruction.live_lines and not instruction.below)
        for kx in range(3):
            column = x + kx - 1
            right = x == columns - 1 and kx == 2 and instruction.pad_right
            if instruction.pixels:
                yield 0 if outside else count(kx, line * source_columns + x, 0)
            elif outside or column < 0 or right:
                yield 0
            else:
                yield from (count(0, line * source_columns + column, group) for group in groups)


def _live_words(region: Region, tensor: np.ndarray, row_lanes: int) -> np.ndarray:
    """Non-zero spike words in each row: [tap of a packed layer or 0, position, bit plane, group]."""
    if region.pixels:
        return _live_pixels(region, tensor[0])
    if tensor.ndim == 4:
        tensor = tensor.reshape(*tensor.shape[:2], -1).transpose(0, 2, 1)
    groups = 1 if region.interleave else region.groups
    live = np.zeros((1, region.positions, region.planes, groups), dtype=np.int64)
    for plane in range(region.planes):
        spikes = np.any((tensor >> plane) & 1, axis=0)  # [position, channel]
        for group in range(groups):
            live[0, :, plane, group] = spikes[:, group * row_lanes :][:, :row_lanes].sum(axis=1)
    return live


def _live_pixels(region: Region, image: np.ndarray) -> np.ndarray:
    """As `_live_words` for an image [C, H, W]: a word of tap kx has the pixels from kx - 1 on."""
    channels, height, width = image.shape
    words = region.line_words
    padded = np.zeros((channels, height, words * region.pixels + 2), dtype=image.dtype)
    padded[:, :, 1 : width + 1] = image
    live = np.zeros((3, height * words, region.planes, 1), dtype=np.int64)
    for kx in range(3):
        pixels = padded[:, :, kx : kx + words * region.pixels].reshape(channels, height * words, region.pixels)
        for plane in range(region.planes):
            live[kx, :, plane, 0] = (pixels >> plane & 1).any(axis=2).sum(axis=0)
    return live


class _Engine:
    """The engine: an event waits for the next one, and the last of a token for the drain of the token before."""

    def __init__(self, instruction: Instruction, machine: Machine, drain, weights: "_Weights | None") -> None:
        self._weights = weights if machine.events == 2 else None  # a row that comes in takes a read port
        self._drain = drain  # cycle before that of a token's first beat, its number -> that of its final beat
        self._spacing, self._waits = instruction.spacing_last + 1, instruction.opcode == Opcode.HEAD
        self._latency = SynapticEngine.latency_of(machine.events, machine.weight_latency)
        self._free = 0  # the cycle from which a token may end
        self._held = False
        self._commits = 0
        self.final = 0  # the cycle in which the last commit's final beat was taken

    def accept(self, cycle: int, first: bool, flush: bool) -> int:
        """Offer an event from `cycle` on; returns the cycle in which it is taken."""
        if self._held and (first or flush):
            cycle = max(cycle, self._free)
        while self._held and self._weights and self._weights.holds(cycle):
            cycle += 1
        if self._held and (first or flush):
            self.final = self._drain(cycle + self._latency - 1, self._commits)
            self._commits += 1
            self._free = max(cycle + self._spacing, self.final + 1 if self._waits else 0)
        self._held = not flush
        return cycle


class _Scan:
    """The gather and the row reader, where beats may be late. A beat goes through two registers, or, in a long
    pipeline, three and a buffer before them that takes what they do not."""

    def __init__(self, machine: Machine, written: Collection[int]) -> None:
        self._registered, self._written = machine.registered, written
        self.left = 0  # the cycle in which the beat before left the gather, or `start`
        self._passed = 0  # in which it went through the buffer

    def arrival(self, doors: list[int]) -> int:
        """The cycle in which the next beat is at the zero skip's door; `doors`: those in which the beats before
        went in."""
        if self._registered:
            self.left = max(self.left, self._passed) + 1
            self._passed = max(self.left, self._passed + 1, doors[-3] if len(doors) > 2 else 0)
            return self._passed + 3
        self.left = max(self.left + 1, doors[-2] if len(doors) > 1 else 0)
        while self.left in self._written:
            self.left += 1
        return self.left + 2


class _Weights:
    """The weights of a pass that come from an external memory, for which the gather waits. Its cycles are those of
    the pass; `start` is that of its start as the memory counts them, `before` counts the rows of the passes
    before."""

    def __init__(self, feed: WeightFeed, instruction: Instruction, before: int, start: int) -> None:
        self._feed, self._tile_rows, self._before, self._start = feed, instruction.tile_rows, before, start
        self._grants: list[int] = []
        # the cycle in which the tile at work was begun: the last beat of the one before, or `start`
        self._begun = 0
        self.waits = 0

    def holds(self, cycle: int) -> bool:
        """A row is written."""
        return self._feed.holds(self._start + cycle)

    def begin(self, scan: _Scan) -> None:
        """The next tile: when it is granted, at the earliest."""
        number = len(self._grants)
        there = self._feed.rows_there(self._before + (number + 1) * self._tile_rows) - self._start
        before = self._grants[-1] + 2 if self._grants else 1
        self._grants.append(max(there + 2, before, self._begun + 1))
        self.waits += max(0, self._grants[-1] - scan.left)
        self._begun = scan.left
        scan.left = max(scan.left, self._grants[-1])

    def free(self, cycle: int) -> None:
        """The flush behind a tile is taken."""
        self._feed.free(self._start + cycle, self._tile_rows)


def _synapse(
    instruction: Instruction,
    region: Region,
    machine: Machine,
    trace: Mapping[str, np.ndarray],
    weights: _Weights | None,
) -> tuple[int, int, int]:
    """Convolution, linear layer or head: (cycles, events, rows scanned)."""
    live = _live_words(region, trace[region.name], machine.row_lanes)
    beats = list(_beats(instruction, live))
    tiles = instruction.tiles_last + 1
    head = _HeadDrain(instruction, machine) if instruction.opcode == Opcode.HEAD else None
    neurons = _NeuronDrain(instruction, machine)
    scan = _Scan(machine, neurons.written) if weights or neurons.writes_source else None
    engine = _Engine(instruction, machine, head.drain if head else neurons.drain, weights)

    fetched: list[int] = []  # the cycle in which each kept row leaves the zero skip's memory
    registered = machine.registered
    door = _START + registered  # the cycle in which the next row can be accepted, if there is room
    output = 0  # the cycle from which the memory's output is free
    taken = 0  # the cycle in which the engine took the event before
    events = 0
    doors: list[int] = []  # the cycles in which rows were accepted

    def accepted(arrival: int = 0) -> int:
        """The next row enters when fewer than `buffer_rows` kept rows wait."""
        nonlocal door
        door = max(door, arrival)
        if len(fetched) >= machine.buffer_rows:
            door = max(door, fetched[-machine.buffer_rows] + 1)
        door += 1
        return door - 1

    def keep(entered: int, count: int, first: bool, flush: bool) -> None:
        """A row, or the flush, goes through the memory and is served, one event or pair a cycle."""
        nonlocal output, taken
        fetched.append(max(entered + 1, output))
        shown = fetched[-1] + 1
        for number in range(max(-(-count // machine.events), 1)):
            # an event is registered when the one before is taken, and offered from the next cycle on
            output = max(shown, taken)
            taken = engine.accept(output + 1, first and number == 0, flush)

    for tile in range(tiles):
        kept_any = kept_plane = False  # of the position, of the plane
        if weights and scan:
            weights.begin(scan)
        for beat in beats:
            entered = accepted(scan.arrival(doors) if scan else 0)
            doors.append(entered)
            needed = beat.last or kept_any if machine.events == 2 else beat.last and not kept_any
            if beat.live or (beat.plane_last and not kept_plane and needed):
                keep(entered, beat.live, not kept_any, False)
            kept_any = not beat.last and (kept_any or beat.live > 0)
            kept_plane = not beat.plane_last and (kept_plane or beat.live > 0)
            events += beat.live
        if weights or tile == tiles - 1:
            keep(accepted(), 0, False, True)
        if weights:
            weights.free(taken)
    cycles = head.done + 1 if head else engine.final + neurons.to_first_write + neurons.last_write
    return cycles, events, tiles * len(beats)


class _NeuronDrain:
    """The neurons take a beat a cycle; behind each group's steps the drain may rest.

    to_first_write: cycles from the last beat of a group to the first write of its words, of which there is none
    where they lie beyond the picture, or beyond the layer's last channel. last_write: of the pass, from its last
    group on. written: with a single port, cycles in which the bank that the pass reads is written."""

    def __init__(self, instruction: Instruction, machine: Machine) -> None:
        self._pass, self._slots = instruction, machine.slots
        self._pixels = machine.time_steps if instruction.pixels else 1
        groups = instruction.drain_groups * instruction.lines
        self._groups = groups * self._pixels
        self._beats, self._rest = machine.time_steps, instruction.rest
        self._rested = 0
        beyond = (instruction.lines - instruction.live_lines) * instruction.drain_groups * self._pixels
        beyond += (self._pixels - 1 - instruction.live_pixels_last) if instruction.pixels else 0
        beyond += (instruction.drain_groups - (instruction.live_rows_last + 1) * machine.slots) * self._pixels
        dropped = beyond * (machine.time_steps + instruction.rest)
        window = Tasa.latency_of(machine.max_window, machine.shifters == "multipliers")
        self.to_first_write = window + (machine.registered) + LifArray.latency + _EPILOGUE_TAIL
        joins = 1
        if instruction.residual == ResidualMode.ADD:  # the first old value is read before the first write
            joins = instruction.planes_out + (instruction.planes_in - 1) * machine.single_port
        elif (
            instruction.residual == ResidualMode.POOL and instruction.below
        ):  # the last line's words, which are of two
            joins = 2
        self.last_write = max(0, RowWalker.latency + joins - dropped)
        same = instruction.mirror or instruction.target_bank == instruction.source_bank
        self.writes_source = machine.single_port and same
        self.written: set[int] = set()

    def drain(self, cycle: int, commit: int) -> int:
        begins = max(cycle, self._rested)
        period = self._beats + self._rest
        final = begins + self._groups * period - self._rest
        self._rested = final + self._rest
        if self.writes_source:
            for number, offsets in enumerate(self._writes(commit)):
                first = begins + number * period + self._beats + self.to_first_write
                self.written.update(first + offset for offset in offsets)
        return final

    def _writes(self, commit: int) -> Iterator[list[int]]:
        """Of each group of a commit, when its words are written, from the first write on; with a single port."""
        now = self._pass
        columns, visits = now.width_last + 1, now.height_last + 1
        tile, y, x = commit // (columns * visits), commit // columns % visits, commit % columns
        height = now.height_last * now.lines + now.live_lines
        width = now.width_last * self._pixels + (now.live_pixels_last + 1 if now.pixels else 1)
        for line in range(y * now.lines, (y + 1) * now.lines):
            for group in range(now.drain_groups):
                there = tile < now.tiles_last or group // self._slots <= now.live_rows_last
                for column in range(x * self._pixels, (x + 1) * self._pixels):
                    if not there or line >= height or column >= width:
                        yield []
                    elif now.residual == ResidualMode.POOL:
                        yield pool_writes(line, column, height, width)
                    else:
                        yield [0]


def pool_writes(line: int, column: int, height: int, width: int) -> list[int]:
    """When the words of a pixel are written to the windows of a pool, of which those that have old ones, but the
    first, are read in a cycle of their own."""
    across, down = column % 2 and column + 1 < width, line % 2 and line + 1 < height
    if across and down:
        return [0, 2, 3, 5]
    if across or down:
        return [0, 2] if (line if across else column) else [0, 1]
    return [0]


class _HeadDrain:
    """The classifier head takes a group's beats one a cycle, then rests for each class of the group."""

    def __init__(self, instruction: Instruction, machine: Machine) -> None:
        self._positions = instruction.positions_last + 1
        self._groups, self._steps = instruction.drain_groups, machine.time_steps
        self._tile, self._lanes = machine.lanes, machine.drain_lanes
        self._classes = instruction.classes_last + 1
        self._rests_until = 0
        self.done = 0

    def drain(self, cycle: int, commit: int) -> int:
        first = commit // self._positions * self._tile
        at = cycle
        for group in range(self._groups):
            at = max(at, self._rests_until) + self._steps
            classes = min(max(self._classes - first - group * self._lanes, 0), self._lanes)
            self._rests_until = at + classes
            self.done = at + classes + _HEAD_TAIL if classes else max(self.done, at + 1)
        return at


_START = 3  # the first row is at the zero skip's door; behind a register in a long pipeline
_EPILOGUE_TAIL = 3
_HEAD_TAIL = 3
