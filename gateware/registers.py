# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The register map, written once: the gateware and the host driver use `REGISTERS`, and from it
`gateware/register_pages.py` writes the page `docs/registers.md` and the C header `docs/ds2ta_registers.h`.

Addresses count 32-bit words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import get_args

from ds2ta.errors import Ds2taError, FitError
from ds2ta.gateware.machine import Machine, highest, machine_from_dict

__all__ = [
    "ADDRESS_BITS",
    "IDENTITY",
    "MACHINE_KEYS",
    "REGISTERS",
    "STORES",
    "VERSION",
    "WORD_BITS",
    "Access",
    "Field",
    "Register",
    "literals",
    "machine_from_words",
    "machine_words",
]

ADDRESS_BITS = 14
WORD_BITS = 32
#: Contents of the register `id`: the bytes D, 2, T, A, least significant first.
IDENTITY = int.from_bytes(b"D2TA", "little")
#: (major, minor) of this map. A new major number breaks drivers, a new minor one only adds. A core without an
#: external memory and with equal banks in block RAM has nothing of what 1.2 adds, and says 1.1.
VERSION = (1, 2)
#: Stores in the order of their numbers; registers with one word for each store are indexed by it.
STORES = ("weights", "program", "parameters", "denoiser")
#: Parameters of a machine that the registers tell, in their order.
MACHINE_KEYS = tuple(Machine.model_fields)


class Access(Enum):
    """What the bus may do. Anything else is answered with an error and changes nothing."""

    RO = "read only"
    RW = "read and write"
    WO = "write only"


@dataclass(frozen=True)
class Field:
    """Bits `low .. low + width - 1` of a register."""

    name: str
    low: int
    width: int
    text: str

    @property
    def mask(self) -> int:
        return (1 << self.width) - 1 << self.low


@dataclass(frozen=True)
class Register:
    """One register, or `count` of them at consecutive addresses. `reset` is None where it depends on what was
    built. `signed`: the word is a two's complement number. `only`: the one shell that has it; elsewhere its address
    is unmapped."""

    name: str
    address: int
    access: Access
    text: str
    count: int = 1
    fields: tuple[Field, ...] = ()
    reset: int | None = 0
    signed: bool = False
    only: str = ""

    @property
    def how(self) -> str:
        """Access and shell in words."""
        return f"{self.access.value}, {self.only} only" if self.only else self.access.value

    def decode(self, word: int) -> dict[str, int]:
        """Field -> value; of a register without fields its name -> value."""
        if not 0 <= word < 1 << WORD_BITS:
            raise Ds2taError(f"register {self.name}: {word!r} is no word of {WORD_BITS} bits")
        if not self.fields:
            return {self.name: word - (word >> WORD_BITS - 1 << WORD_BITS) if self.signed else word}
        return {field.name: (word & field.mask) >> field.low for field in self.fields}

    def encode(self, **fields: int) -> int:
        """The word with these fields, others 0. Raises `Ds2taError` for an unknown one or one that is too large."""
        known = {field.name: field for field in self.fields} or {self.name: Field(self.name, 0, WORD_BITS, "")}
        word = 0
        for name, value in fields.items():
            if name not in known:
                raise Ds2taError(f"register {self.name} has no field {name}; it has {', '.join(known)}")
            if not 0 <= int(value) < 1 << known[name].width:
                raise Ds2taError(
                    f"register {self.name}: {name} must be in 0..{(1 << known[name].width) - 1}, not {value!r}"
                )
            word |= int(value) << known[name].low
        return word

    def at(self, index: int = 0) -> int:
        """Address of word `index`."""
        if not 0 <= index < self.count:
            raise Ds2taError(f"register {self.name}: index must be in 0..{self.count - 1}, not {index!r}")
        return self.address + index


_EVENTS = (
    Field("result", 0, 1, "a result is in the registers"),
    Field("tlast_early", 1, 1, "TLAST came before the last byte of a sample"),
    Field("tlast_late", 2, 1, "a sample's last byte came without TLAST, or there is no sample_length"),
    Field("memory_error", 3, 1, "status.memory_error rose"),
)

