"""Training: seeded, deterministic for a given number of threads, resumable at every checkpoint.

Three phases, each with its own AdamW and learning rate: float; quantization-aware (the forward pass is the integer
model's); the same with frozen batch-norm statistics, so that what is trained is what is exported. No choice is ever
made on the held-out samples: the last epoch is the result.

Under `torchrun` each process computes its share of every batch; batch-norm statistics, random numbers and gradients
are those of the whole batch, so the result is that of one process up to rounding (fused neurons only).
"""

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional

from ds2ta.errors import NetworkError
from ds2ta.golden.activity import work_share
from ds2ta.golden.augment import augment_images, mix
from ds2ta.golden.augment_events import augment_events
from ds2ta.golden.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ds2ta.golden.data import DataSet, augment, load_data
from ds2ta.golden.float_network import FloatNetwork
from ds2ta.golden.fused import world
from ds2ta.golden.integer import classify
from ds2ta.golden.journal import Journal
from ds2ta.golden.optimizer import average_gradients, make_optimizer, moments, restore, set_rate
from ds2ta.golden.processes import is_first
from ds2ta.golden.recipe import TrainingConfig
from ds2ta.network import Network

__all__ = ["Phase", "Report", "accuracy", "float_path", "phases", "train"]

SAVE_EVERY = 10  # epochs
SAVE_SECONDS = 180.0  # or when so much time has passed, in the middle of an epoch
JOURNAL_EVERY = 50  # steps
EVALUATED = 500  # samples at once

Report = Callable[[float, int, str], None]  # epochs done, epochs in all, what to say


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
def _deterministic(threads: int, device: torch.device) -> Iterator[None]:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def train(
    network: Network,
    config: TrainingConfig,
    *,
    folder: str | os.PathLike | None = None,
    path: str | os.PathLike | None = None,
    resume: bool = False,
    origin: str | os.PathLike | None = None,
    stop_after: float | None = None,
    device: str = "cpu",
    report: Report | None = None,
) -> Checkpoint:
    """Train to the end of the recipe, or to `stop_after` epochs (a fraction stops inside of one). With `path` the
    state is saved there as it goes; with `resume` an existing file is continued, and gives the weights that an
    uninterrupted run gives (with as many threads, to the last bit). `folder` holds the files of the data set.
    `origin`: a float checkpoint whose weights take the place of the float phase (`float_path` of an earlier run,
    perhaps with other bits)."""
    place = torch.device(device)
    data = load_data(config.data, folder)
    if network.input != data.input or network.classes != data.classes:
        raise NetworkError(
            f"network {network.name}: its input or its classes are not those of data set {config.data}"
        )
    if world() > 1 and not config.fused:
        raise NetworkError(f"network {network.name}: several processes need a recipe with fused arithmetic")
    if world() > 1 and config.batch % (2 * world()):
        raise NetworkError(f"batch {config.batch} must be a multiple of {2 * world()}, twice the processes")
    with _deterministic(config.threads, place):
        if resume and path is not None and Path(path).is_file():
            checkpoint = load_checkpoint(path)
            here = {"threads": config.threads}  # equal up to rounding with any number of them
            if (checkpoint.network.network, checkpoint.network.config.model_copy(update=here)) != (network, config):
                raise NetworkError(
                    f"{path}: made with another network or recipe, it cannot be resumed with this one"
                )
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                start = {"epochs": 0, "seconds": 0.0}
                checkpoint = Checkpoint(FloatNetwork(network=network, config=config), start)
            if origin is not None:
                _begin_at(checkpoint, origin)
        checkpoint.network.to(place)
        run = _Run(checkpoint, data, path=path, report=report)
        try:
            run.to(stop_after)
        finally:
            run.journal.close()
        checkpoint.network.cpu()
    return checkpoint


def float_path(path: str | os.PathLike) -> Path:
    """Where the weights at the end of the float phase are kept beside the checkpoint `path`."""
    path = Path(path)
    return path.with_name(f"{path.stem}-float{path.suffix}")


