# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The original Spikformer, written out for the tests of its import, with its own neuron or SpikingJelly's."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

__all__ = ["Lif", "Spikformer", "alive", "forget", "jelly", "pictures", "seen"]


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


def jelly(
    *, tau: float = 2.0, threshold: float = 1.0, attention: float = 0.5, reset: float = 0.0, decay: bool = True
) -> Callable[..., nn.Module]:
    """SpikingJelly's neurons: makes those of a layer, and, with an argument, the one behind the attention."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    settings = {"tau": tau, "v_reset": reset, "decay_input": decay, "detach_reset": True, "step_mode": "m"}

    def make(attn: float | None = None) -> nn.Module:
        return neuron.LIFNode(v_threshold=threshold if attn is None else attention, **settings)

    return make


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
    def __init__(self, width: int, lif, channels: int = 3):
        super().__init__()
        sizes = [channels, width // 8, width // 4, width // 2, width]
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
    def __init__(self, *, width=32, heads=2, hidden=64, depth=2, classes=7, steps=4, channels=3, lif=Lif):
        super().__init__()
        self.steps = steps
        self.patch_embed = PatchEmbed(width, lif, channels)
        self.block = nn.ModuleList([Block(width, heads, hidden, lif) for _ in range(depth)])
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        frames = images if images.ndim == 5 else images.expand(self.steps, *images.shape)
        x = self.patch_embed(frames)
        for block in self.block:
            x = block(x)
        return self.head(x.mean(2).mean(0)), x


def alive(lif=Lif, *, scale: float = 1.0, **sizes) -> Spikformer:
    """A random original in float64 whose batch norms have seen data, so that neurons fire; `scale`: of all gains
    and offsets."""
    torch.manual_seed(4)
    found = Spikformer(lif=lif, **sizes).double()
    with torch.no_grad():
        for module in found.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.5 * scale, 2.0 * scale)
                module.weight[::4] *= -1.0
                module.bias.uniform_(0.2 * scale, 1.2 * scale)
                module.momentum = None  # the plain mean of all batches
        for linear in (module for module in found.modules() if isinstance(module, nn.Linear)):
            linear.bias.normal_()
        found.train()
        for seed in range(3):
            forget(found)
            found(seen(seed, sizes.get("channels", 3)).double() / 255.0)
    forget(found)
    return found.eval()


def forget(network: nn.Module) -> None:
    """SpikingJelly's neurons keep their potential until they are told."""
    for module in network.modules():
        if hasattr(module, "reset"):
            module.reset()


def seen(seed: int, channels: int) -> torch.Tensor:
    """Inputs uint8: pictures `[B, C, H, W]`; of two channels event counts `[T, B, C, H, W]`, 64 for one event."""
    found = pictures(seed, count=32)[:, :1].unflatten(0, (4, 8)).repeat(1, 1, 2, 1, 1)
    return (found & 192) if channels == 2 else pictures(seed)


def pictures(seed: int, count: int = 8) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
