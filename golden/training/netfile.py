# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network and its training in one YAML file: what `ds2ta train NET.yaml` reads.

    like: cifar-ecp5          # a preset whose values hold where this file says nothing; may be absent
    data: cifar10             # a data set, or what a user's own recordings are: fields of `EventSettings`
    network:                  # fields of `ds2ta.network.Network`
      name: cifar-mine
      stem: [{channels: 32, pool: true}, {channels: 64, pool: true}, {channels: 128}]
    recipe:                   # fields of `TrainingConfig`
      epochs_float: 20
      images: {crop: 2}
      short_starts: null      # null takes a group of the preset away

Mappings are laid over those of the preset key by key, lists replace lists. Whatever is wrong is one line: file,
line, key, limit.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from ds2ta.errors import NetworkError
from ds2ta.golden.data.recordings import EventSettings, Recordings
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.golden.training.yamlfile import Lines, checked, laid_over, read_mapping
from ds2ta.network import InputSpec, Network

__all__ = ["find_preset", "load_net"]

_KEYS = ("like", "data", "network", "recipe")
_ENDINGS = (".yaml", ".yml")


def find_preset(text: str) -> Preset:
    """The preset of that name, or the network of that YAML file."""
    if text in PRESETS:
        return PRESETS[text]
    if Path(text).suffix in _ENDINGS:
        return load_net(text)
    raise NetworkError(f"preset must be one of {', '.join(PRESETS)}, or a file NET.yaml, not {text!r}")


def load_net(path: str | os.PathLike) -> Preset:
    """Read and check a network file. `NetworkError` names file, line, key, value and limit."""
    path = Path(path)
    values, lines = read_mapping(path, _KEYS)
    for key, kind, what in (
        ("like", (str,), "the name of a preset"),
        ("data", (str, Mapping), "the name of a data set, or what your own recordings are"),
    ):
        if not isinstance(values.get(key, ""), kind):
            raise NetworkError(f"{path}:{lines[(key,)]}: {key} must be {what}, not {values[key]!r:.60}")
    network, recipe = {}, {}
    if "like" in values:
        like = values["like"]
        if like not in PRESETS:
            raise NetworkError(f"{path}:{lines[('like',)]}: like must be one of {', '.join(PRESETS)}, not {like!r}")
        network = PRESETS[like].network.model_dump(mode="json")
        recipe = PRESETS[like].config.model_dump(mode="json")
    elif "network" not in values:
        raise NetworkError(f"{path}: has neither like, the name of a preset, nor network")
    for key in ("network", "recipe"):
        if not isinstance(values.get(key, {}), Mapping):
            raise NetworkError(f"{path}:{lines[(key,)]}: {key} must be a mapping of keys and values")
    own = None
    if isinstance(data := values.get("data"), Mapping):
        own = checked(EventSettings, dict(data), path, lines, ("data",))
        network["input"] = _input(own, network.get("input", {}))
    network = laid_over(network, values.get("network", {}))
    if "data" in values.get("recipe", {}):
        raise NetworkError(f"{path}:{lines[('recipe', 'data')]}: data stands beside recipe, not inside of it")
    recipe = laid_over(recipe, values.get("recipe", {}))
    if "data" in values:
        recipe["data"] = values["data"]
    shape = checked(Network, network, path, lines, ("network",))
    if own is not None:
        _check_input(own, shape.input, path, lines)
        whole = Recordings(**vars(own), steps=shape.time_steps, input=shape.input)
        recipe["data"] = whole.model_dump(mode="json")
    return Preset(network=shape, config=checked(TrainingConfig, recipe, path, lines, ("recipe",)))


def _input(own: EventSettings, like: dict) -> dict:
    """What a network that sees these recordings has as its input, where the file says nothing: frames as large as
    the preset's, or as the sensor."""
    size = {"height": own.height, "width": own.width}
    if like.get("kind") == "frames":
        size = {key: like[key] for key in size}
    return {"kind": "frames", "channels": 2, "bits": own.bits} | size


def _check_input(own: EventSettings, found: InputSpec, path: Path, lines: Lines) -> None:
    rules = {
        "kind": (found.kind == "frames", f"recordings become frames, not {found.kind}"),
        "channels": (
            found.channels <= 2,
            f"is {found.channels}; events have two polarities, one each, or one for both",
        ),
        "bits": (found.bits == own.bits, f"is {found.bits}, data.bits is {own.bits}: give one of them"),
        "height": (found.height <= own.height, f"is {found.height}, the sensor has {own.height} (data.height)"),
        "width": (found.width <= own.width, f"is {found.width}, the sensor has {own.width} (data.width)"),
    }
    for key, (good, rule) in rules.items():
        if not good:
            at = lines.get(("network", "input", key), lines[("data",)])
            raise NetworkError(f"{path}:{at}: network.input.{key}: {rule}")
