# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""AdamW in three groups, its learning rate over a phase, and its state as named tensors."""

import math

import torch
from torch import distributed

from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.fused import world

__all__ = ["average_gradients", "make_optimizer", "moments", "restore", "set_rate"]

WARM_UP_STEPS = 40


def make_optimizer(network: FloatNetwork, rate: float) -> torch.optim.AdamW:
    """Weights decay; batch norm, biases, tau and denoisers do not, and the last two learn at their own rate."""
    config = network.config
    weights: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    shapes: list[torch.Tensor] = []
    for name, parameter in network.named_parameters():
        if name.startswith(("windows", "denoisers")):
            shapes.append(parameter)
        else:
            (weights if name.endswith("weight") else others).append(parameter)
    groups = [(weights, rate, config.weight_decay), (others, rate, 0.0), (shapes, rate * config.shape_rate, 0.0)]
    return torch.optim.AdamW(
        [{"params": p, "lr": r, "full_rate": r, "weight_decay": decay} for p, r, decay in groups if p],
        fused=network.head.weight.device.type == "cpu",  # one pass over each parameter instead of ten
    )


def set_rate(optimizer: torch.optim.AdamW, passed: int, total: int) -> float:
    """Rate of step `passed` of `total`: a short warm-up, then half a cosine. Returns that of the first group."""
    scale = 0.5 * (1.0 + math.cos(math.pi * passed / total))
    scale *= min(1.0, (passed + 1) / WARM_UP_STEPS)
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * scale
    return optimizer.param_groups[0]["lr"]


def average_gradients(network: FloatNetwork) -> None:
    """Mean of the gradients over all processes, in one message. What DistributedDataParallel does; but the passes
    of fused neurons talk on the way too, in a fixed order, and one message at the end never meets theirs."""
    if world() == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= world()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def moments(optimizer: torch.optim.AdamW, network: FloatNetwork) -> dict[str, torch.Tensor]:
    """The optimizer's state as `<parameter>.<moment>`."""
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[p]}.{key}": value.clone() for p, state in optimizer.state.items() for key, value in state.items()
    }


def restore(optimizer: torch.optim.AdamW, network: FloatNetwork, state: dict[str, torch.Tensor]) -> None:
    """Give an optimizer the state that `moments` returned."""
    parameters = dict(network.named_parameters())
    for name, value in state.items():
        parameter, _, key = name.rpartition(".")
        place = parameters[parameter]
        device = place.device if key != "step" else value.device  # AdamW counts its steps on the CPU
        optimizer.state[place][key] = value.to(device, copy=True)
