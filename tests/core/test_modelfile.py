# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Model files: what is written comes back, bit for bit; a failed write changes nothing."""

import dataclasses
import json
import math
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from model_files import NEWEST, PAGE, WRITERS, Writer, examples, same
from safetensors import safe_open

from ds2ta.about import About
from ds2ta.errors import ModelFileError
from ds2ta.golden import slow
from ds2ta.golden.random_model import models, random_model
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelfile import VERSION, file_version, load_model, model_digest, save_model, self_test_samples
from ds2ta.network import network_from_dict
from ds2ta.packing import pack, packed_bytes, unpack


def test_documented_writer_makes_a_model_that_runs(tmp_path: Path, writer: Writer):
    path = writer.write(tmp_path / "example.safetensors", writer.parts())
    model = load_model(path)
    assert file_version(path) == writer.version
    network, layers, attention, tensors, provenance, *about = writer.parts()
    assert [json.loads(model.about.model_dump_json())] == (about or [json.loads(About().model_dump_json())])
    assert json.loads(model.network.model_dump_json()) == network
    assert {n: {"bits": s.bits, "tau": s.tau, "window": s.window} for n, s in model.synapses.items()} == layers
    assert list(model.attention_threshold) == attention["threshold"]
    assert model.provenance == provenance
    assert np.array_equal(model.synapses["block.0.fc1"].weight, tensors["block.0.fc1.weight"])
    assert np.array_equal(model.denoisers[0], tensors["block.0.denoiser"])
    trace = slow.run(model, model.samples[0])
    assert trace["logits"].shape == (3,)
    assert trace["stem.0"].any()


def test_documented_script_runs_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "__main__"})
    assert load_model("example.safetensors").network.name == "example"


@examples(30)
@given(models())
def test_round_trip(tmp_path: Path, model: IntegerModel):
    path = tmp_path / "m.safetensors"
    save_model(model, path)
    loaded = load_model(path)
    assert same(model, loaded)
    assert model_digest(loaded) == model_digest(model)
    first = path.read_bytes()
    save_model(loaded, path)
    assert path.read_bytes() == first
    assert file_version(path) == VERSION


def test_documented_writer_and_ours_agree_on_the_digest(tmp_path: Path, writer: Writer):
    model = random_model(np.random.default_rng(7), depth=2)
    save_model(model, tmp_path / "ours")
    network = json.loads(model.network.model_dump_json())
    layers = {n: {"bits": s.bits, "tau": s.tau, "window": s.window} for n, s in model.synapses.items()}
    tensors = {"samples": model.samples, "labels": model.labels}
    for name, layer in model.synapses.items():
        tensors |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        if name != "head":
            tensors[f"{name}.threshold"] = layer.threshold
    tensors |= {f"block.{b}.denoiser": table for b, table in enumerate(model.denoisers)}
    attention = {"threshold": list(model.attention_threshold)}
    whole = [network, layers, attention, tensors, model.provenance]
    if writer.version > 1:
        whole.append(json.loads(model.about.model_dump_json()))
    theirs = writer.write(tmp_path / "theirs", whole)
    assert same(load_model(theirs), load_model(tmp_path / "ours"))
    assert model_digest(load_model(theirs)) == model_digest(model)
    with safe_open(theirs, "numpy") as first, safe_open(tmp_path / "ours", "numpy") as second:
        assert first.metadata()["digest"] == second.metadata()["digest"]
        assert set(first.keys()) == set(second.keys())
        if writer is NEWEST:
            assert first.metadata() == second.metadata()
            assert all(np.array_equal(first.get_tensor(name), second.get_tensor(name)) for name in first.keys())  # noqa: SIM118


def test_digest_sees_every_part():
    model = random_model(np.random.default_rng(3), depth=1, window=3)
    bias = model.synapses["rpe"].bias.copy()
    bias[0] += 1
    changed = [
        dataclasses.replace(model, provenance={"x": 1}),
        dataclasses.replace(model, labels=(model.labels + 1) % model.network.classes),
        dataclasses.replace(model, attention_threshold=(model.attention_threshold[0] + 1,)),
        dataclasses.replace(
            model, synapses={**model.synapses, "rpe": dataclasses.replace(model.synapses["rpe"], bias=bias)}
        ),
    ]
    changed.append(dataclasses.replace(model, leaks={"rpe": model.network.leak_shift % 4 + 1}))
    assert len({model_digest(m) for m in [model, *changed]}) == 6
    named = dataclasses.replace(model, about=About(classes=tuple(map(str, range(model.network.classes)))))
    assert model_digest(named) == model_digest(model), "names of classes change nothing that a board holds"


def test_what_is_said_about_a_model_is_covered_by_the_check(tmp_path: Path):
    """A name is changed in the file, and nothing else: the digest of the model is right, and the file refused."""
    path = NEWEST.write(tmp_path / "m", NEWEST.parts())
    content = path.read_bytes()
    assert content.count(b"neither") == 1
    path.write_bytes(content.replace(b"neither", b"nothing"))
    with pytest.raises(ModelFileError, match="the file is damaged"):
        load_model(path)


