"""Training: seeded, deterministic for a given number of threads, resumable at every checkpoint.

Three phases, each with its own AdamW and learning rate: float; quantization-aware (the forward pass is the integer
model's); the same with frozen batch-norm statistics, so that what is trained is what is exported. No choice is ever
made on the held-out samples: the last epoch is the result.

Under `torchrun` each process computes its share of every batch; batch-norm statistics, random numbers and gradients
are those of the whole batch, so the result is that of one process up to rounding (fused neurons only).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ds2ta.errors import NetworkError
from ds2ta.golden.checkpoint import Checkpoint, load_checkpoint
from ds2ta.golden.data import load_data
from ds2ta.golden.float_network import FloatNetwork
from ds2ta.golden.fused import world
from ds2ta.golden.recipe import TrainingConfig
from ds2ta.golden.run import Report, Run
from ds2ta.network import Network

__all__ = ["train"]


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
    minutes: float | None = None,
    device: str = "cpu",
    report: Report | None = None,
) -> Checkpoint:
    """Train to the end of the recipe, or to `stop_after` epochs (a fraction stops inside of one), or for about so
    many `minutes` of this call, whichever comes first. With `path` the
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
        run = Run(checkpoint, data, path=path, report=report)
        try:
            run.to(stop_after, minutes)
        finally:
            run.journal.close()
        checkpoint.network.cpu()
    return checkpoint


def _begin_at(checkpoint: Checkpoint, origin: str | os.PathLike) -> None:
    """Weights of a float checkpoint, and its float phase as done."""
    found, network = load_checkpoint(origin), checkpoint.network
    if found.network.network != network.network or "float_accuracy" not in found.progress:
        raise NetworkError(f"{origin}: not the end of a float phase of network {network.network.name}")
    network.load_state_dict(found.network.state_dict())
    keys = ("seconds", "float_accuracy")
    checkpoint.progress = {key: found.progress[key] for key in keys} | {"epochs": network.config.epochs_float}
