# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a state dict cannot say of its network, as options or a small YAML or JSON file:

    like: spikformer          # a preset that is a baseline, whose values hold where nothing else is said
    name: cifar-mine          # default: that of the checkpoint
    data: cifar10             # the data set, see docs/training.md
    size: [32, 32]            # height and width of an image
    bits: 8                   # of a pixel or an event count
    time_steps: 4
    heads: 12
    pools: [2, 3]             # convolutions of the patch splitter, from 0, with a max-pool 3x3 stride 2 behind
    residual: add             # or `or`
    neuron: {tau: 2.0, threshold: 1.0, reset: 0.0, decay_input: true}   # SpikingJelly's words
    attention: {scale: 0.125, threshold: 0.5}
    normalization: {one: 255, mean: [0.4914, 0.4822, 0.4465], deviation: [0.247, 0.2435, 0.2616]}

None of it is guessed: `missing` lists what is still to be said. Folded exactly: a reset to any number r is one to 0
with all thresholds lower by r; without `decay_input` a neuron takes tau times as much, so thresholds are in its own
units.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ds2ta.checked import BaseModel, ConfigDict, Field
from ds2ta.errors import NetworkError
from ds2ta.golden.data.sets import dataset_names
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.golden.training.spikformer import Shape
from ds2ta.golden.training.synapse import EPSILON
from ds2ta.golden.training.yamlfile import checked, laid_over, read_mapping
from ds2ta.network import network_from_dict

__all__ = ["ASKED", "Asked", "Settings", "missing", "preset_of", "preset_of_chain", "read_settings"]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Neuron(_Group):
    """All neurons but the one after the attention; names are SpikingJelly's."""

    tau: float | None = Field(None, gt=1)
    threshold: float | None = None
    reset: float | Literal["soft"] | None = None
    decay_input: bool | None = None


class Attention(_Group):
    """The factor of Q K^T V, and the threshold of the neuron behind it."""

    scale: float | None = Field(None, gt=0)
    threshold: float | None = None


class Normalization(_Group):
    """The pixel that training saw as 1.0, and what was subtracted and divided by after that."""

    one: float | None = Field(None, gt=0)
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None


class Settings(_Group):
    """Everything beside the weights; None: not said."""

    like: str | None = None
    name: str | None = None
    data: str | None = None
    kind: Literal["image", "frames"] | None = None
    size: tuple[int, int] | None = None
    bits: int | None = Field(None, ge=1, le=8)
    time_steps: int | None = Field(None, ge=1, le=16)
    heads: int | None = Field(None, ge=1, le=64)
    pools: tuple[int, ...] | None = None
    residual: Literal["add", "or"] | None = None
    epsilon: float | None = Field(None, gt=0)  # of batch norm; torch's own, 1e-5, where nothing is said
    neuron: Neuron = Neuron()
    attention: Attention = Attention()
    normalization: Normalization = Normalization()

    def value(self, key: tuple[str, ...]) -> Any:
        """The value of a key such as ("neuron", "tau")."""
        found: Any = self
        for part in key:
            found = getattr(found, part)
        return found


@dataclass(frozen=True)
class Asked:
    """Something that a checkpoint does not say: its key in a file, its option, and what it is."""

    key: tuple[str, ...]
    option: str
    what: str

    @property
    def told(self) -> str:
        return f"{'.'.join(self.key)} ({self.option}): {self.what}"


#: In the order in which they are asked for.
ASKED = (
    Asked(("data",), "--data-set", "name of the data set"),
    Asked(("size",), "--size", "height and width of a sample, such as 32x32"),
    Asked(("bits",), "--bits", "bits of a pixel or an event count, 8 for plain images"),
    Asked(("time_steps",), "--steps", "time steps T"),
    Asked(("heads",), "--heads", "attention heads"),
    Asked(("pools",), "--pools", "convolutions with a max-pool behind, from 0, such as 2,3"),
    Asked(("residual",), "--residual", "add, or `or` for binary spikes"),
    Asked(("neuron", "tau"), "--tau", "time constant: 2, 4, 8 or 16"),
    Asked(("neuron", "threshold"), "--threshold", "v_threshold of all neurons but that of the attention"),
    Asked(("neuron", "reset"), "--reset", "v_reset, a number; soft where it is None"),
    Asked(("neuron", "decay_input"), "--decay-input", "whether the input is divided by tau too"),
    Asked(("attention", "scale"), "--attention-scale", "factor of Q K^T V"),
    Asked(("attention", "threshold"), "--attention-threshold", "v_threshold of the neuron behind the attention"),
    Asked(("normalization", "one"), "--one", "the pixel that training saw as 1.0: 255, or 1 for raw counts"),
    Asked(("normalization", "mean"), "--mean", "subtracted from each channel after that, 0 for none"),
    Asked(("normalization", "deviation"), "--deviation", "what each channel was divided by after that, 1 for none"),
)


