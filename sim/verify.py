# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Held-out samples through the emitted Verilog, everything that it shows against golden and the cycle model.

For each sample: the trace of every layer, the kept entries of every attention map, logits and class against the
golden model, and the counters of every pass against the cycle model. `ds2ta verify` runs this on a data set.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ds2ta.errors import DataError
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.sequencer import PassCounters
from ds2ta.gateware.weight_feed import PERFECT, SDRAM
from ds2ta.golden.data.sets import dataset_names, load_data, reads_files, set_name
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.model import IntegerModel
from ds2ta.sim.backends import Difference, first_difference
from ds2ta.sim.network import RtlNetwork, RtlResult, expected_entries
from ds2ta.sim.rtl import RtlError

__all__ = ["Seen", "difference", "held_out", "kept_scores", "place", "summary", "verify"]


@dataclass(frozen=True)
class Seen:
    """What the Verilog did with one sample. `difference`: the first thing that is not as expected, in one line, or
    None; where there was no answer at all, `result` is None. `seconds`: of the simulation alone."""

    difference: str | None
    result: RtlResult | None
    seconds: float


def held_out(model: IntegerModel, folder: str | os.PathLike | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` held-out samples of the data set that a model was trained on, and their labels; where that
    set needs a `folder` and none is given, or no set is known, those that the model's file holds. Raises
    `DataError` where there are fewer, or they are none of this model's inputs."""
    name = model.provenance.get("data", "")
    if folder is None and (name not in dataset_names() or reads_files(name)):
        if len(model.samples) < count:
            raise DataError(
                f"model {model.network.name}: its file holds {len(model.samples)} samples, --samples asks for "
                f"{count}; --data DIR gives those of its data set, {set_name(name) or 'which it does not name'}"
            )
        return model.samples[:count], model.labels[:count]
    data = load_data(name, folder)
    if (data.input, data.classes) != (model.network.input, model.network.classes):
        raise DataError(f"data set {data.name}: its samples or classes are not those of model {model.network.name}")
    if len(data.test_labels) < count:
        raise DataError(
            f"data set {data.name}: {len(data.test_labels)} held-out samples, --samples asks for {count}"
        )
    return data.test_samples[:count], data.test_labels[:count]


def place(found: Difference) -> str:
    """`LAYER differs first, at step 1, token 2, channel 3`."""
    return f"{found.layer} differs first, at {', '.join(f'{axis} {index}' for axis, index in found.place.items())}"


def kept_scores(passes: Sequence[PassCounters]) -> list[int]:
    """Entries of the denoised map that are not zero, in each block, as the machine counted them."""
    return [item.events for item in passes if item.opcode == Opcode.ATTENTION]


def difference(
    network: RtlNetwork, sample: np.ndarray, wanted: Mapping[str, np.ndarray], found: RtlResult
) -> str | None:
    """The first thing in which a traced run is not what the golden trace `wanted` and the cycle model say, in one
    line."""
    model, trace = network.model, found.trace | {"logits": found.logits}
    maps = [f"block.{block}.denoised" for block in range(model.network.depth)]  # the machine shows their entries
    if missing := sorted(set(wanted) - set(trace) - set(maps)):
        return f"{missing[0]}: the rtl shows no such layer"
    if (first := first_difference(model, wanted, trace)) is not None:
        return f"{place(first)}: golden {first.left}, rtl {first.right}"
    for block, name in enumerate(maps):
        golden, entries = expected_entries(wanted[name]), found.entries.get(block, [])
        for number, (one, other) in enumerate(zip(golden, entries, strict=False)):
            if one != other:
                return f"{name} differs first, at kept entry {number} (step, key, value): golden {one}, rtl {other}"
        if len(golden) != len(entries):
            return f"{name}: golden keeps {len(golden)} entries, rtl {len(entries)}"
        kept, count = kept_scores(found.passes)[block], int(np.count_nonzero(wanted[name]))
        if (kept - count) % (1 << network.machine.counter_width):  # it wraps, as all counters do
            return f"{name}: golden keeps {count} entries, the rtl's counter says {kept}"
    if found.class_index != (index := int(np.argmax(wanted["logits"]))):
        return f"class: golden {index}, rtl {found.class_index}"
    wrap = 1 << network.machine.counter_width
    passes = predict(network.program, network.machine, sample, wanted, memory=network.memory, began=found.began)
    for seen, expected in zip(found.passes, passes, strict=True):
        for counter in ("cycles", "events", "rows", "waits"):
            if (one := getattr(expected, counter) % wrap) != (other := getattr(seen, counter)):
                return f"pass {seen.name}: {counter}: cycle model {one}, rtl {other}"
    return None


def verify(model: IntegerModel, machine: Machine, program: Program, samples: np.ndarray) -> Iterator[Seen]:
    """Run every sample, one at a time, on a machine with the model's program; the simulator is built before the
    first. Weights that are a stream come from a memory like an SDRAM."""
    golden = IntegerNetwork(model)
    memory = SDRAM if machine.streams else PERFECT
    with RtlNetwork(model, machine, program=program, memory=memory) as network:
        for sample in samples:
            trace = golden.trace(sample[None])
            wanted = {name: np.asarray(value)[0] for name, value in trace.items()}
            started = time.perf_counter()
            try:
                found = network.run(sample, trace=True)
            except RtlError as error:
                yield Seen(str(error), None, time.perf_counter() - started)
                network.reset()
                continue
            seconds = time.perf_counter() - started
            yield Seen(difference(network, sample, wanted, found), found, seconds)


def summary(model: IntegerModel, machine: Machine, seen: Sequence[Seen], labels: np.ndarray) -> dict:
    """Figures of a run as JSON data; those that were answered count. `passes`: means over samples. `blocks`: the
    attention maps of all samples together, `scores` their entries that are not zero before the denoiser, `kept`
    those after it, by the machine's own counter."""
    answered = [item.result for item in seen if item.result is not None]
    cycles, classes = [item.cycles for item in answered], [item.class_index for item in answered]
    network, count = model.network, max(1, len(answered))
    right = [item.result.class_index == label for item, label in zip(seen, labels, strict=True) if item.result]
    entries = len(answered) * network.time_steps * network.heads * network.tokens**2
    scores = [
        sum(int(np.count_nonzero(item.trace[f"block.{block}.score"])) for item in answered)
        for block in range(network.depth)
    ]
    kept = [sum(block) for block in zip(*(kept_scores(item.passes) for item in answered), strict=True)]
    return {
        "samples": len(seen),
        "mismatches": sum(item.difference is not None for item in seen),
        "accuracy": 100 * sum(right) / count,
        "lanes": machine.lanes,
        "time_steps": machine.time_steps,
        "cycles": {"mean": sum(cycles) / count, "min": min(cycles, default=0), "max": max(cycles, default=0)},
        "blocks": [
            {"block": block, "entries": entries, "scores": scores[block], "kept": kept[block]}
            for block in range(len(kept))
        ],
        "passes": [
            {
                "pass": passes[0].name,
                "kind": passes[0].opcode.name.lower(),
                "cycles": sum(item.cycles for item in passes) / count,
                "events": sum(item.events for item in passes) / count,
            }
            for passes in zip(*(item.passes for item in answered), strict=True)
        ],
        "classes": classes,
        "cycles_each": cycles,
        "rtl_seconds": round(sum(item.seconds for item in seen), 1),
    }
