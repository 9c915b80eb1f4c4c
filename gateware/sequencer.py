"""The sequencer: runs the layer program, one pass after another, and keeps the counters of every pass."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode, instruction_layout

__all__ = ["PassCounters", "Sequencer", "counter_layout"]


@dataclass(frozen=True)
class PassCounters:
    """What the machine counts in one pass; see `counter_layout`."""

    name: str
    opcode: Opcode
    cycles: int
    events: int
    rows: int


def counter_layout(machine: Machine) -> data.StructLayout:
    """Counters of one pass. `cycles`: from the cycle of `start` to the one in which it is done, both included.
    `events`: engine cycles with a non-empty event (attention: denoised scores kept). `rows`: spike rows scanned;
    skipped words = rows * row_lanes - events."""
    width = machine.counter_width
    return data.StructLayout({"cycles": width, "events": width, "rows": width})


class Sequencer(wiring.Component):
    """Fetch, start, wait, count.

    While idle it waits for `go` (a sample is at the door). One cycle fetches the first instruction; then, for each
    pass, one cycle of `start` with the instruction's fields valid, and the run until `done`. In that very cycle
    the next instruction is fetched, so passes follow each other without a gap. `done` is ignored in the cycle of
    `start`. The sum of all `cycles` is the time from the first `start` to the end.

    Members: `go`; `busy`; `fetch`, `fetch_address`: program store read port, whose output register is the
    instruction; `start`; `done`; `index` of the pass; `useful`, `row`: pulses to count, which never come in the
    cycle of `start`; `record`: write strobe of `counters` at `index`.
    """

    def __init__(self, machine: Machine):
        self._layout = counter_layout(machine)
        index = range(machine.instructions)
        super().__init__(
            {
                "go": In(1),
                "busy": Out(1),
                "fetch": Out(1),
                "fetch_address": Out(index),
                "instruction": In(instruction_layout(machine)),
                "start": Out(1),
                "done": In(1),
                "index": Out(index),
                "useful": In(1),
                "row": In(1),
                "record": Out(1),
                "counters": Out(self._layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        counts = Signal(self._layout)
        # the pass's last cycle counts too
        m.d.comb += [
            self.counters.cycles.eq(counts.cycles + 1),
            self.counters.events.eq(counts.events + self.useful),
            self.counters.rows.eq(counts.rows + self.row),
        ]
        m.d.sync += counts.eq(self.counters)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.fetch.eq(self.go)
                m.d.sync += self.index.eq(0)
                with m.If(self.go):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += [self.start.eq(1), self.busy.eq(1)]
                m.d.sync += [counts.cycles.eq(1), counts.events.eq(0), counts.rows.eq(0)]
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.busy.eq(1)
                with m.If(self.done):
                    m.d.comb += self.record.eq(1)
                    with m.If(self.instruction.final):
                        m.next = "IDLE"
                    with m.Else():
                        m.d.comb += [self.fetch.eq(1), self.fetch_address.eq(self.index + 1)]
                        m.d.sync += self.index.eq(self.index + 1)
                        m.next = "START"
        return m
