# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Fused neurons against the step-by-step ones: equal spikes, statistics, gradients, in float and on the grid."""

import shlex

import pytest
import torch
from float_networks import batch, build
from torch.nn import functional

from ds2ta.golden.training import fused as passes
from ds2ta.golden.training.fused import Neurons, compiler_found, fire
from ds2ta.golden.training.recipe import Arithmetic

EXACT = Arithmetic(compiled=False, precision="float32")


def pair(**changes):
    """Two networks with equal weights, the second fused."""
    plain = build(seed=3, **changes)
    fused = build(seed=3, config={"arithmetic": EXACT}, **changes)
    fused.load_state_dict(plain.state_dict())
    return plain, fused


def step(network, samples, *, live: bool):
    network.train(live)
    trace = {}
    logits = network(samples, trace=trace)
    labels = torch.arange(len(samples)) % network.network.classes
    functional.cross_entropy(logits, labels).backward()
    return trace, logits, {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "changes",
    [{}, {"window": 1, "residual": "or", "leak_shift": 2}, {"nsad": False, "time_steps": 2}, {"frames": True}],
)
def test_fused_network_equals_the_plain_one(quantized, live, changes):
    changes = dict(changes)
    if changes.pop("frames", False):
        changes["input"] = {"kind": "frames", "channels": 2, "height": 6, "width": 5, "bits": 3}
    plain, fused = (network.quantize(quantized) for network in pair(**changes))
    samples = batch(plain, 16)
    for network in (plain, fused):
        network.train()
        with torch.no_grad():  # running statistics that are not the initial ones
            for _ in range(8):
                network(samples)
            for name, parameter in network.named_parameters():
                if name.endswith("gamma"):
                    parameter[::3] *= -1.0  # signs move into the weights
    one, other = step(plain, samples, live=live), step(fused, samples, live=live)
    alive = [name for name, tap in one[0].items() if 0 < tap.mean() < tap.max()]
    assert len(alive) > len(one[0]) // 2
    for name, tap in one[0].items():
        assert torch.equal(tap, other[0][name]), name
    torch.testing.assert_close(other[1], one[1])
    for name, gradient in one[2].items():
        if gradient is None:
            assert other[2][name] is None
        else:
            torch.testing.assert_close(
                other[2][name], gradient, rtol=2e-3, atol=2e-5 * gradient.abs().max().item() + 1e-7
            )
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_fused_gradients_are_those_of_autograd():
    """Batch norm, window and LIF by ordinary autograd of the equations, in float64 sums."""
    random = torch.Generator().manual_seed(1)
    P = torch.randn(4, 6, 5, generator=random)
    gain, beta = torch.rand(5, generator=random) + 0.5, torch.rand(5, generator=random)
    factors = torch.tensor([0.5, 0.25])
    weight = torch.randn(4, 6, 5, generator=random)
    inputs = [value.requires_grad_() for value in (P, gain, beta, factors)]
    neurons = Neurons(steps=4, theta=0.7, slope=2.0, keep=0.5, epsilon=1e-5)
    spikes, mean, variance = fire(
        P, neurons=neurons, dtype=torch.float32, gain=gain, beta=beta, factors=factors, scale=torch.ones(5)
    )
    found = torch.autograd.grad((spikes * weight).sum(), inputs)

    zero = torch.zeros_like(P[0])
    late = [P[t - m] if t >= m else zero for t in range(4) for m in (1, 2)]
    I = torch.stack([P[t] + factors[0] * late[2 * t] + factors[1] * late[2 * t + 1] for t in range(4)])  # noqa: E741
    torch.testing.assert_close(mean, I.mean((0, 1)))
    torch.testing.assert_close(variance, I.var((0, 1), correction=0))
    current = functional.batch_norm(I.flatten(0, 1), None, None, gain, beta, training=True, eps=1e-5).view_as(I)
    V, total = zero, 0.0
    for t in range(4):
        U = 0.5 * V + current[t]
        soft = torch.sigmoid(2.0 * (U - 0.7))
        fired = (U >= 0.7).float()
        assert torch.equal(fired, spikes[t])
        total = total + ((soft + (fired - soft).detach()) * weight[t]).sum()
        V = U * (1 - fired)
    for one, other in zip(found, torch.autograd.grad(total, inputs), strict=True):
        torch.testing.assert_close(one, other)


