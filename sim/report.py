# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A page about a model on hardware: network, cycles by pass, activity, attention, memories, boards.

One file without anything from elsewhere: style and drawings (SVG) stand in it, there is no script. Everything in it
comes from the slow golden model, the exact cycle model and the estimate of area, so it needs no more than the base
package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jinja2
import numpy as np

from ds2ta.gateware.compiler import Program, fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.stores import store_shapes
from ds2ta.gateware.weight_feed import PERFECT, SDRAM
from ds2ta.golden import slow
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.network import Network

__all__ = ["Pass", "Region", "page", "passes_of", "rates_of", "regions_of"]

#: What a pass does, in words.
KINDS = {
    Opcode.INPUT: "input",
    Opcode.SYNAPSE: "synapses",
    Opcode.ATTENTION: "attention",
    Opcode.HEAD: "head",
}


@dataclass(frozen=True)
class Pass:
    """A pass of the layer program, mean of the samples."""

    name: str
    kind: str
    cycles: float
    events: float
    waits: float


@dataclass(frozen=True)
class Region:
    """Rows of a bank that hold a tensor, from one pass through another (their places in the program)."""

    name: str
    bank: str
    base: int
    rows: int
    born: int
    last: int


def passes_of(
    machine: Machine,
    program: Program,
    samples: Sequence[np.ndarray],
    traces: Sequence[Mapping[str, np.ndarray]],
) -> tuple[list[Pass], float]:
    """The passes in their order, and the cycles of a sample, by the exact cycle model."""
    memory = SDRAM if machine.streams else PERFECT
    found = [
        predict(program, machine, sample, trace, memory=memory)
        for sample, trace in zip(samples, traces, strict=True)
    ]
    means = [
        Pass(
            items[0].name,
            KINDS[items[0].opcode],
            float(np.mean([item.cycles for item in items])),
            float(np.mean([item.events for item in items])),
            float(np.mean([item.waits for item in items])),
        )
        for items in zip(*found, strict=True)
    ]
    return means, float(np.mean([total_cycles(items) for items in found]))


def rates_of(traces: Sequence[Mapping[str, np.ndarray]]) -> list[tuple[str, list[float]]]:
    """For each tensor of spikes, the share of its values in a time step that is not zero, mean of the samples."""
    names = [name for name in traces[0] if not name.endswith((".score", "logits"))]
    return [
        (
            name,
            [
                float(np.mean([np.mean(trace[name][step] != 0) for trace in traces]))
                for step in range(len(traces[0][name]))
            ],
        )
        for name in names
    ]


def regions_of(program: Program) -> list[Region]:
    """Where tensors lie, and when: a region is born by the first pass that writes it, and lives through the last
    that reads it, or joins in it."""
    order: dict[str, list[int]] = {}
    for number, item in enumerate(program.instructions):
        for name in (item.reads, item.writes):
            parts = [name] if name in program.regions else [f"{name}.{part}" for part in "qkv"]
            for part in parts:
                if part in program.regions:
                    order.setdefault(part, []).append(number)
    return [
        Region(name, "AB"[bank], region.base, region.rows, min(order[name]), max(order[name]))
        for name, region in program.regions.items()
        for bank in region.banks
        if name in order
    ]


def _maps(model: IntegerModel, trace: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """For each block and head: each key token's mean entry over queries and steps, and the denoiser's table."""
    network = model.network
    found = []
    for block in range(network.depth):
        entries = trace[f"block.{block}.denoised"].astype(float).mean(axis=(0, 2))
        table = np.asarray(model.denoisers[block]) if network.nsad else None
        for head in range(network.heads):
            curve = table[head].tolist() if table is not None else list(range(1, network.head_dim + 1))
            found.append({"block": block, "head": head, "map": entries[head].tolist(), "table": curve})
    return found


def _side(tokens: int, network: Network) -> int:
    """Tokens in a line of the map."""
    height, width = network.input.height, network.input.width
    side = max(1, round((tokens * width / height) ** 0.5))
    return side if tokens % side == 0 else tokens


def page(
    model: IntegerModel,
    choices: Mapping[str, int | str],
    samples: Sequence[np.ndarray],
    boards: Sequence[Mapping[str, Any]] | None,
) -> str:
    """The page, as HTML. `choices` of the machine; `samples`: some of the model's, or noise where it has none, the
    first of which is shown; `boards`: a row of `fpga.sizing.Sizing` each with its `title` and `limit`, or with
    `refused`, why it does not hold the model; none where they are not known."""
    machine, program = fit(model, **choices)
    traces = [slow.run(model, sample) for sample in samples]
    passes, cycles = passes_of(machine, program, samples, traces)
    rates = rates_of(traces)
    regions = regions_of(program)
    logits = traces[0]["logits"].tolist()
    stores = [
        {"name": name, "rows": shape.rows, "width": shape.width, "kbit": shape.rows * shape.width / 1000}
        for name, shape in store_shapes(machine).items()
    ]
    words = machine.row_lanes * machine.time_steps
    stores += [
        {"name": f"bank {'AB'[number]}", "rows": machine.rows_of(number), "width": words,
         "kbit": machine.rows_of(number) * words / 1000}
        for number in range(2)
    ]  # fmt: skip
    texts = jinja2.Environment(
        loader=jinja2.PackageLoader("ds2ta.sim"), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return texts.get_template("report.html.j2").render(
        model=model,
        network=model.network,
        digest=model_digest(model),
        version=version("ds2ta"),
        machine=machine,
        layers=list(model.synapses.values()),
        weights=sum(layer.weight.size for layer in model.synapses.values()),
        accuracy=model.provenance.get("integer_accuracy"),
        tested=model.provenance.get("test_samples"),
        passes=passes,
        cycles=cycles,
        longest=max(item.cycles for item in passes),
        rates=rates,
        maps=_maps(model, traces[0]),
        side=_side(model.network.tokens, model.network),
        stores=stores,
        regions=regions,
        tops={bank: max((at.base + at.rows for at in regions if at.bank == bank), default=1) for bank in "AB"},
        logits=logits,
        names=list(model.about.classes) or [str(index) for index in range(len(logits))],
        answer=int(np.argmax(logits)),
        count=len(samples),
        boards=boards,
        picture=_picture(samples[0]),
        shown="the first sample" if len(model.samples) else "noise, for the file has no sample",
    )


def _picture(sample: np.ndarray) -> dict[str, Any]:
    """The sample as pixels with colours: an image, or the events of all frames of each polarity."""
    shown = (sample if sample.ndim == 3 else sample.sum(axis=0)).astype(int)
    top = max(1, int(shown.max()))
    channels = (
        shown[:3] if len(shown) >= 3 else [shown[0], shown[-1], shown[-1] if len(shown) == 1 else shown[0] * 0]
    )
    colours = np.stack([np.asarray(channel) * 255 // top for channel in channels], axis=-1)
    return {"height": shown.shape[1], "width": shown.shape[2], "pixels": colours.tolist()}
