# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The shape of a DS2TA network, shared by the golden models and the hardware generators.

Plain data with checked limits: no tensors, no hardware. `Network.layers()` lists the synaptic layers in the
order in which they run; every other part of the project derives names and sizes from that list.
"""

from typing import Literal

from ds2ta.checked import BaseModel, ConfigDict, Field, from_plain, model_validator
from ds2ta.errors import NetworkError

__all__ = ["MAX_SIDE", "InputSpec", "LayerSpec", "Network", "StemConv", "network_from_dict"]


#: Pixels of the longest side of an input.
MAX_SIDE = 256


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputSpec(_Frozen):
    """What one sample is. `image`: uint8 `[channels, height, width]`, presented at every time step (direct
    encoding). `frames`: uint8 event counts `[T, channels, height, width]`. Every value is below `2**bits`."""

    kind: Literal["image", "frames"] = "image"
    channels: int = Field(1, ge=1, le=4)
    height: int = Field(8, ge=1, le=MAX_SIDE)
    width: int = Field(8, ge=1, le=MAX_SIDE)
    bits: int = Field(8, ge=1, le=8)


class StemConv(_Frozen):
    """One 3x3 convolution of the patch splitter (SPS); `pool` puts a 3x3 stride 2 max-pool after its LIF."""

    channels: int = Field(ge=1, le=1024)
    pool: bool = False


class LayerSpec(_Frozen):
    """One synaptic layer: `kernel` 3 is a convolution (padding 1, stride 1) on `height x width`; 1 is linear on
    every one of `height * width` tokens. `tasa` marks the layers with a temporal window (paper, eq. 1 and 4)."""

    name: str
    kernel: Literal[1, 3]
    inputs: int
    outputs: int
    height: int
    width: int
    tasa: bool

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of its weights: outputs, inputs, and the rows and columns of a convolution."""
        return (self.outputs, self.inputs, *((3, 3) if self.kernel == 3 else ()))


class Network(_Frozen):
    """A DS2TA network. `window` is T_AW, `leak_shift` k gives tau_m = 2**k, `denoiser_bits` is the width of an
    NSAD table entry. The Spikformer baseline is `nsad=False, window=1`: its tables are the identity."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    input: InputSpec = InputSpec()
    time_steps: int = Field(4, ge=1, le=16)
    stem: tuple[StemConv, ...] = Field(min_length=1, max_length=8)
    embed_dim: int = Field(ge=4, le=1024)
    heads: int = Field(ge=1, le=64)
    depth: int = Field(ge=0, le=12)
    hidden_dim: int = Field(ge=4, le=4096)
    window: int = Field(3, ge=1, le=4)
    leak_shift: int = Field(1, ge=1, le=4)
    residual: Literal["add", "or"] = "add"
    nsad: bool = True
    denoiser_bits: int = Field(6, ge=1, le=8)
    classes: int = Field(10, ge=2, le=1024)

    @model_validator(mode="after")
    def _whole(self) -> "Network":
        if self.stem[-1].channels != self.embed_dim:
            raise ValueError(
                f"stem: its last convolution gives {self.stem[-1].channels} channels, embed_dim is {self.embed_dim}"
            )
        if self.embed_dim % self.heads:
            raise ValueError(f"heads: {self.heads} must divide embed_dim {self.embed_dim}")
        if not self.nsad and self.head_dim >= 1 << self.denoiser_bits:
            raise ValueError(
                f"denoiser_bits: without NSAD a table holds 0..{self.head_dim}, "
                f"{self.denoiser_bits} bits end at {(1 << self.denoiser_bits) - 1}"
            )
        return self

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.heads

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width in tokens, after all pools of the stem."""
        height, width = self.input.height, self.input.width
        for conv in self.stem:
            if conv.pool:
                height, width = (height + 1) // 2, (width + 1) // 2
        return height, width

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one input sample, uint8."""
        shape = (self.input.channels, self.input.height, self.input.width)
        return shape if self.input.kind == "image" else (self.time_steps, *shape)

    def residual_limit(self, after: int) -> int:
        """Largest value of the residual stream after `after` additions (0: the stem's own spikes)."""
        return 1 if self.residual == "or" else 1 + after

    def layers(self) -> tuple[LayerSpec, ...]:
        """Synaptic layers in running order: stem.i, rpe, then q, k, v, proj, fc1, fc2 of each block, head."""
        found = []
        inputs, height, width = self.input.channels, self.input.height, self.input.width

        def layer(name: str, kernel: Literal[1, 3], inputs: int, outputs: int, tasa: bool = False) -> None:
            found.append(
                LayerSpec(
                    name=name, kernel=kernel, inputs=inputs, outputs=outputs, height=height, width=width, tasa=tasa
                )
            )

        for index, conv in enumerate(self.stem):
            layer(f"stem.{index}", 3, inputs, conv.channels)
            inputs = conv.channels
            if conv.pool:
                height, width = (height + 1) // 2, (width + 1) // 2
        layer("rpe", 3, self.embed_dim, self.embed_dim)
        for block in range(self.depth):
            for part in ("q", "k", "v", "proj"):
                layer(f"block.{block}.{part}", 1, self.embed_dim, self.embed_dim, tasa=True)
            layer(f"block.{block}.fc1", 1, self.embed_dim, self.hidden_dim)
            layer(f"block.{block}.fc2", 1, self.hidden_dim, self.embed_dim)
        layer("head", 1, self.embed_dim, self.classes)
        return tuple(found)

    def neuron_layers(self) -> tuple[str, ...]:
        """What has neurons: the synaptic layers but the head, and `block.i.attn`, the neurons after A x V."""
        found = []
        for spec in self.layers()[:-1]:
            found.append(spec.name)
            if spec.name.endswith(".v"):
                found.append(f"{spec.name.removesuffix('.v')}.attn")
        return tuple(found)


def network_from_dict(values: dict) -> Network:
    """Checked construction from JSON-like data. Raises `NetworkError` naming the first bad key, its value and the
    limit."""
    return from_plain(Network, values, "network", NetworkError)
