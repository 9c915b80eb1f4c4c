# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Engine cycles of designs that are not built yet, on real activity: `python -m ds2ta.records.design_counts MODEL`.

For each layer of a model and the mean of a few of its own samples: the events that the engine takes one by one
today; the cycles of an engine that takes two events of a token at once, paired inside of a row or over the whole
token; the same where lanes that a narrow convolution leaves empty compute the lines below (`lines` at once); and
the beats of the drain. The first layer of still images also with `time_steps` neighbouring pixels in a spike word.
What comes in front of and behind the engine, and every latency, is left out: this is for choosing, the cycle model
is exact.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2ta.golden.activity import layer_inputs
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.modelfile import load_model
from ds2ta.network import LayerSpec, Network

__all__ = ["Counts", "design_counts"]


@dataclass(frozen=True)
class Counts:
    """Mean cycles a sample of one layer: events one by one, in pairs inside of a row, in pairs of a token."""

    layer: str
    lines: int  # output lines at once
    events: float
    row_pairs: float
    token_pairs: float
    drain: float


def design_counts(path: Path, *, lanes: int, row_lanes: int, drain_lanes: int, samples: int) -> Iterator[Counts]:
    """All layers of the model, then its convolutions again where lanes are left for more than one line."""
    model = load_model(path)
    network, chosen = model.network, model.samples[:samples]
    trace = {name: value.numpy() for name, value in IntegerNetwork(model).trace(chosen).items()}
    feeds = {**layer_inputs(network), "head": f"block.{network.depth - 1}.x2" if network.depth else "embed"}
    for spec in network.layers():
        tensor = chosen if spec.name == "stem.0" else trace[feeds[spec.name]]
        live = _words(np.asarray(tensor), spec)
        tiles = -(-spec.outputs // lanes)
        drain = spec.height * spec.width * spec.outputs * network.time_steps / drain_lanes
        for lines in (1, max(1, lanes // spec.outputs) if spec.kernel == 3 else 1):
            rows = _rows(live, row_lanes)
            events, row_pairs, token_pairs = _count(rows, spec, lines) * tiles
            yield Counts(spec.name, lines, events, row_pairs, token_pairs, drain)
            if lanes // spec.outputs < 2 or spec.kernel == 1:
                break
    if network.input.kind == "image":
        spec = network.layers()[0]
        lines = max(1, lanes // spec.outputs)
        yield _packed(np.asarray(chosen), network, spec, lines, row_lanes, drain_lanes)


def _words(tensor: np.ndarray, spec: LayerSpec) -> np.ndarray:
    """Whether each spike word lives, `[samples, planes, height, width, channels]`."""
    if spec.kernel == 1:
        tensor = tensor[:, :, None]  # tokens in one line
    else:
        tensor = tensor[:, None] if tensor.ndim == 4 else tensor
        if tensor.ndim == 4 or tensor.shape[2] != spec.inputs:  # [samples, T, tokens, channels]
            tensor = tensor.reshape(*tensor.shape[:2], spec.height, spec.width, spec.inputs)
        else:
            tensor = tensor.transpose(0, 1, 3, 4, 2)
    planes = int(tensor.max()).bit_length()
    return np.stack([(tensor >> plane & 1).any(1) for plane in range(max(1, planes))], 1)


def _rows(live: np.ndarray, row_lanes: int) -> np.ndarray:
    """Live words of each row, `[samples, planes, height, width, groups]`."""
    groups = -(-live.shape[-1] // row_lanes)
    padded = np.zeros((*live.shape[:-1], groups * row_lanes), bool)
    padded[..., : live.shape[-1]] = live
    return padded.reshape(*live.shape[:-1], groups, row_lanes).sum(-1)


def _count(rows: np.ndarray, spec: LayerSpec, lines: int) -> np.ndarray:
    """Events, pairs by row and pairs by token of all outputs, mean over samples; an empty token costs one."""
    samples, _, height, width, _ = rows.shape
    reach = 1 if spec.kernel == 3 else 0
    padded = np.pad(rows, [(0, 0), (0, 0), (reach, reach + lines), (reach, reach), (0, 0)])
    total = np.zeros(3)
    for y in range(0, height, lines):
        for x in range(width):
            seen = padded[:, :, y : y + lines + 2 * reach, x : x + 1 + 2 * reach].reshape(samples, -1)
            events = seen.sum(1)
            for index, cycles in enumerate((events, ((seen + 1) // 2).sum(1), (events + 1) // 2)):
                total[index] += np.maximum(cycles, 1).mean()
    return total


def _packed(
    images: np.ndarray, network: Network, spec: LayerSpec, lines: int, row_lanes: int, drain_lanes: int
) -> Counts:
    """The first layer of still images with T neighbours of a line in a word, channels and planes in a row."""
    steps, planes = network.time_steps, network.input.bits
    bits = np.stack([images >> plane & 1 for plane in range(planes)], -1)  # [samples, C, H, W, planes]
    bits = bits.transpose(0, 2, 3, 4, 1).astype(bool)  # [samples, H, W, planes, C]
    samples, height, width = bits.shape[:3]
    padded = np.pad(bits, [(0, 0), (1, 1 + lines), (1, 1 + steps), (0, 0), (0, 0)])
    total = np.zeros(3)
    for y in range(0, height, lines):
        for x in range(0, width, steps):
            seen = [
                padded[:, y + ky, x + kx : x + kx + steps].any(1).reshape(samples, -1)
                for ky in range(lines + 2)
                for kx in range(3)
            ]
            counts = np.concatenate([_rows(words[:, None, None, None], row_lanes)[:, 0, 0, 0] for words in seen], 1)
            events = counts.sum(1)
            for index, cycles in enumerate((events, ((counts + 1) // 2).sum(1), (events + 1) // 2)):
                total[index] += np.maximum(cycles, 1).mean()
    drain = spec.height * spec.width * spec.outputs * steps / drain_lanes
    taken, row_pairs, token_pairs = total
    return Counts(f"{spec.name}, {steps} pixels a word", lines, taken, row_pairs, token_pairs, drain)


def main() -> None:
    """Print the counts of one model as a table."""
    parser = argparse.ArgumentParser(prog="design_counts", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("model", type=Path)
    for name, default in (("lanes", 128), ("row-lanes", 32), ("drain-lanes", 16), ("samples", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = vars(parser.parse_args())
    print(f"{'layer':28} lines   events  row pairs  token pairs   drain")
    for found in design_counts(asked.pop("model"), **asked):
        print(
            f"{found.layer:28} {found.lines:5} {found.events:8.0f} {found.row_pairs:10.0f} "
            f"{found.token_pairs:12.0f} {found.drain:7.0f}"
        )


if __name__ == "__main__":
    main()
