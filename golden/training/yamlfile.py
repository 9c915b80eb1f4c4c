# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Mappings in YAML files (JSON is YAML too), with the line of each key: whatever is wrong with one is a single line
that says file, line, key and limit."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from ds2ta.checked import BaseModel, ValidationError
from ds2ta.errors import NetworkError

__all__ = ["Lines", "checked", "laid_over", "read_mapping"]

Kind = TypeVar("Kind", bound=BaseModel)
#: Path of a key or an item -> its line, from 1.
Lines = dict[tuple[str | int, ...], int]


def read_mapping(path: str | os.PathLike, keys: Sequence[str]) -> tuple[dict, Lines]:
    """The file's values, and the line of each key; its top level has none but `keys`."""
    path = Path(path)
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
            raise NetworkError(f"{path}: must be a mapping with the keys {', '.join(keys)}")
        _number(path, node, (), lines, set())
        values = loader.construct_document(node)
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
    if unknown := [key for key in values if key not in keys]:
        where = f"{path}:{lines.get((unknown[0],), 1)}"
        raise NetworkError(f"{where}: {unknown[0]!r} is not one of {', '.join(keys)}")
    return values, lines


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


def laid_over(below: Mapping, above: Mapping) -> dict:
    """`above` over `below`, key by key; lists replace lists."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(found.get(key), Mapping) and isinstance(value, Mapping)
        found[key] = laid_over(found[key], value) if both else value
    return found


def checked(
    kind: type[Kind], values: dict, path: str | os.PathLike, lines: Lines, at: tuple[str, ...] = ()
) -> Kind:
    """The values, which stand below the keys `at` in the file, as a checked group."""
    try:
        return kind.model_validate_json(json.dumps(values, allow_nan=False))
    except ValidationError as error:
        first = error.errors()[0]
        rule, key = first["msg"].removeprefix("Value error, "), (*at, *first["loc"])
        known = next((key[:end] for end in range(len(key), 0, -1) if key[:end] in lines), None)
        where = path if known is None else f"{path}:{lines[known]}"
        got = f" (got {first['input']!r:.80})" if first["loc"] and first["type"] != "missing" else ""
        raise NetworkError(f"{where}: {'.'.join(map(str, key))}: {rule}{got}") from None
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{path}: {'.'.join(at) or 'it'}: not plain values ({error})") from None
