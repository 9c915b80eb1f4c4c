# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The larger shipped networks on the emitted Verilog, every layer and counter, and `ds2ta verify`, which must see
every kind of difference."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ds2ta.commands import main as cli
from ds2ta.files import FROM_FILES, model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.golden import slow
from ds2ta.golden.integer import IntegerNetwork
from ds2ta.modelfile import load_model, model_digest, save_model
from ds2ta.records import figures_page, rtl_runs
from ds2ta.sim import verify
from ds2ta.sim.backends import first_difference
from ds2ta.sim.expected import expect
from ds2ta.sim.network import RtlNetwork, expected_entries

SAMPLES = 3
TINY = model_path("digits-tiny")


@pytest.mark.parametrize("name", FROM_FILES)
def test_shipped(name):
    """Held-out samples on the accelerator: both golden models, the kept attention entries, and every counter."""
    model = load_model(model_path(name))
    machine, program = fit(model, **MACHINES[name])
    samples = model.samples[:SAMPLES]
    assert len(samples) == SAMPLES
    fast = IntegerNetwork(model).trace(samples)
    recorded = rtl_runs.read_runs().get(name)
    with RtlNetwork(model, machine, program=program) as network:
        for number, sample in enumerate(samples):
            wanted = slow.run(model, sample)
            golden = {key: np.asarray(values)[number] for key, values in fast.items()}
            assert set(golden) == set(wanted)
            assert first_difference(model, wanted, golden) is None
            found = network.run(sample, trace=True)
            assert verify.difference(network, sample, wanted, found) is None
            kept = verify.kept_scores(found.passes)
            for block in range(model.network.depth):
                denoised = wanted[f"block.{block}.denoised"]
                assert 0 < kept[block] == np.count_nonzero(denoised) == len(found.entries[block])
            assert len(kept) == model.network.depth
            if recorded is not None:  # the samples in the file are the first ones of the data set
                assert recorded["cycles_each"][number] == found.cycles
                assert recorded["classes"][number] == found.class_index


@pytest.fixture(scope="module")
def tiny():
    return load_model(TINY)


@pytest.fixture(scope="module")
def one_run(tiny):
    """A network with one sample that it has run: (network, sample, golden trace, result)."""
    machine, program = fit(tiny, **MACHINES["digits-tiny"])
    with RtlNetwork(tiny, machine, program=program) as network:
        sample = tiny.samples[0]
        yield network, sample, slow.run(tiny, sample), network.run(sample, trace=True)


def test_equal(one_run):
    assert verify.difference(*one_run) is None


