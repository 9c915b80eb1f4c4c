"""The parts list of an accelerator: every block of `hw/`, sized for one machine."""

from amaranth.lib import wiring
from amaranth.utils import bits_for, ceil_log2

from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import PROGRAM_WORD, instruction_words
from ds2ta.gateware.sequencer import COUNTERS, Sequencer
from ds2ta.hw.attention import AttentionUnit
from ds2ta.hw.encoder import InputEncoder
from ds2ta.hw.engine import SynapticEngine
from ds2ta.hw.gather import Gather
from ds2ta.hw.head import ClassifierHead
from ds2ta.hw.lif import LifArray
from ds2ta.hw.packer import RowPacker
from ds2ta.hw.parameters import ParameterFetch, parameter_layout
from ds2ta.hw.pool import OrPool
from ds2ta.hw.residual import Residual
from ds2ta.hw.row_reader import RowReader
from ds2ta.hw.store import SpikeBank, Store
from ds2ta.hw.tasa import Tasa
from ds2ta.hw.walker import RowWalker
from ds2ta.hw.zero_skip import ZeroSkip

__all__ = ["blocks"]


def blocks(machine: Machine, program: Program | None = None) -> dict[str, wiring.Component]:
    """Instance name -> block. `program` fills the ROM stores; without one they are empty."""
    rows, steps, drain = machine.row_lanes, machine.time_steps, machine.drain_lanes
    address_width = ceil_log2(machine.bank_rows)
    weight_width = max(1, ceil_log2(machine.weight_rows))
    count_width = bits_for(machine.max_count - 1)
    row_shape = {"row_lanes": rows, "time_steps": steps}
    registered = machine.pipeline == "long"
    front = {
        "address_width": address_width,
        "weight_width": weight_width,
        "shift_width": max(1, bits_for(machine.max_shift)),
    }

    def store(width: int, depth: int, kind: str, image: str) -> Store:
        init = getattr(program, image) if program and kind == "rom" else ()
        return Store(width=width, depth=depth, kind=kind, init=init)

    return {
        "sequencer": Sequencer(machine),
        "encoder": InputEncoder(
            **row_shape,
            max_channels=machine.max_channels,
            max_bits=machine.max_bits,
            address_width=address_width,
            event_frames=machine.samples == "any",
        ),
        "gather": Gather(**front, count_width=count_width, row_lanes=rows),
        "reader": RowReader(**row_shape, **front, registered=registered),
        "zero_skip": ZeroSkip(
            **row_shape,
            weight_width=weight_width,
            shift_width=front["shift_width"],
            max_shift=machine.max_shift,
            buffer_rows=machine.buffer_rows,
        ),
        "engine": SynapticEngine(
            lanes=machine.lanes,
            time_steps=steps,
            drain_lanes=drain,
            weight_bits=machine.weight_bits,
            max_shift=machine.max_shift,
            acc_width=machine.acc_width,
            address_width=weight_width,
            registered=registered,
        ),
        "tasa": Tasa(
            lanes=drain,
            acc_width=machine.acc_width,
            max_window=machine.max_window,
            max_tau=machine.max_tau,
            current_width=machine.current_width,
            multiply=machine.shifters == "multipliers",
        ),
        "parameters": ParameterFetch(
            lanes=drain,
            current_width=machine.current_width,
            param_width=machine.param_width,
            address_width=max(1, ceil_log2(machine.parameter_rows)),
            count_width=count_width,
            registered=registered,
        ),
        "lif": LifArray(
            lanes=drain,
            current_width=machine.current_width,
            param_width=machine.param_width,
            membrane_width=machine.membrane_width,
            leak_shift=machine.leak_shift,
        ),
        "packer": RowPacker(lanes=drain, **row_shape),
        "pool": OrPool(**row_shape),
        "attention": AttentionUnit(
            **row_shape,
            score_channels=machine.score_channels,
            max_tokens=machine.max_tokens,
            max_heads=machine.max_heads,
            max_head_dim=machine.max_head_dim,
            denoiser_bits=machine.denoiser_bits,
            membrane_width=machine.attention_width,
            leak_shift=machine.leak_shift,
            address_width=address_width,
            denoiser_entries=machine.denoiser_entries,
            denoiser_kind=machine.tables,
            denoiser_init=program.denoiser_image if program and machine.tables == "rom" else (),
            fast=registered,
        ),
        "walker": RowWalker(**row_shape, address_width=address_width, tile_width=count_width),
        "residual": Residual(**row_shape, address_width=address_width, max_planes=machine.max_planes),
        "head": ClassifierHead(
            lanes=drain,
            acc_width=machine.acc_width,
            logit_width=machine.logit_width,
            param_width=machine.param_width,
            classes_max=machine.max_classes,
            positions_max=machine.max_tokens,
            time_steps=steps,
            fast=registered,
        ),
        "bank_a": SpikeBank(width=rows * steps, depth=machine.bank_rows),
        "bank_b": SpikeBank(width=rows * steps, depth=machine.bank_rows),
        "weight_store": store(
            machine.lanes * machine.weight_bits, machine.weight_rows, machine.weights, "weight_image"
        ),
        "program_store": store(
            PROGRAM_WORD, machine.instructions * instruction_words(machine), machine.tables, "program_image"
        ),
        "parameter_store": store(
            parameter_layout(lanes=drain, param_width=machine.param_width).size,
            machine.parameter_rows,
            machine.tables,
            "parameter_image",
        ),
        "counter_store": SpikeBank(width=machine.counter_width, depth=machine.instructions * COUNTERS),
    }
