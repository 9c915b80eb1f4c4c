# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The words that travel between blocks: spike rows and the payloads of the streams.

A *spike word* is the `T` time steps of one neuron (bit t is step t). A *row* is `g = row_lanes` spike words, the
unit of every spike memory; flattened, bit `lane * T + t` of a row is step t of channel `lane`.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError

__all__ = [
    "MEMORY_BITS",
    "MemoryWrite",
    "RowWrite",
    "addressed_row_layout",
    "check_power_of_two",
    "check_range",
    "drain_layout",
    "event_layout",
    "memory_layout",
    "memory_port",
    "memory_write_layout",
    "pair_layout",
    "placed_words_layout",
    "row_layout",
    "run_layout",
    "spikes_layout",
    "words_layout",
]

#: Widths of an external memory's words.
MEMORY_BITS = (16, 32, 64, 128)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a hardware parameter outside `low..high`."""
    if type(value) is not int or not low <= value <= high:
        raise FitError(f"{name} must be an integer from {low} to {high}, not {value!r}")


def check_power_of_two(name: str, value: int, low: int, high: int) -> None:
    """Refuse a hardware parameter that is not a power of two in `low..high`."""
    if type(value) is not int or not low <= value <= high or value & (value - 1):
        raise FitError(f"{name} must be a power of two from {low} to {high}, not {value!r}")


def row_layout(row_lanes: int, time_steps: int) -> data.ArrayLayout:
    """One row of a spike memory: `row[lane]` is the spike word of channel `lane` of the group."""
    check_power_of_two("Row lanes", row_lanes, 4, 32)
    check_range("Time steps", time_steps, 1, 16)
    return data.ArrayLayout(unsigned(time_steps), row_lanes)


def event_layout(address_width: int, max_shift: int, time_steps: int) -> data.StructLayout:
    """One synaptic event: add weight row `address`, shifted left by `shift`, at the steps set in `mask`. `first`
    opens a new token; `flush` only moves the pending token out."""
    return data.StructLayout(
        {"address": address_width, "shift": range(max_shift + 1), "mask": time_steps, "first": 1, "flush": 1}
    )


def pair_layout(address_width: int, time_steps: int) -> data.StructLayout:
    """Two synaptic events: add weight row `low.address` at the steps set in `low.mask`, and that of `high`
    likewise; `double`: to the double of what the token has so far, since a lower bit plane begins. `first` and
    `flush` as of an event."""
    event = data.StructLayout({"address": address_width, "mask": time_steps})
    return data.StructLayout({"low": event, "high": event, "double": 1, "first": 1, "flush": 1})


def drain_layout(lanes: int, acc_width: int) -> data.StructLayout:
    """One beat of drained accumulators: a group of `lanes` channels at one time step. `t_first` and `t_last` are
    the neurons' first and last step; `group_last`: another group's neurons come next (a group of a packed layer
    comes once for each pixel of a word); `last`: the group is its output line's last, in all of its beats."""
    return data.StructLayout(
        {"value": data.ArrayLayout(signed(acc_width), lanes), "t_first": 1, "t_last": 1, "group_last": 1, "last": 1}
    )


def spikes_layout(lanes: int) -> data.StructLayout:
    """One beat of spikes: bit r of `spike` is channel r of the group at one time step; `last`: the group is its
    output line's last."""
    return data.StructLayout({"spike": unsigned(lanes), "t_first": 1, "t_last": 1, "last": 1})


def words_layout(lanes: int, time_steps: int) -> data.StructLayout:
    """The spike words of a group of `lanes` neurons, a slot of a row; `last`: the group is its output line's
    last."""
    check_range("Time steps", time_steps, 1, 16)
    return data.StructLayout({"words": data.ArrayLayout(unsigned(time_steps), lanes), "last": 1})


def placed_words_layout(lanes: int, time_steps: int, slots: int, address_width: int) -> data.StructLayout:
    """The spike words of a group, and where they go: bit j of `slot` is set for slot j of row `address`. In a
    pooled layer that row is the window's up and left of the words; `across`, `down`: the next window of the line,
    and that of the next line, have them too; `first_column`, `first_line`: no words came before them in a window
    that begins here, since they are of the picture's first column or line."""
    words = words_layout(lanes, time_steps)["words"].shape
    flags = dict.fromkeys(("across", "down", "first_column", "first_line"), 1)
    return data.StructLayout({"words": words, "address": address_width, "slot": slots, **flags})


def addressed_row_layout(row_lanes: int, time_steps: int, address_width: int) -> data.StructLayout:
    """A row and the memory address it belongs to."""
    return data.StructLayout({"row": row_layout(row_lanes, time_steps), "address": unsigned(address_width)})


class RowWrite(wiring.Signature):
    """Write port of a spike bank, seen from the writer: in a cycle with `enable`, the `slots` of row `address` that
    are set take theirs of `row`. A slot is the spike words of one drain group; a row has `slots` of them. There is
    no back-pressure."""

    def __init__(self, *, row_lanes: int, time_steps: int, slots: int, address_width: int):
        row = row_layout(row_lanes, time_steps).size
        super().__init__({"address": Out(address_width), "row": Out(row), "slots": Out(slots), "enable": Out(1)})


class MemoryWrite(wiring.Signature):
    """Write port of a memory, seen from the writer: in a cycle with `enable`, `data` goes to `address`. There is no
    back-pressure. `data` is a flat shape: names of array elements, `data[0]`, confuse some synthesizers that name
    the bits of a port alike."""

    def __init__(self, shape: object, address_width: int):
        super().__init__({"address": Out(address_width), "data": Out(shape), "enable": Out(1)})


def memory_layout(memory_bits: int) -> data.StructLayout:
    """A word of an external memory; `last`: of those that were asked for."""
    return data.StructLayout({"word": memory_bits, "last": 1})


def run_layout(address_bits: int) -> data.StructLayout:
    """A run of words to read: `words`, at least 1, from `address` on, which may not pass the end of the memory."""
    return data.StructLayout({"address": address_bits, "words": address_bits + 1})


def memory_write_layout(address_bits: int) -> data.StructLayout:
    """A word of 16 bits to write."""
    return data.StructLayout({"address": address_bits, "word": 16})


def memory_port(memory_bits: int, address_bits: int) -> wiring.Signature:
    """An external memory that is read in runs, seen from its user, who counts its words from 0.

    `run` asks for one; another may be asked for while words of those before are still to come. `word` brings all
    words, in the order in which they were asked for, `last` with the last one of each run. The user takes a word in
    the cycle in which it is valid, always: he asks for what he has room for. `ready`: the memory may be asked; it
    stays so. `failed`: pulse, not later than the next `last`: a word that comes, or came, is not what was asked
    for, and the memory knows it. Each run ends with its `last` nevertheless, or `word` never comes again.
    """
    return wiring.Signature(
        {
            "run": Out(stream.Signature(run_layout(address_bits))),
            "word": In(stream.Signature(memory_layout(memory_bits))),
            "ready": In(1),
            "failed": In(1),
        }
    )