@pytest.mark.parametrize("bits", range(2, 9))
def test_packed_weights_come_back(bits: int):
    """By our packer and by the documented one, of every length around a group of eight."""
    random, top = np.random.default_rng(bits), (1 << (bits - 1)) - 1
    for count in [*range(1, 35), 1000]:
        weight = random.integers(-top - 1, top + 1, (count, 1), np.int8, endpoint=False)
        stream = pack(weight, bits)
        assert stream.dtype == np.uint8
        assert len(stream) == packed_bytes(count, bits) == math.ceil(count * bits / 8)
        assert np.array_equal(stream, NEWEST.packed(weight, bits))
        found = unpack(stream, weight.shape, bits)
        assert found.dtype == np.int8
        assert np.array_equal(found, weight)


def test_a_stream_by_hand():
    """3 bits: -1, 2 and 3 are 111, 010, 011, lowest bits first from bit 0 on."""
    assert pack(np.array([-1, 2, 3], np.int8), 3).tolist() == [0b11_010_111, 0b0]


def test_weights_take_their_bits(tmp_path: Path):
    """A file with more bits is larger by just these: in version 1 it was as large with 2 bits as with 8."""
    model, sizes = random_model(np.random.default_rng(4), depth=1, bits=2), {}
    for bits in (2, 8):
        layers = {name: dataclasses.replace(layer, bits=bits) for name, layer in model.synapses.items()}
        save_model(dataclasses.replace(model, synapses=layers), tmp_path / "m")
        with safe_open(tmp_path / "m", "numpy") as file:
            found = [file.get_tensor(name) for name in file.keys() if name.endswith(".weight")]  # noqa: SIM118
        sizes[bits] = sum(tensor.nbytes for tensor in found)
        assert sizes[bits] == sum(math.ceil(layer.weight.size * bits / 8) for layer in layers.values())
    assert sizes[8] > 3.9 * sizes[2]


def test_a_large_file_takes_little_memory(tmp_path: Path):
    """2.0 million weights, by far not all of them in one layer: beside the model itself and its packed form, what
    is needed on the way is a few bytes for each weight of the largest layer, not of the network."""
    network = network_from_dict(
        {
            "name": "large",
            "input": {"kind": "image", "channels": 1, "height": 4, "width": 4, "bits": 8},
            "stem": [{"channels": 128}],
            "embed_dim": 128,
            "heads": 2,
            "depth": 12,
            "hidden_dim": 384,
            "nsad": False,
            "denoiser_bits": 8,
        }
    )
    random, synapses = np.random.default_rng(0), {}
    for spec in network.layers():
        synapses[spec.name] = Synapse(
            spec=spec,
            weight=random.integers(-7, 8, spec.weight_shape, np.int8),
            bias=np.zeros(spec.outputs, np.int64),
            threshold=None if spec.name == "head" else np.ones(spec.outputs, np.int64),
            bits=4,
        )
    samples = np.zeros((1, *network.sample_shape), np.uint8)
    model = IntegerModel(
        network=network,
        synapses=synapses,
        denoisers=(np.tile(np.arange(1, 65, dtype=np.uint8), (2, 1)),) * 12,
        attention_threshold=(1,) * 12,
        samples=samples,
        labels=np.zeros(1, np.int64),
    )
    sizes = [layer.weight.size for layer in synapses.values()]
    rest = 1_000_000  # metadata, biases, thresholds
    tracemalloc.start()
    try:
        save_model(model, tmp_path / "m")
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        loaded = load_model(tmp_path / "m")
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert same(loaded, model)
    assert sum(sizes) > 2_000_000 > 10 * max(sizes)
    assert (tmp_path / "m").stat().st_size < sum(sizes) / 2 + rest / 2
    assert written < 2 * sum(sizes) / 2 + 8 * max(sizes) + rest
    assert read < 1.5 * sum(sizes) + 8 * max(sizes) + rest


def test_more_samples_than_a_file_takes_are_not_written(tmp_path: Path):
    """65 small ones, and of those that are large as many as 1,000,000 bytes hold; a reader takes what is there."""
    model = random_model(np.random.default_rng(2), depth=0, samples=65, kind="image")
    with pytest.raises(
        ModelFileError, match=r"65 samples of \d+ bytes, .* at most 64 and 1000000 .* the first 64 "
    ):
        save_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    save_model(dataclasses.replace(model, samples=model.samples[:64], labels=model.labels[:64]), tmp_path / "m")
    assert len(load_model(tmp_path / "m").samples) == 64
    assert self_test_samples(np.zeros((9, 10, 2, 128, 128), np.uint8)) == 3
    assert self_test_samples(np.zeros((9, 125, 1000), np.uint8)) == 8
    assert self_test_samples(np.zeros((9, 16, 4, 256, 256), np.uint8)) == 0
    many = NEWEST.parts()
    many[3]["samples"], many[3]["labels"] = np.zeros((200, 1, 3, 2), np.uint8), np.zeros(200, np.int64)
    assert len(load_model(NEWEST.write(tmp_path / "many", many)).samples) == 200


