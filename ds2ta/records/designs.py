# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What recorded figures depend on: the shipped machines with the programs that they run."""

import hashlib
import json

from amaranth.back import rtlil  # type: ignore[attr-defined]  # the stubs leave it out

from ds2ta.files import DIGITS, model_path
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.stores import store_images, store_shapes
from ds2ta.gateware.verilog import signature_ports
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, model_digest

__all__ = ["design_digest", "design_text", "figures_digest"]


def design_text(model: IntegerModel) -> str:
    """All that decides about the shipped machine of a model and its program: the netlist, which holds the contents
    of ROM stores, and the contents of those that are loaded."""
    machine, program = fit(model, **MACHINES[model.network.name])
    component = Accelerator(machine, program)
    text = rtlil.convert(component, name="accelerator", ports=signature_ports(component), emit_src=False)
    loaded = {name: store_images(program)[name] for name, shape in store_shapes(machine).items() if shape.loadable}
    return text + (json.dumps(loaded) if loaded else "")


def design_digest(model: IntegerModel) -> str:
    """SHA-256 of the text."""
    return hashlib.sha256(design_text(model).encode()).hexdigest()


def figures_digest() -> str:
    """SHA-256 over everything that the figures of `ds2ta bench` depend on: the accelerators of the digit networks
    with their programs, and the models themselves."""
    found = hashlib.sha256()
    for model in (load_model(path) for path in sorted(map(model_path, DIGITS))):
        found.update(design_text(model).encode())
        found.update(model_digest(model).encode())
    return found.hexdigest()
