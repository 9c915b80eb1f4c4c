"""Several processes that train together, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

__all__ = ["is_first", "joined"]


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that torchrun started (its variables are in the environment) for the length of the block;
    without torchrun, nothing happens. Yields the device of this process: each has its own GPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if torch.device(device).type == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
        distributed.barrier()  # nobody leaves while another still talks to it
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
