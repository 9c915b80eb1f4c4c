# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a network really does with its samples, counted exactly in the integer model: the zeros of the attention
map, and the operations of every layer.

An *operation* of a layer is the addition of one weight to one sum, in one time step, for one set bit of an
input: a pixel of 8 bits or a residual sum of 3 planes is so many inputs. *Dense* is what all bits together would
cost. Padding costs nothing. Of the attention map: Q K^T compares all `T N N D` bits, zero or not, since the
hardware skips none there; A x V adds the head's d sums for each entry that is not zero, of `T N N D` in all.

A *spike word* is one input's bits at all time steps, and an *event* a word that is not zero, read by one output
position: what the hardware's counters count, once for each tile of output channels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ds2ta.golden.activity import layer_inputs
from ds2ta.golden.integer import CHUNK, IntegerNetwork
from ds2ta.intervals import widths
from ds2ta.model import IntegerModel
from ds2ta.network import LayerSpec, Network

__all__ = ["PARTS", "Activity", "Work", "measure", "part_of", "where"]

#: Parts of the network in running order, all blocks together.
PARTS = ("patch splitter", "q, k, v", "Q K^T", "A x V", "proj", "MLP", "head")


@dataclass(frozen=True)
class Activity:
    """Exact counts, each sample on its own: `scored` and `kept` int64 `[n, depth]`, entries of S and of A that are
    not zero; by layer (`block.i.attn`: the kept entries) int64 `[n]` `operations` and `events`, and, one number
    for any sample, `dense`; `logits` int64 `[n, classes]`."""

    scored: np.ndarray
    kept: np.ndarray
    operations: dict[str, np.ndarray]
    events: dict[str, np.ndarray]
    dense: dict[str, int]
    logits: np.ndarray

    def of(self, chosen: np.ndarray) -> "Activity":
        """The same of some of the samples alone."""
        return Activity(
            scored=self.scored[chosen],
            kept=self.kept[chosen],
            operations={name: value[chosen] for name, value in self.operations.items()},
            events={name: value[chosen] for name, value in self.events.items()},
            dense=self.dense,
            logits=self.logits[chosen],
        )


def measure(model: IntegerModel, samples: np.ndarray | Sequence) -> Activity:
    """Run the integer model on `samples` and count. Raises `ImageError` for samples that it does not take."""
    runner, found = IntegerNetwork(model), []
    for start in range(0, len(samples), CHUNK):
        chunk = np.asarray(samples[start : start + CHUNK])
        trace = {name: value.numpy() for name, value in runner.trace(chunk).items()}
        if model.network.input.kind == "image":
            chunk = np.repeat(chunk[:, None], model.network.time_steps, axis=1)
        found.append(_count(model, trace | {"input": chunk}))
    dense = found[0].dense
    return Activity(
        scored=np.concatenate([part.scored for part in found]),
        kept=np.concatenate([part.kept for part in found]),
        operations={name: np.concatenate([part.operations[name] for part in found]) for name in dense},
        events={name: np.concatenate([part.events[name] for part in found]) for name in found[0].events},
        dense=dense,
        logits=np.concatenate([part.logits for part in found]),
    )


def _count(model: IntegerModel, trace: dict[str, np.ndarray]) -> Activity:
    """Counts of a batch, from its trace and its `input`, all `[B, T, ...]`."""
    network = model.network
    last = f"block.{network.depth - 1}.x2" if network.depth else "embed"
    fed = {"stem.0": "input", **layer_inputs(network), "head": last}
    specs = {spec.name: spec for spec in network.layers()}
    operations, events, dense = {}, {}, {}
    for layer in widths(model).layers:
        spec, value = specs[layer.name], trace[fed[layer.name]]
        value = value if value.ndim == 5 else value.swapaxes(2, 3)
        value = value.reshape(*value.shape[:2], -1)  # channels, then places
        readers = np.tile(_readers(spec).ravel(), spec.inputs)
        operations[spec.name] = spec.outputs * (np.bitwise_count(value).sum(1, dtype=np.int64) @ readers)
        words = np.bitwise_count(np.bitwise_or.reduce(value, axis=1))  # each bit plane has a word of its own
        events[spec.name] = words.astype(np.int64) @ readers
        dense[spec.name] = spec.outputs * int(readers.sum()) * (layer.shift + 1) * network.time_steps
    scored, kept = (np.zeros((len(trace["logits"]), network.depth), np.int64) for _ in range(2))
    for block in range(network.depth):
        scored[:, block] = np.count_nonzero(trace[f"block.{block}.score"], axis=(1, 2, 3, 4))
        kept[:, block] = np.count_nonzero(trace[f"block.{block}.denoised"], axis=(1, 2, 3, 4))
        at, every = f"block.{block}", _map_operations(network)
        operations[f"{at}.score"] = np.full(len(kept), every)
        operations[f"{at}.attn"] = kept[:, block] * network.head_dim
        events[f"{at}.attn"] = kept[:, block]
        dense |= {f"{at}.score": every, f"{at}.attn": every}
    return Activity(scored, kept, operations, events, dense, trace["logits"])


def _map_operations(network: Network) -> int:
    return network.time_steps * network.tokens**2 * network.embed_dim


def _readers(spec: LayerSpec) -> np.ndarray:
    """How many output positions read each input position, int64 `[height, width]`."""
    ones = np.ones((spec.height, spec.width), np.int64)
    if spec.kernel == 1:
        return ones
    padded = np.pad(ones, 1)
    windows = [padded[y : y + spec.height, x : x + spec.width] for y in range(3) for x in range(3)]
    return np.sum(windows, axis=0)


def part_of(layer: str) -> str:
    """The one of `PARTS` that a layer belongs to."""
    name = layer.split(".")[-1]
    known = {"score": "Q K^T", "attn": "A x V", "proj": "proj", "fc1": "MLP", "fc2": "MLP", "head": "head"}
    if layer.startswith("block.") and name in "qkv":
        return "q, k, v"
    return known.get(name, "patch splitter")


@dataclass(frozen=True)
class Work:
    """One part of the network, mean over samples: operations of a dense network, and those done."""

    part: str
    dense: int
    done: float


def where(activity: Activity) -> list[Work]:
    """Where the operations are: a row for each of `PARTS` that the network has."""

    def of(part: str) -> Iterable[str]:
        return [name for name in activity.dense if part_of(name) == part]

    return [
        Work(
            part,
            dense=sum(activity.dense[name] for name in of(part)),
            done=float(sum(activity.operations[name].mean() for name in of(part))),
        )
        for part in PARTS
        if of(part)
    ]
