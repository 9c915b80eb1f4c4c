# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The machine's limits, generated from its own description: every numeric key at its limits and one beyond, and
every rule over several keys from both sides."""

import re

import annotated_types
import pytest

from ds2ta.errors import FitError
from ds2ta.gateware.blocks import blocks
from ds2ta.gateware.machine import Machine, highest, machine_from_dict

POWERS = ("row_lanes", "drain_lanes", "score_channels")

#: What the other keys must be for a key to reach a limit by itself.
COMPANY = {
    ("lanes", "ge"): {"row_lanes": 4, "score_channels": 4},
    ("row_lanes", "ge"): {"score_channels": 4},
    ("row_lanes", "le"): {"lanes": 32},
    ("drain_lanes", "le"): {"lanes": 32, "row_lanes": 32},
    ("score_channels", "le"): {"lanes": 32, "row_lanes": 32},
    ("max_head_dim", "ge"): {"row_lanes": 4, "score_channels": 4},
    ("weight_bits", "le"): {"acc_width": 12},
    ("acc_width", "ge"): {"weight_bits": 4, "max_shift": 0},
    ("acc_width", "le"): {"logit_width": 64},
    ("logit_width", "ge"): {"acc_width": 4},
    ("max_lines", "le"): {"lanes": 512, "row_lanes": 8},
    ("ring_rows", "le"): {"weights": "stream", "memory_bits": 16},
    ("memory_bits", "le"): {"weights": "stream", "ring_rows": 32},
    ("bank_a_rows", "le"): {"bank_rows": 1 << 20},
}


def _limits() -> list[tuple[str, str, int]]:
    """(key, "ge" or "le", limit) of every numeric key, as pydantic holds them."""
    found = []
    for key, field in Machine.model_fields.items():
        for rule in field.metadata:
            if isinstance(rule, annotated_types.Ge):
                found.append((key, "ge", rule.ge))
            elif isinstance(rule, annotated_types.Le):
                found.append((key, "le", rule.le))
    return found


LIMITS = _limits()
NUMERIC = sorted({key for key, _, _ in LIMITS})


def _refused(values: dict) -> str:
    """The one line with which `values` are refused."""
    with pytest.raises(FitError) as caught:
        machine_from_dict(values)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("machine: ")
    return message


def test_every_number_has_both_limits():
    numbers = [key for key, field in Machine.model_fields.items() if field.annotation is int]
    assert len(numbers) > 30
    assert sorted((key, kind) for key, kind, _ in LIMITS) == sorted((n, k) for n in numbers for k in ("ge", "le"))
    kinds = {"weights", "tables", "samples", "shifters", "pipeline", "banks"}
    assert set(Machine.model_fields) - set(numbers) == kinds


@pytest.mark.parametrize(("key", "kind", "limit"), LIMITS, ids=[f"{key}-{kind}" for key, kind, _ in LIMITS])
def test_limit(key, kind, limit):
    """The limit holds; one beyond is refused by a line that names key, value and limit."""
    company = COMPANY.get((key, kind), {})
    assert getattr(machine_from_dict({**company, key: limit}), key) == limit
    assert kind == "ge" or highest(key) == limit
    beyond = limit + (1 if kind == "le" else -1)
    message = _refused({**company, key: beyond})
    assert message.startswith(f"machine: {key}: ")
    assert re.search(rf"\b{limit}\b", message)
    assert message.endswith(f"(got {beyond})")


@pytest.mark.parametrize(("key", "kind", "limit"), LIMITS, ids=[f"{key}-{kind}" for key, kind, _ in LIMITS])
def test_blocks_hold_the_limit(key, kind, limit):
    """What the machine accepts, every block accepts."""
    machine = machine_from_dict({"weights": "ram", "tables": "ram", **COMPANY.get((key, kind), {}), key: limit})
    assert len(blocks(machine)) > 15


@pytest.mark.parametrize("key", NUMERIC)
@pytest.mark.parametrize("value", ["8", 8.0, None, True, [8]], ids=repr)
def test_type(key, value):
    assert _refused({key: value}).startswith(f"machine: {key}: ")


@pytest.mark.parametrize(
    ("key", "kinds"),
    [("weights", ("rom", "ram", "spram", "stream")), ("tables", ("rom", "ram")), ("banks", ("block", "spram"))],
)
def test_kinds(key, kinds):
    for kind in kinds:
        company = {"ring_rows": 32, "memory_bits": 16} if kind == "stream" else {}
        assert getattr(machine_from_dict({key: kind, **company}), key) == kind
    message = _refused({key: "flash"})
    assert message.startswith(f"machine: {key}: ")
    assert "'flash'" in message
    assert all(f"'{kind}'" in message for kind in kinds)


def test_unknown_key():
    message = _refused({"lane": 8})
    assert message.startswith("machine: lane: ")
    assert message.endswith("(got 8)")


def test_defaults_hold_and_are_frozen():
    machine = machine_from_dict({})
    with pytest.raises(ValueError, match="frozen"):
        machine.lanes = 16


WIDE = {"lanes": 512, "row_lanes": 32, "drain_lanes": 32, "score_channels": 32}


@pytest.mark.parametrize("key", POWERS)
def test_power_of_two(key):
    """Every whole number in the range of the key is accepted if, and only if, it is a power of two."""
    low, high = (limit for name, _, limit in LIMITS if name == key)
    for value in sorted({*range(low, min(high, 70) + 1), high - 1, high}):
        company = {name: most for name, most in WIDE.items() if name != key}
        if key == "row_lanes":
            company |= {"drain_lanes": 1, "score_channels": 1}
        if value in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
            assert getattr(machine_from_dict({**company, key: value}), key) == value
        else:
            message = _refused({**company, key: value})
            below = 1 << value.bit_length() - 1
            both = f"{key}={below} or {key}={2 * below}"
            assert message == f"machine: {key}: {value} must be a power of two; {both} is one"
            for mend in (below, 2 * below):
                assert getattr(machine_from_dict({**company, key: mend}), key) == mend


@pytest.mark.parametrize(
    ("held", "refused", "message"),
    [
        (
            {"lanes": 16, "row_lanes": 16},
            {"lanes": 8, "row_lanes": 16},
            "lanes: 8 must be a multiple of row_lanes, 16; lanes=16 or row_lanes=8 mends it",
        ),
        (
            {"lanes": 96, "row_lanes": 32},
            {"lanes": 100, "row_lanes": 32, "score_channels": 4},
            "lanes: 100 must be a multiple of row_lanes, 32; lanes=128 or row_lanes=4 mends it",
        ),
        (
            {"lanes": 24, "row_lanes": 8},
            {"lanes": 22, "row_lanes": 8},
            "lanes: 22 must be a multiple of row_lanes, 8; lanes=24 mends it",
        ),
        (
            {"row_lanes": 8, "drain_lanes": 8},
            {"row_lanes": 8, "drain_lanes": 16},
            "drain_lanes: 16 must be at most row_lanes, 8; drain_lanes=8 mends it",
        ),
        (
            {"row_lanes": 8, "score_channels": 8},
            {"row_lanes": 8, "score_channels": 16},
            "score_channels: 16 must be at most row_lanes, 8; score_channels=8 mends it",
        ),
        (
            {"weight_bits": 6, "max_shift": 5, "acc_width": 11},
            {"weight_bits": 6, "max_shift": 5, "acc_width": 10},
            "acc_width: 10 must be at least weight_bits + max_shift, 11; acc_width=11 mends it",
        ),
        (
            {"acc_width": 17, "logit_width": 17},
            {"acc_width": 17, "logit_width": 16},
            "logit_width: 16 must be at least acc_width, 17; logit_width=17 mends it",
        ),
        (
            {"max_head_dim": 24, "row_lanes": 8},
            {"max_head_dim": 28, "row_lanes": 8},
            "max_head_dim: 28 must be a multiple of row_lanes, 8; max_head_dim=32 mends it",
        ),
        (
            {"events": 2, "weights": "ram"},
            {"events": 2, "weights": "spram"},
            "events: 2 at once need a weight memory of two read ports, single-port RAM has one; "
            "events=1 or weights=ram mends it",
        ),
        (
            {"banks": "spram", "pipeline": "short"},
            {"banks": "spram", "pipeline": "long"},
            "banks: spram is read and written in turns, which no long pipeline waits for; "
            "pipeline=short or banks=block mends it",
        ),
        (
            {"weights": "stream", "memory_bits": 32, "ring_rows": 96},
            {"weights": "stream", "memory_bits": 32, "ring_rows": 1000},
            "ring_rows: 1000 must be a multiple of 32 from 32 to 65536 where weights=stream; ring_rows=992 is one",
        ),
        (
            {"weights": "stream", "memory_bits": 128, "ring_rows": 1 << 16},
            {"weights": "stream", "memory_bits": 24, "ring_rows": 1024},
            "memory_bits: 24 must be one of 16, 32, 64, 128 where weights=stream; memory_bits=16 is one",
        ),
        (
            {"weights": "ram"},
            {"weights": "ram", "ring_rows": 1024},
            "weights: ram takes no ring_rows and no memory_bits; ring_rows=0 mends it",
        ),
        (
            {"weights": "spram"},
            {"weights": "spram", "memory_bits": 16},
            "weights: spram takes no ring_rows and no memory_bits; memory_bits=0 mends it",
        ),
        (
            {"bank_rows": 100, "bank_a_rows": 100},
            {"bank_rows": 100, "bank_a_rows": 101},
            "bank_a_rows: 101 must be from 4 to bank_rows, 100, or 0; bank_a_rows=100 mends it",
        ),
        (
            {"bank_a_rows": 4},
            {"bank_a_rows": 3},
            "bank_a_rows: 3 must be from 4 to bank_rows, 256, or 0; bank_a_rows=4 mends it",
        ),
        (
            {"banks": "spram", "bank_a_rows": 0},
            {"banks": "spram", "bank_a_rows": 64},
            "bank_a_rows: 64: banks of single-port RAM are of equal size; banks=block or bank_a_rows=0 mends it",
        ),
        (
            {"max_lines": 4, "row_lanes": 8, "lanes": 32},
            {"max_lines": 5, "row_lanes": 8, "lanes": 32},
            "max_lines: 5 lines of at least row_lanes, 8, channels do not fit 32 lanes; max_lines=4 mends it",
        ),
    ],
)
def test_rules_over_several_keys(held, refused, message):
    machine = machine_from_dict(held)
    assert {key: getattr(machine, key) for key in held} == held
    assert _refused(refused) == f"machine: {message}"
    for key, value in re.findall(r"(\w+)=(\w+)", message.partition(";")[2]):
        mend = int(value) if value.isdecimal() else value
        assert getattr(machine_from_dict({**refused, key: mend}), key) == mend


@pytest.mark.parametrize("planes", range(1, 6))
@pytest.mark.parametrize("steps", [1, 2, 4, 5, 16])
@pytest.mark.parametrize("drain_lanes", [1, 8])
def test_rest(planes, steps, drain_lanes):
    """Any number of planes goes with any number of steps and drain lanes: between two groups of neurons lie as many
    cycles as joining the residual stream takes, or the four windows of a pool, `time_steps` or some more, and no
    more than those. With a single port three of the windows, and each plane, are read in cycles of their own."""
    shape = {"max_planes": planes, "time_steps": steps, "drain_lanes": drain_lanes}
    assert steps + machine_from_dict(shape).max_rest == max(steps, planes, 4)
    assert steps + machine_from_dict({**shape, "banks": "spram"}).max_rest == max(steps, 2 * planes, 7)


def test_slots():
    """A slot is what a group of drain lanes writes: together they are a row."""
    for drain_lanes in (1, 2, 8):
        machine = machine_from_dict({"row_lanes": 8, "drain_lanes": drain_lanes})
        assert machine.slots * drain_lanes == 8
