"""How empty the attention map is, before and after NSAD, and what that saves: the paper's table 3 for any model.

Operations are the additions of A x V in one block and one sample: dense, each of the T N N entries of a head adds
to d sums, so `T N N D` in all. The energy is the paper's `E_AC * operations * (1 - sparsity)`; it states neither
constant nor count. Ours: E_AC = 0.9 pJ, a 32-bit addition in 45 nm at 0.9 V (Horowitz, ISSCC 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ds2ta.golden.integer import CHUNK, IntegerNetwork
from ds2ta.modelfile import IntegerModel

__all__ = ["E_AC", "BlockSparsity", "attention_sparsity"]

E_AC = 0.9e-12  # joules


@dataclass(frozen=True)
class BlockSparsity:
    """One block, means over samples."""

    block: int
    score: float  # share of zeros in S
    denoised: float  # share of zeros in A
    operations: int  # dense, a sample

    @property
    def energy_before(self) -> float:
        """Joules a sample, with the map as it is without NSAD."""
        return E_AC * self.operations * (1.0 - self.score)

    @property
    def energy_after(self) -> float:
        """The same with the denoised map."""
        return E_AC * self.operations * (1.0 - self.denoised)


def attention_sparsity(model: IntegerModel, samples: np.ndarray | Sequence) -> list[BlockSparsity]:
    """A row for each block, exact counts of the integer model on `samples`."""
    network, runner = model.network, IntegerNetwork(model)
    zeros = np.zeros((network.depth, 2), np.int64)
    for start in range(0, len(samples), CHUNK):
        taps = runner.run(samples[start : start + CHUNK], taps=True)
        for block in range(network.depth):
            for column, name in enumerate(("score", "denoised")):
                zeros[block, column] += int((taps[f"block.{block}.{name}"] == 0).sum())
    entries = network.time_steps * network.heads * network.tokens**2
    shares = zeros / (entries * len(samples))
    return [
        BlockSparsity(
            block=block,
            score=float(shares[block, 0]),
            denoised=float(shares[block, 1]),
            operations=entries * network.head_dim,
        )
        for block in range(network.depth)
    ]
