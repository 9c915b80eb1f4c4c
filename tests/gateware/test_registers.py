# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The register map: whole, without overlaps, the same in Python, Markdown and C; the machine through its words."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.errors import Ds2taError, FitError
from ds2ta.files import ROOT
from ds2ta.gateware.machine import machine_from_dict
from ds2ta.gateware.register_pages import c_header, markdown
from ds2ta.gateware.registers import (
    ADDRESS_BITS,
    IDENTITY,
    MACHINE_KEYS,
    REGISTERS,
    STORES,
    Access,
    machine_from_words,
    machine_words,
)

# the map as the host link's protocol promises it: a change here is a new major version
PROMISED = {
    "id": 0x000,
    "version": 0x001,
    "clock_hz": 0x002,
    "status": 0x003,
    "command": 0x004,
    "result_class": 0x005,
    "result_number": 0x006,
    "sample_bytes": 0x007,
    "sample_length": 0x008,
    "pass": 0x009,
    "frames_good": 0x00A,
    "frames_dropped": 0x00B,
    "scans": 0x00C,
    "classes": 0x00D,
    "load_address": 0x00E,
    "load_data": 0x00F,
    "check_rows": 0x010,
    "check_expected": 0x014,
    "check_found": 0x018,
    "store_rows": 0x01C,
    "store_chunks": 0x020,
    "events": 0x024,
    "event_enable": 0x025,
    "model_digest": 0x030,
    "machine": 0x040,
    "logits": 0x100,
    "counters": 0x800,
}


def test_addresses_stay():
    assert {name: register.address for name, register in REGISTERS.items()} == PROMISED
    assert IDENTITY == 0x41543244
    assert REGISTERS["version"].reset == 0x0001_0002


def test_no_two_registers_overlap():
    taken = [register.at(index) for register in REGISTERS.values() for index in range(register.count)]
    assert len(set(taken)) == len(taken)
    assert max(taken) < 1 << ADDRESS_BITS
    for register in REGISTERS.values():
        bits = [bit for field in register.fields for bit in range(field.low, field.low + field.width)]
        assert len(set(bits)) == len(bits)
        assert all(bit < 32 for bit in bits)


def test_machine_fits_its_words():
    assert len(MACHINE_KEYS) <= REGISTERS["machine"].count
    assert REGISTERS["logits"].count == 1024
    assert REGISTERS["counters"].count == 4 * 256
    assert REGISTERS["check_rows"].count == len(STORES) == 4


def test_fields():
    status = REGISTERS["status"]
    word = 0b0101_0011_0110 | 1 << 30  # bits outside of the fields are nobody's
    assert status.decode(word) == {
        "busy": 0,
        "sample_open": 1,
        "result_valid": 1,
        "result_trusted": 0,
        "memory_good": 1,
        "memory_error": 1,
        "bad_stores": 5,
    }
    assert status.encode(busy=1, bad_stores=9) == 0x901
    assert REGISTERS["command"].encode(core_reset=1, rescan=1) == 5
    assert REGISTERS["sample_length"].encode(sample_length=77) == 77
    assert REGISTERS["sample_length"].decode(77) == {"sample_length": 77}
    assert REGISTERS["logits"].decode(0xFFFF_FFFE) == {"logits": -2}
    assert REGISTERS["counters"].decode(0xFFFF_FFFE) == {"counters": 0xFFFF_FFFE}
    assert REGISTERS["counters"].at(1023) == 0xBFF


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: REGISTERS["status"].encode(bad_stores=16), "bad_stores must be in 0..15, not 16"),
        (lambda: REGISTERS["status"].encode(idle=1), "register status has no field idle; it has busy, "),
        (lambda: REGISTERS["clock_hz"].encode(clock_hz=-1), "clock_hz must be in 0..4294967295, not -1"),
        (lambda: REGISTERS["status"].decode(1 << 32), "4294967296 is no word of 32 bits"),
        (lambda: REGISTERS["counters"].at(1024), "index must be in 0..1023, not 1024"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(Ds2taError, match=message):
        call()


@settings(max_examples=50, deadline=None)
@given(
    lanes=st.sampled_from([8, 16, 512]),
    weights=st.sampled_from(["rom", "ram", "spram"]),
    tables=st.sampled_from(["rom", "ram"]),
    samples=st.sampled_from(["any", "images"]),
    shifters=st.sampled_from(["logic", "multipliers"]),
    bank_rows=st.integers(4, 1 << 20),
    instructions=st.integers(2, 256),
)
def test_machine_through_words(**choices):
    machine = machine_from_dict(choices)
    words = machine_words(machine)
    assert len(words) == 64
    assert all(0 <= word < 1 << 32 for word in words)
    assert machine_from_words(words) == machine
    assert machine_from_words(words[: len(MACHINE_KEYS)]) == machine


def test_words_of_a_machine_by_hand():
    words = machine_words(machine_from_dict({"weights": "spram", "tables": "ram", "lanes": 16}))
    assert words[0] == 16
    assert words[5:10] == [2, 1, 0, 0, 0]
    assert words[11] == 4  # time steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({5: 4}, "machine: weights: word is 4, its choices end at 3"),
        ({0: 5}, "lanes: 5 must be a multiple of row_lanes, 8"),
        ({10: 33}, r"machine: counter_width: .* 32 \(got 33\)"),
        ({63: 1}, "the device has parameters that this version does not know"),
    ],
)
def test_words_of_no_machine(change, message):
    words = machine_words(machine_from_dict({}))
    for place, word in change.items():
        words[place] = word
    with pytest.raises(FitError, match=message):
        machine_from_words(words)
    with pytest.raises(FitError, match="3 words read from the device"):
        machine_from_words(words[:3])


