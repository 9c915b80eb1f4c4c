# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""NIR files: what is written means the network's spikes, by an interpreter of NIR's equations that is written out
here; what is read back is the same network; what snnTorch writes runs as it does there; the rest is refused by
name."""

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from float_networks import batch, build
from snntorch.export_nir import export_to_nir
from torch.nn import functional
from typer.testing import CliRunner

from ds2ta.commands.main import app
from ds2ta.errors import Ds2taError, ModelFileError, NetworkError
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ds2ta.golden.training.nirfile import DT, fill, read_chain, read_graph, to_graph, write_graph
from ds2ta.golden.training.recipe import TrainingConfig

FLAT = {"depth": 0, "nsad": False, "window": 1}


def lively(**changes):
    """A float64 network whose neurons fire, with gains of both signs."""
    network = build(seed=2, config={"initial_tau": 1.0, **changes.pop("config", {})}, **changes).train()
    with torch.no_grad():
        for seed in range(5):
            network(batch(network, 32, seed=seed))
        for synapse in network.synapses.values():
            synapse.gamma[::3] *= -1.0
            synapse.beta.add_(0.2)
    return network.double().eval()


def interpreted(graph: nir.NIRGraph, inputs: dict[str, torch.Tensor], dt: float) -> dict[str, torch.Tensor]:
    """Outputs `[T, B, ...]` of every node, from those of the Input nodes, by NIR's equations in steps of dt."""
    before = {name: [source for source, target in graph.edges if target == name] for name in graph.nodes}
    order, left = [], dict(graph.nodes)
    while left:
        ready = [name for name in left if all(source in order for source in before[name])]
        order += ready
        left = {name: node for name, node in left.items() if name not in ready}
    found = dict(inputs)
    for name in order:
        node = graph.nodes[name]
        if name in found:
            continue
        x = sum(found[source] for source in before[name])
        if isinstance(node, nir.Conv2d):
            weight, bias = (torch.from_numpy(np.asarray(value)).double() for value in (node.weight, node.bias))
            y = functional.conv2d(x.flatten(0, 1), weight, bias, padding=int(node.padding[0]))
        elif isinstance(node, nir.SumPool2d):
            kernel, stride, padding = (tuple(map(int, v)) for v in (node.kernel_size, node.stride, node.padding))
            y = functional.avg_pool2d(x.flatten(0, 1), kernel, stride, padding, divisor_override=1)
        elif isinstance(node, nir.Flatten):
            y = x.flatten(0, 1).flatten(1)
        elif isinstance(node, nir.Affine):
            y = x.flatten(0, 1) @ torch.from_numpy(node.weight).T + torch.from_numpy(node.bias)
        elif isinstance(node, nir.Threshold):
            y = (x > torch.from_numpy(node.threshold)).double().flatten(0, 1)
        elif isinstance(node, nir.Scale):
            y = (x * torch.from_numpy(node.scale)).flatten(0, 1)
        elif isinstance(node, nir.Delay):
            late = round(float(np.ravel(node.delay)[0]) / dt)
            y = torch.cat([torch.zeros_like(x[:late]), x[:-late] if late else x])[: len(x)].flatten(0, 1)
        elif isinstance(node, nir.LIF):
            tau, r, leak, threshold, reset = (
                torch.from_numpy(value) for value in (node.tau, node.r, node.v_leak, node.v_threshold, node.v_reset)
            )
            v, spikes = reset.clone(), []
            for current in x:
                v = v + dt / tau * (leak - v + r * current)
                spikes.append((v > threshold).double())
                v = torch.where(v > threshold, reset, v)
            y = torch.cat(spikes)
        else:
            assert isinstance(node, nir.Output)
            y = x.flatten(0, 1)
        found[name] = y.unflatten(0, x.shape[:2])
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"residual": "or"},
        {"leak_shift": 2, "config": {"firing_threshold": 0.1}},
        FLAT,
        FLAT | {"input": {"kind": "frames", "channels": 2, "height": 6, "width": 5, "bits": 3}},
    ],
)
def test_what_is_written_means_the_spikes(tmp_path, changes):
    network = lively(**changes)
    write_graph(network, tmp_path / "x.nir")
    graph = nir.read(str(tmp_path / "x.nir"))
    samples, trace = batch(network, 6, seed=9), {}
    with torch.no_grad():
        logits = network(samples, trace=trace)
    steps, grid = network.network.time_steps, network.network.grid
    x = samples.double()
    inputs = {"input": x.transpose(0, 1) if x.ndim == 5 else x.expand(steps, *x.shape)}

    def planes(name: str) -> torch.Tensor:
        value = trace[name].transpose(0, 1).double()
        return value if value.ndim == 5 else value.transpose(2, 3).unflatten(3, grid)

    for block in range(network.network.depth):  # where the graph is cut
        inputs[f"block.{block}.attn"] = planes(f"block.{block}.attn")
    found = interpreted(graph, inputs, float(graph.metadata["dt"]))
    compared = [name for name in trace if f"{name}.lif" in found]
    assert len(compared) == len(network.network.layers()) - 1
    for name in compared:
        assert torch.equal(found[f"{name}.lif"], planes(name)), name
        assert 0 < planes(name).mean() < 1, name
    for block in range(network.network.depth):
        for part in "qkv":
            assert torch.equal(found[f"block.{block}.{part}"], planes(f"block.{block}.{part}"))
    torch.testing.assert_close(found["output"].mean(0), logits)


