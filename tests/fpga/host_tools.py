# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What the tests of the driver share."""

import numpy as np
from fake_board import FakeBoard, FakePort

from ds2ta.fpga.host import Board, BoardResult
from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.cycles import predict
from ds2ta.gateware.machine import Machine
from ds2ta.golden import slow
from ds2ta.model import IntegerModel

TIMEOUT = 0.01  # seconds: the fake board answers at once or never


def board_on(fake: FakeBoard, fault=None, **options) -> Board:
    return Board(FakePort(fake, fault), name="here", timeout=TIMEOUT, **options)


def check(
    model: IntegerModel, machine: Machine, images: np.ndarray, results: list[BoardResult], *, waits: int = 0
) -> None:
    """All that the results hold, against golden and the cycle model. `waits`: cycles that the first pass may wait
    for the line; no other pass may."""
    program = compile_model(model, machine)
    assert len(results) == len(images)
    for image, result in zip(images, results, strict=True):
        trace = slow.run(model, image)
        counters = predict(program, machine, image, trace)
        assert result.logits == tuple(trace["logits"].tolist())
        assert result.class_index == int(np.argmax(trace["logits"]))
        assert result.counters[1:] == counters[1:]
        assert 0 <= result.counters[0].cycles - counters[0].cycles <= waits
        assert result.cycles == 1 + result.counters[0].cycles + sum(one.cycles for one in counters[1:])
        assert result.trusted


def one_line(error) -> str:
    """The text of an error that a board at `here` caused."""
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("here: ")
    return text
