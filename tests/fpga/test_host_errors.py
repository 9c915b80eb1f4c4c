# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What can go wrong between the driver and a board: one clear line each, and nothing is left broken."""

import numpy as np
import pytest
from fake_board import ADDRESS, OK, FakeBoard, FakePort
from host_tools import TIMEOUT, board_on, check, one_line

from ds2ta.errors import Ds2taError, FitError
from ds2ta.fpga.device import RefusedError, StalledError
from ds2ta.fpga.exchange import LinkError, NoResponseError
from ds2ta.fpga.frames import decode_request, encode_request, encode_response
from ds2ta.fpga.host import Board, MemoryCheckError, UntrustedError

READ, WRITE, SAMPLE = 1, 2, 4


def sequence_of(data: bytes) -> int:
    """The number of the one request in these bytes."""
    return decode_request(data.strip(b"\0")).sequence


def test_no_such_port(tmp_path):
    path = tmp_path / "ttyUSB9"
    with pytest.raises(LinkError) as error:
        Board.open(str(path))
    text = str(error.value)
    assert text.startswith(f"{path}: cannot be opened as a serial port")
    assert "ports of this machine" in text
    path.write_text("a file")
    with pytest.raises(LinkError, match="cannot be opened as a serial port"):
        Board.open(str(path))


def test_a_silent_device(fake):
    board = board_on(fake, lambda *_: [], attempts=3)
    with pytest.raises(NoResponseError) as error:
        board.identify()
    assert "no response to READ in 3 attempts of 0.01 s" in one_line(error)
    assert board.traffic.repeats == 2


def test_a_device_that_talks_without_end(fake):
    """Noise never stops, and nothing of it is an answer: the driver gives up in time, and keeps no heap of it."""
    port = FakePort(fake, lambda *_: [])
    monkey = type("Noisy", (), {"in_waiting": 4096, "write": port.write, "close": port.close})()
    monkey.read = lambda size: b"\x55" * size
    board = Board(monkey, name="here", timeout=TIMEOUT, attempts=2)
    with pytest.raises(NoResponseError):
        board.identify()
    assert len(board._exchange._received) < 5000


def test_another_kind_of_device(fake):
    fake.constants[0x000] = 0x12345678
    with pytest.raises(LinkError) as error:
        board_on(fake).identify()
    assert "identifies itself as 0x12345678, a ds2ta board as 0x41543244" in one_line(error)


def test_another_version(fake):
    fake.constants[0x001] = 2 << 16 | 1
    with pytest.raises(LinkError) as error:
        board_on(fake).identify()
    assert "version 2.1, this program speaks 1.x" in one_line(error)
    fake.constants[0x001] = 1 << 16 | 9  # a newer minor number only adds
    assert board_on(fake).identify().version == (1, 9)


def test_a_model_that_does_not_fit(tiny, machine):
    small = FakeBoard(machine.model_copy(update={"weight_rows": 100}), {})
    with pytest.raises(FitError) as error:
        board_on(small).load(tiny)
    assert "weight_rows must be" in one_line(error)
    assert WRITE not in {kind for kind, _ in small.log}, "nothing was changed"


def test_memory_check_fails(fake, tiny, monkeypatch):
    """A chunk that does not take what is written to it."""
    stuck = type(
        "Stuck", (dict,), {"__setitem__": lambda self, at, word: dict.__setitem__(self, at, word & 0xFFFE)}
    )
    fake.memory[2] = stuck()
    board = board_on(fake)
    with pytest.raises(MemoryCheckError) as error:
        board.load(tiny)
    text = one_line(error)
    assert "store parameters has CRC-32" in text
    assert "weights" not in text
    assert board.identify().digest == "00" * 32
    with pytest.raises(LinkError, match="no model was loaded"):
        board.infer(tiny.samples[:1])


def test_a_built_in_store_of_another_model(tiny, machine):
    fake = FakeBoard(machine.model_copy(update={"weights": "rom"}), {})
    with pytest.raises(MemoryCheckError, match=r"store weights has .*; weights came with the bitstream"):
        board_on(fake).load(tiny)
    assert {status for _, status in fake.log} == {OK}, "nobody tried to load it"


def test_untrusted(fake, tiny):
    """A word flips between samples: from its discovery on no result is passed on."""
    board = board_on(fake)
    board.load(tiny)
    assert board.infer(tiny.samples[:1])[0].trusted
    fake.memory[0][3, 1] ^= 1
    while not fake.latched:
        fake.scan()
    with pytest.raises(UntrustedError) as error:
        board.infer(tiny.samples[:2])
    assert "result of sample 0 cannot be trusted: memory weights changed" in one_line(error)
    assert [result.trusted for result in board.infer(tiny.samples[:2], allow_untrusted=True)] == [False, False]
    assert board.load(tiny) is True, "a bad memory is loaded again"
    assert board.infer(tiny.samples[:1])[0].trusted


