# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Files whose digests are right and whose content is not: every rule of docs/model-file.md, limit and limit + 1."""

import contextlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_files import NEWEST, PAGE, WRITERS, Writer, raw, refused
from safetensors import safe_open

from ds2ta.errors import ModelFileError
from ds2ta.modelfile import load_model, model_digest


def limits() -> list[tuple[str, int, int, int]]:
    """(value, parameter in the same row, smallest, largest) of the page's table of tensor limits."""
    text = PAGE.read_text().split("<!-- limits: tests/core/test_modelfile_values.py ", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)`(?: of (\d) \w+)? \| (-?\d+) \| (-?\d+) \|$", text, re.M)
    return [(key, int(size or 0), int(low), int(high)) for key, size, low, high in rows]


def test_set_metadata_without_change_is_accepted(tmp_path: Path, writer: Writer):
    assert load_model(writer.set_metadata(tmp_path / "same")).network.name == "example"
    writer.write(tmp_path / "it", writer.parts())
    with safe_open(tmp_path / "same", "numpy") as first, safe_open(tmp_path / "it", "numpy") as second:
        assert first.metadata() == second.metadata()


@pytest.mark.parametrize(
    ("version", "key"),
    [
        (version, key)
        for version, found in WRITERS.items()
        for key in found.texts()
        if key not in ("format", "version")
    ],
)
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
def test_bad_json_in_metadata_is_refused(tmp_path: Path, version: int, key: str, text: str):
    refused(WRITERS[version].set_metadata(tmp_path / "json", **{key: text}))


@pytest.mark.parametrize("depth", range(700, 1100, 7))
def test_nesting_near_the_recursion_limit(tmp_path: Path, writer: Writer, depth: int):
    """Provenance may nest; how deep depends on the stack of the caller, the kind of error does not."""
    text = '{"x":' + "[" * depth + "]" * depth + "}"
    with contextlib.suppress(ModelFileError):
        assert load_model(writer.set_metadata(tmp_path / "deep", provenance=text)).provenance["x"]
    refused(writer.set_metadata(tmp_path / "deep", layers=text))


@pytest.mark.parametrize(
    ("key", "old", "new", "words"),
    [
        ("network", '"time_steps":2', '"time_steps":2.0', "time_steps"),
        ("network", '"time_steps":2', '"time_steps":true', "time_steps"),
        ("network", '"time_steps":2', '"time_steps":2,"time_steps":2', "network is not canonical"),
        ("network", '"time_steps":2', '"time_steps": 2', "network is not canonical"),
        ("network", ',"time_steps":2', "", "network is not canonical"),
        ("network", '"time_steps":2', '"time_steps":17', "time_steps"),
        (
            "network",
            '"classes":3',
            '"classes":4',
            {1: "head.weight has shape [3, 4], it must be [4, 4]", 2: "head.weight has shape [6], it must be [8]"},
        ),
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
        (
            "layers",
            '"rpe":{"bits":4',
            '"rpe":{"bits":3',
            {
                1: "rpe: weight 7 is beyond 3, the limit of 3 bits",
                2: "rpe.weight has shape [72], it must be [54]: 144 weights of 3 bits",
            },
        ),
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
def test_wrong_values_are_refused_by_name(tmp_path: Path, writer: Writer, key: str, old: str, new: str, words):
    text = writer.texts()[key]
    assert old in text
    words = words if isinstance(words, str) else words[writer.version]
    assert words in refused(writer.set_metadata(tmp_path / "wrong", **{key: text.replace(old, new, 1)}))


def edit_header(path: Path, change: Callable[[dict], None]) -> Path:
    """Change the metadata of a file, and leave all digests as they are."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header["__metadata__"])
    path.write_bytes(raw(json.dumps(header).encode(), data[8 + length :]))
    return path


def test_missing_metadata_is_refused(tmp_path: Path, writer: Writer):
    keys = {*writer.texts(), "digest"} | ({"check"} if writer.version > 1 else set())
    for key in keys - {"format", "version"}:
        path = edit_header(writer.set_metadata(tmp_path / "whole"), lambda metadata, key=key: metadata.pop(key))
        assert refused(path) == f"metadata: {key} is missing"


def test_spare_metadata_is_refused(tmp_path: Path, writer: Writer):
    message = f"metadata: 'note' is not a key of version {writer.version}"
    assert refused(writer.set_metadata(tmp_path / "spare", note="x")) == message


@pytest.mark.parametrize("key", ["neurons", "about", "check"])
def test_a_key_of_version_2_is_none_of_version_1(tmp_path: Path, key: str):
    path = WRITERS[1].set_metadata(tmp_path / "early", **{key: "{}"})
    assert refused(path) == f"metadata: '{key}' is not a key of version 1"


def test_a_version_that_is_not_the_files_own_is_refused(tmp_path: Path):
    """All digests are right, and the weights are not what the version says."""
    path = WRITERS[1].set_metadata(tmp_path / "one", stored=NEWEST.stored())
    assert ".weight': its SHA-256 differs" in refused(path)
    path = NEWEST.set_metadata(tmp_path / "two", stored=WRITERS[1].stored())
    assert "tensor stem.0.weight is int8, it must be uint8, weights of 4 bits" in refused(path)


def test_an_identity_of_another_model_is_refused(tmp_path: Path):
    def other(metadata: dict) -> None:
        metadata["digest"] = "0" * 64
        del metadata["check"]
        metadata["check"] = NEWEST.sha256(NEWEST.canonical(metadata).encode())

    right = model_digest(load_model(NEWEST.set_metadata(tmp_path / "m")))
    assert refused(edit_header(tmp_path / "m", other)) == f"metadata: digest is not that of this model, {right}"


def test_packed_weights_have_just_their_bytes(tmp_path: Path):
    """stem.0 has 36 weights of 4 bits, 18 bytes; with 3 bits they are 108 bits, and 4 of 14 bytes are not used."""
    stored = NEWEST.stored()["stem.0.weight"]
    for wrong in (stored[:-1], np.append(stored, np.uint8(0)), stored[None], stored[:0]):
        found = refused(NEWEST.set_metadata(tmp_path / "m", stored={"stem.0.weight": wrong}))
        shape = list(wrong.shape)
        assert found == f"tensor stem.0.weight has shape {shape}, it must be [18]: 36 weights of 4 bits"
    changed = NEWEST.parts()
    changed[1]["stem.0"]["bits"] = 3
    changed[3]["stem.0.weight"] //= 3
    path = NEWEST.write(tmp_path / "m", changed)
    assert (load_model(path).synapses["stem.0"].weight == changed[3]["stem.0.weight"]).all()
    with safe_open(path, "numpy") as file:
        whole = file.get_tensor("stem.0.weight")
    for bit in range(8):
        content = bytearray(path.read_bytes())
        at = content.index(whole.tobytes()) + len(whole) - 1
        content[at] ^= 1 << bit
        (tmp_path / "flipped").write_bytes(content)
        words = "a bit behind the last weight is set" if bit >= 4 else "its SHA-256 differs"
        assert words in refused(tmp_path / "flipped")


def test_a_weight_that_bits_have_and_rules_have_not(tmp_path: Path):
    """-8 is a number of 4 bits, and beyond the symmetric limit; the writer's digests are those of -8."""
    changed = NEWEST.parts()
    changed[3]["rpe.weight"][0, 0, 0, 0] = -8
    message = refused(NEWEST.write(tmp_path / "m", changed))
    assert message == "layer rpe: weight 8 is beyond 7, the limit of 4 bits"


def test_tensors_must_be_exactly_those_of_the_network(tmp_path: Path, writer: Writer):
    write, parts = writer.write, writer.parts
    names = list(parts()[3])
    for name in names:
        changed = parts()
        del changed[3][name]
        assert refused(write(tmp_path / "less", changed)) == f"tensor: {name} is missing"
        if writer.version > 1 and name.endswith(".weight"):
            continue  # packed, it has neither type nor shape: test_packed_weights_have_just_their_bytes
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


def with_value(writer: Writer, key: str, size: int, value: int) -> list:
    """The example with one value of this kind set, everything else made to agree with it."""
    network, layers, attention, tensors, *_ = changed = writer.parts()
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
def test_limits_of_values(tmp_path: Path, writer: Writer, key: str, size: int, low: int, high: int):
    for limit, beyond in ((low, low - 1), (high, high + 1)):
        path = writer.write(tmp_path / "limit", with_value(writer, key, size, limit))
        assert load_model(path).network.name == "example"
        if (beyond < 0 and key in ("denoiser", "samples")) or (abs(beyond) == 128 and beyond > 0):
            continue  # the tensor's own type cannot hold it
        if writer.version > 1 and key == "weight" and beyond > 0:
            continue  # its bits cannot hold it
        if writer.version > 1 and key == "bits":  # nothing can be packed in as many
            layers = writer.canonical(with_value(writer, key, size, beyond)[1])
            message = refused(writer.set_metadata(tmp_path / "beyond", layers=layers))
        else:
            message = refused(writer.write(tmp_path / "beyond", with_value(writer, key, size, beyond)))
        assert re.search(rf"\b{abs(beyond)}\b", message)
        assert re.search(rf"\b{abs(limit)}\b", message)
        assert key in message
