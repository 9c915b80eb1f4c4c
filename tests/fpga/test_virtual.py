# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The unchanged driver on the Verilated board top: through its pins, its UART, its link, its memory check."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial
from faults import FaultyPort, random_faults
from host_tools import check

from ds2ta.commands import main as cli
from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.fpga.boards import BOARDS
from ds2ta.fpga.exchange import NoResponseError
from ds2ta.fpga.frames import Request, sample_payload
from ds2ta.fpga.host import Board, UntrustedError
from ds2ta.gateware.compiler import compile_model, fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.samples import sample_bytes
from ds2ta.gateware.stores import memory_image
from ds2ta.golden import slow
from ds2ta.hw.sdram import IS42S16160G
from ds2ta.modelfile import model_digest
from ds2ta.sim.virtual import VirtualBoard, VirtualBoardError

TINY = model_path("digits-tiny")
CLOCK_HZ = 24_000_000
#: Weights in the board's SDRAM, a ring that holds a part of them.
STREAMING = {"weights": "stream", "ring_rows": 512, "memory_bits": 16, "tables": "ram"}
WAITS = 1000  # cycles that a sample's bytes may be late: they come from the buffer of one request, 10 cycles each
LONG = 60.0  # seconds; for what takes a moment, on a machine with other work

#: Store -> the scope and name of its memory in the design.
MEMORIES = {
    "weights": ("core.accelerator.weight_store.spram_0_1", "words"),
    "program": ("core.accelerator.program_store", "memory"),
    "parameters": ("core.accelerator.parameter_store", "memory"),
    "denoiser": ("core.accelerator.attention.denoiser.table_2.store", "memory"),
}


@pytest.fixture(scope="module")
def virtual(machine):
    with VirtualBoard(machine, clock_hz=CLOCK_HZ) as running:
        yield running


@pytest.fixture
def board(virtual):
    with Board.open(virtual.device, timeout=5) as opened:
        yield opened


def test_load_and_infer(board, tiny, machine):
    board.command(clear_frames=1)
    found = board.identify()
    assert (found.machine, found.clock_hz) == (machine, CLOCK_HZ)
    board.load(tiny, force=True)
    assert board.load(tiny) is False
    images = tiny.samples[:5]
    check(tiny, machine, images, board.infer(images), waits=WAITS)
    assert board.identify().digest == model_digest(tiny)
    assert board.read("frames_dropped") == [0]
    assert board.traffic.repeats == board.traffic.bad_frames == board.traffic.strays == 0


def test_a_bad_line(virtual, tiny, machine, monkeypatch):
    """Requests and answers are lost, garbled, cut, doubled and late; samples go in several requests."""
    monkeypatch.setattr("ds2ta.fpga.host._SAMPLE_BYTES", 25)
    with serial.Serial(virtual.device, 1_000_000, timeout=0.02) as line:
        board = Board(FaultyPort(line, random_faults(7, 0.01)), timeout=0.5, attempts=20)
        board.load(tiny, force=True)
        check(tiny, machine, tiny.samples[:4], board.infer(tiny.samples[:4]), waits=1 << 24)
    assert board.traffic.repeats > 3
    assert board.traffic.bad_frames + board.traffic.strays > 3


@pytest.mark.parametrize("store", MEMORIES)
def test_a_flipped_bit_is_found(store, board, virtual, tiny):
    board.load(tiny)
    assert board.status()["memory_good"]
    virtual.flip(*MEMORIES[store], 1, 3)
    state = board.wait(lambda now: now["memory_error"], "the memory check")
    assert (state["bad_stores"], state["memory_good"]) == (1 << list(MEMORIES).index(store), 0)
    virtual.flip(*MEMORIES[store], 1, 3)  # it is sticky
    board.wait(lambda now: board.read("check_found", 0, 4) == board.read("check_expected", 0, 4), "another scan")
    assert board.status()["memory_error"]
    board.command(rescan=1)
    board.wait(lambda now: now["memory_good"], "the memory check")


