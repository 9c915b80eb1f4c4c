# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Machines at the ends of what `Machine` allows are emitted as Verilog that tools accept."""

from typing import get_args

import pytest
from verilog_tools import assert_plain, verilator_accepts

from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.machine import Machine, highest
from ds2ta.gateware.verilog import emit

#: Where the highest value only makes the same logic, or a memory, many times larger.
_MODEST = {
    "lanes": 64,
    "max_lines": 2,
    "bank_rows": 4096,
    "weight_rows": 8192,
    "parameter_rows": 1024,
    "denoiser_entries": 1024,
    "max_classes": 64,
}


def lowest(key: str) -> int:
    return next(rule.ge for rule in Machine.model_fields[key].metadata if hasattr(rule, "ge"))


def machine_at(end: str) -> Machine:
    choice, limit = (0, lowest) if end == "lowest" else (-1, highest)
    values = {"weights": "ram", "tables": "ram", "ring_rows": 0, "memory_bits": 0, "banks": "block"}
    values["bank_a_rows"] = 0
    if end == "streamed":
        values |= {"weights": "stream", "ring_rows": 1504, "memory_bits": 128, "bank_a_rows": 2048}
    if end == "single port":
        values |= {"banks": "spram", "pipeline": "short"}
    for key, field in Machine.model_fields.items():
        if key not in values:
            options = get_args(field.annotation)
            values[key] = options[choice] if options else limit(key)
    return Machine(**values | ({} if end == "lowest" else _MODEST))


@pytest.mark.parametrize("end", ["lowest", "highest", "streamed", "single port"])
def test_ends(end, tmp_path):
    machine = machine_at(end)
    assert machine.time_steps == (1 if end == "lowest" else 16)
    text = emit(Accelerator(machine, trace=True), "accelerator")
    assert_plain(text)
    verilator_accepts(text, tmp_path)
