# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The file of an integer model.

It is safetensors with a JSON header. `docs/model-file.md` specifies it, so that other programs can write one.
Every tensor carries a SHA-256 over its name, type, shape and bytes, and the metadata carries one over itself:
any flipped bit is refused. Version 2 packs weights at their bits; version 1 is read and no longer written. Nothing
here needs PyTorch.
"""

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ds2ta.about import About
from ds2ta.checked import from_plain
from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.files import DIGITS
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelrules import canonical_json, check_bits, check_model
from ds2ta.network import Network, network_from_dict
from ds2ta.packing import pack, packed_bytes, unpack

__all__ = [
    "FORMAT",
    "MAX_SAMPLES",
    "MAX_SAMPLE_BYTES",
    "VERSION",
    "file_version",
    "load_model",
    "model_digest",
    "save_model",
    "self_test_samples",
]

FORMAT = "ds2ta-integer"
VERSION = 2
#: What a file that we write has of samples at most; readers take more.
MAX_SAMPLES, MAX_SAMPLE_BYTES = 64, 1_000_000
_TYPES = {"int8": "I8", "uint8": "U8", "int64": "I64"}  # as safetensors spells them
_JSON_KEYS = {
    "1": ("network", "layers", "attention", "provenance", "tensors"),
    "2": ("network", "layers", "attention", "neurons", "about", "provenance", "tensors"),
}
#: Of a version, the entry that is a digest of all the others.
_SEALS = {"1": "digest", "2": "check"}
_KEYS = {
    "1": ("format", "version", *_JSON_KEYS["1"], "digest"),
    "2": ("format", "version", *_JSON_KEYS["2"], "digest", "check"),
}
_HARD_RESET = "hard"


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
    found = hashlib.sha256(f"{name}|{value.dtype.name}|{list(value.shape)}|".encode())
    found.update(np.ascontiguousarray(value).data if value.size else b"")
    return found.hexdigest()


def _sha256(texts: dict[str, str]) -> str:
    return hashlib.sha256(canonical_json(texts).encode()).hexdigest()


def _texts(model: IntegerModel, hashes: dict[str, str], version: str) -> dict[str, str]:
    """The metadata of a model whose tensors have these digests, in the order in which we write it."""
    neurons = canonical_json({"leak": dict(model.leaks), "reset": _HARD_RESET})
    parts = {
        "format": FORMAT,
        "version": "1",  # of the digest's own rules; it is that of version 1 wherever version 1 could say the model
        "network": canonical_json(model.network.model_dump(mode="json")),
        "layers": canonical_json(
            {n: {"bits": s.bits, "tau": s.tau, "window": s.window} for n, s in model.synapses.items()}
        ),
        "attention": canonical_json({"threshold": list(model.attention_threshold)}),
        "provenance": canonical_json(model.provenance),
        "tensors": canonical_json(hashes),
    }
    parts["digest"] = _sha256(parts | ({"neurons": neurons} if model.leaks else {}))
    if version == "1":
        return parts
    parts |= {"version": version, "neurons": neurons, "about": canonical_json(model.about.model_dump(mode="json"))}
    parts["check"] = _sha256(parts)
    return {key: parts[key] for key in _KEYS[version]}


def model_digest(model: IntegerModel) -> str:
    """SHA-256 (hex) of everything in the model but `about`; equal for equal models on every machine, whatever the
    version of their files."""
    return _texts(model, {name: _digest(name, value) for name, value in _tensors(model).items()}, "1")["digest"]


def self_test_samples(samples: np.ndarray) -> int:
    """How many of these samples, from the first on, go into a file."""
    return min(len(samples), MAX_SAMPLES, MAX_SAMPLE_BYTES // math.prod(samples.shape[1:]))


def _encode(model: IntegerModel) -> list[bytes]:
    """The file in pieces. Written here because the library's own writer shuffles the metadata: equal models must be
    equal files. Wide tensors come first, so that each lies at a multiple of its element size."""
    tensors = _tensors(model)
    hashes = {name: _digest(name, value) for name, value in tensors.items()}
    for name, layer in model.synapses.items():
        tensors[f"{name}.weight"] = pack(tensors[f"{name}.weight"], layer.bits)
    header: dict[str, object] = {"__metadata__": _texts(model, hashes, str(VERSION))}
    stored, end = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])), 0
    for name, value in stored:
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": _TYPES[value.dtype.name], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *(value.tobytes() for _, value in stored)]


def save_model(model: IntegerModel, path: str | os.PathLike) -> None:
    """Check the model, then write it whole or not at all (a temporary file is renamed over `path`). Equal models
    give equal files."""
    path = Path(path)
    check_model(model, str(path))
    if len(model.samples) > self_test_samples(model.samples):
        raise ModelFileError(
            f"{path}: {len(model.samples)} samples of {model.samples[0].nbytes} bytes, a file is written with at "
            f"most {MAX_SAMPLES} and {MAX_SAMPLE_BYTES} bytes of them: keep the first "
            f"{self_test_samples(model.samples)} (`ds2ta convert` does, with --samples)"
        )
    try:
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    except ValueError as error:
        raise ModelFileError(f"{path}: not the path of a file ({_reason(error)})") from None
    try:
        partial.write_bytes(b"".join(_encode(model)))
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: cannot be written ({_reason(error)})") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def file_version(path: str | os.PathLike) -> int:
    """The version of a model file, by its metadata alone."""
    return int(_version(_open(Path(path), tensors=False)[0], Path(path)))


def load_model(path: str | os.PathLike) -> IntegerModel:
    """Read and check a model file of any version. Raises `ModelFileError` (or `NetworkError`) for anything that is
    not, bit for bit, a file that a writer of that version could have written."""
    path = Path(path)
    metadata, tensors = _open(path)
    version = _version(metadata, path)
    if missing := [key for key in _KEYS[version] if key not in metadata]:
        raise ModelFileError(f"{path}: metadata: {missing[0]} is missing")
    if extra := sorted(set(metadata) - set(_KEYS[version])):
        raise ModelFileError(f"{path}: metadata: {extra[0]!r:.40} is not a key of version {version}")
    seal = _SEALS[version]
    if _sha256({key: text for key, text in metadata.items() if key != seal}) != metadata[seal]:
        raise ModelFileError(f"{path}: metadata: its SHA-256 differs from the stored one: the file is damaged")
    parts = {key: _json_object(metadata[key], f"{path}: metadata: {key}") for key in _JSON_KEYS[version]}
    try:
        network = network_from_dict(parts["network"])
        if version != "1":
            _unpack(network, parts["layers"], tensors)
        _check_hashes(parts["tensors"], tensors)
        model = _assemble(network, parts, tensors)
    except (ModelFileError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None
    check_model(model, str(path))
    if version == "1" and not len(model.samples):
        raise ModelFileError(f"{path}: samples: at least one input is needed in version 1")
    if leftover := sorted(set(tensors) - set(_tensors(model))):
        raise ModelFileError(f"{path}: tensor {leftover[0]!r:.60} is not part of this network")
    # one text for one meaning: left-out defaults, spare keys, doubled keys, 4.0 for 4 all end here
    wanted = _texts(model, parts["tensors"], version)
    if spelled := [key for key in _JSON_KEYS[version] if metadata[key] != wanted[key]]:
        raise ModelFileError(f"{path}: metadata: {spelled[0]} is not canonical (all keys, sorted, no spaces)")
    if metadata["digest"] != wanted["digest"]:
        raise ModelFileError(f"{path}: metadata: digest is not that of this model, {wanted['digest']}")
    return model


def _open(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of any safetensors file."""
    try:
        if not path.is_file():
            there = " and ".join(DIGITS)
            raise ModelFileError(f"{path}: no such model file; `ds2ta train` writes one, {there} are there by name")
        with safe_open(path, framework="numpy") as file:
            names = file.keys() if tensors else ()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except ModelFileError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({_reason(error)})") from None


