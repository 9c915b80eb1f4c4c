# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""From a recipe to a model file: what `ds2ta train` and `ds2ta quantize` do, without their command line."""

import os
import platform
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ds2ta.errors import NetworkError
from ds2ta.files import BUILD, CHECKOUT, MODELS, check_writable
from ds2ta.golden.data.known import known_about
from ds2ta.golden.data.sets import DataSet, load_data, parts, validation_split
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.calibrate import SAMPLES, calibrated
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.netfile import find_preset
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.processes import check_device, is_first, joined, limited
from ds2ta.golden.training.recipe import ImageAugmentation, adjusted, phases
from ds2ta.golden.training.run import accuracy, make_folders
from ds2ta.golden.training.teacher import Answers, TeacherRecipe, teach
from ds2ta.golden.training.train import train
from ds2ta.model import IntegerModel
from ds2ta.modelfile import save_model, self_test_samples

__all__ = ["export", "integer_accuracy", "quantize_file", "teach_file", "train_preset"]


def integer_accuracy(model: IntegerModel, samples: np.ndarray, labels: np.ndarray) -> float:
    """Percent of samples that the integer model classifies right."""
    network = IntegerNetwork(model)
    found = [classify(network.run(part)) for part in parts(samples)]
    return 100.0 * float((np.concatenate(found) == labels).mean())


def export(
    checkpoint: Checkpoint, *, folder: str | os.PathLike | None = None, data: DataSet | None = None
) -> IntegerModel:
    """The integer model of a finished run, with its own measured accuracy and the history of its making inside.
    `NetworkError` where the run is not at its end."""
    config, progress = checkpoint.network.config, checkpoint.progress
    total = sum(phase.epochs for phase in phases(config))
    if progress["epochs"] != total:
        raise NetworkError(
            f"{progress['epochs']} of {total} epochs are done: `ds2ta train` goes on with the rest; --bits 4 "
            "quantizes it as it is"
        )
    data = data or load_data(config.data, folder)
    if config.validation:
        data, _ = validation_split(data, config.validation)
    return _measured(
        checkpoint,
        checkpoint.network,
        data,
        command=progress.get("command", "ds2ta quantize"),
        quantized_accuracy=progress.get("frozen_accuracy", progress.get("quantized_accuracy")),
    )


def _measured(
    checkpoint: Checkpoint, network: FloatNetwork, data: DataSet, *, command: str, **accuracies: Any
) -> IntegerModel:
    """The integer model of a network that came from the checkpoint, with its accuracy and its history inside."""
    config, progress = network.config, checkpoint.progress
    about = data.about or known_about(config.data, network.network)
    private = about.samples is not None and about.samples.pass_on is False
    count = 0 if private else self_test_samples(data.test_samples)
    model = quantize(network, samples=data.test_samples[:count], labels=data.test_labels[:count])
    packages = {}
    for name in ("torch", "numpy", "scikit-learn", "safetensors"):
        with suppress(PackageNotFoundError):  # scikit-learn is only there for its digits
            packages[name] = version(name)
    return replace(
        model,
        about=about,
        provenance={
            "command": command,
            "data": config.model_dump(mode="json", exclude_none=True)["data"],
            "seed": config.seed,
            "threads": config.threads,
            "config": config.model_dump(mode="json", exclude_none=True),
            "test_samples": len(data.test_labels),
            **({"validation": config.validation} if config.validation else {}),
            "float_accuracy": progress.get("float_accuracy"),
            **accuracies,
            "integer_accuracy": integer_accuracy(model, data.test_samples, data.test_labels),
            "seconds": progress["seconds"],
            **({"hardware": "; ".join(progress["hardware"])} if "hardware" in progress else {}),
            **({"date": progress["date"]} if "date" in progress else {}),
            "versions": {"python": platform.python_version(), **packages},
        },
    )


