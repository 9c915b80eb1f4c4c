# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Speed of training and evaluation, side by side with SpikingJelly: `ds2ta bench-training`. Slow is no failure.

Both sides have the same shapes, weights, images, precision and threads, and take turns step by step, so that a busy
machine disturbs them alike. A figure is the median over all rounds, by wall time; the ratio by CPU time stands
beside it, which a busy machine moves less. SpikingJelly runs eagerly and through torch.compile: its faster one
counts. For its bfloat16 it gets torch.autocast; ours rounds activations and products, and never weights.
"""

import datetime
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from ds2ta.computer import computer
from ds2ta.errors import FitError
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.optimizer import make_optimizer
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.processes import check_device
from ds2ta.golden.training.recipe import Arithmetic
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model
from ds2ta.network import Network

__all__ = ["Setting", "measure_training"]

WARM = 2  # steps before the clock runs; the first one compiles
RATE = 1e-4
GOLDEN_IMAGES = 256

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Setting:
    """What one comparison runs on."""

    network: Network
    precision: str  # float32 or bfloat16
    threads: int
    batch: int
    device: str
    compiled: bool  # torch.compile, on both sides


@dataclass
class _Side:
    """One side of a comparison, and what its steps took."""

    name: str
    run: Callable[[], object]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def step(self, device: str, *, counted: bool = True) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.run()
        if device == "cuda":
            torch.cuda.synchronize()
        if counted:
            self.wall.append(time.perf_counter() - wall)
            self.cpu.append(time.process_time() - cpu)


def measure_training(
    names: Sequence[str],
    *,
    precisions: Sequence[str],
    threads: Sequence[int],
    batch: int,
    rounds: int,
    device: str,
    compiled: bool,
    out: Path,
    command: str,
    console: Console,
    golden: Path | None = None,
) -> list[dict]:
    """Measure presets `names` (made baselines: no NSAD, no TASA), print a table, write its rows to `out` as JSON.
    `golden`: an integer model whose images/s are wanted; without one, an untrained network of `cifar-ecp5`."""
    if importlib.util.find_spec("spikingjelly") is None:
        raise FitError(
            "spikingjelly is not installed, and nothing can be compared; pip install --no-deps spikingjelly, or "
            "make speed, brings it"
        )
    if unknown := [name for name in names if name not in PRESETS]:
        raise FitError(f"preset {unknown[0]} does not exist; there are {', '.join(PRESETS)}")
    if unknown := [name for name in precisions if name not in PRECISIONS]:
        raise FitError(f"--precision {unknown[0]}: must be one of {', '.join(PRECISIONS)}")
    check_device(device)
    model = _untrained() if golden is None else load_model(golden)
    weights = "untrained weights" if golden is None else golden.name
    machine = computer() + (f", {torch.cuda.get_device_name()}" if device == "cuda" else "")
    about = {"command": command, "hardware": machine, "date": datetime.date.today().isoformat()}
    about["spikingjelly_version"] = version("spikingjelly")
    before, rows = torch.get_num_threads(), []

    def add(row: dict) -> None:
        rows.append(row | about | {"load": round(os.getloadavg()[0], 1)})
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(rows, indent=1) + "\n")  # a long run that is stopped leaves what it measured

    try:
        for name in names:
            network = PRESETS[name].network.model_copy(update={"nsad": False, "window": 1})
            for precision in precisions:
                for count in threads:
                    torch.set_num_threads(count)
                    setting = Setting(network, precision, count, batch, device, compiled)
                    for row in _compare_with_peer(setting, rounds):
                        add(row)
        for count in threads:
            torch.set_num_threads(count)
            add(_golden_speed(model, weights, count, rounds))
    finally:
        torch.set_num_threads(before)
    _print_rows(rows, console)
    console.print(f"all rows: {out}")
    return rows


def _compare_with_peer(setting: Setting, rounds: int) -> Iterator[dict]:
    """A row for the training step and one for evaluation."""
    from ds2ta.records.jelly import JellySpikformer

    network, device = setting.network, setting.device
    config = PRESETS[network.name].config.model_copy(
        update={"arithmetic": Arithmetic(compiled=setting.compiled, precision=setting.precision)}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = FloatNetwork(network=network, config=config)
        samples = torch.randint(0, 1 << network.input.bits, (setting.batch, *network.sample_shape))
        labels = torch.randint(0, network.classes, (setting.batch,)).to(device)
    samples = samples.to(device, torch.uint8)
    variants = {"eager": JellySpikformer(ours).to(device)}
    if setting.compiled:
        variants["compiled"] = JellySpikformer(ours).to(device)
    ours.to(device)
    low = setting.precision == "bfloat16"

    def side(name: str, network, begin: Callable[[], object], optimizer, call) -> dict[str, _Side]:
        def logits() -> torch.Tensor:
            begin()
            with torch.autocast(device, torch.bfloat16, enabled=low and network is not ours):
                return call(samples)

        def train() -> None:
            loss = functional.cross_entropy(logits().float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        def evaluate() -> torch.Tensor:
            with torch.no_grad():
                return logits()

        return {"training step": _Side(name, train), "evaluation": _Side(name, evaluate)}

    sides = [side("ours", ours, lambda: None, make_optimizer(ours, RATE), ours)]
    for name, peer in variants.items():
        call = torch.compile(peer) if name == "compiled" else peer
        optimizer = torch.optim.AdamW(peer.parameters(), RATE)
        sides.append(side(name, peer, peer.forget, optimizer, call))
    for kind in ("training step", "evaluation"):
        for each in (ours, *variants.values()):
            each.train(kind == "training step")
        runs = [found[kind] for found in sides]
        for number in range(WARM + rounds):
            for run in runs:
                run.step(device, counted=number >= WARM)
        yield _comparison(kind, setting, runs[0], runs[1:])


def _comparison(kind: str, setting: Setting, ours: _Side, peers: Sequence[_Side]) -> dict:
    wall = {side.name: statistics.median(side.wall) for side in (ours, *peers)}
    cpu = {side.name: statistics.median(side.cpu) for side in (ours, *peers)}
    best, thrifty = (min(taken[peer.name] for peer in peers) for taken in (wall, cpu))
    return {
        "what": f"{kind}, {setting.network.name} without NSAD and TASA",
        "ours": setting.batch / wall["ours"],
        "spikingjelly": setting.batch / best,
        "ratio": best / wall["ours"],
        "ratio_by_cpu_time": thrifty / cpu["ours"] if setting.device == "cpu" else None,
        "unit": "images/s",
        "precision": setting.precision,
        "threads": setting.threads,
        "batch": setting.batch,
        "device": setting.device,
        "spikingjelly_backend": min(peers, key=lambda peer: wall[peer.name]).name,
        "seconds": wall,
        "cpu_seconds": cpu,
    }


def _golden_speed(model: IntegerModel, weights: str, threads: int, rounds: int) -> dict:
    """Images/s of the integer golden model, which is dense: its speed depends on shapes, hardly on weights."""
    network = IntegerNetwork(model)
    shape, top = model.network.sample_shape, 1 << model.network.input.bits
    samples = torch.randint(0, top, (GOLDEN_IMAGES, *shape), dtype=torch.uint8)
    side = _Side("ours", lambda: network.run(samples))
    for number in range(1 + rounds):
        side.step("cpu", counted=number >= 1)
    return {
        "what": f"integer golden model, {model.network.name}, {weights}",
        "ours": GOLDEN_IMAGES / statistics.median(side.wall),
        "spikingjelly": None,
        "ratio": None,
        "ratio_by_cpu_time": None,
        "unit": "images/s",
        "precision": "exact integers",
        "threads": threads,
        "batch": GOLDEN_IMAGES,
        "device": "cpu",
        "spikingjelly_backend": None,
        "seconds": {"ours": statistics.median(side.wall)},
        "cpu_seconds": {"ours": statistics.median(side.cpu)},
    }


def _untrained() -> IntegerModel:
    preset = PRESETS["cifar-ecp5"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FloatNetwork(network=preset.network, config=preset.config)
        sample = torch.randint(0, 256, (1, *preset.network.sample_shape), dtype=torch.uint8)
    return quantize(network, samples=sample.numpy(), labels=torch.zeros(1, dtype=torch.int64).numpy())


def _print_rows(rows: Sequence[dict], console: Console) -> None:
    columns = {
        "what": "what",
        "precision": "precision",
        "threads": "threads",
        "batch": "batch",
        "ours": "ours",
        "spikingjelly": "SpikingJelly",
        "spikingjelly_backend": "its backend",
        "ratio": "ratio",
        "ratio_by_cpu_time": "by CPU time",
    }
    table = Table(title="images/s, medians (goals for a training step: >= 1.5 times on a CPU, >= 2 on a GPU)")
    for title in columns.values():
        table.add_column(title)
    for row in rows:
        cells = ["" if row[key] is None else row[key] for key in columns]
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells))
    console.print(table)
