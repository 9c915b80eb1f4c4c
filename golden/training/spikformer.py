# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Checkpoints of Spikformer (names as in ZK-Zhou/spikformer) as the baseline network of this project.

Their neuron scales its input, `v += (x - v) / tau` with threshold 1; ours does not, and fires at theta = tau_m: the
same spikes, so nothing of that factor is left to fold. A linear layer's bias moves into the mean of the batch norm
behind it. Pixels are whole numbers here: the division by 255 and by the deviation of the input goes into the first
convolution, its mean into the batch norm behind. (With a mean that is not 0, the outermost pixels differ: they pad
the normalized image with zeros, we pad the pixels.)

A state dict holds no time constant, threshold, number of steps or heads, and no kind of residual: `network` and
`config` state them, and are checked against the shapes that it does hold.
"""

import argparse
import math
import os
import re
from collections.abc import Mapping, Sequence

import torch

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training.checkpoint import Checkpoint, save_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.run import accuracy
from ds2ta.network import Network

__all__ = ["import_file", "import_spikformer", "read_state"]

#: What a checkpoint may hold that its network does not use: counters, layer norms, a positional embedding.
_UNUSED = re.compile(r"\.num_batches_tracked$|(^|\.)norm\d?\.|^pos_embed$")


def read_state(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The tensors of a `.pth` file, its `model` or its `state_dict`, read without running what it may hold (of
    objects, only the plain arguments of a command line that training scripts put beside the weights)."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except Exception as error:  # whatever the unpickler may raise, it means one thing
        raise ModelFileError(f"{path}: not a file of plain tensors ({error})") from None
    for key in ("model", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    tensors = isinstance(found, dict) and all(isinstance(value, torch.Tensor) for value in found.values())
    if not tensors:
        raise ModelFileError(f"{path}: holds no state dict")
    return {name.removeprefix("module."): value for name, value in found.items()}


def _names(network: Network) -> dict[str, tuple[str, str]]:
    """Our layers, and the names of their weights and batch norms in a Spikformer state dict."""
    found = {}
    for index in range(len(network.stem)):
        number = str(index) if index else ""
        found[f"stem.{index}"] = (f"patch_embed.proj_conv{number}", f"patch_embed.proj_bn{number}")
    found["rpe"] = ("patch_embed.rpe_conv", "patch_embed.rpe_bn")
    for block in range(network.depth):
        for part in ("q", "k", "v", "proj", "fc1", "fc2"):
            home = f"block.{block}.{'mlp' if part.startswith('fc') else 'attn'}.{part}"
            found[f"block.{block}.{part}"] = (f"{home}_linear", f"{home}_bn")
    return found


def import_spikformer(
    state: Mapping[str, torch.Tensor],
    *,
    network: Network,
    config: TrainingConfig,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    deviation: Sequence[float] = (1.0, 1.0, 1.0),
) -> FloatNetwork:
    """The baseline with the weights of `state`. `mean` and `deviation` by channel are those with which its training
    normalized images of 0..1. Raises `NetworkError` for what does not fit, naming the tensor."""
    if network.nsad or network.window != 1 or network.residual != "add" or network.leak_shift != 1:
        raise NetworkError(
            f"network {network.name}: Spikformer has nsad off, window 1, residual add and leak_shift 1 (tau_m = 2)"
        )
    left = {name: value for name, value in state.items() if not _UNUSED.search(name)}

    def take(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        for spelled in (name, name.replace("_linear.", "_conv.")):  # for events, convolutions of size 1
            if spelled in left:
                value = left.pop(spelled)
                value = value.flatten(1) if value.ndim == 3 and value.shape[-1] == 1 else value
                if tuple(value.shape) != shape:
                    raise NetworkError(
                        f"tensor {spelled} has shape {list(value.shape)}, the network's is {list(shape)}"
                    )
                return value.to(torch.float64)
        raise NetworkError(
            f"tensor {name} is missing: the state dict is not of a Spikformer of this network's size"
        )

    found = FloatNetwork(network=network, config=config)
    with torch.no_grad():
        for layer, (linear, norm) in _names(network).items():
            synapse = found.synapse(layer)
            outputs = (synapse.spec.outputs,)
            weight = take(f"{linear}.weight", tuple(synapse.weight.shape))
            biased = any(f"{spelled}.bias" in left for spelled in (linear, linear.replace("_linear", "_conv")))
            gamma, beta, middle, spread = (
                take(f"{norm}.{part}", outputs) for part in ("weight", "bias", "running_mean", "running_var")
            )
            if biased:
                middle = middle - take(f"{linear}.bias", outputs)
            if layer == "stem.0" and network.input.kind == "image":
                channels = network.input.channels
                scale, shift = (torch.tensor(value[:channels], dtype=torch.float64) for value in (deviation, mean))
                weight = weight / scale[:, None, None]
                middle = middle + (weight.sum((2, 3)) * shift).sum(1)
                weight = weight / 255.0
            for place, value in (
                (synapse.weight, weight),
                (synapse.gamma, gamma),
                (synapse.beta, beta),
                (synapse.mean, middle),
                (synapse.variance, spread),
            ):
                place.copy_(value)
        found.head.weight.copy_(take("head.weight", tuple(found.head.weight.shape)))
        found.head.bias.copy_(take("head.bias", tuple(found.head.bias.shape)))
    if left:
        raise NetworkError(f"tensor {sorted(left)[0]} has no place in network {network.name}")
    return found.eval()


def import_file(
    path: str | os.PathLike,
    state: str | os.PathLike,
    *,
    preset: str,
    folder: str | os.PathLike | None,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    deviation: Sequence[float] = (1.0, 1.0, 1.0),
) -> float:
    """Write the `.pth` file `path` as the end of the float phase of a preset that is a baseline: `ds2ta train` with
    `--origin` fine-tunes it to integer weights. Returns its accuracy on the held-out samples in `folder` in
    percent."""
    if preset not in PRESETS:
        raise NetworkError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    network, config = PRESETS[preset].network, PRESETS[preset].config
    values = {"mean": mean, "deviation": deviation}
    channels = network.input.channels if network.input.kind == "image" else 3  # frames are not normalized
    for name, value in values.items():
        wrong = any(not math.isfinite(item) or item < 0 or (name == "deviation" and not item) for item in value)
        if len(value) != channels or wrong:
            raise NetworkError(f"--{name} {list(value)}: must be {channels} numbers, one a channel")
    try:
        found = import_spikformer(read_state(path), network=network, config=config, **values)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    data = load_data(config.data, folder)
    right = accuracy(found, data.test_samples, data.test_labels)
    progress = {"epochs": config.epochs_float, "seconds": 0.0, "float_accuracy": right}
    save_checkpoint(Checkpoint(found, progress), state)
    return right
