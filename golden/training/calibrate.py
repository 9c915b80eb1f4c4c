# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Post-training quantization: the weights of a float network brought to few bits by what some training samples
show, without training.

Layers are settled one after another in running order, each on what really arrives from the quantized layers before
it. The covariance C of a layer's inputs, as its temporal window sums them, is all that the error of its currents
depends on: whole weights q with the scale s stand for the weights w with the mean square error (s q - w)' C (s q
- w). For each output channel (for the head, for all together) the scale with the least error is taken of a grid;
then weights of q move by one, always the one that helps most, until none does.

Batch-norm statistics are then estimated anew: those with which the normalized currents of s q have the mean and the
deviation, over the samples, that the float network's own have over the same samples. (Plain statistics of the
samples would also undo what training knew and the samples do not show: augmentation, epochs of fewer time steps.)
The head's mean error goes into its bias.

What results are weights on the grid of the exported integers, which quantizing again does not round.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch.nn import functional

from ds2ta.errors import DataError
from ds2ta.golden.data.sets import spread
from ds2ta.golden.training.float_network import FloatNetwork, Head
from ds2ta.golden.training.synapse import EPSILON, SpikingSynapse
from ds2ta.golden.training.tasa import Tasa

__all__ = ["SAMPLES", "calibrated", "least_error"]

SAMPLES = 512
RATIOS = torch.linspace(1.0, 0.3, 36, dtype=torch.float64)  # scales, of the one that clips nothing
LARGEST_BYTES = 1 << 30  # of the activations of one layer, in float32: fewer samples for larger networks
AT_ONCE = 32  # samples whose inner values are held together

Report = Callable[[int, int, str], None]
Layer = SpikingSynapse | Head
Visit = Callable[[str, Layer, torch.Tensor, Tasa], None]
#: Means by channel, and variances or covariances.
Moments = tuple[torch.Tensor, torch.Tensor]


