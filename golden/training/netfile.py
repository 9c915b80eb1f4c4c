# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network and its training in one YAML file: what `ds2ta train NET.yaml` reads.

    like: cifar-ecp5          # a preset whose values hold where this file says nothing; may be absent
    data: cifar10             # a data set
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

import json
import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from ds2ta.checked import BaseModel, ValidationError
from ds2ta.errors import NetworkError
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.network import Network

__all__ = ["find_preset", "load_net"]

_KEYS = ("like", "data", "network", "recipe")
_ENDINGS = (".yaml", ".yml")
Lines = dict[tuple[str | int, ...], int]


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
    values, lines = _parse(path)
    if unknown := [key for key in values if key not in _KEYS]:
        raise NetworkError(f"{path}:{lines[(unknown[0],)]}: {unknown[0]!r} is not one of {', '.join(_KEYS)}")
    for key, kind, what in (("like", str, "the name of a preset"), ("data", str, "the name of a data set")):
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
    network = _laid_over(network, values.get("network", {}))
    if "data" in values.get("recipe", {}):
        raise NetworkError(f"{path}:{lines[('recipe', 'data')]}: data stands beside recipe, not inside of it")
    recipe = _laid_over(recipe, values.get("recipe", {}))
    if "data" in values:
        recipe["data"] = values["data"]
    return Preset(
        network=_checked(Network, network, path, lines, "network"),
        config=_checked(TrainingConfig, recipe, path, lines, "recipe"),
    )


def _parse(path: Path) -> tuple[dict, Lines]:
    """The file's values, and the line of each key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise NetworkError(f"{path}: is not UTF-8 text") from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: Lines = {}
        if not isinstance(node, yaml.MappingNode):
            raise NetworkError(f"{path}: must be a mapping with the keys {', '.join(_KEYS)}")
        _number(path, node, (), lines, set())
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path}:{mark.line + 1}"
        raise NetworkError(f"{where}: not YAML ({getattr(error, 'problem', None) or error})") from None
    except NetworkError:
        raise
    except (ValueError, TypeError, RecursionError) as error:  # of scalars such as dates that do not exist
        raise NetworkError(f"{path}: not YAML of plain values ({error})") from None
    finally:
        loader.dispose()


def _number(path: Path, node: yaml.Node, at: tuple, lines: Lines, above: set[int]) -> None:
    """Line of each key and item below the node; a key that stands twice, or an alias of what is around it, is
    refused."""
    if id(node) in above:
        raise NetworkError(f"{path}:{node.start_mark.line + 1}: an alias inside of what it names")
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.tag)
            if (*at, name) in lines:
                raise NetworkError(f"{path}:{key.start_mark.line + 1}: {name} stands twice")
            lines[(*at, name)] = key.start_mark.line + 1
            _number(path, value, (*at, name), lines, above)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            _number(path, value, (*at, index), lines, above)


def _laid_over(below: Mapping, above: Mapping) -> dict:
    found = dict(below)
    for key, value in above.items():
        both = isinstance(found.get(key), Mapping) and isinstance(value, Mapping)
        found[key] = _laid_over(found[key], value) if both else value
    return found


def _checked(kind: type[BaseModel], values: dict, path: Path, lines: Lines, part: str):
    try:
        return kind.model_validate_json(json.dumps(values, allow_nan=False))
    except ValidationError as error:
        first = error.errors()[0]
        rule, key = first["msg"].removeprefix("Value error, "), (part, *first["loc"])
        known = next((key[:end] for end in range(len(key), 0, -1) if key[:end] in lines), None)
        where = path if known is None else f"{path}:{lines[known]}"
        got = f" (got {first['input']!r:.80})" if first["loc"] and first["type"] != "missing" else ""
        raise NetworkError(f"{where}: {'.'.join(map(str, key))}: {rule}{got}") from None
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{path}: {part}: not plain values ({error})") from None
