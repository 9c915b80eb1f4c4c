# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Import of Spikformer state dicts: the original network, written out in `spikformers.py` with its own neuron or
SpikingJelly's, and our baseline with the imported weights classify alike, to the last spike."""

import pytest
import torch
from spikformers import Lif, alive, forget, jelly, pictures, seen
from torch import nn

from ds2ta.errors import NetworkError
from ds2ta.golden.quantize import quantize
from ds2ta.golden.slow import run
from ds2ta.golden.training.importsettings import preset_of, read_settings
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.spikformer import import_spikformer, read_shape
from ds2ta.network import network_from_dict

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
CONFIG = TrainingConfig(attention_scale=0.125, least_gain=0.0)
OPTIONS = {
    "data": "cifar10",
    "size": [16, 16],
    "bits": 8,
    "time_steps": 4,
    "heads": 2,
    "pools": [2, 3],
    "residual": "add",
    "neuron": {"tau": 2.0, "threshold": 1.0, "reset": 0.0, "decay_input": True},
    "attention": {"scale": 0.125, "threshold": 0.5},
    "normalization": {"one": 255, "mean": [0], "deviation": [1]},
}


def single(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's state dict in float32, as it would be saved; the network goes on with these numbers."""
    state = {name: value.float() for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    return state


def imported(state: dict, **changes):
    """Our float64 network, by the settings that a user would give."""
    settings = read_settings(None, OPTIONS | changes)
    preset, values = preset_of(settings, read_shape(state), "small.pth")
    return import_spikformer(state, network=preset.network, config=preset.config, **values).double()


def assert_same_spikes(original: nn.Module, ours, samples: torch.Tensor, theirs: torch.Tensor) -> None:
    """Every spike behind every layer of the last block's stream, and all of it alive."""
    trace: dict = {}
    with torch.no_grad():
        forget(original)
        wanted, last = original(theirs)
        found = ours(samples, trace=trace)
    name = f"block.{ours.network.depth - 1}"
    assert torch.equal(trace[f"{name}.x2"], last.transpose(0, 1))
    assert last.max() >= 3
    assert all(0.01 < trace[f"{name}.{part}"].double().mean() < 0.95 for part in ("q", "attn", "fc1"))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("lif", [Lif, jelly()], ids=["own", "SpikingJelly's"])
def test_imported_network_equals_the_original(lif):
    original = alive(lif)
    ours = imported(single(original))
    assert ours.network == NETWORK.model_copy(update={"name": "small", "denoiser_bits": 5})
    assert ours.attention_threshold == 8
    assert_same_spikes(original, ours, pictures(9), pictures(9).double() / 255.0)


@pytest.mark.parametrize("decay", [True, False], ids=["decay_input", "plain input"])
@pytest.mark.parametrize(
    ("tau", "threshold", "reset"), [(2.0, 0.5, 0.0), (4.0, 1.0, 0.0), (8.0, 0.7, -0.25), (2.0, 1.5, 0.5)]
)
def test_neurons_of_every_kind_are_folded_exactly(tau, threshold, reset, decay):
    """Time constants of 2**k, thresholds other than 1, resets other than 0, inputs divided by tau or not: the
    spikes of SpikingJelly's own neurons."""
    factor = tau if decay else 1.0
    attention = 8 * 0.125 / factor + reset
    lif = jelly(tau=tau, threshold=threshold, attention=attention, reset=reset, decay=decay)
    original = alive(lif, scale=(threshold - reset) * factor / 2.0)
    ours = imported(
        single(original),
        neuron={"tau": tau, "threshold": threshold, "reset": reset, "decay_input": decay},
        attention={"scale": 0.125, "threshold": attention},
    )
    assert ours.attention_threshold == 8
    assert_same_spikes(original, ours, pictures(9), pictures(9).double() / 255.0)


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 48, "heads": 3, "hidden": 80, "depth": 1, "classes": 3, "steps": 4},
        {"width": 24, "heads": 1, "hidden": 64, "depth": 3, "classes": 11, "steps": 2, "channels": 3},
        {"width": 32, "heads": 2, "hidden": 128, "depth": 1, "classes": 5, "steps": 4, "channels": 2},
    ],
)
def test_sizes_are_read_from_shapes(sizes):
    """Of images and of event frames, which have two channels."""
    original = alive(**sizes)
    ours = imported(single(original), heads=sizes["heads"], time_steps=sizes["steps"])
    network = ours.network
    kind = "frames" if sizes.get("channels") == 2 else "image"
    assert (network.input.kind, network.embed_dim, network.hidden_dim) == (kind, sizes["width"], sizes["hidden"])
    assert (network.depth, network.classes) == (sizes["depth"], sizes["classes"])
    samples = seen(9, network.input.channels)
    theirs = samples.double() / 255.0
    assert_same_spikes(original, ours, samples.transpose(0, 1) if kind == "frames" else samples, theirs)


