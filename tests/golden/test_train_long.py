# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Training of large networks: stopping in the middle of an epoch, several processes, journals."""

import hashlib
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_data import CONFIG, NETWORK, squares

from ds2ta.errors import NetworkError
from ds2ta.golden.data import sets as data
from ds2ta.golden.training import run, train
from ds2ta.golden.training.checkpoint import float_path, load_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.journal import Journal, journal_path, read_journal
from ds2ta.golden.training.presets import PRESETS


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(data._LOADERS, "squares", data._Loader(squares, False))
    monkeypatch.setattr(run, "JOURNAL_EVERY", 3)


def losses(path: Path) -> list[tuple]:
    return [(row["phase"], row["epoch"], row["step"], row["loss"], row["rate"]) for row in read_journal(path)]


def test_a_run_cut_at_any_place_goes_on_with_equal_losses(tmp_path):
    whole = train.train(NETWORK, CONFIG, path=tmp_path / "whole.safetensors")
    wanted = losses(tmp_path / "whole.csv")
    assert [row[:3] for row in wanted[:7]] == [("float", 0, step) for step in (3, 6, 9, 12, 15, 16)] + [
        ("float", 1, 3)
    ]
    assert wanted[-1][:3] == ("quantized", 2, 16)
    assert wanted[-1][3] < wanted[0][3]
    path = tmp_path / "cut.safetensors"
    for stop in (0.3, 0.5, 1.0, 1.4, 2.2, 2.9):  # of 16 steps, in the middle of a line of three too
        cut = train.train(NETWORK, CONFIG, path=path, resume=True, stop_after=stop)
        found = load_checkpoint(path)
        assert found.progress == cut.progress
        assert (found.random is None) == (stop == 1.0)
        with (tmp_path / "cut.csv").open("a") as file:  # as if it had gone on and been killed before it saved
            file.write(f"float,{found.progress['epochs']},16,9.0,0.1,1.0\n")
            file.write("float,7,3,9.0,0.1,1.0\nfloat,7,6,9.")
    train.train(NETWORK, CONFIG, path=path, resume=True)
    assert losses(tmp_path / "cut.csv") == wanted
    one, other = load_checkpoint(path), load_checkpoint(tmp_path / "whole.safetensors")
    state = other.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.network.state_dict().items())
    assert one.progress | {"seconds": 0} == other.progress | {"seconds": 0}
    assert one.progress["quantized_accuracy"] == whole.progress["quantized_accuracy"]


def test_a_run_may_begin_at_the_end_of_a_float_phase(tmp_path):
    whole = train.train(NETWORK, CONFIG, path=tmp_path / "whole.safetensors")
    origin = float_path(tmp_path / "whole.safetensors")
    again = train.train(NETWORK, CONFIG, origin=origin)
    state = whole.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.network.state_dict().items())
    began = {"seconds": 0, "origin": hashlib.sha256(origin.read_bytes()).hexdigest()}
    assert again.progress | {"seconds": 0} == whole.progress | began
    coarse = train.train(NETWORK, CONFIG.model_copy(update={"bits": 2}), origin=origin)
    assert coarse.network.synapse("rpe").integer_weight()[0].abs().max() == 1
    other = NETWORK.model_copy(update={"hidden_dim": 20})
    end = tmp_path / "whole.safetensors"  # has a float accuracy too
    for network, start in ((other, origin), (NETWORK, end)):
        with pytest.raises(NetworkError, match="not the end of a float phase of network squares"):
            train.train(network, CONFIG, origin=start)
    with pytest.raises(NetworkError, match="its float phase had seed 3, this recipe has 4"):
        train.train(NETWORK, CONFIG.model_copy(update={"seed": 4}), origin=origin)


def test_a_resumed_run_must_have_begun_there(tmp_path):
    train.train(NETWORK, CONFIG, path=tmp_path / "whole.safetensors")
    origin, path = float_path(tmp_path / "whole.safetensors"), tmp_path / "state.safetensors"
    train.train(NETWORK, CONFIG, path=path, origin=origin, stop_after=2.2)
    train.train(NETWORK, CONFIG, path=path, origin=origin, resume=True, stop_after=2.4)
    with pytest.raises(NetworkError, match=r"began with --origin of SHA-256 .*, not with None"):
        train.train(NETWORK, CONFIG, path=path, resume=True)
    train.train(NETWORK, CONFIG, path=tmp_path / "plain.safetensors", stop_after=0.2)
    with pytest.raises(NetworkError, match="began without --origin, not with"):
        train.train(NETWORK, CONFIG, path=tmp_path / "plain.safetensors", origin=origin, resume=True)


