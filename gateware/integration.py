# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What lies beside emitted Verilog for those who build it into a design of their own: a README of its ports, an
instance to copy, clock constraints, a timing diagram, and a test bench with one sample that needs no Python."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jinja2
import wavedrom
from amaranth.hdl import Shape
from amaranth.lib import data, stream, wiring

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import REGISTERS, STORES
from ds2ta.gateware.stores import CHUNK, load_layout, memory_image, store_images, store_shapes
from ds2ta.model import IntegerModel

__all__ = ["PayloadField", "Run", "companions", "payload_fields"]

#: Where the bench of the AXI shell keeps streamed weights.
BASE = 0x1000
_MEGAHERTZ = 50.0  # of the constraints where the design has no clock of its own


@dataclass(frozen=True)
class Run:
    """What a test bench shows: the bytes of a sample as the machine takes them, and what it must make of them.
    `cycles`: from the first byte to the end, weights that are a stream coming as fast as they are taken. `cells`:
    Verilog of the vendor cells that a design may have inside."""

    sample: Sequence[int]
    logits: Sequence[int]
    class_index: int
    cycles: int
    cells: str


@dataclass(frozen=True)
class PayloadField:
    """Bits `high`..`low` of a stream's payload."""

    name: str
    low: int
    width: int
    signed: bool

    @property
    def high(self) -> int:
        return self.low + self.width - 1

    @property
    def text(self) -> str:
        """As it stands in a table."""
        bits = f"[{self.high}:{self.low}]" if self.width > 1 else f"[{self.low}]"
        return f"`{self.name}` {bits}{', signed' if self.signed else ''}"


def payload_fields(layout: data.StructLayout) -> list[PayloadField]:
    """The fields of a payload, the lowest first."""
    return [PayloadField(name, field.offset, field.width, Shape.cast(field.shape).signed) for name, field in layout]


