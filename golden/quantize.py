# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Float checkpoint to integer model: batch norm folded, tau and denoisers frozen, nothing left to round.

Each channel becomes whole weights, a bias and a threshold in units of `2**-(tau (window-1))` of its own weight
step; a negative batch-norm gain turns the signs of the weights. A channel that can never fire, or fires at every
step, or in any other rhythm that no input changes (interval analysis), is replaced by the smallest numbers that do
the same: this is exact, and keeps the parameter memories narrow.
"""

import copy
from dataclasses import replace

import numpy as np
import torch

from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.intervals import rhythms, widths
from ds2ta.model import IntegerModel, Synapse
from ds2ta.modelrules import MAX_PARAMETER
from ds2ta.network import LayerSpec

__all__ = ["quantize", "settle_channels"]

MAX_BIAS_POWER = 32  # of a bias without inputs: 16 steps of a leak of 1/2 need 15, slower leaks less


def quantize(
    network: FloatNetwork, *, samples: np.ndarray, labels: np.ndarray, provenance: dict | None = None
) -> IntegerModel:
    """The integer model of a trained network, whatever mode the network is in. `samples` and `labels` are a few
    held-out inputs that the file carries for self-tests."""
    exact = copy.deepcopy(network).double().eval()  # folds in float64: the same numbers on every machine
    shape = exact.network
    synapses = {}
    with torch.no_grad():
        for spec in shape.layers()[:-1]:
            synapses[spec.name] = _synapse(exact, spec)
        weight, bias, _ = exact.head.integer()
        synapses["head"] = Synapse(
            spec=shape.layers()[-1],
            weight=_whole(weight, np.int8),
            bias=_whole(bias, np.int64),
            threshold=None,
            bits=exact.head.bits,
        )
        identity = np.tile(np.arange(1, shape.head_dim + 1, dtype=np.uint8), (shape.heads, 1))
        if shape.nsad:
            denoisers = tuple(_whole(exact.denoiser(block).table(), np.uint8) for block in range(shape.depth))
        else:
            denoisers = (identity,) * shape.depth
    model = IntegerModel(
        network=shape,
        synapses=synapses,
        denoisers=denoisers,
        attention_threshold=(exact.attention_threshold,) * shape.depth,
        samples=np.ascontiguousarray(samples, np.uint8),
        labels=np.ascontiguousarray(labels, np.int64),
        provenance=provenance or {},
    )
    return settle_channels(model)


def _whole(tensor: torch.Tensor, dtype: type) -> np.ndarray:
    return tensor.detach().numpy().astype(dtype)


def _synapse(network: FloatNetwork, spec: LayerSpec) -> Synapse:
    layer, tasa = network.synapse(spec.name), network.tasa(spec.name)
    weight, _ = layer.integer_weight()
    folded = layer.running_fold(tasa)
    limit = float(MAX_PARAMETER)
    return Synapse(
        spec=spec,
        weight=_whole(weight * folded.reached.reshape(-1, *(1,) * (weight.ndim - 1)), np.int8),
        bias=_whole(folded.bias.clamp(-limit, limit), np.int64),
        threshold=_whole(folded.threshold.clamp(1.0, limit), np.int64),
        bits=layer.bits,
        tau=tasa.whole_tau(),
        window=tasa.window,
    )


def settle_channels(model: IntegerModel) -> IntegerModel:
    """The same function with the channels that do not depend on their input written in the smallest numbers:
    weights 0 and threshold 1, bias 0 (never fires) or 1 (always fires); weights 0 and the bias and threshold that
    fire first at the same step, where these are smaller than what the channel has."""
    network, synapses = model.network, dict(model.synapses)
    for found in widths(model).layers:
        if found.name != "head":
            leak = model.leak_shift(found.name)
            layer = synapses[found.name]
            synapses[found.name] = _settle(layer, largest=found.largest, steps=network.time_steps, leak_shift=leak)
    return replace(model, synapses=synapses)


def _settle(layer: Synapse, *, largest: int, steps: int, leak_shift: int) -> Synapse:
    weight, bias, threshold = layer.weight.copy(), layer.bias.copy(), layer.firing_threshold.copy()
    spikes, known = rhythms(layer, largest=largest, steps=steps, leak_shift=leak_shift)
    for channel in np.flatnonzero(known):
        train = spikes[:, channel]
        found = _constant(train, leak_shift)
        if found is not None and (train.all() or not train.any() or found[1] < threshold[channel]):
            weight[channel], (bias[channel], threshold[channel]) = 0, found
    return replace(layer, weight=weight, bias=bias, threshold=threshold)


def _constant(train: np.ndarray, leak_shift: int) -> tuple[int, int] | None:
    """The smallest bias and threshold that fire the train, bool `[T]`, without any input; None where there are
    none, since a constant drive fires every so many steps."""
    if not train.any():
        return 0, 1
    every = int(np.argmax(train)) + 1
    if not np.array_equal(train, (np.arange(len(train)) + 1) % every == 0):
        return None
    for bias in (1 << power for power in range(MAX_BIAS_POWER)):
        U = before = 0
        for _ in range(every):
            before, U = U, U - ((U + (1 << leak_shift) - 1) >> leak_shift) + bias
        if before < U:
            return bias, before + 1
    return None
