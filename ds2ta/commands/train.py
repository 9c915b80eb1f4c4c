# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Commands around training: `train`, `quantize`, and `bench-training` beside SpikingJelly."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ds2ta.extras import require

__all__ = ["app"]

app = typer.Typer()
_console = Console(width=None if sys.stdout.isatty() else 140)


@app.command()
def train(
    preset: Annotated[str, typer.Argument(help="A preset, such as digits-tiny, or a file NET.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the integer model; default: models/, of other seeds or bits build/trained/."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = True,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipe's.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    state: Annotated[Path | None, typer.Option(help="Float checkpoint; default: in build/train/.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bits: Annotated[int | None, typer.Option(help="Bits of a weight instead of the recipe's.")] = None,
    origin: Annotated[Path | None, typer.Option(help="STATE-float of a run, instead of a float phase.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Float checkpoint whose weights the float phase begins with.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Answers of a teacher, from `ds2ta teach`.")] = None,
    validation: Annotated[
        int | None,
        typer.Option(help="Training samples held out in place of the test samples, to choose recipes on."),
    ] = None,
) -> None:
    """Train a network, fine-tune it to integer weights, and write its integer model file."""
    from ds2ta.golden.training.release import train_preset

    path = train_preset(
        preset,
        out=out,
        checkpoint=state,
        resume=resume,
        seed=seed,
        folder=data,
        threads=threads,
        device=device,
        bits=bits,
        origin=origin,
        start=start,
        teacher=teacher,
        validation=validation,
        console=_console,
    )
    print(path)


@app.command()
def quantize(
    checkpoint: Annotated[Path, typer.Argument(help="Float checkpoint of `ds2ta train` or `ds2ta import`.")],
    out: Annotated[
        Path | None, typer.Argument(help="Integer model file; default: build/quantized/NAME.safetensors.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    bits: Annotated[
        int | None, typer.Option(help="Quantize without training, to weights of so many bits, 2 to 8.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="With --bits: training samples for calibration; default: 512.")
    ] = None,
) -> None:
    """Turn a float checkpoint into an integer model file: that of a finished run as it is; with --bits any, by
    calibration on some training samples."""
    from ds2ta.golden.training.release import quantize_file

    path, model = quantize_file(checkpoint, out, folder=data, bits=bits, count=samples, console=_console)
    about = model.provenance
    before = about["float_accuracy"]
    told = "" if before is None else f"{before:.2f} % in float, "
    print(path)
    print(f"{told}{about['integer_accuracy']:.2f} % as integers, of {about['test_samples']} held-out samples")


@app.command()
def teach(
    data_set: Annotated[str, typer.Argument(help="A data set of images, such as cifar10.")],
    out: Annotated[Path, typer.Argument(help="File for the answers, for `ds2ta train --teacher`.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    views: Annotated[int, typer.Option(min=1, help="Augmented copies of each training image.")] = 16,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the teacher.")] = 10,
    crop: Annotated[int, typer.Option(min=0, help="Largest shift of a view, pixels.")] = 4,
    flip: Annotated[bool, typer.Option(help="Views may be mirrored.")] = True,
    validation: Annotated[
        int, typer.Option(min=1, help="Training samples that the teacher is not trained but measured on.")
    ] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the teacher.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 1,
) -> None:
    """Train a small convolutional network without spikes, and write its answers to augmented training images."""
    from ds2ta.golden.training.release import teach_file

    recipe = {"epochs": epochs, "validation": validation, "seed": seed, "threads": threads}
    teach_file(data_set, out, folder=data, views=views, crop=crop, flip=flip, console=_console, **recipe)
    print(out)


@app.command("bench-training")
def bench_training(
    preset: Annotated[
        list[str] | None, typer.Option(help="Preset whose baseline is trained; repeat for more.")
    ] = None,
    precision: Annotated[list[str] | None, typer.Option(help="float32 or bfloat16; repeat for both.")] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, help="Threads; repeat for more.")] = None,
    batch: Annotated[int, typer.Option(min=2, help="Images of a step.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Steps of each side; medians count.")] = 9,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    compiled: Annotated[bool, typer.Option(help="torch.compile, on both sides.")] = True,
    golden: Annotated[Path | None, typer.Option(help="Integer model for images/s; default: untrained.")] = None,
    out: Annotated[Path, typer.Option(help="JSON file for all rows.")] = Path("build/training.json"),
) -> None:
    """Time training steps and evaluation beside SpikingJelly's modules, in turns; and the integer golden model."""
    require("torch", "loguru")
    from ds2ta.records.training_speed import measure_training

    measure_training(
        preset or ["cifar-ecp5"],
        precisions=precision or ["float32", "bfloat16"],
        threads=threads or [1],
        batch=batch,
        rounds=rounds,
        device=device,
        compiled=compiled,
        golden=golden,
        out=out,
        command=" ".join(["ds2ta", *sys.argv[1:]]),
        console=_console,
    )
