# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The peer of the speed comparison: the baseline network out of SpikingJelly's own multi-step modules.

The same function as `FloatNetwork` without NSAD and TASA (`tests/sim/test_jelly.py` compares them), as users of
SpikingJelly would write it: `SeqToANNContainer`, `SpikingSelfAttention` (q, k and v in one product, `K^T V` first)
and `LIFNode`, which is one registered operation on the CPU and a CUDA or Triton kernel on a GPU. Activations are
`[T, B, C, H, W]` in the patch splitter and `[T, B, C, N]` in the encoder.

SpikingJelly's neuron scales its input, `v += (x - v) / tau`, and fires at 1 where ours fires at tau_m: the same
spikes. It is no part of the product and need not be installed.
"""

from typing import Any, cast

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from ds2ta.errors import NetworkError
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.synapse import EPSILON, MOMENTUM, SpikingSynapse
from ds2ta.network import Network, StemConv

__all__ = ["JellySpikformer"]


def _convolution(inputs: int, outputs: int) -> layer.SeqToANNContainer:
    return layer.SeqToANNContainer(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM),
    )


def _linear(inputs: int, outputs: int) -> layer.SeqToANNContainer:
    return layer.SeqToANNContainer(
        nn.Conv1d(inputs, outputs, 1, bias=False),
        nn.BatchNorm1d(outputs, eps=EPSILON, momentum=MOMENTUM),
    )


class _Stage(nn.Module):
    """Convolution, batch norm, neurons, and perhaps a maximum over 3x3."""

    def __init__(self, inputs: int, conv: StemConv, settings: dict):
        super().__init__()
        self.synapse = _convolution(inputs, conv.channels)
        self.lif = neuron.LIFNode(**settings)
        self.pool = layer.SeqToANNContainer(nn.MaxPool2d(3, 2, 1)) if conv.pool else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.lif(self.synapse(x)))


class _Block(nn.Module):
    def __init__(self, network: Network, scale: float, firing: float, settings: dict):
        super().__init__()
        self.attn = layer.SpikingSelfAttention(network.embed_dim, network.heads, **settings)
        self.attn.scale = scale
        self.attn.attn_lif.v_threshold = firing
        self.fc1 = _linear(network.embed_dim, network.hidden_dim)
        self.lif1 = neuron.LIFNode(**settings)
        self.fc2 = _linear(network.hidden_dim, network.embed_dim)
        self.lif2 = neuron.LIFNode(**settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(x)
        return x + self.lif2(self.fc2(self.lif1(self.fc1(x))))


class JellySpikformer(nn.Module):
    """The network and the weights of `ours`, which is `FloatNetwork` with nsad off, window 1 and residual add. Its
    neurons keep their potential from call to call, as SpikingJelly's do: `forget()` before each batch. Raises
    `NetworkError` for any other network."""

    def __init__(self, ours: FloatNetwork):
        super().__init__()
        network, config = ours.network, ours.config
        if network.nsad or network.window != 1 or network.residual != "add" or network.input.kind != "image":
            raise NetworkError(f"network {network.name}: the peer has nsad off, window 1, residual add, images")
        self.steps = network.time_steps
        settings = {
            "tau": float(2**network.leak_shift),
            "v_threshold": config.firing_threshold,
            "surrogate_function": surrogate.Sigmoid(alpha=config.surrogate_slope),
            "detach_reset": True,
            "step_mode": "m",
        }
        if network.leak_shift != 1:
            raise NetworkError(f"network {network.name}: the peer has leak_shift 1 (tau_m = 2)")
        counts = [network.input.channels, *(conv.channels for conv in network.stem)]
        self.stem = nn.ModuleList(_Stage(counts[index], conv, settings) for index, conv in enumerate(network.stem))
        self.rpe = _Stage(network.embed_dim, StemConv(channels=network.embed_dim), settings)
        firing = ours.attention_threshold * config.attention_scale / 2**network.leak_shift
        self.blocks = nn.ModuleList(
            _Block(network, config.attention_scale, firing, settings) for _ in range(network.depth)
        )
        self.head = nn.Linear(network.embed_dim, network.classes)
        with torch.no_grad():
            self._take(ours)

    def _stages(self) -> list[_Stage]:
        return cast(list[_Stage], list(self.stem))

    def _take(self, ours: FloatNetwork) -> None:
        for index, stage in enumerate(self._stages()):
            _copy(stage.synapse, [ours.synapse(f"stem.{index}")])
        _copy(self.rpe.synapse, [ours.synapse("rpe")])
        for index, block in enumerate(cast(list[_Block], list(self.blocks))):
            at = f"block.{index}."
            _copy(block.attn.qkv_conv_bn, [ours.synapse(at + part) for part in "qkv"])
            _copy(block.attn.proj_conv_bn, [ours.synapse(at + "proj")])
            _copy(block.fc1, [ours.synapse(at + "fc1")])
            _copy(block.fc2, [ours.synapse(at + "fc2")])
        self.head.weight.copy_(ours.head.weight)
        self.head.bias.copy_(ours.head.bias)

    def forget(self) -> None:
        """Forget the potentials of the last batch."""
        functional.reset_net(self)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Logits of uint8 samples `[B, C, H, W]`."""
        x = samples.to(self.head.weight.dtype).expand(self.steps, *samples.shape)
        for stage in self._stages():
            x = stage(x)
        x = (x + self.rpe(x)).flatten(3)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((0, 3)))


def _copy(container: Any, sources: list[SpikingSynapse]) -> None:
    """Into a linear layer or a convolution, and the batch norm behind it."""
    linear, norm = container
    linear.weight.copy_(torch.cat([source.weight for source in sources]).view_as(linear.weight))
    for name, place in {"gamma": norm.weight, "beta": norm.bias}.items():
        place.copy_(torch.cat([getattr(source, name) for source in sources]))
    norm.running_mean.copy_(torch.cat([source.mean for source in sources]))
    norm.running_var.copy_(torch.cat([source.variance for source in sources]))
