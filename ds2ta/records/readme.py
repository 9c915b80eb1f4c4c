"""The tables of the README, made from the recorded figures, so that they cannot go stale unseen.

`ds2ta bench --record` measures everything, writes `docs/figures.json` and renews the tables. A test renders them
again, and checks that the recorded figures belong to the sources and the models at hand.
"""

import hashlib
import json
import re

from amaranth.back import rtlil

from ds2ta.files import DIGITS, DOCS, ROOT, model_path
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.stores import store_images, store_shapes
from ds2ta.gateware.verilog import signature_ports
from ds2ta.modelfile import IntegerModel, load_model, model_digest

__all__ = ["BLOCKS", "FIGURES", "design_text", "read_figures", "record", "render", "source_digest"]

FIGURES = DOCS / "figures.json"
_README = ROOT / "README.md"
_REGION = re.compile(r"(<!-- tables -->\n).*?(<!-- /tables -->)", re.S)

#: (paper, block, instance in `gateware.blocks`, stem, latency in cycles)
BLOCKS = (
    ("direct encoding", "input encoder", "encoder", "encoder", "1 a byte, then 1 a word"),
    ("SPS: patches; linear layers", "gather", "gather", "gather", "1"),
    ("", "row reader", "reader", "row_reader", "1 (long pipeline: 2)"),
    ("spike sparsity", "zero skip", "zero_skip", "zero_skip", "3"),
    ("eq. 1: sum over j", "synaptic engine", "engine", "engine", "3"),
    ("eq. 1, 4, 5: TASA", "barrel-shift TASA accumulator", "tasa", "tasa", "T_AW - 1 (multipliers: 2)"),
    ("batch norm, folded", "parameter fetch", "parameters", "parameters", "0 (long pipeline: 1)"),
    ("eq. 2, 3: LIF", "LIF array", "lif", "lif", "1"),
    ("", "row packer", "packer", "packer", "1"),
    ("SPS: max-pool", "OR pool", "pool", "pool", "1"),
    ("", "row walker", "walker", "walker", "0"),
    ("residual connections", "residual", "residual", "residual", "1 + plane"),
    ("self-attention", "attention unit, all of the next rows", "attention", "attention", "exact model"),
    ("Q, K", "pair fetch", "attention/pairs", "pairs", "head rows + 1"),
    ("S = Q K^T", "bit-serial QK^T popcount", "attention/score", "score", "2"),
    ("eq. 6, 7: NSAD", "denoiser, with the NSAD LUT ROMs", "attention/denoiser", "denoiser", "1 a kept score"),
    ("", "of it: per-head NSAD LUT ROMs", "attention/denoiser/table", "nsad", "1"),
    ("map sparsity", "entry lists", "attention/lists", "lists", "1"),
    ("A V, LIF", "A x V accumulator", "attention/accumulator", "av", "2"),
    ("classification head", "classifier head", "head", "head", "3"),
    ("", "sequencer", "sequencer", "sequencer", "words of an instruction, then 1"),
    ("", "stores (weights)", "weight_store", "store", "1"),
)


def design_text(model: IntegerModel) -> str:
    """All that decides about the shipped machine of a model and its program: the netlist, which holds the contents
    of ROM stores, and the contents of those that are loaded."""
    machine = fit(model, **MACHINES[model.network.name])
    program = compile_model(model, machine)
    component = Accelerator(machine, program)
    text = rtlil.convert(component, name="accelerator", ports=signature_ports(component), emit_src=False)
    loaded = {name: store_images(program)[name] for name, shape in store_shapes(machine).items() if shape.loadable}
    return text + (json.dumps(loaded) if loaded else "")


def source_digest() -> str:
    """SHA-256 over everything that the figures depend on: the shipped accelerators with their programs, and the
    models themselves."""
    found = hashlib.sha256()
    for model in (load_model(path) for path in sorted(map(model_path, DIGITS))):
        found.update(design_text(model).encode())
        found.update(model_digest(model).encode())
    return found.hexdigest()


def read_figures() -> dict:
    """The recorded figures."""
    return json.loads(FIGURES.read_text())


def record(figures: dict) -> None:
    """Store the figures and renew the README."""
    FIGURES.write_text(json.dumps({"sources": source_digest(), **figures}, indent=1) + "\n")
    _README.write_text(render(_README.read_text(), read_figures()))


def render(readme: str, figures: dict) -> str:
    """The README with its tables made from `figures`."""
    text = "\n".join([*_headline(figures), "", *_block_table(figures), "", *_area_table(figures), ""])
    return _REGION.sub(lambda found: found[1] + text + found[2], readme)


def _table(header: tuple[str, ...], rows: list[tuple]) -> list[str]:
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def _headline(figures: dict) -> list[str]:
    header = ("", *(item["model"] for item in figures["accuracy"]))
    cycles, accuracy, speed = figures["cycles"], figures["accuracy"], figures["speed"]
    rows = [
        ("float accuracy, %", *(f"{item['float']:.2f}" for item in accuracy)),
        ("integer accuracy, %", *(f"{item['integer']:.2f}" for item in accuracy)),
        ("RTL accuracy, %", *(f"{item['accuracy']:.2f}" for item in speed)),
        ("held-out images", *(item["images"] for item in accuracy)),
        ("lanes P x T", *(f"{item['lanes']} x {item['time_steps']}" for item in cycles)),
        ("cycles an image (mean)", *(f"{item['cycles_per_image']:.0f}" for item in cycles)),
        ("useful engine cycles, %", *(f"{item['useful_percent']:.1f}" for item in cycles)),
        ("of peak on dense input, %", *(f"{item['dense_percent_of_peak']:.1f}" for item in cycles)),
        ("longest pass", *(item["longest_pass"] for item in cycles)),
        ("cycle model exact", *("yes" if item["cycle_model_exact"] else "NO" for item in cycles)),
        ("RTL simulation, s an image", *(f"{item['image_seconds']:.2f}" for item in speed)),
        ("integer golden model, images/s", *(f"{item['golden_images_per_second']:.0f}" for item in accuracy)),
    ]
    return [f"Measured by `make bench` on {figures['machine']}.", "", *_table(header, rows)]


def _block_table(figures: dict) -> list[str]:
    area = {item["block"]: item for item in figures["blocks"]}
    rows = []
    for paper, title, instance, stem, latency in BLOCKS:
        cells = area[instance]
        tests = f"[sim](sim/benches/bench_{stem}.py)"
        rows.append(
            (paper, title, f"[hw/{stem}.py](hw/{stem}.py)", tests, latency, cells["luts"], cells["registers"])
        )
    header = ("paper", "block", "file", "bench", "latency, cycles", "LUT4 (iCE40)", "FF")
    rows = [tuple(str(cell).replace("hw/sequencer", "gateware/sequencer") for cell in row) for row in rows]
    return ["Blocks, as sized for `digits-tiny`:", "", *_table(header, rows)]


def _area_table(figures: dict) -> list[str]:
    header = ("design", "target", "LUT4", "FF", "block RAM", "SPRAM", "DSP", "operations/cycle", "a kLUT")
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
        for item in figures["area"]
    ]
    rows += [(name, target, "", "", "", "", "", "", figure) for name, target, figure in figures["peers"]]
    return [
        "Whole accelerators after yosys synthesis (ECP5: LUT4 + 2 CCU2C), and public designs (quoted):",
        "",
        *_table(header, rows),
    ]
