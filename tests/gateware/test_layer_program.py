# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`docs/layer-program.md` against the code: the table of fields, their widths, the opcodes, the example."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from amaranth.utils import ceil_log2

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Instruction, Opcode, instruction_layout
from ds2ta.hw.residual import ResidualMode

PAGE = (Path(__file__).parents[2] / "docs" / "layer-program.md").read_text()
FIELDS = re.findall(r"^\| `(\w+)` \| `(.*?)` \| .+ \|$", PAGE, re.M)

MACHINES = [
    {},
    {"bank_rows": 1 << 20, "weight_rows": 1 << 22, "parameter_rows": 1 << 20, "denoiser_entries": 1 << 20},
    {"bank_rows": 5, "weight_rows": 1, "parameter_rows": 1, "denoiser_entries": 1, "max_count": 4},
    {"bank_rows": 33, "weight_rows": 3, "parameter_rows": 9, "denoiser_entries": 17, "max_count": 65},
    {"lanes": 512, "row_lanes": 32, "drain_lanes": 1, "time_steps": 16, "max_planes": 5, "max_lines": 16},
    {"lanes": 32, "time_steps": 1, "max_planes": 5, "max_lines": 4},
    {"lanes": 4, "row_lanes": 4, "score_channels": 4, "drain_lanes": 4, "time_steps": 1, "max_planes": 1},
    {"max_tau": 0, "max_window": 1, "max_heads": 1, "max_head_dim": 8, "max_classes": 2, "max_bits": 1},
    {"banks": "spram", "time_steps": 5, "max_planes": 2},
    {"banks": "spram", "time_steps": 1, "max_planes": 5, "lanes": 64},
    {"weights": "stream", "ring_rows": 4096, "memory_bits": 16, "weight_rows": 70000},
    {"weights": "stream", "ring_rows": 32, "memory_bits": 128, "weight_rows": 33},
    {"weights": "stream", "ring_rows": 96, "memory_bits": 32, "bank_rows": 100, "bank_a_rows": 64},
    {"max_tau": 5, "max_window": 4, "max_heads": 64, "max_head_dim": 128, "max_classes": 1024, "max_channels": 4},
]


def test_fields_are_those_of_the_instruction():
    """Same names in the same order; only three names for people and the number of a band's line are not stored."""
    names = [field.name for field in fields(Instruction)]
    assert names[:3] == ["name", "reads", "writes"]
    assert [name for name, _ in FIELDS] == [name for name in names[3:] if name != "first_line"]


@pytest.mark.parametrize("values", MACHINES, ids=range(len(MACHINES)))
def test_widths(values):
    """Each rule of the page, evaluated, is the width in the hardware; offsets follow from the order."""
    machine = Machine(**values)
    names = {"clog2": ceil_log2, "bits": int.bit_length, "max": max, **machine.model_dump()}
    block, single = re.search(r"^`joins` is .*?: `(.*?)`, or, .*\n`(.*?)`\.$", PAGE, re.M).groups()
    names["joins"] = eval(single if machine.single_port else block, {"__builtins__": {}}, names)
    layout, offset = instruction_layout(machine), 0
    for name, rule in FIELDS:
        if (name == "tile_rows" and not machine.streams) or (name in ("above", "below") and not machine.bands):
            continue
        width = eval(rule, {"__builtins__": {}}, names)
        assert (name, layout[name].width, layout[name].offset) == (name, width, offset)
        offset += width
    assert layout.size == offset


def test_opcodes_and_modes():
    opcodes = re.findall(r"^\| `([A-Z]+)` \| (\d) \|", PAGE, re.M)
    assert {name: int(code) for name, code in opcodes} == {code.name: code.value for code in Opcode}
    residual = next(line for line in PAGE.splitlines() if line.startswith("| `residual` "))
    modes = re.findall(r"(\d) `([A-Z]+)`", residual)
    assert {name: int(code) for code, name in modes} == {mode.name: mode.value for mode in ResidualMode}


def test_example():
    """The page's program prints the page's listing."""
    source, printed = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", PAGE, re.S).groups()
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
