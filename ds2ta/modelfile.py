"""The integer model: what a trained DS2TA checkpoint becomes, and its file.

A file is safetensors with a JSON header. `docs/model-file.md` specifies it, so that other programs can write one.
Every tensor carries a SHA-256 over its name, type, shape and bytes, and the metadata carries one over itself:
any flipped bit is refused. Nothing here needs PyTorch.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.network import LayerSpec, Network, network_from_dict

__all__ = ["FORMAT", "VERSION", "IntegerModel", "Synapse", "load_model", "model_digest", "save_model"]

FORMAT = "ds2ta-integer"
VERSION = 1
MAX_TAU = 7  # the shifter of every machine: tau is learned in 0..7
_METADATA_KEYS = ("format", "version", "network", "layers", "attention", "provenance", "tensors", "digest")


@dataclass(frozen=True)
class Synapse:
    """One synaptic layer in integers: `P = W x`, `I[t] = sum_m P[t-m] << tau (window-1-m)`, LIF with per-channel
    `bias` and `threshold` (both in units of `2**-(tau (window-1))` of a weight step). For the head, `bias` is
    added once to the logit and `threshold` is None."""

    spec: LayerSpec
    weight: np.ndarray  # int8 [outputs, inputs, 3, 3] or [outputs, inputs]
    bias: np.ndarray  # int64 [outputs]
    threshold: np.ndarray | None  # int64 [outputs], >= 1
    bits: int  # 2..8, weights lie in -(2**(bits-1)-1) .. 2**(bits-1)-1
    tau: int = 0
    window: int = 1

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def guard_bits(self) -> int:
        """Fraction bits that keep the temporal window exact."""
        return self.tau * (self.window - 1)


@dataclass(frozen=True)
class IntegerModel:
    """A whole network in integers. `denoisers[block]` is uint8 `[heads, head_dim]`, the entry for score s at
    index s-1 (score 0 always gives 0); `attention_threshold[block]` is the threshold of the LIF after A x V.
    `samples` (uint8 `[n, *sample_shape]`) and `labels` are a few held-out inputs for self-tests."""

    network: Network
    synapses: dict[str, Synapse]
    denoisers: tuple[np.ndarray, ...]
    attention_threshold: tuple[int, ...]
    samples: np.ndarray
    labels: np.ndarray
    provenance: dict = field(default_factory=dict)


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


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _metadata(model: IntegerModel) -> dict[str, str]:
    parts = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": _canonical(model.network.model_dump(mode="json")),
        "layers": _canonical(
            {n: {"bits": s.bits, "tau": s.tau, "window": s.window} for n, s in model.synapses.items()}
        ),
        "attention": _canonical({"threshold": list(model.attention_threshold)}),
        "provenance": _canonical(model.provenance),
        "tensors": _canonical({name: _digest(name, value) for name, value in _tensors(model).items()}),
    }
    parts["digest"] = hashlib.sha256(_canonical(parts).encode()).hexdigest()
    return parts


def model_digest(model: IntegerModel) -> str:
    """SHA-256 (hex) of everything in the model; equal for equal models on every machine."""
    return _metadata(model)["digest"]


def save_model(model: IntegerModel, path: str | os.PathLike) -> None:
    """Check the model, then write it whole or not at all (a temporary file is renamed over `path`)."""
    path = Path(path)
    _check(model, str(path))
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(_tensors(model), partial, metadata=_metadata(model))
        partial.replace(path)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)


def load_model(path: str | os.PathLike) -> IntegerModel:
    """Read and check a model file. Raises `ModelFileError` (or `NetworkError`) for anything that is not, bit for
    bit, a file that `save_model` could have written."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; `ds2ta quantize` writes one, models/ holds two")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: format is {metadata.get('format')!r:.40}, not {FORMAT!r}: a foreign file")
    if metadata.get("version") != str(VERSION):
        raise ModelFileError(f"{path}: version {metadata.get('version')!r:.20}, this program reads {VERSION}")
    if missing := [key for key in _METADATA_KEYS if key not in metadata]:
        raise ModelFileError(f"{path}: metadata: {missing[0]} is missing")
    if extra := sorted(set(metadata) - set(_METADATA_KEYS)):
        raise ModelFileError(f"{path}: metadata: {extra[0]!r:.40} is not a key of version {VERSION}")
    stated = metadata.pop("digest")
    if hashlib.sha256(_canonical(metadata).encode()).hexdigest() != stated:
        raise ModelFileError(f"{path}: metadata: its SHA-256 differs from the stored one: the file is damaged")
    try:
        parts = {key: json.loads(metadata[key]) for key in _METADATA_KEYS[2:-1]}
        if not all(isinstance(part, dict) for part in parts.values()):
            raise ValueError("not an object")
    except ValueError as error:
        raise ModelFileError(f"{path}: metadata is not JSON ({error})") from None
    for name in sorted(set(parts["tensors"]) | set(tensors)):
        if name not in tensors:
            raise ModelFileError(f"{path}: tensor {name} is missing")
        if parts["tensors"].get(name) != _digest(name, tensors[name]):
            raise ModelFileError(f"{path}: tensor {name}: its SHA-256 differs from the stored one: damaged")
    try:
        model = _assemble(parts, tensors)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error.args[0] if error.args else error}: missing or of a wrong kind") from None
    _check(model, str(path))
    if leftover := sorted(set(tensors) - set(_tensors(model))):
        raise ModelFileError(f"{path}: tensor {leftover[0]!r:.60} is not part of this network")
    return model


