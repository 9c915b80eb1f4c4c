# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The peer of the speed comparison computes what our baseline computes: logits, statistics and gradients."""

import pytest
import torch
from torch.nn import functional

pytest.importorskip("spikingjelly", reason="the peer is an optional package: make speed installs it")

from ds2ta.errors import NetworkError
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import Arithmetic, TrainingConfig
from ds2ta.network import network_from_dict
from ds2ta.records.jelly import JellySpikformer

BASE = {
    "name": "small-baseline",
    "input": {"kind": "image", "channels": 3, "height": 16, "width": 16, "bits": 8},
    "time_steps": 4,
    "stem": [{"channels": 8, "pool": True}, {"channels": 16}, {"channels": 32, "pool": True}],
    "embed_dim": 32,
    "heads": 2,
    "depth": 2,
    "hidden_dim": 64,
    "window": 1,
    "residual": "add",
    "nsad": False,
    "classes": 7,
}
EXACT = Arithmetic(compiled=False, precision="float32")


def pictures(count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


def alive(arithmetic: Arithmetic | None = None) -> FloatNetwork:
    """Random weights whose batch norms have seen data, so that neurons of all layers fire."""
    torch.manual_seed(2)
    config = TrainingConfig(attention_scale=0.125, attention_firing=0.25, arithmetic=arithmetic)
    network = FloatNetwork(network=network_from_dict(BASE), config=config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.5, 2.0)
                parameter[::4] *= -1.0
            elif name.endswith("beta"):
                parameter.uniform_(0.2, 1.2)
        for _ in range(3):
            network(pictures())
    return network


def lively(trace: dict) -> None:
    assert all(0.02 < trace[name].mean() < 0.9 for name in ("stem.1", "block.0.attn", "block.1.q", "block.1.fc2"))


def test_logits_and_spikes_are_equal():
    ours = alive().double().eval()
    peer, trace, last = JellySpikformer(ours).double().eval(), {}, []
    peer.blocks[-1].register_forward_hook(lambda _module, _inputs, output: last.append(output))
    with torch.no_grad():
        wanted, found = ours(pictures(), trace=trace), peer(pictures())
    lively(trace)
    assert torch.equal(last[0].permute(1, 0, 3, 2), trace["block.1.x2"])
    torch.testing.assert_close(found, wanted)


def test_a_training_step_is_the_same():
    """Fused neurons in float32 beside the peer's registered operation: the pair that is timed."""
    ours = alive(EXACT).train()
    peer = JellySpikformer(ours).train()
    labels, trace = torch.arange(8) % 7, {}
    wanted = ours(pictures(), trace=trace)
    lively(trace)
    found = peer(pictures())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for logits in (wanted, found):
        functional.cross_entropy(logits, labels).backward()
    for layer, container, rows in (
        ("stem.0", peer.stem[0].synapse, slice(None)),
        ("rpe", peer.rpe.synapse, slice(None)),
        ("block.0.k", peer.blocks[0].attn.qkv_conv_bn, slice(32, 64)),
        ("block.1.v", peer.blocks[1].attn.qkv_conv_bn, slice(64, 96)),
        ("block.1.proj", peer.blocks[1].attn.proj_conv_bn, slice(None)),
        ("block.1.fc1", peer.blocks[1].fc1, slice(None)),
    ):
        synapse, (linear, norm) = ours.synapse(layer), container
        pairs = {
            "weight": (linear.weight.grad[rows].view_as(synapse.weight), synapse.weight.grad),
            "gamma": (norm.weight.grad[rows], synapse.gamma.grad),
            "beta": (norm.bias.grad[rows], synapse.beta.grad),
        }
        for part, (one, other) in pairs.items():
            assert other.abs().max() > 0, f"{layer}.{part}"
            limit = 1e-3 * other.abs().max().item()
            torch.testing.assert_close(
                one, other, rtol=2e-3, atol=limit, msg=lambda text, at=layer: f"{at}: {text}"
            )


def test_other_networks_are_refused():
    for change in ({"window": 3}, {"nsad": True}, {"residual": "or"}, {"leak_shift": 2}):
        network = network_from_dict(BASE | change)
        with pytest.raises(NetworkError, match="the peer has"):
            JellySpikformer(FloatNetwork(network=network, config=TrainingConfig()))