def _version(metadata: dict[str, str], path: Path) -> str:
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: format is {metadata.get('format')!r:.40}, not {FORMAT!r}: a foreign file")
    version = metadata.get("version")
    if version not in _KEYS:
        raise ModelFileError(f"{path}: version {version!r:.20}, this program reads {' and '.join(_KEYS)}")
    return version


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


def _unpack(network: Network, layers: dict, tensors: dict[str, np.ndarray]) -> None:
    """Put the weights of all layers in the place of their packed form."""
    for spec in network.layers():
        name = f"{spec.name}.weight"
        stream = _entry(tensors, name, "tensor")
        about = _entry(layers, spec.name, "metadata: layers")
        bits = _entry(about, "bits", f"metadata: layers: {spec.name}")
        check_bits(bits, f"layer {spec.name}")
        count = math.prod(spec.weight_shape)
        size = packed_bytes(count, bits)
        if stream.dtype != np.uint8:
            raise ModelFileError(f"tensor {name} is {stream.dtype}, it must be uint8, weights of {bits} bits")
        if stream.shape != (size,):
            raise ModelFileError(
                f"tensor {name} has shape {list(stream.shape)}, it must be [{size}]: {count} weights of {bits} bits"
            )
        try:
            tensors[name] = unpack(stream, spec.weight_shape, bits)
        except ValueError as error:
            raise ModelFileError(f"tensor {name}: {error}") from None


def _check_hashes(hashes: dict, tensors: dict[str, np.ndarray]) -> None:
    for name in sorted(set(hashes) | set(tensors)):
        if name not in tensors:
            raise ModelFileError(f"tensor {name!r:.60} is missing")
        if hashes.get(name) != _digest(name, tensors[name]):
            raise ModelFileError(f"tensor {name!r:.60}: its SHA-256 differs from the stored one: damaged")


def _assemble(network: Network, parts: dict, tensors: dict[str, np.ndarray]) -> IntegerModel:
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
        leaks=_leaks(parts.get("neurons", {"leak": {}, "reset": _HARD_RESET})),
        about=from_plain(About, parts.get("about", {}), "metadata: about", ModelFileError),
    )


def _leaks(neurons: dict) -> dict:
    reset = _entry(neurons, "reset", "metadata: neurons")
    if reset == "soft":
        raise ModelFileError(
            "metadata: neurons: reset is 'soft', which is reserved: neurons reset to 0, as in the paper, and what "
            "a subtracted threshold leaves has no bound that a register could be made for; train with a hard reset"
        )
    if reset != _HARD_RESET:
        raise ModelFileError(f"metadata: neurons: reset is {reset!r:.40}, it must be {_HARD_RESET!r}")
    leaks = _entry(neurons, "leak", "metadata: neurons")
    if not isinstance(leaks, dict):
        raise ModelFileError("metadata: neurons: leak is not an object")
    return leaks