def _of_preset(name: str) -> dict:
    """What a preset says, as values of `Settings`."""
    network, config = PRESETS[name].network, PRESETS[name].config
    return {
        "data": config.data,
        "kind": network.input.kind,
        "size": [network.input.height, network.input.width],
        "bits": network.input.bits,
        "time_steps": network.time_steps,
        "heads": network.heads,
        "pools": [index for index, conv in enumerate(network.stem) if conv.pool],
        "residual": network.residual,
        "neuron": {
            "tau": float(2**network.leak_shift),
            "threshold": config.firing_threshold,
            "reset": 0.0,
            "decay_input": True,
        },
        "attention": {"scale": config.attention_scale, "threshold": config.attention_firing},
    }


def read_settings(path: str | os.PathLike | None, options: Mapping[str, Any]) -> Settings:
    """The settings of a file, if there is one, with those of the command line over them: `options` are values by
    key, groups as mappings, without what is not said. `NetworkError` for the first that is wrong."""
    values: dict = {}
    if path is not None:
        values, lines = read_mapping(path, tuple(Settings.model_fields))
        checked(Settings, values, path, lines)
    _checked_options(options)
    values = laid_over(values, options)
    if (like := values.get("like")) is not None:
        if like not in PRESETS:
            raise NetworkError(f"like must be one of {', '.join(PRESETS)}, not {like!r}")
        network = PRESETS[like].network
        if network.nsad or network.window != 1:
            raise NetworkError(f"network {like}: Spikformer has nsad off and window 1; spikformer is such a preset")
        values = laid_over(_of_preset(like), values)
    return checked(Settings, values, path or "options", {})


def _checked_options(options: Mapping[str, Any]) -> None:
    """What is wrong with an option is told by the option's own name."""
    try:
        checked(Settings, dict(options), "", {})
    except NetworkError as error:
        text = str(error).removeprefix(": ")
        key, _, rule = text.partition(": ")
        asked = next((asked for asked in ASKED if key.split(".")[: len(asked.key)] == list(asked.key)), None)
        raise NetworkError(f"{asked.option}: {rule}" if asked else text) from None


def missing(settings: Settings) -> list[Asked]:
    """What is still to be said, in order."""
    return [asked for asked in ASKED if settings.value(asked.key) is None]


def _leak_shift(neuron: Neuron) -> int:
    shift = math.log2(neuron.tau or 0.0)
    if shift not in (1.0, 2.0, 3.0, 4.0):
        raise NetworkError(f"neuron.tau {neuron.tau:g}: must be 2, 4, 8 or 16, since the hardware decays by shifts")
    return int(shift)


def _rest(neuron: Neuron) -> float:
    if neuron.reset == "soft" or neuron.reset is None:
        raise NetworkError(
            "neuron.reset soft: the neurons of the integer contract are set to 0 when they fire, and no machine "
            "subtracts the threshold; train with a hard reset (v_reset a number), even for a few epochs from here"
        )
    return neuron.reset


def _above(what: str, threshold: float, rest: float) -> float:
    if threshold <= rest:
        raise NetworkError(f"{what} {threshold:g}: must be above neuron.reset, {rest:g}")
    return threshold - rest


def _attention(settings: Settings, factor: float) -> tuple[float, float]:
    """Scale and threshold of the neuron after the attention, whose inputs are counts: in units of a count, the
    threshold must be whole."""
    scale = settings.attention.scale or 0.0
    rest = _rest(settings.neuron)
    threshold = _above("attention.threshold", settings.attention.threshold or 0.0, rest)
    counts = threshold * factor / scale
    if abs(counts - round(counts)) > 1e-9 * max(1.0, counts) or not 1 <= round(counts) < 1 << 30:
        near = max(1, round(counts))
        raise NetworkError(
            f"attention.threshold {settings.attention.threshold:g} with attention.scale {scale:g} is {counts:.6g} "
            f"counts of A x V, it must be a whole number of them; --attention-scale {threshold * factor / near!r} "
            f"makes it {near}, with other spikes"
        )
    return scale, threshold


def _channels(settings: Settings, key: str, channels: int) -> tuple[float, ...]:
    """A value for each channel; one number stands for all."""
    values = settings.value(("normalization", key))
    values = values * channels if len(values) == 1 else values
    if len(values) != channels or (key == "deviation" and min(values) <= 0):
        rule = "above 0 " if key == "deviation" else ""
        raise NetworkError(f"normalization.{key} {list(values)}: must be {channels} numbers {rule}, one a channel")
    return values