_MAP = (
    Register("id", 0x000, Access.RO, 'Identifies the device: the bytes "D2TA".', reset=IDENTITY),
    Register(
        "version",
        0x001,
        Access.RO,
        "Version of this map. Another major number breaks drivers, another minor one only adds: 1.2 an external "
        "memory, the kind of the banks and rows of bank A, without which a core says 1.1.",
        fields=(Field("minor", 0, 16, "minor number"), Field("major", 16, 16, "major number")),
        reset=None,
    ),
    Register("clock_hz", 0x002, Access.RO, "Frequency of the clock that counters count, in Hz.", reset=None),
    Register(
        "status",
        0x003,
        Access.RO,
        "What goes on.",
        fields=(
            Field("busy", 0, 1, "a sample is being worked on"),
            Field("sample_open", 1, 1, "some bytes of a sample came, but not yet all"),
            Field("result_valid", 2, 1, "there is a result, and no later sample has begun"),
            Field(
                "result_trusted",
                3,
                1,
                "memory_good held from the first byte of the result's sample to its end, and memory_error is 0 now",
            ),
            Field("memory_good", 4, 1, "since the last change every store was read once and agreed"),
            Field("memory_error", 5, 1, "a store disagreed; stays until a change or a rescan"),
            Field("external_stalled", 6, 1, "the external memory does not answer; stays as memory_error does"),
            Field("external_failed", 7, 1, "it answered with an error; stays as memory_error does"),
            Field("bad_stores", 8, 4, "bit s: store s disagreed; stays as long as memory_error"),
        ),
        reset=None,
    ),
    Register(
        "command",
        0x004,
        Access.WO,
        "Each bit that is set acts once.",
        fields=(
            Field("core_reset", 0, 1, "drop sample and result, wait for a sample; stores and settings stay"),
            Field("clear_frames", 1, 1, "set frames_good and frames_dropped to 0"),
            Field("rescan", 2, 1, "forget memory_good and memory_error and read all stores again"),
        ),
    ),
    Register("result_class", 0x005, Access.RO, "Class of the last result; ties go to the lowest."),
    Register("result_number", 0x006, Access.RO, "Results since the last core_reset, modulo 2**16."),
    Register("sample_bytes", 0x007, Access.RO, "Bytes taken of the present sample; 0 when its result is complete."),
    Register(
        "sample_length",
        0x008,
        Access.RW,
        "Bytes of one sample of the loaded model; further bytes wait for the result. A built-in model sets it. "
        "A length that the machine cannot hold is refused with an error. Write it between samples.",
        reset=None,
    ),
    Register("pass", 0x009, Access.RO, "Pass of the layer program at work."),
    Register("frames_good", 0x00A, Access.RO, "Good frames that the link has received, modulo 2**16."),
    Register("frames_dropped", 0x00B, Access.RO, "Frames that the link has dropped, modulo 2**16."),
    Register("scans", 0x00C, Access.RO, "Whole scans that agreed since the last change or rescan, modulo 2**16."),
    Register(
        "classes",
        0x00D,
        Access.RW,
        "Logits of a result of the loaded model: a note from whoever loads it to whoever reads.",
        reset=None,
    ),
    Register(
        "load_address",
        0x00E,
        Access.RW,
        "Where the next word of load_data goes. Each word moves it on, over the chunks of a row, then over rows.",
        fields=(
            Field("row", 0, 22, "row of the store"),
            Field("chunk", 22, 8, "16-bit chunk of the row"),
            Field("store", 30, 2, "number of the store"),
        ),
        only="AXI",
    ),
    Register(
        "load_data",
        0x00F,
        Access.WO,
        "Bits 15..0 go into a store. Refused with an error, without effect: outside of a store that can be loaded, "
        "while a sample is taken or worked on, with a bit of 31..16 set.",
        only="AXI",
    ),
    Register(
        "check_rows",
        0x010,
        Access.RW,
        "Rows of the store that are checked, from row 0; 0: none; more than store_rows are no scan of the store, "
        "whatever it finds. A number of more bits than the largest store_rows is refused. A write starts the scan "
        "anew.",
        count=len(STORES),
        reset=None,
    ),
    Register(
        "check_expected",
        0x014,
        Access.RW,
        "CRC-32 (that of zlib) that the checked rows must have, each row as 16-bit little-endian chunks, least "
        "significant first; 0 for no rows. A write starts the scan anew.",
        count=len(STORES),
        reset=None,
    ),
    Register("check_found", 0x018, Access.RO, "CRC-32 that the last scan of the store found.", count=len(STORES)),
    Register("store_rows", 0x01C, Access.RO, "Rows of the store.", count=len(STORES), reset=None),
    Register(
        "store_chunks", 0x020, Access.RO, "16-bit chunks of one row of the store.", count=len(STORES), reset=None
    ),
    Register(
        "events",
        0x024,
        Access.RW,
        "What happened; each bit stays until a 1 is written to it. `irq` is high while one is set that is enabled.",
        fields=_EVENTS,
        only="AXI",
    ),
    Register("event_enable", 0x025, Access.RW, "Events that raise `irq`.", fields=_EVENTS, only="AXI"),
    Register(
        "boot",
        0x026,
        Access.RO,
        "What became of the image in the board's flash. Only boards that load a model at power-up have it.",
        fields=(
            Field(
                "state",
                0,
                3,
                "0 it is being read, 1 loaded, 2 its CRC is wrong, 3 broken off while it was loaded, 4 there is "
                "none, 5 of another format, 6 for another machine, 7 too long; from 4 on, and at 2, the core is as "
                "it was",
            ),
        ),
        only="link",
    ),
    Register(
        "external_base",
        0x028,
        Access.RW,
        "Byte address, on `m_axi`, of the first word of the streamed weights: bits 31..0, then bits 63..32. Word 1 "
        "makes both hold and starts the check anew, so write it last. A word 0 that is no multiple of the memory's "
        "words, and any write while a sample is taken or worked on, is refused. A reset leaves it; the value "
        "after power-up stands for no memory. There only where weights are a stream.",
        count=2,
        reset=(1 << WORD_BITS) - 1,
        only="AXI",
    ),
    Register(
        "model_digest",
        0x030,
        Access.RW,
        "Digest of the loaded model, byte 0 in bits 7..0 of word 0: a note like `classes`.",
        count=8,
        reset=None,
    ),
    Register(
        "machine",
        0x040,
        Access.RO,
        "Parameters of the machine that was built, one word each (below); the rest reads 0.",
        count=64,
        reset=None,
    ),
    Register(
        "logits",
        0x100,
        Access.RO,
        "Logits of the last result, sign-extended. Words up to the machine's max_classes exist.",
        count=highest("max_classes"),
        reset=None,
        signed=True,
    ),
    Register(
        "counters",
        0x800,
        Access.RO,
        "Counters of the passes of the last sample: word 4 p + k belongs to pass p; k = 0 cycles, 1 events, "
        "2 rows, 3 waits for streamed weights (else 0). Passes up to the machine's instructions exist. Defined "
        "while busy is 0.",
        count=4 * highest("instructions"),
        reset=None,
    ),
)

