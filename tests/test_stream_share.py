# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What streamed weights cost, counted: each pass beside the cycle model of both machines, the reading by hand."""

import pytest

from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.weight_feed import MemoryTiming
from ds2ta.modelfile import load_model
from ds2ta.records.stream_share import main, stream_share
from ds2ta.sim.expected import predicted_cycles

CHOICES = MACHINES["digits-tiny"] | {"tables": "ram", "events": 2, "row_lanes": 8}
STREAM = CHOICES | {"weights": "stream", "memory_bits": 16}


def test_work_and_reading():
    model = load_model(model_path("digits-tiny"))
    slow = MemoryTiming(page_words=10, page_gap=5, period=20, busy=10)
    shares = stream_share(model, STREAM, slow)
    held = fit(model, **CHOICES, weights="ram")
    assert 1 + sum(share.work for share in shares) == predicted_cycles(model, *held, model.samples[:1])[0]
    machine, program = fit(model, **STREAM)
    words = {share.name: share.reading for share in shares}
    rpe = next(item for item in program.instructions if item.name == "rpe")
    count = rpe.tile_rows * (rpe.tiles_last + 1) * machine.row_words
    assert words["rpe"] == round((count + count // 10 * 5) * 20 / 10)
    assert words["input"] == words["block.0.attn"] == 0
    assert sum(share.cycles for share in shares) > sum(share.work for share in shares)


def test_with_a_fast_memory_and_room_for_all_only_writes_cost():
    model = load_model(model_path("digits-tiny"))
    shares = stream_share(model, STREAM | {"memory_bits": 128, "ring_rows": 8192}, MemoryTiming())
    for share in shares:
        assert share.work <= share.cycles <= share.work * 1.2 + 20, share


def test_command(capsys):
    main([str(model_path("digits-tiny")), *(f"--set={key}={value}" for key, value in STREAM.items())])
    lines = capsys.readouterr().out.splitlines()
    cycles = sum(int(line.split()[1]) for line in lines[1:-1])
    assert lines[-1].startswith(f"{cycles} cycles, ")


def test_refusals(capsys):
    model = load_model(model_path("digits-tiny"))
    with pytest.raises(FitError, match="is no stream; --set weights=stream makes it one"):
        stream_share(model, CHOICES | {"weights": "ram"})
    for words in (["nowhere.safetensors"], [str(model_path("digits-tiny")), "--set", "weights=ram"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
        assert shown.err.startswith("error: ")