def test_documents_are_current():
    """`python -m ds2ta.gateware.register_pages docs` mends a failure."""
    assert (ROOT / "docs" / "registers.md").read_text() == markdown()
    assert (ROOT / "docs" / "ds2ta_registers.h").read_text() == c_header()


def test_document_names_everything():
    text = markdown()
    for register in REGISTERS.values():
        line = next(line for line in text.splitlines() if f"| `{register.name}` |" in line)
        assert f"0x{register.address:03X}" in line
        assert register.access.value in line
        assert f"| {register.how} |" in line
        assert ("AXI only" in line) == (register.only == "AXI")
        assert all(f"`{field.name}`" in text for field in register.fields)
    assert all(f"`{key}`" in text for key in MACHINE_KEYS)


def test_header_in_c(tmp_path):
    """A C compiler takes the header without a warning, and its numbers are those of the map."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "needs a C compiler, as Verilator does"
    names = re.findall(r"^#define (DS2TA_\w+) \S", c_header(), re.M)
    assert len(set(names)) == len(names)
    (tmp_path / "ds2ta_registers.h").write_text(c_header())
    body = "".join(f'    printf("{name} %lu\\n", (unsigned long){name});\n' for name in names)
    (tmp_path / "show.c").write_text(
        f'#include <stdio.h>\n#include "ds2ta_registers.h"\nint main(void) {{\n{body}    return 0;\n}}\n'
    )
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    subprocess.run([compiler, *strict, "show.c", "-o", "show"], cwd=tmp_path, check=True)
    shown = subprocess.run([tmp_path / "show"], capture_output=True, text=True, check=True).stdout
    values = {name: int(value) for name, value in map(str.split, shown.splitlines())}
    for register in REGISTERS.values():
        name = f"DS2TA_{register.name.upper()}"
        assert values[name] == register.address
        assert values.get(f"{name}_COUNT", 1) == register.count
        for field in register.fields:
            assert values[f"{name}_{field.name.upper()}_LOW"] == field.low
            assert values[f"{name}_{field.name.upper()}_MASK"] == field.mask
    assert values["DS2TA_IDENTITY"] == IDENTITY
    for number, key in enumerate(MACHINE_KEYS):
        assert values[f"DS2TA_MACHINE_{key.upper()}"] == 0x040 + number
    assert values["DS2TA_MACHINE_WEIGHTS_SPRAM"] == 2


def test_writable_registers():
    """What a host may change is little, and known."""
    found: dict[str, set[str]] = {}
    for name, register in REGISTERS.items():
        if register.access is not Access.RO:
            found.setdefault(register.only, set()).add(name)
    assert found == {
        "": {"command", "sample_length", "classes", "check_rows", "check_expected", "model_digest"},
        "AXI": {"load_address", "load_data", "events", "event_enable"},
    }
