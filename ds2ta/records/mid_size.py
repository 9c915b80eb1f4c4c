# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network between the digits and the paper's, for a small board with an SDRAM, and for tests in every run.

    python -m ds2ta.records.mid_size OUT.safetensors

Its 2.3 Mbit of weights are 2.2 times the block RAM of an ECP5-25F, its samples are larger than the bank that the
rest of the network needs, and its channels are no whole number of tiles: it takes every way that the paper's
networks take, in seconds of simulation. It is random and alive (`ds2ta.records.paper_scale`) on recordings of
N-MNIST, those that `models/nmnist-tiny.safetensors` holds. Equal on every machine; takes 4 s.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ds2ta.errors import EXIT_USAGE, Ds2taError
from ds2ta.files import model_path
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, save_model
from ds2ta.network import InputSpec, Network, StemConv
from ds2ta.records.paper_scale import paper_scale_model

__all__ = ["MID_SIZE", "main", "mid_size_model"]

MID_SIZE = Network(
    name="mid-96",
    input=InputSpec(kind="frames", channels=2, height=34, width=34, bits=2),
    time_steps=4,
    stem=tuple(StemConv(channels=channels, pool=True) for channels in (24, 48, 96)),  # 34x34 pixels to 25 tokens
    embed_dim=96,
    heads=3,
    depth=4,
    hidden_dim=384,
    window=3,
    residual="add",
    classes=10,
)
_SOURCE = "nmnist-tiny"
_SAMPLES = 2


@functools.cache
def mid_size_model() -> IntegerModel:
    """The network with its weights, thresholds and samples."""
    source = load_model(model_path(_SOURCE))
    samples, labels = source.samples[:_SAMPLES], source.labels[:_SAMPLES]
    model = paper_scale_model(MID_SIZE, samples, labels, data="nmnist")
    return replace(model, provenance=model.provenance | {"made_by": "python -m ds2ta.records.mid_size"})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Exit code 2 and one line for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m ds2ta.records.mid_size", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("out", type=Path, help="model file to write")
    out = parser.parse_args(arguments).out
    try:
        model = mid_size_model()
        save_model(model, out)
    except Ds2taError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    weights = sum(layer.weight.size for layer in model.synapses.values())
    print(f"{out}: {weights} weights, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
