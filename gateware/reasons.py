# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Why a machine is as it is: for each parameter that a model bears upon, its value and what limits it."""

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine, highest
from ds2ta.gateware.needs import WIDTHS, row_lanes_for
from ds2ta.hw.payloads import MEMORY_BITS
from ds2ta.intervals import widths
from ds2ta.model import IntegerModel

__all__ = ["Reason", "reasons"]

#: Parameter, the machine's value, the rule with the model's numbers.
Reason = tuple[str, int | str, str]


def reasons(model: IntegerModel, machine: Machine, program: Program) -> list[Reason]:
    """What limits the parameters of `machine`, which holds `model` with `program`."""
    rules = _choices(model, machine, program) | _shapes(model) | _widths(model, machine) | _depths(program)
    return [(key, getattr(machine, key), rule) for key, rule in rules.items()]


def _choices(model: IntegerModel, machine: Machine, program: Program) -> dict[str, str]:
    network = model.network
    fitting = row_lanes_for(network.head_dim)
    most = max(layer.outputs for layer in network.layers())
    lines = max(item.lines for item in program.instructions)
    kind = network.input.kind
    return {
        "row_lanes": f"divides a head of {network.head_dim} channels: {_either(fitting)}",
        "lanes": f"a multiple of row_lanes, {machine.row_lanes}; no layer has more than {most} outputs",
        "drain_lanes": f"at most row_lanes, {machine.row_lanes}",
        "score_channels": f"at most row_lanes, {machine.row_lanes}",
        "max_lines": f"{lines} used; max_lines * row_lanes is at most lanes, {machine.lanes}",
        "samples": "images alone, or any" if kind == "image" else f"any, for samples of kind {kind}",
        "leak_shift": f"equal to the network's, {network.leak_shift}",
    }


def _either(values: list) -> str:
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shapes(model: IntegerModel) -> dict[str, str]:
    network = model.network
    most = max(model.synapses.values(), key=lambda layer: layer.bits)
    windowed = max(model.synapses.values(), key=lambda layer: layer.window)
    shifted = max(model.synapses.values(), key=lambda layer: layer.tau)
    return {
        "time_steps": f"at least the network's, {network.time_steps}",
        "weight_bits": f"at least {most.bits}, of layer {most.name}",
        "max_window": f"at least {windowed.window}, of layer {windowed.name}",
        "max_tau": f"at least {shifted.tau}, of layer {shifted.name}",
        "denoiser_bits": f"at least {network.denoiser_bits}",
        "max_tokens": f"at least {network.tokens}, what the stem leaves of {network.input.height} x "
        f"{network.input.width}; {highest('max_tokens')} on the largest machine",
        "max_heads": f"at least {network.heads}",
        "max_head_dim": f"at least {network.head_dim}; {highest('max_head_dim')} on the largest machine",
        "max_channels": f"at least {network.input.channels}",
        "max_bits": f"at least {network.input.bits}",
        "max_classes": f"at least {network.classes}",
    }


def _widths(model: IntegerModel, machine: Machine) -> dict[str, str]:
    """The layer that needs the most of each, in the worst case over all inputs."""
    found = widths(model, time_steps=machine.time_steps)
    rules = {}
    for quantity in (*WIDTHS, "max_shift"):
        most = max(found.parts, key=lambda part: part.need(quantity))
        key = quantity if quantity == "max_shift" else f"{quantity}_width"
        rules[key] = f"at least {most.need(quantity)}, of layer {most.name}"
    return rules | {"max_planes": f"at least {found.planes}, of the residual stream"}


def _depths(program: Program) -> dict[str, str]:
    largest = max(program.regions.values(), key=lambda region: region.rows)
    tile = max(program.instructions, key=lambda item: item.tile_rows)
    ring = {}
    if tile.tile_rows:
        ring = {
            "ring_rows": f"a multiple of 32, at least {tile.tile_rows}, a tile of layer {tile.name}",
            "memory_bits": f"{', '.join(map(str, MEMORY_BITS))}: those of the memory",
        }
    return ring | {
        "bank_rows": f"at least {program.bank_rows}; the largest tensor is {largest.name}, {largest.rows} rows",
        "weight_rows": f"at least {len(program.weight_image)}; fewer with more lanes",
        "parameter_rows": f"at least {len(program.parameter_image)}; fewer with more drain_lanes",
        "denoiser_entries": f"at least {len(program.denoiser_image)}",
        "instructions": f"at least {len(program.instructions)}",
    }
