# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A teacher for images: a small convolutional network without spikes, and its answers.

The network is of the kind that learns CIFAR-10 with the fewest operations (Jordan, *94 % on CIFAR-10 in 3.29
seconds*, 2024): frozen filters that decorrelate patches of 2x2 pixels, then three groups of two convolutions with
batch norm and GELU, halved in size by max-pools; 118 M multiplications an image of 32x32. It is trained in float by
SGD with Nesterov momentum, a triangular rate, and a moving average of its weights at the end.

Its answers are computed once, on `views`: augmented copies of every training image, whose random numbers follow
from the number of the view. A student that is trained on the same views finds them in a file (`Answers`), whatever
its recipe, at no cost.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from ds2ta.errors import DataError, NetworkError
from ds2ta.golden.data.sets import DataSet, validation_split
from ds2ta.golden.training.augment import augment_images, random_numbers
from ds2ta.golden.training.average import Average
from ds2ta.golden.training.recipe import ImageAugmentation, TrainingConfig
from ds2ta.modelrules import canonical_json

__all__ = ["Answers", "Teacher", "TeacherRecipe", "load_answers", "teach", "view_numbers"]

FORMAT = "ds2ta-answers"
EVALUATED = 512  # images at once
Report = Callable[[float, int, str], None]


@dataclass(frozen=True)
class TeacherRecipe:
    """How a teacher is trained. `rate` is that of a batch's mean loss, at the top of its triangle."""

    epochs: int = 12
    batch: int = 256
    widths: tuple[int, int, int] = (64, 256, 256)
    rate: float = 0.35
    momentum: float = 0.85
    weight_decay: float = 1.4e-3
    label_smoothing: float = 0.1
    average: float = 0.99
    validation: int = 5000
    seed: int = 0
    threads: int = 1
    images: ImageAugmentation = field(default_factory=ImageAugmentation)


class _Group(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        for convolution in (self.first, self.second):  # what comes in passes through, as far as there are channels
            nn.init.dirac_(convolution.weight.data[: convolution.in_channels])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.norms[0](functional.max_pool2d(self.first(x), 2)))
        return functional.gelu(self.norms[1](self.second(x)))


