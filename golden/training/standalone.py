# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Training on a machine that has torch, numpy and safetensors, nothing else: `make pack` puts it into one file.

    python ds2ta-train.pyz PRESET --data DIR --state FILE [--device cuda] [--minutes 9]

The state that it leaves is the one of `ds2ta train`: either goes on from the other's, and
`ds2ta quantize STATE OUT` makes the integer model. Under torchrun, several processes train together.
"""

import argparse
import sys
from pathlib import Path

from ds2ta.errors import Ds2taError
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training.presets import PRESETS
from ds2ta.golden.training.processes import check_device, is_first, joined
from ds2ta.golden.training.recipe import adjusted, phases
from ds2ta.golden.training.run import make_folders
from ds2ta.golden.training.train import train

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """The command line. Exit code 2 and one line for bad input; a run that is not done yet says so and exits 0."""
    parser = argparse.ArgumentParser(prog="ds2ta-train", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("--data", type=Path, help="folder of the data set's files")
    parser.add_argument("--state", type=Path, required=True, help="float checkpoint, continued where it is there")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="threads instead of the recipe's")
    parser.add_argument("--seed", type=int, help="seed instead of the recipe's")
    parser.add_argument("--teacher", type=Path, help="answers of a teacher, from ds2ta teach")
    parser.add_argument("--minutes", type=float, help="stop and save after so long")
    found = parser.parse_args(arguments)
    try:
        _train(found)
    except Ds2taError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"error: preset {found.preset} needs package {error.name}, which is not installed", file=sys.stderr)
        sys.exit(2)


def _train(found: argparse.Namespace) -> None:
    preset = PRESETS[found.preset]
    config = adjusted(preset.config, seed=found.seed, threads=found.threads)
    check_device(found.device)
    data = load_data(config.data, found.data)
    make_folders(found.state.parent)
    command = f"ds2ta-train.pyz {found.preset}" + ("" if found.data is None else " --data DIR")
    command += "" if found.seed is None else f" --seed {found.seed}"
    command += "" if found.device == "cpu" else f" --device {found.device}"

    def report(epoch: float, total: int, text: str) -> None:
        if epoch == int(epoch):
            print(f"{found.preset}: epoch {epoch:.0f} of {total}: {text}", flush=True)

    with joined(found.device) as device:
        done = train(
            preset.network,
            config,
            data=data,
            path=found.state,
            resume=True,
            teacher=found.teacher,
            minutes=found.minutes,
            device=device,
            report=report,
            command=command,
        ).progress
        total = sum(phase.epochs for phase in phases(config))
        if is_first():
            left = "done" if done["epochs"] == total else f"{done.get('steps', 0)} steps of the next; not done yet"
            print(f"{found.state}: {done['epochs']} of {total} epochs, {left}")
