# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A training run under way: its epochs, batches, saves and journal."""

import copy
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional

from ds2ta.computer import computer
from ds2ta.errors import DataError
from ds2ta.golden.activity import work_share
from ds2ta.golden.data.sets import PART_BYTES, DataSet, augment, let_go, parts
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.augment import augment_images, mix, random_numbers
from ds2ta.golden.training.augment_events import augment_events
from ds2ta.golden.training.average import Average
from ds2ta.golden.training.checkpoint import Checkpoint, float_path, save_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.fused import world
from ds2ta.golden.training.journal import Journal
from ds2ta.golden.training.optimizer import average_gradients, make_optimizer, moments, restore, set_rate
from ds2ta.golden.training.processes import is_first
from ds2ta.golden.training.recipe import Phase, phases
from ds2ta.golden.training.teacher import Answers, view_numbers

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

    def __init__(
        self,
        checkpoint: Checkpoint,
        data: DataSet,
        *,
        path,
        report: Report | None,
        answers: Answers | None = None,
        left: np.ndarray | None = None,
    ):
        """`answers`: of a teacher, to all training samples of the data set; `left`: which of them `data` has."""
        self.checkpoint, self.path, self.report, self.data = checkpoint, path, report, data
        self.network, self.progress = checkpoint.network, checkpoint.progress
        self.config, self.device = self.network.config, next(self.network.parameters()).device
        self.samples = torch.from_numpy(data.train_samples).to(self.device)
        self.labels = torch.from_numpy(data.train_labels).to(self.device)
        self.top = int(data.train_samples.max()) if self.network.network.input.kind == "image" else 0
        self.read = 0  # bytes of samples since they were let go of
        self.steps = max(1, len(self.samples) // self.config.batch)
        self.main = is_first()
        self.began, self.before = time.monotonic(), self.progress["seconds"]
        self.saved = self.began
        done = self.progress["epochs"], self.progress.get("steps", 0)
        self.journal = Journal(path if self.main else None, epoch=done[0], step=done[1], steps=self.steps)
        self.machine = self._machine()
        self.answers, self.left = answers, slice(None) if left is None else torch.from_numpy(left)
        self.total = len(self.samples) if left is None else len(left) + len(data.test_labels)
        self.average: Average | None = None
        # a warm start sees other batches and augmentations than the run that its weights come from
        self.seed = self.config.seed * 1_000_003 + int(self.progress.get("start", "0")[:12], 16)

    def _machine(self) -> str:
        """What this call runs on, for the record."""
        count = self.config.threads
        found = f"{computer()}, {count} thread{'s' if count > 1 else ''}"
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
        self.entered, self.estimated = self._passed(), False
        for phase in plan:
            self.network.quantize(phase.quantized, frozen_statistics=phase.frozen_statistics)
            begun = self.progress["epochs"] > first or self.progress.get("steps", 0) > 0
            epochs = range(self.progress["epochs"], first + phase.epochs)
            if epochs:
                optimizer = make_optimizer(self.network, phase.rate)
                if self.config.average:
                    self.average = Average(self.network, decay=self.config.average)
                if begun:
                    restore(optimizer, self.network, self.checkpoint.optimizer)
                    if self.average is not None:
                        self.average.restore(self.checkpoint.average, self.progress["averaged"])
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
        self._look(epoch, phase)
        if start and self.checkpoint.random is not None:
            generator.set_state(self.checkpoint.random)
        self.network.train()
        losses = self.progress.get("losses", 0.0)
        recent, counted = self.progress.get("recent", (0.0, 0))  # since the journal's last line
        for step in range(start, self.steps):
            rate = set_rate(optimizer, (epoch - first) * self.steps + step, phase.epochs * self.steps)
            chosen = order[step * config.batch : (step + 1) * config.batch]
            loss = self.step(optimizer, chosen, generator, epoch)
            losses, recent, counted = losses + loss, recent + loss, counted + 1
            if (step + 1) % JOURNAL_EVERY == 0 and step + 1 < self.steps:  # the epoch's end has its own
                self.note(phase, epoch, step + 1, recent / counted, rate)
                self.tell(epoch + (step + 1) / self.steps, total, f"{phase.name}: loss {recent / counted:.3f}")
                self._estimate(epoch + (step + 1) / self.steps, total)
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
        done, found = epoch + 1 == first + phase.epochs, None
        if done or (config.validation and (epoch + 1) % config.validate_every == 0):
            found = self.measure(phase, epoch)
            self.tell(epoch + 1, total, f"{phase.name}: held-out accuracy {found:.2f} %")
        self.note(phase, epoch, self.steps, recent / counted, rate, found)
        if done:
            self.progress[f"{phase.name}_accuracy"] = found
            if self.average is not None:
                self.average.into(self.network)
            if not phase.quantized and self.path is not None and self.main:
                self.stamp()
                save_checkpoint(Checkpoint(self.network, self.progress), float_path(self.path))
        due = self._due(epoch + 1)
        self.save(optimizer, empty=done, write=done or due or (epoch + 1) % SAVE_EVERY == 0)

    def _look(self, epoch: int, phase: Phase) -> None:
        """The view of the training samples that this epoch shares with the teacher, and its answers to it."""
        distillation = self.config.distillation
        self.view = self.soft = None
        if self.answers is None or distillation is None or (phase.quantized and not distillation.quantized):
            return
        view = epoch % self.answers.views
        self.view = view_numbers(view, count=self.total, images=self.answers.images)[self.left]
        self.soft = self.answers.logits[view][self.left].float() / distillation.temperature

    def measure(self, phase: Phase, epoch: int) -> float:
        """Accuracy on the held-out samples, percent, with as many time steps as this epoch had. On a CPU the
        integer model that would be exported answers in place of a quantized network: the same classes, several
        times sooner."""
        samples, labels = self.data.test_samples, self.data.test_labels
        with nullcontext() if self.average is None else self.average.in_place_of(self.network):
            if not phase.quantized or self.device.type != "cpu":
                return accuracy(self.network, samples, labels, steps=self.config.steps_of(epoch))
            model = quantize(self.network, samples=samples[:1], labels=labels[:1])
        network = IntegerNetwork(model)
        found = [classify(network.run(part)) for part in parts(samples)]
        return 100.0 * float((np.concatenate(found) == labels).mean())

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
        trace: dict[str, torch.Tensor] | None = {} if config.sparsity else None
        logits = network(batch, trace=trace, steps=config.steps_of(epoch), by_step=config.step_loss > 0)
        soft = None if self.soft is None else self.soft[chosen[rows].cpu()].to(self.device)
        loss = self.loss(logits.mean(0) if config.step_loss else logits, labels, own, soft)
        if config.step_loss:
            single = torch.stack([self.loss(part, labels, own, soft) for part in logits]).mean()
            loss = (1.0 - config.step_loss) * loss + config.step_loss * single
        told = loss.detach().clone()
        if trace is not None:
            loss = loss + config.sparsity * work_share(network.network, trace)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(network)
        optimizer.step()
        if self.average is not None:
            self.average.follow(network)
        if world() > 1:
            distributed.all_reduce(told)
            told /= world()
        return told.item()

    def loss(
        self, logits: torch.Tensor, labels: torch.Tensor, own: float, soft: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean loss of logits `[B, classes]`: of the labels, and of the teacher's logits over the temperature,
        `soft`. Of mixed samples, the share `own` is theirs, the rest their partners'."""
        config, distillation, hardly = self.config, self.config.distillation, logits.new_zeros(())

        def partners(values: torch.Tensor) -> torch.Tensor:
            return values.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)

        weight = 0.0 if soft is None or distillation is None else distillation.weight
        if weight < 1.0:
            hardly = functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
            if own < 1.0:
                other = functional.cross_entropy(logits, partners(labels), label_smoothing=config.label_smoothing)
                hardly = own * hardly + (1.0 - own) * other
        if soft is None or distillation is None:
            return hardly
        temperature = distillation.temperature
        target = soft.softmax(1)
        if own < 1.0:
            target = own * target + (1.0 - own) * partners(target)
        ours = functional.log_softmax(logits / temperature, 1)
        softly = functional.kl_div(ours, target, reduction="batchmean") * temperature**2
        return (1.0 - weight) * hardly + weight * softly

    def augmented(self, chosen: torch.Tensor, generator, rows: slice) -> tuple[torch.Tensor, float]:
        """This process's share of a batch, and the share of their own labels that mixed samples keep."""
        config, batch = self.config, self.samples[chosen]
        self.read += batch.nbytes
        if self.read > PART_BYTES:
            let_go(self.data.train_samples)
            self.read = 0
        if self.network.network.input.kind == "frames":
            if config.events is not None:
                return augment_events(batch, recipe=config.events, generator=generator, rows=rows), 1.0
            return batch[rows], 1.0
        if config.images is not None:
            numbers = random_numbers(len(batch), recipe=config.images, generator=generator)
            numbers = numbers if self.view is None else self.view[chosen.cpu()]
            batch = augment_images(batch[rows], recipe=config.images, numbers=numbers[rows])
            return mix(batch, recipe=config.images, generator=generator)
        if config.shift or config.rotation or config.zoom:
            amounts = {"shift": config.shift, "rotation": config.rotation, "zoom": config.zoom}
            batch = augment(batch, **amounts, top=self.top, generator=generator)
        return batch[rows], 1.0

    def note(
        self, phase: Phase, epoch: int, step: int, loss: float, rate: float, accuracy: float | None = None
    ) -> None:
        seconds = round(self.before + time.monotonic() - self.began, 1)
        row = {"phase": phase.name, "epoch": epoch, "step": step, "loss": loss, "rate": rate, "seconds": seconds}
        self.journal.write(**row, accuracy=accuracy)

    def _estimate(self, passed: float, total: int) -> None:
        """Say once, after the first minute, how long what is left will take: an epoch costs in proportion to its
        time steps."""
        if self.estimated or time.monotonic() - self.began < 60.0:
            return
        self.estimated = True

        def cost(start: float, end: float) -> float:
            whole, spent = self.network.network.time_steps, 0.0
            for epoch in range(int(start), math.ceil(end)):
                share = min(end, epoch + 1.0) - max(start, float(epoch))
                spent += share * (self.config.steps_of(epoch) or whole)
            return spent

        rate = (time.monotonic() - self.began) / cost(self.entered, passed)
        minutes = rate * cost(passed, total) / 60.0
        left = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
        self.tell(passed, total, f"about {left} left, an estimate")

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
        if self.average is not None:
            self.checkpoint.average = {} if empty else self.average.weights
            self.progress["averaged"] = self.average.steps
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


def accuracy(network: FloatNetwork, samples: np.ndarray, labels: np.ndarray, *, steps: int | None = None) -> float:
    """Percent of samples that the network classifies right, in the mode (float or quantized) that it is in: in
    float64, which carries the quantized mode's integers exactly; a float network with fused neurons as it was
    trained, but in batches. `steps`: time steps of an image, where they are to be fewer."""
    fused = network.config.fused and not network.head.quantized
    exact = network if fused else copy.deepcopy(network).double()
    training = network.training
    exact.eval()
    device, count = network.head.weight.device, _at_once(network)
    with torch.no_grad():
        found = [
            classify(exact(torch.from_numpy(part).to(device), steps=steps).cpu()) for part in parts(samples, count)
        ]
    network.train(training)
    return 100.0 * float((np.concatenate(found) == labels).mean())
