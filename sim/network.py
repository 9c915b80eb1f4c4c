# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Whole networks on the emitted Verilog: samples in; class, logits, counters and the trace of every layer out."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import Program, compile_model
from ds2ta.gateware.cycles import total_cycles
from ds2ta.gateware.layout import tensor_from_rows
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.sequencer import COUNTERS, PassCounters
from ds2ta.gateware.stores import CHUNK, load_layout, memory_image, store_images, store_shapes
from ds2ta.gateware.weight_feed import PERFECT, MemoryTiming
from ds2ta.hw.residual import ResidualMode
from ds2ta.model import IntegerModel
from ds2ta.sim.gates import Gates
from ds2ta.sim.rtl import Beats, Rtl, RtlError

__all__ = ["Decoder", "RtlNetwork", "RtlResult", "expected_entries", "load_words", "memory_words"]

_LONGEST_END = 1000  # cycles of `busy` after the last logit


@dataclass(frozen=True)
class RtlResult:
    """What the machine made of a sample. `cycles`: from the first byte to the end, as `gateware.cycles` counts
    them, `began` the number of the first. `trace` has the names and shapes of `golden.slow.run`, less the denoised
    map, whose kept entries are in `entries[block]` as (step, key, value) in the order of the scores."""

    logits: np.ndarray
    class_index: int
    cycles: int
    began: int
    passes: tuple[PassCounters, ...]
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    entries: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)


def load_words(machine: Machine, program: Program) -> Iterable[int]:
    """Packed words of the `load` stream that put a program into the loadable stores."""
    # the fields put together by hand: a weight store has 100,000 words, and Amaranth's constants take their time
    at = {name: field.offset for name, field in load_layout(machine)}
    images = store_images(program)
    for name, shape in store_shapes(machine).items():
        if not shape.inside:
            continue
        for address, row in enumerate(images[name]):
            for chunk, data in enumerate(shape.split(row)):  # all of them: the row may hold an older program's bits
                yield shape.number << at["store"] | address << at["row"] | chunk << at["chunk"] | data << at["data"]


def memory_words(machine: Machine, program: Program) -> list[int]:
    """Packed words of the `weights` stream, those of one sample."""
    image, size = memory_image(machine, program), machine.memory_bits // 8
    words = [int.from_bytes(image[at : at + size], "little") for at in range(0, len(image), size)]
    words[-1] |= 1 << machine.memory_bits  # the last
    return words


def expected_entries(denoised: np.ndarray) -> list[tuple[int, int, int]]:
    """The entries (step, key, value) that a denoised map [T, heads, N, N] leaves, in the machine's order."""
    order = denoised.transpose(1, 2, 3, 0)  # head, query, key, step
    return [(int(at[3]), int(at[2]), int(order[tuple(at)])) for at in np.argwhere(order)]


