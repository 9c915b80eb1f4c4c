# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How much of what the adders of a machine could do they really do, and where the rest goes."""

from dataclasses import asdict, dataclass

import numpy as np

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.model import IntegerModel
from ds2ta.sim.expected import expect

__all__ = ["Work", "measure_work"]


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


def measure_work(model: IntegerModel, machine: Machine, program: Program, samples: np.ndarray) -> Work:
    """The work of `model` with some samples on `machine`."""
    from ds2ta.golden.operations import measure

    network, count = model.network, len(samples)
    operations = measure(model, samples).operations
    first = network.layers()[0].name
    once = network.time_steps if network.input.kind == "image" else 1
    needed = sum(
        value.sum() // (once if name == first else 1)
        for name, value in operations.items()
        if name in model.synapses
    )
    runs = [expect(model, machine, program, sample) for sample in samples]
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
