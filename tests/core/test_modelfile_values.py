# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Files whose digests are right and whose content is not: every rule of docs/model-file.md, limit and limit + 1."""

import contextlib
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from model_files import DOCUMENTED, PAGE, hashes, parts, raw, refused, set_metadata, write

from ds2ta.errors import ModelFileError
from ds2ta.modelfile import load_model


def limits() -> list[tuple[str, int, int, int]]:
    """(value, parameter in the same row, smallest, largest) of the page's table of tensor limits."""
    text = PAGE.read_text().split("<!-- limits: tests/core/test_modelfile_values.py ", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)`(?: of (\d) \w+)? \| (-?\d+) \| (-?\d+) \|$", text, re.M)
    return [(key, int(size or 0), int(low), int(high)) for key, size, low, high in rows]


def test_set_metadata_without_change_is_accepted(tmp_path: Path):
    assert load_model(set_metadata(tmp_path / "same")).network.name == "example"


@pytest.mark.parametrize("key", ["network", "layers", "attention", "provenance", "tensors"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"x"',
        "NaN",
        '{"x":NaN}',
        '{"x":Infinity}',
        '{"x":1e999}',
        '{"x": 1}',
        '{"x":1,"x":1}',
        '{"x":1E5}',
        '{"b":1,"a":1}',
        '{"x":"é"}',
        "[" * 100_000,
        '{"x":' * 100_000,
        '{"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"x":' + "9" * 5000 + "}",
        "\ufeff{}",
        "\0",
    ],
)
def test_bad_json_in_metadata_is_refused(tmp_path: Path, key: str, text: str):
    refused(set_metadata(tmp_path / "json", **{key: text}))


@pytest.mark.parametrize("depth", range(700, 1100, 7))
def test_nesting_near_the_recursion_limit(tmp_path: Path, depth: int):
    """Provenance may nest; how deep depends on the stack of the caller, the kind of error does not."""
    text = '{"x":' + "[" * depth + "]" * depth + "}"
    with contextlib.suppress(ModelFileError):
        assert load_model(set_metadata(tmp_path / "deep", provenance=text)).provenance["x"]
    refused(set_metadata(tmp_path / "deep", layers=text))


@pytest.mark.parametrize(
    ("key", "old", "new", "words"),
    [
        ("network", '"time_steps":2', '"time_steps":2.0', "time_steps"),
        ("network", '"time_steps":2', '"time_steps":true', "time_steps"),
        ("network", '"time_steps":2', '"time_steps":2,"time_steps":2', "network is not canonical"),
        ("network", '"time_steps":2', '"time_steps": 2', "network is not canonical"),
        ("network", ',"time_steps":2', "", "network is not canonical"),
        ("network", '"time_steps":2', '"time_steps":17', "time_steps"),
        ("network", '"classes":3', '"classes":4', "head.weight has shape [3, 4], it must be [4, 4]"),
        ("network", '"heads":2', '"heads":4', "denoiser has shape [2, 2], it must be [4, 1]"),
        ("network", '"denoiser_bits":3', '"denoiser_bits":1', "entry 3 is beyond 1"),
        ("network", '"nsad":true', '"nsad":false', "must be 1..2"),
        ("network", '"bits":4', '"bits":3', "value 11 is beyond 7"),
        ("network", '"height":3', '"height":4', "samples has shape [2, 1, 3, 2], it must be [2, 1, 4, 2]"),
        ("network", '"window":3', '"window":2', "window is 3, the network has 2"),
        ("layers", '"head":{"bits":4', '"head":{"bits":4.0', "head: bits is 4.0"),
        ("layers", '"head":{"bits":4', '"head":{"bits":true', "head: bits is True"),
        ("layers", '"head":{"bits":4', '"head":{"bits":"4"', "head: bits is '4'"),
        ("layers", '"head":{"bits":4,', '"head":{', "head: bits is missing"),
        ("layers", '"head":{"bits":4,', '"head":{"bats":4,"bits":4,', "layers is not canonical"),
        ("layers", '"head":{', '"hood":{', "head is missing"),
        ("layers", '"head":{', '"hard":{"bits":4},"head":{', "layers is not canonical"),
        ("layers", '"rpe":{"bits":4,"tau":0,"window":1}', '"rpe":[4,0,1]', "rpe: bits is missing"),
        ("layers", '"rpe":{"bits":4,"tau":0', '"rpe":{"bits":4,"tau":1', "rpe: tau is 1 without a window"),
        (
            "layers",
            '"rpe":{"bits":4,"tau":0,"window":1}',
            '"rpe":{"bits":4,"tau":0,"window":3}',
            "only TASA layers",
        ),
        ("layers", '"rpe":{"bits":4', '"rpe":{"bits":3', "rpe: weight 7 is beyond 3, the limit of 3 bits"),
        ("layers", '"tau":2', '"tau":8', "tau is 8, it must be a whole number in 0..7"),
        ("layers", '"tau":2', '"tau":-1', "tau is -1"),
        ("attention", "[2]", "[]", "threshold: 0 of them for 1 blocks"),
        ("attention", "[2]", "[2,2]", "threshold: 2 of them for 1 blocks"),
        ("attention", "[2]", "2", "not a list"),
        ("attention", "[2]", '"2"', "not a list"),
        ("attention", "[2]", "[2.0]", "is 2.0"),
        ("attention", "[2]", "[0]", "is 0, it must be a whole number in 1..1073741823"),
        ("attention", '{"thr', '{"extra":1,"thr', "attention is not canonical"),
        ("tensors", '"labels"', '"labals"', "missing"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, key: str, old: str, new: str, words: str):
    network, layers, attention, tensors, _ = parts()
    texts = {
        "network": network,
        "layers": layers,
        "attention": attention,
        "tensors": hashes(tensors),
    }
    text = DOCUMENTED["canonical"](texts[key])
    assert old in text
    assert words in refused(set_metadata(tmp_path / "wrong", **{key: text.replace(old, new, 1)}))


@pytest.mark.parametrize("key", ["network", "layers", "attention", "provenance", "tensors", "digest"])
def test_missing_metadata_is_refused(tmp_path: Path, key: str):
    path = set_metadata(tmp_path / "whole")
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"][key]
    path.write_bytes(raw(json.dumps(header).encode(), data[8 + length :]))
    assert refused(path) == f"metadata: {key} is missing"


def test_spare_metadata_is_refused(tmp_path: Path):
    assert refused(set_metadata(tmp_path / "spare", note="x")) == "metadata: 'note' is not a key of version 1"


def test_tensors_must_be_exactly_those_of_the_network(tmp_path: Path):
    names = list(parts()[3])
    for name in names:
        changed = parts()
        del changed[3][name]
        assert refused(write(tmp_path / "less", changed)) == f"tensor: {name} is missing"
        changed = parts()
        changed[3][name] = changed[3][name][:-1]
        assert f"tensor {name} has shape" in refused(write(tmp_path / "short", changed)) or name == "samples"
        changed = parts()
        changed[3][name] = changed[3][name].astype(np.int32)
        assert f"tensor {name} is int32, it must be" in refused(write(tmp_path / "typed", changed))
        changed = parts()
        changed[3][name] = changed[3][name][None]
        assert f"tensor {name} has shape" in refused(write(tmp_path / "deep", changed))
        changed = parts()
        changed[3][name] = np.zeros(0, changed[3][name].dtype)
        refused(write(tmp_path / "empty", changed))
    changed = parts()
    changed[3]["head.threshold"] = np.ones(3, np.int64)
    assert refused(write(tmp_path / "more", changed)) == "tensor 'head.threshold' is not part of this network"


def with_value(key: str, size: int, value: int) -> list:
    """The example with one value of this kind set, everything else made to agree with it."""
    network, layers, attention, tensors, _ = changed = parts()
    if key == "bits":
        layers["block.0.fc1"]["bits"] = value
        tensors["block.0.fc1.weight"][:] = 1
    elif key == "tau":
        layers["block.0.q"]["tau"] = value
    elif key == "window":
        network["window"] = value if 1 <= value <= 4 else network["window"]
        for part in ("q", "k", "v", "proj"):
            layers[f"block.0.{part}"] |= {"window": value, "tau": 0}
    elif key == "weight":
        layers["block.0.fc1"]["bits"] = size
        tensors["block.0.fc1.weight"][:] = 0
        tensors["block.0.fc1.weight"].flat[-1] = value if -128 <= value <= 127 else 0
    elif key in ("bias", "threshold"):
        tensors[f"block.0.proj.{key}"][2] = value
    elif key == "attention":
        attention["threshold"][0] = value
    elif key == "denoiser":
        assert network["denoiser_bits"] == size
        tensors["block.0.denoiser"][1, 0] = value
    elif key == "samples":
        assert network["input"]["bits"] == size
        tensors["samples"][1, 0, 2, 1] = value
    else:
        assert (key, network["classes"]) == ("labels", size)
        tensors["labels"][1] = value
    return changed


def test_the_page_limits_every_kind_of_value():
    kinds = {"bits", "tau", "window", "weight", "bias", "threshold", "attention", "denoiser", "samples", "labels"}
    assert {row[0] for row in limits()} == kinds


@pytest.mark.parametrize(("key", "size", "low", "high"), limits())
def test_limits_of_values(tmp_path: Path, key: str, size: int, low: int, high: int):
    for limit, beyond in ((low, low - 1), (high, high + 1)):
        path = write(tmp_path / "limit", with_value(key, size, limit))
        assert load_model(path).network.name == "example"
        if (beyond < 0 and key in ("denoiser", "samples")) or (abs(beyond) == 128 and beyond > 0):
            continue  # the tensor's own type cannot hold it
        message = refused(write(tmp_path / "beyond", with_value(key, size, beyond)))
        assert re.search(rf"\b{abs(beyond)}\b", message)
        assert re.search(rf"\b{abs(limit)}\b", message)
        assert key in message
