# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""State dicts of Spikformer (names as in ZK-Zhou/spikformer), of any size, as the baseline network of this project.

Sizes are read from shapes. A neuron that scales its input, `v += (x - v) / tau` with the threshold h, fires when
ours does at theta = tau h; one that does not, `v += x - v / tau`, at theta = h: the same spikes, so nothing of
that factor is left to fold. A linear layer's bias moves into the mean of the batch norm behind it. Pixels are
whole numbers here: the division by the pixel that is 1.0 and by the deviation of the input goes into the first
convolution, its mean into the batch norm behind. (With a mean that is not 0, the outermost pixels differ: they
pad the normalized image with zeros, we pad the pixels.)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.statefile import check_tensor
from ds2ta.golden.training.synapse import EPSILON
from ds2ta.network import Network

__all__ = ["MARK", "Shape", "Source", "import_spikformer", "read_shape"]

#: The tensor that every Spikformer has once: what stands before its name is a prefix.
MARK = "patch_embed.proj_conv.weight"
#: What a checkpoint may hold that its network does not use: counters, layer norms, a positional embedding,
#: potentials, and what profilers leave.
_UNUSED = re.compile(
    r"(\.num_batches_tracked|(^|\.)total_(ops|params)|_lif\d*\.v)$|(^|\.)norm\d?\.(weight|bias)$|^pos_embed$"
)
#: The weight of a learned time constant (SpikingJelly's ParametricLIFNode): tau = 1 + exp(-w).
_LEARNED_TAU = re.compile(r"_lif\d*\.w$")
_BLOCK = re.compile(r"^block\.(\d+)\.")
_STEM = re.compile(r"^patch_embed\.proj_conv(\d*)\.weight$")
_PARTS = {"q": "attn", "k": "attn", "v": "attn", "proj": "attn", "fc1": "mlp", "fc2": "mlp"}
_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Source:
    """Where the tensors of one of our layers stand: names of its weights and of its batch norm, without the last
    part; `biased` where there is a bias too."""

    linear: str
    norm: str
    biased: bool


@dataclass(frozen=True)
class Shape:
    """What the shapes in a state dict say."""

    channels: int
    stem: tuple[int, ...]  # outputs of each convolution of the patch splitter
    hidden_dim: int
    depth: int
    classes: int
    sources: Mapping[str, Source]
    unused: tuple[str, ...]  # tensors that have no place in the network, and do no harm
    tau: Mapping[str, float]  # learned time constants by tensor

    @property
    def embed_dim(self) -> int:
        return self.stem[-1]


class _Reader:
    """Takes tensors of a state dict one by one, each checked."""

    def __init__(self, state: Mapping[str, torch.Tensor]):
        self.state, self.left = state, dict.fromkeys(state)

    def shape(self, name: str, wanted: Sequence[int | None]) -> tuple[int, ...]:
        """The shape of a tensor, which must be `wanted` (None: any size) up to kernels of size 1."""
        value = self.state.get(name)
        if value is None:
            raise NetworkError(f"tensor {name} is missing: the state dict is not of a whole Spikformer")
        self.left.pop(name, None)
        try:
            check_tensor(name, value)
        except ModelFileError as error:
            raise NetworkError(str(error)) from None
        shape = tuple(value.shape)
        while len(shape) > len(wanted) and shape[-1] == 1:
            shape = shape[:-1]
        fits = len(shape) == len(wanted) and all(w in (None, n) for n, w in zip(shape, wanted, strict=True))
        if not fits or 0 in shape:
            rule = ", ".join("any" if size is None else str(size) for size in wanted)
            raise NetworkError(f"tensor {name} has shape {list(value.shape)}, it must be [{rule}]")
        return shape

    def layer(self, linears: Sequence[str], norm: str, inputs: int | None, kernel: int) -> tuple[Source, int, int]:
        """Source, outputs and inputs of a layer whose weights have one of the names `linears`."""
        linear = next((name for name in linears if f"{name}.weight" in self.state), linears[0])
        window = (3, 3) if kernel == 3 else ()
        outputs, found, *_ = self.shape(f"{linear}.weight", (None, inputs, *window))
        biased = f"{linear}.bias" in self.state
        if biased:
            self.shape(f"{linear}.bias", (outputs,))
        for part in _NORM:
            self.shape(f"{norm}.{part}", (outputs,))
        return Source(linear, norm, biased), outputs, found