def test_a_file_may_have_no_samples(tmp_path: Path):
    """In version 2; version 1 had one at least."""
    model = random_model(np.random.default_rng(2), depth=1)
    bare = dataclasses.replace(model, samples=model.samples[:0], labels=model.labels[:0])
    save_model(bare, tmp_path / "m")
    assert same(load_model(tmp_path / "m"), bare)
    old = WRITERS[1].parts()
    old[3]["samples"], old[3]["labels"] = old[3]["samples"][:0], old[3]["labels"][:0]
    with pytest.raises(ModelFileError, match="at least one input is needed in version 1"):
        load_model(WRITERS[1].write(tmp_path / "old", old))


def test_a_bad_model_is_not_written(tmp_path: Path):
    model = random_model(np.random.default_rng(2), depth=1)
    path = tmp_path / "m"
    rpe = model.synapses["rpe"]
    fewer = {name: layer for name, layer in model.synapses.items() if name != "rpe"}
    bad = [
        dataclasses.replace(model, synapses={**model.synapses, "rpe": dataclasses.replace(rpe, bits=9)}),
        dataclasses.replace(model, synapses={**model.synapses, "rpe": dataclasses.replace(rpe, tau=np.int64(0))}),
        dataclasses.replace(model, synapses={**model.synapses, "rpe": dataclasses.replace(rpe, bias=None)}),
        dataclasses.replace(model, synapses={**model.synapses, "rpe": model.synapses["head"]}),
        dataclasses.replace(model, synapses=fewer),
        dataclasses.replace(model, synapses=dict(reversed(model.synapses.items()))),
        dataclasses.replace(model, denoisers=()),
        dataclasses.replace(model, samples=model.samples[:0]),
        dataclasses.replace(model, leaks={"head": 3}),
        dataclasses.replace(model, leaks={"rpe": model.network.leak_shift}),
        dataclasses.replace(model, leaks={"rpe": 5}),
        dataclasses.replace(model, about=About(classes=("one",))),
        dataclasses.replace(model, samples=model.samples.astype(">i2")),
        dataclasses.replace(model, samples=np.uint8(3)),
        dataclasses.replace(model, labels=model.labels.astype(">i8")),
        dataclasses.replace(model, provenance={"x": float("nan")}),
        dataclasses.replace(model, provenance={"x": {1, 2}}),
        dataclasses.replace(model, provenance={1: 1, "a": 2}),
        dataclasses.replace(model, provenance=[1]),
    ]
    for broken in bad:
        with pytest.raises(ModelFileError) as caught:
            save_model(broken, path)
        assert str(caught.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_layer_in_the_place_of_another_is_refused(tmp_path: Path):
    model = random_model(np.random.default_rng(2), depth=1)
    swapped = {**model.synapses, "block.0.q": model.synapses["block.0.k"]}
    with pytest.raises(ModelFileError, match="its layers are not those of its network"):
        save_model(dataclasses.replace(model, synapses=swapped), tmp_path / "m")


def test_one_sample_is_enough(tmp_path: Path):
    model = random_model(np.random.default_rng(2), samples=1)
    save_model(model, tmp_path / "m")
    assert same(load_model(tmp_path / "m"), model)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = (random_model(np.random.default_rng(seed)) for seed in (1, 2))
    path = tmp_path / "m"
    save_model(old, path)

    def full(target: Path, data: bytes) -> None:
        with target.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(ModelFileError, match="No space left"):
            save_model(new, path)
    assert same(load_model(path), old)
    assert list(tmp_path.iterdir()) == [path]
    save_model(new, path)
    assert same(load_model(path), new)
    assert list(tmp_path.iterdir()) == [path]


def test_a_real_file_size_limit_is_survived(tmp_path: Path):
    """The operating system cuts the write short (RLIMIT_FSIZE in a child): our error, the old file whole."""
    path = tmp_path / "m"
    save_model(random_model(np.random.default_rng(1)), path)
    before = path.read_bytes()
    pid = os.fork()
    if pid == 0:  # the child must never return into pytest
        import resource
        import signal

        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            save_model(random_model(np.random.default_rng(2)), path)
        except ModelFileError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["no/such/folder/m", "x" * 5000, "nul\0byte", "..", "/"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ModelFileError):
        save_model(random_model(np.random.default_rng(1)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_refused(tmp_path: Path):
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelFileError):
        save_model(random_model(np.random.default_rng(1)), tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_arrays_of_any_memory_order_are_written_alike(tmp_path: Path):
    model = random_model(np.random.default_rng(5), depth=1)
    turned = {
        name: dataclasses.replace(layer, weight=np.asfortranarray(layer.weight))
        for name, layer in model.synapses.items()
    }
    save_model(model, tmp_path / "a")
    save_model(dataclasses.replace(model, synapses=turned, samples=model.samples[::-1][::-1]), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