#: Name -> register, in the order of the addresses.
REGISTERS: dict[str, Register] = {register.name: register for register in _MAP}


def literals(key: str) -> tuple[str, ...]:
    """The literals of a machine key that is no number."""
    return get_args(Machine.model_fields[key].annotation)


def machine_words(machine: Machine) -> list[int]:
    """Contents of the registers `machine`: its fields in order, a literal as its index among its choices, then
    zeros."""
    values = {key: getattr(machine, key) for key in MACHINE_KEYS}
    words = [literals(key).index(value) if literals(key) else value for key, value in values.items()]
    return words + [0] * (REGISTERS["machine"].count - len(words))


def machine_from_words(words: Sequence[int]) -> Machine:
    """The machine that `machine_words` described. Raises `FitError` for words that describe none."""
    fields = list(MACHINE_KEYS)
    if len(words) < len(fields):
        raise FitError(f"machine: {len(words)} words read from the device, {len(fields)} are needed")
    if any(words[len(fields) :]):
        raise FitError("machine: the device has parameters that this version does not know; use a newer ds2ta")
    values: dict[str, int | str] = {}
    for key, word in zip(fields, words, strict=False):
        choices = literals(key)
        if choices and not 0 <= word < len(choices):
            raise FitError(f"machine: {key}: word is {word}, its choices end at {len(choices) - 1}")
        values[key] = choices[word] if choices else int(word)
    return machine_from_dict(values)
