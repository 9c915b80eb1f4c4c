# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Operations and events of every layer against a count in plain Python over the slow model's trace."""

import numpy as np
import pytest

from ds2ta.golden import slow
from ds2ta.golden.operations import PARTS, measure, part_of, where
from ds2ta.golden.random_model import random_model
from ds2ta.golden.training.presets import PRESETS
from ds2ta.network import Network

SHAPES = {
    "images, add": {"kind": "image", "residual": "add", "depth": 2, "time_steps": 3},
    "frames, or": {"kind": "frames", "residual": "or", "depth": 1, "time_steps": 4},
    "no block": {"kind": "image", "depth": 0, "time_steps": 2},
}


def sources(network: Network) -> dict[str, str]:
    """Layer -> the tensor that feeds it, from the paper's figure and not from the code."""
    found, at = {}, "input"
    for i, conv in enumerate(network.stem):
        found[f"stem.{i}"] = at
        at = f"stem.{i}.pool" if conv.pool else f"stem.{i}"
    found["rpe"], at = at, "embed"
    for b in range(network.depth):
        found |= {f"block.{b}.{part}": at for part in ("q", "k", "v")}
        found |= {f"block.{b}.proj": f"block.{b}.attn", f"block.{b}.fc1": f"block.{b}.x1"}
        found[f"block.{b}.fc2"] = f"block.{b}.fc1"
        at = f"block.{b}.x2"
    return found | {"head": at}


def limit(model, layer: str) -> int:
    """The largest value that can enter a layer, by the contract's rules."""
    network = model.network
    if layer == "stem.0":
        return (1 << network.input.bits) - 1
    if network.residual == "or" or layer.startswith("stem") or layer == "rpe":
        return 1
    if layer == "head":
        return 2 + 2 * network.depth
    part = layer.split(".")[-1]
    block = int(layer.split(".")[1])
    return {"q": 2 + 2 * block, "k": 2 + 2 * block, "v": 2 + 2 * block, "fc1": 3 + 2 * block}.get(part, 1)


def brute(model, x: np.ndarray, spec, largest: int) -> tuple[int, int, int]:
    """(operations, events, dense) of one sample in one layer: every output neuron asks every input bit."""
    x = x if x.ndim == 4 else x.transpose(0, 2, 1).reshape(x.shape[0], -1, spec.height, spec.width)
    reach = (-1, 0, 1) if spec.kernel == 3 else (0,)
    operations = events = dense = 0
    for y in range(spec.height):
        for column in range(spec.width):
            for i in reach:
                for j in reach:
                    if not (0 <= y + i < spec.height and 0 <= column + j < spec.width):
                        continue
                    for channel in range(spec.inputs):
                        word = [int(value) for value in x[:, channel, y + i, column + j]]
                        for plane in range(largest.bit_length()):
                            bits = [value >> plane & 1 for value in word]
                            operations += sum(bits) * spec.outputs
                            events += any(bits)
                            dense += len(bits) * spec.outputs
    return operations, events, dense


@pytest.mark.parametrize("shape", SHAPES)
def test_every_layer(shape):
    model = random_model(np.random.default_rng(7), max_dim=16, max_positions=64, **SHAPES[shape])
    network, activity = model.network, measure(model, model.samples)
    for number, sample in enumerate(model.samples):
        trace = slow.run(model, sample) | {"input": slow.encode(model, sample)}
        for spec in network.layers():
            found = (activity.operations[spec.name][number], activity.events[spec.name][number])
            wanted = brute(model, trace[sources(network)[spec.name]], spec, limit(model, spec.name))
            assert (*found, activity.dense[spec.name]) == wanted, spec.name
        for block in range(network.depth):
            at = f"block.{block}"
            kept = int(np.count_nonzero(trace[f"{at}.denoised"]))
            every = network.time_steps * network.tokens**2 * network.embed_dim
            assert activity.events[f"{at}.attn"][number] == kept
            assert activity.operations[f"{at}.attn"][number] == kept * network.head_dim
            assert activity.operations[f"{at}.score"][number] == every
            assert activity.dense[f"{at}.attn"] == activity.dense[f"{at}.score"] == every
        np.testing.assert_array_equal(activity.logits[number], trace["logits"])


def test_chunks_and_other_samples_change_nothing(monkeypatch):
    model = random_model(np.random.default_rng(3), depth=1, samples=5)
    whole, chosen = measure(model, model.samples), np.array([4, 1, 2])
    monkeypatch.setattr("ds2ta.golden.operations.CHUNK", 2)
    parts, few = measure(model, model.samples), measure(model, model.samples[chosen])
    for one, other in ((whole, parts), (whole.of(chosen), few)):
        assert one.dense == other.dense
        for kind in ("operations", "events"):
            found, wanted = getattr(one, kind), getattr(other, kind)
            assert {name: value.tolist() for name, value in found.items()} == {
                name: value.tolist() for name, value in wanted.items()
            }
        for kind in ("scored", "kept", "logits"):
            assert getattr(one, kind).tolist() == getattr(other, kind).tolist()


def test_parts_hold_every_layer_once():
    network = PRESETS["vit-4-384"].network
    names = [spec.name for spec in network.layers()] + ["block.0.score", "block.0.attn"]
    assert {part_of(name) for name in names} == set(PARTS)
    assert [part_of(name) for name in ("stem.2", "rpe", "block.1.k", "block.1.proj", "block.0.fc2", "head")] == [
        "patch splitter",
        "patch splitter",
        "q, k, v",
        "proj",
        "MLP",
        "head",
    ]
    model = random_model(np.random.default_rng(5), depth=1)
    activity = measure(model, model.samples)
    rows = where(activity)
    assert sum(row.dense for row in rows) == sum(activity.dense.values())
    total = sum(value.mean() for value in activity.operations.values())
    assert sum(row.done for row in rows) == pytest.approx(total)
    assert all(row.done <= row.dense for row in rows)
