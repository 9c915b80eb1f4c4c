"""Training of large networks: stopping in the middle of an epoch, several processes, journals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_data import CONFIG, NETWORK, squares

from ds2ta.errors import NetworkError
from ds2ta.golden import data, run, train
from ds2ta.golden.checkpoint import float_path, load_checkpoint
from ds2ta.golden.journal import Journal, read_journal


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
    for stop in (0.3, 0.5, 1.0, 1.4, 2.2, 2.9):
        cut = train.train(NETWORK, CONFIG, path=path, resume=True, stop_after=stop)
        found = load_checkpoint(path)
        assert found.progress == cut.progress
        assert (found.random is None) == (stop == 1.0)
        with (tmp_path / "cut.csv").open("a") as file:  # as if it had gone on and been killed before it saved
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
    assert again.progress | {"seconds": 0} == whole.progress | {"seconds": 0}
    coarse = train.train(NETWORK, CONFIG.model_copy(update={"bits": 2}), origin=origin)
    assert coarse.network.synapse("rpe").integer_weight()[0].abs().max() == 1
    other = NETWORK.model_copy(update={"hidden_dim": 20})
    with pytest.raises(NetworkError, match="not the end of a float phase of network squares"):
        train.train(other, CONFIG, origin=origin)


def test_checkpoints_come_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.0)
    saved = []
    monkeypatch.setattr(run, "save_checkpoint", lambda found, path: saved.append(dict(found.progress)))
    train.train(NETWORK, CONFIG, path=tmp_path / "run.safetensors", stop_after=1)
    assert [place.get("steps") for place in saved] == [3, 6, 9, 12, 15, None]


def test_another_number_of_threads_is_no_other_recipe(tmp_path):
    path = tmp_path / "run.safetensors"
    train.train(NETWORK, CONFIG, path=path, stop_after=0.1)
    train.train(NETWORK, CONFIG.model_copy(update={"threads": 2}), path=path, resume=True, stop_after=0.3)
    with pytest.raises(NetworkError, match="another network or recipe"):
        train.train(NETWORK, CONFIG.model_copy(update={"arithmetic": None}), path=path, resume=True)


SCRIPT = """
import sys
from torch import distributed
sys.path.insert(0, {here!r})
from small_data import CONFIG, NETWORK, squares
from ds2ta.golden import data, processes, run, train
data._LOADERS["squares"] = data._Loader(squares, False)
run.JOURNAL_EVERY = 1
with processes.joined("cpu"):
    train.train(NETWORK, CONFIG, path={path!r}, stop_after=0.5)
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


def test_journal_of_no_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, epoch=0, step=0)
    journal.write(phase="float", epoch=0, step=1, loss=1.0, rate=0.1, seconds=1.0)
    journal.close()
    assert not list(tmp_path.iterdir())
    assert read_journal(tmp_path / "none.csv") == []
