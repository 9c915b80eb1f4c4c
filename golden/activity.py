# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How much of the synaptic work a network really does: time on the hardware is proportional to it.

An event is one non-zero spike word (all time steps of one channel at one place, one bit plane) entering a layer; it
costs as many operations as the layer has outputs (times nine taps for a convolution).
"""

from collections.abc import Mapping

import torch

from ds2ta.network import Network

__all__ = ["layer_inputs", "work_share"]


def layer_inputs(network: Network) -> dict[str, str]:
    """For each layer that is fed by spikes, the name of the tensor that feeds it."""
    found: dict[str, str] = {}
    previous = ""
    for index, conv in enumerate(network.stem):
        if previous:
            found[f"stem.{index}"] = previous
        previous = f"stem.{index}.pool" if conv.pool else f"stem.{index}"
    found["rpe"], previous = previous, "embed"
    for block in range(network.depth):
        at = f"block.{block}."
        found |= {at + part: previous for part in ("q", "k", "v")}
        found |= {at + "proj": at + "attn", at + "fc1": at + "x1", at + "fc2": at + "fc1"}
        previous = at + "x2"
    return found


def work_share(network: Network, trace: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Work done / work of dense inputs, differentiable: the penalty that makes training prefer silence. The
    gradient of a word that is not zero pulls down its largest values alone, of a zero word all of them.
    Values above one (residual sums) count as one event here. The output of attention (input of `proj`) is left out:
    a small part of the work, and the first that a penalty would silence for good."""
    work, dense = torch.zeros(()), 0.0
    specs = {spec.name: spec for spec in network.layers()}
    for layer, source in layer_inputs(network).items():
        if layer.endswith(".proj"):
            continue
        cost = specs[layer].outputs * specs[layer].kernel ** 2
        words = trace[source].amax(1).clamp(max=1.0)  # time is the second axis
        work, dense = work + cost * words.sum(), dense + cost * words.numel()
    return work / dense
