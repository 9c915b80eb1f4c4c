# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The file of an integer model.

It is safetensors with a JSON header. `docs/model-file.md` specifies it, so that other programs can write one.
Every tensor carries a SHA-256 over its name, type, shape and bytes, and the metadata carries one over itself:
any flipped bit is refused. Nothing here needs PyTorch.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.files import DIGITS
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelrules import canonical_json, check_model
from ds2ta.network import network_from_dict

__all__ = ["FORMAT", "VERSION", "load_model", "model_digest", "save_model"]

FORMAT = "ds2ta-integer"
VERSION = 1
_TYPES = {"int8": "I8", "uint8": "U8", "int64": "I64"}  # as safetensors spells them
_METADATA_KEYS = ("format", "version", "network", "layers", "attention", "provenance", "tensors", "digest")


def _tensors(model: IntegerModel) -> dict[str, np.ndarray]:
    found = {"samples": model.samples, "labels": model.labels}
    for name, layer in model.synapses.items():
        found[f"{name}.weight"] = layer.weight
        found[f"{name}.bias"] = layer.bias
        if layer.threshold is not None:
            found[f"{name}.threshold"] = layer.threshold
    for block, table in enumerate(model.denoisers):
        found[f"block.{block}.denoiser"] = table
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def _digest(name: str, value: np.ndarray) -> str:
    head = f"{name}|{value.dtype.name}|{list(value.shape)}|".encode()
    return hashlib.sha256(head + np.ascontiguousarray(value).tobytes()).hexdigest()


def _metadata(model: IntegerModel) -> dict[str, str]:
    parts = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": canonical_json(model.network.model_dump(mode="json")),
        "layers": canonical_json(
            {n: {"bits": s.bits, "tau": s.tau, "window": s.window} for n, s in model.synapses.items()}
        ),
        "attention": canonical_json({"threshold": list(model.attention_threshold)}),
        "provenance": canonical_json(model.provenance),
        "tensors": canonical_json({name: _digest(name, value) for name, value in _tensors(model).items()}),
    }
    parts["digest"] = hashlib.sha256(canonical_json(parts).encode()).hexdigest()
    return parts


def model_digest(model: IntegerModel) -> str:
    """SHA-256 (hex) of everything in the model; equal for equal models on every machine."""
    return _metadata(model)["digest"]


def _encode(model: IntegerModel) -> bytes:
    """The file. Written here because the library's own writer shuffles the metadata: equal models must be equal
    files. Wide tensors come first, so that each lies at a multiple of its element size."""
    tensors = sorted(_tensors(model).items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, object] = {"__metadata__": _metadata(model)}
    end = 0
    for name, value in tensors:
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": _TYPES[value.dtype.name], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(value.tobytes() for _, value in tensors)])


def save_model(model: IntegerModel, path: str | os.PathLike) -> None:
    """Check the model, then write it whole or not at all (a temporary file is renamed over `path`). Equal models
    give equal files."""
    path = Path(path)
    check_model(model, str(path))
    try:
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    except ValueError as error:
        raise ModelFileError(f"{path}: not the path of a file ({_reason(error)})") from None
    try:
        partial.write_bytes(_encode(model))
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be written ({_reason(error)})") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def load_model(path: str | os.PathLike) -> IntegerModel:
    """Read and check a model file. Raises `ModelFileError` (or `NetworkError`) for anything that is not, bit for
    bit, a file that `save_model` could have written."""
    path = Path(path)
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: format is {metadata.get('format')!r:.40}, not {FORMAT!r}: a foreign file")
    if metadata.get("version") != str(VERSION):
        raise ModelFileError(f"{path}: version {metadata.get('version')!r:.20}, this program reads {VERSION}")
    if missing := [key for key in _METADATA_KEYS if key not in metadata]:
        raise ModelFileError(f"{path}: metadata: {missing[0]} is missing")
    if extra := sorted(set(metadata) - set(_METADATA_KEYS)):
        raise ModelFileError(f"{path}: metadata: {extra[0]!r:.40} is not a key of version {VERSION}")
    undigested = {key: text for key, text in metadata.items() if key != "digest"}
    if hashlib.sha256(canonical_json(undigested).encode()).hexdigest() != metadata["digest"]:
        raise ModelFileError(f"{path}: metadata: its SHA-256 differs from the stored one: the file is damaged")
    parts = {key: _json_object(metadata[key], f"{path}: metadata: {key}") for key in _METADATA_KEYS[2:-1]}
    for name in sorted(set(parts["tensors"]) | set(tensors)):
        if name not in tensors:
            raise ModelFileError(f"{path}: tensor {name!r:.60} is missing")
        if parts["tensors"].get(name) != _digest(name, tensors[name]):
            raise ModelFileError(f"{path}: tensor {name!r:.60}: its SHA-256 differs from the stored one: damaged")
    try:
        model = _assemble(parts, tensors)
    except (ModelFileError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None
    check_model(model, str(path))
    if leftover := sorted(set(tensors) - set(_tensors(model))):
        raise ModelFileError(f"{path}: tensor {leftover[0]!r:.60} is not part of this network")
    # one text for one meaning: left-out defaults, spare keys, doubled keys, 4.0 for 4 all end here
    if spelled := [key for key, text in _metadata(model).items() if metadata[key] != text]:
        raise ModelFileError(f"{path}: metadata: {spelled[0]} is not canonical (all keys, sorted, no spaces)")
    return model


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of any safetensors file."""
    try:
        if not path.is_file():
            names = " and ".join(DIGITS)
            raise ModelFileError(f"{path}: no such model file; `ds2ta train` writes one, {names} are there by name")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except ModelFileError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({_reason(error)})") from None


def _json_object(text: str, where: str) -> dict:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{where} is not JSON ({_reason(error)})") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{where} is not a JSON object")
    return found


def _entry(values: object, key: str, where: str) -> Any:  # whatever it is: `check_model` looks at it
    if not isinstance(values, dict) or key not in values:
        raise ModelFileError(f"{where}: {key} is missing")
    return values[key]


def _assemble(parts: dict, tensors: dict[str, np.ndarray]) -> IntegerModel:
    network = network_from_dict(parts["network"])
    synapses = {}
    for spec in network.layers():
        about = _entry(parts["layers"], spec.name, "metadata: layers")
        synapses[spec.name] = Synapse(
            spec=spec,
            weight=_entry(tensors, f"{spec.name}.weight", "tensor"),
            bias=_entry(tensors, f"{spec.name}.bias", "tensor"),
            threshold=None if spec.name == "head" else _entry(tensors, f"{spec.name}.threshold", "tensor"),
            **{key: _entry(about, key, f"metadata: layers: {spec.name}") for key in ("bits", "tau", "window")},
        )
    thresholds = _entry(parts["attention"], "threshold", "metadata: attention")
    if not isinstance(thresholds, list):
        raise ModelFileError("metadata: attention: threshold is not a list")
    return IntegerModel(
        network=network,
        synapses=synapses,
        denoisers=tuple(_entry(tensors, f"block.{block}.denoiser", "tensor") for block in range(network.depth)),
        attention_threshold=tuple(thresholds),
        samples=_entry(tensors, "samples", "tensor"),
        labels=_entry(tensors, "labels", "tensor"),
        provenance=parts["provenance"],
    )
