# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The planner: chooses the machine that runs a model on a device in the fewest cycles, or in the fewest LUTs.

Cycles come from the exact cycle model, on samples of the model; the area from the estimate of `gateware.area`. The
search is a climb: from a small machine that fits, one choice at a time is changed to the next larger or smaller
value, whichever change gains most, until none gains. It is quick and exact about what it has tried; what it has not
tried may be better. Where the device has an external memory, weights may be a stream from it; where a machine takes
too many block RAMs, it is tried again with a smaller bank A.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.lib import wiring
from amaranth.utils import ceil_log2

from ds2ta.errors import FitError
from ds2ta.gateware.area import AROUND, BLOCK_BITS, SINGLE_PORT_BITS, Estimate, estimate
from ds2ta.gateware.compiler import ADDRESS_A, Program, fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.needs import row_lanes_for
from ds2ta.gateware.weight_feed import PERFECT, MemoryTiming
from ds2ta.model import IntegerModel

__all__ = ["FILL", "GOALS", "External", "Plan", "plan"]

#: What may be wanted least of.
GOALS = ("cycles", "area")
#: Share of a device's LUTs that place and route can still use, by family.
FILL = {"ice40": 0.97, "ecp5": 0.8}
_LANES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)  # rows of a tile

Choices = dict[str, int | str]
#: Samples' traces, from a golden model, for the cycle model.
Trace = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """A machine, with the program of the model that it was planned for. cycles: mean of the samples; tried:
    machines that were compared."""

    choices: Choices
    machine: Machine
    program: Program
    cycles: float
    area: Estimate
    tried: int


@dataclass(frozen=True)
class External:
    """A memory beside the device, for weights: bits of a word, and when it has them."""

    bits: int
    timing: MemoryTiming


def _banks_a(program: Program) -> list[int]:
    """Rows that a smaller bank A might have, the largest first: the input may come in bands, all else lies there as
    a whole."""
    regions = {name: region for name, region in program.regions.items() if ADDRESS_A in region.banks}
    whole = regions.pop("input").rows
    least = max((region.base + region.rows for region in regions.values()), default=whole)
    if whole <= least:
        return [least] if least < program.bank_rows else []
    most = min(whole, program.bank_rows)
    return [1 << bits for bits in reversed(range(ceil_log2(least), most.bit_length())) if 1 << bits < most]


