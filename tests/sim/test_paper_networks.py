# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The paper's own networks on the machines that an ECP5-85F with an SDRAM holds: random weights that are alive, one
sample, every layer, every kept score, every counter, waits for the memory included."""

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden.training.netfile import find_preset
from ds2ta.network import Network
from ds2ta.records.paper_scale import paper_scale_model
from ds2ta.sim.verify import verify

TOP = Path(__file__).resolve().parents[2]
NETWORKS = ("vit-4-384", "vit-2-256")


def programs_without_words() -> str:
    """SHA-256 over what makes a machine, a program and their models, without comments and docstrings."""
    found = hashlib.sha256()
    files = [path for folder in ("hw", "gateware") for path in sorted((TOP / folder).glob("*.py"))]
    for path in (*files, TOP / "golden" / "slow.py", TOP / "ds2ta" / "records" / "paper_scale.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                node.body.pop(0)
        found.update(f"{path.relative_to(TOP)}\0{ast.dump(tree)}\0".encode())
    return found.hexdigest()


def sample_of(network: Network) -> np.ndarray:
    """Waves and noise for an image; for frames, pixels of which one in 25 has seen some events."""
    generator, spec = np.random.default_rng(0), network.input
    shape, top = (1, *network.sample_shape), (1 << network.input.bits) - 1
    if spec.kind == "frames":
        return (generator.random(shape) < 0.04).astype(np.uint8) * generator.integers(1, top, shape, np.uint8)
    y, x = np.mgrid[: spec.height, : spec.width]
    waves = [1 + np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(spec.channels)]
    return (top / 2 * np.stack(waves)[None] + generator.normal(0, 12, shape)).clip(0, top).astype(np.uint8)


@pytest.mark.long(on=programs_without_words)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_and_cycle(name):
    network = find_preset(name).network
    model = paper_scale_model(network, sample_of(network), np.zeros(1, np.int64))
    machine, program = fit(model, **MACHINES[name])
    (seen,) = verify(model, machine, program, model.samples)
    assert seen.difference is None
    assert machine.streams
    assert sum(item.waits for item in seen.result.passes) > 0
    bands = [item for item in program.instructions if item.name == "stem.0"]
    assert len(bands) == (5 if name == "vit-2-256" else 1)
