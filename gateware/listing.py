# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A layer program as text: one line for each pass, with the fields that it sets."""

from dataclasses import fields

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.program import Instruction

__all__ = ["listing"]

_DEFAULTS = {field.name: field.default for field in fields(Instruction)}
_HEADED = ("name", "reads", "writes", "opcode")


def listing(program: Program) -> str:
    """Every pass: number, opcode, name, `reads -> writes`, then each field not at its default. Below them
    the regions of the banks."""
    lines = []
    for number, instruction in enumerate(program.instructions):
        lines.append(
            f"{number:3} {instruction.opcode.name:<9} {instruction.name}: {instruction.reads or 'sample'} "
            f"-> {instruction.writes}"
        )
        words = [
            name if value is True else f"{name}={getattr(value, 'name', value)}"
            for name, value in vars(instruction).items()
            if name not in _HEADED and value != _DEFAULTS[name]
        ]
        lines += _filled(words)
    lines.append("regions: rows of the banks, tensor [positions x channels], bit planes, rows from one position on")
    for region in program.regions.values():
        where = "+".join("AB"[bank] for bank in region.banks)
        lines.append(
            f"    {where:<3} {region.base}..{region.base + region.rows - 1} {region.name} "
            f"[{region.positions} x {region.channels}] planes {region.planes} pitch {region.pitch}"
        )
    return "\n".join(lines)


def _filled(words: list[str], width: int = 96) -> list[str]:
    """Words in indented lines."""
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) + 1 > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else f"      {word}"
    return [*lines, line] if line else lines