def test_bfloat16_is_close_and_its_spikes_are_binary():
    plain, _ = pair()
    low = build(seed=3, config={"arithmetic": Arithmetic(compiled=False)})
    low.load_state_dict(plain.state_dict())
    samples = batch(plain, 32)
    one, other = step(plain, samples, live=True), step(low, samples, live=True)
    assert other[0]["block.0.q"].dtype == torch.bfloat16
    assert other[0]["stem.0.pool"].dtype == torch.bfloat16
    for name, limit in {"stem.1": 0.02, "block.0.q": 0.1}.items():  # differences grow with depth, as in any SNN
        assert set(other[0][name].unique().tolist()) == {0.0, 1.0}
        assert (one[0][name] - other[0][name].float()).abs().mean() < limit, name
    assert torch.equal(one[0]["stem.0"], other[0]["stem.0"].float())  # pixels are never rounded
    head = [found[2]["head.weight"].flatten() for found in (one, other)]
    assert functional.cosine_similarity(*head, dim=0) > 0.9


@pytest.mark.skipif(not compiler_found(), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of torch's own compiler
def test_compiled_passes_are_the_same_functions():
    random = torch.Generator().manual_seed(2)
    P, weight = (torch.randn(3, 40, 16, generator=random) for _ in range(2))
    gain, beta = torch.rand(16, generator=random) + 0.5, torch.rand(16, generator=random)
    inputs = [value.requires_grad_() for value in (P, gain, beta, torch.tensor([0.25]))]
    found = []
    for compiled in (False, True):
        neurons = Neurons(steps=3, theta=0.7, slope=2.0, keep=0.5, epsilon=1e-5, compiled=compiled)
        spikes, mean, _ = fire(
            P,
            neurons=neurons,
            dtype=torch.float32,
            gain=gain,
            beta=beta,
            factors=inputs[3],
            scale=torch.ones(16),
        )
        found.append([spikes, mean, *torch.autograd.grad((spikes * weight).sum(), inputs)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not compiler_found(), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_torch_may_lie_in_a_folder_with_a_space(monkeypatch):
    from torch._inductor.cpp_builder import CppBuilder, CppTorchOptions
    from torch._inductor.cpu_vec_isa import invalid_vec_isa
    from torch.utils import cpp_extension

    monkeypatch.setattr(cpp_extension, "TORCH_LIB_PATH", cpp_extension.TORCH_LIB_PATH)
    monkeypatch.setattr(torch, "__file__", "/of mine/torch/__init__.py")
    passes.compiled_pass(lambda: None, True)
    builder = CppBuilder("name", "name.cpp", CppTorchOptions(vec_isa=invalid_vec_isa))
    assert "-L/of mine/torch/lib" in shlex.split(builder.get_command_line())


def test_a_compiler_that_fails_is_done_without(monkeypatch):
    """As one without Python's headers: the pass runs uncompiled, and says so once."""
    import torch._dynamo.exc

    failure = torch._dynamo.exc.BackendCompilerFailed(None, RuntimeError("Python.h: no such file"), None)

    def compile(function, dynamic):
        def call(*arguments):
            raise failure

        return call

    def double(x):
        return 2.0 * x

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(passes, "compiler_found", lambda: True)
    found = passes.compiled_pass(double, True)
    with pytest.warns(UserWarning, match=r"torch.compile fails, double runs uncompiled: .*raised"):
        assert found(torch.ones(1)).item() == 2.0
    assert found(torch.ones(1)).item() == 2.0  # pytest makes a second warning an error

    def broken(x):
        raise RuntimeError("not of the compiler")

    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    with pytest.raises(RuntimeError, match="not of the compiler"):
        passes.compiled_pass(broken, True)(torch.ones(1))