@pytest.mark.parametrize("gamma", [0.0, 1e-12, -1e-4, 9e-4])
def test_gains_of_0_or_near_it_are_exact(gamma):
    """A channel that batch norm switched off fires in the rhythm of its offset, in float and as integers."""
    original = alive()
    betas = torch.linspace(-0.5, 2.5, 32, dtype=torch.float64)
    with torch.no_grad():
        for norm in (original.block[0].attn.q_bn, original.block[1].mlp.fc2_bn):
            norm.weight.fill_(gamma)
            norm.bias.copy_(betas)
    ours = imported(single(original))
    samples = pictures(9)
    assert_same_spikes(original, ours, samples, samples.double() / 255.0)
    model = quantize(ours, samples=samples[:1].numpy(), labels=[0])
    with torch.no_grad():
        trace: dict = {}
        ours.quantize(True)(samples[:1], trace=trace)
    spikes = run(model, samples[0].numpy())
    assert (spikes["block.0.q"] == trace["block.0.q"][0].numpy()).all()
    layer = model.synapses["block.0.q"]
    if abs(gamma) < 1e-8:
        wanted = Lif()((betas.float().double()).expand(4, 32))  # nothing but the offset arrives
        assert (trace["block.0.q"][0] == wanted[:, None]).all()
        assert 0 < wanted.mean() < 1
        assert not layer.weight.any()
        assert layer.threshold.max() <= 8
        assert not ours.synapse("block.0.q").running_fold(ours.tasa("block.0.q")).reached.any()


def test_normalized_inputs_go_into_the_first_layer():
    original = alive()
    mean, deviation = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    ours = imported(original.state_dict(), normalization={"one": 255, "mean": mean, "deviation": deviation})
    samples = pictures(2)
    with torch.no_grad():
        shift, scale = (torch.tensor(value).view(3, 1, 1) for value in (mean, deviation))
        normal = (samples.double() / 255.0 - shift) / scale
        embed = original.patch_embed
        wanted = embed.proj_bn(embed.proj_conv(normal))
        synapse = ours.synapse("stem.0")
        sums = nn.functional.conv2d(samples.double(), synapse.weight, padding=1)
        gain = (synapse.gamma / torch.sqrt(synapse.variance + 1e-5)).view(-1, 1, 1)
        found = (sums - synapse.mean.view(-1, 1, 1)) * gain + synapse.beta.view(-1, 1, 1)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=1e-5, atol=1e-5)


def test_the_epsilon_of_batch_norm_is_folded():
    original = alive()
    for module in original.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 1e-3
    state = single(original)
    assert_same_spikes(original, imported(state, epsilon=1e-3), pictures(9), pictures(9).double() / 255.0)
    with pytest.raises(AssertionError):
        assert_same_spikes(original, imported(state), pictures(9), pictures(9).double() / 255.0)


