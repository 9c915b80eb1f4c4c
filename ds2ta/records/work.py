# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How much of what the adders of a machine could do they really do, and where the rest goes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.model import IntegerModel
from ds2ta.sim.expected import expect

__all__ = ["Work", "measure_work", "needed_additions"]


@dataclass(frozen=True)
class Work:
    """Means over some samples, by the cycle model.

    needed: additions of weights that the sample asks for, those of an image's first layer counted once instead of
    once in each time step; Q K^T and A x V, which other units do, are left out. per_cycle: of them in a cycle.
    peak: additions that the machine could do in a cycle, `lanes time_steps events`.

    The share `done_percent` = 100 per_cycle / peak is a product of four, in percent: `synaptic`: cycles of the
    passes that add at all; `slots`: places for an event in those cycles that have one; `lanes`: lanes of these that
    belong to an output; `words`: the rest, that is steps or pixels without a spike, and taps that a line at once
    does not have.
    """

    model: str
    samples: int
    lanes: int
    time_steps: int
    events: int
    cycles: float
    needed: float
    per_cycle: float
    peak: int
    done_percent: float
    synaptic_percent: float
    slots_percent: float
    lanes_percent: float
    words_percent: float

    def row(self) -> dict:
        """As a record."""
        return asdict(self)

    def line(self) -> str:
        """For people, both shares."""
        return (
            f"{self.slots_percent:.1f} % of the places for events in cycles of additions are used; "
            f"{self.per_cycle:.1f} needed additions a cycle, {self.done_percent:.1f} % of the peak of {self.peak} "
            f"(mean of {self.samples} {'sample' if self.samples == 1 else 'samples'})"
        )


def needed_additions(
    model: IntegerModel, program: Program, sample: np.ndarray, trace: Mapping[str, np.ndarray]
) -> int:
    """Additions of weights that a sample asks for, by its trace of a golden model: for each set bit of an input,
    one for each output that reads it. A still image counts once, not in each time step.

    `golden.operations` counts the same for many samples at once, with torch; this one is for `ds2ta info` and
    builds, which have none."""
    total = 0
    layers = {item.name: item for item in program.instructions if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD)}
    for item in layers.values():  # of a layer in bands the last one, which reads what all of them do
        spec = model.synapses[item.name].spec
        x = np.asarray(sample if item.reads == "input" else trace[item.reads]).astype(np.int64)
        bits = np.sum([x >> plane & 1 for plane in range(max(1, int(x.max(initial=0)).bit_length()))], axis=0)
        if spec.kernel == 1:
            total += int(np.sum(bits)) * spec.outputs
            continue
        # [.., C, H, W], or tokens [T, N, C]
        images = bits if x.ndim == 4 or item.reads == "input" else np.moveaxis(bits, -1, -2)
        picture = np.reshape(images, (-1, spec.height, spec.width)).sum(axis=0)
        high, wide = (
            np.array([min(at + 1, size - 1) - max(at - 1, 0) + 1 for at in range(size)])
            for size in (spec.height, spec.width)
        )
        total += int((picture * np.outer(high, wide)).sum()) * spec.outputs
    return total


def measure_work(model: IntegerModel, machine: Machine, program: Program, samples: np.ndarray) -> Work:
    """The work of `model` with some samples on `machine`."""
    network, count = model.network, len(samples)
    runs = [expect(model, machine, program, sample) for sample in samples]
    needed = sum(
        needed_additions(model, program, sample, run.trace) for sample, run in zip(samples, runs, strict=True)
    )
    instructions = {item.name: item for item in program.instructions}
    cycles = sum(run.cycles for run in runs)
    synaptic = slots = lanes = 0
    for item in (item for run in runs for item in run.passes if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD)):
        instruction, outputs = instructions[item.name], model.synapses[item.name].spec.outputs
        tiles = instruction.tiles_last + 1
        synaptic += item.cycles
        slots += item.events
        lanes += item.events * min(instruction.lines * outputs // tiles, machine.lanes)
    width, peak = machine.lanes, machine.lanes * machine.time_steps * machine.events
    shares = {
        "synaptic": synaptic / cycles,
        "slots": slots / (synaptic * machine.events),
        "lanes": lanes / (slots * width),
        "words": needed / (lanes * machine.time_steps),
    }
    return Work(
        model=network.name,
        samples=count,
        lanes=machine.lanes,
        time_steps=machine.time_steps,
        events=machine.events,
        cycles=cycles / count,
        needed=float(needed) / count,
        per_cycle=float(needed) / cycles,
        peak=peak,
        done_percent=100 * float(needed) / cycles / peak,
        **{f"{name}_percent": 100 * float(share) for name, share in shares.items()},
    )