def train_preset(
    preset_or_file: str,
    *,
    out: str | os.PathLike | None,
    checkpoint: str | os.PathLike | None,
    resume: bool = False,
    seed: int | None = None,
    folder: str | os.PathLike | None = None,
    threads: int | None = None,
    bits: int | None = None,
    origin: str | os.PathLike | None = None,
    start: str | os.PathLike | None = None,
    teacher: str | os.PathLike | None = None,
    validation: int | None = None,
    device: str = "cpu",
    console: Console | None = None,
) -> Path:
    """Train a preset, or the network of a YAML file, with a progress bar and write `<out>/<name>.safetensors`;
    without `out`, into `models/` of a checkout if it is a preset's own recipe, and into `build/trained/` if it is
    not, or seed, bits, validation, origin or start are others. `checkpoint` is the float file that a later call
    with `resume` continues from. `folder` holds the files of the data set. Under torchrun all processes train, and
    the first one writes. `bits` instead of the recipe's and `origin`, the weights at the end of another run's float
    phase, make a row of the curve of accuracy against bits. `teacher` is a file of `ds2ta teach`. Returns the path
    of the file."""
    preset = find_preset(preset_or_file)
    name = preset.network.name
    config = adjusted(preset.config, seed=seed, threads=threads, bits=bits, validation=validation)
    check_device(device)
    data = load_data(config.data, folder)  # what is missing is said before anything is written
    _tell(data, console)
    plain = origin is None and start is None and preset_or_file in PRESETS
    own = plain and config == preset.config.model_copy(update={"threads": config.threads})
    checkpoint = Path(checkpoint) if checkpoint is not None else BUILD / "train" / f"{name}.safetensors"
    command = f"ds2ta train {Path(preset_or_file).name}" + ("" if folder is None else " --data DIR")
    options = {
        "--seed": seed,
        "--threads": threads,
        "--bits": bits,
        "--origin": origin and "FILE",
        "--start": start and "FILE",
        "--teacher": teacher and "FILE",
        "--validation": validation,
    }
    command += "".join(f" {option} {value}" for option, value in options.items() if value is not None)
    command += "" if out is None else " --out FOLDER"
    command += "" if device == "cpu" else f" --device {device}"
    out = Path(out) if out is not None else (MODELS if own and CHECKOUT else BUILD / "trained")
    make_folders(out, checkpoint.parent)
    with joined(device) as place, _progress(console, hidden=not is_first()) as bar:
        task = bar.add_task(name)

        def report(epoch: float, total: int, text: str) -> None:
            bar.update(task, completed=epoch, total=total, description=f"{name} {text}")
            if "accuracy" in text or "estimate" in text:
                bar.console.print(f"{name}: epoch {epoch:.4g}: {text}")

        trained = train(
            preset.network,
            config,
            data=data,
            path=checkpoint,
            resume=resume,
            origin=origin,
            start=start,
            teacher=teacher,
            device=place,
            report=report,
            command=command,
        )
        first = is_first()
    path = out / f"{name}.safetensors"
    if not first:
        return path
    with limited(config.threads):
        save_model(export(trained, data=data), path)
    return path


def _tell(data: DataSet, console: Console | None) -> None:
    """What was read, where the set has something to say, and what was left out."""
    if console is not None and is_first():
        for line in data.notes:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _progress(console: Console | None, *, hidden: bool = False) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=hidden)


def teach_file(
    name: str,
    path: str | os.PathLike,
    *,
    folder: str | os.PathLike | None,
    views: int,
    crop: int,
    flip: bool,
    console: Console | None = None,
    **recipe: Any,
) -> Answers:
    """Train a teacher on a data set of images and write its answers to `path`, with a progress bar. `recipe`:
    epochs, validation, seed and threads of `TeacherRecipe`."""
    data = load_data(name, folder)
    make_folders(Path(path).parent)
    with _progress(console) as bar:
        task = bar.add_task(name)

        def report(done: float, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{name} {text}")
            bar.console.print(f"{name}: {done} of {total}: {text}")

        images = ImageAugmentation(crop=crop, flip=flip)
        return teach(data, TeacherRecipe(images=images, **recipe), views=views, path=path, report=report)


def quantize_file(
    checkpoint: str | os.PathLike,
    model: str | os.PathLike | None,
    *,
    folder: str | os.PathLike | None = None,
    bits: int | None = None,
    count: int | None = None,
    console: Console | None = None,
) -> tuple[Path, IntegerModel]:
    """Export a float checkpoint to the integer model file `model` (default: `build/quantized/NAME.safetensors`):
    that of a finished training run as it is; with `bits` any, quantized after training to weights of so many
    bits, with `count` training samples for calibration. Returns the file and the model."""
    if bits is None and count is not None:
        raise NetworkError("--samples: only --bits, quantization without training, is calibrated on samples")
    found = load_checkpoint(checkpoint)
    config = adjusted(found.network.config, bits=bits)
    data = load_data(config.data, folder)
    _tell(data, console)
    path = Path(model) if model is not None else BUILD / "quantized" / f"{found.network.network.name}.safetensors"
    if model is None:
        make_folders(path.parent)
    check_writable(path)
    with limited(config.threads):
        try:
            exported = export(found, data=data) if bits is None else _calibrated(found, data, bits, count, console)
        except NetworkError as error:
            raise NetworkError(f"{checkpoint}: {error}") from None
    save_model(exported, path)
    return path, exported


def _calibrated(
    checkpoint: Checkpoint, data: DataSet, bits: int, count: int | None, console: Console | None
) -> IntegerModel:
    """Post-training quantization. The test samples are measured on, and seen by nothing before."""
    if checkpoint.network.config.validation:
        data, _ = validation_split(data, checkpoint.network.config.validation)
    if checkpoint.progress.get("float_accuracy") is None:
        checkpoint.progress["float_accuracy"] = accuracy(checkpoint.network, data.test_samples, data.test_labels)
    with _progress(console) as bar:
        task = bar.add_task("calibration")

        def report(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=f"calibration: {name}")

        asked = SAMPLES if count is None else count
        network, used = calibrated(checkpoint.network, data.train_samples, bits=bits, count=asked, report=report)
    command = f"ds2ta quantize CHECKPOINT --data DIR --bits {bits}"
    if count is not None:
        command += f" --samples {count}"
    return _measured(checkpoint, network, data, command=command, calibration_samples=used)