def preset_of(settings: Settings, shape: Shape, name: str) -> tuple[Preset, dict]:
    """The network with its recipe, and the arguments of `import_spikformer` that remain. Nothing is `missing`.
    `NetworkError` for what does not go together, naming the key."""
    neuron = settings.neuron
    shift = _leak_shift(neuron)
    # what our neuron takes for the input x: tau x where theirs divides by tau, and x where it does not
    factor = float(2**shift) if neuron.decay_input else 1.0
    threshold = _above("neuron.threshold", neuron.threshold or 0.0, _rest(neuron))
    scale, firing = _attention(settings, factor)
    for tensor, tau in shape.tau.items():
        if abs(tau - float(2**shift)) > 1e-6 * tau:
            raise NetworkError(
                f"tensor {tensor}: a learned time constant of {tau:.6g}, neuron.tau is {neuron.tau:g}"
            )
    if strange := [index for index in settings.pools or () if not 0 <= index < len(shape.stem)]:
        raise NetworkError(f"pools {strange[0]}: must be one of the convolutions 0..{len(shape.stem) - 1}")
    _known_data(settings.data)
    kind = settings.kind or ("frames" if shape.channels == 2 else "image")
    height, width = settings.size or (0, 0)
    network = network_from_dict(
        {
            "name": settings.name or _plain_name(name),
            "input": {
                "kind": kind,
                "channels": shape.channels,
                "height": height,
                "width": width,
                "bits": settings.bits,
            },
            "time_steps": settings.time_steps,
            "stem": [
                {"channels": count, "pool": index in (settings.pools or ())}
                for index, count in enumerate(shape.stem)
            ],
            "embed_dim": shape.embed_dim,
            "heads": settings.heads,
            "depth": shape.depth,
            "hidden_dim": shape.hidden_dim,
            "window": 1,
            "leak_shift": shift,
            "residual": settings.residual,
            "nsad": False,
            "denoiser_bits": max(1, min(8, (shape.embed_dim // (settings.heads or 1)).bit_length())),
            "classes": shape.classes,
        }
    )
    base = PRESETS[settings.like].config if settings.like else TrainingConfig()
    config = base.model_copy(
        update={
            "data": settings.data,
            "firing_threshold": threshold * factor / 2**shift,
            "attention_scale": scale,
            "attention_firing": firing * factor / 2**shift,
            "least_gain": 0.0,  # a gain below is the trained one, not one that is still to come back
        }
    )
    values = {
        "one": settings.normalization.one,
        "mean": _channels(settings, "mean", shape.channels),
        "deviation": _channels(settings, "deviation", shape.channels),
        "epsilon": settings.epsilon or EPSILON,
    }
    return Preset(network, config), values


def preset_of_chain(
    settings: Settings,
    size: tuple[int, int, int],
    sizes: tuple[int, ...],
    pools: tuple[int, ...],
    leak_shift: int,
    path: str | os.PathLike,
) -> tuple[Preset, dict]:
    """The network without blocks of a chain: `size` of its inputs, `sizes` of its convolutions and, last, its
    classes. Also how its inputs were normalized."""
    channels, height, width = size
    *stem, classes = sizes
    _known_data(settings.data)
    heads = next(count for count in range(1, stem[-1] + 1) if stem[-1] % count == 0 and stem[-1] // count < 256)
    network = network_from_dict(
        {
            "name": settings.name or _plain_name(Path(path).name),
            "input": {
                "kind": settings.kind or ("frames" if channels == 2 else "image"),
                "channels": channels,
                "height": height,
                "width": width,
                "bits": settings.bits,
            },
            "time_steps": settings.time_steps,
            "stem": [{"channels": count, "pool": index in pools} for index, count in enumerate(stem)],
            "embed_dim": stem[-1],
            "heads": heads,  # nothing has them without blocks
            "depth": 0,
            "hidden_dim": 4,
            "window": 1,
            "leak_shift": leak_shift,
            "residual": "add",
            "nsad": False,
            "denoiser_bits": 8,
            "classes": classes,
        }
    )
    config = TrainingConfig(data=settings.data or "", least_gain=0.0)
    values = {
        "one": settings.normalization.one,
        "mean": _channels(settings, "mean", channels),
        "deviation": _channels(settings, "deviation", channels),
    }
    return Preset(network, config), values


def _known_data(name: str | None) -> None:
    if name not in dataset_names():
        raise NetworkError(f"data must be one of {', '.join(dataset_names())}, not {name!r}")


def _plain_name(name: str) -> str:
    """The stem of a file's name as the name of a network."""
    found = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).lstrip("._-")[:64]
    return found or "imported"
