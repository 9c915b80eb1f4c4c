# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The slow golden model's equations: against exact fractions, and against loops over plain integers."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.golden import slow

sums = st.lists(st.integers(-3000, 3000), min_size=1, max_size=12)


@given(sums, st.integers(0, 7), st.integers(1, 4))
def test_tasa_is_the_real_valued_sum_exactly(P: list[int], tau: int, window: int):
    """Eq. 1: sum_m 2^(-tau m) P[t-m] in fractions, on the grid of 2^-G."""
    found = slow.tasa(np.array(P), tau, window)
    for t in range(len(P)):
        real = sum(Fraction(P[t - m], 2 ** (tau * m)) for m in range(window) if t >= m)
        assert Fraction(int(found[t]), 2 ** (tau * (window - 1))) == real


@given(sums, st.integers(0, 7), st.integers(1, 4), st.integers(1, 3))
def test_tasa_is_causal_and_time_invariant(P: list[int], tau: int, window: int, delay: int):
    whole = slow.tasa(np.array(P), tau, window)
    for t in range(1, len(P)):
        assert np.array_equal(slow.tasa(np.array(P[:t]), tau, window), whole[:t])
    delayed = slow.tasa(np.array([0] * delay + P), tau, window)
    assert not delayed[:delay].any()
    assert np.array_equal(delayed[delay:], whole)


@given(sums, st.integers(0, 7))
def test_window_of_one_is_the_plain_sum_whatever_tau(P: list[int], tau: int):
    assert np.array_equal(slow.tasa(np.array(P), tau, 1), P)


@given(st.integers(-(2**40), 2**40), st.integers(1, 4))
def test_leak_is_the_floor_of_the_real_leak(V: int, k: int):
    assert slow.leak(np.int64(V), k) == (Fraction(V) * (1 - Fraction(1, 2**k))).__floor__()
    assert k > 1 or slow.leak(np.int64(V), k) == V >> 1


@settings(max_examples=300)
@given(sums, st.integers(-500, 500), st.integers(1, 2000))
def test_halving_leak_equals_the_real_valued_neuron(drive: list[int], bias: int, threshold: int):
    """tau_m = 2: nested floors. The neuron in exact fractions spikes at the same steps, and U is its floor."""
    s, U = slow.lif(np.array(drive), bias, threshold, 1)
    V = Fraction(0)
    for t, current in enumerate(drive):
        real = V / 2 + current + bias
        assert s[t] == (real >= threshold)
        assert U[t] == real.__floor__()
        V = Fraction(0) if real >= threshold else real


@given(sums, st.integers(1, 4))
def test_slower_leaks_stay_within_their_error(drive: list[int], k: int):
    """Each floor drops less than 1, so a neuron that has not fired is less than 2^k below the real-valued one."""
    _, U = slow.lif(np.array(drive), 0, 10**9, k)
    V = Fraction(0)
    for t, current in enumerate(drive):
        V = V * (1 - Fraction(1, 2**k)) + current
        assert 0 <= V - int(U[t]) < 2**k


@given(st.integers(-100, 100), st.integers(1, 50), st.integers(1, 4))
def test_a_neuron_fires_at_the_threshold_and_not_below(bias: int, threshold: int, k: int):
    drive = np.array([threshold - bias - 1, 0, threshold - bias]).reshape(3, 1)
    s, U = slow.lif(drive[:1], bias, threshold, k)
    assert (s[0, 0], U[0, 0]) == (0, threshold - 1)
    s, U = slow.lif(drive[2:], bias, threshold, k)
    assert (s[0, 0], U[0, 0]) == (1, threshold)


def test_a_spike_resets_to_zero_and_not_by_subtraction():
    s, U = slow.lif(np.array([100, 0, 3, 3]), 0, 4, 1)
    assert s.tolist() == [1, 0, 0, 1]
    assert U.tolist() == [100, 0, 3, 4]


