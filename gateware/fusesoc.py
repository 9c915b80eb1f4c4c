# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The FuseSoC core file of an exported accelerator: its sources, its top, and a target that lints them.

It lies beside the Verilog, because that is generated: `fusesoc library add` of the folder, or `--cores-root`, is
all that a user of the accelerator needs.
"""

import re
from collections.abc import Mapping
from importlib.metadata import version

import yaml

from ds2ta.gateware.verilog import WAIVERS

__all__ = ["CORE_FILE", "core_file", "core_name"]

CORE_FILE = "ds2ta.core"
# a cell of an FPGA has no source here: Verilator takes it for an empty box that drives nothing
_BOX_WAIVERS = ("MODMISSING", "UNDRIVEN")


def core_name(model: str, top: str) -> str:
    """Vendor, library, name and version: `ds2ta:digits-tiny:axi_accelerator:0.1.0`."""
    return f"ds2ta:{re.sub(r'[^A-Za-z0-9_.-]', '_', model)}:{top}:{version('ds2ta')}"


def core_file(files: Mapping[str, str], *, model: str, top: str) -> str:
    """CAPI2 text for `files` (name -> Verilog). Target `default` hands the sources on; target `lint` runs
    Verilator's -Wall on them and fails at the first warning that `WAIVERS` does not name."""
    boxes = any(re.search(r"^  SB_\w+ ", text, re.M) for text in files.values())
    waivers = [*WAIVERS, *(_BOX_WAIVERS if boxes else ())]
    content = {
        "name": core_name(model, top),
        "description": f"DS2TA spiking transformer accelerator for the model {model}",
        "filesets": {"rtl": {"files": list(files), "file_type": "verilogSource"}},
        "targets": {
            "default": {"filesets": ["rtl"], "toplevel": top},
            "lint": {
                "filesets": ["rtl"],
                "toplevel": top,
                "description": "Verilator, all warnings",
                "flow": "lint",
                "flow_options": {
                    "tool": "verilator",
                    "verilator_options": ["-Wall", *(f"-Wno-{rule}" for rule in waivers)],
                },
            },
        },
    }
    # FuseSoC knows its files by a first line that no YAML writer would write this way
    return "CAPI=2:\n" + yaml.safe_dump(content, sort_keys=False, width=1000)
