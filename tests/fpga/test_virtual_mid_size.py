# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The virtual board with a network whose weights lie in its SDRAM: put there past the pins, but for a part; and, in
a test that takes long, every byte through the pins."""

import itertools
from dataclasses import replace

import pytest

from ds2ta.files import digest
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.frames import Request
from ds2ta.fpga.host import Board
from ds2ta.fpga.loading import check_settings, digest_words, load_payloads, store_contents
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.stores import memory_image
from ds2ta.gateware.verilog import emit
from ds2ta.golden import slow
from ds2ta.modelfile import model_digest
from ds2ta.records.mid_size import MID_SIZE, mid_size_model
from ds2ta.sim.virtual import VirtualBoard

CLOCK_HZ, BAUD = 24_000_000, 6_000_000  # the highest rate: four cycles a bit
THROUGH_PINS = 3000  # bytes of the weights
SDRAM = BOARDS["ulx3s_25f"].sdram


@pytest.fixture(scope="module")
def model():
    return mid_size_model()


@pytest.fixture(scope="module")
def fitted(model):
    return fit(model, **MACHINES[MID_SIZE.name])


@pytest.fixture(scope="module")
def virtual(fitted):
    with VirtualBoard(fitted[0], clock_hz=CLOCK_HZ, baud=BAUD, memory=SDRAM) as running:
        yield running


@pytest.fixture
def board(virtual):
    with Board.open(virtual.device, baud=BAUD, timeout=20) as opened:
        yield opened


def check(model, results) -> None:
    assert len(results) > 0
    for sample, result in zip(model.samples, results, strict=False):
        assert result.logits == tuple(slow.run(model, sample)["logits"].tolist())
        assert result.trusted
        assert sum(one.waits for one in result.counters) > 0


def test_weights_put_into_the_memory(virtual, board, model, fitted, tmp_path):
    """All but the first few kB, which come through the pins. Until then the memory check says that the weights are
    not those of the model; with them it is good, and a sample is right."""
    image = memory_image(*fitted)
    (tmp_path / "image").write_bytes(bytes(THROUGH_PINS) + image[THROUGH_PINS:])
    virtual.fill(tmp_path / "image")
    weights, *others = store_contents(*fitted)
    assert weights.data == image
    for payload in itertools.chain(*map(load_payloads, others)):
        board.ask(Request.LOAD, payload, "loading")
    for name, values in check_settings([weights, *others]).items():
        board.write(name, values)
    state = board.wait(lambda now: now["memory_error"], "the memory check")
    assert state["bad_stores"] == 1 << weights.number
    for payload in load_payloads(replace(weights, data=image[:THROUGH_PINS])):
        board.ask(Request.LOAD, payload, "loading")
    board.write("model_digest", digest_words(model_digest(model)))
    assert board.load(model) is False, "it held the model"
    check(model, board.infer(model.samples[:1]))


def sources() -> str:
    """What the test below hangs on: the board, and what is loaded into it."""
    model = mid_size_model()
    machine, _ = fit(model, **MACHINES[MID_SIZE.name])
    top = BoardTop(machine, clock_hz=CLOCK_HZ, baud=BAUD, memory=SDRAM)
    return digest(emit(top, "board_top"), model_digest(model))


@pytest.mark.long(on=sources)
def test_weights_through_the_pins(board, model):
    assert board.load(model, force=True) is True
    check(model, board.infer(model.samples))
