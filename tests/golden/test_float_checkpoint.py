# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Float checkpoints come back as they were, and nothing else is accepted."""

import pickle

import pytest
import torch
from float_networks import batch, build
from safetensors import safe_open
from safetensors.torch import save_file

from ds2ta.errors import Ds2taError
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture
def saved(tmp_path):
    network = build(seed=1)
    path = tmp_path / "run.ckpt"
    moments = {"head.bias.exp_avg": torch.arange(5.0), "head.bias.step": torch.tensor(3.0)}
    save_checkpoint(Checkpoint(network, {"epochs": 2, "seconds": 1.5}, moments), path)
    return network, path


def test_round_trip(saved):
    network, path = saved
    read = load_checkpoint(path)
    assert read.progress == {"epochs": 2, "seconds": 1.5}
    assert read.network.network == network.network
    assert read.network.config == network.config
    assert torch.equal(read.optimizer["head.bias.exp_avg"], torch.arange(5.0))
    samples = batch(network)
    assert torch.equal(read.network.eval()(samples), network.eval()(samples))
    assert not list(path.parent.glob("*.partial"))


def test_every_flipped_bit_is_refused(saved, tmp_path):
    """A bit in the header, in its JSON, and in the tensors: each is the project's own error, one line."""
    _, path = saved
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.ckpt"
    for place in [*range(0, 64), *range(64, len(whole), len(whole) // 150), len(whole) - 1]:
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        damaged.write_bytes(changed)
        with pytest.raises(Ds2taError, match=r"damaged\.ckpt") as caught:
            load_checkpoint(damaged)
        assert "\n" not in str(caught.value)


def test_truncated_missing_and_foreign_files(saved, tmp_path):
    _, path = saved
    whole = path.read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "short.ckpt").write_bytes(whole[:length])
        with pytest.raises(Ds2taError, match=r"short\.ckpt"):
            load_checkpoint(tmp_path / "short.ckpt")
    with pytest.raises(Ds2taError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.ckpt", metadata={"format": "pt"})
    with pytest.raises(Ds2taError, match="this program reads 'ds2ta-float' version 1"):
        load_checkpoint(tmp_path / "other.ckpt")


class _Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (_Bomb, "exploded", True))


@pytest.mark.parametrize("writer", [pickle.dump, torch.save])
def test_pickles_are_never_opened(writer, tmp_path):
    path = tmp_path / "evil.ckpt"
    with path.open("wb") as file:
        writer(_Bomb(), file)
    with pytest.raises(Ds2taError, match="not a readable safetensors file"):
        load_checkpoint(path)
    assert not _Bomb.exploded


def test_tensors_of_another_network_are_refused(saved, tmp_path):
    """Digests that are right for the wrong tensors do not help: the network decides what must be there."""
    network, path = saved
    lean = {name: value for name, value in network.state_dict().items() if name != "head.bias"}
    network.state_dict = lambda: lean
    save_checkpoint(Checkpoint(network, {"epochs": 0, "seconds": 0.0}), tmp_path / "lean.ckpt")
    with pytest.raises(Ds2taError, match="its tensors are not those of its network"):
        load_checkpoint(tmp_path / "lean.ckpt")
    with safe_open(path, framework="pt") as file:
        assert "network.head.bias" in file.keys()  # noqa: SIM118 (not a dict)
