# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a model asks of a machine, and the refusal when the machine has less."""

from ds2ta.errors import FitError
from ds2ta.gateware.machine import Machine
from ds2ta.intervals import refuse_unless_held, widths
from ds2ta.model import IntegerModel

__all__ = ["needs", "refuse"]

#: Quantities of the interval analysis that a machine has as `<name>_width`.
_WIDTHS = ("acc", "current", "param", "membrane", "attention", "logit")


def needs(model: IntegerModel, time_steps: int | None = None) -> dict[str, int]:
    """What a model asks of a machine, apart from store depths: widths from interval analysis, shapes, kinds.
    `time_steps`: those of the machine, where it has more than the model (its neurons then run on)."""
    network, found = model.network, widths(model, time_steps=time_steps)
    weight_bits = max(layer.bits for layer in model.synapses.values())
    acc_width = max(4, found.acc, weight_bits + found.max_shift)  # the engine holds any single product too
    return {
        "time_steps": network.time_steps,
        "weight_bits": weight_bits,
        "max_shift": found.max_shift,
        "max_planes": found.planes,
        "max_window": max(layer.window for layer in model.synapses.values()),
        "max_tau": max(layer.tau for layer in model.synapses.values()),
        "acc_width": acc_width,
        "current_width": max(4, found.current),
        "param_width": max(4, found.param),
        "membrane_width": max(4, found.membrane),
        "attention_width": max(2, found.attention),
        "logit_width": max(found.logit, acc_width),
        "denoiser_bits": network.denoiser_bits,
        "max_tokens": network.tokens,
        "max_heads": network.heads,
        "max_head_dim": network.head_dim,
        "max_channels": network.input.channels,
        "max_bits": network.input.bits,
        "max_classes": network.classes,
        "denoiser_entries": max(1, network.depth * network.embed_dim),
    }


def refuse(model: IntegerModel, machine: Machine) -> None:
    """Everything but the store depths."""
    network = model.network
    if network.input.kind != "image" and machine.samples == "images":
        raise FitError(f"model {network.name}: its samples are {network.input.kind}, the machine's images")
    if network.leak_shift != machine.leak_shift:
        raise FitError(
            f"model {network.name}: leak_shift is {network.leak_shift}, the machine's is {machine.leak_shift}"
        )
    if network.head_dim % machine.row_lanes:
        raise FitError(
            f"model {network.name}: a head has {network.head_dim} channels, "
            f"it must be a multiple of the machine's row_lanes, {machine.row_lanes}"
        )
    if network.embed_dim > machine.lanes and network.embed_dim % machine.lanes:
        raise FitError(
            f"model {network.name}: embed_dim {network.embed_dim} must be a multiple of the machine's lanes, "
            f"{machine.lanes}, or not more than them"
        )
    steps = max(network.time_steps, machine.time_steps)
    keys = {name: f"{name}_width" for name in _WIDTHS} | {"max_shift": "max_shift", "planes": "max_planes"}
    limits = {name: getattr(machine, key) for name, key in keys.items()}
    refuse_unless_held(widths(model, time_steps=steps), limits, keys)
    for key, need in needs(model, steps).items():
        if need > getattr(machine, key):
            raise FitError(f"model {network.name}: {key} must be {need}, the machine has {getattr(machine, key)}")
