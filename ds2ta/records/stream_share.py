# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What streamed weights cost: `python -m ds2ta.records.stream_share MODEL [--set KEY=VALUE ...]`.

For each pass of the first sample of a model's file, on a machine whose weights are a stream from an SDRAM: its
exact cycles; those of the same machine with all weights on the chip (its work); how long the memory takes to read
its weights (its reading). A pass that could not read ahead would take the larger of the two. What a pass takes
beyond that is waiting for what the ring could not hold, and for the port that the ring's writes take; less is
reading that passes before it have hidden.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2ta.errors import EXIT_USAGE, Ds2taError, FitError
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machines import STREAMED, machine_choices
from ds2ta.gateware.weight_feed import SDRAM, MemoryTiming
from ds2ta.golden import slow
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model

__all__ = ["Share", "main", "stream_share"]


@dataclass(frozen=True)
class Share:
    """Cycles of a pass: in all, of its work, of its reading."""

    name: str
    cycles: int
    work: int
    reading: int

    @property
    def least(self) -> int:
        """What a pass takes that reads its own weights while it works."""
        return max(self.work, self.reading)


def stream_share(model: IntegerModel, choices: dict[str, int | str], memory: MemoryTiming = SDRAM) -> list[Share]:
    """All passes of a model's first sample. `choices`: of a machine whose weights are a stream."""
    if not len(model.samples):
        raise FitError(f"model {model.network.name}: it holds no samples to count cycles with")
    machine, program = fit(model, **choices)
    if not machine.streams:
        raise FitError(f"machine: weights: {machine.weights} is no stream; --set weights=stream makes it one")
    whole = {"weights": "ram", "ring_rows": 0, "memory_bits": 0, "weight_rows": 1 << 22}
    held = machine.model_copy(update=whole)
    sample = model.samples[0]
    trace = slow.run(model, sample)
    streamed = predict(program, machine, sample, trace, memory=memory)
    work = predict(compile_model(model, held), held, sample, trace)
    return [
        Share(
            name=mine.name,
            cycles=mine.cycles,
            work=alone.cycles,
            reading=_reading(memory, item.tile_rows * (item.tiles_last + 1) * machine.row_words),
        )
        for item, mine, alone in zip(program.instructions, streamed, work, strict=True)
    ]


def _reading(memory: MemoryTiming, words: int) -> int:
    """Cycles that the memory takes for so many words one after another."""
    if not words:
        return 0
    cycles = words + (words // memory.page_words * memory.page_gap if memory.page_words else 0)
    return round(cycles * memory.period / (memory.period - memory.busy))


def main(arguments: Sequence[str] | None = None) -> None:
    """A table, and the sum. Exit code 2 and one line for bad input."""
    parser = argparse.ArgumentParser(prog="python -m ds2ta.records.stream_share")
    parser.add_argument("model", type=Path)
    parser.add_argument("--set", dest="settings", action="append", metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    try:
        model = load_model(given.model)
        shares = stream_share(model, STREAMED | machine_choices(model, given.settings))
    except Ds2taError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    print(f"{'pass':14}{'cycles':>10}{'work':>10}{'reading':>10}")
    for share in shares:
        print(f"{share.name:14}{share.cycles:10}{share.work:10}{share.reading:10}")
    cycles, least = sum(share.cycles for share in shares), sum(share.least for share in shares)
    print(f"{cycles} cycles, {cycles / least:.3f} times the larger of work and reading of each pass")


if __name__ == "__main__":
    main()