def test_lif_broadcasts_parameters_over_the_last_axes():
    drive = np.arange(24).reshape(2, 3, 2, 2)
    bias, threshold = np.array([0, -5, 7]), np.array([1, 20, 30])
    s, U = slow.lif(drive, bias[:, None, None], threshold[:, None, None], 2)
    for c in range(3):
        one_s, one_U = slow.lif(drive[:, c], int(bias[c]), int(threshold[c]), 2)
        assert np.array_equal(s[:, c], one_s)
        assert np.array_equal(U[:, c], one_U)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_linear_and_convolution_by_hand(seed: int):
    rng = np.random.default_rng(seed)
    T, C, K, H, W = (int(v) for v in rng.integers(1, 5, 5))
    weight, x = rng.integers(-127, 128, (K, C, 3, 3)), rng.integers(0, 256, (T, C, H, W))
    P = slow.convolve(weight.astype(np.int8), x.astype(np.uint8))
    assert P.shape == (T, K, H, W)
    for t, k, y, z in np.ndindex(P.shape):
        total = 0
        for c, i, j in np.ndindex(C, 3, 3):
            if 0 <= y + i - 1 < H and 0 <= z + j - 1 < W:
                total += int(weight[k, c, i, j]) * int(x[t, c, y + i - 1, z + j - 1])
        assert P[t, k, y, z] == total
    flat, rows = weight[:, :, 0, 0], x.reshape(T, C, -1).swapaxes(1, 2)
    P = slow.synapse(flat.astype(np.int8), rows.astype(np.uint8))
    assert P.shape == (T, H * W, K)
    for t, n, k in np.ndindex(P.shape):
        assert P[t, n, k] == sum(int(flat[k, j]) * int(rows[t, n, j]) for j in range(C))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_max_pool_by_hand(height: int, width: int, seed: int):
    s = np.random.default_rng(seed).integers(0, 2, (2, 2, height, width))
    found = slow.max_pool(s)
    assert found.shape == (2, 2, (height + 1) // 2, (width + 1) // 2)
    for t, c, y, x in np.ndindex(found.shape):
        taps = [(2 * y + i, 2 * x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        expected = 0
        for a, b in taps:
            if 0 <= a < height and 0 <= b < width:
                expected |= int(s[t, c, a, b])
        assert found[t, c, y, x] == expected


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 33), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_scores_denoiser_and_attention_by_hand(T: int, N: int, d: int, seed: int):
    rng = np.random.default_rng(seed)
    Q, K, V = rng.integers(0, 2, (3, T, N, d))
    table = rng.integers(0, 256, d)
    S = slow.scores(Q, K)
    A = slow.denoise(S, table)
    Y = slow.attend(A, V)
    for t, i in np.ndindex(T, N):
        query = int("".join(map(str, Q[t, i])), 2)
        row = []
        for j in range(N):
            count = (query & int("".join(map(str, K[t, j])), 2)).bit_count()
            assert S[t, i, j] == count
            row.append(int(table[count - 1]) if count else 0)
        assert A[t, i].tolist() == row
        assert Y[t, i].tolist() == [sum(a for a, v in zip(row, V[t, :, c], strict=True) if v) for c in range(d)]
    assert np.array_equal(slow.scores(K, Q), S.swapaxes(1, 2))


def test_full_match_counts_every_channel():
    ones = np.ones((1, 2, 32), np.uint8)
    assert slow.scores(ones, ones).tolist() == [[[32, 32], [32, 32]]]
    assert slow.denoise(slow.scores(ones, ones), np.arange(32)).max() == 31
    assert not slow.denoise(slow.scores(ones, 0 * ones), np.arange(1, 33)).any()


def test_residual_modes():
    x, s = np.array([0, 1, 2, 3]), np.array([1, 1, 1, 0])
    assert slow.residual(x, s, "add").tolist() == [1, 2, 3, 3]
    assert slow.residual(x & 1, s, "or").tolist() == [1, 1, 1, 1]
    assert slow.residual(0 * x, 0 * s, "or").tolist() == [0, 0, 0, 0]


def test_head_counts_over_time_and_tokens():
    x = np.array([[[1, 0], [2, 5]], [[0, 0], [3, 1]]])  # channel sums 6 and 6
    assert slow.head(x, np.array([[1, -1], [7, 1]]), np.array([4, -40])).tolist() == [4, 8]
