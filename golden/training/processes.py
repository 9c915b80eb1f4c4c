# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Several processes that train together, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import distributed

from ds2ta.errors import NetworkError

__all__ = ["check_device", "is_first", "joined", "limited"]


def check_device(device: str) -> None:
    """Raise `NetworkError` for a device that is not there."""
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise NetworkError(f"--device {device}: must be cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise NetworkError("--device cuda: no GPU is there for this torch")


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that torchrun started (its variables are in the environment) for the length of the block;
    without torchrun, nothing happens. Yields the device of this process: each has its own GPU."""
    check_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if torch.device(device).type == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Functions of this module have today's group, none yet, as a default. AdamW imports it too, and then they would
    # keep ours, with its threads, into the end of the interpreter, where a thread that frees a tensor aborts.
    import_module("torch.distributed.nn.functional")
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
        distributed.barrier()  # nobody leaves while another still talks to it
    finally:
        distributed.destroy_process_group()


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Torch computes with so many threads inside of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