def test_a_warm_start(tmp_path):
    """The weights of another run, and otherwise the recipe from its first step on."""
    path, first = tmp_path / "state.safetensors", tmp_path / "first.safetensors"
    train.train(NETWORK, CONFIG, path=first, stop_after=1.5)
    begun = train.train(NETWORK, CONFIG, path=path, start=first, stop_after=0)
    other = load_checkpoint(first).network.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in begun.network.state_dict().items())
    assert begun.progress["epochs"] == 0
    train.train(NETWORK, CONFIG, path=path, start=first, stop_after=0.2)
    done = train.train(NETWORK, CONFIG, path=path, start=first, resume=True, stop_after=1)
    assert losses(tmp_path / "state.csv")[0][3] < losses(tmp_path / "first.csv")[0][3]
    assert done.progress["start"] == hashlib.sha256(first.read_bytes()).hexdigest()
    with pytest.raises(NetworkError, match=r"began with --start of SHA-256 .*, not with None"):
        train.train(NETWORK, CONFIG, path=path, resume=True)
    with pytest.raises(NetworkError, match=r"first.safetensors: not of network squares"):
        train.train(NETWORK.model_copy(update={"hidden_dim": 20}), CONFIG, start=first)
    with pytest.raises(NetworkError, match="give one of them"):
        train.train(NETWORK, CONFIG, start=first, origin=first)


def test_a_run_from_the_end_of_a_warm_start_is_resumed(tmp_path):
    first, warm, path = (tmp_path / f"{name}.safetensors" for name in ("first", "warm", "coarse"))
    train.train(NETWORK, CONFIG, path=first, stop_after=1)
    train.train(NETWORK, CONFIG, path=warm, start=first)
    origin, coarse = float_path(warm), CONFIG.model_copy(update={"bits": 2})
    whole = train.train(NETWORK, coarse, origin=origin)
    train.train(NETWORK, coarse, path=path, origin=origin, stop_after=2.4)
    again = train.train(NETWORK, coarse, path=path, origin=origin, resume=True)
    state = whole.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.network.state_dict().items())
    assert again.progress["start"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_a_warm_start_sees_other_batches(tmp_path, monkeypatch):
    """Than the run that it goes on from: every sample once an epoch, and the same ones when it is resumed."""
    seen, step = [], run.Run.step

    def noted(self, optimizer, chosen, *rest):
        seen.append(chosen.tolist())
        return step(self, optimizer, chosen, *rest)

    def batches(*stops: float, **options) -> list[list[int]]:
        seen.clear()
        for stop in stops:
            train.train(NETWORK, CONFIG, resume=True, stop_after=stop, **options)
        return list(seen)

    monkeypatch.setattr(run.Run, "step", noted)
    first = tmp_path / "first.safetensors"
    cold = batches(1, path=first)
    warm = batches(1, path=tmp_path / "warm.safetensors", start=first)
    assert sorted(chain(*cold)) == sorted(chain(*warm))
    assert not any(one == other for one, other in zip(cold, warm, strict=True))
    assert batches(0.4, 1, path=tmp_path / "again.safetensors", start=first) == warm


def test_one_run_at_a_time(tmp_path):
    path = tmp_path / "state.safetensors"
    with train._alone(path), pytest.raises(NetworkError, match=r"state.safetensors: another run is at work on it"):
        train.train(NETWORK, CONFIG, path=path)
    assert not list(tmp_path.iterdir())
    train.train(NETWORK, CONFIG, path=path, stop_after=0.1)


def test_evaluation_fits_into_memory():
    shapes = {name: run._at_once(FloatNetwork(network=p.network, config=p.config)) for name, p in PRESETS.items()}
    assert shapes["digits-tiny"] == 500
    for name, count in shapes.items():
        network = PRESETS[name].network
        largest = max(layer.outputs * layer.height * layer.width for layer in network.layers())
        assert 1 <= count <= 500
        assert 8 * 6 * network.time_steps * largest * count <= 2 << 30


def test_checkpoints_come_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.0)
    saved = []
    monkeypatch.setattr(run, "save_checkpoint", lambda found, path: saved.append(dict(found.progress)))
    train.train(NETWORK, CONFIG, path=tmp_path / "run.safetensors", stop_after=1)
    assert [place.get("steps") for place in saved] == [*range(1, 16), None]  # of 16, whatever the journal does