def test_results_of_a_bad_memory(board, virtual, tiny, machine):
    """A weight flips: at rest, and while results come. No such result is passed on; a load mends all."""
    board.load(tiny)
    where = (*MEMORIES["weights"], 100, 2)
    virtual.flip(*where)
    board.wait(lambda now: now["memory_error"], "the memory check")
    with pytest.raises(UntrustedError, match="sample 0 cannot be trusted: memory weights changed"):
        board.infer(tiny.samples[:2])
    assert [answer.trusted for answer in board.infer(tiny.samples[:2], allow_untrusted=True)] == [False, False]
    assert board.load(tiny) is True
    check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]), waits=WAITS)
    with pytest.raises(UntrustedError, match="memory weights changed"):
        board.infer(tiny.samples[:3], each=lambda number, _: number == 2 and virtual.flip(*where))
    assert board.load(tiny) is True


def test_garbage(board, virtual, tiny, machine):
    """Random bytes, half a frame, endless zeros; the next good frame works."""
    board.load(tiny)
    before = board.read("frames_dropped")[0]
    luck = random.Random(1)
    with serial.Serial(virtual.device, 1_000_000, timeout=0.01) as line:
        line.write(luck.randbytes(3000))
        line.write(bytes(100))
        line.write(b"\x05\x01\x01")  # cut off
        line.flush()
        check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]), waits=WAITS)
    assert board.read("frames_dropped")[0] - before > 5
    assert board.identify().digest == model_digest(tiny), "nothing of it was acted upon"


def test_wrong_baud_rate(virtual, tiny, machine):
    with (
        Board.open(virtual.device, baud=115_200, timeout=0.2, attempts=2) as board,
        pytest.raises(NoResponseError, match="is the baud rate that of its build"),
    ):
        board.identify()
    with Board.open(virtual.device, timeout=5) as board:
        board.load(tiny)
        check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]), waits=WAITS)


@pytest.mark.parametrize("reset", [True, False])
def test_a_sample_left_in_the_middle(reset, board, tiny, machine):
    """By a driver that resets, and by one that simply goes."""
    board.load(tiny)
    data = sample_bytes(tiny, tiny.samples[3]).tobytes()
    board.ask(Request.SAMPLE, sample_payload(0, data[:30]), "half a sample")
    assert board.status()["sample_open"]
    assert board.read("sample_bytes") == [30]
    if reset:
        board.reset()
        state = board.status()
        assert not state["busy"] | state["sample_open"] | state["result_valid"]
    check(tiny, machine, tiny.samples[:2], board.infer(tiny.samples[:2]), waits=WAITS)