@pytest.mark.parametrize("leak_shift", [1, 3])
def test_a_chain_goes_there_and_back(tmp_path, leak_shift):
    """Written, read by `nir`, imported by the command, written again: the same spikes, and the same graph."""
    network = lively(**FLAT, leak_shift=leak_shift, config={"firing_threshold": 0.25 / leak_shift}).float()
    state = tmp_path / "state.safetensors"
    save_checkpoint(Checkpoint(network, {"epochs": 1, "seconds": 0.0}), state)
    line = ["export-nir", str(state), str(tmp_path / "x.nir")]
    assert CliRunner().invoke(app, line).exit_code == 0
    said = "--data-set cifar10 --bits 4 --steps 4 --one 1 --mean 0 --deviation 1 --dt 1e-4 --name probe"
    line = ["import", str(tmp_path / "x.nir"), str(tmp_path / "back.safetensors"), *said.split()]
    done = CliRunner().invoke(app, line)
    assert (done.exit_code, done.exception) == (0, None)
    again = load_checkpoint(tmp_path / "back.safetensors").network
    sizes = {"heads": 1, "hidden_dim": 4, "denoiser_bits": 8}
    assert again.network == network.network.model_copy(update=sizes)
    samples = batch(network, 16, seed=9)
    traces: list[dict] = [{}, {}]
    with torch.no_grad():
        logits = [
            each.double().eval()(samples, trace=trace) for each, trace in zip((network, again), traces, strict=True)
        ]
    for name in traces[0]:
        assert torch.equal(traces[0][name], traces[1][name]), name
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-6)
    one, other = to_graph(network), to_graph(again)
    assert set(one.edges) == set(other.edges)
    np.testing.assert_allclose(one.nodes["stem.1"].weight, other.nodes["stem.1"].weight, rtol=1e-6)


