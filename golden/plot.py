# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What `ds2ta plot` draws: the arrays of each figure, from a model, its data set and a checkpoint."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from ds2ta.errors import DataError, ModelFileError, NetworkError
from ds2ta.golden.data.sets import spread
from ds2ta.golden.figures import FORMATS, HeadMap, attention_figure, bits_figure, denoiser_figure, draw, map_figure
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.model import IntegerModel
from ds2ta.network import Network

__all__ = ["curves", "head_maps", "map_title", "picture_of", "plot", "score_shares", "token_step"]

SHARED = 200  # samples whose scores are counted behind the denoisers


def plot(
    model: IntegerModel,
    samples: np.ndarray,
    labels: np.ndarray,
    *,
    folder: Path,
    kind: str = "png",
    sample: int = 0,
    checkpoint: Path | None = None,
    bits: Iterable[Mapping] = (),
) -> list[Path]:
    """Write all figures of a model into `folder`: `NAME-attention-block0.png`, `NAME-maps-block0.png` and
    `NAME-denoisers-block0.png` for each block, and, from rows of accuracy against bits of this network, if there
    are at least two, `NAME-bits.png`. Raises an error of the `Ds2taError` family before anything is written."""
    network, name = model.network, model.network.name
    if kind not in FORMATS:
        raise DataError(f"--format {kind}: must be one of {', '.join(FORMATS)}")
    if not 0 <= sample < len(samples):
        raise DataError(f"--sample {sample}: the data set has held-out samples 0..{len(samples) - 1}")
    if not network.depth:
        raise NetworkError(f"{name}: has no block, and so no attention map to draw")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out {folder}: is a file, give a folder")
    learned = None if checkpoint is None else curves(model, checkpoint)
    trace = {key: value.numpy() for key, value in IntegerNetwork(model).trace(samples[[sample]]).items()}
    counted = samples[spread(len(samples), SHARED)]
    answer, shares = int(trace["logits"][0].argmax()), score_shares(model, counted)
    drawn = {}
    for block in range(network.depth):
        title = (
            f"{name}, block {block} of {network.depth}: attention over held-out sample {sample} "
            f"(label {labels[sample]}, classified as {answer})\n"
            f"colour: entry of the map for each key token, mean of {network.tokens} queries and "
            f"{network.time_steps} time steps"
        )
        heads = head_maps(network, trace, block)
        caption = "the sample" if network.input.kind == "image" else "the sample, all frames summed"
        arguments = (title, caption, picture_of(samples[sample]), token_step(network), heads)
        drawn[f"attention-block{block}"] = draw(attention_figure, *arguments, kind=kind)
        title = map_title(model, block, f"held-out sample {sample}")
        maps = (trace[f"block.{block}.{part}"][0] for part in ("score", "denoised"))
        drawn[f"maps-block{block}"] = draw(map_figure, title, *maps, kind=kind)
        title = (
            f"{name}, block {block} of {network.depth}: the learned denoiser (NSAD) of each head\n"
            f"grey: how often a score occurs in {len(counted)} held-out samples"
        )
        tables = np.pad(model.denoisers[block], ((0, 0), (1, 0)))
        formula = None if learned is None else (learned[0], learned[1][block])
        drawn[f"denoisers-block{block}"] = draw(denoiser_figure, title, tables, shares[block], formula, kind=kind)
    rows = [row for row in bits if row["model"] == name]
    if len(rows) > 1:
        title = f"{name}: accuracy against bits, {rows[0]['test_samples']} held-out samples of {rows[0]['data']}"
        drawn["bits"] = draw(bits_figure, title, rows, kind=kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}-{part}.{kind}" for part in drawn]
        for path, content in zip(paths, drawn.values(), strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise DataError(f"--out {folder}: cannot be written ({error.strerror})") from None
    return paths


def map_title(model: IntegerModel, block: int, sample: str) -> str:
    """Title of `map_figure`."""
    network = model.network
    return (
        f"{network.name}, block {block} of {network.depth}: attention maps of {sample}\n"
        f"sum of {network.time_steps} time steps; white: zero in all of them"
    )


def picture_of(sample: np.ndarray) -> np.ndarray:
    """A sample as a picture, 0..1: RGB where it has three channels, else the sum of channels; frames are summed."""
    found = sample.astype(np.float64)
    found = found.sum(axis=0) if found.ndim == 4 else found
    found = found.transpose(1, 2, 0) if len(found) == 3 else found.sum(axis=0)
    return found / (found.max() or 1.0)


def token_step(network: Network) -> int:
    """Pixels from the middle of a token to the next. A 3x3 pool of stride 2 with padding 1 leaves token 0 centred
    on pixel 0, so the middle of token n is pixel `n * step`."""
    return 2 ** sum(conv.pool for conv in network.stem)


def head_maps(network: Network, trace: Mapping[str, np.ndarray], block: int) -> list[HeadMap]:
    """The maps of a block, from the trace of one sample (batch axis first)."""
    score, denoised = (trace[f"block.{block}.{name}"][0] for name in ("score", "denoised"))  # [T, H, N, N]
    return [
        HeadMap(
            score=score[:, head].mean(axis=(0, 1)).reshape(network.grid),
            denoised=denoised[:, head].mean(axis=(0, 1)).reshape(network.grid),
            score_zeros=float((score[:, head] == 0).mean()),
            denoised_zeros=float((denoised[:, head] == 0).mean()),
        )
        for head in range(network.heads)
    ]


def score_shares(model: IntegerModel, samples: np.ndarray) -> list[np.ndarray]:
    """By block, the share of each score 0..d in each head's maps, `[heads, d + 1]`."""
    network = model.network
    trace = IntegerNetwork(model).trace(samples)
    found = []
    for block in range(network.depth):
        score = trace[f"block.{block}.score"].numpy().swapaxes(0, 2)
        counts = [np.bincount(own.ravel(), minlength=network.head_dim + 1) for own in score]
        found.append(np.array(counts) / score[0].size)
    return found


def curves(model: IntegerModel, path: Path, points: int = 401) -> tuple[np.ndarray, list[np.ndarray]]:
    """Scores `[points]` from 0 to d and, by block, the learned formula `[heads, points]`, clamped and not rounded,
    of the checkpoint that the model was exported from: `ModelFileError` where its tables are others."""
    network, made = model.network, load_checkpoint(path).network.double()
    if made.network != network:
        raise ModelFileError(f"{path}: a checkpoint of another network than {network.name}")
    if not network.nsad:
        raise ModelFileError(
            f"{path}: {network.name} has no NSAD, so no formula was learned; leave out --checkpoint"
        )
    axis, found = torch.linspace(0.0, float(network.head_dim), points, dtype=torch.float64), []
    for block in range(network.depth):
        denoiser = made.denoiser(block)
        wrong = np.flatnonzero((denoiser.table().numpy() != model.denoisers[block]).any(axis=1))
        if len(wrong):
            raise ModelFileError(
                f"{path}: the table of block {block}, head {wrong[0]} is not the model's; give the checkpoint that "
                "the model was exported from"
            )
        with torch.no_grad():
            found.append(denoiser.formula(axis.expand(network.heads, 1, -1))[:, 0].numpy())
    return axis.numpy(), found
