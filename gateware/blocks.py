# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The parts list of an accelerator: every block of `hw/`, sized for one machine."""

from amaranth.lib import wiring
from amaranth.utils import bits_for, ceil_log2

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, instruction_words
from ds2ta.gateware.sequencer import COUNTERS, Sequencer
from ds2ta.hw.attention import AttentionUnit
from ds2ta.hw.bank import SpikeBank
from ds2ta.hw.encoder import InputEncoder
from ds2ta.hw.engine import SynapticEngine
from ds2ta.hw.gather import Gather
from ds2ta.hw.head import ClassifierHead
from ds2ta.hw.lif import LifArray
from ds2ta.hw.packer import WordPacker
from ds2ta.hw.parameters import ParameterFetch, parameter_layout
from ds2ta.hw.residual import Residual
from ds2ta.hw.ring import WeightRing
from ds2ta.hw.row_reader import RowReader
from ds2ta.hw.store import DualPortMemory, Store
from ds2ta.hw.tasa import Tasa
from ds2ta.hw.walker import RowWalker
from ds2ta.hw.zero_skip import ZeroSkip

__all__ = ["blocks"]


def blocks(machine: Machine, program: Program | None = None) -> dict[str, wiring.Component]:
    """Instance name -> block. `program` fills the ROM stores; without one they are empty."""
    parts = _Parts(machine, program)
    return {
        "sequencer": Sequencer(machine),
        **parts.encoder(),
        **parts.synapses(),
        **parts.neurons(),
        **parts.attention(),
        **parts.writers(),
        **parts.head(),
        **parts.memories(),
    }