def _assemble(parts: dict, tensors: dict[str, np.ndarray]) -> IntegerModel:
    network = network_from_dict(parts["network"])
    synapses = {}
    for spec in network.layers():
        about = parts["layers"][spec.name]
        synapses[spec.name] = Synapse(
            spec=spec,
            weight=tensors[f"{spec.name}.weight"],
            bias=tensors[f"{spec.name}.bias"],
            threshold=None if spec.name == "head" else tensors[f"{spec.name}.threshold"],
            bits=about["bits"],
            tau=about["tau"],
            window=about["window"],
        )
    return IntegerModel(
        network=network,
        synapses=synapses,
        denoisers=tuple(tensors[f"block.{block}.denoiser"] for block in range(network.depth)),
        attention_threshold=tuple(parts["attention"]["threshold"]),
        samples=tensors["samples"],
        labels=tensors["labels"],
        provenance=parts["provenance"],
    )


def _check(model: IntegerModel, where: str) -> None:
    """Every rule of the format, in one place: used before writing and after reading."""

    def need(holds: bool, what: str) -> None:
        if not holds:
            raise ModelFileError(f"{where}: {what}")

    def integer(value: object, low: int, high: int, what: str) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        need(whole and low <= value <= high, f"{what} is {value!r:.40}, it must be a whole number in {low}..{high}")

    def array(value: object, dtype: str, shape: tuple, what: str) -> None:
        need(isinstance(value, np.ndarray), f"tensor {what} is missing")
        need(value.dtype == np.dtype(dtype), f"tensor {what} is {value.dtype}, it must be {dtype}")
        need(value.shape == shape, f"tensor {what} has shape {list(value.shape)}, it must be {list(shape)}")

    network = model.network
    need(
        list(model.synapses) == [spec.name for spec in network.layers()],
        "its layers are not those of its network",
    )
    for name, layer in model.synapses.items():
        spec = layer.spec
        integer(layer.bits, 2, 8, f"layer {name}: bits")
        integer(layer.tau, 0, MAX_TAU, f"layer {name}: tau")
        integer(layer.window, 1, 4, f"layer {name}: window")
        need(spec.tasa or layer.window == 1, f"layer {name}: window is {layer.window}, only TASA layers have one")
        need(
            layer.window in (1, network.window),
            f"layer {name}: window is {layer.window}, the network has {network.window}",
        )
        need(layer.window > 1 or layer.tau == 0, f"layer {name}: tau is {layer.tau} without a window, it must be 0")
        shape = (spec.outputs, spec.inputs) + ((3, 3) if spec.kernel == 3 else ())
        array(layer.weight, "int8", shape, f"{name}.weight")
        limit = (1 << (layer.bits - 1)) - 1
        largest = int(np.abs(layer.weight.astype(np.int16)).max())
        need(largest <= limit, f"layer {name}: weight {largest} is beyond +-{limit}, the limit of {layer.bits} bits")
        array(layer.bias, "int64", (spec.outputs,), f"{name}.bias")
        ends = (int(layer.bias.min()), int(layer.bias.max()))
        need(-(1 << 40) < ends[0] and ends[1] < 1 << 40, f"layer {name}: a bias is beyond +-2**40")
        if name != "head":
            array(layer.threshold, "int64", (spec.outputs,), f"{name}.threshold")
            low, high = int(layer.threshold.min()), int(layer.threshold.max())
            need(1 <= low and high < 1 << 40, f"layer {name}: threshold {low}..{high}, it must lie in 1..2**40-1")
    need(len(model.denoisers) == network.depth, f"{len(model.denoisers)} denoisers for {network.depth} blocks")
    for block, table in enumerate(model.denoisers):
        array(table, "uint8", (network.heads, network.head_dim), f"block.{block}.denoiser")
        top = int(table.max())
        need(
            top < 1 << network.denoiser_bits,
            f"block.{block}.denoiser: entry {top} does not fit {network.denoiser_bits} bits",
        )
    need(len(model.attention_threshold) == network.depth, f"attention: threshold: one for each of {network.depth} blocks")
    for block, threshold in enumerate(model.attention_threshold):
        integer(threshold, 1, (1 << 30) - 1, f"attention: threshold of block {block}")
    need(isinstance(model.samples, np.ndarray) and model.samples.ndim >= 1, "tensor samples is missing")
    array(model.samples, "uint8", (len(model.samples), *network.sample_shape), "samples")
    need(len(model.samples) >= 1, "samples: at least one input is needed")
    top = int(model.samples.max())
    need(top < 1 << network.input.bits, f"samples: value {top} does not fit {network.input.bits} bits")
    array(model.labels, "int64", (len(model.samples),), "labels")
