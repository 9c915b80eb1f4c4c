# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Neuron parameters: joins each input current with the bias and margin of its neurons.

Parameter rows lie in drain order: tile of output channels, group of R lanes. A group keeps its row until its last
beat (`group_last`); the pointer returns to the tile's first row after every output line of a commit (`last`) and
runs on after the tile's last one.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from ds2ta.hw.lif import neuron_layout
from ds2ta.hw.payloads import check_power_of_two, check_range
from ds2ta.hw.tasa import current_layout

__all__ = ["ParameterFetch", "parameter_layout"]


def parameter_layout(*, lanes: int, param_width: int) -> data.StructLayout:
    """A stored row: `bias` B and `margin` Theta - B of R neurons."""
    values = ArrayLayout(signed(param_width), lanes)
    return data.StructLayout({"bias": values, "margin": values})


class ParameterFetch(wiring.Component):
    """`o = (i, parameters[row of i's neurons])`.

    Latency 0 (the row of the next group is read while the last beat of a group passes), 1 if `registered`.
    Throughput one beat a cycle, stalls pass through.

    Parameters: `lanes` R, widths; `registered`: beat and parameters go through a register, for a device whose block
    RAM is so slow that no adder may follow it.

    Members: `start` loads `base`, the row of the layer's first group; `visits_last`: output lines of the
    commits of a tile, less one; `read_address`, `read_data`: the parameter store (synchronous, latency 1, enabled
    in every cycle); `i`, `o` streams; `stored`: the store's output, in a cycle without beats one cycle late if
    `registered`.
    """

    def __init__(
        self,
        *,
        lanes: int,
        current_width: int,
        param_width: int,
        address_width: int,
        count_width: int,
        registered: bool = False,
    ):
        check_power_of_two("Lanes", lanes, 1, 32)
        check_range("Current width", current_width, 1, 64)
        check_range("Parameter width", param_width, 2, 48)
        check_range("Address width", address_width, 1, 24)
        check_range("Count width", count_width, 1, 16)
        self._registered = registered
        super().__init__(
            {
                "start": In(1),
                "base": In(address_width),
                "visits_last": In(count_width),
                "i": In(stream.Signature(current_layout(lanes=lanes, width=current_width))),
                "read_address": Out(address_width),
                "read_data": In(parameter_layout(lanes=lanes, param_width=param_width)),
                "o": Out(
                    stream.Signature(
                        neuron_layout(lanes=lanes, current_width=current_width, param_width=param_width)
                    )
                ),
                "stored": Out(parameter_layout(lanes=lanes, param_width=param_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pointer, tile = Signal.like(self.base), Signal.like(self.base)
        visit = Signal.like(self.visits_last)
        tile_ends = Signal()  # this is the tile's last position
        following = Signal.like(self.base)
        beat = self.i.payload
        output = [
            self.o.valid.eq(self.i.valid),
            self.stored.eq(self.read_data),
            *(self.o.payload[name].eq(beat[name]) for name in ("current", "t_first", "t_last", "last")),
        ]
        if self._registered:
            m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
            with m.If(self.i.ready):
                m.d.sync += output
        else:
            m.d.comb += [self.i.ready.eq(self.o.ready), *output]
        m.d.comb += [
            self.o.payload.bias.eq(self.stored.bias),
            self.o.payload.margin.eq(self.stored.margin),
            following.eq(pointer + 1),
            self.read_address.eq(pointer),
        ]
        with m.If(self.start):
            m.d.comb += self.read_address.eq(self.base)
            m.d.sync += [tile.eq(self.base), visit.eq(0), tile_ends.eq(~self.visits_last.any())]
        with m.Elif(self.i.valid & self.i.ready & beat.t_last & beat.group_last):
            m.d.comb += self.read_address.eq(Mux(beat.last & ~tile_ends, tile, following))
            with m.If(beat.last):
                m.d.sync += [visit.eq(visit + 1), tile_ends.eq(visit + 1 == self.visits_last)]
                with m.If(tile_ends):
                    m.d.sync += [tile.eq(following), visit.eq(0), tile_ends.eq(~self.visits_last.any())]
        m.d.sync += pointer.eq(self.read_address)
        return m