class _Parts:
    """The blocks of a machine, by what they do, and the widths that they share."""

    def __init__(self, machine: Machine, program: Program | None):
        self._machine, self._program = machine, program
        self._address_width = ceil_log2(machine.bank_rows)
        self._weight_width = max(1, ceil_log2(machine.tile_space))
        self._plane_width = max(1, bits_for(machine.max_shift))
        self._count_width = bits_for(machine.max_count - 1)
        self._registered = machine.registered
        self.row_shape = {"row_lanes": machine.row_lanes, "time_steps": machine.time_steps}

    def encoder(self) -> dict[str, wiring.Component]:
        """The sample's bytes to rows."""
        machine = self._machine
        encoder = InputEncoder(
            **self.row_shape,
            max_channels=machine.max_channels,
            max_bits=machine.max_bits,
            address_width=self._address_width,
            count_width=self._count_width,
            event_frames=machine.samples == "any",
        )
        return {"encoder": encoder}

    def synapses(self) -> dict[str, wiring.Component]:
        """Rows to synaptic sums."""
        machine = self._machine
        front = {
            "address_width": self._address_width,
            "weight_width": self._weight_width,
            "plane_width": self._plane_width,
        }
        return {
            "gather": Gather(
                **front,
                count_width=self._count_width,
                row_lanes=machine.row_lanes,
                max_lines=machine.max_lines,
                ring_rows=machine.ring_rows,
                bands=machine.bands,
                tiles_wait=machine.streams,
            ),
            "reader": RowReader(**self.row_shape, **front, waits=machine.single_port),
            "zero_skip": ZeroSkip(
                **self.row_shape,
                weight_width=self._weight_width,
                plane_width=self._plane_width,
                max_shift=machine.max_shift,
                buffer_rows=machine.buffer_rows,
                events=machine.events,
                registered=self._registered,
            ),
            "engine": SynapticEngine(
                lanes=machine.lanes,
                time_steps=machine.time_steps,
                drain_lanes=machine.drain_lanes,
                weight_bits=machine.weight_bits,
                max_shift=machine.max_shift,
                acc_width=machine.acc_width,
                address_width=self._weight_width,
                events=machine.events,
                weight_latency=machine.weight_latency,
                max_lines=machine.max_lines,
                max_rest=machine.max_rest,
                max_spacing=machine.max_spacing,
                registered=self._registered,
                ring=machine.streams and machine.events == 2,
            ),
        }

    def neurons(self) -> dict[str, wiring.Component]:
        """Synaptic sums to rows of spikes."""
        machine = self._machine
        lanes, current_width, param_width = machine.drain_lanes, machine.current_width, machine.param_width
        return {
            "tasa": Tasa(
                lanes=lanes,
                acc_width=machine.acc_width,
                max_window=machine.max_window,
                max_tau=machine.max_tau,
                current_width=current_width,
                multiply=machine.shifters == "multipliers",
            ),
            "parameters": ParameterFetch(
                lanes=lanes,
                current_width=current_width,
                param_width=param_width,
                address_width=max(1, ceil_log2(machine.parameter_rows)),
                count_width=self._count_width,
                registered=self._registered,
            ),
            "lif": LifArray(
                lanes=lanes,
                current_width=current_width,
                param_width=param_width,
                membrane_width=machine.membrane_width,
                leak_shift=machine.leak_shift,
            ),
            "packer": WordPacker(lanes=lanes, time_steps=machine.time_steps),
        }

    def attention(self) -> dict[str, wiring.Component]:
        """Rows of Q, K and V to rows of spikes."""
        machine, program = self._machine, self._program
        attention = AttentionUnit(
            **self.row_shape,
            score_channels=machine.score_channels,
            max_tokens=machine.max_tokens,
            max_heads=machine.max_heads,
            max_head_dim=machine.max_head_dim,
            denoiser_bits=machine.denoiser_bits,
            membrane_width=machine.attention_width,
            leak_shift=machine.leak_shift,
            address_width=self._address_width,
            denoiser_entries=machine.denoiser_entries,
            denoiser_kind=machine.tables,
            denoiser_init=program.denoiser_image if program and machine.tables == "rom" else (),
            fast=self._registered,
            waits=machine.single_port,
        )
        return {"attention": attention}

    def writers(self) -> dict[str, wiring.Component]:
        """Spike words to their place in a bank."""
        machine = self._machine
        shape = {"lanes": machine.drain_lanes, **self.row_shape, "address_width": self._address_width}
        return {
            "walker": RowWalker(
                **shape,
                count_width=self._count_width,
                max_lines=machine.max_lines,
                tile_rows=machine.lanes // machine.row_lanes,
                bands=machine.bands,
            ),
            "residual": Residual(**shape, max_planes=machine.max_planes, single_port=machine.single_port),
        }

    def head(self) -> dict[str, wiring.Component]:
        """Synaptic sums of the last layer to logits."""
        machine = self._machine
        head = ClassifierHead(
            lanes=machine.drain_lanes,
            acc_width=machine.acc_width,
            logit_width=machine.logit_width,
            param_width=machine.param_width,
            classes_max=machine.max_classes,
            positions_max=machine.max_tokens,
            time_steps=machine.time_steps,
            fast=self._registered,
        )
        return {"head": head}

    def memories(self) -> dict[str, wiring.Component]:
        """Banks of spikes, stores of what the compiler made, counters."""
        machine, program = self._machine, self._program

        def store(width: int, depth: int, kind: str, image: str, ports: int = 1, latency: int = 1) -> Store:
            init = getattr(program, image) if program and kind == "rom" else ()
            return Store(width=width, depth=depth, kind=kind, init=init, ports=ports, latency=latency)

        weight_width = machine.lanes * machine.weight_bits
        program_words = machine.instructions * instruction_words(machine)
        parameter_row = parameter_layout(lanes=machine.drain_lanes, param_width=machine.param_width)

        def bank(number: int) -> SpikeBank:
            return SpikeBank(
                **self.row_shape,
                slots=machine.slots,
                address_width=self._address_width,
                rows=machine.rows_of(number),
                single_port=machine.single_port,
                columns=self._registered,
            )

        weights: wiring.Component
        if machine.streams:
            weights = WeightRing(
                width=weight_width,
                rows=machine.ring_rows,
                memory_bits=machine.memory_bits,
                ports=machine.events,
                latency=machine.weight_latency,
            )
        else:
            ports, latency = machine.events, machine.weight_latency
            weights = store(weight_width, machine.weight_rows, machine.weights, "weight_image", ports, latency)
        return {
            "bank_a": bank(0),
            "bank_b": bank(1),
            "weight_store": weights,
            "program_store": store(PROGRAM_WORD, program_words, machine.tables, "program_image"),
            "parameter_store": store(parameter_row.size, machine.parameter_rows, machine.tables, "parameter_image"),
            "counter_store": DualPortMemory(width=machine.counter_width, depth=machine.instructions * COUNTERS),
        }
