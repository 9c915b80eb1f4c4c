# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Network descriptions: every limit of docs/model-file.md is accepted, one beyond it is refused by name."""

import copy
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from ds2ta.errors import Ds2taError, NetworkError
from ds2ta.network import InputSpec, Network, StemConv, network_from_dict

PAGE = Path(__file__).parents[2] / "docs" / "model-file.md"


def table(marker: str) -> dict[str, tuple[int, int]]:
    """The limits table that follows the comment naming this test file."""
    text = PAGE.read_text().split(f"<!-- limits: {marker} ", 1)[1]
    rows = re.findall(r"^\| `([\w.]+)`[^|]*\| (-?\d+) \| (-?\d+) \|$", text.split("\n## ", 1)[0], re.M)
    return {key: (int(low), int(high)) for key, low, high in rows}


LIMITS = table("tests/core/test_network.py")


def base() -> dict:
    return {
        "name": "n",
        "input": {"kind": "image", "channels": 1, "height": 8, "width": 8, "bits": 8},
        "time_steps": 4,
        "stem": [{"channels": 8, "pool": True}, {"channels": 64, "pool": False}],
        "embed_dim": 64,
        "heads": 2,
        "depth": 1,
        "hidden_dim": 16,
        "window": 3,
        "leak_shift": 1,
        "residual": "add",
        "nsad": True,
        "denoiser_bits": 6,
        "classes": 10,
    }


def put(values: dict, path: str, value: object) -> dict:
    values = copy.deepcopy(values)
    at = values
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part) if part.isdigit() else part]
    at[last] = value
    return values


def with_size(key: str, size: int) -> dict:
    """A network whose `key` has this value (or this length), everything else made to agree with it."""
    if key == "name":
        return put(base(), key, "x" * size)
    if key == "stem":
        return put(base(), key, [{"channels": 64, "pool": False}] * size)
    values = put(base(), key, size)
    if key == "embed_dim":
        values = put(put(values, "stem.1.channels", min(size, 1024)), "heads", 1)
    return values


def test_every_numeric_key_has_documented_limits():
    def keys(model: type[BaseModel], prefix: str) -> set[str]:
        return {prefix + name for name, info in model.model_fields.items() if info.annotation is int}

    fields = keys(Network, "") | keys(InputSpec, "input.") | keys(StemConv, "stem.0.")
    assert set(LIMITS) - {"name", "stem"} == fields


@pytest.mark.parametrize(("key", "end"), [(key, end) for key in LIMITS for end in (0, 1)])
def test_limit_is_accepted(key: str, end: int):
    network = network_from_dict(with_size(key, LIMITS[key][end]))
    assert network.layers()[-1].name == "head"


@pytest.mark.parametrize(("key", "end"), [(key, end) for key in LIMITS for end in (0, 1)])
def test_one_beyond_is_refused_by_key_value_and_limit(key: str, end: int):
    limit = LIMITS[key][end]
    beyond = limit + (1 if end else -1)
    with pytest.raises(NetworkError) as caught:
        network_from_dict(with_size(key, beyond))
    message = str(caught.value)
    assert "\n" not in message
    assert f" {key}: " in message
    assert re.search(rf"\b{limit}\b", message)
    if key not in ("name", "stem"):
        assert re.search(rf"(?<!\d){beyond}\b", message)


@pytest.mark.parametrize("key", [key for key in LIMITS if key not in ("name", "stem")])
@pytest.mark.parametrize("value", [4.0, True, "4", None, [4], float("nan"), float("inf"), 10**400])
def test_only_whole_numbers_are_taken(key: str, value: object):
    with pytest.raises(NetworkError):
        network_from_dict(put(base(), key, value))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("heads", 3, ("heads", "3", "64")),
        ("stem.1.channels", 32, ("stem", "32", "64")),
        ("embed_dim", 32, ("stem", "32", "64")),
        ("input.kind", "video", ("input.kind", "video", "image")),
        ("residual", "xor", ("residual", "xor", "add")),
        ("nsad", 1, ("nsad",)),
        ("name", "../x", ("name", "../x")),
        ("name", "a\nb", ("name",)),
        ("extra", 1, ("extra",)),
        ("input.extra", 1, ("input.extra",)),
        ("stem.0.extra", 1, ("stem.0.extra",)),
        ("stem", {}, ("stem",)),
    ],
)
def test_other_rules_name_the_key(key: str, value: object, words: tuple[str, ...]):
    with pytest.raises(NetworkError) as caught:
        network_from_dict(put(base(), key, value))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    for word in words:
        assert word in message


@pytest.mark.parametrize("key", ["name", "stem", "embed_dim", "heads", "depth", "hidden_dim"])
def test_keys_without_default_must_be_there(key: str):
    values = base()
    del values[key]
    with pytest.raises(NetworkError, match=key):
        network_from_dict(values)


def test_identity_tables_must_fit_their_entries():
    wide = put(put(base(), "nsad", False), "heads", 1)
    assert network_from_dict(put(wide, "denoiser_bits", 7)).head_dim == 64
    with pytest.raises(NetworkError, match=r"denoiser_bits: .*0\.\.64.* 6 bits end at 63"):
        network_from_dict(put(wide, "denoiser_bits", 6))


@pytest.mark.parametrize("values", [None, 3, "x", [], [1], {1: 2}, {"a": object()}, {"name": b"x"}])
def test_what_is_not_an_object_is_refused(values: object):
    with pytest.raises(NetworkError):
        network_from_dict(values)


def test_endless_nesting_is_refused():
    nest: list = []
    for _ in range(100_000):
        nest = [nest]
    with pytest.raises(Ds2taError):
        network_from_dict(put(base(), "stem", nest))


def test_layers_in_running_order_with_their_grids():
    network = network_from_dict(put(base(), "input.height", 7))
    assert network.grid == (4, 4)
    assert network.tokens == 16
    assert network.sample_shape == (1, 7, 8)
    found = [(s.name, s.kernel, s.inputs, s.outputs, s.height, s.width, s.tasa) for s in network.layers()]
    assert found == [
        ("stem.0", 3, 1, 8, 7, 8, False),
        ("stem.1", 3, 8, 64, 4, 4, False),
        ("rpe", 3, 64, 64, 4, 4, False),
        ("block.0.q", 1, 64, 64, 4, 4, True),
        ("block.0.k", 1, 64, 64, 4, 4, True),
        ("block.0.v", 1, 64, 64, 4, 4, True),
        ("block.0.proj", 1, 64, 64, 4, 4, True),
        ("block.0.fc1", 1, 64, 16, 4, 4, False),
        ("block.0.fc2", 1, 16, 64, 4, 4, False),
        ("head", 1, 64, 10, 4, 4, False),
    ]


def test_frames_have_a_time_axis_and_the_residual_stream_grows():
    network = network_from_dict(put(base(), "input.kind", "frames"))
    assert network.sample_shape == (4, 1, 8, 8)
    assert [network.residual_limit(after) for after in range(4)] == [1, 2, 3, 4]
    binary = network_from_dict(put(base(), "residual", "or"))
    assert [binary.residual_limit(after) for after in range(4)] == [1, 1, 1, 1]
