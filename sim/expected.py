# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a machine must make of a sample: the trace of the slow golden model, and the counters of the cycle model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.integration import Run
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.sequencer import PassCounters
from ds2ta.gateware.weight_feed import PERFECT, SDRAM
from ds2ta.golden import slow
from ds2ta.model import IntegerModel

_CELLS = Path(__file__).with_name("primitives.v")

__all__ = ["Expected", "expect", "noise", "predicted_cycles", "shown_run"]


@dataclass(frozen=True)
class Expected:
    """One sample: every tensor of the network by name, and the counters of every pass."""

    trace: dict[str, np.ndarray]
    passes: tuple[PassCounters, ...]

    @property
    def logits(self) -> tuple[int, ...]:
        return tuple(self.trace["logits"].tolist())

    @property
    def class_index(self) -> int:
        return int(np.argmax(self.trace["logits"]))

    @property
    def cycles(self) -> int:
        """From the first byte at an idle machine to the end."""
        return total_cycles(self.passes)


def expect(model: IntegerModel, machine: Machine, program: Program, sample: np.ndarray) -> Expected:
    """What `program`, compiled from `model` for `machine`, must make of a sample. Weights that are a stream come
    from a memory like an SDRAM."""
    trace = slow.run(model, sample)
    return Expected(trace, predict(program, machine, sample, trace, memory=SDRAM if machine.streams else PERFECT))


def predicted_cycles(
    model: IntegerModel, machine: Machine, program: Program, samples: Iterable[np.ndarray]
) -> list[int]:
    """Exact cycles of each sample, without a simulation."""
    return [expect(model, machine, program, sample).cycles for sample in samples]


def shown_run(model: IntegerModel, machine: Machine, program: Program, sample: np.ndarray) -> Run:
    """A sample for a test bench beside emitted Verilog, where weights that are a stream come without a pause."""
    trace = slow.run(model, sample)
    found = Expected(trace, predict(program, machine, sample, trace, memory=PERFECT))
    return Run(
        sample=sample_bytes(model, sample).tolist(),
        logits=found.logits,
        class_index=found.class_index,
        cycles=found.cycles,
        cells=_CELLS.read_text(),
    )


def noise(model: IntegerModel) -> np.ndarray:
    """One sample, always the same, in the place of those that a file leaves out: pixels of every level, or frames
    in which one pixel in sixteen has seen an event."""
    generator, top = np.random.default_rng(0), (1 << model.network.input.bits) - 1
    shape = (1, *model.network.sample_shape)
    if model.network.input.kind == "frames":
        return (generator.random(shape) < 1 / 16).astype(np.uint8)
    return generator.integers(0, top, shape, np.uint8, endpoint=True)
