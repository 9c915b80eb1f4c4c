# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""NIR, the neuromorphic intermediate representation (package `nir`): float networks out, chains of convolutions in.

NIR's neuron is `tau dv/dt = v_leak - v + R I`, with a spike where `v > v_threshold`. In steps of dt that is ours,
`U = (1 - 2**-k) V + I`, for tau = 2**k dt and R = 2**k; ours fires at the threshold too, which is the next number
below it in NIR. A max-pool of spikes is a sum of nine and a threshold of 1/2, a temporal window is scales and
delays, batch norm lies in the weights, whose offset is a convolution of zeros with a bias where a window would
repeat it.

What NIR cannot say is the product of Q, K and V and the denoiser: there the graph is cut, with the outputs
`block.i.q`, `.k` and `.v` and the input `block.i.attn`. Logits are those of a step; the network's are their mean
over time.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from ds2ta.errors import ModelFileError, NetworkError
from ds2ta.files import check_writable
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.synapse import EPSILON
from ds2ta.network import LayerSpec, Network

__all__ = ["DT", "Chain", "fill", "read_chain", "read_graph", "to_graph", "write_graph"]

DT = 1e-4  # seconds of a time step, as in snnTorch's files


def write_graph(network: FloatNetwork, path: str | os.PathLike) -> None:
    """The NIR file of a float network."""
    check_writable(Path(path))
    nir.write(str(path), to_graph(network))


def to_graph(network: FloatNetwork) -> nir.NIRGraph:
    """The parts of a float network that NIR can say."""
    return _Writer(network).graph()


class _Writer:
    """Nodes and edges of one graph; a *source* is the names of nodes whose outputs are added up."""

    def __init__(self, network: FloatNetwork):
        self.network, self.shape = network, network.network
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: nir.NIRNode, sources: Iterable[str] = ()) -> tuple[str, ...]:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return (name,)

    def graph(self) -> nir.NIRGraph:
        shape = self.shape
        size = np.array([shape.input.channels, shape.input.height, shape.input.width])
        x = self.add("input", nir.Input(input_type={"input": size}))
        specs = {spec.name: spec for spec in shape.layers()}
        for index, conv in enumerate(shape.stem):
            spec = specs[f"stem.{index}"]
            x = self.fire(spec, x)
            if conv.pool:
                x = self.pool(spec, x)
        x = self.merge("embed", x, self.fire(specs["rpe"], x))
        for block in range(shape.depth):
            at = f"block.{block}."
            for part in "qkv":
                spec = specs[at + part]
                self.add(at + part, nir.Output(output_type={"output": _size(spec)}), self.fire(spec, x, ".synapse"))
            attn = self.add(at + "attn", nir.Input(input_type={"input": _size(specs[at + "proj"])}))
            x = self.merge(at + "x1", x, self.fire(specs[at + "proj"], attn))
            x = self.merge(at + "x2", x, self.fire(specs[at + "fc2"], self.fire(specs[at + "fc1"], x)))
        self.head(x)
        about = {"made_by": "ds2ta", "dt": DT, "network": shape.name, "time_steps": shape.time_steps}
        return nir.NIRGraph(self.nodes, self.edges, metadata=about)

    def fire(self, spec: LayerSpec, x: tuple[str, ...], suffix: str = "") -> tuple[str, ...]:
        """A synaptic layer and its neurons; their name is the layer's with `.lif` behind it."""
        synapse, tasa = self.network.synapse(spec.name), self.network.tasa(spec.name)
        gain = synapse.gain().double() / torch.sqrt(synapse.variance.double() + EPSILON)
        gain = torch.where(synapse.gamma < 0, -gain, gain)
        offset = (synapse.beta.double() - gain * synapse.mean.double()).detach().numpy()
        shape = (spec.outputs, spec.inputs, spec.kernel, spec.kernel)
        weight = (synapse.weight.double().reshape(shape) * gain[:, None, None, None]).detach().numpy()
        name, plain = spec.name + suffix, np.zeros_like(offset)
        conv = self.add(name, _conv(spec, weight, offset if tasa.window == 1 else plain), x)
        sources = list(conv)
        if tasa.window > 1:
            zero = _conv(spec, np.zeros_like(weight), offset)
            sources += self.add(f"{name}.offset", zero, x)
        for lag in range(1, tasa.window):
            share = 2.0 ** -(tasa.whole_tau() * lag)
            late = self.add(f"{name}.scale.{lag}", nir.Scale(np.full(_size(spec), share)), conv)
            sources += self.add(f"{name}.delay.{lag}", nir.Delay(np.full(_size(spec), lag * DT)), late)
        ones = np.ones(_size(spec))
        keep = 2.0**self.shape.leak_shift
        below = float(np.nextafter(np.float32(synapse.theta), np.float32(-np.inf)))
        neurons = nir.LIF(
            tau=ones * keep * DT, r=ones * keep, v_leak=ones * 0, v_threshold=ones * below, v_reset=ones * 0
        )
        return self.add(f"{spec.name}.lif", neurons, sources)

    def pool(self, spec: LayerSpec, x: tuple[str, ...]) -> tuple[str, ...]:
        three, two, one = (np.array([count, count]) for count in (3, 2, 1))
        added = self.add(f"{spec.name}.sum", nir.SumPool2d(kernel_size=three, stride=two, padding=one), x)
        size = (spec.outputs, (spec.height + 1) // 2, (spec.width + 1) // 2)
        return self.add(f"{spec.name}.pool", nir.Threshold(np.full(size, 0.5)), added)

    def merge(self, name: str, x: tuple[str, ...], spikes: tuple[str, ...]) -> tuple[str, ...]:
        """The residual stream with a layer's spikes: several edges add up; an OR is a threshold behind them."""
        if self.shape.residual == "add":
            return (*x, *spikes)
        size = (self.shape.embed_dim, *self.shape.grid)
        return self.add(name, nir.Threshold(np.full(size, 0.5)), (*x, *spikes))

    def head(self, x: tuple[str, ...]) -> None:
        head, grid = self.network.head, np.array(self.shape.grid)
        summed = self.add("head.sum", nir.SumPool2d(kernel_size=grid, stride=grid, padding=np.array([0, 0])), x)
        size = {"input": np.array([self.shape.embed_dim, 1, 1])}
        flat = self.add("head.flat", nir.Flatten(input_type=size, start_dim=0, end_dim=-1), summed)
        weight = head.weight.detach().double().numpy() / self.shape.tokens
        logits = self.add("head", nir.Affine(weight=weight, bias=head.bias.detach().double().numpy()), flat)
        self.add("output", nir.Output(output_type={"output": np.array([self.shape.classes])}), logits)


def _size(spec: LayerSpec) -> tuple[int, int, int]:
    return (spec.outputs if spec.name != "head" else spec.inputs, spec.height, spec.width)


def _conv(spec: LayerSpec, weight: np.ndarray, bias: np.ndarray) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=(spec.height, spec.width),
        weight=weight,
        stride=1,
        padding=spec.kernel // 2,
        dilation=1,
        groups=1,
        bias=bias,
    )