def _begin_at(checkpoint: Checkpoint, origin: str | os.PathLike) -> None:
    """Weights of a float checkpoint, and its float phase as done."""
    found, network = load_checkpoint(origin), checkpoint.network
    if found.network.network != network.network or "float_accuracy" not in found.progress:
        raise NetworkError(f"{origin}: not the end of a float phase of network {network.network.name}")
    network.load_state_dict(found.network.state_dict())
    keys = ("seconds", "float_accuracy")
    checkpoint.progress = {key: found.progress[key] for key in keys} | {"epochs": network.config.epochs_float}


class _Run:
    """A training run under way. `checkpoint` is always what would be saved."""

    def __init__(self, checkpoint: Checkpoint, data: DataSet, *, path, report: Report | None):
        self.checkpoint, self.path, self.report, self.data = checkpoint, path, report, data
        self.network, self.progress = checkpoint.network, checkpoint.progress
        self.config, self.device = self.network.config, next(self.network.parameters()).device
        self.samples = torch.from_numpy(data.train_samples).to(self.device)
        self.labels = torch.from_numpy(data.train_labels).to(self.device)
        self.top = int(data.train_samples.max())
        self.steps = max(1, len(self.samples) // self.config.batch)
        self.main = is_first()
        self.began, self.before = time.monotonic(), self.progress["seconds"]
        self.saved = self.began
        done = self.progress["epochs"], self.progress.get("steps", 0)
        self.journal = Journal(path if self.main else None, epoch=done[0], step=done[1])

    def to(self, stop_after: float | None) -> None:
        """All epochs that are left, or those up to `stop_after`."""
        plan = phases(self.config)
        total, first = sum(phase.epochs for phase in plan), 0
        last = total if stop_after is None else min(stop_after, total)
        for phase in plan:
            self.network.quantize(phase.quantized, frozen_statistics=phase.frozen_statistics)
            begun = self.progress["epochs"] > first or self.progress.get("steps", 0) > 0
            epochs = range(self.progress["epochs"], first + phase.epochs)
            optimizer = make_optimizer(self.network, phase.rate) if epochs else None
            if epochs and begun:
                restore(optimizer, self.network, self.checkpoint.optimizer)
            for epoch in epochs:
                if self._passed() >= last:
                    break
                self.epoch(optimizer, phase, epoch, first, total, last)
            if self._passed() >= last:
                break
            first += phase.epochs

    def _passed(self) -> float:
        """Epochs done, as a fraction too."""
        return self.progress["epochs"] + self.progress.get("steps", 0) / self.steps

    def epoch(self, optimizer, phase: Phase, epoch: int, first: int, total: int, last: float) -> None:
        """One pass over the training samples, or what is left of it, or up to `last` epochs; all randomness comes
        from the seed and the number of the epoch."""
        config, start = self.config, self.progress.get("steps", 0)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.samples), generator=generator)
        if start:
            generator.set_state(self.checkpoint.random)
        self.network.train()
        losses, counted = self.progress.get("losses", 0.0), 0
        recent = 0.0
        for step in range(start, self.steps):
            rate = set_rate(optimizer, (epoch - first) * self.steps + step, phase.epochs * self.steps)
            chosen = order[step * config.batch : (step + 1) * config.batch]
            loss = self.step(optimizer, chosen, generator, epoch)
            losses, recent, counted = losses + loss, recent + loss, counted + 1
            if (step + 1) % JOURNAL_EVERY == 0 or step + 1 == self.steps:
                self.note(phase, epoch, step + 1, recent / counted, rate)
                recent, counted = 0.0, 0
                done = epoch + (step + 1) / self.steps
                late = self.path is not None and time.monotonic() - self.saved > SAVE_SECONDS
                if step + 1 < self.steps and (late or done >= last):
                    self.progress |= {"epochs": epoch, "steps": step + 1, "losses": losses}
                    self.checkpoint.random = generator.get_state()
                    self.save(optimizer)
                    if done >= last:
                        return
        self.progress |= {"epochs": epoch + 1}
        for key in ("steps", "losses"):
            self.progress.pop(key, None)
        self.checkpoint.random = None
        self.tell(epoch + 1, total, f"{phase.name}: loss {losses / self.steps:.3f}")
        done = epoch + 1 == first + phase.epochs
        if done:
            found = accuracy(self.network, self.data.test_samples, self.data.test_labels)
            self.progress[f"{phase.name}_accuracy"] = found
            self.tell(epoch + 1, total, f"{phase.name}: held-out accuracy {found:.2f} %")
            if not phase.quantized and self.path is not None and self.main:
                save_checkpoint(Checkpoint(self.network, self.progress), float_path(self.path))
        late = time.monotonic() - self.saved > SAVE_SECONDS
        self.save(optimizer, empty=done, write=done or late or epoch + 1 >= last or (epoch + 1) % SAVE_EVERY == 0)

    def step(self, optimizer, chosen: torch.Tensor, generator: torch.Generator, epoch: int) -> float:
        """One batch; the loss of the whole batch, averaged over all processes."""
        network, config, short = self.network, self.config, self.config.short_start
        share = len(chosen) // world()
        rows = slice(None)
        if world() > 1:
            rows = slice(distributed.get_rank() * share, (distributed.get_rank() + 1) * share)
        chosen = chosen.to(self.device)
        batch, own = self.augmented(chosen, generator, rows)
        labels = self.labels[chosen[rows]]
        taps = {} if config.sparsity else None
        steps = short.steps if short is not None and epoch < short.epochs else None
        logits = network(batch, taps=taps, steps=steps)
        loss = functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        if own < 1.0:
            others = labels.unflatten(0, (-1, 2)).flip(1).flatten()
            other = functional.cross_entropy(logits, others, label_smoothing=config.label_smoothing)
            loss = own * loss + (1.0 - own) * other
        told = loss.detach().clone()
        if taps is not None:
            loss = loss + config.sparsity * work_share(network.network, taps)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(network)
        optimizer.step()
        if world() > 1:
            distributed.all_reduce(told)
            told /= world()
        return told.item()

    def augmented(self, chosen: torch.Tensor, generator, rows: slice) -> tuple[torch.Tensor, float]:
        """This process's share of a batch, and the share of their own labels that mixed samples keep."""
        config, batch = self.config, self.samples[chosen]
        if self.network.network.input.kind == "frames":
            if config.events is not None:
                return augment_events(batch, recipe=config.events, generator=generator, rows=rows), 1.0
            return batch[rows], 1.0
        if config.images is not None:
            batch = augment_images(batch, recipe=config.images, generator=generator, rows=rows)
            return mix(batch, recipe=config.images, generator=generator)
        if config.shift or config.rotation or config.zoom:
            amounts = {"shift": config.shift, "rotation": config.rotation, "zoom": config.zoom}
            batch = augment(batch, **amounts, top=self.top, generator=generator)
        return batch[rows], 1.0

    def note(self, phase: Phase, epoch: int, step: int, loss: float, rate: float) -> None:
        seconds = round(self.before + time.monotonic() - self.began, 1)
        self.journal.write(phase=phase.name, epoch=epoch, step=step, loss=loss, rate=rate, seconds=seconds)

    def tell(self, epoch: int, total: int, text: str) -> None:
        if self.report is not None and self.main:
            self.report(epoch, total, text)

    def save(self, optimizer, *, empty: bool = False, write: bool = True) -> None:
        """Bring the checkpoint up to date, and the file where `write` says so."""
        self.progress["seconds"] = round(self.before + time.monotonic() - self.began, 1)
        self.checkpoint.optimizer = {} if empty else moments(optimizer, self.network)
        if write and self.path is not None and self.main:
            save_checkpoint(self.checkpoint, self.path)
            self.saved = time.monotonic()


def accuracy(network: FloatNetwork, samples: np.ndarray, labels: np.ndarray) -> float:
    """Percent of samples that the network classifies right, in the mode (float or quantized) that it is in: in
    float64, which carries the quantized mode's integers exactly; a float network with fused neurons as it was
    trained, but in batches."""
    fused = network.config.fused and not network.head.quantized
    exact = network if fused else copy.deepcopy(network).double()
    training = network.training
    exact.eval()
    device = network.head.weight.device
    with torch.no_grad():
        found = [
            classify(exact(torch.from_numpy(samples[start : start + EVALUATED]).to(device)).cpu())
            for start in range(0, len(samples), EVALUATED)
        ]
    network.train(training)
    return 100.0 * float((np.concatenate(found) == labels).mean())
