# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The figures' arrays against the slow model, the files that are promised, and equal files for equal input."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from float_networks import batch, build, labels

from ds2ta.errors import Ds2taError, ModelFileError, NetworkError
from ds2ta.golden import slow
from ds2ta.golden.figures import _over, denoiser_figure, draw
from ds2ta.golden.plot import curves, head_maps, picture_of, plot, score_shares, token_step
from ds2ta.golden.quantize import quantize
from ds2ta.golden.random_model import random_model
from ds2ta.golden.training.checkpoint import Checkpoint, save_checkpoint

EVENTS = {"kind": "frames", "depth": 2, "time_steps": 3, "max_heads": 3}
SMALL = {"kind": "image", "depth": 1, "time_steps": 2, "max_heads": 2, "channels": 3}
ROWS = [
    {
        "model": name,
        "bits": bits,
        "integer_accuracy": accuracy,
        "float_accuracy": 99.0,
        "test_samples": 300,
        "data": "blobs",
    }
    for name, bits, accuracy in (("random", 4, 98.0), ("random", 2, 96.5), ("other", 3, 10.0))
]


@pytest.fixture(scope="module")
def events():
    return random_model(np.random.default_rng(11), **EVENTS)


def drawn(model, folder, **options) -> dict[str, bytes]:
    paths = plot(model, model.samples, model.labels, folder=folder, **options)
    assert sorted(paths) == sorted(folder.iterdir())
    return {path.name: path.read_bytes() for path in paths}


def test_promised_files(events, tmp_path):
    names = {f"random-{part}-block{block}.svg" for part in ("attention", "maps", "denoisers") for block in range(2)}
    found = drawn(events, tmp_path / "a", kind="svg", bits=ROWS)
    assert set(found) == names | {"random-bits.svg"}
    for content in found.values():
        assert ElementTree.fromstring(content).tag.endswith("svg")
        assert b"matplotlib" not in content.split(b"<defs>")[0], "a version or a date in the metadata"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_another_process_and_another_taste_give_the_same_bytes(kind, tmp_path):
    """Hashes of strings differ from process to process, and a matplotlibrc may lie about."""
    model = random_model(np.random.default_rng(11), **SMALL)
    ours = drawn(model, tmp_path / "ours", kind=kind, bits=ROWS[1:])
    assert set(ours) == {f"random-{part}-block0.{kind}" for part in ("attention", "maps", "denoisers")}, (
        "a row is no curve"
    )
    assert all(content.startswith(b"\x89PNG") == (kind == "png") for content in ours.values())
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 5\naxes.facecolor: yellow\n")
    program = (
        "import numpy as np, pathlib\n"
        "from ds2ta.golden.plot import plot\n"
        "from ds2ta.golden.random_model import random_model\n"
        f"model = random_model(np.random.default_rng(11), **{SMALL!r})\n"
        f"plot(model, model.samples, model.labels, folder=pathlib.Path('theirs'), kind={kind!r})\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, env={**os.environ, "PYTHONHASHSEED": "77"}
    )
    theirs = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}
    assert theirs == ours


def test_maps_are_those_of_the_slow_model(events):
    network, sample = events.network, events.samples[1]
    trace = slow.run(events, sample)
    found = head_maps(network, {name: value[None] for name, value in trace.items()}, 1)
    height, width = network.grid
    for head, maps in enumerate(found):
        for name in ("score", "denoised"):
            whole = trace[f"block.1.{name}"]
            for y in range(height):
                for x in range(width):
                    column = [
                        whole[t, head, query, y * width + x]
                        for t in range(network.time_steps)
                        for query in range(network.tokens)
                    ]
                    assert getattr(maps, name)[y, x] == pytest.approx(sum(column) / len(column))
        assert maps.score_zeros == pytest.approx(np.mean(trace["block.1.score"][:, head] == 0))
        assert maps.denoised_zeros == pytest.approx(np.mean(trace["block.1.denoised"][:, head] == 0))


def test_shares_of_scores_are_those_of_the_slow_model(events):
    shares = score_shares(events, events.samples)
    for block in range(2):
        scores = np.stack([slow.run(events, sample)[f"block.{block}.score"] for sample in events.samples])
        for head in range(events.network.heads):
            for score in range(events.network.head_dim + 1):
                assert shares[block][head][score] == pytest.approx(np.mean(scores[:, :, head] == score))


def test_pictures():
    frames = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.testing.assert_allclose(picture_of(frames), frames.sum(axis=(0, 1)) / frames.sum(axis=(0, 1)).max())
    colours = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
    np.testing.assert_allclose(picture_of(colours)[1, 0], colours[:, 1, 0] / 11)
    assert not picture_of(np.zeros((1, 4, 4), np.uint8)).any()