@dataclass(frozen=True)
class _Synapse:
    """Weights `[K, C, 3, 3]` and offsets of a convolution, for neurons that fire at the chain's `theta`."""

    weight: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Chain:
    """A graph as a network of this project without blocks: convolutions with neurons and pools, perhaps a residual
    position embedding, and a linear head on the mean over all places."""

    size: tuple[int, int, int]
    stem: tuple[_Synapse, ...]
    pools: tuple[int, ...]
    rpe: _Synapse | None
    head: tuple[np.ndarray, np.ndarray]
    leak_shift: int
    theta: float

    @property
    def stem_sizes(self) -> tuple[int, ...]:
        """Outputs of each convolution, and the classes behind them."""
        return (*(len(synapse.offset) for synapse in self.stem), len(self.head[1]))


def read_graph(path: str | os.PathLike) -> nir.NIRGraph:
    """A NIR file. `ModelFileError` for whatever `nir` may raise."""
    try:
        return nir.read(str(path))
    except Exception as error:
        raise ModelFileError(f"{path}: not a graph that nir {nir.__version__} reads ({error})") from None


def read_chain(graph: nir.NIRGraph, dt: float) -> Chain:
    """The network that a graph describes in steps of `dt` seconds. `NetworkError` names the first node that has no
    place in a network of this project."""
    return _Reader(graph, dt).chain()