@contextmanager
def started(words, **options):
    """A process that ends with the block, also where an assertion ends it: `Popen` alone would wait for it."""
    with subprocess.Popen(words, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_driver_killed_in_mid_load(virtual, tiny, machine):
    script = (
        "import sys; from ds2ta.fpga.host import Board; from ds2ta.modelfile import load_model\n"
        "board = Board.open(sys.argv[1])\n"
        "board.load(load_model(sys.argv[2]), force=True, progress=lambda *told: print(told[1], flush=True))"
    )
    words = [sys.executable, "-c", script, virtual.device, str(TINY)]
    with started(words, stdout=subprocess.PIPE) as driver:
        assert any(int(line) == 20 for line in driver.stdout)
        driver.kill()
    with Board.open(virtual.device, timeout=5) as board:
        assert board.identify().digest == "00" * 32
        assert board.load(tiny) is True
        check(tiny, machine, tiny.samples[:1], board.infer(tiny.samples[:1]), waits=WAITS)


def ended(process: int) -> bool:
    """Within a while; a zombie has ended."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_link_and_signals(machine, tmp_path):
    link = tmp_path / "ttyDS2TA"
    link.symlink_to("nowhere")  # left by somebody
    with VirtualBoard(machine, clock_hz=CLOCK_HZ, link=link) as running:
        assert running.device == str(link)
        assert os.readlink(link) == running.terminal
        with Board.open(str(link), timeout=5) as board:
            assert board.identify().clock_hz == CLOCK_HZ
    assert not link.is_symlink()
    with pytest.raises(VirtualBoardError, match=r"weight_store\.memory.* it is gone"):
        running.flip("weight_store", "memory", 0, 0)
    link.write_text("a file")
    with pytest.raises(VirtualBoardError, match="ttyDS2TA: exists and is no symbolic link"):
        VirtualBoard(machine, clock_hz=CLOCK_HZ, link=link)
    assert link.read_text() == "a file"


def test_rom_stores_need_a_model(machine):
    with pytest.raises(FitError, match="a machine with ROM stores needs the model that they hold"):
        VirtualBoard(machine.model_copy(update={"tables": "rom"}), clock_hz=CLOCK_HZ)


def test_flip_of_nothing(virtual):
    for where in (("nowhere", "memory", 0, 0), (*MEMORIES["program"], 1 << 20, 0), (*MEMORIES["program"], 0, 64)):
        with pytest.raises(VirtualBoardError, match="missing"):
            virtual.flip(*where)


def test_it_sleeps(virtual, board):
    """Half a second in which it takes no time at all: its clock stands still."""

    def spent() -> str:
        return " ".join(Path(f"/proc/{virtual.process_id}/stat").read_text().rpartition(")")[2].split()[11:13])

    board.identify()
    deadline = time.monotonic() + LONG
    while True:
        before = spent()
        time.sleep(0.5)
        if spent() == before:
            break
        assert time.monotonic() < deadline, "it never rests"
    board.identify()
    assert spent() != before, "and it woke up"


# ---- the command line


@pytest.fixture
def ds2ta(monkeypatch, capsys):
    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ds2ta", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def test_run_on_a_device(ds2ta, virtual, tiny, tmp_path):
    images = tmp_path / "images.npy"
    np.save(images, tiny.samples[:3])
    code, out, _ = ds2ta("run", TINY, images, "--device", virtual.device, "--json")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    _, out, _ = ds2ta("run", TINY, images, "--json")
    golden = [json.loads(line) for line in out.splitlines()]
    assert [one | {"cycles": 0} for one in found] == [one | {"cycles": 0} for one in golden]
    assert all(one["cycles"] > 10_000 for one in found)
    code, out, _ = ds2ta("run", TINY, images, "--device", virtual.device)
    assert code == 0
    for one in found:
        assert re.search(rf"{one['sample']} +│ +{one['class']} +│ +\d+ +│ +{one['logits'][0]} ", out)


def test_board_command(tmp_path):
    link = tmp_path / "board"
    words = [
        sys.executable,
        "-c",
        "from ds2ta.commands.main import main; main()",
        "board",
        "--virtual",
        "--link",
        str(link),
    ]
    for end in (signal.SIGINT, signal.SIGKILL):
        # a shell's background job, and all that it starts, ignores SIGINT
        listens = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        with started(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **listens) as command:
            assert command.stdout.readline().strip() == str(link)
            with Board.open(str(link), timeout=5) as board:
                assert board.identify().clock_hz == round(BOARDS["icebreaker"].core_hz)
            children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
            command.send_signal(end)
            code = command.wait(LONG)
            assert code == 0 if end == signal.SIGINT else code == -end
            notes = command.stderr.read().splitlines()
            assert [note.split()[0] for note in notes] == ["building", "in"], "and no traceback"
        assert children
        assert all(ended(int(child)) for child in children)
        assert not link.is_symlink()


def test_demo(ds2ta, monkeypatch):
    code, out, _ = ds2ta("demo", "--images", 3)
    assert code == 0
    assert out.count("equals golden") == 3
    assert re.search(r"equal to golden \(class and logits\) +│ +3 of 3", out)
    assert re.search(r"memories +│ +good in \d+ scans: weights [0-9a-f]{8}", out)
    honest = slow.run

    def other(model, sample):
        """Golden itself is wrong about one logit of the second image."""
        trace = honest(model, sample)
        trace["logits"][9] += bool(np.array_equal(sample, model.samples[1]))
        return trace

    monkeypatch.setattr(slow, "run", other)
    code, out, _ = ds2ta("demo", "--images", 3)
    assert code == 1
    assert out.count("DIFFERS from golden") == 1
    assert re.search(r"equal to golden \(class and logits\) +│ +2 of 3", out)


MISTAKES = {
    "no port": (["run", TINY, "IMAGES", "--device", "nowhere"], "nowhere: cannot be opened as a serial port"),
    "two answers": (["run", TINY, "IMAGES", "--device", "x", "--backend", "rtl"], "leave out --backend"),
    "not virtual": (["board"], "add --virtual"),
    "baud": (["board", "--virtual", "--baud", "9000000"], "Baud rate must be at most 1/4 of the clock"),
    "too many": (["demo", "--images", "65"], "demo of 65 images: digits-tiny carries 1..64"),
    "too small": (["demo", "--set", "weight_rows=9"], "weight_rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake, ds2ta, tiny, tmp_path):
    words, message = MISTAKES[mistake]
    np.save(tmp_path / "images.npy", tiny.samples[:1])
    code, out, err = ds2ta(*(tmp_path / "images.npy" if word == "IMAGES" else word for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.fixture(scope="module")
def streaming(tiny):
    return fit(tiny, **MACHINES["digits-tiny"] | STREAMING)[0]


@pytest.fixture(scope="module")
def with_sdram(streaming):
    with VirtualBoard(streaming, clock_hz=CLOCK_HZ, memory=IS42S16160G) as running:
        yield running


def check_streamed(model, images, results):
    """Logits, and that passes waited for weights; when their words come depends on the SDRAM's refresh."""
    for image, result in zip(images, results, strict=True):
        assert result.logits == tuple(slow.run(model, image)["logits"].tolist())
        assert result.trusted
        assert sum(one.waits for one in result.counters) > 0


def test_weights_in_an_sdram(with_sdram, tiny, streaming):
    """Loaded through the pins, a word of the weights after the other, and read from there for each sample."""
    with Board.open(with_sdram.device, timeout=5) as board:
        found = board.identify()
        assert found.machine == streaming
        board.load(tiny, force=True)
        check_streamed(tiny, tiny.samples[:4], board.infer(tiny.samples[:4]))


def test_a_bit_of_the_sdram_turns_over(with_sdram, tiny, streaming, tmp_path):
    """It is found in idle time, and mended by the image itself, put there past the pins."""
    image = tmp_path / "weights.bin"
    image.write_bytes(memory_image(streaming, compile_model(tiny, streaming)))
    with Board.open(with_sdram.device, timeout=5) as board:
        board.load(tiny, force=True)
        with_sdram.turn(len(image.read_bytes()) // 4, 0x10)
        deadline = time.monotonic() + LONG
        while not board.status()["memory_error"]:
            assert time.monotonic() < deadline
        with pytest.raises(UntrustedError, match="weights"):
            board.infer(tiny.samples[:1])
        with_sdram.fill(image)
        board.command(rescan=1)
        check_streamed(tiny, tiny.samples[:2], board.infer(tiny.samples[:2]))


def test_what_the_sdram_does_not_know(with_sdram, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for wrong in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(VirtualBoardError, match=r"fill .*: missing$"):
            with_sdram.fill(wrong)
    with pytest.raises(VirtualBoardError, match=r"turn 16777216 1: missing$"):
        with_sdram.turn(1 << 24, 1)
