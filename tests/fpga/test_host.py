# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The host driver against a board in plain Python, over lines that lose, garble, delay and double."""

import os
import pty
import select
import threading
import tty

import pytest
from fake_board import OK, FakeBoard, FakePort
from faults import KINDS, Faults, random_faults
from host_tools import TIMEOUT, board_on, check
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.fpga.exchange import LinkError
from ds2ta.fpga.frames import encode_response
from ds2ta.fpga.host import Board
from ds2ta.modelfile import model_digest

READ, LOAD, SAMPLE = 1, 3, 4


# ---- a line without faults


def test_identify(fake, machine):
    found = board_on(fake).identify()
    assert found.machine == machine
    assert (found.version, found.clock_hz, found.digest) == ((1, 0), 24_000_000, "00" * 32)


def test_load_and_infer(fake, tiny, machine):
    heard, told = [], []
    with board_on(fake) as board:
        assert board.load(tiny, progress=lambda *state: told.append(state)) is True
        images = tiny.samples[:3]
        results = board.infer(images, each=lambda *pair: heard.append(pair))
        check(tiny, machine, images, results)
        assert heard == list(enumerate(results))
        assert board.identify().digest == model_digest(tiny)
        assert board.traffic.repeats == board.traffic.bad_frames == board.traffic.strays == 0
    assert {stage for stage, _, _ in told} == {"loading", "checking memories"}
    assert told[-1][1] == told[-1][2]
    for store, rows in enumerate(fake.settings[0x010 + n] for n in range(4)):
        assert len(fake.memory[store]) == rows * fake.shapes[store].chunks, "every chunk of every row"
    assert {status for _, status in fake.log} == {OK}


def test_scans_are_counted_past_the_end(fake, tiny):
    """The register of whole scans wraps while the driver waits for two more."""
    with board_on(fake) as board:
        board.load(tiny)
        fake.scans = (1 << 16) - 1
        board._check_again()
    assert fake.scans >= (1 << 16) + 1


def test_a_model_is_not_loaded_twice(fake, tiny, machine):
    assert board_on(fake).load(tiny) is True
    fake.log.clear()
    with board_on(fake) as again:
        assert again.load(tiny) is False
        assert LOAD not in {kind for kind, _ in fake.log}
        check(tiny, machine, tiny.samples[:1], again.infer(tiny.samples[:1]))
        assert again.load(tiny, force=True) is True
    assert LOAD in {kind for kind, _ in fake.log}


def test_a_large_sample_takes_several_requests(fake, tiny, machine, monkeypatch):
    monkeypatch.setattr("ds2ta.fpga.host._SAMPLE_BYTES", 25)
    with board_on(fake) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))
    assert sum(kind == SAMPLE for kind, _ in fake.log) == 6


def test_registers(fake, tiny):
    with board_on(fake) as board:
        board.write("check_rows", [1, 2], index=1)
        assert board.read("check_rows", count=4) == [0, 1, 2, 0]
        board.load(tiny)
        (result,) = board.infer(tiny.samples[:1])
        assert board.read("logits", 3, 2) == list(result.logits[3:5]), "negative numbers"
        words = board.read("counters", count=40)  # more than one request carries
        counted = [word for one in result.counters for word in (one.cycles, one.events, one.rows, 0)]
        assert words == counted[:40]


# ---- bad lines


@pytest.mark.parametrize("direction", ["to", "from"])
@pytest.mark.parametrize("kind", KINDS)
def test_faults(kind, direction, fake, tiny, machine):
    """Every third piece of one direction. Nothing is lost, nothing is done wrongly."""
    faults = Faults(kind, lambda way, number: way == direction and number % 3 == 0)
    with board_on(fake, faults) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))
        traffic = board.traffic
    assert faults.done > 5
    if kind in ("lost", "cut", "garbled", "late") or (kind, direction) == ("noise", "to"):
        assert traffic.repeats >= faults.done // 2
    if (kind, direction) == ("doubled", "from"):
        assert traffic.strays > 5
    if direction == "from" and kind in ("cut", "garbled"):
        assert traffic.bad_frames > 5


def test_one_repeat_is_enough_after_half_a_frame(fake):
    """The board has the first half; without a delimiter it would take the repeated frame for the second."""
    cut = iter([True])
    board = board_on(fake, lambda way, wire: [wire[:9]] if way == "to" and next(cut, False) else [wire])
    assert board.read("clock_hz") == [24_000_000]
    assert board.traffic.repeats == 1
    assert fake.frames_dropped == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), small=st.booleans())
def test_random_faults(seed, small, tiny, machine):
    """Everything at once, both ways, with large and with small sample requests."""
    fake = FakeBoard(machine, {model_digest(tiny): tiny})
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr("ds2ta.fpga.host._SAMPLE_BYTES", 16)
        board = Board(FakePort(fake, random_faults(seed, 0.01)), name="here", timeout=0.003, attempts=30)
        board.load(tiny)
        check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))


@pytest.mark.parametrize("size", [25, 252])
def test_the_answer_to_the_last_bytes_is_lost(size, fake, tiny, machine, monkeypatch):
    """The result is complete before they are sent again: refused, or the start of the same sample once more."""
    monkeypatch.setattr("ds2ta.fpga.host._SAMPLE_BYTES", size)
    lost = []

    def fault(direction, wire):
        if direction == "from" and len(fake.sample) == 64 and lost[-1:] != [fake.number - 1]:
            lost.append(fake.number)
            while fake.busy:
                fake.register(0x003)  # time passes
            return []
        return [wire]

    with board_on(fake, fault) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:3], board.infer(tiny.samples[:3]))
    assert len(lost) >= 2


def test_a_stale_answer_of_a_former_driver(fake, monkeypatch):
    """It has the very number and kind of the first request."""
    monkeypatch.setattr("random.randrange", lambda _: 41)
    fake.constants[0x002] = 7
    port = FakePort(fake)
    port.buffer = encode_response(42, READ, OK, bytes(4))
    assert Board(port, name="here", timeout=TIMEOUT).read("clock_hz") == [7]


# ---- a real terminal


@pytest.fixture
def terminal(fake):
    """A pseudo-terminal with the fake board behind it; `cut` hangs up after so many bytes."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    state = {"name": os.ttyname(slave), "cut": None}
    waked, waker = os.pipe()

    def serve():
        seen = 0
        while waked not in select.select([master, waked], [], [])[0]:
            data = os.read(master, 4096)
            seen += len(data)
            if state["cut"] is not None and seen > state["cut"]:
                break
            for response in fake.feed(data):
                os.write(master, response)
        os.close(slave)
        os.close(master)

    thread = threading.Thread(target=serve)
    thread.start()
    yield state
    os.write(waker, b"\0")
    thread.join()
    os.close(waked)
    os.close(waker)


def test_a_terminal(terminal, tiny, machine):
    with Board.open(terminal["name"]) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))
        with pytest.raises(LinkError, match="cannot be opened"):  # one driver at a time
            Board.open(terminal["name"])
    with Board.open(terminal["name"]) as board:
        assert board.load(tiny) is False


def test_hang_up_in_mid_load(terminal, tiny, fake):
    fake.settings[0x030] = 1  # it held some other model
    terminal["cut"] = 6000
    with Board.open(terminal["name"], timeout=0.5) as board, pytest.raises(LinkError) as error:
        board.load(tiny)
    assert "\n" not in str(error.value)
    assert "the connection is gone" in str(error.value)
    assert all(fake.settings[0x030 + n] == 0 for n in range(8)), "half a model has no digest"
