# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Finds the weights of `gateware.area` and writes `gateware/area.json`: `python -m ds2ta.records.area_fit` (half an
hour; netlists that are there are not made again).

The blocks of some machines are synthesized, each alone. One set of weights for each family, none below zero, is
fitted to all of them, small blocks counting for more than their size; what remains is a factor for each block, the
mean over the samples and over the boards on record. Blocks around the accelerator are known from the boards alone,
but for those between a ring of weights and an SDRAM, which are synthesized.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from amaranth.lib import wiring

from ds2ta.extras import require
from ds2ta.files import ROOT, demand_checkout, model_path
from ds2ta.fpga.boards import find_board
from ds2ta.fpga.top import SDRAM_ROUND_TRIP, BoardTop
from ds2ta.gateware.area import AROUND, QUANTITIES, RING, Part, counted, parts_of, registers_of
from ds2ta.gateware.blocks import blocks
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machine import Machine, machine_from_dict
from ds2ta.gateware.synthesis import area
from ds2ta.hw.memory_reader import MemoryReader
from ds2ta.hw.ring import WeightRing
from ds2ta.hw.sdram import IS42S16160G, SDRAM_BITS, SdramController
from ds2ta.modelfile import load_model
from ds2ta.records.boards import read_boards

__all__ = ["MACHINES", "main"]

_LARGE: dict[str, int | str] = {"weights": "ram", "tables": "ram", "events": 2, "pipeline": "long"}
_LARGE |= {"shifters": "multipliers"}
_SMALL: dict[str, int | str] = {"weights": "spram", "tables": "ram", "buffer_rows": 8}

#: Family, model, choices: machines whose blocks are synthesized.
MACHINES: tuple[tuple[str, str, dict[str, int | str]], ...] = (
    ("ecp5", "digits-small", {**_LARGE, "lanes": 32, "row_lanes": 16, "drain_lanes": 8, "score_channels": 16}),
    ("ecp5", "digits-small", {**_LARGE, "lanes": 64, "row_lanes": 32, "drain_lanes": 32, "score_channels": 16}),
    ("ecp5", "nmnist-tiny", {**_LARGE, "lanes": 64, "row_lanes": 16, "drain_lanes": 16, "score_channels": 16}),
    ("ecp5", "digits-tiny", {**_LARGE, "lanes": 16, "row_lanes": 8, "drain_lanes": 4, "score_channels": 8}),
    ("ecp5", "digits-small", {**_LARGE, "lanes": 32, "row_lanes": 32, "drain_lanes": 16, "events": 1}),
    ("ecp5", "digits-tiny", {**_LARGE, "lanes": 32, "row_lanes": 8, "drain_lanes": 8, "shifters": "logic"}),
    ("ice40", "digits-tiny", {**_SMALL, "lanes": 8, "row_lanes": 8, "drain_lanes": 2, "score_channels": 8}),
    ("ice40", "digits-tiny", {**_SMALL, "lanes": 16, "row_lanes": 8, "drain_lanes": 4, "score_channels": 4}),
    ("ice40", "digits-tiny", {**_SMALL, "lanes": 16, "row_lanes": 16, "drain_lanes": 4, "score_channels": 8}),
    ("ice40", "digits-tiny", {**_SMALL, "lanes": 8, "row_lanes": 4, "drain_lanes": 1, "score_channels": 4}),
    ("ice40", "digits-small", {**_SMALL, "lanes": 32, "row_lanes": 16, "drain_lanes": 8, "score_channels": 8}),
)
_TABLE = ROOT / "gateware" / "area.json"
_SMALL_BLOCK = 20  # LUTs: what is smaller weighs no more

#: family, block, what it is made of, its LUTs and flip-flops
Sample = tuple[str, str, Part, int, int]


def _synthesized() -> Iterator[Sample]:
    """The blocks of the machines, each alone."""
    for family, name, choices in MACHINES:
        machine, _ = fit(load_model(model_path(name)), **choices)
        for block, component in blocks(machine, None).items():
            yield _sample(family, block, component, f"{name} {block}")