def test_a_flip_in_the_last_sample(fake, tiny):
    """The scan at work has just passed it when the last result comes: the closing check meets it."""
    board = board_on(fake)
    board.load(tiny)

    def flip(number, _):
        if number == 1:
            while fake.scan_at != 2:
                fake.scan()
            fake.memory[1][0, 0] ^= 1

    with pytest.raises(UntrustedError, match="results of 2 samples cannot be trusted: memory program changed"):
        board.infer(tiny.samples[:2], each=flip)
    board.load(tiny)
    results = board.infer(tiny.samples[:2], each=flip, allow_untrusted=True)
    assert [result.trusted for result in results] == [False, False]


def test_not_checked(fake, tiny):
    """Somebody changes the settings of the check between two samples."""
    board = board_on(fake)
    board.load(tiny)
    fake.restart()
    assert board.infer(tiny.samples[:1])[0].trusted, "the driver waits for the check"
    with pytest.raises(UntrustedError, match="result of sample 1 cannot be trusted: the memories were not checked"):
        board.infer(tiny.samples[:2], each=lambda *_: fake.restart())


def test_stalled(fake, tiny, machine):
    board = board_on(fake)
    board.load(tiny)
    fake.stalls = True
    with pytest.raises(StalledError) as error:
        board.infer(tiny.samples[:1])
    assert "sample 0, bytes 0..63: the core takes no byte after 0; it has been reset" in one_line(error)
    fake.stalls = False
    check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]))


def test_no_result(fake, tiny, machine):
    board = board_on(fake)
    board.load(tiny)
    board.patience = 0.05
    fake.hangs = True
    with pytest.raises(StalledError) as error:
        board.infer(tiny.samples[:1])
    assert "sample 0 did not end within 0.05 s (status: busy, memory_good; pass 3)" in one_line(error)
    fake.hangs, board.patience = False, 10.0
    check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]))


def test_busy_for_ever(fake, tiny):
    """Somebody else's sample is at work and does not end; after a reset all is well."""
    board = board_on(fake)
    board.load(tiny)
    board.patience = 0.05
    fake.hangs = True

    def fault(direction, wire):
        fake.sample, fake.working = bytes(64), 2
        return [wire]

    board._exchange._port.fault = fault
    with pytest.raises(Ds2taError) as error:
        board._send(0, 64, b"1", 0)
    assert "the core takes no byte after 64" in one_line(error)


def test_a_sample_left_open(fake, tiny, machine):
    """A driver died in mid-sample; the next one begins with a reset."""
    board = board_on(fake)
    board.load(tiny)
    fake.feed(encode_request(1, SAMPLE, bytes(4) + bytes(10)))
    assert len(fake.sample) == 10
    check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))


def test_refused(fake):
    with pytest.raises(RefusedError) as error:
        board_on(fake).write("clock_hz", [5])
    assert "writing clock_hz = 5: refused by the board: ADDRESS" in one_line(error)
    assert error.value.status == ADDRESS
    odd = board_on(fake)
    fake.feed = lambda data: [encode_response(sequence_of(data), READ, 99)]
    odd._exchange._begun, odd._exchange._sequence = True, 4
    with pytest.raises(RefusedError, match="unknown status 99"):
        odd.read("id")


@pytest.mark.parametrize("before", [7, 254, 255])  # the next number may be the largest, or 0
def test_an_answer_of_another_length(fake, before):
    board = board_on(fake)
    board.read("id")
    board._exchange._sequence = before
    fake.feed = lambda data: [encode_response(sequence_of(data), READ, OK, bytes(8))]
    with pytest.raises(LinkError, match="reading id: 8 bytes came, not 4"):
        board.read("id")


def test_wrong_image(fake, tiny):
    board = board_on(fake)
    board.load(tiny)
    with pytest.raises(Ds2taError, match="the model takes uint8"):
        board.infer([np.zeros((1, 9, 8), np.uint8)])


@pytest.mark.parametrize("options", [{"timeout": 0}, {"attempts": 0}])
def test_options(fake, options):
    with pytest.raises(LinkError, match="timeout must be positive and attempts at least 1"):
        Board(FakePort(fake), **options)


def test_a_slow_line_is_waited_for():
    """The longest answer, and its question, at 1,200 baud: 10 bits a byte, and the pause that was asked for."""
    with Board.open("loop://", baud=1200, timeout=0.5) as board:
        assert board._exchange._timeout == pytest.approx(0.5 + 2 * 265 * 10 / 1200, abs=0.05)
    with pytest.raises(LinkError, match="timeout must be positive"):
        Board.open("loop://", baud=1200, timeout=0)


def test_a_host_that_slept(fake, monkeypatch):
    """The time is over when it first looks at the clock; the answer lies there all the same."""
    board = board_on(fake, attempts=1)
    board.read("id")
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr("ds2ta.fpga.exchange.time.monotonic", lambda: next(clock))
    assert board.read("id") == [0x41543244]