def test_what_does_not_fit_is_named():
    state = alive().state_dict()
    q, bn = "block.0.attn.q_linear.weight", "block.0.attn.q_bn"

    def refused(message: str, **changes):
        changed = {name: value for name, value in ({**state, **changes}).items() if value is not None}
        with pytest.raises(NetworkError, match=message):
            read_shape(changed)

    refused(
        r"tensor block.0.attn.q_linear.weight has shape \[32, 31\], it must be \[any, 32\]",
        **{q: torch.zeros(32, 31)},
    )
    refused(
        r"tensor block.0.attn.q_linear.weight has 31 outputs, it must have 32",
        **{q: torch.zeros(31, 32), "block.0.attn.q_linear.bias": None}
        | {f"{bn}.{part}": torch.zeros(31) for part in ("weight", "bias", "running_mean", "running_var")},
    )
    refused(
        r"patch_embed.proj_conv2.weight has shape \[16, 8, 5, 5\], it must be \[any, 8, 3, 3\]",
        **{"patch_embed.proj_conv2.weight": torch.zeros(16, 8, 5, 5)},
    )
    refused("tensor block.1.mlp.fc1_bn.running_mean is missing", **{"block.1.mlp.fc1_bn.running_mean": None})
    refused(
        "tensor block.2.attn.q_linear.weight is missing", **{"block.3.attn.q_linear.weight": torch.zeros(32, 32)}
    )
    refused(r"tensor extra.weight has no place in a Spikformer.*\(1 such\)", **{"extra.weight": torch.zeros(1)})
    with pytest.raises(NetworkError, match="Spikformer has nsad off and window 1"):
        import_spikformer(state, network=NETWORK.model_copy(update={"window": 3}), config=CONFIG)
    with pytest.raises(NetworkError, match="depth of network small-spikformer is 3, of the state dict 2"):
        import_spikformer(state, network=NETWORK.model_copy(update={"depth": 3}), config=CONFIG)
    with pytest.raises(NetworkError, match="too large for float32"):
        import_spikformer(
            state | {q: torch.full((32, 32), 1e39, dtype=torch.float64)}, network=NETWORK, config=CONFIG
        )


BAD = {
    "nan": (torch.full((32,), float("nan")), "value nan at [0], it must be finite"),
    "inf": (torch.full((32,), float("inf")), "value inf at [0], it must be finite"),
    "negative variance": (torch.full((32,), -1.0), "value -1 at [0], a variance must be >= 0"),
    "complex": (
        torch.ones(32, dtype=torch.complex64),
        "is complex64, it must be one of float16, bfloat16, float32",
    ),
    "int8": (torch.ones(32, dtype=torch.int8), "is int8, it must be one of"),
    "sparse": (torch.ones(32).to_sparse(), "is sparse; it must be a dense tensor"),
    "meta": (torch.ones(32, device="meta"), "has no values"),
}


@pytest.mark.parametrize("kind", BAD)
def test_values_are_checked(kind):
    value, told = BAD[kind]
    state = alive().state_dict() | {"block.1.attn.v_bn.running_var": value}
    with pytest.raises(NetworkError) as refused:
        read_shape(state)
    assert str(refused.value).startswith("tensor block.1.attn.v_bn.running_var")
    assert told in str(refused.value)


@pytest.mark.parametrize("part", ["linear.weight", "linear.bias", "bn.weight", "bn.bias", "bn.running_mean"])
def test_values_of_every_kind_of_tensor_are_checked(part):
    state = alive().state_dict()
    name = f"block.0.mlp.fc2_{part}"
    with pytest.raises(NetworkError, match=f"tensor {name}: value nan"):
        read_shape(state | {name: state[name] * float("nan")})


@pytest.mark.parametrize("kernel", [(1,), (1, 1)])
def test_names_of_the_event_network(kernel):
    """There the linear layers are convolutions of size 1, and some parts are never used."""
    state = {}
    for name, value in alive().state_dict().items():
        if "_linear.weight" in name:
            name, value = name.replace("_linear", "_conv"), value.reshape(*value.shape, *kernel)
        state[name.replace("_linear.bias", "_conv.bias")] = value
    unused = {
        "norm.weight": torch.ones(32),
        "pos_embed": torch.zeros(1, 64, 32),
        "total_ops": torch.zeros(1),
        "block.0.total_params": torch.zeros(1),
        "block.0.attn.q_lif.v": torch.zeros(1),
    }
    found = imported(state | unused)
    assert set(read_shape(state | unused).unused) >= set(unused)
    wanted = imported(alive().state_dict()).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in found.state_dict().items())


def test_learned_time_constants_must_be_the_stated_one():
    state = alive().state_dict()
    name = "block.0.attn.q_lif.w"
    imported(state | {name: torch.tensor(0.0)})  # sigmoid(0) = 1/2
    with pytest.raises(
        NetworkError, match=r"block.0.attn.q_lif.w: a learned time constant of 1.60653, neuron.tau is 2"
    ):
        imported(state | {name: torch.tensor(0.5)})
