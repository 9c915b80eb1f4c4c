# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A small Spikformer in SpikingJelly, with the names of ZK-Zhou/spikformer, trained on handwritten digits: the
beginning of docs/spikingjelly.md. Nothing of ds2ta is in it.

    python examples/spikingjelly_spikformer.py spikformer.pth --epochs 12
"""

import argparse

import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

TIME_STEPS, HEADS, SCALE = 4, 2, 0.25


def lif(threshold: float = 1.0) -> nn.Module:
    return neuron.LIFNode(tau=2.0, v_threshold=threshold, detach_reset=True, step_mode="m")


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        for part in ("q", "k", "v", "proj"):
            setattr(self, f"{part}_linear", nn.Linear(width, width))
            setattr(self, f"{part}_bn", nn.BatchNorm1d(width))
            setattr(self, f"{part}_lif", lif())
        self.attn_lif = lif(0.5)

    def layer(self, part: str, x: torch.Tensor) -> torch.Tensor:
        found = getattr(self, f"{part}_linear")(x)
        found = getattr(self, f"{part}_bn")(found.flatten(0, 2)).view_as(found)
        return getattr(self, f"{part}_lif")(found)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.layer(part, x).unflatten(3, (HEADS, -1)).transpose(2, 3) for part in "qkv")
        y = (q @ k.transpose(-2, -1)) @ v * SCALE
        return self.layer("proj", self.attn_lif(y.transpose(2, 3).flatten(3)))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        for part, inputs, outputs in (("fc1", width, hidden), ("fc2", hidden, width)):
            setattr(self, f"{part}_linear", nn.Linear(inputs, outputs))
            setattr(self, f"{part}_bn", nn.BatchNorm1d(outputs))
            setattr(self, f"{part}_lif", lif())

    layer = Attention.layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer("fc2", self.layer("fc1", x))


class Block(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.attn, self.mlp = Attention(width), Mlp(width, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(x)
        return x + self.mlp(x)


class PatchEmbed(nn.Module):
    """Three convolutions, a max-pool behind the second, and the position embedding."""

    def __init__(self, *channels: int):
        super().__init__()
        for index in range(3):
            number = str(index) if index else ""
            conv = layer.Conv2d(channels[index], channels[index + 1], 3, padding=1, bias=False, step_mode="m")
            setattr(self, f"proj_conv{number}", conv)
            setattr(self, f"proj_bn{number}", layer.BatchNorm2d(channels[index + 1], step_mode="m"))
            setattr(self, f"proj_lif{number}", lif())
        self.rpe_conv = layer.Conv2d(channels[3], channels[3], 3, padding=1, bias=False, step_mode="m")
        self.rpe_bn, self.rpe_lif = layer.BatchNorm2d(channels[3], step_mode="m"), lif()
        self.pool = layer.MaxPool2d(3, 2, 1, step_mode="m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj_lif(self.proj_bn(self.proj_conv(x)))
        x = self.pool(self.proj_lif1(self.proj_bn1(self.proj_conv1(x))))
        x = self.proj_lif2(self.proj_bn2(self.proj_conv2(x)))
        return (x + self.rpe_lif(self.rpe_bn(self.rpe_conv(x)))).flatten(3).transpose(2, 3)


class Spikformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = PatchEmbed(1, 8, 16, 32)
        self.block = nn.ModuleList([Block(32, 64)])
        self.head = nn.Linear(32, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self)
        x = self.patch_embed(images.expand(TIME_STEPS, *images.shape))
        for block in self.block:
            x = block(x)
        return self.head(x.mean(2).mean(0))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small Spikformer on digits.")
    parser.add_argument("checkpoint")
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16.0
    labels = torch.from_numpy(digits.target).long()
    network = Spikformer()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, asked.epochs)
    for epoch in range(asked.epochs):
        order, total = torch.randperm(1400), 0.0
        for chosen in order.split(50):
            loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        print(f"epoch {epoch}: loss {total / 28:.3f}")
    torch.save({"net": network.state_dict(), "epoch": asked.epochs, "args": asked}, asked.checkpoint)


if __name__ == "__main__":
    main()
