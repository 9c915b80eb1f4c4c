# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A writer of version 1 of the model file, as its page had it: other programs write with copies of this."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save_file


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write_model(path, network, layers, attention, tensors, provenance):
    """All arguments but the path as sections 3 to 5 say; `tensors` maps names to numpy arrays."""
    heads = {name: f"{name}|{value.dtype.name}|{list(value.shape)}|" for name, value in tensors.items()}
    metadata = {
        "format": "ds2ta-integer",
        "version": "1",
        "network": canonical(network),
        "layers": canonical(layers),
        "attention": canonical(attention),
        "provenance": canonical(provenance),
        "tensors": canonical(
            {name: sha256(heads[name].encode() + value.tobytes()) for name, value in tensors.items()}
        ),
    }
    metadata["digest"] = sha256(canonical(metadata).encode())
    save_file(tensors, path, metadata=metadata)


def example():
    """The arguments of `write_model` for a tiny network."""
    network = {
        "name": "example",
        "input": {"kind": "image", "channels": 1, "height": 3, "width": 2, "bits": 4},
        "time_steps": 2,
        "stem": [{"channels": 4, "pool": False}],
        "embed_dim": 4,
        "heads": 2,
        "depth": 1,
        "hidden_dim": 8,
        "window": 3,
        "leak_shift": 1,
        "residual": "add",
        "nsad": True,
        "denoiser_bits": 3,
        "classes": 3,
    }
    shapes = {"stem.0": (4, 1, 3, 3), "rpe": (4, 4, 3, 3)}
    for part in ("q", "k", "v", "proj"):
        shapes[f"block.0.{part}"] = (4, 4)
    shapes |= {"block.0.fc1": (8, 4), "block.0.fc2": (4, 8), "head": (3, 4)}

    layers, tensors = {}, {}
    for name, shape in shapes.items():
        windowed = name in ("block.0.q", "block.0.k", "block.0.v", "block.0.proj")
        layers[name] = {"bits": 4, "tau": 2, "window": 3} if windowed else {"bits": 4, "tau": 0, "window": 1}
        unit = 1 << 2 * 2 if windowed else 1  # 2**(tau (window-1)) units make one weight step
        weight = np.arange(np.prod(shape)).reshape(shape) * 5 % 15 - 7  # 4 bits: -7..7
        tensors[f"{name}.weight"] = weight.astype(np.int8)
        tensors[f"{name}.bias"] = np.full(shape[0], unit, np.int64)
        if name != "head":
            tensors[f"{name}.threshold"] = np.full(shape[0], 3 * unit, np.int64)
    tensors["block.0.denoiser"] = np.array([[0, 2], [1, 3]], np.uint8)  # head 0 drops scores of 1
    tensors["samples"] = np.arange(2 * 6, dtype=np.uint8).reshape(2, 1, 3, 2)
    tensors["labels"] = np.array([0, 2], np.int64)
    attention = {"threshold": [2]}
    return network, layers, attention, tensors, {"made_by": "docs/model-file.md"}
