# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The register map as documents: `docs/registers.md` for people, `docs/ds2ta_registers.h` for C.

`python -m ds2ta.gateware.register_pages docs` writes both anew.
"""

import sys
from pathlib import Path

from ds2ta.gateware.machine import Machine, highest
from ds2ta.gateware.registers import (
    IDENTITY,
    MACHINE_KEYS,
    REGISTERS,
    STORES,
    VERSION,
    WORD_BITS,
    Register,
    literals,
)

__all__ = ["c_header", "markdown", "write_documents"]

#: Of the C header, which is copied into other people's programs.
_LICENCE = ("FileCopyrightText: 2026 the ds2ta authors", "License-Identifier: BSD-2-Clause")


def _place(register: Register) -> str:
    first = f"0x{register.address:03X}"
    return first if register.count == 1 else f"{first}..0x{register.address + register.count - 1:03X}"


def _initial(register: Register) -> str:
    return "as built" if register.reset is None else f"0x{register.reset:X}" if register.reset else "0"


def markdown() -> str:
    """`docs/registers.md`."""
    lines = [
        "# Registers",
        "",
        "<!-- written by `python -m ds2ta.gateware.register_pages docs` from gateware/registers.py: do not edit "
        "-->",
        "",
        f"All registers have {WORD_BITS} bits; addresses count words. A read of a write-only register, a write "
        "of a read-only one and any access to an address that is not listed are answered with an error and change "
        "nothing. Bits that no field names read 0 and are ignored when written. "
        "The same map for C is [ds2ta_registers.h](ds2ta_registers.h).",
        "",
        "Store numbers, the index of `check_rows`, `check_expected`, `check_found`, `store_rows` and "
        "`store_chunks`: " + ", ".join(f"{number} {name}" for number, name in enumerate(STORES)) + ".",
        "",
        "| address | register | access | after reset | meaning |",
        "|---|---|---|---|---|",
        *(f"| {_place(r)} | `{r.name}` | {r.how} | {_initial(r)} | {r.text} |" for r in REGISTERS.values()),
    ]
    for register in REGISTERS.values():
        if register.fields:
            lines += ["", f"## Fields of `{register.name}`", "", "| bits | field | meaning |", "|---|---|---|"]
            for field in register.fields:
                high = field.low + field.width - 1
                bits = f"{field.low}" if field.width == 1 else f"{high}..{field.low}"
                lines.append(f"| {bits} | `{field.name}` | {field.text} |")
    lines += [
        "",
        "## Words of `machine`",
        "",
        "| address | parameter | meaning | values |",
        "|---|---|---|---|",
    ]
    for number, key in enumerate(MACHINE_KEYS):
        rule = Machine.model_fields[key]
        choices = ", ".join(f"{index} {choice}" for index, choice in enumerate(literals(key)))
        lines.append(
            f"| 0x{REGISTERS['machine'].at(number):03X} | `{key}` | {rule.description} "
            f"| {choices or f'up to {highest(key)}'} |"
        )
    return "\n".join([*lines, ""])


def c_header() -> str:
    """`docs/ds2ta_registers.h`: addresses, counts, fields, machine words as macros of C99."""
    lines = [
        *(f"/* SPDX-{line} */" for line in _LICENCE),
        "",
        "/* Registers of a DS2TA accelerator: word addresses, fields, machine parameters; see registers.md.",
        "   Written by `python -m ds2ta.gateware.register_pages docs` from gateware/registers.py: do not edit. */",
        "#ifndef DS2TA_REGISTERS_H",
        "#define DS2TA_REGISTERS_H",
        "",
        f"#define DS2TA_IDENTITY 0x{IDENTITY:08X}u",
        f"#define DS2TA_VERSION_MAJOR {VERSION[0]}u",
        f"#define DS2TA_VERSION_MINOR {VERSION[1]}u",
        "",
        *(f"#define DS2TA_STORE_{name.upper()} {number}u" for number, name in enumerate(STORES)),
        "",
    ]
    for register in REGISTERS.values():
        name = f"DS2TA_{register.name.upper()}"
        lines.append(f"#define {name} 0x{register.address:03X}u /* {register.how} */")
        if register.count > 1:
            lines.append(f"#define {name}_COUNT {register.count}u")
        for field in register.fields:
            lines.append(f"#define {name}_{field.name.upper()}_LOW {field.low}u")
            lines.append(f"#define {name}_{field.name.upper()}_MASK 0x{field.mask:08X}u")
    lines.append("")
    for number, key in enumerate(MACHINE_KEYS):
        lines.append(f"#define DS2TA_MACHINE_{key.upper()} 0x{REGISTERS['machine'].at(number):03X}u")
        lines += [
            f"#define DS2TA_MACHINE_{key.upper()}_{choice.upper()} {index}u"
            for index, choice in enumerate(literals(key))
        ]
    return "\n".join([*lines, "", "#endif", ""])


def write_documents(folder: Path) -> None:
    """Put both documents into `folder`."""
    (folder / "registers.md").write_text(markdown())
    (folder / "ds2ta_registers.h").write_text(c_header())


if __name__ == "__main__":
    write_documents(Path(sys.argv[1]))
