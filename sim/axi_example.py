# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The worked example of `docs/axi.md`: written from the model, read back by the bench, which replays it.

`python -m ds2ta.sim.axi_example` puts it into the document anew.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ds2ta.files import DOCS, demand_checkout, model_path
from ds2ta.gateware.axi.stream import closing_layout
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.registers import IDENTITY, REGISTERS
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.stores import store_images, store_shapes
from ds2ta.golden import slow
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model
from ds2ta.sim.axi_host import store_words
from ds2ta.sim.stream import pack

__all__ = ["DOCUMENT", "MODEL", "Transaction", "block", "example", "machine", "transactions"]

DOCUMENT = DOCS / "axi.md"
MODEL = model_path("digits-tiny")
_SHOWN = 3  # words of a store that are spelled out
_FENCE = re.compile(r"^```transactions\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Transaction:
    """One line. `kind`: write and read (address, word), until (address, mask: read until a bit of it is set), rest
    (store, number of words), s_axis and m_axis (words of one beat each; `last`: TLAST on the last of them)."""

    kind: str
    words: tuple[int, ...] = ()
    store: str = ""
    last: bool = False


def machine(model: IntegerModel) -> Machine:
    """The machine of the example: that of the shipped model, everything loaded through AXI."""
    return fit(model, **{**MACHINES[model.network.name], "weights": "ram", "tables": "ram"})[0]


def _write(register: str, value: int, remark: str, index: int = 0) -> str:
    name = register if REGISTERS[register].count == 1 else f"{register}[{index}]"
    return f"write {4 * REGISTERS[register].at(index):04X} {value:08X}  {name}{remark and ': ' + remark}"


def _read(register: str, value: int, remark: str, index: int = 0) -> str:
    return _write(register, value, remark, index).replace("write", "read ", 1)


def example(model: IntegerModel, machine: Machine) -> Iterator[str]:
    """The lines, from identification to the first answer."""
    shapes, images = store_shapes(machine), store_images(compile_model(model, machine))
    yield _read("id", IDENTITY, '"D2TA"')
    for store, words in store_words(model, machine).items():
        address = REGISTERS["load_address"].encode(store=shapes[store].number)
        yield _write("load_address", address, f"store {shapes[store].number} ({store}), chunk 0 of row 0")
        for place, word in enumerate(words[:_SHOWN]):
            row, chunk = divmod(place, shapes[store].chunks)
            yield _write("load_data", word, f"row {row}, bits {16 * chunk + 15}..{16 * chunk}")
        yield f"rest  {store} {len(words) - _SHOWN}"
    for store, shape in shapes.items():
        yield _write("check_rows", len(images[store]), store, shape.number)
        yield _write("check_expected", shape.crc(images[store]), "", shape.number)
    sample = sample_bytes(model, model.samples[0]).tobytes()
    yield _write("sample_length", len(sample), f"{len(sample)} bytes")
    yield _write("classes", model.network.classes, "")
    status = REGISTERS["status"]
    yield f"until {4 * status.address:04X} {status.encode(memory_good=1):08X}  status.memory_good"
    for place in range(0, len(sample), 16):
        part = sample[place : place + 16]
        last = "  TLAST" if place + len(part) == len(sample) else ""
        yield f"s_axis {part.hex(' ').upper()}{last}"
    logits = slow.run(model, model.samples[0])["logits"]
    winner = int(np.argmax(logits))
    for index, logit in enumerate(logits.tolist()):
        yield f"m_axis {logit & 0xFFFF_FFFF:08X}  logit {index}: {logit}"
    fields = {"class_index": winner, "valid": 1, "trusted": 1}
    yield f"m_axis {pack(closing_layout(), fields):08X}  TLAST  class {winner}, valid, trusted"
    yield _read("result_class", winner, "")
    yield _read("logits", int(logits[winner]) & 0xFFFF_FFFF, "the same by register", winner)
    yield _read("events", REGISTERS["events"].encode(result=1), "result")
    yield _write("events", REGISTERS["events"].encode(result=1), "cleared")


def block(text: str) -> str:
    """The example in the text of a document."""
    (lines,) = _FENCE.findall(text)
    return lines


def transactions(lines: str) -> Iterator[Transaction]:
    """What the lines of a block say; remarks stand behind two spaces."""
    for line in lines.splitlines():
        kind, _, rest = line.partition(" ")
        items, *remarks = rest.strip().split("  ")
        if kind == "rest":
            store, count = items.split()
            yield Transaction(kind, (int(count),), store)
        else:
            last = bool(remarks) and remarks[0] == "TLAST"
            yield Transaction(kind, tuple(int(item, 16) for item in items.split()), last=last)


def _renew() -> None:
    demand_checkout("axi_example")
    model = load_model(MODEL)
    text = DOCUMENT.read_text()
    lines = "\n".join(example(model, machine(model)))
    DOCUMENT.write_text(_FENCE.sub(lambda at: at[0].replace(f"\n{at[1]}```", f"\n{lines}\n```"), text))


if __name__ == "__main__":
    _renew()
