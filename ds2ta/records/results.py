# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The record behind `docs/results.md`: what runs on real data gave, in `docs/results.json`.

Accuracies are not copied: they are read from the provenance of the files in `models/` whenever the page is made.
The record holds what the files do not say (the date, the hardware, counts, models of other widths), each with the
digest of its model, so that a test finds a record that is older than its model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np

from ds2ta.computer import computer
from ds2ta.errors import DataError, ModelFileError
from ds2ta.files import DOCS, MODELS, model_path
from ds2ta.gateware.machine import Machine
from ds2ta.golden.operations import Activity, where
from ds2ta.golden.sparsity import attention_sparsity
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, model_digest
from ds2ta.sim.activity import Counted

__all__ = [
    "PAGE",
    "RECORD",
    "activity_entry",
    "add_speed",
    "add_trained_model",
    "bits_of",
    "read_results",
    "shipped_models",
    "shipped_name",
    "write_results",
]

RECORD = DOCS / "results.json"
PAGE = DOCS / "results.md"
#: A row without a peer has null for it and for the ratio.
SPEED = ("what", "ours", "spikingjelly", "ratio", "unit", "command", "hardware")
_EMPTY: dict[str, dict | list] = {"accuracy": {}, "bits": [], "activity": {}, "speed": []}


def read_results() -> dict:
    """Section -> its rows."""
    return _EMPTY | (json.loads(RECORD.read_text()) if RECORD.is_file() else {})


def write_results(record: Mapping) -> None:
    """Store the record, whole or not at all."""
    partial = RECORD.with_name(RECORD.name + ".partial")
    partial.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    partial.replace(RECORD)


def shipped_models() -> dict[str, IntegerModel]:
    """Name -> model, of every file in `models/`; `ModelFileError` where one does not say what it measured."""
    found = {}
    for path in sorted(MODELS.glob("*.safetensors")):
        found[path.stem] = load_model(path)
        _demand_provenance(path, found[path.stem])
    return found


def _demand_provenance(path: Path, model: IntegerModel) -> None:
    keys = ("data", "integer_accuracy", "test_samples", "command")
    if missing := [key for key in keys if key not in model.provenance]:
        raise ModelFileError(f"{path}: its provenance has no {missing[0]}; `ds2ta train` writes one that has")


def shipped_name(model: IntegerModel, path: Path) -> str:
    """The model's name, if it is the file of that name in `models/`: others are not put on record."""
    name = model.network.name
    own = model_path(name)
    if not own.is_file() or model_digest(load_model(own)) != model_digest(model):
        raise ModelFileError(f"{path}: is not models/{name}.safetensors; only models in models/ are put on record")
    return name


def bits_of(model: IntegerModel) -> int:
    """Bits of a weight: those of most layers."""
    found = [layer.bits for layer in model.synapses.values()]
    return max(set(found), key=found.count)


def _today() -> str:
    return date.today().isoformat()


def add_trained_model(record: dict, path: Path, *, on: str | None = None, when: str | None = None) -> str:
    """Take a trained model into the record: a file of `models/` gets its date and hardware, another one of the same
    network becomes a row of accuracy against bits. Returns the section."""
    model = load_model(path)
    name, about = model.network.name, model.provenance
    _demand_provenance(path, model)
    if held_out := about.get("validation"):
        raise DataError(
            f"{path}: was measured on {held_out} training samples that it left out; only models trained on all of "
            "them, and measured on the test samples, are put on record"
        )
    try:
        when = date.fromisoformat(when).isoformat() if when else None
    except ValueError:
        raise DataError(f"--date {when}: write it as 2025-01-31") from None
    made = {
        "digest": model_digest(model),
        "hardware": on or about.get("hardware") or computer(),
        "date": when or about.get("date") or _today(),
    }
    if path.resolve() == (model_path(name)).resolve():
        record["accuracy"][name] = made
        return "accuracy"
    keys = ("float_accuracy", "integer_accuracy", "test_samples", "seed", "threads", "seconds", "command", "data")
    row = {"model": name, "bits": bits_of(model), **{key: about.get(key) for key in keys}, **made}
    others = [item for item in record["bits"] if (item["model"], item["bits"]) != (row["model"], row["bits"])]
    record["bits"] = sorted([*others, row], key=lambda item: (item["model"], item["bits"]))
    return "bits"


def add_speed(record: dict, path: Path) -> int:
    """Replace the rows of `speed` by those of a JSON file, a list of objects; returns how many."""
    try:
        rows = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable JSON file ({error})") from None
    if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: must be a list of objects with {', '.join(SPEED)}")
    for number, row in enumerate(rows):
        if missing := [key for key in SPEED if key not in row]:
            raise DataError(f"{path}: row {number} has no {missing[0]!r}; rows have {', '.join(SPEED)}")
        for key in ("ours", "spikingjelly", "ratio"):
            if not isinstance(row[key], int | float) and (key == "ours" or row[key] is not None):
                raise DataError(f"{path}: row {number}: {key} is {row[key]!r:.40}, and must be a number")
    record["speed"] = rows
    return len(rows)


def activity_entry(
    model: IntegerModel,
    activity: Activity,
    labels: Sequence[int],
    *,
    command: str,
    rtl: tuple[np.ndarray, Machine, Counted] | None = None,
) -> dict:
    """What `ds2ta sparsity` found, as JSON: blocks, parts, and where the RTL has counted too, both counts.
    `rtl`: which samples ran on which machine, and its counts."""
    wanted, network = np.asarray(labels), model.network
    right = activity.logits.argmax(axis=1) == wanted
    row = {
        "digest": model_digest(model),
        "samples": len(labels),
        "right": int(right.sum()),
        "blocks": [asdict(block) for block in attention_sparsity(network, activity)],
        "work": [asdict(part) for part in where(activity)],
        "command": command,
        "hardware": computer(),
        "date": _today(),
    }
    if rtl is not None:
        chosen, machine, counted = rtl
        golden = activity.of(chosen)
        row["rtl"] = {
            "samples": len(chosen),
            "machine": f"{machine.lanes} x {machine.time_steps}",
            "kept": counted.kept(network.depth).sum(axis=0).tolist(),
            "kept_golden": golden.kept.sum(axis=0).tolist(),
            "events": int(sum(counted.events[name].sum() for name in counted.tiles)),
            "events_golden": int(sum(tiles * golden.events[name].sum() for name, tiles in counted.tiles.items())),
            "right": int((counted.logits.argmax(axis=1) == wanted[chosen]).sum()),
            "cycles": float(counted.cycles.mean()),
        }
    return row