class RtlNetwork:
    """A simulated machine with a model on it; a context manager.

    `machine` with ROM stores is built for this model; with RAM stores the same simulator serves any model that
    fits, through `load`; its first model may then be None. `program`: the model's, where it is compiled already.
    `gates` simulates the netlist for that family in place of the Verilog: the same results and counters, no trace;
    `faults` and `packed` as `Gates` has them. `memory`: where weights are a stream, what they come from.
    """

    def __init__(
        self,
        model: IntegerModel | None,
        machine: Machine,
        *,
        program: Program | None = None,
        waves: Path | str | None = None,
        gates: str | None = None,
        faults: int = 0,
        packed: bool = False,
        memory: MemoryTiming = PERFECT,
    ):
        self.machine, self.memory = machine, memory
        self._loadable = any(shape.inside for shape in store_shapes(machine).values())
        # a machine of RAM stores alone is the same for every model
        every = machine.weights != "rom" and machine.tables != "rom"
        self._rested = False  # the ring of weights is full
        self._loading = 0  # cycles that loading may still take
        if model is not None and program is None:
            program = compile_model(model, machine)
        component = Accelerator(machine, None if every else program, trace=gates is None)
        self._rtl: Rtl
        if gates:
            simulated = Gates(component, gates, name="accelerator", waves=waves, faults=faults, packed=packed)
            self._rtl, self.netlist = simulated, simulated.netlist
        else:
            self._rtl = Rtl(component, name="accelerator", waves=waves)
        if model is not None and program is not None:
            self._load(model, program)

    def __enter__(self) -> "RtlNetwork":
        return self

    def __exit__(self, *_: object) -> None:
        self._rtl.close()

    def load(self, model: IntegerModel, *, waiting: np.ndarray | None = None) -> None:
        """Put a model's program and tables into the machine's RAM stores. A sample may be `waiting` with its first
        byte all the while (`run` with the same one must follow; tables must be loadable). Another opcode then
        stands where the program begins, until the last word puts it right: an early start runs something else."""
        self._load(model, compile_model(model, self.machine), waiting)

    def _load(self, model: IntegerModel, program: Program, waiting: np.ndarray | None = None) -> None:
        self.model, self.program = model, program
        if self.machine.streams:
            self._rtl.feed("weights", memory_words(self.machine, program), self.memory)
            self._rtl.reset()  # what the ring holds is of another model
            self._rest()
        if not self._loadable:
            return
        words = list(load_words(self.machine, self.program))
        if waiting is not None:
            at = {name: field.offset for name, field in load_layout(self.machine)}
            start = store_shapes(self.machine)["program"].number << at["store"]  # row 0, chunk 0 of the program
            first = next(
                index for index, word in enumerate(words) if word & ~((1 << CHUNK) - 1 << at["data"]) == start
            )
            words.append(words[first])
            words[first] ^= max(Opcode) << at["data"]  # the opcode is the instruction's first field
            self._rtl.offer("sample", int(sample_bytes(model, waiting)[0]))
        self._rtl.send("load", words)
        # behind the last word a register of a long pipeline keeps the sample waiting
        self._loading = int(self.machine.registered)

    def _rest(self) -> None:
        """Wait until the ring of weights takes no more."""
        if not self._rested:
            rows = min(self.machine.ring_rows, len(self.program.weight_image))
            self._rtl.advance(self.memory.longest(rows * self.machine.row_words) + 8)
        self._rested = True

    def reset(self) -> None:
        """Reset the machine; loaded stores keep their contents."""
        self._rtl.reset()
        self._rested = False

    def scan(self, store: str, row: int) -> int:
        """A row of a store, read back through the accelerator's `scan` port."""
        shape = store_shapes(self.machine)[store]
        for port, value in {"enable": 1, "store": shape.number, "row": row}.items():
            self._rtl.set(f"scan__{port}", value)
        self._rtl.advance(2)
        found = 0
        for chunk in range(shape.chunks):
            self._rtl.set("scan__chunk", chunk)
            self._rtl.advance()
            found |= self._rtl.get("scan__data") << chunk * CHUNK
        self._rtl.set("scan__enable", 0)
        return found

    def inject(self, fault: int) -> None:
        """Choose one of the `faults` of a netlist; 0 is none."""
        self._rtl.set("fault", fault)

    def run(self, sample: np.ndarray, *, trace: bool = False, limit: int = 20_000_000) -> RtlResult:
        """Classify one sample. Raises `RtlError` when no result comes within `limit` cycles."""
        data = sample_bytes(self.model, sample)
        if self.machine.streams:
            self._rest()
        self._rested = False
        began, self._loading = self._rtl.cycle + self._loading, 0
        self._rtl.collect()
        self._rtl.send("sample", data.astype(np.uint64), limit=limit)
        self._rtl.run("result", limit=limit)
        for _ in range(_LONGEST_END):
            if not self._rtl.get("busy"):
                break
            self._rtl.advance()
        else:
            raise RtlError(f"still busy {_LONGEST_END} cycles after the result")
        self._rtl.advance(COUNTERS)  # the counters of the last pass are written
        beats = self._rtl.collect()
        if len(beats.get("trace_collision", ())):
            raise RtlError(
                f"spike bank: row read while written, first in cycle {beats['trace_collision'].cycle[0]}"
            )
        if len(beats.get("trace_overrun", ())):
            raise RtlError(f"residual: row while busy, first in cycle {beats['trace_overrun'].cycle[0]}")
        decoder = Decoder(self.model, self.machine, self.program)
        logits, class_index = decoder.result(beats["result"])
        passes = tuple(self._counters(index) for index in range(len(self.program.instructions)))
        found = RtlResult(
            logits=logits,
            class_index=class_index,
            cycles=total_cycles(passes),
            began=began,
            passes=passes,
        )
        return replace(found, trace=decoder.trace(beats), entries=decoder.entries(beats)) if trace else found

    def _counters(self, index: int) -> PassCounters:
        found = []
        for which in range(COUNTERS if self.machine.streams else COUNTERS - 1):
            self._rtl.set("counter_address", COUNTERS * index + which)
            self._rtl.advance()
            found.append(self._rtl.get("counter_data"))
        instruction = self.program.instructions[index]
        return PassCounters(instruction.name, instruction.opcode, *found)