def _sample(family: str, block: str, component: wiring.Component, told: str) -> Sample:
    """A component that is synthesized alone."""
    cells, whole = area(component, family), Part()
    for part in parts_of(component).values():
        whole.add(part)
    print(f"{family} {told}: {cells.luts} LUT, {cells.registers} FF", flush=True)
    return family, block, whole, cells.luts, cells.registers


def _of_sdram() -> Iterator[Sample]:
    """A ring of weights, and what stands between it and an SDRAM."""
    ring = {"memory_bits": SDRAM_BITS, "ports": 2, "latency": 3}
    shape = {"memory_bits": SDRAM_BITS, "address_bits": 20}
    parts: tuple[tuple[str, wiring.Component], ...] = (
        ("core.reader", MemoryReader(**shape, row_words=16, ring_rows=1024)),
        ("core.reader", MemoryReader(**shape, row_words=32, ring_rows=4096)),
        (RING, WeightRing(width=256, rows=1024, **ring)),
        (RING, WeightRing(width=256, rows=2560, **ring)),
        (RING, WeightRing(width=384, rows=3584, **ring)),
        ("sdram", SdramController(IS42S16160G, clock_hz=75_000_000, round_trip=SDRAM_ROUND_TRIP)),
    )
    for block, component in parts:
        yield _sample("ecp5", block, component, block)


def _recorded() -> Iterator[Sample]:
    """The blocks of the boards on record, as synthesis left them in the whole."""
    for report in read_boards().values():
        board = find_board(report["board"])
        machine: Machine = machine_from_dict(report["machine"])
        top = BoardTop(machine, clock_hz=round(report["timing"]["clock_hz"]), memory=board.sdram)
        parts = parts_of(top, AROUND)
        for block, part in parts.items():
            if machine.streams:  # of what lies between ring and engine, much is named after neither
                continue
            # the report spells out the modules around the accelerator, and not what they are of, but for the reader
            modules = {"": "board", "core": "board.core", "accelerator": "board.core.accelerator"}
            spelled = modules.get(block, block if block == "core.reader" else block.rpartition(".")[2])
            if (own := report["blocks"].get(spelled)) is not None:
                yield board.family, block, part, own["luts"], own["registers"]


def _weights(samples: Iterable[Sample]) -> dict[str, float]:
    """LUTs of a bit of each quantity."""
    from scipy.optimize import nnls

    rows, wanted = [], []
    for family, _, part, luts, _ in samples:
        if luts:
            scale = 1 / np.sqrt(max(luts, _SMALL_BLOCK))
            rows.append([scale * many for many in counted(part, family).values()])
            wanted.append(scale * luts)
    found, _ = nnls(np.array(rows), np.array(wanted))
    return dict(zip(QUANTITIES, (round(float(value), 3) for value in found), strict=True))


def _factors(samples: Iterable[Sample], weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What the weights, and the bits that are set, miss of each block."""
    sums: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for family, block, part, luts, registers in samples:
        own = sum(weights[name] * many for name, many in counted(part, family).items())
        sums[block].append((luts, own, registers, registers_of(part, family)))
    found = {}
    for block, values in sums.items():
        luts, own, registers, bits = np.sum(values, axis=0)
        found[block] = {"luts": round(luts / own, 3) if own else 0.0}
        found[block]["registers"] = round(registers / bits, 3) if bits else 0.0
    return found


def main() -> None:
    """Fit, and write the table."""
    demand_checkout("area_fit")
    require("scipy", "pyosys")
    alone, whole = list(_synthesized()), [*_of_sdram(), *_recorded()]
    table: dict[str, Any] = {}
    for family in ("ecp5", "ice40"):
        weights = _weights(one for one in alone if one[0] == family)
        factors = _factors((one for one in (*alone, *whole) if one[0] == family), weights)
        table[family] = {"quantities": weights, "blocks": factors}
    # by nextpnr's packing of logic cells; for ECP5 `estimate` knows its rules
    packing = [
        report["resources"]["luts"]["used"] / report["resources"]["luts"]["mapped"]
        for report in read_boards().values()
        if find_board(report["board"]).family == "ice40"
    ]
    table["ice40"]["packing"] = round(float(np.mean(packing)), 3)
    _TABLE.write_text(json.dumps(table, indent=1) + "\n")
    print(_TABLE)


if __name__ == "__main__":
    main()