def read_shape(state: Mapping[str, torch.Tensor]) -> Shape:
    """The sizes of the Spikformer that `state` is of, every tensor of it checked. `NetworkError` names the first
    that is missing, has another shape or holds no finite real numbers, and any that has no place."""
    reader, sources = _Reader(state), {}
    numbers = sorted(int(found[1] or 0) for name in state if (found := _STEM.match(name)))
    channels = inputs = None
    stem: list[int] = []
    for index in range(numbers[-1] + 1 if numbers else 1):
        number = str(index) if index else ""
        at = "patch_embed.proj"
        sources[f"stem.{index}"], outputs, given = reader.layer(
            [f"{at}_conv{number}"], f"{at}_bn{number}", inputs, 3
        )
        channels = channels or given
        stem.append(outputs)
        inputs = outputs
    width = stem[-1]
    sources["rpe"], outputs, _ = reader.layer(["patch_embed.rpe_conv"], "patch_embed.rpe_bn", width, 3)
    _same("patch_embed.rpe_conv.weight", outputs, width)
    depth = 1 + max((int(found[1]) for name in state if (found := _BLOCK.match(name))), default=-1)
    hidden = None
    for block in range(depth):
        for part, group in _PARTS.items():
            home = f"block.{block}.{group}.{part}"
            spelled = [f"{home}_linear", f"{home}_conv"]
            source, outputs, _ = reader.layer(spelled, f"{home}_bn", hidden if part == "fc2" else width, 1)
            if part == "fc1":
                _same(f"{source.linear}.weight", outputs, hidden or outputs)
                hidden = outputs
            else:
                _same(f"{source.linear}.weight", outputs, width)
            sources[f"block.{block}.{part}"] = source
    classes, _ = reader.shape("head.weight", (None, width))
    reader.shape("head.bias", (classes,))
    learned = [name for name in reader.left if _LEARNED_TAU.search(name)]
    unused = tuple(sorted(name for name in reader.left if _UNUSED.search(name)))
    if strange := sorted(set(reader.left) - set(learned) - set(unused)):
        raise NetworkError(
            f"tensor {strange[0]} has no place in a Spikformer, so the network computes something else "
            f"({len(strange)} such)"
        )
    for name in learned:
        reader.shape(name, ())
    return Shape(
        channels=channels or 1,
        stem=tuple(stem),
        hidden_dim=hidden or 4 * width,  # without blocks nothing has that size
        depth=depth,
        classes=classes,
        sources=sources,
        unused=unused,
        tau={name: 1.0 + float(torch.exp(-state[name].double())) for name in learned},
    )


def _same(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise NetworkError(f"tensor {name} has {found} outputs, it must have {wanted}")


def import_spikformer(
    state: Mapping[str, torch.Tensor],
    *,
    network: Network,
    config: TrainingConfig,
    one: float | None = None,
    mean: Sequence[float] = (0.0,) * 4,
    deviation: Sequence[float] = (1.0,) * 4,
    epsilon: float = EPSILON,
) -> FloatNetwork:
    """The baseline with the weights of `state`. Its training saw the pixel `one` as 1.0 (default: 255 of images,
    1 of event counts), and normalized by `mean` and `deviation` of each channel; `epsilon` is that of its batch
    norms. Raises `NetworkError` for what does not fit, naming the tensor."""
    if network.nsad or network.window != 1:
        raise NetworkError(f"network {network.name}: Spikformer has nsad off and window 1")
    shape = read_shape(state)
    stem = tuple(conv.channels for conv in network.stem)
    for name, ours, theirs in (
        ("stem", stem, shape.stem),
        ("input.channels", network.input.channels, shape.channels),
        ("depth", network.depth, shape.depth),
        ("hidden_dim", network.hidden_dim if network.depth else shape.hidden_dim, shape.hidden_dim),
        ("classes", network.classes, shape.classes),
    ):
        if ours != theirs:
            raise NetworkError(f"{name} of network {network.name} is {ours}, of the state dict {theirs}")
    found = FloatNetwork(network=network, config=config)
    whole = one if one is not None else 255.0 if network.input.kind == "image" else 1.0

    def take(name: str, size: torch.Size) -> torch.Tensor:
        return state[name].detach().to(torch.float64).reshape(size)

    with torch.no_grad():
        for layer, source in shape.sources.items():
            synapse = found.synapse(layer)
            weight = take(f"{source.linear}.weight", synapse.weight.shape)
            gamma, beta, middle, spread = (take(f"{source.norm}.{part}", synapse.gamma.shape) for part in _NORM)
            if source.biased:
                middle = middle - take(f"{source.linear}.bias", synapse.gamma.shape)
            if layer == "stem.0":
                channels = network.input.channels
                scale, shift = (torch.tensor(value[:channels], dtype=torch.float64) for value in (deviation, mean))
                weight = weight / scale[:, None, None]
                middle = middle + (weight.sum((2, 3)) * shift).sum(1)
                weight = weight / whole
            for place, value in (
                (synapse.weight, weight),
                (synapse.gamma, gamma),
                (synapse.beta, beta),
                (synapse.mean, middle),
                (synapse.variance, spread + (epsilon - EPSILON)),
            ):
                place.copy_(value)
                if not bool(torch.isfinite(place).all()):
                    raise NetworkError(f"tensor {source.linear}.weight or {source.norm}: too large for float32")
        found.head.weight.copy_(take("head.weight", found.head.weight.shape))
        found.head.bias.copy_(take("head.bias", found.head.bias.shape))
    return found.eval()
