# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Checkpoint files as people really save them: the same weights come out, or one line says what is the matter."""

import argparse
import collections
import os
import pathlib
import types

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ds2ta.errors import Ds2taError, ModelFileError
from ds2ta.golden.training.statefile import choose, read_sets, weight_sets

MARK = "patch.weight"
STATE = collections.OrderedDict({"patch.weight": torch.arange(6.0), "head.bias": torch.ones(2)})


def prefixed(prefix: str) -> dict:
    return {prefix + name: value for name, value in STATE.items()}


def averaged() -> dict:
    return {name: value + 1 for name, value in STATE.items()}


PLAIN = {
    "bare": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "epoch": 3, "best_acc": 93.2},
    "net": {"net": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}},
    "model_state_dict": {"model_state_dict": STATE},
    "nested": {"checkpoint": {"model": {"net": STATE}}},
    "data parallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "lightning": {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 0.1}},
    "with a loss beside": {"state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3)}},
    "numpy scalars": {"state_dict": STATE, "metric": np.float64(93.1), "top": np.float32(1), "n": np.int64(3)},
    "numpy array": {"state_dict": STATE, "curve": np.arange(4.0)},
    "paths": {"model": STATE, "args": {"out": pathlib.PosixPath("/x"), "pure": pathlib.PureWindowsPath("c:")}},
    "arguments": {"model": STATE, "args": argparse.Namespace(lr=5e-4, out=pathlib.Path("x"))},
    "namespaces": {"model": STATE, "config": types.SimpleNamespace(a=1)},
    "defaultdict": {"model": STATE, "seen": collections.defaultdict(int)},
    "parameters": {name: torch.nn.Parameter(value) for name, value in STATE.items()},
}


@pytest.mark.parametrize("kind", PLAIN)
def test_wrappers_and_prefixes(tmp_path, kind):
    torch.save(PLAIN[kind], tmp_path / "x.pth")
    found = choose(read_sets(tmp_path / "x.pth", MARK), None, "x.pth")
    assert set(found.tensors) == set(STATE)
    assert all(torch.equal(found.tensors[name], value) for name, value in STATE.items())
    assert found.others == (("criterion.weight",) if kind == "with a loss beside" else ())


def test_safetensors(tmp_path):
    save_file(prefixed("module."), tmp_path / "x.bin")  # known by its content
    found = choose(read_sets(tmp_path / "x.bin", MARK), None, "x.bin")
    assert torch.equal(found.tensors["patch.weight"], STATE["patch.weight"])


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "state_dict_ema": averaged()},
        {"model": STATE, "model_ema": {"module": averaged()}},
        {"state_dict": prefixed("model.") | {f"ema.module.{k}": v for k, v in averaged().items()}},
        {"state_dict": STATE | {f"ema.{k}": v for k, v in averaged().items()}},
        {"model": STATE, "ema": {"shadow": averaged()}},
    ],
)
def test_the_moving_average_is_taken_by_choice(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    sets = read_sets(tmp_path / "x.pth", MARK)
    plain, average = choose(sets, None, "x"), choose(sets, "ema", "x")
    assert torch.equal(plain.tensors["head.bias"], STATE["head.bias"])
    assert torch.equal(average.tensors["head.bias"], STATE["head.bias"] + 1)
    assert (plain.averaged, average.averaged, len(sets)) == (False, True, 2)
    assert choose(sets, average.name, "x") is average
    assert set(plain.tensors) == set(average.tensors) == set(STATE)


def test_what_is_no_single_choice_is_refused():
    two = weight_sets({"student": STATE, "teacher": averaged()}, MARK)
    with pytest.raises(ModelFileError, match="x: holds the weights 'student', 'teacher'; --weights must name one"):
        choose(two, None, "x")
    assert choose(two, "teacher", "x").name == "teacher"
    with pytest.raises(ModelFileError, match="--weights ema names 0 of them"):
        choose(two, "ema", "x")
    alone = weight_sets({"ema": averaged()}, MARK)
    with pytest.raises(ModelFileError, match="'ema'; it is a moving average alone; --weights ema takes it"):
        choose(alone, None, "x")
    assert choose(weight_sets({"schema": STATE}, MARK), None, "x").averaged is False


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_nothing_is_run(tmp_path):
    torch.save({"state_dict": STATE, "args": Evil(tmp_path / "made")}, tmp_path / "x.pth")
    with pytest.raises(
        ModelFileError, match=r"x.pth: holds an object of the class (posix|nt).mkdir, and building it"
    ):
        read_sets(tmp_path / "x.pth", MARK)
    assert not (tmp_path / "made").exists()


def test_a_whole_module_is_refused_with_the_mend(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(ModelFileError) as refused:
        read_sets(tmp_path / "x.pth", MARK)
    assert "class torch.nn.modules.linear.Linear" in str(refused.value)
    assert "torch.save(network.state_dict(), PATH)" in str(refused.value)
    assert "weights_only" not in str(refused.value)


FILES = {
    "empty": (b"", "is empty"),
    "text": (b"no checkpoint", "not a file of tensors that torch.save wrote"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a pointer of Git LFS"),
    "safetensors": (b"\x09\0\0\0\0\0\0\0{not json", "not a readable safetensors file"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_no_checkpoints(tmp_path, kind):
    content, told = FILES[kind]
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelFileError, match=told):
        read_sets(tmp_path / "x.pth", MARK)


def test_places_and_contents_that_are_no_state_dict(tmp_path):
    with pytest.raises(ModelFileError, match="is a folder"):
        read_sets(tmp_path, MARK)
    with pytest.raises(ModelFileError, match="no such file"):
        read_sets(tmp_path / "none.pth", MARK)
    path = tmp_path / "x.pth"
    for content in ({"epoch": 3}, [torch.ones(2)], torch.ones(2), 3):
        torch.save(content, path)
        with pytest.raises(ModelFileError, match="holds no state dict"):
            read_sets(path, MARK)
    torch.save({"layer.weight": torch.ones(2)}, path)
    with pytest.raises(ModelFileError, match=r"none of its 1 tensors is named patch.weight.* the first is 'layer"):
        read_sets(path, MARK)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 1500), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_files_give_one_line(tmp_path, place, value, cut):
    """A byte changed or the rest cut off: our own error, or weights."""
    path = tmp_path / "x.pth"
    torch.save({"state_dict": STATE, "metric": np.float64(1)}, path)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] = value
    path.write_bytes(content[:place] if cut else content)
    told = ""
    try:
        read_sets(path, MARK)
    except Ds2taError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 400 + len(str(path))
