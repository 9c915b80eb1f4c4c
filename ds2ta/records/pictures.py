# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The pictures of the documents, each made from the design, a model or a record: `make pictures`.

    python -m ds2ta.records.pictures [FOLDER]

`docs/pictures/demo.svg` is made by `ds2ta demo --svg`. Tests hold all of them to what they show.
"""

import sys
import warnings
from pathlib import Path

from ds2ta.files import DOCS, SHIPPED, demand_checkout, model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden.figures import cycles_figure, draw, map_figure
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.golden.plot import map_title
from ds2ta.modelfile import load_model, model_digest
from ds2ta.records.diagram import block_diagram
from ds2ta.records.rtl_runs import read_runs

__all__ = ["FOLDER", "MAPS", "PICTURES", "attention", "blocks", "cycles", "cycles_source"]

FOLDER = DOCS / "pictures"
#: The model, the sample that it carries and the block of the picture of attention maps.
MAPS = ("cifar-ecp5", 3, 1)


def blocks() -> str:
    """The block diagram, of the machine of the smallest model."""
    machine, _ = fit(load_model(model_path(SHIPPED[0])), **MACHINES[SHIPPED[0]])
    return block_diagram(machine)


def cycles() -> str:
    """Cycles of each pass of the shipped models, from the record of runs of the Verilog."""
    runs = read_runs()
    shown = {_title(runs[name]): runs[name]["passes"] for name in SHIPPED if name in runs}
    return draw(cycles_figure, shown, kind="svg", description=cycles_source()).decode()


def cycles_source() -> str:
    """What the picture of cycles was made from, as its description says it."""
    passes = {
        name: [f"{item['pass']} {item['cycles']:.0f}" for item in run["passes"]]
        for name, run in read_runs().items()
    }
    return "; ".join(f"{name}: {', '.join(passes[name])}" for name in sorted(passes))


def _title(run: dict) -> str:
    return (
        f"{run['model']}, {run['lanes']} x {run['time_steps']} lanes: {run['cycles']['mean']:,.0f} cycles\n"
        f"mean of {run['samples']} samples"
    )


def attention() -> str:
    """Attention maps before and after NSAD, of a sample that the model carries."""
    name, sample, block = MAPS
    model = load_model(model_path(name))
    trace = IntegerNetwork(model).trace(model.samples[[sample]])
    maps = (trace[f"block.{block}.{part}"][0].numpy() for part in ("score", "denoised"))
    title = map_title(model, block, f"sample {sample} of the model file")
    return draw(map_figure, title, *maps, kind="svg", description=model_digest(model)).decode()


#: File -> what draws it.
PICTURES = {"blocks.svg": blocks, "cycles.svg": cycles, "attention.svg": attention}


def main(folder: Path = FOLDER) -> None:
    """Draw `PICTURES` into a folder."""
    if folder == FOLDER:
        demand_checkout("pictures")
    warnings.filterwarnings("ignore", message=".* created but never used")  # blocks that are sized, not elaborated
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        (folder / name).write_text(picture())
        print(folder / name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
