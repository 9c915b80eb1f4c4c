# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Float checkpoints: the whole state of a training run in one safetensors file, and nothing that can execute code.

Tensors are `network.<name>`, `optimizer.<parameter>.<moment>`, `average.<name>` where a moving average of the
weights is kept, and, inside an epoch, `random`, the state of its generator; metadata holds the network, the recipe
and the progress as JSON, a SHA-256 of each tensor, and one over the metadata itself. Any flipped bit is refused.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ds2ta.checked import ValidationError
from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.modelrules import canonical_json
from ds2ta.network import network_from_dict

__all__ = ["FORMAT", "Checkpoint", "float_path", "load_checkpoint", "save_checkpoint"]

FORMAT = "ds2ta-float"
VERSION = 1
_KEYS = ("format", "version", "network", "config", "progress", "tensors", "digest")


@dataclass
class Checkpoint:
    """A network with everything needed to go on training it: `progress` is plain JSON (epochs done, steps done of
    the next one, seconds, accuracies), `optimizer` maps `<parameter>.<moment>` to tensors and is empty at the start
    of a phase, `average` likewise, `random` is the state of the generator in the middle of an epoch."""

    network: FloatNetwork
    progress: dict = field(default_factory=dict)
    optimizer: dict[str, torch.Tensor] = field(default_factory=dict)
    average: dict[str, torch.Tensor] = field(default_factory=dict)
    random: torch.Tensor | None = None


def float_path(path: str | os.PathLike) -> Path:
    """Where the weights at the end of the float phase are kept beside the checkpoint `path`."""
    path = Path(path)
    return path.with_name(f"{path.stem}-float{path.suffix}")


def _digest(name: str, value: torch.Tensor) -> str:
    head = f"{name}|{value.dtype}|{list(value.shape)}|".encode()
    return hashlib.sha256(head + value.contiguous().numpy().tobytes()).hexdigest()


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike) -> None:
    """Write the file whole or not at all."""
    path = Path(path)
    tensors = {f"network.{name}": value for name, value in checkpoint.network.state_dict().items()}
    tensors |= {f"optimizer.{name}": value for name, value in checkpoint.optimizer.items()}
    tensors |= {f"average.{name}": value for name, value in checkpoint.average.items()}
    if checkpoint.random is not None:
        tensors["random"] = checkpoint.random
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    parts = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": canonical_json(checkpoint.network.network.model_dump(mode="json")),
        "config": canonical_json(checkpoint.network.config.model_dump(mode="json")),
        "progress": canonical_json(checkpoint.progress),
        "tensors": canonical_json({name: _digest(name, value) for name, value in tensors.items()}),
    }
    parts["digest"] = hashlib.sha256(canonical_json(parts).encode()).hexdigest()
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(tensors, partial, metadata=parts)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path}: cannot be written ({error})") from None
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read and check a file of `save_checkpoint`. Raises `ModelFileError` or `NetworkError`, nothing else, for
    whatever the file may hold."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such checkpoint; `ds2ta train` writes one")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except Exception as error:  # whatever the parser may raise, it means one thing
        raise ModelFileError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
        found = f"{metadata.get('format')!r:.40} version {metadata.get('version')!r:.20}"
        raise ModelFileError(f"{path}: format is {found}, this program reads {FORMAT!r} version {VERSION}")
    if set(metadata) != set(_KEYS):
        odd = sorted(set(metadata) ^ set(_KEYS))[0]
        raise ModelFileError(f"{path}: metadata: {odd!r:.40} is missing or not a key of version {VERSION}")
    stated = metadata.pop("digest")
    if hashlib.sha256(canonical_json(metadata).encode()).hexdigest() != stated:
        raise ModelFileError(f"{path}: metadata: its SHA-256 differs from the stored one: the file is damaged")
    try:
        parts = {name: json.loads(metadata[name]) for name in ("network", "config", "progress", "tensors")}
        config = TrainingConfig.model_validate(parts["config"])
        network = network_from_dict(parts["network"])
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except ValidationError as error:
        raise ModelFileError(f"{path}: config: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: metadata is not JSON ({error})") from None
    for name in sorted(set(parts["tensors"]) | set(tensors)):
        if name not in tensors or parts["tensors"].get(name) != _digest(name, tensors[name]):
            raise ModelFileError(f"{path}: tensor {name}: missing, or its SHA-256 differs: the file is damaged")
    trained = FloatNetwork(network=network, config=config)
    state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        trained.load_state_dict(state)
    except RuntimeError as error:
        raise ModelFileError(f"{path}: its tensors are not those of its network ({error})") from None
    parted: dict[str, dict[str, torch.Tensor]] = {"optimizer": {}, "average": {}}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind in parted:
            parted[kind][rest] = value
    return Checkpoint(trained, parts["progress"], **parted, random=tensors.get("random"))