class Decoder:
    """Tells what the beats of one sample mean: the logits, and the trace of every layer."""

    def __init__(self, model: IntegerModel, machine: Machine, program: Program):
        self.model, self.machine, self.program = model, machine, program

    def result(self, beats: Beats) -> tuple[np.ndarray, int]:
        machine = self.machine
        index_bits = (machine.max_classes - 1).bit_length()
        logits = []
        for word in beats.values["result__payload"]:
            value = word & ((1 << machine.logit_width) - 1)
            logits.append(value - (value >> (machine.logit_width - 1) << machine.logit_width))
            index = word >> machine.logit_width & ((1 << index_bits) - 1)
            if index != len(logits) - 1:
                raise RtlError(f"result stream: logit {index} came as number {len(logits) - 1}")
            class_index = word >> (machine.logit_width + index_bits) & ((1 << index_bits) - 1)
        return np.array(logits, dtype=np.int64), class_index

    def _rows(self, beats: dict[str, Beats], channel: str, odd: int = 0) -> dict[str, dict[int, int]]:
        """Name of a pass -> address -> row, put together from the slots that were written; the bands of a layer are
        of one name. `odd`: of the pixels of a pool's windows, which."""
        values, machine = beats[channel].values, self.machine
        bits = machine.drain_lanes * machine.time_steps
        masks = [
            sum((1 << bits) - 1 << slot * bits for slot in range(machine.slots) if slots >> slot & 1)
            for slots in range(1 << machine.slots)
        ]
        found: dict[str, dict[int, int]] = {}
        names = [instruction.name for instruction in self.program.instructions]
        columns = (f"{channel}_pass", f"{channel}_address", f"{channel}_slots", channel)
        which = values.get(f"{channel}_odd", [0] * len(values[channel]))
        for number, address, slots, row, pixel in zip(*(values[column] for column in columns), which, strict=True):
            if pixel != odd:
                continue
            rows = found.setdefault(names[number], {})
            rows[address] = (rows.get(address, 0) & ~masks[slots]) | (row & masks[slots])
        return found

    def trace(self, beats: dict[str, Beats]) -> dict[str, np.ndarray]:
        before = [self._rows(beats, "trace_row", odd) for odd in range(4)]
        after = self._rows(beats, "trace_write")
        found = {}
        for number, instruction in enumerate(self.program.instructions):
            if instruction.opcode in (Opcode.INPUT, Opcode.HEAD):
                continue
            name, writes, mode = instruction.name, instruction.writes, instruction.residual
            if name in found:  # of another band
                continue
            spikes = [self._tensor(writes, rows.get(name, {}), planes=1) for rows in before]
            found[name] = self._unpooled(name, spikes) if mode == ResidualMode.POOL else spikes[0]
            if mode != ResidualMode.STORE:
                found[writes] = self._tensor(writes, after.get(name, {}))
            if instruction.opcode == Opcode.ATTENTION:
                found[f"{instruction.reads}.score"] = self._scores(beats["trace_score"], number)
        return {name: self._as_image(name, tensor) for name, tensor in found.items()}

    def _tensor(self, name: str, rows: dict[int, int], planes: int | None = None) -> np.ndarray:
        """The tensor of a region, [T, positions, channels], or its lowest bit planes."""
        region = self.program.regions[name]
        region = replace(region, planes=planes or region.planes)
        lanes, steps = self.machine.row_lanes, self.machine.time_steps
        return tensor_from_rows(region, rows, lanes, steps, self.model.network.time_steps)

    def _shape(self, layer: str) -> tuple[int, int]:
        """Height and width of what a convolution of the stem makes."""
        return next((spec.height, spec.width) for spec in self.model.network.layers() if spec.name == layer)

    def _unpooled(self, layer: str, quarters: list[np.ndarray]) -> np.ndarray:
        """A picture of the four pixels of each window, which come as the windows do."""
        height, width = self._shape(layer)
        high, wide = (height + 1) // 2, (width + 1) // 2
        steps, _, channels = quarters[0].shape
        whole = np.zeros((steps, 2 * high, 2 * wide, channels), quarters[0].dtype)
        for odd, quarter in enumerate(quarters):
            whole[:, odd >> 1 :: 2, odd & 1 :: 2] = quarter.reshape(steps, high, wide, channels)
        if whole[:, height:].any() or whole[:, :, width:].any():
            raise RtlError(f"{layer}: a pixel beyond its picture")
        return whole[:, :height, :width].reshape(steps, height * width, channels)

    def _as_image(self, name: str, tensor: np.ndarray) -> np.ndarray:
        """[T, C, H, W] for what the stem makes."""
        if not name.startswith("stem."):
            return tensor
        layer = name.removesuffix(".pool")
        height, width = self._shape(layer)
        if name != layer:
            height, width = (height + 1) // 2, (width + 1) // 2
        return tensor.transpose(0, 2, 1).reshape(len(tensor), -1, height, width)

    def _scores(self, beats: Beats, number: int) -> np.ndarray:
        network, machine = self.model.network, self.machine
        width = machine.max_head_dim.bit_length()
        words = [
            word
            for word, at in zip(beats.values["trace_score"], beats.values["trace_score_pass"], strict=True)
            if at == number
        ]
        flat = np.array(
            [[word >> (step * width) & ((1 << width) - 1) for word in words] for step in range(network.time_steps)]
        )
        shape = (network.time_steps, network.heads, network.tokens, network.tokens)
        if flat.size != np.prod(shape):
            raise RtlError(f"attention: {flat.size} scores, not {np.prod(shape)}")
        return flat.reshape(shape)

    def entries(self, beats: dict[str, Beats]) -> dict[int, list[tuple[int, int, int]]]:
        values = beats["trace_entry"].values
        passes = [i for i, item in enumerate(self.program.instructions) if item.opcode == Opcode.ATTENTION]
        found: dict[int, list[tuple[int, int, int]]] = {block: [] for block in range(len(passes))}
        columns = ("trace_entry_pass", "trace_entry_step", "trace_entry_key", "trace_entry")
        for number, step, key, value in zip(*(values[column] for column in columns), strict=True):
            found[passes.index(number)].append((step, key, value))
        return found
