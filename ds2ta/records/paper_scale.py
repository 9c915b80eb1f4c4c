# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network of the paper's size that is alive, without training it.

    python -m ds2ta.records.paper_scale OUT.safetensors --data DIR [--network vit-4-384]

Weights are random, of 4 bits. Thresholds are settled layer by layer on one real sample, so that 15 % of a layer's
neurons fire in a time step, or as near below it as whole thresholds come: about what trained networks do, so that
cycles and events are of the right size. What it classifies means nothing. DIR holds the files of the data set that
the preset, or a file NET.yaml, is trained on. Equal seeds give equal files on every machine. vit-4-384 takes 16 s.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ds2ta.about import About
from ds2ta.errors import EXIT_USAGE, DataError, Ds2taError
from ds2ta.golden import slow
from ds2ta.golden.data.known import known_about
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.training.netfile import find_preset
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelfile import save_model, self_test_samples
from ds2ta.modelrules import MAX_PARAMETER
from ds2ta.network import LayerSpec, Network

__all__ = ["BITS", "FIRING", "main", "paper_scale_model"]

BITS = 4
TAU = 2
#: Share of a layer's neurons that fire, mean of all steps.
FIRING = 0.15


def paper_scale_model(
    network: Network,
    samples: np.ndarray,
    labels: np.ndarray,
    *,
    data: str | dict = "",
    seed: int = 0,
    about: About | None = None,
) -> IntegerModel:
    """A random model of that shape whose layers fire on the first of `samples`, which its file will hold, but for
    those that may not be passed on."""
    random = np.random.default_rng(seed)
    top = (1 << network.denoiser_bits) - 1
    synapses = {spec.name: _synapse(spec, network, random) for spec in network.layers()}
    # scores of up to two channels in a quarter of the entries; what is left keeps some of its size
    scores = np.arange(1, network.head_dim + 1)
    entries = np.clip((scores - 3) // 4 + 1, 0, min(15, top)) if network.nsad else scores
    table = np.tile(entries, (network.heads, 1)).astype(np.uint8)
    model = IntegerModel(
        network=network,
        synapses=synapses,
        denoisers=(table,) * network.depth,
        attention_threshold=(1,) * network.depth,
        samples=samples,
        labels=labels,
        provenance={
            "made_by": "python -m ds2ta.records.paper_scale",
            "network": network.name,
            "data": data,
            "seed": seed,
        },
        about=about or known_about(data, network),
    )
    for name in network.neuron_layers():
        model = _settled(model, name)
    if model.about.samples is not None and model.about.samples.pass_on is False:
        model = replace(model, samples=samples[:0], labels=labels[:0])
    return model


def _synapse(spec: LayerSpec, network: Network, random: np.random.Generator) -> Synapse:
    limit = (1 << (BITS - 1)) - 1
    coins = random.integers(0, 1 << 2 * limit, spec.weight_shape, np.uint16)  # without floats, for every machine
    weight = np.bitwise_count(coins).astype(np.int8) - np.int8(limit)
    windowed = spec.tasa and network.window > 1
    return Synapse(
        spec=spec,
        weight=weight,
        bias=np.zeros(spec.outputs, np.int64),
        threshold=None if spec.name == "head" else np.ones(spec.outputs, np.int64),
        bits=BITS,
        tau=TAU if windowed else 0,
        window=network.window if windowed else 1,
    )


def _with_threshold(model: IntegerModel, name: str, threshold: int) -> IntegerModel:
    if name.endswith(".attn"):
        block = int(name.split(".")[1])
        levels = list(model.attention_threshold)
        levels[block] = threshold
        return replace(model, attention_threshold=tuple(levels))
    layer = model.synapses[name]
    changed = replace(layer, threshold=np.full_like(layer.bias, threshold))
    return replace(model, synapses=model.synapses | {name: changed})


def _settled(model: IntegerModel, name: str) -> IntegerModel:
    """The model with the smallest threshold at which not more of a layer's neurons fire than shall. The layers
    before it have theirs already."""
    sums = np.asarray(IntegerNetwork(model).trace(model.samples[:1], inner=True)[f"{name}.sum"][0])
    layer = model.synapses.get(name)  # none for the neurons after A x V, which have no window
    currents = slow.tasa(sums, layer.tau, layer.window) if layer else sums
    shift = model.leak_shift(name)
    low, high = 1, int(slow.lif(currents, 0, MAX_PARAMETER, shift)[1].max()) + 1
    while low < high:
        middle = (low + high) // 2
        if slow.lif(currents, 0, middle, shift)[0].mean() > FIRING:
            low = middle + 1
        else:
            high = middle
    return _with_threshold(model, name, low)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit code 2 and one line for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m ds2ta.records.paper_scale", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("out", type=Path, help="model file to write")
    parser.add_argument("--data", type=Path, help="folder of the data set's files")
    parser.add_argument("--network", default="vit-4-384", help="a preset or a file NET.yaml; default: vit-4-384")
    parser.add_argument("--seed", type=int, default=0, help="of the weights; default: 0")
    found = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        preset = find_preset(found.network)
        data = load_data(preset.config.data, found.data)
        for line in data.notes:
            print(line, file=sys.stderr)
        if (data.input, data.classes) != (preset.network.input, preset.network.classes):
            raise DataError(
                f"data set {data.name}: its input or its classes ({data.classes}) are not those of network "
                f"{preset.network.name} ({preset.network.classes})"
            )
        count = self_test_samples(data.test_samples)
        model = paper_scale_model(
            preset.network,
            data.test_samples[:count],
            data.test_labels[:count],
            data=preset.config.model_dump(mode="json", exclude_none=True)["data"],
            about=data.about,
            seed=found.seed,
        )
        save_model(model, found.out)
    except Ds2taError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    weights = sum(layer.weight.size for layer in model.synapses.values())
    seconds = time.perf_counter() - started
    print(f"{found.out}: {weights} weights, {found.out.stat().st_size} bytes, {seconds:.0f} s")


if __name__ == "__main__":
    main()