def test_another_number_of_threads_is_no_other_recipe(tmp_path):
    path = tmp_path / "run.safetensors"
    train.train(NETWORK, CONFIG, path=path, stop_after=0.1)
    train.train(NETWORK, CONFIG.model_copy(update={"threads": 2}), path=path, resume=True, stop_after=0.3)
    with pytest.raises(NetworkError, match="another network or recipe"):
        train.train(NETWORK, CONFIG.model_copy(update={"arithmetic": None}), path=path, resume=True)


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import distributed
sys.path.insert(0, {here!r})
from small_data import CONFIG, NETWORK, squares
from ds2ta.golden.data import sets as data
from ds2ta.golden.training import processes, run, train
from ds2ta.golden.training.fused import world
from ds2ta.golden.training.optimizer import average_gradients
data._LOADERS["squares"] = data._Loader(squares, False)
run.JOURNAL_EVERY = 1
with processes.joined("cpu"):
    network = train.train(NETWORK, CONFIG, path={path!r}, stop_after=0.5).network
    rank, count = (distributed.get_rank(), world()) if world() > 1 else (0, 1)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, float(rank))
    average_gradients(network)  # AdamW hardly sees the size of a gradient: the losses do not tell
    assert all((parameter.grad == (count - 1) / 2).all() for parameter in network.parameters())
tasks = Path("/proc/self/task")
names = [(task / "comm").read_text() for task in tasks.iterdir()] if tasks.exists() else []
assert not any("gloo" in name for name in names)  # a thread of the group that outlives it can abort the process
"""


def torchrun(count: int, folder: Path) -> list[tuple]:
    """Losses of half an epoch in that many processes."""
    here, path = str(Path(__file__).parent), str(folder / f"{count}.safetensors")
    script = folder / f"{count}.py"
    script.write_text(SCRIPT.format(here=here, path=path))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command.append(str(script))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return losses(folder / f"{count}.csv")


def test_two_processes_have_the_losses_of_one(tmp_path):
    one, two = (torchrun(count, tmp_path) for count in (1, 2))
    assert len(one) == len(two) == 8
    for mine, other in zip(one, two, strict=True):
        assert mine[:3] == other[:3]
        assert other[3] == pytest.approx(mine[3], abs=1e-4)


def test_lines_that_are_cut_off_are_the_end(tmp_path):
    head, whole = "phase,epoch,step,loss,rate,seconds,accuracy\n", "float,0,3,2.0,0.1,1.0,\n"
    for rest in ("", "float,0,6,1.", "float,0,6,", "float,0", "float,0,6,1.0,0.1,2.0,,7\n", "\udcff,x,,,,,\n"):
        (tmp_path / "run.csv").write_text(head + whole + rest, errors="surrogateescape")
        assert [row["step"] for row in read_journal(tmp_path / "run.csv")] == [3]
    (tmp_path / "foreign.csv").write_text("a,b\n1,2\n")
    assert read_journal(tmp_path / "foreign.csv") == []


def test_states_of_one_stem_have_their_own_journals():
    assert [journal_path(f"at/{name}").name for name in ("run.safetensors", "cifar.b2", "cifar.b3")] == [
        "run.csv",
        "cifar.b2.csv",
        "cifar.b3.csv",
    ]


def test_tensorboard_counts_steps_of_the_whole_run(tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, path, purge_step):
            told.append((path.name, purge_step))

        def add_scalar(self, *words):
            told.append(words)

        def close(self):
            told.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    journal = Journal(tmp_path / "run.safetensors", epoch=2, step=5, steps=16)
    journal.write(phase="float", epoch=2, step=8, loss=1.5, rate=0.1, seconds=1.0)
    journal.write(phase="float", epoch=3, step=0, loss=1.25, rate=0.1, seconds=2.0, accuracy=80.0)
    journal.close()
    assert told == [
        ("run.tensorboard", 38),
        ("loss/float", 1.5, 40),
        ("rate", 0.1, 40),
        ("loss/float", 1.25, 48),
        ("rate", 0.1, 48),
        ("held-out accuracy/float", 80.0, 48),
        "closed",
    ]


def test_journal_of_no_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, epoch=0, step=0, steps=4)
    journal.write(phase="float", epoch=0, step=1, loss=1.0, rate=0.1, seconds=1.0)
    journal.close()
    assert not list(tmp_path.iterdir())
    assert read_journal(tmp_path / "none.csv") == []
