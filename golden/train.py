"""Training: seeded, deterministic for a given number of threads, resumable at every epoch.

Three phases, each with its own AdamW and learning rate: float; quantization-aware (the forward pass is the integer
model's); the same with frozen batch-norm statistics, so that what is trained is what is exported. No choice is ever
made on the held-out samples: the last epoch is the result.
"""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ds2ta.errors import NetworkError
from ds2ta.golden.activity import work_share
from ds2ta.golden.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ds2ta.golden.data import DataSet, augment, load_data
from ds2ta.golden.float_network import FloatNetwork
from ds2ta.golden.integer import classify
from ds2ta.golden.recipe import TrainingConfig
from ds2ta.network import Network

__all__ = ["Phase", "Report", "accuracy", "phases", "train"]

SAVE_EVERY = 10  # epochs
WARM_UP_STEPS = 40

Report = Callable[[int, int, str], None]  # epochs done, epochs in all, what to say


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one optimizer."""

    name: str
    epochs: int
    rate: float
    quantized: bool = True
    frozen_statistics: bool = False


def phases(config: TrainingConfig) -> tuple[Phase, ...]:
    """The phases of a recipe, in order; those without epochs left out."""
    found = (
        Phase("float", config.epochs_float, config.rate_float, quantized=False),
        Phase("quantized", config.epochs_quantized, config.rate_quantized),
        Phase("frozen", config.epochs_frozen, config.rate_frozen, frozen_statistics=True),
    )
    return tuple(phase for phase in found if phase.epochs)


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def train(
    network: Network,
    config: TrainingConfig,
    *,
    path: str | os.PathLike | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    report: Report | None = None,
) -> Checkpoint:
    """Train to the end of the recipe, or to `stop_after` epochs. With `path` the state is saved there as it goes;
    with `resume` an existing file is continued, and gives the weights that an uninterrupted run gives."""
    data = load_data(config.data)
    if network.input != data.input or network.classes != data.classes:
        raise NetworkError(
            f"network {network.name}: its input or its classes are not those of data set {config.data}"
        )
    with _deterministic(config.threads):
        if resume and path is not None and Path(path).is_file():
            checkpoint = load_checkpoint(path)
            if checkpoint.network.network != network or checkpoint.network.config != config:
                raise NetworkError(
                    f"{path}: made with another network or recipe, it cannot be resumed with this one"
                )
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                checkpoint = Checkpoint(FloatNetwork(network=network, config=config), {"epochs": 0, "seconds": 0.0})
        _run(checkpoint, data, path=path, stop_after=stop_after, report=report)
    return checkpoint


def _run(checkpoint: Checkpoint, data: DataSet, *, path, stop_after: int | None, report: Report | None) -> None:
    network, progress = checkpoint.network, checkpoint.progress
    plan = phases(network.config)
    total, first = sum(phase.epochs for phase in plan), 0
    last = total if stop_after is None else min(stop_after, total)
    began, before = time.monotonic(), progress["seconds"]
    for phase in plan:
        network.quantize(phase.quantized, frozen_statistics=phase.frozen_statistics)
        start, end = progress["epochs"], min(first + phase.epochs, last)
        if start < end:
            optimizer = _optimizer(network, phase.rate)
            if start > first:
                _restore(optimizer, network, checkpoint.optimizer)
            for epoch in range(start, end):
                loss = _epoch(network, optimizer, data, phase=phase, epoch=epoch, first=first)
                progress |= {"epochs": epoch + 1, "seconds": round(before + time.monotonic() - began, 1)}
                if report is not None:
                    report(epoch + 1, total, f"{phase.name}: loss {loss:.3f}")
                done = epoch + 1 == first + phase.epochs
                if done:
                    found = accuracy(network, data.test_samples, data.test_labels)
                    progress[f"{phase.name}_accuracy"] = found
                    if report is not None:
                        report(epoch + 1, total, f"{phase.name}: held-out accuracy {found:.2f} %")
                checkpoint.optimizer = {} if done else _moments(optimizer, network)
                if path is not None and (done or epoch + 1 == last or (epoch + 1) % SAVE_EVERY == 0):
                    save_checkpoint(checkpoint, path)
        first += phase.epochs


def _epoch(
    network: FloatNetwork, optimizer: torch.optim.AdamW, data: DataSet, *, phase: Phase, epoch: int, first: int
) -> float:
    """One pass over the training samples; all randomness comes from the seed and the number of the epoch."""
    config = network.config
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    samples, labels = torch.from_numpy(data.train_samples), torch.from_numpy(data.train_labels)
    order = torch.randperm(len(samples), generator=generator)
    count = max(1, len(samples) // config.batch)
    top = int(data.train_samples.max())
    network.train()
    losses = 0.0
    for step in range(count):
        passed = (epoch - first) * count + step
        scale = 0.5 * (1.0 + math.cos(math.pi * passed / (phase.epochs * count)))
        scale *= min(1.0, (passed + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * scale
        chosen = order[step * config.batch : (step + 1) * config.batch]
        batch = samples[chosen]
        if network.network.input.kind == "image" and (config.shift or config.rotation or config.zoom):
            batch = augment(
                batch,
                shift=config.shift,
                rotation=config.rotation,
                zoom=config.zoom,
                top=top,
                generator=generator,
            )
        taps = {} if config.sparsity else None
        logits = network(batch, taps=taps)
        loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=config.label_smoothing)
        losses += loss.item()
        if taps is not None:
            loss = loss + config.sparsity * work_share(network.network, taps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses / count


def _optimizer(network: FloatNetwork, rate: float) -> torch.optim.AdamW:
    """Weights decay; batch norm, biases, tau and denoisers do not, and the last two learn at their own rate."""
    config, weights, others, shapes = network.config, [], [], []
    for name, parameter in network.named_parameters():
        if name.startswith(("windows", "denoisers")):
            shapes.append(parameter)
        else:
            (weights if name.endswith("weight") else others).append(parameter)
    groups = [(weights, rate, config.weight_decay), (others, rate, 0.0), (shapes, rate * config.shape_rate, 0.0)]
    return torch.optim.AdamW(
        [{"params": p, "lr": r, "full_rate": r, "weight_decay": decay} for p, r, decay in groups if p]
    )


def _moments(optimizer: torch.optim.AdamW, network: FloatNetwork) -> dict[str, torch.Tensor]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[p]}.{key}": value.clone() for p, state in optimizer.state.items() for key, value in state.items()
    }


def _restore(optimizer: torch.optim.AdamW, network: FloatNetwork, moments: dict[str, torch.Tensor]) -> None:
    parameters = dict(network.named_parameters())
    for name, value in moments.items():
        parameter, _, key = name.rpartition(".")
        optimizer.state[parameters[parameter]][key] = value.clone()


def accuracy(network: FloatNetwork, samples: np.ndarray, labels: np.ndarray) -> float:
    """Percent of samples that the network classifies right, in the mode (float or quantized) that it is in."""
    exact = copy.deepcopy(network).double().eval()  # float64 carries the quantized mode's integers exactly
    with torch.no_grad():
        logits = exact(torch.from_numpy(samples))
    return 100.0 * float((classify(logits) == labels).mean())
