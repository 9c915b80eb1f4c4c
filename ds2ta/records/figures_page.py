# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`docs/figures.md` and the README's table of results, made from what is on record, so that they cannot go stale
unseen.

The commands that keep records renew both pages: `bench`, `build`, `verify` and `results` with `--record`. A test
renders them again, and checks that what is on record belongs to the sources and the models at hand.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ds2ta.files import DOCS, ROOT, SHIPPED
from ds2ta.model import IntegerModel
from ds2ta.records.boards import board_table, read_boards
from ds2ta.records.designs import figures_digest
from ds2ta.records.markdown import fill, table
from ds2ta.records.results import shipped_models
from ds2ta.records.rtl_runs import read_runs

__all__ = ["BLOCKS", "FIGURES", "PAGES", "Recorded", "read_figures", "render_page", "renew_pages", "write_figures"]

FIGURES = DOCS / "figures.json"
#: Page -> its regions that are rendered.
PAGES = {ROOT / "README.md": ("results",), DOCS / "figures.md": ("models", "work", "boards", "blocks", "area")}

#: (paper, block, instance in `gateware.blocks`, stem, latency in cycles)
BLOCKS = (
    ("direct encoding", "input encoder", "encoder", "encoder", "1 after the last byte of a word"),
    ("SPS: patches; linear layers", "gather", "gather", "gather", "1"),
    ("", "row reader", "reader", "row_reader", "2"),
    ("spike sparsity", "zero skip", "zero_skip", "zero_skip", "3"),
    ("eq. 1: sum over j", "synaptic engine", "engine", "engine", "3"),
    ("eq. 1, 4, 5: TASA", "barrel-shift TASA accumulator", "tasa", "tasa", "T_AW - 1 (multipliers: 2)"),
    ("batch norm, folded", "parameter fetch", "parameters", "parameters", "0 (long pipeline: 1)"),
    ("eq. 2, 3: LIF", "LIF array", "lif", "lif", "1"),
    ("", "word packer", "packer", "packer", "1"),
    ("", "row walker", "walker", "walker", "1"),
    ("residual connections; SPS: max-pool", "residual and pool", "residual", "residual", "1 + plane or window"),
    ("self-attention", "attention unit, all of the next rows", "attention", "attention", "exact model"),
    ("Q, K", "pair fetch", "attention/pairs", "pairs", "head rows + 1"),
    ("S = Q K^T", "bit-serial QK^T popcount", "attention/score", "score", "2"),
    ("eq. 6, 7: NSAD", "denoiser, with the NSAD LUT ROMs", "attention/denoiser", "denoiser", "1 a kept score"),
    ("", "of it: per-head NSAD LUT ROMs", "attention/denoiser/table", "nsad_table", "1"),
    ("map sparsity", "entry lists", "attention/lists", "lists", "1"),
    ("A V, LIF", "A x V accumulator", "attention/accumulator", "av", "2"),
    ("classification head", "classifier head", "head", "head", "3"),
    ("", "sequencer", "sequencer", "sequencer", "words of an instruction, then 1"),
    ("", "stores (weights)", "weight_store", "store", "1"),
    ("", "spike banks", "bank_a", "bank", "1"),
)


@dataclass(frozen=True)
class Recorded:
    """All that the pages show."""

    figures: Mapping
    boards: Mapping[str, Mapping]
    runs: Mapping[str, Mapping]
    models: Mapping[str, IntegerModel]

    @classmethod
    def read(cls) -> "Recorded":
        """What is on record now."""
        return cls(read_figures(), read_boards(), read_runs(), shipped_models())


def read_figures() -> dict:
    """The figures of `ds2ta bench`."""
    return json.loads(FIGURES.read_text())


def write_figures(figures: dict) -> None:
    """Store the figures of `ds2ta bench`."""
    FIGURES.write_text(json.dumps({"sources": figures_digest(), **figures}, indent=1) + "\n")


def renew_pages() -> None:
    """Make the tables of both pages anew."""
    found = Recorded.read()
    for page in PAGES:
        page.write_text(render_page(page.read_text(), PAGES[page], found))


def render_page(text: str, regions: Sequence[str], found: Recorded) -> str:
    """A page with these regions made from what is on record."""
    tables = {
        "results": _results_table,
        "models": _models_table,
        "work": _work_table,
        "boards": lambda found: board_table(found.boards.values()),
        "blocks": _blocks_table,
        "area": _area_table,
    }
    for region in regions:
        text = fill(text, region, tables[region](found))
    return text


def _results_table(found: Recorded) -> list[str]:
    """Seven lines, a column for each shipped model."""
    names = [name for name in SHIPPED if name in found.runs]
    runs, about = [found.runs[name] for name in names], [found.models[name].provenance for name in names]
    boards = [_fastest(found, name) for name in names]
    work = {item["model"]: item for item in found.figures["work"]}
    rows = [
        ("data set", *(_TITLES[item["data"]] for item in about)),
        ("accuracy: float, integer, %", *(_accuracies(item) for item in about)),
        ("Verilog equal to golden", *(f"{run['samples'] - run['mismatches']} of {run['samples']}" for run in runs)),
        ("lanes P x T", *(f"{run['lanes']} x {run['time_steps']}" for run in runs)),
        ("cycles a sample, mean", *(f"{run['cycles']['mean']:,.0f}" for run in runs)),
        (
            "event slots used, additions done, %",
            *(f"{work[name]['slots_percent']:.0f}, {work[name]['done_percent']:.0f}" for name in names),
        ),
        ("routed, fastest board", *(_routed(board) for board in boards)),
    ]
    return table(("", *(f"`{name}`" for name in names)), rows)