class Teacher(nn.Module):
    """Logits `[B, classes]` of uint8 images `[B, C, H, W]`; at least 16x16 pixels."""

    def __init__(self, *, channels: int, classes: int, widths: tuple[int, int, int]):
        super().__init__()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        filters = channels * 4
        self.patches = nn.Conv2d(channels, 2 * filters, 2)
        self.patches.weight.requires_grad_(False)
        self.groups = nn.Sequential(*map(_Group, (2 * filters, *widths[:-1]), widths))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def look_at(self, images: torch.Tensor) -> None:
        """Take mean and deviation of the channels, and the filters of patches, from some images."""
        x = images.float()
        self.mean.copy_(x.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(x.std((0, 2, 3))[:, None, None].clamp(min=1.0))
        x = (x - self.mean) / self.deviation
        rows = x.unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).flatten(3).flatten(0, 2)
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        filters = (vectors / torch.sqrt(values + 5e-4)).T.reshape(-1, x.shape[1], 2, 2)
        self.patches.weight.data.copy_(torch.cat([filters, -filters]))
        if self.patches.bias is not None:
            self.patches.bias.data.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = ((images.float() - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        x = self.groups(functional.gelu(self.patches(x)))
        return self.head(x.amax((2, 3))) / math.sqrt(self.head.in_features)


@dataclass(frozen=True)
class Answers:
    """What a teacher says of `views` of every training image: `logits` float16 `[views, n, classes]`, in the order
    of the data set. `images` is the augmentation of the views, `accuracy` the teacher's, percent, on the
    `held_out` training samples that it was not trained on. It never meets the test samples."""

    data: str
    samples: str  # SHA-256 of the training samples
    images: ImageAugmentation
    accuracy: float
    held_out: int
    recipe: dict
    logits: torch.Tensor

    def check(self, path: str | os.PathLike, data: DataSet, config: TrainingConfig) -> None:
        """Raise where a student of that data set (whole, not split) and recipe cannot learn from them."""
        images = config.images
        if config.validation not in (0, self.held_out):
            raise NetworkError(
                f"{path}: its teacher has seen some of the samples that validation {config.validation} holds out; "
                f"it must be {self.held_out}, as the teacher's, or 0"
            )
        if self.samples != _digest(data.train_samples):
            raise DataError(f"{path}: answers to other images than the training samples of {data.name}")
        plain = {"mixup": 0.0, "cutmix": 0.0, "mixed": 1.0}  # mixing comes after, answers are mixed likewise
        if images is None or images.model_copy(update=plain) != self.images.model_copy(update=plain):
            raise NetworkError(
                f"{path}: answers to views made by {self.images}; the recipe's images must be the same, but for "
                "mixup, cutmix and mixed"
            )

    @property
    def views(self) -> int:
        return len(self.logits)


def _digest(samples: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).data).hexdigest()


def view_numbers(view: int, *, count: int, images: ImageAugmentation) -> torch.Tensor:
    """The random numbers of a view of all `count` training images."""
    return random_numbers(count, recipe=images, generator=torch.Generator().manual_seed(7_000_003 + view))


def teach(
    data: DataSet,
    recipe: TeacherRecipe,
    *,
    views: int,
    path: str | os.PathLike,
    precision: torch.dtype = torch.bfloat16,
    report: Report | None = None,
) -> Answers:
    """Train a teacher and write its answers to `path`. What was interrupted goes on where it was: the teacher,
    epoch by epoch, from `<path>.teacher`, where it also stays; the answers, view by view, from `path`."""
    if data.input.kind != "image" or min(data.input.height, data.input.width) < 16:
        raise NetworkError(f"data set {data.name}: a teacher wants images of at least 16x16 pixels")
    path = Path(path)
    torch.set_num_threads(recipe.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        teacher = Teacher(channels=data.input.channels, classes=data.classes, widths=recipe.widths)
    state = path.with_name(path.name + ".teacher")
    seen, _ = validation_split(data, recipe.validation)
    images, plain = _digest(data.train_samples), _plain(recipe)
    about = {"data": data.name, "samples": images, "recipe": plain}
    key = hashlib.sha256(canonical_json(about).encode()).hexdigest()
    known = _train(teacher, seen, recipe, precision, report, state=state, key=key)
    logits = _answer(teacher, seen.test_samples, precision)
    accuracy = 100.0 * float((logits.argmax(1).numpy() == seen.test_labels).mean())
    found = Answers(
        data=data.name,
        samples=images,
        images=recipe.images,
        accuracy=accuracy,
        held_out=len(seen.test_labels),
        recipe=plain,
        logits=torch.empty(0, len(data.train_labels), data.classes, dtype=torch.float16),
    )
    if known and path.is_file():
        found = replace(found, logits=load_answers(path).logits[:views])
    samples = torch.from_numpy(data.train_samples)
    for view in range(found.views, views):
        numbers = view_numbers(view, count=len(samples), images=recipe.images)
        logits = _answer(teacher, samples, precision, recipe.images, numbers)
        found = replace(found, logits=torch.cat([found.logits, logits.half()[None]]))
        _save(found, path)
        if report is not None:
            report(view + 1, views, f"answers; the teacher is right on {accuracy:.2f} % of {found.held_out}")
    return found


def _plain(recipe: TeacherRecipe) -> dict:
    return {**vars(recipe), "widths": list(recipe.widths), "images": recipe.images.model_dump(mode="json")}


def _kept(state: Path, key: str) -> tuple[int, dict[str, torch.Tensor]]:
    """Epochs done, and tensors, of a file of `_train` for the same recipe; none of another."""
    if not state.is_file():
        return 0, {}
    try:
        with safe_open(state, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return 0, {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return int(metadata["epochs"]), tensors
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{state}: cannot be read ({error}); remove it, and a teacher is trained anew") from None


def _train(
    teacher: Teacher,
    data: DataSet,
    recipe: TeacherRecipe,
    precision: torch.dtype,
    report: Report | None,
    *,
    state: Path,
    key: str,
) -> bool:
    """Train the epochs that are left, then make the average the teacher's weights. Whether some had been done."""
    samples, labels = torch.from_numpy(data.train_samples), torch.from_numpy(data.train_labels)
    first = torch.randperm(len(samples), generator=torch.Generator().manual_seed(recipe.seed))[:5000]
    teacher.look_at(samples[first])
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares it of tensors alone
    learned = [parameter for parameter in teacher.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum, nesterov=True)
    average = Average(teacher, decay=recipe.average)
    steps = len(samples) // recipe.batch
    total = recipe.epochs * steps
    done, kept = _kept(state, key)
    if done:
        part: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in ("network", "average", "momentum")}
        for name, value in kept.items():
            kind, _, rest = name.partition(".")
            part[kind][rest] = value
        teacher.load_state_dict(part["network"])
        average.restore(part["average"], done * steps)
        for name, parameter in teacher.named_parameters():
            if parameter.requires_grad:
                optimizer.state[parameter]["momentum_buffer"] = part["momentum"][name]
    for epoch in range(done, recipe.epochs):
        teacher.train()
        generator = torch.Generator().manual_seed(recipe.seed + 1_000_003 * (epoch + 1))
        order, lost = torch.randperm(len(samples), generator=generator), 0.0
        for step in range(steps):
            at = (epoch * steps + step) / total
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * min(0.2 + 4.0 * at, (1.0 - at) / 0.8)  # up for a fifth, then down
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            numbers = random_numbers(len(chosen), recipe=recipe.images, generator=generator)
            batch = augment_images(samples[chosen], recipe=recipe.images, numbers=numbers)
            with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
                logits = teacher(batch)
            loss = functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.follow(teacher)
            lost += loss.item()
        if report is not None:
            with average.in_place_of(teacher):
                right = _answer(teacher, data.test_samples, precision).argmax(1).numpy() == data.test_labels
            report(
                epoch + 1, recipe.epochs, f"teacher: loss {lost / steps:.3f}, held-out {100 * right.mean():.2f} %"
            )
        tensors = {f"network.{name}": value for name, value in teacher.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in average.weights.items()}
        for name, parameter in teacher.named_parameters():
            if parameter.requires_grad:
                tensors[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"]
        _write(state, tensors, {"key": key, "epochs": str(epoch + 1)})
    average.into(teacher)
    return done > 0


def _answer(teacher: Teacher, samples, precision, images=None, numbers=None) -> torch.Tensor:
    """Logits of samples, augmented by `numbers` where they are given."""
    teacher.eval()
    samples, found = torch.as_tensor(samples), []
    with torch.inference_mode(), torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        for start in range(0, len(samples), EVALUATED):
            batch = samples[start : start + EVALUATED]
            if numbers is not None:
                batch = augment_images(batch, recipe=images, numbers=numbers[start : start + EVALUATED])
            found.append(teacher(batch).float())
    return torch.cat(found)


def _save(answers: Answers, path: Path) -> None:
    about = {
        "data": answers.data,
        "samples": answers.samples,
        "images": answers.images.model_dump(mode="json"),
        "accuracy": answers.accuracy,
        "held_out": answers.held_out,
        "recipe": answers.recipe,
        "logits": hashlib.sha256(answers.logits.numpy().data).hexdigest(),
    }
    _write(path, {"logits": answers.logits}, {"format": FORMAT, "about": canonical_json(about)})


def _write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata=metadata)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be written ({error})") from None
    finally:
        partial.unlink(missing_ok=True)


def load_answers(path: str | os.PathLike) -> Answers:
    """Read and check a file of `teach`; `DataError` for whatever else it may hold."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; `ds2ta teach` writes one")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError(f"{path}: not the answers of a teacher; `ds2ta teach` writes such a file")
            logits, about = file.get_tensor("logits"), json.loads(metadata["about"])
        digest = about.pop("logits")
        found = Answers(**{**about, "images": ImageAugmentation.model_validate(about["images"])}, logits=logits)
    except DataError:
        raise
    except Exception as error:  # whatever the parsers may raise, it means one thing
        raise DataError(f"{path}: not a readable file of answers ({error})") from None
    if logits.ndim != 3 or logits.dtype != torch.float16 or hashlib.sha256(logits.numpy()).hexdigest() != digest:
        raise DataError(f"{path}: its SHA-256 differs from the stored one: the file is damaged")
    return found