class _Search:
    def __init__(
        self,
        model: IntegerModel,
        samples: Sequence[tuple[np.ndarray, Trace]],
        design: Callable[[Machine], wiring.Component],
        family: str,
        limits: Mapping[str, int],
        fixed: Choices,
        goal: str,
        external: External | None,
        progress: Callable[[int, str], None],
    ):
        self._model, self._samples, self._design = model, samples, design
        self._family, self._limits, self._fixed, self._goal = family, limits, fixed, goal
        self._external, self._progress = external, progress
        self._known: dict[tuple, Plan | None] = {}
        self.refusals: list[str] = []  # why machines did not fit
        rows = row_lanes_for(model.network.head_dim)
        powers = (1, 2, 4, 8, 16, 32)
        scales: dict[str, Sequence[int | str]] = {
            "row_lanes": sorted(rows),
            "tile_rows": _LANES,
            "drain_lanes": powers,
            "score_channels": powers,
            "buffer_rows": (4, 8, 16, 32),
            "events": (1, 2),
            "shifters": ("logic", "multipliers") if limits.get("multipliers") and family == "ecp5" else ("logic",),
            "weights": self._stores(),
            "banks": ("block", "spram") if limits.get("single_port_rams") else ("block",),
        }
        # a lane count that is given is not a number of rows
        self.scales = {key: values for key, values in scales.items() if key not in fixed}
        if "lanes" in fixed:
            del self.scales["tile_rows"]

    def _stores(self) -> list[str]:
        """Where weights may lie, the slowest first. What cannot hold all of their bits is left out."""
        if "weights" in self._fixed:
            return [str(self._fixed["weights"])]
        layers = self._model.synapses.values()
        bits = sum(layer.weight.size for layer in layers) * max(layer.bits for layer in layers)
        room = {
            "stream": bits if self._external else 0,
            "ram": self._limits["block_rams"] * BLOCK_BITS[self._family],
            "spram": self._limits.get("single_port_rams", 0) * SINGLE_PORT_BITS,
        }
        found = [name for name, most in room.items() if most >= bits]
        if not found:
            raise FitError(
                f"model {self._model.network.name}: its weights have {bits / 1e3:,.0f} kbit, the device's memories "
                f"{(room['ram'] + room['spram']) / 1e3:,.0f}, and it has no external memory for them; fewer bits, "
                "a smaller network or another device mends it"
            )
        return found

    def choices(self, place: Mapping[str, int]) -> Choices:
        """The machine's choices at a place: an index into the scale of each."""
        found = self._fixed | {key: values[place[key]] for key, values in self.scales.items()}
        if "tile_rows" in found:
            found["lanes"] = int(found.pop("tile_rows")) * int(found["row_lanes"])
        if found.get("weights") == "stream" and self._external:
            found.setdefault("memory_bits", self._external.bits)
        return found

    def _area(self, machine: Machine) -> tuple[Estimate, dict[str, tuple[int, int]]]:
        """The estimate, and what is too much of it."""
        area = estimate(self._design(machine), self._family, AROUND)
        return area, area.over(self._limits, FILL[self._family])

    def _tried(self, place: Mapping[str, int], below: float) -> Plan | None:
        choices = self.choices(place)
        try:
            machine, program = fit(self._model, **choices)
            area, over = self._area(machine)
            smaller = [] if "bank_a_rows" in choices or machine.banks == "spram" else _banks_a(program)
            while "block_rams" in over and smaller:
                choices["bank_a_rows"] = smaller.pop(0)
                machine, program = fit(self._model, **choices)
                area, over = self._area(machine)
        except FitError as error:
            self.refusals.append(str(error))
            return None
        if over:
            name, (need, most) = next(iter(over.items()))
            self.refusals.append(f"{name}: about {need} of the {most} that may be used")
            return None
        memory = self._external.timing if machine.streams and self._external else PERFECT
        cycles = sum(total_cycles(predict(program, machine, *sample, memory=memory)) for sample in self._samples)
        if self._goal == "cycles" and cycles > below * len(self._samples):
            return None
        return Plan(choices, machine, program, cycles / len(self._samples), area, 0)

    def at(self, place: Mapping[str, int], below: float = float("inf")) -> Plan | None:
        """The plan at a place, if that machine fits, and is of no more cycles than `below` where these are the goal
        (which only falls)."""
        key = tuple(sorted(place.items()))
        if key not in self._known:
            self._known[key] = plan = self._tried(place, below)
            told = f"{plan.cycles:.0f} cycles, about {plan.area.luts} LUT" if plan else "no better, or does not fit"
            self._progress(len(self._known), told)
        return self._known[key]

    def worth(self, plan: Plan) -> tuple[float, float]:
        """Less is better."""
        wanted = plan.cycles, float(plan.area.luts + plan.area.registers / 2)
        return wanted if self._goal == "cycles" else wanted[::-1]

    def climb(self, place: dict[str, int]) -> Plan | None:
        """To the best place next to any that is better than the last."""
        best = self.at(place)
        while True:
            found = best
            for near in self._near(place):
                plan = self.at(near, best.cycles if best else float("inf"))
                if plan is not None and (found is None or self.worth(plan) < self.worth(found)):
                    found, following = plan, near
            if found is best or found is None:
                return best
            best, place = found, following

    def _near(self, place: Mapping[str, int]) -> list[dict[str, int]]:
        """One choice a step up or down."""
        found = []
        for key, values in self.scales.items():
            for step in (1, -1):
                if 0 <= place[key] + step < len(values):
                    found.append({**place, key: place[key] + step})
        return found

    @property
    def tried(self) -> int:
        """Machines that were looked at."""
        return len(self._known)


def plan(
    model: IntegerModel,
    samples: Sequence[tuple[np.ndarray, Trace]],
    *,
    design: Callable[[Machine], wiring.Component],
    family: str,
    limits: Mapping[str, int],
    fixed: Choices,
    goal: str,
    external: External | None = None,
    progress: Callable[[int, str], None] = lambda *_: None,
) -> Plan:
    """The best machine that was found for `model` on a device.

    `samples`: some of the model, each with its trace by a golden model. `design`: the whole design that must fit
    the device, around a machine. `limits` as in `fpga.boards`. `fixed`: choices that are not the planner's. `goal`:
    one of `GOALS`. `external`: the device's memory for weights, if it has one. `progress` is told how many machines
    were tried, and of the last its figures. Raises `FitError` where none fits, with the least that was in the
    way."""
    if goal not in GOALS:
        raise FitError(f"--optimize {goal}: must be {' or '.join(GOALS)}")
    if not samples:
        raise FitError(
            f"model {model.network.name}: it holds no samples to count cycles with; add some to the file"
        )
    search = _Search(model, samples, design, family, limits, fixed, goal, external, progress)
    starts = [{key: min(at, len(values) - 1) for key, values in search.scales.items()} for at in (0, 2)]
    found = [best for start in starts if (best := search.climb(start)) is not None]
    if not found:
        raise FitError(
            f"model {model.network.name}: none of {search.tried} machines fits the device: {search.refusals[-1]}"
        )
    best = min(found, key=search.worth)
    return Plan(best.choices, best.machine, best.program, best.cycles, best.area, search.tried)
