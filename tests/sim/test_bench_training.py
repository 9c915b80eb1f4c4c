# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`ds2ta bench-training`: the rows that it promises, and one line for what it cannot do. Nothing is timed here."""

import json

import pytest
import torch

from ds2ta.commands import main as cli
from ds2ta.files import model_path
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.network import network_from_dict
from ds2ta.records import training_speed

PROMISED = {
    *("what", "ours", "spikingjelly", "ratio", "unit"),
    *("precision", "threads", "batch", "command", "hardware", "date"),
}
TINY = model_path("digits-tiny")


@pytest.fixture
def small(monkeypatch):
    """A preset that takes no time, with everything that the comparison takes out of it."""
    network = network_from_dict(
        {
            "name": "small",
            "input": {"kind": "image", "channels": 3, "height": 8, "width": 8, "bits": 8},
            "time_steps": 2,
            "stem": [{"channels": 8, "pool": True}, {"channels": 16}],
            "embed_dim": 16,
            "heads": 2,
            "depth": 1,
            "hidden_dim": 32,
            "window": 2,
            "classes": 3,
        }
    )
    monkeypatch.setitem(training_speed.PRESETS, "small", Preset(network=network, config=TrainingConfig()))
    monkeypatch.setattr(training_speed, "GOLDEN_IMAGES", 2)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command with these words; returns its exit code, its error output and the rows that it wrote."""

    def call(*words: object) -> tuple[int, str, list[dict] | None]:
        out = tmp_path / "rows.json"
        monkeypatch.setattr("sys.argv", ["ds2ta", "bench-training", *map(str, words), "--out", str(out)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err, json.loads(out.read_text()) if out.exists() else None

    return call


def test_rows(run, small):
    pytest.importorskip("spikingjelly", reason="the peer is an optional package: make speed installs it")
    threads = torch.get_num_threads()
    words = ("--preset", "small", "--batch", 4, "--rounds", 1, "--no-compiled", "--golden", TINY)
    code, _, rows = run(*words)
    assert code == 0
    assert torch.get_num_threads() == threads
    assert [(row["what"].split(",")[0], row["precision"]) for row in rows] == [
        ("training step", "float32"),
        ("evaluation", "float32"),
        ("training step", "bfloat16"),
        ("evaluation", "bfloat16"),
        ("integer golden model", "exact integers"),
    ]
    for row in rows:
        assert set(row) >= PROMISED
        assert row["ours"] > 0
        assert (row["unit"], row["threads"]) == ("images/s", 1)
        assert row["command"].startswith("ds2ta bench-training --preset small --batch 4")
    for row in rows[:-1]:
        assert row["ratio"] == pytest.approx(row["ours"] / row["spikingjelly"])
        assert set(row["seconds"]) == {"ours", "eager"}
        assert row["ours"] == pytest.approx(4 / row["seconds"]["ours"])
    assert rows[-1]["ratio"] is None
    assert "digits-tiny.safetensors" in rows[-1]["what"]


def test_sides_take_turns_and_the_faster_backend_counts(monkeypatch):
    clock, order = iter(range(0, 1000)), []
    ticks = {"ours": 2, "eager": 6, "compiled": 3}

    def runs(name: str):
        def call() -> None:
            order.append(name)
            for _ in range(ticks[name]):
                next(clock)

        return call

    monkeypatch.setattr(training_speed.time, "perf_counter", lambda: next(clock))
    sides = [training_speed._Side(name, runs(name)) for name in ticks]
    for number in range(3):
        for side in sides:
            side.step("cpu", counted=number > 0)
    assert order == ["ours", "eager", "compiled"] * 3
    network = training_speed.PRESETS["spikformer"].network
    setting = training_speed.Setting(network, "float32", 1, 12, "cpu", True)
    row = training_speed._comparison("training step", setting, sides[0], sides[1:])
    assert row["seconds"] == {"ours": 3, "eager": 7, "compiled": 4}  # the tick of the clock itself
    assert (row["spikingjelly_backend"], row["ours"], row["spikingjelly"]) == ("compiled", 4.0, 3.0)
    assert row["ratio"] == pytest.approx(4 / 3)


def test_one_line_for_what_is_missing(run, small, monkeypatch):
    find = training_speed.importlib.util.find_spec
    monkeypatch.setattr(
        training_speed.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "spikingjelly" else find(name, *rest),
    )
    code, err, rows = run("--preset", "small")
    assert (code, rows) == (2, None)
    assert err.strip().splitlines() == [
        "error: spikingjelly is not installed, and nothing can be compared; pip install --no-deps spikingjelly, or "
        "make speed, brings it"
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "huge"), "preset huge does not exist"),
        (("--precision", "float16"), "--precision float16: must be one of float32, bfloat16"),
        (("--device", "tpu"), "--device tpu: must be cpu or cuda"),
        (("--golden", "none.safetensors"), "none.safetensors: no such model file"),
    ],
)
def test_one_line_for_a_mistake(run, small, words, message, monkeypatch):
    monkeypatch.setattr(training_speed.importlib.util, "find_spec", lambda *_: True)
    code, err, rows = run("--preset", "small", *words)
    assert (code, rows) == (2, None)
    assert len(err.strip().splitlines()) == 1
    assert message in err
