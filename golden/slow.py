# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The slow golden model: the integer contract, written from the equations, in NumPy int64.

Every expected value in the project's benches comes from here. Nothing is batched, nothing is clever: one
function per equation of the paper, time steps and window taps as visible loops. `docs/integer-contract.md` is
the prose of this file. `x[t]` is the value at time step t; all arrays have time as their first axis.
"""

import numpy as np

from ds2ta.errors import ImageError
from ds2ta.model import IntegerModel, Synapse

__all__ = [
    "attend",
    "check_sample",
    "convolve",
    "denoise",
    "encode",
    "head",
    "leak",
    "lif",
    "max_pool",
    "residual",
    "run",
    "scores",
    "synapse",
    "tasa",
]


def synapse(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Linear layer on each token: `P[t]_k = sum_j W_kj x_j[t]`. weight [K, J], x [T, ..., J] -> P [T, ..., K]."""
    weight, x = np.asarray(weight, np.int64), np.asarray(x, np.int64)
    return x @ weight.T


def convolve(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """3x3 convolution, padding 1, stride 1: `P[t]_k(y, x) = sum_{c,i,j} W_kcij x_c[t](y+i-1, x+j-1)`, zero outside.
    weight [K, C, 3, 3], x [T, C, H, W] -> P [T, K, H, W]."""
    weight, x = np.asarray(weight, np.int64), np.asarray(x, np.int64)
    steps, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    P = np.zeros((steps, weight.shape[0], height, width), np.int64)
    for t in range(steps):
        for i in range(3):
            for j in range(3):
                P[t] += np.tensordot(weight[:, :, i, j], padded[t, :, i : i + height, j : j + width], axes=1)
    return P


def tasa(P: np.ndarray, tau: int, window: int) -> np.ndarray:
    """Temporally attenuated sum (paper, eq. 1, 4 and 5), in units of `2**-G`, `G = tau (window-1)`:
    `I[t] = sum_{m=0}^{window-1} P[t-m] << (tau (window-1-m))`, nothing before step 0. Exact: no bit is dropped."""
    P = np.asarray(P, np.int64)
    I = np.zeros_like(P)  # noqa: E741 (the paper's name)
    for t in range(len(P)):
        for m in range(window):
            if t - m >= 0:
                I[t] += P[t - m] << (tau * (window - 1 - m))
    return I


def leak(V: np.ndarray, leak_shift: int) -> np.ndarray:
    """`floor(V (1 - 2**-k))`, which is `V - ceil(V / 2**k)`."""
    return V - -((-V) >> leak_shift)


def lif(
    I: np.ndarray,  # noqa: E741 (the paper's name)
    bias: np.ndarray | int,
    threshold: np.ndarray | int,
    leak_shift: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Leaky integrate and fire with hard reset (paper, eq. 2 and 3): `U[t] = leak(V[t-1]) + I[t] + B`,
    `s[t] = U[t] >= Theta`, `V[t] = 0 if s[t] else U[t]`, `V[-1] = 0`. `bias` and `threshold` broadcast over the
    axes of I after time. Returns `(s, U)`, both shaped like I."""
    I = np.asarray(I, np.int64)  # noqa: E741
    s, U = np.zeros_like(I), np.zeros_like(I)
    V = np.zeros_like(I[0])
    for t in range(len(I)):
        U[t] = leak(V, leak_shift) + I[t] + bias
        s[t] = U[t] >= threshold
        V = np.where(s[t] == 1, 0, U[t])
    return s, U


def scores(Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Attention scores of one head, `S[t] = Q[t] K[t]^T`: the number of channels in which query i and key j both
    spike. Q, K [T, N, d] -> S [T, N, N], values 0..d."""
    Q, K = np.asarray(Q, np.int64), np.asarray(K, np.int64)
    S = np.zeros((Q.shape[0], Q.shape[1], K.shape[1]), np.int64)
    for t in range(Q.shape[0]):
        for i in range(Q.shape[1]):
            S[t, i] = np.sum(Q[t, i] & K[t], axis=1)
    return S


def denoise(S: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Nonlinear spiking attention denoiser as its frozen table (paper, eq. 6 and 7): `A = table[S-1]`, and 0 for
    a score of 0. table [d]."""
    with_zero = np.concatenate([[0], np.asarray(table, np.int64)])
    return with_zero[S]


def attend(A: np.ndarray, V: np.ndarray) -> np.ndarray:
    """`Y[t] = A[t] V[t]`. A [T, N, N], V spikes [T, N, d] -> Y [T, N, d]."""
    A, V = np.asarray(A, np.int64), np.asarray(V, np.int64)
    return np.stack([A[t] @ V[t] for t in range(len(A))])


def max_pool(s: np.ndarray) -> np.ndarray:
    """3x3 max-pool, stride 2, padding 1; on spikes it is an OR. s [T, C, H, W] -> [T, C, ceil(H/2), ceil(W/2)]."""
    s = np.asarray(s, np.int64)
    steps, channels, height, width = s.shape
    found = np.zeros((steps, channels, (height + 1) // 2, (width + 1) // 2), np.int64)
    for y in range(found.shape[2]):
        for x in range(found.shape[3]):
            taps = s[:, :, max(2 * y - 1, 0) : 2 * y + 2, max(2 * x - 1, 0) : 2 * x + 2]
            found[:, :, y, x] = taps.max(axis=(2, 3))
    return found


def residual(x: np.ndarray, s: np.ndarray, mode: str) -> np.ndarray:
    """`add`: integer sum of the stream and the new spikes; `or`: both stay binary."""
    x, s = np.asarray(x, np.int64), np.asarray(s, np.int64)
    return x + s if mode == "add" else x | s


def head(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """`logit_o = b_o + sum_c W_oc sum_{t,n} x[t][n][c]`. x [T, N, C] -> logits [classes]. The class is the argmax,
    ties to the lowest index."""
    counts = np.asarray(x, np.int64).sum(axis=(0, 1))
    return np.asarray(bias, np.int64) + np.asarray(weight, np.int64) @ counts


def check_sample(model: IntegerModel, sample: np.ndarray) -> np.ndarray:
    """The sample as it came, or `ImageError`: uint8, of `Network.sample_shape`, every value below `2**bits`."""
    network = model.network
    sample = np.asarray(sample)
    if sample.dtype != np.uint8:
        raise ImageError(f"sample: type is {sample.dtype}, {network.name} takes uint8")
    if sample.shape != network.sample_shape:
        raise ImageError(f"sample: shape is {sample.shape}, {network.name} takes {network.sample_shape}")
    if (top := int(sample.max())) >> network.input.bits:
        raise ImageError(f"sample: value {top}, {network.name} takes 0..{(1 << network.input.bits) - 1}")
    return sample


def encode(model: IntegerModel, sample: np.ndarray) -> np.ndarray:
    """Direct encoding: an image is presented at every time step, frames already have a time axis.
    Returns x [T, C, H, W]."""
    sample = check_sample(model, sample).astype(np.int64)
    if model.network.input.kind == "frames":
        return sample
    return np.stack([sample] * model.network.time_steps)


def _tokens(x: np.ndarray) -> np.ndarray:
    """[T, C, H, W] -> [T, N, C], token n = y * W + x."""
    return x.reshape(x.shape[0], x.shape[1], -1).transpose(0, 2, 1)


def run(model: IntegerModel, sample: np.ndarray, inner: bool = False) -> dict[str, np.ndarray]:
    """The trace of one sample, every tensor in running order: `stem.i` and `stem.i.pool` [T, C, H, W]; `rpe`,
    `embed`, and `block.i.` `q k v attn proj x1 fc1 fc2 x2` [T, N, C]; `block.i.score` and `block.i.denoised` [T,
    heads, N, N]; `logits` [classes]. Activations are uint8, the rest int64. `inner` adds `<layer>.sum` (P; Y for
    `block.i.attn`) and `<layer>.membrane` (U before reset; not for the head), shaped like the layer's spikes."""
    network = model.network
    trace: dict[str, np.ndarray] = {}

    def fire(name: str, P: np.ndarray, layer: Synapse, channel_axis: int) -> np.ndarray:
        shape = [1] * (P.ndim - 1)
        shape[channel_axis - 1] = -1
        currents = tasa(P, layer.tau, layer.window)
        bias, threshold = layer.bias.reshape(shape), layer.firing_threshold.reshape(shape)
        s, U = lif(currents, bias, threshold, model.leak_shift(name))
        return keep(name, s, P, U)

    def keep(name: str, s: np.ndarray, P: np.ndarray, U: np.ndarray) -> np.ndarray:
        trace[name] = s.astype(np.uint8)
        if inner:
            trace[f"{name}.sum"], trace[f"{name}.membrane"] = P, U
        return s

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        layer = model.synapses[name]
        return fire(name, synapse(layer.weight, x), layer, channel_axis=2)

    def join(name: str, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        joined = residual(x, s, network.residual)
        trace[name] = joined.astype(np.uint8)
        return joined

    # patch splitter (SPS)
    x = encode(model, sample)
    for index, conv in enumerate(network.stem):
        layer = model.synapses[f"stem.{index}"]
        x = fire(layer.name, convolve(layer.weight, x), layer, channel_axis=1)
        if conv.pool:
            x = max_pool(x)
            trace[f"{layer.name}.pool"] = x.astype(np.uint8)
    rpe = model.synapses["rpe"]
    x, position = _tokens(x), _tokens(convolve(rpe.weight, x))
    x = join("embed", x, fire("rpe", position, rpe, channel_axis=2))

    for block in range(network.depth):
        at = f"block.{block}"
        q, k, v = linear(f"{at}.q", x), linear(f"{at}.k", x), linear(f"{at}.v", x)
        S, A, Y = [], [], []
        for h in range(network.heads):
            part = slice(h * network.head_dim, (h + 1) * network.head_dim)
            S.append(scores(q[:, :, part], k[:, :, part]))
            A.append(denoise(S[h], model.denoisers[block][h]))
            Y.append(attend(A[h], v[:, :, part]))
        trace[f"{at}.score"], trace[f"{at}.denoised"] = np.stack(S, axis=1), np.stack(A, axis=1)
        sums = np.concatenate(Y, axis=2)
        s, U = lif(sums, 0, model.attention_threshold[block], model.leak_shift(f"{at}.attn"))
        attended = keep(f"{at}.attn", s, sums, U)
        x = join(f"{at}.x1", x, linear(f"{at}.proj", attended))
        x = join(f"{at}.x2", x, linear(f"{at}.fc2", linear(f"{at}.fc1", x)))

    last = model.synapses["head"]
    if inner:
        trace["head.sum"] = synapse(last.weight, x)
    trace["logits"] = head(x, last.weight, last.bias)
    return trace
