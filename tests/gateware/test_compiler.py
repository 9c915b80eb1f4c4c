# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The compiler against the network's own equations: every row a pass reads, every weight, parameter and table entry
where the hardware looks for it, and a machine that is as small as the model allows."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shadow_banks import ShadowBanks, expected_passes

from ds2ta.errors import FitError
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machine import Machine, highest, machine_from_dict
from ds2ta.gateware.program import PROGRAM_WORD, Instruction, Opcode, encode, instruction_layout
from ds2ta.golden.random_model import models, random_model
from ds2ta.model import IntegerModel

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

#: Every need of a model, which `fit` must meet exactly.
NEEDS = (
    "time_steps",
    "weight_bits",
    "max_shift",
    "max_planes",
    "max_window",
    "max_tau",
    "acc_width",
    "current_width",
    "param_width",
    "membrane_width",
    "attention_width",
    "logit_width",
    "denoiser_bits",
    "denoiser_entries",
    "bank_rows",
    "weight_rows",
    "parameter_rows",
    "instructions",
    "max_count",
    "max_tokens",
    "max_heads",
    "max_head_dim",
    "max_channels",
    "max_bits",
    "max_classes",
)


@st.composite
def fitted(draw) -> tuple[IntegerModel, Machine]:
    """A random model and a machine with random choices that holds it."""
    row_lanes = draw(st.sampled_from([4, 8]))
    model = draw(models(row_lanes=row_lanes, max_dim=24, max_hidden=40, max_positions=60, samples=1))
    lanes = row_lanes * draw(st.integers(1, 8))
    drain_lanes = 1 << draw(st.integers(0, row_lanes.bit_length() - 1))
    return model, *fit(model, lanes=lanes, row_lanes=row_lanes, drain_lanes=drain_lanes, score_channels=1)


@QUICK
@given(fitted())
def test_every_pass_reads_what_it_needs(case):
    """No region is overwritten while a later pass needs it: see `shadow_banks`."""
    model, machine, program = case
    banks = ShadowBanks(model.network, machine)
    passes = expected_passes(model.network)
    assert [instruction.final for instruction in program.instructions] == [False] * (len(passes) - 1) + [True]
    for instruction, wanted in zip(program.instructions, passes, strict=True):
        banks.execute(instruction, wanted)


def _signed(code: int, bits: int) -> int:
    return code - (1 << bits) if code >> (bits - 1) else code