def calibrated(
    network: FloatNetwork, samples: np.ndarray, *, bits: int, count: int = SAMPLES, report: Report | None = None
) -> tuple[FloatNetwork, int]:
    """A copy of a float network for weights of so many bits, and the number of samples, at most `count` of
    `samples`, that it was calibrated on. `report` is told layers done, all, and the name of the present one."""
    shape = network.network
    largest = max(spec.outputs * spec.height * spec.width for spec in shape.layers()[:-1])
    count = max(1, min(count, LARGEST_BYTES // (4 * shape.time_steps * largest)))
    if not len(samples):
        raise DataError("calibration needs training samples, and the data set has none")
    chosen = torch.from_numpy(samples[spread(len(samples), count)])
    config = network.config.model_copy(update={"bits": bits, "layer_bits": {}, "arithmetic": None})
    names = [spec.name for spec in shape.layers()]
    tell = report or _silent
    wanted: dict[str, Moments] = {}

    def observe(name: str, layer: Layer, x: torch.Tensor, tasa: Tasa) -> None:
        tell(names.index(name), 2 * len(names), f"float {name}")
        if isinstance(layer, Head):
            wanted[name] = _of_logits(layer, x)
        else:
            wanted[name] = _of_currents(layer, x, tasa)

    def settle(name: str, layer: Layer, x: torch.Tensor, tasa: Tasa) -> None:
        tell(len(names) + names.index(name), 2 * len(names), name)
        if isinstance(layer, Head):
            _settle_head(layer, x, wanted[name])
        else:
            _settle(layer, x, tasa, wanted[name])

    for visit, quantized in ((observe, False), (settle, True)):
        found = FloatNetwork(network=shape, config=config)
        found.load_state_dict(network.state_dict())
        found.float().eval().quantize(quantized)
        for name in names:
            _visited(found, name, visit)
        with torch.no_grad():
            found(chosen)
    done = FloatNetwork(network=shape, config=config)
    done.load_state_dict(found.state_dict())
    tell(2 * len(names), 2 * len(names), "done")
    return done.eval(), len(chosen)


def _silent(_done: int, _all: int, _name: str) -> None:
    pass


def _visited(network: FloatNetwork, name: str, visit: Visit) -> None:
    """Have a layer visited when its inputs arrive, before it computes its outputs, a few samples at a time."""
    if name == "head":
        head = network.head
        head.register_forward_pre_hook(lambda _, given: visit(name, head, given[0], network.tasa(name)))
        return
    synapse = network.synapse(name)
    whole = synapse.forward

    def forward(x: torch.Tensor, **settings) -> torch.Tensor:
        visit(name, synapse, x, settings["tasa"])
        return torch.cat([whole(part, **settings) for part in x.split(AT_ONCE, dim=1)], dim=1)

    synapse.forward = forward  # type: ignore[method-assign]


def _rows(x: torch.Tensor, synapse: SpikingSynapse, tasa: Tasa) -> torch.Tensor:
    """What each output position sees of inputs `[T, B, ...]`, through the temporal window: `[rows, inputs (x
    9)]`."""
    x = tasa(x)
    if synapse.spec.kernel == 3:
        return functional.unfold(x.flatten(0, 1), 3, padding=1).transpose(1, 2).flatten(0, 1)
    return x.flatten(0, -2)


def _of_currents(synapse: SpikingSynapse, x: torch.Tensor, tasa: Tasa) -> Moments:
    """Mean and variance of each channel's current, with the weights as they are."""
    weight, count, total, square = synapse.weight, 0, torch.zeros(()), torch.zeros(())
    for part in x.split(AT_ONCE, dim=1):
        if synapse.spec.kernel == 3:
            rows = functional.conv2d(tasa(part).flatten(0, 1), weight, padding=1).movedim(1, -1).flatten(0, -2)
        else:
            rows = functional.linear(tasa(part), weight).flatten(0, -2)
        count += len(rows)
        total, square = total + rows.double().sum(0), square + rows.double().square().sum(0)
    mean = total / count
    return mean, (square / count - mean**2).clamp(min=0.0)


def _of_logits(head: Head, x: torch.Tensor) -> Moments:
    logits = functional.linear(x.mean((0, 2)), head.weight, head.bias).double()
    return logits.mean(0), logits.var(0, correction=0)


def _covariance(parts: Iterable[torch.Tensor]) -> Moments:
    """Mean and covariance over the rows of all parts, float64."""
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for rows in parts:
        count += len(rows)
        total = total + rows.double().sum(0)
        square = square + (rows.T @ rows).double()
    mean = total / count
    return mean, square / count - torch.outer(mean, mean)


def _settle(synapse: SpikingSynapse, x: torch.Tensor, tasa: Tasa, wanted: Moments) -> None:
    """Whole weights for one layer, and its statistics."""
    mean, covariance = _covariance(_rows(part, synapse, tasa) for part in x.split(AT_ONCE, dim=1))
    whole, scale = least_error(synapse.weight.flatten(1).double(), covariance, bits=synapse.bits)
    weight = whole * scale[:, None]
    synapse.weight.copy_(weight.view_as(synapse.weight))
    middle, spread = weight @ mean, ((weight @ covariance) * weight).sum(1)
    alive = (spread > 0) & (wanted[1] > 0)
    ratio = torch.where(alive, spread / torch.where(alive, wanted[1], 1.0), 1.0)
    synapse.mean.copy_(middle - (wanted[0] - synapse.mean.double()) * ratio.sqrt())
    synapse.variance.copy_((synapse.variance.double() + EPSILON) * ratio - EPSILON)


def _settle_head(head: Head, x: torch.Tensor, wanted: Moments) -> None:
    mean, covariance = _covariance([x.mean((0, 2))])
    whole, scale = least_error(head.weight.double(), covariance, bits=head.bits, per_channel=False)
    weight = whole * scale[:, None]
    head.weight.copy_(weight)
    head.bias.copy_(wanted[0] - weight @ mean)


def least_error(
    weight: torch.Tensor, covariance: torch.Tensor, *, bits: int, per_channel: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers `[K, n]` within the bits, the largest among them, and their scale `[K]`, that stand for
    `weight` `[K, n]` in float64, with the least error found of their products with inputs of that covariance."""
    top = float((1 << (bits - 1)) - 1)
    largest = weight.abs().amax(1) if per_channel else weight.abs().amax().expand(len(weight))
    largest = torch.where(largest > 0, largest, 1.0)
    best = torch.full((len(weight),), torch.inf, dtype=torch.float64)
    scale, whole = best.clone(), torch.zeros_like(weight)
    for ratio in RATIOS:
        step = (largest * ratio / top)[:, None]
        tried = torch.round(weight / step).clamp(-top, top)
        error = tried * step - weight
        loss = ((error @ covariance) * error).sum(1)
        loss = loss if per_channel else loss.sum().expand(len(loss))
        better = loss < best
        best = torch.where(better, loss, best)
        scale = torch.where(better, step[:, 0], scale)
        whole = torch.where(better[:, None], tried, whole)
    return _moved(whole, weight, scale[:, None], covariance, top), scale


def _moved(
    whole: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, covariance: torch.Tensor, top: float
) -> torch.Tensor:
    """Single numbers moved by one while that lessens the error, in each channel the one that helps most. One number
    at the limit of the bits stays there, since the scale is read from it."""
    whole = whole.clone()
    every = torch.arange(len(whole))
    kept = torch.zeros_like(whole, dtype=torch.bool)
    kept[every, whole.abs().argmax(1)] = True
    pull = (whole * scale - weight) @ covariance
    own = scale**2 * covariance.diagonal()
    for _ in range(whole.shape[1]):
        step = -torch.sign(pull)
        gain = torch.where(kept | ((whole + step).abs() > top), torch.inf, own - 2.0 * scale * pull.abs())
        place = gain.argmin(1)
        moving = gain[every, place] < 0
        if not moving.any():
            break
        moved = torch.where(moving, step[every, place], 0.0)
        whole[every, place] += moved
        pull += (moved[:, None] * scale) * covariance[place]
    return whole
