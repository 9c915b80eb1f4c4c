# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Contents of the weight and parameter stores, row by row, as the engine and the LIF array read them."""

import numpy as np

from ds2ta.errors import FitError
from ds2ta.gateware.machine import Machine
from ds2ta.model import Synapse

__all__ = ["StoreImages"]


class StoreImages:
    """Grows layer by layer; rows are packed integers, lane 0 in the least significant bits."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.weight_image: list[int] = []
        self.parameter_image: list[int] = []

    def weights(self, layer: Synapse, tap_weights: int, lines: int = 1) -> int:
        """Append a layer's weight rows: tile, tap, channel. Returns the first row's address. With more `lines` than
        one, a layer of one tile has `lines + 2` taps in y, and those of output line l lie in the lanes behind those
        of l - 1 (whole rows each), l taps lower."""
        lanes, bits = self.machine.lanes, self.machine.weight_bits
        if layer.bits > bits:
            raise FitError(f"layer {layer.name}: its weights have {layer.bits} bits, the machine's have {bits}")
        weight = layer.weight.astype(np.int64)
        if lines > 1:
            weight = self._lowered(weight, lines)
        weight = weight.reshape(*weight.shape[:2], -1)
        tiles = -(-weight.shape[0] // lanes)
        padded = np.zeros((tiles * lanes, tap_weights, weight.shape[2]), dtype=np.int64)
        padded[: weight.shape[0], : weight.shape[1]] = weight
        codes = (padded & ((1 << bits) - 1)).reshape(tiles, lanes, tap_weights, -1)
        while len(self.weight_image) % self.machine.row_lanes:  # the zero skip ORs the channel into the address
            self.weight_image.append(0)
        base = len(self.weight_image)
        rows = codes.transpose(0, 3, 2, 1).reshape(-1, lanes)
        for row in rows.tolist():
            self.weight_image.append(sum(code << (lane * bits) for lane, code in enumerate(row)))
        return base

    def _lowered(self, weight: np.ndarray, lines: int) -> np.ndarray:
        """Weights `[K, C, 3, 3]` of `lines` output lines: `[lines whole rows, C, lines + 2, 3]`."""
        outputs, inputs, high, wide = weight.shape
        each = -(-outputs // self.machine.row_lanes) * self.machine.row_lanes
        found = np.zeros((lines * each, inputs, lines - 1 + high, wide), weight.dtype)
        for line in range(lines):
            found[line * each : line * each + outputs, :, line : line + high] = weight
        return found

    def parameters(self, layer: Synapse, drain_groups: int) -> int:
        """Append a layer's neuron parameter rows: tile, group of drain lanes."""
        machine = self.machine
        width, lanes = machine.param_width, machine.drain_lanes
        top = (1 << (width - 1)) - 1
        tiles = -(-layer.spec.outputs // machine.lanes)
        base = len(self.parameter_image)
        for tile in range(tiles):
            for group in range(drain_groups):
                row = 0
                for lane in range(lanes):
                    channel = tile * machine.lanes + group * lanes + lane
                    bias, margin = 0, top  # a padded channel never fires
                    if channel < layer.spec.outputs:
                        bias = int(layer.bias[channel])
                        margin = 0 if layer.threshold is None else int(layer.threshold[channel]) - bias
                    for what, value in (("bias", bias), ("margin", margin)):
                        if not -top - 1 <= value <= top:
                            raise FitError(
                                f"layer {layer.name}: {what} {value} of channel {channel} "
                                f"does not fit the machine's param_width of {width} bits"
                            )
                    mask = (1 << width) - 1
                    row |= (bias & mask) << (lane * width)
                    row |= (margin & mask) << ((lanes + lane) * width)
                self.parameter_image.append(row)
        return base
