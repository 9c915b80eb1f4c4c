# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Machines for the models that the project makes: the choices of each; what it needs follows from its model."""

from collections.abc import Sequence

from ds2ta.errors import FitError
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.needs import row_lanes_for
from ds2ta.model import IntegerModel

__all__ = ["ECP5", "ICE40", "MACHINES", "ON_CHIP_BITS", "STREAMED", "machine_choices"]

#: Weights from a memory beside the chip, with a ring of one tile.
_OUTSIDE: dict[str, int | str] = {
    "events": 2,
    "weights": "stream",
    "tables": "ram",
    "shifters": "multipliers",
    "pipeline": "deep",
}

#: Model name -> choices of `gateware.machine.Machine`.
MACHINES: dict[str, dict[str, int | str]] = {
    # fits an iCE40 UP5K with the weights in its single-port RAM (`weights="spram"`): 2 instead of 4 drain lanes
    # save 281 LUTs for 9 % more cycles
    "digits-tiny": {
        "lanes": 8,
        "row_lanes": 8,
        "drain_lanes": 2,
        "score_channels": 8,
        "buffer_rows": 8,
    },
    # an ECP5-85F, everything on the chip, its multiplier blocks as TASA shifters
    "digits-small": {
        "lanes": 64,
        "row_lanes": 32,
        "drain_lanes": 32,
        "events": 2,
        "score_channels": 16,
        "shifters": "multipliers",
        "pipeline": "long",
    },
    # an ECP5-85F, as many lanes as the layers behind the stem have channels; 16 instead of 32 drain lanes save
    # block RAMs for 2.4 % more cycles; loaded, so that one netlist runs any model that fits
    "cifar-ecp5": {
        "lanes": 128,
        "row_lanes": 32,
        "drain_lanes": 16,
        "events": 2,
        "score_channels": 32,
        "weights": "ram",
        "tables": "ram",
        "shifters": "multipliers",
        "pipeline": "long",
    },
    # an ECP5-85F, for its memories: banks and weights together need more than the 56 block RAMs of a 25F; as many
    # lanes as most layers have channels
    "nmnist-tiny": {
        "lanes": 64,
        "row_lanes": 32,
        "drain_lanes": 32,
        "events": 2,
        "score_channels": 32,
        "weights": "ram",
        "tables": "ram",
        "samples": "any",
        "shifters": "multipliers",
        "pipeline": "long",
    },
    # an ECP5-85F and an SDRAM of 16 bits: about as many lanes as its block RAMs hold a tile for, beside a bank A of
    # what the MLP's hidden layer needs
    "vit-4-384": {
        "lanes": 96,
        "row_lanes": 32,
        "drain_lanes": 8,
        "score_channels": 32,
        "bank_a_rows": 3072,
        **_OUTSIDE,
    },
    # the same; the input comes in bands
    "vit-2-256": {
        "lanes": 96,
        "row_lanes": 16,
        "drain_lanes": 8,
        "score_channels": 16,
        "bank_a_rows": 4096,
        **_OUTSIDE,
    },
    # an ECP5-25F with an SDRAM (`ds2ta.records.mid_size`): what the planner chooses, but for 4 instead of 8 drain
    # lanes, which leave room for place and route, and for what makes it a better test: samples in bands through a
    # bank A of 1,024 rows, a ring of weights that hardly holds more than the largest tile
    "mid-96": {
        "lanes": 64,
        "row_lanes": 16,
        "drain_lanes": 4,
        "events": 2,
        "score_channels": 16,
        "buffer_rows": 8,
        "weights": "stream",
        "ring_rows": 896,
        "memory_bits": 16,
        "tables": "ram",
        "samples": "any",
        "bank_a_rows": 1024,
        "shifters": "multipliers",
        "pipeline": "long",
    },
}

#: Block RAM of the largest chip that open tools route, an ECP5-85F.
ON_CHIP_BITS = 208 * 18 * 1024
#: A network whose weights no such chip holds: they come from a memory beside it.
STREAMED: dict[str, int | str] = {"lanes": 128, "drain_lanes": 16, **_OUTSIDE}

#: What changes when a model's machine goes onto another family than the one that it was chosen for.
# weights do not fit its block RAM, multipliers are few, block RAM is as fast as logic
ICE40: dict[str, int | str] = {"weights": "spram", "events": 1, "shifters": "logic", "pipeline": "short"}
ECP5: dict[str, dict[str, int | str]] = {
    # room for every channel at once
    "digits-tiny": {
        "lanes": 32,
        "drain_lanes": 8,
        "events": 2,
        "shifters": "multipliers",
        "pipeline": "long",
    }
}


def _streamed(model: IntegerModel) -> dict[str, int | str]:
    """Choices for a network of the paper's size; none for one whose weights a chip may hold."""
    if sum(layer.weight.size * layer.bits for layer in model.synapses.values()) <= ON_CHIP_BITS:
        return {}
    row_lanes = max(row_lanes_for(model.network.head_dim), default=8)
    drain_lanes = min(int(STREAMED["drain_lanes"]), row_lanes)
    return STREAMED | {"row_lanes": row_lanes, "score_channels": row_lanes, "drain_lanes": drain_lanes}


def machine_choices(model: IntegerModel | None, settings: Sequence[str] | None) -> dict[str, int | str]:
    """The choices for a model (none: of no model), changed by `settings`, each KEY=VALUE as the option `--set`
    takes it. Raises `FitError` for one that is no parameter of a machine or lacks a number."""
    found = dict(MACHINES.get(model.network.name) or _streamed(model)) if model else {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        field = Machine.model_fields.get(key)
        if not equals or field is None:
            raise FitError(f"--set {setting}: give KEY=VALUE with KEY one of {', '.join(Machine.model_fields)}")
        if field.annotation is int:
            try:
                found[key] = int(value)
            except ValueError:
                raise FitError(f"--set {setting}: {key} takes a whole number") from None
        else:
            found[key] = value
    return found
