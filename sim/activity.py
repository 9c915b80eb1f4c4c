# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What the machine itself counts on real samples, against the golden model's counts of the same samples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ds2ta.errors import FitError
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.golden.operations import Activity
from ds2ta.model import IntegerModel
from ds2ta.sim.expected import Expected, expect
from ds2ta.sim.network import RtlNetwork, RtlResult

__all__ = ["Counted", "count", "unequal"]

_COUNTED = (Opcode.SYNAPSE, Opcode.ATTENTION, Opcode.HEAD)


@dataclass(frozen=True)
class Counted:
    """By pass: int64 `[n]` counted events. `tiles`: how often a pass reads its input, once for each tile of output
    channels, of those that take one pixel and one line at a time; the others make events of their own, which are in
    `modelled` as the cycle model has them. `logits` int64 `[n, classes]`, `cycles` int64 `[n]`."""

    events: dict[str, np.ndarray]
    tiles: dict[str, int]
    modelled: dict[str, np.ndarray]
    logits: np.ndarray
    cycles: np.ndarray

    def kept(self, depth: int) -> np.ndarray:
        """Entries of the denoised map, int64 `[n, depth]`."""
        columns = [self.events[f"block.{block}.attn"] for block in range(depth)]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.cycles), 0), np.int64)


def count(
    model: IntegerModel,
    machine: Machine,
    program: Program,
    samples: np.ndarray,
    *,
    progress: Callable[[np.ndarray], Iterable] = iter,
) -> Counted:
    """Run `samples` through the emitted Verilog and read its counters after each."""
    counted = [item for item in program.instructions if item.opcode in _COUNTED]
    alone = {item.name: item.lines == 1 and not item.pixels for item in counted}
    with RtlNetwork(model, machine, program=program) as rtl:
        results: list[RtlResult] = [rtl.run(sample) for sample in progress(samples)]
    models = [] if all(alone.values()) else [expect(model, machine, program, sample) for sample in samples]

    return Counted(
        events={name: _events(results, name) for name in alone},
        tiles={
            item.name: 1 if item.opcode == Opcode.ATTENTION else item.tiles_last + 1
            for item in counted
            if alone[item.name]
        },
        modelled={name: _events(models, name) for name in alone if not alone[name]},
        logits=np.stack([found.logits for found in results]),
        cycles=np.array([found.cycles for found in results]),
    )


def _events(runs: Iterable[RtlResult | Expected], name: str) -> np.ndarray:
    """The events of a layer in each run, of all its bands."""
    return np.array([sum(item.events for item in run.passes if item.name == name) for run in runs])


def unequal(golden: Activity, rtl: Counted, machine: Machine) -> str | None:
    """The first pass and sample in which the machine counts other events or answers other logits than the golden
    model, or other events than the cycle model where it packs them; None when all are equal. `FitError` where a
    count is beyond the machine's counters, which start over."""
    by_golden = {name: golden.events[name] * tiles for name, tiles in rtl.tiles.items()}
    for name, wanted in {**by_golden, **rtl.modelled}.items():
        if wanted.max() >> machine.counter_width:
            raise FitError(
                f"{name}: {wanted.max()} events are beyond the machine's counters of {machine.counter_width} bits; "
                "add --set counter_width=32"
            )
        if wrong := np.flatnonzero(rtl.events[name] != wanted).tolist():
            at, whose = wrong[0], "golden" if name in by_golden else "the cycle model"
            return f"sample {at}: {name}: the RTL counts {rtl.events[name][at]} events, {whose} {wanted[at]}"
    if wrong := np.flatnonzero((rtl.logits != golden.logits).any(axis=1)).tolist():
        at = wrong[0]
        return f"sample {at}: the RTL's logits are {rtl.logits[at].tolist()}, golden's {golden.logits[at].tolist()}"
    return None