_TITLES = {"digits": "digits, 8x8", "cifar10": "CIFAR-10", "nmnist": "N-MNIST"}


def _accuracies(about: Mapping) -> str:
    return f"{about['float_accuracy']:.2f}, {about['integer_accuracy']:.2f}"


def _fastest(found: Recorded, model: str) -> Mapping | None:
    """The record of the board that runs a model fastest."""
    boards = (board for board in found.boards.values() if board["model"] == model)
    return max(boards, key=lambda board: board["images_per_second"], default=None)


def _routed(board: Mapping | None) -> str:
    if board is None:
        return "-"
    title, clock = board["title"].partition(" (")[0], board["timing"]["clock_hz"] / 1e6
    return f"{title}, {clock:g} MHz: {board['images_per_second']:,.0f} images/s"


def _models_table(found: Recorded) -> list[str]:
    figures = found.figures
    header = ("", *(item["model"] for item in figures["accuracy"]))
    cycles, accuracy, speed = figures["cycles"], figures["accuracy"], figures["speed"]
    rows = [
        ("float accuracy, %", *(f"{item['float']:.2f}" for item in accuracy)),
        ("integer accuracy, %", *(f"{item['integer']:.2f}" for item in accuracy)),
        ("RTL accuracy, %", *(f"{item['accuracy']:.2f}" for item in speed)),
        ("held-out images", *(item["images"] for item in accuracy)),
        ("lanes P x T", *(f"{item['lanes']} x {item['time_steps']}" for item in cycles)),
        ("cycles an image (mean)", *(f"{item['cycles_per_image']:.0f}" for item in cycles)),
        ("event slots used, %", *(f"{item['slots_percent']:.1f}" for item in cycles)),
        ("of peak on dense input, %", *(f"{item['dense_percent_of_peak']:.1f}" for item in cycles)),
        ("longest pass", *(item["longest_pass"] for item in cycles)),
        ("cycle model exact", *("yes" if item["cycle_model_exact"] else "NO" for item in cycles)),
        ("RTL simulation, s an image", *(f"{item['image_seconds']:.2f}" for item in speed)),
        ("integer golden model, images/s", *(f"{item['golden_images_per_second']:.0f}" for item in accuracy)),
    ]
    return [f"Measured by `make bench` on {figures['machine']}.", "", *table(header, rows)]


def _work_table(found: Recorded) -> list[str]:
    """A column for each shipped model."""
    items = found.figures["work"]
    boards = [_fastest(found, item["model"]) for item in items]
    per_klut = [
        f"{1000 * item['needed'] / board['cycles_per_image'] / board['resources']['luts']['used']:.1f}"
        if board
        else "-"
        for item, board in zip(items, boards, strict=True)
    ]
    rows = [
        ("lanes P x T, events at once", *(f"{i['lanes']} x {i['time_steps']}, {i['events']}" for i in items)),
        ("cycles a sample", *(f"{item['cycles']:,.0f}" for item in items)),
        ("needed additions a sample", *(f"{item['needed']:,.0f}" for item in items)),
        ("... in a cycle, of at most", *(f"{item['per_cycle']:.1f} of {item['peak']}" for item in items)),
        ("... in a cycle and kLUT, fastest board", *per_klut),
        ("**additions done, % of peak**", *(f"{item['done_percent']:.1f}" for item in items)),
        ("cycles of passes that add, %", *(f"{item['synaptic_percent']:.1f}" for item in items)),
        ("event slots used in them, %", *(f"{item['slots_percent']:.1f}" for item in items)),
        ("lanes of an event with an output, %", *(f"{item['lanes_percent']:.1f}" for item in items)),
        ("steps of a word with a spike, %", *(f"{item['words_percent']:.1f}" for item in items)),
    ]
    return table(("", *(item["model"] for item in items)), rows)


def _blocks_table(found: Recorded) -> list[str]:
    area = {item["block"]: item for item in found.figures["blocks"]}
    rows = []
    for paper, title, instance, stem, latency in BLOCKS:
        cells = area[instance]
        source = f"gateware/{stem}.py" if stem == "sequencer" else f"hw/{stem}.py"
        links = (f"[{source}](../{source})", f"[sim](../sim/benches/bench_{stem}.py)")
        rows.append((paper, title, *links, latency, cells["luts"], cells["registers"]))
    header = ("paper", "block", "file", "bench", "latency, cycles", "LUT4 (iCE40)", "FF")
    return table(header, rows)


def _area_table(found: Recorded) -> list[str]:
    header = ("design", "target", "LUT4", "FF", "block RAM", "SPRAM", "DSP", "operations/cycle", "per kLUT")
    rows = [
        (
            item["model"],
            item["target"],
            item["luts"],
            item["registers"],
            item["block_rams"],
            item["single_port_rams"],
            item["multipliers"],
            item["operations_per_cycle"],
            f"{item['operations_per_cycle_per_klut']:.1f}",
        )
        for item in found.figures["area"]
    ]
    rows += [(name, target, "", "", "", "", "", "", figure) for name, target, figure in found.figures["peers"]]
    return table(header, rows)