@QUICK
@given(fitted())
def test_weight_image(case):
    """`row(tile, tap, channel)` of a layer holds, in lane k, the weight of output channel `tile P + k`; everything
    else is zero. Where a layer computes several output lines at once, the channels of each lie in whole drain
    groups behind those of the line above it, and see the source lines of the taps `lines + 2` from one place lower
    each. A row's channels follow each other from a multiple of what the zero skip joins by OR."""
    model, machine, program = case
    bits, lanes = machine.weight_bits, machine.lanes
    seen = set()
    for instruction in program.instructions:
        if instruction.opcode not in (Opcode.SYNAPSE, Opcode.HEAD):
            continue
        layer = model.synapses[instruction.name]
        lines, outputs = instruction.lines, layer.spec.outputs
        assert lines == 1 or (layer.spec.kernel == 3 and instruction.tiles_last == 0)
        high, wide = (lines + 2, 3) if layer.spec.kernel == 3 else (1, 1)
        taps = high * wide
        each = -(-outputs // machine.drain_lanes) * machine.drain_lanes  # lanes of an output line
        assert instruction.weights % (1 << instruction.lane_bits) == 0
        assert instruction.tap_weights % (1 << instruction.lane_bits) == 0
        assert (instruction.tau, instruction.window) == (layer.tau, layer.window)
        for tile in range(instruction.tiles_last + 1):
            for tap in range(taps):
                for channel in range(instruction.tap_weights):
                    address = instruction.weights + (tile * taps + tap) * instruction.tap_weights + channel
                    row = program.weight_image[address]
                    assert address not in seen
                    seen.add(address)
                    found = [_signed(row >> lane * bits & (1 << bits) - 1, bits) for lane in range(lanes)]
                    wanted = [0] * lanes
                    for lane in range(lanes):
                        line, output = divmod(lane, each) if lines > 1 else (0, tile * lanes + lane)
                        ky, kx = tap // wide - line, tap % wide
                        if channel >= layer.spec.inputs or output >= outputs or line >= lines:
                            continue
                        if 0 <= ky < layer.spec.kernel:
                            wanted[lane] = layer.weight.reshape(outputs, -1, *[layer.spec.kernel] * 2)[
                                output, channel, ky, kx
                            ]
                    assert found == wanted
                    assert row >> lanes * bits == 0
        assert (instruction.tiles_last + 1) * lanes >= layer.spec.outputs
    assert all(row == 0 for at, row in enumerate(program.weight_image) if at not in seen)


@QUICK
@given(fitted())
def test_parameter_image(case):
    """`row(tile, group)` holds bias and threshold - bias of R channels; a channel that does not exist never fires:
    its margin is the largest number."""
    model, machine, program = case
    width, lanes = machine.param_width, machine.drain_lanes
    seen = set()
    for instruction in program.instructions:
        if instruction.opcode not in (Opcode.SYNAPSE, Opcode.HEAD):
            continue
        layer = model.synapses[instruction.name]
        covered = []
        for tile in range(instruction.tiles_last + 1):
            for group in range(instruction.drain_groups):
                address = instruction.parameters + tile * instruction.drain_groups + group
                assert address not in seen
                seen.add(address)
                row = program.parameter_image[address]
                fields = [_signed(row >> at * width & (1 << width) - 1, width) for at in range(2 * lanes)]
                for lane, (bias, margin) in enumerate(zip(fields[:lanes], fields[lanes:], strict=True)):
                    channel = tile * machine.lanes + group * lanes + lane
                    if channel >= layer.spec.outputs:
                        assert (bias, margin) == (0, (1 << width - 1) - 1)
                        continue
                    covered.append(channel)
                    assert bias == layer.bias[channel]
                    if layer.threshold is not None:
                        assert bias + margin == layer.threshold[channel]
        assert sorted(covered) == list(range(layer.spec.outputs))
    assert seen == set(range(len(program.parameter_image)))


@QUICK
@given(fitted())
def test_denoiser_image(case):
    """`table + head * d + score - 1` is the entry of a score."""
    model, _, program = case
    network = model.network
    passes = [instruction for instruction in program.instructions if instruction.opcode == Opcode.ATTENTION]
    assert len(passes) == network.depth
    for instruction, table, threshold in zip(passes, model.denoisers, model.attention_threshold, strict=True):
        assert instruction.threshold == threshold
        for head in range(network.heads):
            for score in range(1, network.head_dim + 1):
                entry = program.denoiser_image[instruction.table + head * network.head_dim + score - 1]
                assert entry == table[head, score - 1]


@QUICK
@given(fitted())
def test_program_image(case):
    """Stored words give every field back; no bit is left over."""
    _, machine, program = case
    layout = instruction_layout(machine)
    count = -(-layout.size // PROGRAM_WORD)
    assert len(program.program_image) == count * len(program.instructions)
    assert max(program.program_image) < 1 << PROGRAM_WORD
    for number, instruction in enumerate(program.instructions):
        words = program.program_image[number * count :][:count]
        word = sum(part << PROGRAM_WORD * place for place, part in enumerate(words))
        assert word >> layout.size == 0
        for name in layout.members:
            field = layout[name]
            assert word >> field.offset & (1 << field.width) - 1 == int(getattr(instruction, name)), name


@QUICK
@given(fitted())
def test_smallest_machine(case):
    """Each need of the fitted machine lowered by one is refused, by name; the settings that the refusal ends with
    mend it."""
    model, machine, program = case
    assert compile_model(model, machine) == program, "fit compiles once, for a larger machine"
    assert program.bank_rows <= machine.bank_rows
    for key in NEEDS:
        values = {**machine.model_dump(), key: getattr(machine, key) - 1}
        with pytest.raises(FitError, match=rf"\b{key}\b") as caught:
            compile_model(model, machine_from_dict(values))
        message = str(caught.value)
        assert "\n" not in message
        if message.startswith("machine: "):  # it breaks a rule of machines: test_machine.py
            continue
        mend = {name: int(value) for name, value in re.findall(r"--set (\w+)=(\d+)", message.partition("; ")[2])}
        assert mend[key] == getattr(machine, key)
        assert compile_model(model, machine_from_dict(values | mend)) == program
    assert set(NEEDS) <= set(Machine.model_fields)


@QUICK
@given(fitted(), st.data())
def test_larger_machine(case, data):
    """A machine with more of anything holds the model too, and its program is sound. Only more input channels than
    the model has take rows of bank and weight store."""
    model, machine, _ = case
    values = machine.model_dump()
    for key in data.draw(st.sets(st.sampled_from(sorted(set(NEEDS) - {"max_planes", "time_steps"})))):
        more = machine.row_lanes if key == "max_head_dim" else 3
        values[key] = min(values[key] + more, highest(key))
        if key == "max_channels":  # the input has a lane for each channel of the machine: a plane takes more rows
            for store in ("bank_rows", "weight_rows", "max_count"):
                values[store] = min(8 * values[store], highest(store))
    values["logit_width"] = max(values["logit_width"], values["acc_width"])
    values["acc_width"] = max(values["acc_width"], values["weight_bits"] + values["max_shift"])
    values["logit_width"] = max(values["logit_width"], values["acc_width"])
    larger = machine_from_dict(values)
    banks = ShadowBanks(model.network, larger)
    program = compile_model(model, larger)
    for instruction, wanted in zip(program.instructions, expected_passes(model.network), strict=True):
        banks.execute(instruction, wanted)


@QUICK
@given(fitted())
def test_fewer_lines(case):
    """A machine that computes fewer output lines at once holds the model too, if its stores have the rows, and its
    program is sound; `fit` asks for no more lines than some layer uses."""
    model, machine, program = case
    assert machine.max_lines == max(instruction.lines for instruction in program.instructions)
    for lines in range(1, machine.max_lines):
        smaller = machine.model_copy(update={"max_lines": lines, "max_count": highest("max_count")})
        banks, program = ShadowBanks(model.network, smaller), compile_model(model, smaller)
        for instruction, wanted in zip(program.instructions, expected_passes(model.network), strict=True):
            banks.execute(instruction, wanted)


def _model(**limits) -> IntegerModel:
    return random_model(np.random.default_rng(5), **{"row_lanes": 8, "samples": 1, **limits})


def test_other_leak():
    model = _model(leak_shift=2, depth=0)
    machine, _ = fit(model, row_lanes=8, drain_lanes=1)
    values = {**machine.model_dump(), "leak_shift": 3}
    with pytest.raises(FitError, match=r"leak_shift is 2, the machine's is 3"):
        compile_model(model, machine_from_dict(values))


@pytest.mark.parametrize("name", ["rpe", "block.0.attn"])
def test_a_leak_of_its_own_in_one_layer(name):
    """Golden runs it (tests/golden/test_integer.py); no machine does, and no setting would help."""
    model = replace(_model(leak_shift=2, depth=1), leaks={name: 3})
    with pytest.raises(FitError, match=rf"the leak shift of {name} is 3, the network's 2: a machine has one leak"):
        fit(model, row_lanes=8, drain_lanes=1)


def test_head_dim_not_of_whole_rows():
    model = _model(row_lanes=4, max_heads=1, max_dim=4, depth=1)
    with pytest.raises(FitError, match=r"a head has 4 channels, it must be a multiple of .* row_lanes, 8"):
        fit(model, row_lanes=8, drain_lanes=1)


def test_embedding_not_of_whole_tiles():
    """The last tile of 12 channels on 8 lanes is half a one: one of its two rows is written, as are others' all."""
    rng = np.random.default_rng(2)
    model = next(m for m in (random_model(rng, depth=1, samples=1, max_dim=12) for _ in range(50))
                 if m.network.embed_dim == 12)  # fmt: skip
    _, program = fit(model, lanes=8, row_lanes=4, drain_lanes=1, score_channels=1)
    passes = {item.name: item for item in program.instructions}
    q = passes["block.0.q"]
    assert (q.tiles_last, q.live_rows_last, q.target_pitch) == (1, 0, 3)


def test_field_that_does_not_fit():
    machine = machine_from_dict({"bank_rows": 256})
    assert encode(Instruction(name="x", opcode=Opcode.HEAD, source=255), machine)
    with pytest.raises(FitError, match=r"^layer x: source is 256, its program field ends at 255$"):
        encode(Instruction(name="x", opcode=Opcode.HEAD, source=256), machine)
    with pytest.raises(FitError, match=r"^layer x: source is -1, its program field ends at 255$"):
        encode(Instruction(name="x", opcode=Opcode.HEAD, source=-1), machine)
