# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Import of Spikformer checkpoints: the original network, written out here with its own neuron (or SpikingJelly's,
where that is installed), and our baseline with the imported weights classify alike, to the last spike."""

import argparse
import pathlib

import pytest
import torch
from torch import nn

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.training import spikformer
from ds2ta.golden.training.recipe import Preset, TrainingConfig
from ds2ta.golden.training.run import accuracy
from ds2ta.golden.training.spikformer import import_file, import_spikformer, read_state
from ds2ta.golden.training.train import train
from ds2ta.network import InputSpec, network_from_dict

NETWORK = network_from_dict(
    {
        "name": "small-spikformer",
        "input": {"kind": "image", "channels": 3, "height": 16, "width": 16, "bits": 8},
        "time_steps": 4,
        "stem": [{"channels": 4}, {"channels": 8}, {"channels": 16, "pool": True}, {"channels": 32, "pool": True}],
        "embed_dim": 32,
        "heads": 2,
        "depth": 2,
        "hidden_dim": 64,
        "window": 1,
        "nsad": False,
        "classes": 7,
    }
)
CONFIG = TrainingConfig(attention_scale=0.125)


class Lif(nn.Module):
    """v += (x - v) / 2; a spike at the threshold and above sets v to 0."""

    def __init__(self, threshold: float = 1.0):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        v, spikes = torch.zeros_like(x[0]), []
        for step in x:
            v = v + (step - v) / 2.0
            spikes.append((v >= self.threshold).to(x.dtype))
            v = v * (1.0 - spikes[-1])
        return torch.stack(spikes)


def jelly(threshold: float = 1.0) -> nn.Module:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    return neuron.LIFNode(tau=2.0, v_threshold=threshold, detach_reset=True, step_mode="m")


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, lif):
        super().__init__()
        self.heads = heads
        for part in ("q", "k", "v", "proj"):
            setattr(self, f"{part}_linear", nn.Linear(width, width))
            setattr(self, f"{part}_bn", nn.BatchNorm1d(width))
            setattr(self, f"{part}_lif", lif())
        self.attn_lif = lif(0.5)

    def layer(self, part: str, x):
        found = getattr(self, f"{part}_linear")(x)
        found = getattr(self, f"{part}_bn")(found.flatten(0, 2)).view_as(found)
        return getattr(self, f"{part}_lif")(found)

    def forward(self, x):
        q, k, v = (self.layer(part, x).unflatten(3, (self.heads, -1)).transpose(2, 3) for part in "qkv")
        y = (q @ k.transpose(-2, -1)) * 0.125 @ v
        return self.layer("proj", self.attn_lif(y.transpose(2, 3).flatten(3)))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int, lif):
        super().__init__()
        for part, inputs, outputs in (("fc1", width, hidden), ("fc2", hidden, width)):
            setattr(self, f"{part}_linear", nn.Linear(inputs, outputs))
            setattr(self, f"{part}_bn", nn.BatchNorm1d(outputs))
            setattr(self, f"{part}_lif", lif())

    layer = Attention.layer

    def forward(self, x):
        return self.layer("fc2", self.layer("fc1", x))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, lif):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)  # there, and never used
        self.attn, self.mlp = Attention(width, heads, lif), Mlp(width, hidden, lif)

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


class PatchEmbed(nn.Module):
    def __init__(self, width: int, lif):
        super().__init__()
        sizes = [3, width // 8, width // 4, width // 2, width]
        for index in range(4):
            number = str(index) if index else ""
            setattr(self, f"proj_conv{number}", nn.Conv2d(sizes[index], sizes[index + 1], 3, padding=1, bias=False))
            setattr(self, f"proj_bn{number}", nn.BatchNorm2d(sizes[index + 1]))
            setattr(self, f"proj_lif{number}", lif())
        self.rpe_conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.rpe_bn, self.rpe_lif, self.pool = nn.BatchNorm2d(width), lif(), nn.MaxPool2d(3, 2, 1)

    def layer(self, name: str, number: str, x):
        found = getattr(self, f"{name}_conv{number}")(x.flatten(0, 1))
        found = getattr(self, f"{name}_bn{number}")(found).unflatten(0, x.shape[:2])
        return getattr(self, f"{name}_lif{number}")(found)

    def forward(self, x):
        for number in ("", "1", "2", "3"):
            x = self.layer("proj", number, x)
            if number in ("2", "3"):
                x = self.pool(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return (x + self.layer("rpe", "", x)).flatten(3).transpose(2, 3)


class Spikformer(nn.Module):
    def __init__(self, *, width=32, heads=2, hidden=64, depth=2, classes=7, steps=4, lif=Lif):
        super().__init__()
        self.steps = steps
        self.patch_embed = PatchEmbed(width, lif)
        self.block = nn.ModuleList([Block(width, heads, hidden, lif) for _ in range(depth)])
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        x = self.patch_embed(images.expand(self.steps, *images.shape))
        for block in self.block:
            x = block(x)
        return self.head(x.mean(2).mean(0)), x


def alive(lif=Lif) -> Spikformer:
    """A random original in float64 whose batch norms have seen data, so that neurons fire."""
    torch.manual_seed(4)
    found = Spikformer(lif=lif).double()
    with torch.no_grad():
        for module in found.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2.0)
                module.weight[::4] *= -1.0
                module.bias.uniform_(0.2, 1.2)
                module.momentum = None  # the plain mean of all batches
        for linear in (module for module in found.modules() if isinstance(module, nn.Linear)):
            linear.bias.normal_()
        found.train()
        for seed in range(3):
            forget(found)
            found(pictures(seed).double() / 255.0)
    forget(found)
    return found.eval()


def forget(network: nn.Module) -> None:
    """SpikingJelly's neurons keep their potential until they are told."""
    for module in network.modules():
        if hasattr(module, "reset"):
            module.reset()