def of_snntorch(**settings):
    """A network of snnTorch that its own exporter can write, and the exported graph."""
    torch.manual_seed(1)

    def leaky(channels: int):
        ones = torch.ones(channels, 8, 8)  # for scalars its exporter gives shapes that nir refuses
        kept = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False} | settings
        return snn.Leaky(beta=ones * 0.5, threshold=ones * 0.75, **kept)

    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        leaky(4),
        torch.nn.Conv2d(4, 8, 3, padding=1),
        leaky(8),
        torch.nn.AvgPool2d((8, 8)),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )
    with torch.no_grad():
        network[0].weight.mul_(3)
        network[2].weight.mul_(4)
    graph = export_to_nir(network, torch.rand(2, 1, 8, 8), ignore_dims=[0])
    for module in network[1], network[3]:
        module.reset_mem()
    return network, graph


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")  # snnTorch's own call
def test_a_file_of_snntorch(tmp_path):
    """Its neurons, set to 0 in the step in which they fire, and ours: the same logits at every step."""
    theirs, graph = of_snntorch()
    nir.write(str(tmp_path / "s.nir"), graph)
    chain = read_chain(read_graph(tmp_path / "s.nir"), 1e-4)
    network = build(
        depth=0,
        nsad=False,
        window=1,
        input={"kind": "image", "channels": 1, "height": 8, "width": 8, "bits": 5},
        stem=[{"channels": 4}, {"channels": 8}],
        embed_dim=8,
        heads=1,
        classes=10,
        denoiser_bits=8,
    ).network
    config = TrainingConfig(firing_threshold=chain.theta / 2, least_gain=0.0)
    ours = fill(chain, network=network, config=config, one=16.0, mean=[0.0], deviation=[1.0])
    samples = torch.randint(0, 17, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = torch.stack([theirs(samples.float() / 16.0) for _ in range(4)])
        found = ours.eval()(samples, by_step=True)
    assert (wanted[1:] != wanted[:-1]).any()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def refusals() -> dict:
    """Changes of a graph that has a place here, and the message that each is refused with."""

    def set_(name: str, key: str, value):
        return lambda graph: setattr(graph.nodes[name], key, value)

    def put(name: str, node):
        return lambda graph: graph.nodes.__setitem__(name, node)

    ones = np.ones((6, 6, 5))
    cuba = nir.CubaLIF(tau_syn=ones, tau_mem=ones, r=ones, v_leak=ones, v_threshold=ones, w_in=ones)
    uneven = ones * 2 * DT
    uneven[0, 0, 0] = 4 * DT
    return {
        "kind": (put("stem.0.lif", cuba), "node stem.0.lif (CubaLIF): behind a convolution stand LIF neurons"),
        "stride": (set_("stem.1", "stride", (2, 2)), "node stem.1 (Conv2d): must be 3x3 with padding 1, or 1x1"),
        "groups": (set_("stem.0", "groups", 2), "node stem.0 (Conv2d): must be 3x3"),
        "tau": (
            set_("rpe.lif", "tau", np.ones((16, 3, 3)) * 3 * DT),
            "node rpe.lif (LIF): tau is 3 steps of",
        ),
        "other tau": (
            set_("stem.1.lif", "tau", np.ones((16, 3, 3)) * 4 * DT),
            "node stem.1.lif (LIF): tau is 4 steps, that of the neurons before 2",
        ),
        "places": (set_("stem.0.lif", "tau", uneven), "node stem.0.lif (LIF): tau differs from place to place"),
        "leak": (set_("stem.0.lif", "v_leak", ones), "node stem.0.lif (LIF): v_leak must be v_reset"),
        "low": (
            set_("stem.0.lif", "v_threshold", -ones),
            "node stem.0.lif (LIF): v_threshold must be above",
        ),
        "nan": (
            set_("stem.1", "bias", np.full(16, np.nan)),
            "node stem.1 (Conv2d): its numbers must be real and finite",
        ),
        "maximum": (
            set_("stem.0.pool", "threshold", np.full((6, 3, 3), 1.5)),
            "node stem.0.pool (Threshold): behind a sum over 3x3 stands a threshold in 0..1",
        ),
        "head": (put("head", nir.LI(tau=ones, r=ones, v_leak=ones)), "node head (LI): the head is linear"),
        "edge": (
            lambda graph: graph.edges.append(("input", "stem.1")),
            "node input (Input): 2 nodes behind it, this network takes one here",
        ),
        "recurrent": (
            lambda graph: graph.edges.append(("stem.0.lif", "stem.0")),
            "node stem.0 (Conv2d): adds up several nodes",
        ),
    }


@pytest.mark.parametrize("kind", refusals())
def test_what_has_no_place_is_refused_by_name(kind):
    graph = to_graph(build(seed=2, **FLAT))
    read_chain(graph, DT)
    change, told = refusals()[kind]
    change(graph)
    with pytest.raises(NetworkError) as refused:
        read_chain(graph, DT)
    assert told in str(refused.value)


def test_a_cut_network_is_refused():
    with pytest.raises(NetworkError, match=r"Input: block.0.attn, block.1.attn, input; the graph must have one"):
        read_chain(to_graph(build(seed=2)), DT)


def test_files_that_are_no_graphs(tmp_path):
    path = tmp_path / "x.nir"
    write_graph(build(seed=2, **FLAT), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError, match=r"not a graph that nir 1.0.8 reads"):
        read_graph(path)
    done = CliRunner().invoke(app, ["import", str(path), str(tmp_path / "y"), "--bits", "4", "--steps", "4"])
    assert isinstance(done.exception, Ds2taError)
    for option in ("--data-set", "--one", "--mean", "--deviation", "--dt"):
        assert option in str(done.exception)
    for option in ("--heads", "--tau", "--attention-scale"):
        assert option not in str(done.exception)
    assert not (tmp_path / "y").exists()
    with pytest.raises(Ds2taError, match="cannot be written"):
        write_graph(build(seed=2, **FLAT), tmp_path / "none" / "x.nir")
