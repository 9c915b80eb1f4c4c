# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""LIF, TASA and NSAD for training: forward values from the equations, gradients from independent derivations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.golden import slow
from ds2ta.golden.training.lif import Grid, lif
from ds2ta.golden.training.nsad import Denoiser
from ds2ta.golden.training.rounding import round_half_up, round_through
from ds2ta.golden.training.tasa import Tasa


class _Surrogate(torch.autograd.Function):
    """The step with a sigmoid's derivative, on its own: the reference that the fused neuron is compared with."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        s = torch.sigmoid(ctx.slope * ctx.saved_tensors[0])
        return gradient * ctx.slope * s * (1 - s), None


def stepwise(current, threshold, slope, leak_shift):
    """Eq. 2 and 3 step by step under ordinary autograd, no gradient through the reset."""
    V, spikes = torch.zeros_like(current[0]), []
    for step in current:
        U = (1 - 2.0**-leak_shift) * V + step
        s = _Surrogate.apply(U - threshold, slope)
        spikes.append(s)
        V = U * (1 - s.detach())
    return torch.stack(spikes)


@pytest.mark.parametrize("leak_shift", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_lif_equals_stepwise_autograd(steps, leak_shift):
    random = torch.Generator().manual_seed(steps)
    current = (torch.randn(steps, 5, 7, generator=random, dtype=torch.float64) * 2 + 0.5).requires_grad_()
    weight = torch.randn(steps, 5, 7, generator=random, dtype=torch.float64)
    found = lif(current, threshold=2.0, slope=1.5, leak_shift=leak_shift)
    (gradient,) = torch.autograd.grad((found * weight).sum(), current)
    wanted = stepwise(current, 2.0, 1.5, leak_shift)
    (expected,) = torch.autograd.grad((wanted * weight).sum(), current)
    assert 0 < found.mean() < 1
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected)


def test_lif_fires_at_the_threshold_itself():
    spikes = lif(torch.tensor([[2.0, 1.9999]]), threshold=2.0, slope=1.0, leak_shift=1)
    assert spikes.tolist() == [[1.0, 0.0]]


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_lif_on_a_grid_is_the_integer_neuron(leak_shift, seed):
    """The spikes are those of the slow golden model; the real current behind only shapes the gradient."""
    random = torch.Generator().manual_seed(seed)
    steps = torch.randint(-60, 80, (6, 3, 8), generator=random, dtype=torch.float64)
    threshold = torch.randint(1, 90, (8,), generator=random, dtype=torch.float64)
    unit = torch.rand(8, generator=random, dtype=torch.float64) + 0.01
    current = (steps * unit).requires_grad_()
    grid = Grid(steps, threshold, unit)
    found = lif(current, threshold=1.0, slope=1.0, leak_shift=leak_shift, grid=grid)
    wanted, _ = slow.lif(steps.long().numpy(), 0, threshold.long().numpy(), leak_shift)
    assert (found.detach().numpy() == wanted).all()
    found.sum().backward()
    assert (current.grad != 0).any()


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.3, 2.7, 7.0])
@pytest.mark.parametrize("window", [2, 3, 4])
def test_tasa_value_and_gradient(tau, window):
    """Value: the integer sum over 2**G. Gradient in tau: sum_k -k ln2 2**(-tau k) P[t-k], at the rounded tau."""
    P = torch.randint(-9, 10, (5, 2, 3), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    layer = Tasa(window=window, initial_tau=tau).double()
    total = layer(P)
    whole = round(tau)
    exact = slow.tasa(P.long().numpy(), whole, window)
    assert (total.detach().numpy() * 2.0 ** (whole * (window - 1)) == exact).all()
    weight = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    (total * weight).sum().backward()
    expected = sum(
        -lag * math.log(2) * 2.0 ** (-whole * lag) * float((P[:-lag] * weight[lag:]).sum())
        for lag in range(1, window)
    )
    assert float(layer.tau.grad) == pytest.approx(expected, rel=1e-12)


def test_tau_is_clamped_and_windowless_layers_have_none():
    for tau, limit, wanted in [(-3.0, 7, 0), (9.0, 7, 7), (6.4, 7, 6), (6.4, 3, 3)]:
        assert Tasa(window=2, initial_tau=tau, max_tau=limit).whole_tau() == wanted
    plain, P = Tasa(window=1, initial_tau=4.0), torch.ones(3, 2)
    assert not list(plain.parameters())
    assert plain(P) is P


def denoiser(**values) -> Denoiser:
    made = Denoiser(heads=2, head_dim=16, bits=6, initial_threshold=3.0).double()
    with torch.no_grad():
        for name, value in values.items():
            getattr(made, name).copy_(torch.tensor(value))
    return made


def test_denoiser_starts_as_a_thresholded_identity():
    assert denoiser().table().tolist() == [[0.0, 0, 0, *range(4, 17)]] * 2  # strict: s = u = 3 gives 0


def test_denoiser_table_is_the_formula_rounded_half_up():
    made = denoiser(a=[0.5, 1.0], b=[0.1, -0.3], c=[2.0, 5.0], d=[4.0, -8.0], e=[6.0, 3.0], u=[1.5, 0.0])
    for head, table in enumerate(made.table()):
        a, b, c, d, e, u = (float(getattr(made, name)[head].detach()) for name in "abcdeu")
        for s, entry in enumerate(table, start=1):
            value = a * s + b * (s - c) ** 2 + d / (1 + math.exp(s - e)) if s > u else 0.0
            assert entry == min(max(math.floor(value + 0.5), 0), 63)
    assert denoiser(a=[0.5, 100.0], u=[0.0, 0.0]).table()[:, 0].tolist() == [1.0, 63.0]  # 0.5 goes up, 100 is held


def test_denoiser_forward_looks_up_its_table_and_zero_gives_zero():
    made = denoiser(d=[20.0, 30.0], u=[0.0, 2.0])
    score = torch.randint(0, 17, (3, 2, 2, 4, 4), generator=torch.Generator().manual_seed(1)).double()
    table = torch.cat([torch.zeros(2, 1), made.table()], dim=1)
    wanted = torch.stack([table[head][score[:, :, head].long()] for head in range(2)], dim=2)
    torch.testing.assert_close(made(score).detach(), wanted, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert (made(score) == wanted).all()
    assert (wanted[score == 0] == 0).all()


def test_denoiser_gradients():
    """Smooth parameters and the score: finite differences away from the threshold and the clamp. The threshold: the
    negative sigmoid slope times the value it gates."""
    made = denoiser(a=[1.5, 0.7], b=[0.05, 0.1], c=[3.0, 1.0], d=[2.0, 5.0], e=[6.0, 7.0], u=[2.5, 3.5])
    score = torch.tensor([5.0, 7.0, 9.0], dtype=torch.float64).expand(2, 1, 3).clone()
    made.formula(score).sum().backward()
    step = 1e-6
    for name in "abcde":
        parameter = getattr(made, name)
        for head in range(2):
            with torch.no_grad():
                parameter[head] += step
                high = made.formula(score).sum().item()
                parameter[head] -= 2 * step
                low = made.formula(score).sum().item()
                parameter[head] += step
            assert float(parameter.grad[head]) == pytest.approx((high - low) / (2 * step), rel=1e-5), name
    for head in range(2):
        a, b, c, d, e, u = (float(getattr(made, name)[head].detach()) for name in "abcdeu")
        expected = 0.0
        for s in (5.0, 7.0, 9.0):
            sigmoid = 1 / (1 + math.exp(-(s - u)))
            expected -= sigmoid * (1 - sigmoid) * (a * s + b * (s - c) ** 2 + d / (1 + math.exp(s - e)))
        assert float(made.u.grad[head]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("b", "inward"), [(-5.0, -1.0), (5.0, 1.0)])
def test_denoiser_can_leave_its_clamp_but_not_go_deeper(b, inward):
    """All entries far below zero, or far above 63: the gradient that leads back in passes, the other does not."""
    score = torch.tensor([8.0, 12.0], dtype=torch.float64).expand(2, 1, 2)
    for sign in (1.0, -1.0):
        made = denoiser(b=[b, b])
        value = made.formula(score)
        assert set(value.flatten().tolist()) == {0.0 if b < 0 else 63.0}
        (value.sum() * inward * sign).backward()
        assert bool((made.b.grad != 0).all()) == (sign > 0)


def test_rounding_passes_gradients():
    x = torch.tensor([1.6, -2.4, 2.0], requires_grad=True)
    y = round_through(x)
    y.sum().backward()
    assert y.tolist() == [2.0, -2.0, 2.0]
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    assert round_half_up(torch.tensor([0.5, 1.5, -0.5, 2.49])).tolist() == [1.0, 2.0, 0.0, 2.0]
