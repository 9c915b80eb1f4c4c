# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The moving average of weights, against a plain loop over numbers."""

import torch
from torch import nn

from ds2ta.golden.training.average import Average


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.register_buffer("mean", torch.tensor([4.0]))
        self.register_buffer("count", torch.tensor(0))


def step(network: Net, index: int) -> None:
    with torch.no_grad():
        network.weight.add_(torch.tensor([0.5, index * 1.0]))
        network.mean.mul_(0.5)
        network.count.add_(1)


def test_it_is_the_average_that_it_says():
    network, decay = Net(), 0.5
    average = Average(network, decay=decay)
    weight, mean = [1.0, -2.0], 4.0
    for index in range(12):
        step(network, index)
        average.follow(network)
        keep = min(decay, (1 + index) / (10 + index))
        weight = [keep * a + (1 - keep) * b for a, b in zip(weight, network.weight.tolist(), strict=True)]
        mean = keep * mean + (1 - keep) * network.mean.item()
    assert (1 + 2) / (10 + 2) < decay < (1 + 11) / (10 + 11)  # both sides of the choice were taken
    assert torch.allclose(average.weights["weight"], torch.tensor(weight))
    assert abs(average.weights["mean"].item() - mean) < 1e-6
    assert average.weights["count"].item() == 12  # whole numbers are not averaged


def test_in_place_and_back():
    network = Net()
    average = Average(network, decay=0.9)
    step(network, 3)
    average.follow(network)
    own = network.weight.detach().clone()
    with average.in_place_of(network):
        assert torch.equal(network.weight, average.weights["weight"])
        assert not torch.equal(network.weight, own)
    assert torch.equal(network.weight, own)
    average.into(network)
    assert torch.equal(network.weight, average.weights["weight"])


def test_it_goes_on_from_where_it_was():
    networks = Net(), Net()
    averages = [Average(network, decay=0.95) for network in networks]
    for index in range(4):
        step(networks[0], index)
        averages[0].follow(networks[0])
    networks[1].load_state_dict(networks[0].state_dict())
    averages[1].restore(averages[0].weights, averages[0].steps)
    for average, network in zip(averages, networks, strict=True):
        step(network, 9)
        average.follow(network)
    assert torch.equal(averages[0].weights["weight"], averages[1].weights["weight"])