def companions(
    component: wiring.Component,
    top: str,
    ports: Mapping[str, tuple[str, int]],
    *,
    model: IntegerModel,
    machine: Machine,
    program: Program,
    run: Run,
    predicted: Sequence[int],
    clock_hz: int | None,
    memory_file: str,
    has_cells: bool,
) -> dict[str, str]:
    """File name -> text. `ports` of the emitted module `top`: name -> direction and width; `clock_hz` with the AXI
    shell; `memory_file`: the file of weights that are a stream; `has_cells`: the design has vendor cells inside."""
    axi = clock_hz is not None
    streams = {} if axi else _streams(component)
    shapes = store_shapes(machine)
    words = len(memory_image(machine, program)) * 8 // machine.memory_bits if machine.streams else 0
    loads = [] if axi else _load_words(machine, program)
    writes = _writes(model, machine, program, len(run.sample)) if axi else []
    idle = [name for name in ports if name in ("counter_address", *(f"scan__{end}" for end in _SCAN_IN))]
    driven = {"clk", "rst", "busy", "weights_restart", "weights_freed", *idle}
    prefixes = tuple(f"{name}__" for name in streams)
    known: dict[str, Any] = {
        "top": top,
        "axi": axi,
        "model": model,
        "machine": machine,
        "run": run,
        "predicted": predicted,
        "version": version("ds2ta"),
        "ports": {name: {"way": way, "width": width} for name, (way, width) in ports.items()},
        "meanings": {} if axi else _members(type(component)),
        "fields": {name: payload_fields(layout) for name, layout in streams.items()},
        "bits": {name: layout.size for name, layout in streams.items()},
        "idle": idle,
        "open": [name for name in ports if name not in driven and not name.startswith(prefixes)],
        "clocks": ("aclk", "aresetn") if axi else ("clk", "rst"),
        "clock": "aclk" if axi else "clk",
        "reset": "aresetn" if axi else "rst",
        "megahertz": clock_hz / 1e6 if clock_hz else _MEGAHERTZ,
        "loads": len(loads),
        "writes": len(writes),
        "words": words,
        "word_bits": machine.memory_bits,
        "memory": memory_file,
        "cells": f" {top}_tb_cells.v" if has_cells else "",
        "base": BASE,
        "registers": REGISTERS,
        "status": {field.name: field.low for field in REGISTERS["status"].fields},
        "address": {name: 4 * register.address for name, register in REGISTERS.items()},
        "shapes": shapes,
        "chunk": CHUNK,
    }
    texts = jinja2.Environment(
        loader=jinja2.PackageLoader("ds2ta.gateware"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    bench = "axi_tb.v.j2" if axi else "accelerator_tb.v.j2"
    diagram = _diagram(run, axi=axi)
    found = {
        "README.md": texts.get_template("README.md.j2").render(known),
        f"{top}_instance.v": texts.get_template("instance.v.j2").render(known),
        f"{top}.sdc": texts.get_template("constraints.sdc.j2").render(known),
        f"{top}_tb.v": texts.get_template(bench).render(known),
        f"{top}_tb_sample.hex": _hex(run.sample, 8),
        f"{top}_tb_logits.hex": _hex([logit & 0xFFFFFFFF for logit in run.logits], 32),
        "timing.json": json.dumps(diagram, indent=1) + "\n",
        "timing.svg": wavedrom.render(json.dumps(diagram)).tostring() + "\n",
    }
    if has_cells:
        found[f"{top}_tb_cells.v"] = run.cells
    if loads:
        found[f"{top}_tb_load.hex"] = _hex(loads, load_layout(machine).size)
    if writes:
        found[f"{top}_tb_writes.hex"] = _hex([address << 32 | word for address, word in writes], 48)
    return found


_SCAN_IN = ("enable", "store", "row", "chunk")


def _hex(values: Sequence[int], bits: int) -> str:
    """A file for `$readmemh`."""
    return "".join(f"{value:0{-(-bits // 4)}x}\n" for value in values)


def _streams(component: wiring.Component) -> dict[str, data.StructLayout]:
    """Streams of a component by name: the layout of the payload."""
    return {
        name: member.signature.members["payload"].shape
        for name, member in component.signature.members.items()
        if member.is_signature and isinstance(member.signature, stream.Signature)
    }


def _members(component: type) -> dict[str, str]:
    """What the docstring of a component says of its members."""
    text = inspect.getdoc(component) or ""
    _, _, listed = text.partition("Members\n-------\n")
    found: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        if at := re.match(r"(\w+(?:, [\w*]+)*)(?: \([^)]*\))?: (.*)", line):
            name = at[1]
            found[name] = at[2]
        elif line.startswith("  ") and name:
            found[name] += f" {line.strip()}"
    return {one: meaning for names, meaning in found.items() for one in names.split(", ")}


def _load_words(machine: Machine, program: Program) -> list[int]:
    """Payloads of the load stream that fill the stores of a machine, as many as can be loaded."""
    layout, images = load_layout(machine), store_images(program)
    return [
        layout.const({"store": shape.number, "row": row, "chunk": chunk, "data": word}).as_value().value
        for name, shape in store_shapes(machine).items()
        if shape.inside
        for row, value in enumerate(images[name])
        for chunk, word in enumerate(shape.split(value))
    ]


def _writes(model: IntegerModel, machine: Machine, program: Program, length: int) -> list[tuple[int, int]]:
    """(byte address, word) of the writes with which a host fills and sets up the shell, in order; none where the
    model is built in."""
    if machine.weights == machine.tables == "rom":
        return []
    images, shapes = store_images(program), store_shapes(machine)
    found: list[tuple[int, int]] = []

    def write(name: str, value: int, index: int = 0) -> None:
        found.append((4 * (REGISTERS[name].address + index), value))

    for name, shape in shapes.items():
        if shape.inside:
            write("load_address", REGISTERS["load_address"].encode(store=shape.number))
            for value in images[name]:
                for word in shape.split(value):
                    write("load_data", word)
    if machine.streams:
        write("external_base", BASE & 0xFFFFFFFF, 0)
        write("external_base", BASE >> 32, 1)
    for number, name in enumerate(STORES):
        write("check_rows", len(images[name]), number)
        write("check_expected", shapes[name].crc(images[name]), number)
    write("sample_length", length)
    write("classes", model.network.classes)
    return found


def _diagram(run: Run, *, axi: bool) -> dict[str, Any]:
    """WaveJSON: the first bytes of a sample, a pause, the last byte, the logits, the answer's end."""
    first, *_, last = run.sample
    logits = run.logits
    if axi:
        sample, result, clock = "s_axis", "m_axis", "aclk"
        names = ["tdata", "tvalid", "tready", "tlast"]
        closing = [f"0x{0x30000 | run.class_index:x}"]
    else:
        sample, result, clock = "sample__", "result__", "clk"
        names = ["payload", "valid", "ready"]
        closing = []

    def of(prefix: str, name: str) -> str:
        return f"{prefix}_{name}" if axi else f"{prefix}{name}"

    beats = [
        str(logits[0]),
        str(logits[1]),
        "…",
        *([str(logits[-1])] if not closing else [str(logits[-1]), *closing]),
    ]
    tail = "=" * len(beats)
    quiet = "x" + "." * (len(beats) - 1)
    signals = [
        {"name": clock, "wave": "p......|..|." + "." * len(beats) + "."},
        [
            "sample",
            {
                "name": of(sample, names[0]),
                "wave": "x==.x=.|=x|." + "." * len(beats) + ".",
                "data": [f"{first}", f"{run.sample[1]}", "byte 2", f"{last}"],
            },
            {"name": of(sample, names[1]), "wave": "01..01.|10|." + "." * len(beats) + "."},
            {"name": of(sample, names[2]), "wave": "1.01...|1.|0" + "." * len(beats) + "."},
            *([{"name": of(sample, "tlast"), "wave": "0......|10|." + "." * len(beats) + "."}] if axi else []),
        ],
        [
            "result",
            {
                "name": of(result, names[0]),
                "wave": "x......|..|" + "x" + tail + "x",
                "data": beats,
            },
            {"name": of(result, names[1]), "wave": "0......|..|01" + quiet[1:] + "0"},
            {"name": of(result, names[2]), "wave": "1......|..|." + "." * len(beats) + "."},
            *(
                [{"name": of(result, "tlast"), "wave": "0......|..|." + "." * (len(beats) - 1) + "10"}]
                if axi
                else [{"name": "busy", "wave": "0.1....|..|." + "." * len(beats) + "0"}]
            ),
        ],
    ]
    return {
        "signal": signals,
        "head": {"text": f"{len(run.sample)} bytes, {run.cycles} cycles from the first byte to the end"},
        "config": {"hscale": 2},
    }
