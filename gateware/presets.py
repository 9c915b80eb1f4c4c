"""Machines for the shipped models: the choices that each makes; what it needs follows from its model."""

__all__ = ["ECP5", "ICE40", "MACHINES"]

#: Model name -> choices of `gateware.machine.Machine`.
MACHINES = {
    # fits an iCE40 UP5K with the weights in its single-port RAM (`weights="spram"`)
    "digits-tiny": {"lanes": 8, "row_lanes": 8, "drain_lanes": 4, "score_channels": 8},
    # an ECP5-85F, everything on the chip, its multiplier blocks as TASA shifters
    "digits-small": {
        "lanes": 64,
        "row_lanes": 32,
        "drain_lanes": 32,
        "score_channels": 16,
        "shifters": "multipliers",
        "pipeline": "long",
    },
    # an ECP5-85F, as many lanes as its longest linear layers fill; loaded, so that one netlist runs any such model
    "cifar-ecp5": {
        "lanes": 128,
        "row_lanes": 32,
        "drain_lanes": 16,
        "score_channels": 32,
        "weights": "ram",
        "tables": "ram",
        "shifters": "multipliers",
        "pipeline": "long",
    },
    # an ECP5-25F: half of a sample's time goes into its pixels, which more lanes would not shorten; short rows are
    # quick to fill from two channels of two bits
    "nmnist-tiny": {
        "lanes": 32,
        "row_lanes": 8,
        "drain_lanes": 8,
        "score_channels": 8,
        "weights": "ram",
        "tables": "ram",
        "samples": "any",
        "shifters": "multipliers",
        "pipeline": "long",
    },
}

#: What changes when a model's machine goes onto another family than the one that it was chosen for.
# weights do not fit its block RAM, multipliers are few, block RAM is as fast as logic
ICE40 = {"weights": "spram", "shifters": "logic", "pipeline": "short"}
ECP5 = {
    # room for every channel at once
    "digits-tiny": {"lanes": 32, "drain_lanes": 8, "shifters": "multipliers", "pipeline": "long"}
}
