"""Machines for the shipped models: the choices that each makes; what it needs follows from its model."""

__all__ = ["ECP5", "ICE40", "MACHINES"]

#: Model name -> choices of `gateware.machine.Machine`.
MACHINES = {
    # fits an iCE40 UP5K with the weights in its single-port RAM (`weights="spram"`)
    "digits-tiny": {"lanes": 8, "row_lanes": 8, "drain_lanes": 4, "score_channels": 8, "buffer_rows": 4},
    # an ECP5-85F, everything on the chip, its multiplier blocks as TASA shifters
    "digits-small": {
        "lanes": 64,
        "row_lanes": 32,
        "drain_lanes": 32,
        "score_channels": 16,
        "buffer_rows": 3,
        "shifters": "multipliers",
    },
}

#: What changes when a model's machine goes onto another family than the one that it was chosen for.
ICE40 = {"weights": "spram", "shifters": "logic"}  # weights do not fit its block RAM, multipliers are few
ECP5 = {"digits-tiny": {"lanes": 32, "drain_lanes": 8, "shifters": "multipliers"}}  # room for every channel at once