class _Reader:
    def __init__(self, graph: nir.NIRGraph, dt: float):
        self.nodes, self.dt = graph.nodes, dt
        self.after: dict[str, list[str]] = {name: [] for name in graph.nodes}
        self.before: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for source, target in graph.edges:
            self.after[source].append(target)
            self.before[target].append(source)
        self.leak_shift: int | None = None
        self.theta: float | None = None

    def refuse(self, name: str, what: str) -> NetworkError:
        kind = type(self.nodes[name]).__name__
        return NetworkError(f"node {name} ({kind}): {what}")

    def only(self, name: str) -> str:
        """The one node behind a node."""
        if len(self.after[name]) != 1:
            raise self.refuse(name, f"{len(self.after[name])} nodes behind it, this network takes one here")
        (found,) = self.after[name]
        if len(self.before[found]) != 1:
            raise self.refuse(found, "adds up several nodes, which only the position embedding may")
        return found

    def chain(self) -> Chain:
        ends = [[n for n, node in self.nodes.items() if isinstance(node, kind)] for kind in (nir.Input, nir.Output)]
        for names, what in zip(ends, ("Input", "Output"), strict=True):
            if len(names) != 1:
                raise NetworkError(f"{what}: {', '.join(sorted(names)) or 'none'}; the graph must have one")
        (start,) = ends[0]
        size = tuple(int(n) for n in np.ravel(self.nodes[start].input_type["input"]))
        if len(size) != 3:
            raise self.refuse(start, f"shape {list(size)}, it must be [channels, height, width]")
        channels, height, width = size
        stem: list[_Synapse] = []
        pools: list[int] = []
        at, rpe = start, None
        while True:
            behind = self.after[at]
            if stem and len(behind) == 2:
                rpe, at = self.embedding(at, channels, (height, width))
                break
            name = self.only(at)
            node = self.nodes[name]
            if isinstance(node, nir.Conv2d):
                synapse, at = self.convolution(name, channels, (height, width))
                stem.append(synapse)
                channels = len(synapse.offset)
            elif stem and len(stem) - 1 not in pools and self.pooled(node):
                at = self.pool(name)
                pools.append(len(stem) - 1)
                height, width = (height + 1) // 2, (width + 1) // 2
            elif stem:
                at = name
                break
            else:
                raise self.refuse(name, "the network begins with a 3x3 convolution")
        head = self.head(at, channels, (height, width))
        assert self.leak_shift is not None
        assert self.theta is not None
        return Chain(size, tuple(stem), tuple(pools), rpe, head, self.leak_shift, self.theta)

    def convolution(self, name: str, channels: int, grid: tuple[int, int]) -> tuple[_Synapse, str]:
        """A convolution with the neurons behind it, and their name."""
        node = self.nodes[name]
        weight, bias = self.numbers(name, node.weight), self.numbers(name, node.bias)
        given = [self.pair(getattr(node, key)) for key in ("stride", "dilation")]
        padding = node.padding if isinstance(node.padding, str) else self.pair(node.padding)
        kernel = weight.shape[2:]
        same = padding in ("same", (kernel[0] // 2, kernel[-1] // 2))
        if kernel not in ((3, 3), (1, 1)) or given != [(1, 1), (1, 1)] or not same or int(node.groups) != 1:
            raise self.refuse(name, "must be 3x3 with padding 1, or 1x1, of stride, dilation and groups 1")
        if weight.shape[1] != channels:
            raise self.refuse(name, f"{weight.shape[1]} inputs, {channels} arrive")
        if kernel == (1, 1):
            weight = np.pad(weight, ((0, 0), (0, 0), (1, 1), (1, 1)))
        lif = self.only(name)
        scale, offset = self.neurons(lif, len(weight))
        return _Synapse(weight * scale[:, None, None, None], bias * scale + offset), lif

    def neurons(self, name: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """What the weights must be scaled by, and what is added to the bias, for the neurons of a layer to be ours,
        with one threshold for all layers."""
        node = self.nodes[name]
        if not isinstance(node, nir.LIF):
            raise self.refuse(name, "behind a convolution stand LIF neurons")
        values = {}
        for key in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
            value = self.numbers(name, getattr(node, key))
            if value.size not in (1, channels) and value.shape[0] != channels:
                raise self.refuse(name, f"{key} has shape {list(value.shape)}, {channels} channels arrive")
            rows = np.repeat(value.reshape(1, 1), channels, 0) if value.size == 1 else value.reshape(channels, -1)
            if (rows != rows[:, :1]).any():
                raise self.refuse(name, f"{key} differs from place to place, it must be one of each channel")
            values[key] = rows[:, 0]
        steps = values["tau"] / self.dt
        shift = round(float(np.log2(steps[0]))) if steps[0] > 0 else 0
        if not 1 <= shift <= 4 or not np.allclose(steps, 2.0**shift, rtol=1e-5):
            raise self.refuse(name, f"tau is {steps[0]:g} steps of {self.dt:g} s, it must be 2, 4, 8 or 16")
        if self.leak_shift not in (None, shift):
            before = 2 ** (self.leak_shift or 0)
            raise self.refuse(name, f"tau is {2**shift} steps, that of the neurons before {before}")
        self.leak_shift = shift
        if (values["v_leak"] != values["v_reset"]).any():
            raise self.refuse(name, "v_leak must be v_reset: neurons rest where they are reset to")
        # fires where v >= the next number above, in float32
        above = np.nextafter(values["v_threshold"].astype(np.float32), np.float32(np.inf)).astype(float)
        theta = above - values["v_reset"]
        if (theta <= 0).any():
            raise self.refuse(name, "v_threshold must be above v_reset")
        self.theta = float(theta[0]) if self.theta is None else self.theta
        gain = values["r"] / 2.0**shift
        if (gain == 0).any():
            raise self.refuse(name, "r must not be 0")
        ratio = self.theta / theta
        return gain * ratio, np.zeros(channels)

    def pooled(self, node: nir.NIRNode) -> bool:
        return isinstance(node, nir.SumPool2d) and self.pair(node.kernel_size) == (3, 3)

    def pool(self, name: str) -> str:
        """A sum over 3x3 and a threshold that one spike passes."""
        if (self.pair(self.nodes[name].stride), self.pair(self.nodes[name].padding)) != ((2, 2), (1, 1)):
            raise self.refuse(name, "a pool has stride 2 and padding 1")
        found = self.only(name)
        node = self.nodes[found]
        if not isinstance(node, nir.Threshold) or not ((node.threshold >= 0) & (node.threshold < 1)).all():
            raise self.refuse(found, "behind a sum over 3x3 stands a threshold in 0..1: a maximum of spikes")
        return found

    def embedding(self, at: str, channels: int, grid: tuple[int, int]) -> tuple[_Synapse, str]:
        """The residual convolution beside the stream, and the node that adds both up."""
        names = self.after[at]
        convolutions = [name for name in names if isinstance(self.nodes[name], nir.Conv2d)]
        if len(convolutions) != 1:
            raise self.refuse(at, "two nodes behind it: one must be a convolution, of a position embedding")
        (sums,) = set(names) - set(convolutions)
        synapse, lif = self.convolution(convolutions[0], channels, grid)
        if len(synapse.offset) != channels or self.after[lif] != [sums] or len(self.before[sums]) != 2:
            raise self.refuse(sums, "must add up the stream and the position embedding, and nothing else")
        return synapse, sums

    def head(self, name: str, channels: int, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Weights on the mean over all places, and biases."""
        node, factor = self.nodes[name], 1.0
        if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            if self.pair(node.kernel_size) != grid or self.pair(node.padding) != (0, 0):
                raise self.refuse(name, f"before the head, a sum or mean over all {grid[0]}x{grid[1]} places")
            factor = float(grid[0] * grid[1]) if isinstance(node, nir.SumPool2d) else 1.0
            name = self.only(name)
            node = self.nodes[name]
        elif grid != (1, 1):
            raise self.refuse(name, f"before the head, a sum or mean over all {grid[0]}x{grid[1]} places")
        if isinstance(node, nir.Flatten):
            name = self.only(name)
            node = self.nodes[name]
        if not isinstance(node, nir.Affine | nir.Linear):
            raise self.refuse(name, "the head is linear")
        weight = self.numbers(name, node.weight)
        bias = self.numbers(name, node.bias) if isinstance(node, nir.Affine) else np.zeros(len(weight))
        if weight.shape[1] != channels:
            raise self.refuse(name, f"{weight.shape[1]} inputs, {channels} arrive")
        last = self.only(name)
        if not isinstance(self.nodes[last], nir.Output):
            raise self.refuse(last, "behind the head comes the output: it has no neurons")
        return weight * factor, bias

    def numbers(self, name: str, value: Any) -> np.ndarray:
        found = np.atleast_1d(np.asarray(value))
        if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
            raise self.refuse(name, "its numbers must be real and finite")
        return found.astype(np.float64)

    @staticmethod
    def pair(value: Any) -> tuple[int, int]:
        found = np.ravel(np.asarray(value))
        return (int(found[0]), int(found[-1]))


def fill(
    chain: Chain, *, network: Network, config: TrainingConfig, one: float, mean: Any, deviation: Any
) -> FloatNetwork:
    """The float network of a chain, whose inputs were normalized as `import_spikformer` has it."""
    found = FloatNetwork(network=network, config=config)
    with torch.no_grad():
        for name, synapse in [*((f"stem.{i}", part) for i, part in enumerate(chain.stem)), ("rpe", chain.rpe)]:
            layer = found.synapse(name)
            if synapse is None:
                layer.weight.zero_()
                layer.gamma.zero_()
                continue
            weight, offset = torch.from_numpy(synapse.weight), torch.from_numpy(synapse.offset)
            if name == "stem.0":
                weight = weight / torch.tensor(deviation, dtype=torch.float64)[:, None, None]
                offset = offset - (weight.sum((2, 3)) * torch.tensor(mean, dtype=torch.float64)).sum(1)
                weight = weight / one
            layer.weight.copy_(weight)
            layer.beta.copy_(offset)
            layer.variance.fill_(1.0 - EPSILON)
        found.head.weight.copy_(torch.from_numpy(chain.head[0]))
        found.head.bias.copy_(torch.from_numpy(chain.head[1]))
    return found.eval()
