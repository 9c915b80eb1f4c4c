# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The paper's own networks for tests: random, alive on a sample that is made; and what a test of them hangs on."""

import ast
import hashlib
from pathlib import Path

import numpy as np

from ds2ta.golden.training.netfile import find_preset
from ds2ta.model import IntegerModel
from ds2ta.network import Network
from ds2ta.records.paper_scale import paper_scale_model

__all__ = ["NETWORKS", "code_of", "paper_model"]

TOP = Path(__file__).resolve().parents[1]
NETWORKS = ("vit-4-384", "vit-2-256")
_MODELS = ("golden/slow.py", "ds2ta/records/paper_scale.py")


def code_of(*places: str) -> str:
    """SHA-256 over programs, by pattern, and those that make the models, without comments and docstrings."""
    found = hashlib.sha256()
    for path in (path for place in (*places, *_MODELS) for path in sorted(TOP.glob(place))):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                node.body.pop(0)
        found.update(f"{path.relative_to(TOP)}\0{ast.dump(tree)}\0".encode())
    return found.hexdigest()


def _sample_of(network: Network) -> np.ndarray:
    """Waves and noise for an image; for frames, pixels of which one in 25 has seen some events."""
    generator, spec = np.random.default_rng(0), network.input
    shape, top = (1, *network.sample_shape), (1 << network.input.bits) - 1
    if spec.kind == "frames":
        return (generator.random(shape) < 0.04).astype(np.uint8) * generator.integers(1, top, shape, np.uint8)
    y, x = np.mgrid[: spec.height, : spec.width]
    waves = [1 + np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(spec.channels)]
    return (top / 2 * np.stack(waves)[None] + generator.normal(0, 12, shape)).clip(0, top).astype(np.uint8)


def paper_model(name: str) -> IntegerModel:
    """One of `NETWORKS`, with that sample."""
    network = find_preset(name).network
    return paper_scale_model(network, _sample_of(network), np.zeros(1, np.int64))
