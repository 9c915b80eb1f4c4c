"""The host driver against a board in plain Python, over lines that lose, garble, delay and double."""

import os
import pty
import threading
import tty

import numpy as np
import pytest
from fake_board import ADDRESS, OK, FakeBoard, FakePort
from faults import KINDS, Faults, random_faults
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.cli import ROOT
from ds2ta.errors import Ds2taError, FitError
from ds2ta.fpga.device import RefusedError, StalledError
from ds2ta.fpga.exchange import LinkError, NoAnswerError
from ds2ta.fpga.frames import encode_answer, encode_request
from ds2ta.fpga.host import Board, MemoryCheckError, UntrustedError
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.presets import ICE40, MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model, model_digest

TIMEOUT = 0.01
READ, WRITE, LOAD, SAMPLE = range(1, 5)


@pytest.fixture(scope="module")
def tiny():
    return load_model(ROOT / "models" / "digits-tiny.safetensors")


@pytest.fixture(scope="module")
def machine(tiny):
    return fit(tiny, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})


@pytest.fixture
def fake(tiny, machine):
    return FakeBoard(machine, {model_digest(tiny): tiny})


def board_on(fake, fault=None, **options) -> Board:
    return Board(FakePort(fake, fault), name="here", timeout=TIMEOUT, **options)


def check(tiny, machine, images, answers) -> None:
    program = compile_model(tiny, machine)
    assert len(answers) == len(images)
    for image, answer in zip(images, answers, strict=True):
        taps = slow.run(tiny, image)
        counters = predict(program, machine, image, taps)
        assert answer.logits == tuple(taps["logits"].tolist())
        assert answer.class_index == int(np.argmax(taps["logits"]))
        assert (answer.counters, answer.cycles) == (counters, total_cycles(counters))
        assert answer.trusted


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("here: ")
    return text


# ---- a line without faults


def test_identify(fake, machine):
    found = board_on(fake).identify()
    assert found.machine == machine
    assert (found.version, found.clock_hz, found.digest) == ((1, 0), 24_000_000, "00" * 32)


def test_load_and_infer(fake, tiny, machine):
    heard, told = [], []
    with board_on(fake) as board:
        assert board.load(tiny, progress=lambda *step: told.append(step)) is True
        images = tiny.samples[:3]
        answers = board.infer(images, each=lambda *pair: heard.append(pair))
        check(tiny, machine, images, answers)
        assert heard == list(enumerate(answers))
        assert board.identify().digest == model_digest(tiny)
        assert board.traffic.repeats == board.traffic.bad_frames == board.traffic.strays == 0
    assert {stage for stage, _, _ in told} == {"loading", "checking memories"}
    assert told[-1][1] == told[-1][2]
    for store, rows in enumerate(fake.settings[0x010 + n] for n in range(4)):
        assert len(fake.memory[store]) == rows * fake.shapes[store].chunks, "every chunk of every row"
    assert {status for _, status in fake.log} == {OK}


def test_a_model_is_not_loaded_twice(fake, tiny, machine):
    assert board_on(fake).load(tiny) is True
    fake.log.clear()
    with board_on(fake) as again:
        assert again.load(tiny) is False
        assert LOAD not in {opcode for opcode, _ in fake.log}
        check(tiny, machine, tiny.samples[:1], again.infer(tiny.samples[:1]))
        assert again.load(tiny, force=True) is True
    assert LOAD in {opcode for opcode, _ in fake.log}


def test_a_large_sample_takes_several_requests(fake, tiny, machine, monkeypatch):
    monkeypatch.setattr("ds2ta.fpga.host._SAMPLE_BYTES", 25)
    with board_on(fake) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]))
    assert sum(opcode == SAMPLE for opcode, _ in fake.log) == 6


def test_registers(fake, tiny):
    with board_on(fake) as board:
        board.write("check_rows", [1, 2], index=1)
        assert board.read("check_rows", count=4) == [0, 1, 2, 0]
        board.load(tiny)
        (answer,) = board.infer(tiny.samples[:1])
        assert board.read("logits", 3, 2) == list(answer.logits[3:5]), "negative numbers"
        words = board.read("counters", count=40)  # more than one request carries
        counted = [word for one in answer.counters for word in (one.cycles, one.events, one.rows, 0)]
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
    """It has the very number and opcode of the first request."""
    monkeypatch.setattr("random.randrange", lambda _: 41)
    fake.constants[0x002] = 7
    port = FakePort(fake)
    port.buffer = encode_answer(42, READ, OK, bytes(4))
    assert Board(port, name="here", timeout=TIMEOUT).read("clock_hz") == [7]


# ---- errors, one line each


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
    with pytest.raises(NoAnswerError) as error:
        board.identify()
    assert "no answer to READ in 3 attempts of 0.01 s" in one_line(error)
    assert board.traffic.repeats == 2


def test_a_device_that_talks_without_end(fake):
    """Noise never stops, and nothing of it is an answer: the driver gives up in time, and keeps no heap of it."""
    port = FakePort(fake, lambda *_: [])
    monkey = type("Noisy", (), {"in_waiting": 4096, "write": port.write, "close": port.close})()
    monkey.read = lambda size: b"\x55" * size
    board = Board(monkey, name="here", timeout=TIMEOUT, attempts=2)
    with pytest.raises(NoAnswerError):
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
    assert WRITE not in {opcode for opcode, _ in small.log}, "nothing was changed"


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
    assert [answer.trusted for answer in board.infer(tiny.samples[:2], allow_untrusted=True)] == [False, False]
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
    answers = board.infer(tiny.samples[:2], each=flip, allow_untrusted=True)
    assert [answer.trusted for answer in answers] == [False, False]


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
    board = board_on(fake, patience=0.05)
    board.load(tiny)
    fake.hangs = True
    with pytest.raises(StalledError) as error:
        board.infer(tiny.samples[:1])
    assert "sample 0 did not end within 0.05 s (status: busy, memory_good; pass 3)" in one_line(error)
    fake.hangs = False
    check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]))


def test_busy_for_ever(fake, tiny):
    """Somebody else's sample is at work and does not end; after a reset all is well."""
    board = board_on(fake, patience=0.05)
    board.load(tiny)
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
    fake.feed = lambda data: [encode_answer(data.strip(b"\0")[1], READ, 99)]
    odd._exchange._begun, odd._exchange._sequence = True, 4
    with pytest.raises(RefusedError, match="unknown status 99"):
        odd.read("id")


def test_an_answer_of_another_length(fake):
    board = board_on(fake)
    board.read("id")
    fake.feed = lambda data: [encode_answer(data.strip(b"\0")[1], READ, OK, bytes(8))]
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


# ---- a real terminal


@pytest.fixture
def terminal(fake):
    """A pseudo-terminal with the fake board behind it; `cut` hangs up after so many bytes."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    state = {"name": os.ttyname(slave), "cut": None}

    def serve():
        seen = 0
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                return
            seen += len(data)
            if not data or (state["cut"] is not None and seen > state["cut"]):
                break
            for answer in fake.feed(data):
                os.write(master, answer)
        os.close(slave)
        os.close(master)

    thread = threading.Thread(target=serve)
    thread.start()
    yield state
    if thread.is_alive():
        state["cut"] = 0
        waker = os.open(state["name"], os.O_WRONLY | os.O_NOCTTY)
        os.write(waker, b"\0" * 8)
        thread.join()
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