def pictures(seed: int, count: int = 8) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("lif", [Lif, jelly])
def test_imported_network_equals_the_original(lif):
    original = alive(lif)
    ours = import_spikformer(
        {name: value.float() for name, value in original.state_dict().items()}, network=NETWORK, config=CONFIG
    ).double()
    original.load_state_dict({name: value.float() for name, value in original.state_dict().items()})
    samples, trace = pictures(9), {}
    with torch.no_grad():
        wanted, last = original(samples.double() / 255.0)
        found = ours(samples, trace=trace)
    assert torch.equal(trace["block.1.x2"], last.transpose(0, 1))
    assert last.max() >= 3
    assert 0.02 < trace["block.1.attn"].mean() < 0.9
    torch.testing.assert_close(found, wanted)
    assert ours.attention_threshold == 8


def test_normalized_inputs_go_into_the_first_layer():
    original = alive()
    state = original.state_dict()
    mean, deviation = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    ours = import_spikformer(state, network=NETWORK, config=CONFIG, mean=mean, deviation=deviation).double()
    samples = pictures(2)
    with torch.no_grad():
        normal = (samples.double() / 255.0 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(
            3, 1, 1
        )
        embed = original.patch_embed
        wanted = embed.proj_bn(embed.proj_conv(normal))
        synapse = ours.synapse("stem.0")
        sums = nn.functional.conv2d(samples.double(), synapse.weight, padding=1)
        scale = (synapse.gamma / torch.sqrt(synapse.variance + 1e-5)).view(-1, 1, 1)
        found = (sums - synapse.mean.view(-1, 1, 1)) * scale + synapse.beta.view(-1, 1, 1)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_named():
    state = alive().state_dict()

    def refused(message: str, network=NETWORK, **changes):
        with pytest.raises(NetworkError, match=message):
            import_spikformer({**state, **changes}, network=network, config=CONFIG)

    refused(
        r"tensor block.0.attn.q_linear.weight has shape \[32, 31\]",
        **{"block.0.attn.q_linear.weight": torch.zeros(32, 31)},
    )
    refused(r"tensor extra.weight has no place", **{"extra.weight": torch.zeros(1)})
    refused("tensor block.2.attn.q_linear.weight is missing", NETWORK.model_copy(update={"depth": 3}))
    refused("Spikformer has nsad off, window 1", NETWORK.model_copy(update={"window": 3}))


def test_state_files(tmp_path):
    state = alive().state_dict()
    path = tmp_path / "spikformer.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    found = read_state(path)
    assert set(found) == set(state)
    assert torch.equal(found["head.weight"], state["head.weight"])
    extra = {"args": argparse.Namespace(lr=5e-4, workers=8), "arch": "spikformer"}  # as training scripts save
    torch.save({"epoch": 3, "state_dict": state, **extra}, path)
    assert set(read_state(path)) == set(state)
    torch.save({"epoch": 3, "state_dict": state, "args": pathlib.Path("x")}, path)
    with pytest.raises(ModelFileError, match="not a file of plain tensors"):
        read_state(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ModelFileError, match="holds no state dict"):
        read_state(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ModelFileError, match="not a file of plain tensors"):
        read_state(path)
    with pytest.raises(ModelFileError, match="no such file"):
        read_state(tmp_path / "none.pth")


def test_names_of_the_event_network():
    """There the linear layers are convolutions of size 1, and some parts are never used."""
    state = {}
    for name, value in alive().state_dict().items():
        if "_linear.weight" in name:
            name, value = name.replace("_linear", "_conv"), value[..., None]
        state[name.replace("_linear.bias", "_conv.bias")] = value
    unused = {"norm.weight": torch.ones(32), "norm.bias": torch.ones(32), "pos_embed": torch.zeros(1, 64, 32)}
    found = import_spikformer(state | unused, network=NETWORK, config=CONFIG)
    wanted = import_spikformer(alive().state_dict(), network=NETWORK, config=CONFIG).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in found.state_dict().items())