@pytest.mark.parametrize(("size", "pools"), [(8, 1), (9, 1), (9, 2), (7, 0), (34, 3)])
def test_a_token_lies_over_the_pixels_that_it_is_pooled_from(size, pools):
    """Each pixel is covered by the colours of tokens whose pools have seen it."""
    network = random_model(np.random.default_rng(0), depth=0).network
    stem = tuple(network.stem[-1].model_copy(update={"pool": index < pools}) for index in range(max(pools, 1)))
    network = network.model_copy(
        update={"stem": stem, "input": network.input.model_copy(update={"height": size, "width": size})}
    )
    tokens = network.grid[0]
    seen = [{index} for index in range(size)]
    for _ in range(pools):
        ends = range((len(seen) + 1) // 2)
        seen = [set().union(*seen[max(2 * index - 1, 0) : 2 * index + 2]) for index in ends]
    assert len(seen) == tokens
    colours = np.tile(np.arange(tokens, dtype=float)[:, None, None], (1, tokens, 3))
    over = _over(np.ones((size, size)), colours, token_step(network))
    assert over.shape == (2 * size, 2 * size, 3)
    for dot in range(2 * size):
        assert dot // 2 in seen[round(over[dot, 0, 0])]
    assert {round(value) for value in over[:, 0, 0]} == set(range(tokens))


@pytest.fixture
def trained(tmp_path):
    """A float network with denoisers of its own, its checkpoint and its model."""
    network = build(seed=4)
    with torch.no_grad():
        for denoiser in network.denoisers:
            denoiser.b.copy_(torch.tensor([0.05, -0.1]))
            denoiser.d.fill_(2.0)
    path = tmp_path / "run.safetensors"
    save_checkpoint(Checkpoint(network, {"epochs": 1, "seconds": 0.0}), path)
    samples = batch(network, count=3)
    return network, path, quantize(network, samples=samples.numpy(), labels=labels(samples))


def test_curves_are_the_formula_of_the_paper(trained):
    network, path, model = trained
    axis, found = curves(model, path, points=65)
    for block, denoiser in enumerate(network.denoisers):
        for head in range(2):
            a, b, c, d, e, u = (getattr(denoiser, name)[head].item() for name in "abcdeu")
            for score, value in zip(axis, found[block][head], strict=True):
                wanted = a * score + b * (score - c) ** 2 + d / (1 + math.exp(score - e)) if score > u else 0.0
                assert value == pytest.approx(min(max(wanted, 0.0), 63.0))
            at = [index for index, score in enumerate(axis) if score == int(score) >= 1]
            table = [math.floor(found[block][head][index] + 0.5) for index in at]
            assert table == model.denoisers[block][head].tolist()


def test_a_checkpoint_of_another_model_is_refused(trained, events, tmp_path):
    _, path, model = trained
    with pytest.raises(ModelFileError, match="another network"):
        curves(events, path)
    tables = [table.copy() for table in model.denoisers]
    tables[1][0, 3] ^= 1
    with pytest.raises(ModelFileError, match=r"table of block 1, head 0 is not the model's"):
        curves(replace(model, denoisers=tuple(tables)), path)
    plain = build(seed=1, nsad=False)
    save_checkpoint(Checkpoint(plain, {"epochs": 1, "seconds": 0.0}), path)
    samples = batch(plain, count=1)
    with pytest.raises(ModelFileError, match="has no NSAD"):
        curves(quantize(plain, samples=samples.numpy(), labels=labels(samples)), path)


def test_with_the_formula_behind(trained):
    _, path, model = trained
    axis, found = curves(model, path)
    tables, shares = np.pad(model.denoisers[0], ((0, 0), (1, 0))), score_shares(model, model.samples)[0]
    with_it, without = (
        draw(denoiser_figure, "title", tables, shares, formula, kind="svg") for formula in ((axis, found[0]), None)
    )
    assert b"learned formula" in with_it  # the SVG names the text that its outlines draw
    assert b"learned formula" not in without


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pdf"}, "--format pdf: must be one of png, svg"),
        ({"sample": 3}, "--sample 3: the data set has held-out samples 0..2"),
        ({"sample": -1}, "--sample -1: "),
        ({"checkpoint": "nowhere"}, "no such checkpoint"),
    ],
)
def test_mistakes_write_nothing(options, message, events, tmp_path):
    with pytest.raises(Ds2taError, match=message) as raised:
        plot(events, events.samples, events.labels, folder=tmp_path / "out", **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_and_a_network_without_map(events, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Ds2taError, match="is a file"):
        plot(events, events.samples, events.labels, folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    flat = random_model(np.random.default_rng(1), depth=0)
    with pytest.raises(NetworkError, match="no block"):
        plot(flat, flat.samples, flat.labels, folder=tmp_path / "out")
