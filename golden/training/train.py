# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Training: seeded, deterministic for a given number of threads, resumable at every checkpoint.

Three phases, each with its own AdamW and learning rate: float; quantization-aware (the forward pass is the integer
model's, up to the rounding of bfloat16 where that is the recipe's); the same with frozen batch-norm statistics, so
that what is trained is what is exported. No choice is ever
made on the held-out samples: the last epoch is the result.

Under `torchrun` each process computes its share of every batch; batch-norm statistics, random numbers and gradients
are those of the whole batch, so the result is that of one process up to rounding (fused neurons only).
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ds2ta.errors import DataError, NetworkError
from ds2ta.golden.data.sets import DataSet, load_data, validation_split
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.fused import world
from ds2ta.golden.training.processes import check_device, is_first, limited
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.run import Report, Run
from ds2ta.golden.training.teacher import load_answers
from ds2ta.network import Network

__all__ = ["train"]

#: Fields of a recipe that the float phase does not depend on.
_AFTER_FLOAT = (
    "threads",
    "bits",
    "layer_bits",
    "epochs_quantized",
    "epochs_frozen",
    "rate_quantized",
    "rate_frozen",
)


@contextmanager
def _deterministic(threads: int, device: torch.device) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    try:
        with limited(threads):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def train(
    network: Network,
    config: TrainingConfig,
    *,
    folder: str | os.PathLike | None = None,
    path: str | os.PathLike | None = None,
    resume: bool = False,
    origin: str | os.PathLike | None = None,
    start: str | os.PathLike | None = None,
    teacher: str | os.PathLike | None = None,
    stop_after: float | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    report: Report | None = None,
    data: DataSet | None = None,
    command: str | None = None,
) -> Checkpoint:
    """Train to the end of the recipe, or to `stop_after` epochs (a fraction stops inside of one), or for about so
    many `minutes` of this call, whichever comes first. With `path` the
    state is saved there as it goes; with `resume` an existing file is continued, and gives the weights that an
    uninterrupted run gives (with as many threads, to the last bit). `folder` holds the files of the data set,
    `data` is the set where it is loaded already. `command` goes into the checkpoint, for the record.
    `origin`: a float checkpoint whose weights take the place of the float phase (`float_path` of an earlier run,
    perhaps with other bits). `start`: any float checkpoint of this network, whose weights the float phase begins
    with instead of random ones. `teacher`: answers to the training samples, of `ds2ta teach`, where the recipe has
    a distillation. A run that is resumed must have begun with the same files. A validation split that the recipe
    asks for is cut off here: `data` is whole."""
    check_device(device)
    place = torch.device(device)
    data = data or load_data(config.data, folder)
    if network.input != data.input or network.classes != data.classes:
        raise NetworkError(
            f"network {network.name}: its input or its classes ({network.classes}) are not those of data set "
            f"{data.name} ({data.classes})"
        )
    if world() > 1 and not config.fused:
        raise NetworkError(f"network {network.name}: several processes need a recipe with fused arithmetic")
    if world() > 1 and config.batch % (2 * world()):
        raise NetworkError(f"batch {config.batch} must be a multiple of {2 * world()}, twice the processes")
    if origin is not None and start is not None:
        raise NetworkError("--origin leaves the float phase out, which --start begins: give one of them")
    if (teacher is None) != (config.distillation is None):
        raise NetworkError(
            "--teacher FILE, the answers of a teacher, and a recipe with distillation belong together: give both"
        )
    answers, left = None, None
    if teacher is not None:
        answers = load_answers(teacher)
        answers.check(teacher, data, config)
    if config.validation:
        data, left = validation_split(data, config.validation)
    with _alone(path), _deterministic(config.threads, place):
        if resume and path is not None and Path(path).is_file():
            checkpoint = load_checkpoint(path)
            here = {"threads": config.threads}  # equal up to rounding with any number of them
            asked = {"origin": origin} if "origin" in checkpoint.progress else {"origin": origin, "start": start}
            asked["teacher"] = teacher
            for option, file in asked.items():  # an origin's own start is part of its past
                began = checkpoint.progress.get(option)
                if began != (None if file is None else _digest(file)):
                    where = f"without --{option}" if began is None else f"with --{option} of SHA-256 {began[:12]}"
                    raise NetworkError(f"{path}: began {where}, not with {file}; give another --state")
            if (checkpoint.network.network, checkpoint.network.config.model_copy(update=here)) != (network, config):
                raise NetworkError(
                    f"{path}: made with another network or recipe, it cannot be resumed with this one; give "
                    "another --state, or --no-resume to write over it"
                )
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                checkpoint = Checkpoint(FloatNetwork(network=network, config=config), {"epochs": 0, "seconds": 0.0})
            if start is not None:
                _warm(checkpoint, start)
            if origin is not None:
                _begin_at(checkpoint, origin)
            if teacher is not None:
                checkpoint.progress["teacher"] = _digest(teacher)
        checkpoint.network.to(place)
        checkpoint.network.config = config
        if command is not None:
            checkpoint.progress["command"] = command
        run = Run(checkpoint, data, path=path, report=report, answers=answers, left=left)
        try:
            run.to(stop_after, minutes)
        finally:
            run.journal.close()
        checkpoint.network.cpu()
    return checkpoint


@contextmanager
def _alone(path: str | os.PathLike | None) -> Iterator[None]:
    """Hold the state: two runs on one file would mix its lines and its weights."""
    if path is None or not is_first():
        yield
        return
    lock = Path(f"{path}.lock")
    try:
        file = lock.open("w")
    except OSError as error:
        raise DataError(f"{lock}: cannot be written ({error.strerror}); give another --state") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NetworkError(f"{path}: another run is at work on it; wait, or give another --state") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _warm(checkpoint: Checkpoint, start: str | os.PathLike) -> None:
    """Weights of a float checkpoint in place of random ones."""
    found, network = load_checkpoint(start), checkpoint.network
    if found.network.network != network.network:
        raise NetworkError(f"{start}: not of network {network.network.name}")
    network.load_state_dict(found.network.state_dict())
    checkpoint.progress["start"] = _digest(start)


def _begin_at(checkpoint: Checkpoint, origin: str | os.PathLike) -> None:
    """Weights of a float checkpoint, and its float phase as done."""
    found, network = load_checkpoint(origin), checkpoint.network
    theirs, ours = found.network.config, network.config
    whole = "float_accuracy" in found.progress and found.progress["epochs"] == theirs.epochs_float
    if found.network.network != network.network or not whole:
        raise NetworkError(f"{origin}: not the end of a float phase of network {network.network.name}")
    other = [key for key in vars(ours) if getattr(theirs, key) != getattr(ours, key)]
    if wrong := [key for key in other if key not in _AFTER_FLOAT]:
        key = wrong[0]
        raise NetworkError(
            f"{origin}: its float phase had {key} {getattr(theirs, key)!s:.40}, this recipe has "
            f"{getattr(ours, key)!s:.40}"
        )
    network.load_state_dict(found.network.state_dict())
    keys = ("seconds", "float_accuracy", "hardware", "start")
    checkpoint.progress = {key: found.progress[key] for key in keys if key in found.progress}
    checkpoint.progress |= {"epochs": ours.epochs_float, "origin": _digest(origin)}


def _digest(path: str | os.PathLike) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