def test_an_imported_file_is_the_origin_of_a_run(tmp_path, monkeypatch):
    """What the command writes measures as the original does, and quantization-aware training begins there."""
    network = NETWORK.model_copy(update={"name": "small-digits", "input": InputSpec(channels=1, bits=5)})
    config = TrainingConfig(epochs_float=3, epochs_quantized=1, epochs_frozen=0, batch=128, attention_scale=0.125)
    network = network.model_copy(update={"classes": 10})
    monkeypatch.setitem(spikformer.PRESETS, "small", Preset(network, config))
    torch.manual_seed(3)
    state = Spikformer(classes=10).state_dict()
    state["patch_embed.proj_conv.weight"] = state["patch_embed.proj_conv.weight"].sum(1, keepdim=True)
    torch.save(state, tmp_path / "digits.pth")
    origin = tmp_path / "float.safetensors"
    options = {"preset": "small", "folder": None, "mean": [0.0], "deviation": [1.0]}
    right = import_file(tmp_path / "digits.pth", origin, **options)
    data = load_data("digits")
    again = import_spikformer(state, network=network, config=config, mean=[0.0], deviation=[1.0])
    assert right == accuracy(again, data.test_samples, data.test_labels)
    done = train(network, config, origin=origin)
    assert done.progress["float_accuracy"] == right
    assert done.progress["epochs"] == 4
    for name, wrong in (("mean", [0.1, 0.1]), ("deviation", [0.0]), ("mean", [float("nan")])):
        with pytest.raises(NetworkError, match=rf"--{name} \[.*must be 1 numbers, one a channel"):
            import_file(tmp_path / "digits.pth", origin, **options | {name: wrong})
    with pytest.raises(NetworkError, match=r"network vit-4-384: Spikformer has nsad off"):
        import_file(tmp_path / "digits.pth", origin, preset="vit-4-384", folder=None)
    with pytest.raises(NetworkError, match="preset must be one of"):
        import_file(tmp_path / "digits.pth", origin, preset="spikeformer", folder=None)
