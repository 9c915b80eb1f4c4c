# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a model asks of a machine, and the refusal when the machine has less, with the parameter that mends it."""

from collections.abc import Mapping

from ds2ta.errors import FitError
from ds2ta.gateware.machine import Machine, highest
from ds2ta.intervals import refuse_unless_held, widths
from ds2ta.model import IntegerModel

__all__ = ["WIDTHS", "cure", "needs", "refuse", "refuse_lacks", "refuse_what_none_has", "row_lanes_for"]

#: Quantities of the interval analysis that a machine has as `<name>_width`.
WIDTHS = ("acc", "current", "param", "membrane", "attention", "logit")

#: What to change in a model that asks for more than any machine has, where a model can.
_OF_THE_MODEL = {
    "max_tokens": "one more pool in its stem or a smaller input takes fewer",
    "max_head_dim": "more heads of its embed_dim are smaller ones",
    "bank_rows": "wider row_lanes, a smaller input or fewer channels take fewer",
    "weight_rows": "more lanes, or a smaller network, take fewer",
}


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


def cure(machine: Machine, *ways: Mapping[str, int | str]) -> str:
    """The end of a refusal: settings, any of `ways`, with which the machine takes the model. Each is followed by
    those that the machine's own rules demand with it."""
    return f"; {' or '.join(' '.join(_settings(machine, way)) for way in ways)} takes it"


def _settings(machine: Machine, way: Mapping[str, int | str]) -> list[str]:
    was = machine.model_dump()
    now = {**was, **way}
    for key in ("drain_lanes", "score_channels"):
        now[key] = min(now[key], now["row_lanes"])
    now["max_lines"] = min(now["max_lines"], now["lanes"] // now["row_lanes"])
    now["acc_width"] = max(now["acc_width"], now["weight_bits"] + now["max_shift"])
    now["logit_width"] = max(now["logit_width"], now["acc_width"])
    order = [*way, *(key for key in now if key not in way)]
    return [f"--set {key}={now[key]}" for key in order if now[key] != was[key]]


def refuse_what_none_has(model: IntegerModel, asked: Mapping[str, int]) -> None:
    """Refuse what is beyond the largest machine: there the model must change."""
    for key, need in asked.items():
        if need > (most := highest(key)):
            mend = f": {_OF_THE_MODEL[key]}" if key in _OF_THE_MODEL else ""
            raise FitError(
                f"model {model.network.name}: {key} must be {need}, no machine has more than {most}{mend}"
            )


def row_lanes_for(head_dim: int) -> list[int]:
    """The row_lanes that divide a head, the largest first."""
    return [lanes for lanes in (32, 16, 8, 4) if head_dim % lanes == 0]


def _refuse_shape(model: IntegerModel, machine: Machine) -> None:
    """Heads that are no whole rows."""
    network = model.network
    if network.head_dim % machine.row_lanes:
        refusal = (
            f"model {network.name}: a head has {network.head_dim} channels, "
            f"it must be a multiple of the machine's row_lanes, {machine.row_lanes}"
        )
        fitting = row_lanes_for(network.head_dim)
        if not fitting:
            raise FitError(f"{refusal}, and of 4 on any machine: fewer heads, or another embed_dim, make it one")
        raise FitError(refusal + cure(machine, {"row_lanes": fitting[0]}))


def refuse(model: IntegerModel, machine: Machine) -> None:
    """Everything but the store depths."""
    network = model.network
    if network.input.kind != "image" and machine.samples == "images":
        refusal = f"model {network.name}: its samples are {network.input.kind}, the machine's images"
        raise FitError(refusal + cure(machine, {"samples": "any"}))
    if network.leak_shift != machine.leak_shift:
        refusal = f"model {network.name}: leak_shift is {network.leak_shift}, the machine's is {machine.leak_shift}"
        raise FitError(refusal + cure(machine, {"leak_shift": network.leak_shift}))
    for name, shift in model.leaks.items():
        raise FitError(
            f"model {network.name}: the leak shift of {name} is {shift}, the network's {network.leak_shift}: a "
            "machine has one leak for all neurons; golden models run it, hardware needs a network trained with one"
        )
    _refuse_shape(model, machine)
    steps = max(network.time_steps, machine.time_steps)
    asked = needs(model, steps)
    refuse_what_none_has(model, asked)
    keys = {name: f"{name}_width" for name in WIDTHS} | {"max_shift": "max_shift", "planes": "max_planes"}
    limits = {name: getattr(machine, key) for name, key in keys.items()}
    # what is named is the first in the way; what mends it is all that the machine has too little of
    lacks = {key: need for key, need in asked.items() if need > getattr(machine, key)}
    cures = {name: cure(machine, {key: asked[key], **lacks}) for name, key in keys.items()}
    refuse_unless_held(widths(model, time_steps=steps), limits, keys, cures)
    refuse_lacks(model, machine, lacks)


def refuse_lacks(model: IntegerModel, machine: Machine, lacks: Mapping[str, int]) -> None:
    """Refuse what the machine has too little of, if there is any."""
    for key, need in lacks.items():
        refusal = f"model {model.network.name}: {key} must be {need}, the machine has {getattr(machine, key)}"
        raise FitError(refusal + cure(machine, lacks))