def _flipped(found, name):
    """The result with one spike of a tensor turned round."""
    tensor = found.trace[name].copy()
    at = tuple(size // 2 for size in tensor.shape)
    tensor[at] ^= 1
    return replace(found, trace=found.trace | {name: tensor}), at


@pytest.mark.parametrize("name", ["stem.0", "stem.2.pool", "block.0.q", "block.0.x2"])
def test_a_wrong_spike_is_named(one_run, name):
    network, sample, wanted, found = one_run
    wrong, at = _flipped(found, name)
    axes = ("step", "channel", "row", "column") if len(at) == 4 else ("step", "token", "channel")
    place = ", ".join(f"{axis} {index}" for axis, index in zip(axes, at, strict=True))
    golden = int(wanted[name][at])
    told = verify.difference(network, sample, wanted, wrong)
    assert told == f"{name} differs first, at {place}: golden {golden}, rtl {int(wrong.trace[name][at])}"


def test_a_missing_layer_is_named(one_run):
    network, sample, wanted, found = one_run
    trace = {name: tensor for name, tensor in found.trace.items() if name != "rpe"}
    assert verify.difference(network, sample, wanted, replace(found, trace=trace)).startswith("rpe: ")


def test_wrong_entries_and_counts_are_named(one_run):
    network, sample, wanted, found = one_run
    entries = found.entries[0]
    assert entries == expected_entries(wanted["block.0.denoised"])
    step, key, value = entries[5]
    other = [*entries[:5], (step, key, value + 1), *entries[6:]]
    told = verify.difference(network, sample, wanted, replace(found, entries={0: other}))
    assert "block.0.denoised differs first, at kept entry 5" in told
    told = verify.difference(network, sample, wanted, replace(found, entries={0: entries[:-1]}))
    assert told == f"block.0.denoised: golden keeps {len(entries)} entries, rtl {len(entries) - 1}"
    place = next(number for number, item in enumerate(found.passes) if item.name == "block.0.attn")
    for counter in ("events", "cycles", "rows"):
        passes = list(found.passes)
        passes[place] = replace(passes[place], **{counter: getattr(passes[place], counter) + 1})
        told = verify.difference(network, sample, wanted, replace(found, passes=tuple(passes)))
        if counter == "events":
            assert told == (
                f"block.0.denoised: golden keeps {len(entries)} entries, the rtl's counter says {len(entries) + 1}"
            )
        else:
            assert told.startswith(f"pass block.0.attn: {counter}: cycle model ")


def test_a_wrong_class_is_named(one_run):
    network, sample, wanted, found = one_run
    told = verify.difference(network, sample, wanted, replace(found, class_index=found.class_index ^ 1))
    assert told == f"class: golden {found.class_index}, rtl {found.class_index ^ 1}"


def test_no_answer_is_a_difference(tiny, monkeypatch):
    """A sample that hangs the machine counts as one, and the next are run."""
    run = RtlNetwork.run
    monkeypatch.setattr(
        RtlNetwork, "run", lambda self, sample, **more: run(self, sample, **more | {"limit": limits.pop(0)})
    )
    limits = [10**6, 200, 10**6]
    machine, program = fit(tiny, **MACHINES["digits-tiny"])
    seen = list(verify.verify(tiny, machine, program, tiny.samples[:3]))
    assert [item.difference is None for item in seen] == [True, False, True]
    assert seen[1].difference.endswith("in 200 cycles")
    assert seen[1].result is None
    figures = verify.summary(tiny, machine, seen, tiny.labels[:3])
    assert (figures["samples"], figures["mismatches"], len(figures["cycles_each"])) == (3, 1, 2)


@pytest.fixture
def ds2ta(monkeypatch, capsys, tmp_path):
    """Runs a command line, its record and the page that shows it in a folder for the test; returns exit code,
    output and error output."""
    monkeypatch.setattr(rtl_runs, "RECORD", tmp_path / "rtl-runs.json")
    page = tmp_path / "README.md"
    page.write_text("<!-- results -->\n<!-- /results -->\n")
    monkeypatch.setattr(figures_page, "PAGES", {page: ("results",)})

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ds2ta", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_command_records_what_golden_says(ds2ta, tiny, tmp_path):
    code, out, _ = ds2ta("verify", TINY, "--samples", 4, "--record")
    assert code == 0
    assert "4 samples of digits: 0 differ" in out
    assert "| 4 of 4 |" in (tmp_path / "README.md").read_text()
    (entry,) = json.loads(rtl_runs.RECORD.read_text())
    machine, program = fit(tiny, **MACHINES["digits-tiny"])
    wanted = [expect(tiny, machine, program, sample) for sample in tiny.samples[:4]]  # the first held-out digits
    cycles, classes = [item.cycles for item in wanted], [item.class_index for item in wanted]
    assert (entry["cycles_each"], entry["classes"]) == (cycles, classes)
    assert entry["cycles"] == {"mean": sum(cycles) / 4, "min": min(cycles), "max": max(cycles)}
    assert entry["accuracy"] == 100 * np.mean(classes == tiny.labels[:4])
    assert (entry["samples"], entry["mismatches"], entry["model"]) == (4, 0, "digits-tiny")
    assert entry["model_sha256"] == model_digest(tiny)
    assert entry["command"] == "ds2ta verify models/digits-tiny.safetensors --samples 4 --record"
    (block,) = entry["blocks"]
    counted = {
        part: sum(int(np.count_nonzero(item.trace[f"block.0.{part}"])) for item in wanted)
        for part in ("score", "denoised")
    }
    assert block == {
        "block": 0,
        "entries": sum(item.trace["block.0.score"].size for item in wanted),
        "scores": counted["score"],
        "kept": counted["denoised"],
    }
    assert [item["events"] for item in entry["passes"]] == [
        sum(item.passes[place].events for item in wanted) / 4 for place in range(len(program.instructions))
    ]
    ds2ta("verify", TINY, "--samples", 2, "--record")
    assert [item["samples"] for item in json.loads(rtl_runs.RECORD.read_text())] == [2], "an older entry stayed"


def test_command_names_a_difference_and_records_nothing(ds2ta, tiny, monkeypatch):
    """Golden is given another threshold than the hardware: that layer, step, token and channel are named."""
    name = "block.0.fc1"
    inner = slow.run(tiny, tiny.samples[0], inner=True)
    step, token, channel = (int(index) for index in np.argwhere(inner[name])[0])
    layer = tiny.synapses[name]
    threshold = layer.threshold.copy()
    threshold[channel] = inner[f"{name}.membrane"][step, token, channel] + 1
    changed = replace(tiny, synapses=tiny.synapses | {name: replace(layer, threshold=threshold)})
    wrong = np.argwhere(slow.run(changed, tiny.samples[0])[name] != inner[name])[0]
    monkeypatch.setattr(verify, "IntegerNetwork", lambda _: IntegerNetwork(changed))
    code, out, _ = ds2ta("verify", TINY, "--samples", 1, "--record")
    place = f"step {wrong[0]}, token {wrong[1]}, channel {wrong[2]}"
    assert code == 1
    assert out.splitlines()[0] == f"sample 0: {name} differs first, at {place}: golden 0, rtl 1"
    assert "1 samples of digits: 1 differ" in out
    assert not rtl_runs.RECORD.exists()


def _saved(tmp_path, model, **provenance):
    path = tmp_path / "other.safetensors"
    save_model(replace(model, provenance=model.provenance | provenance), path)
    return path


MISTAKES = {
    "no folder": (lambda at, tiny: [_saved(at, tiny, data="cifar10")], "--data DIR"),
    "no data set": (lambda at, tiny: [_saved(at, tiny, data="")], "which it does not name"),
    "a record of a file's samples": (lambda at, tiny: [model_path("cifar-ecp5"), "--record"], "--data DIR"),
    "too many": (lambda at, tiny: [TINY, "--samples", 361], "360 held-out samples, --samples asks for 361"),
    "other machine": (lambda at, tiny: [TINY, "--record", "--set", "lanes=16"], "leave it out"),
    "other model": (lambda at, tiny: [_saved(at, tiny, seed=7), "--record"], "leave it out"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake, ds2ta, tiny, tmp_path):
    words, message = MISTAKES[mistake]
    code, out, err = ds2ta("verify", *words(tmp_path, tiny))
    assert (code, out) == (2, "")
    assert message in err
    assert (err.startswith("error: "), err.count("\n")) == (True, 1)
    assert not rtl_runs.RECORD.exists()


def test_foreign_samples_are_refused(tiny):
    other = replace(tiny, network=tiny.network.model_copy(update={"classes": 11}))
    with pytest.raises(verify.DataError, match="not those of model digits-tiny"):
        verify.held_out(other, None, 3)


def test_without_its_data_set_a_file_gives_its_own_samples(tiny):
    """Those of a set that is read from files, or of none that is known; more than there are is refused."""
    count = len(tiny.samples)
    for name, told in (("cifar10", "cifar10"), ("", "which it does not name")):
        other = replace(tiny, provenance={**tiny.provenance, "data": name})
        samples, labels = verify.held_out(other, None, count)
        assert (samples == tiny.samples).all()
        assert (labels == tiny.labels).all()
        with pytest.raises(verify.DataError) as caught:
            verify.held_out(other, None, count + 1)
        assert str(caught.value) == (
            f"model digits-tiny: its file holds {count} samples, --samples asks for {count + 1}; "
            f"--data DIR gives those of its data set, {told}"
        )
