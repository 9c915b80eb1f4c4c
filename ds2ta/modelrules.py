# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Every rule that an integer model must keep, in one place: used before writing and after reading a file.

`docs/model-file.md` lists the same limits; the tests read them from there.
"""

import json
from collections.abc import Callable

import numpy as np

from ds2ta.errors import ModelFileError
from ds2ta.model import IntegerModel

__all__ = ["MAX_ATTENTION_THRESHOLD", "MAX_PARAMETER", "MAX_TAU", "canonical_json", "check_bits", "check_model"]

MAX_TAU = 7  # the shifter of every machine: tau is learned in 0..7
MAX_PARAMETER = (1 << 40) - 1  # biases and thresholds, so that interval analysis stays inside int64
MAX_ATTENTION_THRESHOLD = (1 << 30) - 1
MAX_LEAK = 4  # of the network's own leak_shift, too
MAX_CLASS_NAME = 64


def canonical_json(value: object) -> str:
    """The one text of a JSON value: keys sorted, no spaces, ASCII, no NaN. Raises TypeError or ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_integer(value: object, low: int, high: int, what: str) -> None:
    if not (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
        raise ModelFileError(f"{what} is {value!r:.40}, it must be a whole number in {low}..{high}")


def check_bits(bits: object, where: str) -> None:
    """The rule about the bits of a layer's weights, which a reader needs before it can unpack them."""
    _check_integer(bits, 2, 8, f"{where}: bits")


def check_model(model: IntegerModel, where: str) -> None:
    """Raise `ModelFileError`, one line that begins with `where`, for the first rule that the model breaks."""

    def need(holds: bool, what: str) -> None:
        if not holds:
            raise ModelFileError(f"{where}: {what}")

    def integer(value: object, low: int, high: int, what: str) -> None:
        _check_integer(value, low, high, f"{where}: {what}")

    def array(value: object, dtype: str, shape: tuple, what: str) -> np.ndarray:
        if not isinstance(value, np.ndarray):
            raise ModelFileError(f"{where}: tensor {what} is missing")
        need(value.dtype == np.dtype(dtype), f"tensor {what} is {value.dtype}, it must be {dtype}")
        need(value.shape == shape, f"tensor {what} has shape {list(value.shape)}, it must be {list(shape)}")
        return value

    network = model.network
    specs = {spec.name: spec for spec in network.layers()}
    need(
        list(model.synapses) == list(specs) and all(s.spec == specs[n] for n, s in model.synapses.items()),
        "its layers are not those of its network",
    )
    for name, layer in model.synapses.items():
        spec = layer.spec
        check_bits(layer.bits, f"{where}: layer {name}")
        integer(layer.tau, 0, MAX_TAU, f"layer {name}: tau")
        integer(layer.window, 1, 4, f"layer {name}: window")
        need(spec.tasa or layer.window == 1, f"layer {name}: window is {layer.window}, only TASA layers have one")
        need(
            layer.window in (1, network.window),
            f"layer {name}: window is {layer.window}, the network has {network.window}",
        )
        need(layer.window > 1 or layer.tau == 0, f"layer {name}: tau is {layer.tau} without a window, it must be 0")
        array(layer.weight, "int8", spec.weight_shape, f"{name}.weight")
        limit = (1 << (layer.bits - 1)) - 1
        largest = int(np.abs(layer.weight.astype(np.int16)).max())
        need(largest <= limit, f"layer {name}: weight {largest} is beyond {limit}, the limit of {layer.bits} bits")
        array(layer.bias, "int64", (spec.outputs,), f"{name}.bias")
        low, high = int(layer.bias.min()), int(layer.bias.max())
        need(
            low >= -MAX_PARAMETER and high <= MAX_PARAMETER,
            f"layer {name}: bias {low}..{high}, it must lie in -{MAX_PARAMETER}..{MAX_PARAMETER}",
        )
        if name != "head":
            threshold = array(layer.threshold, "int64", (spec.outputs,), f"{name}.threshold")
            low, high = int(threshold.min()), int(threshold.max())
            need(
                low >= 1 and high <= MAX_PARAMETER,
                f"layer {name}: threshold {low}..{high}, it must lie in 1..{MAX_PARAMETER}",
            )
    need(len(model.denoisers) == network.depth, f"{len(model.denoisers)} denoisers for {network.depth} blocks")
    for block, table in enumerate(model.denoisers):
        array(table, "uint8", (network.heads, network.head_dim), f"block.{block}.denoiser")
        top = int(table.max())
        need(
            top < 1 << network.denoiser_bits,
            f"block.{block}.denoiser: entry {top} is beyond {(1 << network.denoiser_bits) - 1}, the limit of "
            f"{network.denoiser_bits} bits",
        )
        identity = network.nsad or bool((table == np.arange(1, network.head_dim + 1)).all())
        need(identity, f"block.{block}.denoiser: nsad is off, its entries must be 1..{network.head_dim}")
    need(
        len(model.attention_threshold) == network.depth,
        f"attention: threshold: {len(model.attention_threshold)} of them for {network.depth} blocks",
    )
    for block, level in enumerate(model.attention_threshold):
        integer(level, 1, MAX_ATTENTION_THRESHOLD, f"attention: threshold of block {block}")
    neurons = network.neuron_layers()
    for name, shift in model.leaks.items():
        need(name in neurons, f"neurons: leak: {name!r:.40} has no neurons in this network")
        integer(shift, 1, MAX_LEAK, f"neurons: leak of {name}")
        need(shift != network.leak_shift, f"neurons: leak of {name} is the network's, {shift}: it must be left out")
    need(isinstance(model.samples, np.ndarray) and model.samples.ndim >= 1, "tensor samples is missing")
    array(model.samples, "uint8", (len(model.samples), *network.sample_shape), "samples")
    array(model.labels, "int64", (len(model.samples),), "labels")
    if len(model.samples):
        top = int(model.samples.max())
        limit = (1 << network.input.bits) - 1
        need(top <= limit, f"samples: value {top} is beyond {limit}, the limit of {network.input.bits} bits")
        low, high = int(model.labels.min()), int(model.labels.max())
        need(
            low >= 0 and high < network.classes,
            f"labels: {low}..{high}, they must lie in 0..{network.classes - 1}",
        )
    _check_about(model, need)
    try:
        canonical_json(model.provenance)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{where}: provenance is not plain JSON ({error})") from None
    need(isinstance(model.provenance, dict), "provenance is not a JSON object")


def _check_about(model: IntegerModel, need: Callable[[bool, str], None]) -> None:
    """What is said about a model is about this one."""
    about, network = model.about, model.network
    need(
        len(about.classes) in (0, network.classes),
        f"about: classes: {len(about.classes)} names for {network.classes} classes",
    )
    for number, name in enumerate(about.classes):
        where = f"about: classes: name {number}, {name!r:.80},"
        need(
            1 <= len(name) <= MAX_CLASS_NAME,
            f"{where} has {len(name)} characters, it must have 1..{MAX_CLASS_NAME}",
        )
        need(name.isprintable() and name == name.strip(), f"{where} must be printable, without blanks at its ends")
        need(name not in about.classes[:number], f"{where} is there twice")
    kind, channels = network.input.kind, network.input.channels
    need(about.pixels is None or kind == "image", f"about: pixels: the input is {kind}, it must be null")
    need(about.events is None or kind == "frames", f"about: events: the input is {kind}, it must be null")
    if about.pixels is not None:
        pixels, limit = about.pixels, (1 << network.input.bits) - 1
        need(
            channels == pixels.channels,
            f"about: pixels: {pixels.colours!r} takes {pixels.channels} channels, the network has {channels}",
        )
        for name, value in (("black", pixels.black), ("white", pixels.white)):
            need(
                value <= limit,
                f"about: pixels: {name} is {value}, beyond {limit}, the limit of {network.input.bits} bits",
            )
        low, high = sorted((pixels.black, pixels.white))
        found = f"samples: {model.samples.min()}..{model.samples.max()}" if len(model.samples) else ""
        need(
            not len(model.samples) or (low <= model.samples.min() and model.samples.max() <= high),
            f"{found}, about: pixels: they must lie in {low}..{high}, between black and white",
        )
    need(
        about.events is None or channels <= 2,
        f"about: events: they fill channels 1 or 2, the network has {channels}",
    )
    for text in (about.samples.source, about.samples.licence) if about.samples else ():
        need(text.isprintable(), f"about: samples: {text!r:.80} must be printable")
