"""A training run under way: its epochs, batches, saves and journal."""

import copy
import math
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional

from ds2ta.errors import DataError
from ds2ta.golden.activity import work_share
from ds2ta.golden.data.sets import DataSet, augment
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.augment import augment_images, mix, random_numbers
from ds2ta.golden.training.augment_events import augment_events
from ds2ta.golden.training.checkpoint import Checkpoint, float_path, save_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.fused import world
from ds2ta.golden.training.journal import Journal
from ds2ta.golden.training.optimizer import average_gradients, make_optimizer, moments, restore, set_rate
from ds2ta.golden.training.processes import is_first
from ds2ta.golden.training.recipe import Phase, phases
from ds2ta.host import hardware

__all__ = ["Report", "Run", "accuracy", "make_folders"]

SAVE_EVERY = 10  # epochs
SAVE_SECONDS = 180.0  # or when so much time has passed, in the middle of an epoch
JOURNAL_EVERY = 50  # steps
EVALUATED = 500  # samples at once, at most
EVALUATED_BYTES = 2 << 30  # that they may take
_LIVE = 6  # tensors of the size of a layer's sums, while that layer is computed

Report = Callable[[float, int, str], None]  # epochs done, epochs in all, what to say


class Run:
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
        self.journal = Journal(path if self.main else None, epoch=done[0], step=done[1], steps=self.steps)
        self.machine = self._machine()
        # a warm start sees other batches and augmentations than the run that its weights come from
        self.seed = self.config.seed * 1_000_003 + int(self.progress.get("start", "0")[:12], 16)

    def _machine(self) -> str:
        """What this call runs on, for the record."""
        count = self.config.threads
        found = f"{hardware()}, {count} thread{'s' if count > 1 else ''}"
        if self.device.type == "cuda":
            found += f", {torch.cuda.get_device_name(self.device)}"
        return found if world() == 1 else f"{found}, {world()} processes"

    def to(self, stop_after: float | None, minutes: float | None = None) -> None:
        """All epochs that are left, or those up to `stop_after`, or as many as the minutes allow."""
        plan = phases(self.config)
        total, first = sum(phase.epochs for phase in plan), 0
        self.last = total if stop_after is None else min(stop_after, total)
        self.deadline = math.inf if minutes is None else self.began + 60.0 * minutes
        self.over = self._passed() >= self.last
        for phase in plan:
            self.network.quantize(phase.quantized, frozen_statistics=phase.frozen_statistics)
            begun = self.progress["epochs"] > first or self.progress.get("steps", 0) > 0
            epochs = range(self.progress["epochs"], first + phase.epochs)
            optimizer = make_optimizer(self.network, phase.rate) if epochs else None
            if epochs and begun:
                restore(optimizer, self.network, self.checkpoint.optimizer)
            for epoch in epochs:
                if self.over:
                    break
                self.epoch(optimizer, phase, epoch, first, total)
            if self.over:
                break
            first += phase.epochs

    def _passed(self) -> float:
        """Epochs done, as a fraction too."""
        return self.progress["epochs"] + self.progress.get("steps", 0) / self.steps

    def _due(self, passed: float) -> bool:
        """Whether it is time to save, and in `over` whether this call then ends. The first process's clock counts
        for all."""
        now = time.monotonic()
        over, late = now > self.deadline, now - self.saved > SAVE_SECONDS
        if world() > 1:
            clock = torch.tensor([float(over), float(late)], device=self.device)
            distributed.broadcast(clock, 0)
            over, late = (bool(value) for value in clock.tolist())
        self.over = over or passed >= self.last
        return self.over or late

    def epoch(self, optimizer, phase: Phase, epoch: int, first: int, total: int) -> None:
        """One pass over the training samples, or what is left of it, or until this call is over; all randomness
        comes from the seed and the number of the epoch."""
        config, start = self.config, self.progress.get("steps", 0)
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(len(self.samples), generator=generator)
        if start:
            generator.set_state(self.checkpoint.random)
        self.network.train()
        losses = self.progress.get("losses", 0.0)
        recent, counted = self.progress.get("recent", (0.0, 0))  # since the journal's last line
        for step in range(start, self.steps):
            rate = set_rate(optimizer, (epoch - first) * self.steps + step, phase.epochs * self.steps)
            chosen = order[step * config.batch : (step + 1) * config.batch]
            loss = self.step(optimizer, chosen, generator, epoch)
            losses, recent, counted = losses + loss, recent + loss, counted + 1
            if (step + 1) % JOURNAL_EVERY == 0 or step + 1 == self.steps:
                self.note(phase, epoch, step + 1, recent / counted, rate)
                if step + 1 < self.steps:  # the epoch's end has its own
                    self.tell(epoch + (step + 1) / self.steps, total, f"{phase.name}: loss {recent / counted:.3f}")
                recent, counted = 0.0, 0
            if step + 1 < self.steps and self._due(epoch + (step + 1) / self.steps):
                self.progress |= {"epochs": epoch, "steps": step + 1, "losses": losses, "recent": [recent, counted]}
                self.checkpoint.random = generator.get_state()
                self.save(optimizer)
                if self.over:
                    return
        self.progress |= {"epochs": epoch + 1}
        for key in ("steps", "losses", "recent"):
            self.progress.pop(key, None)
        self.checkpoint.random = None
        self.tell(epoch + 1, total, f"{phase.name}: loss {losses / self.steps:.3f}")
        done = epoch + 1 == first + phase.epochs
        if done:
            found = self.measure(phase)
            self.progress[f"{phase.name}_accuracy"] = found
            self.journal.accuracy(phase=phase.name, epoch=epoch + 1, percent=found)
            self.tell(epoch + 1, total, f"{phase.name}: held-out accuracy {found:.2f} %")
            if not phase.quantized and self.path is not None and self.main:
                self.stamp()
                save_checkpoint(Checkpoint(self.network, self.progress), float_path(self.path))
        due = self._due(epoch + 1)
        self.save(optimizer, empty=done, write=done or due or (epoch + 1) % SAVE_EVERY == 0)

    def measure(self, phase: Phase) -> float:
        """Accuracy on the held-out samples, percent. On a CPU the integer model that would be exported answers in
        place of the network: the same classes, several times sooner."""
        samples, labels = self.data.test_samples, self.data.test_labels
        if not phase.quantized or self.device.type != "cpu":
            return accuracy(self.network, samples, labels)
        model = quantize(self.network, samples=samples[:1], labels=labels[:1])
        return 100.0 * float((classify(IntegerNetwork(model).run(samples)) == labels).mean())

    def step(self, optimizer, chosen: torch.Tensor, generator: torch.Generator, epoch: int) -> float:
        """One batch; the loss of the whole batch, averaged over all processes."""
        network, config = self.network, self.config
        share = len(chosen) // world()
        rows = slice(None)
        if world() > 1:
            rows = slice(distributed.get_rank() * share, (distributed.get_rank() + 1) * share)
        chosen = chosen.to(self.device)
        batch, own = self.augmented(chosen, generator, rows)
        labels = self.labels[chosen[rows]]
        taps = {} if config.sparsity else None
        logits = network(batch, taps=taps, steps=config.steps_of(epoch))
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
            numbers = random_numbers(len(batch), recipe=config.images, generator=generator)
            batch = augment_images(batch[rows], recipe=config.images, numbers=numbers[rows])
            return mix(batch, recipe=config.images, generator=generator)
        if config.shift or config.rotation or config.zoom:
            amounts = {"shift": config.shift, "rotation": config.rotation, "zoom": config.zoom}
            batch = augment(batch, **amounts, top=self.top, generator=generator)
        return batch[rows], 1.0

    def note(self, phase: Phase, epoch: int, step: int, loss: float, rate: float) -> None:
        seconds = round(self.before + time.monotonic() - self.began, 1)
        self.journal.write(phase=phase.name, epoch=epoch, step=step, loss=loss, rate=rate, seconds=seconds)

    def tell(self, epoch: float, total: int, text: str) -> None:
        if self.report is not None and self.main:
            self.report(epoch, total, text)

    def stamp(self) -> None:
        """How long it took, when, and on what."""
        self.progress["seconds"] = round(self.before + time.monotonic() - self.began, 1)
        self.progress["date"] = date.today().isoformat()
        if self.machine not in (known := self.progress.get("hardware", [])):
            self.progress["hardware"] = [*known, self.machine]

    def save(self, optimizer, *, empty: bool = False, write: bool = True) -> None:
        """Bring the checkpoint up to date, and the file where `write` says so."""
        self.stamp()
        self.checkpoint.optimizer = {} if empty else moments(optimizer, self.network)
        if write and self.path is not None and self.main:
            save_checkpoint(self.checkpoint, self.path)
        self.saved = time.monotonic() if write else self.saved


def make_folders(*folders: Path) -> None:
    """Make them where they are not there; `DataError` where that cannot be."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: no folder can be made there ({error.strerror})") from None


def _at_once(network: FloatNetwork) -> int:
    """Samples that are evaluated together: as many as memory allows, in float64."""
    largest = max(spec.outputs * spec.height * spec.width for spec in network.network.layers())
    return max(1, min(EVALUATED, EVALUATED_BYTES // (8 * _LIVE * network.network.time_steps * largest)))


def accuracy(network: FloatNetwork, samples: np.ndarray, labels: np.ndarray) -> float:
    """Percent of samples that the network classifies right, in the mode (float or quantized) that it is in: in
    float64, which carries the quantized mode's integers exactly; a float network with fused neurons as it was
    trained, but in batches."""
    fused = network.config.fused and not network.head.quantized
    exact = network if fused else copy.deepcopy(network).double()
    training = network.training
    exact.eval()
    device, count = network.head.weight.device, _at_once(network)
    with torch.no_grad():
        found = [
            classify(exact(torch.from_numpy(samples[start : start + count]).to(device)).cpu())
            for start in range(0, len(samples), count)
        ]
    network.train(training)
    return 100.0 * float((np.concatenate(found) == labels).mean())
