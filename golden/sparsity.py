# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How empty the attention map is, before and after NSAD, and what that saves: the paper's table 3 for any model.

Operations are the additions of A x V in one block and one sample: dense, each of the T N N entries of a head adds
to d sums, so `T N N D` in all. The energy is the paper's `E_AC * operations * (1 - sparsity)`; it states neither
constant nor count. Ours: E_AC = 0.9 pJ, a 32-bit floating-point addition in 45 nm at 0.9 V (Horowitz, ISSCC 2014),
as is usual for spiking networks. It is a model, nobody has measured it on this hardware.
"""

from dataclasses import dataclass

from ds2ta.golden.operations import Activity
from ds2ta.network import Network

__all__ = ["E_AC", "BlockSparsity", "attention_sparsity"]

E_AC = 0.9e-12  # joules


@dataclass(frozen=True)
class BlockSparsity:
    """One block. `scored` and `kept`: entries of S and of A that are not zero, all samples together."""

    block: int
    samples: int
    entries: int  # of the map, a sample: T heads N N
    head_dim: int
    scored: int
    kept: int

    @property
    def score(self) -> float:
        """Share of zeros in S."""
        return 1.0 - self.scored / (self.entries * self.samples)

    @property
    def denoised(self) -> float:
        """Share of zeros in A."""
        return 1.0 - self.kept / (self.entries * self.samples)

    @property
    def operations(self) -> int:
        """Dense, a sample."""
        return self.entries * self.head_dim

    @property
    def energy_before(self) -> float:
        """Joules a sample, with the map as it is without NSAD."""
        return E_AC * self.operations * (1.0 - self.score)

    @property
    def energy_after(self) -> float:
        """The same with the denoised map."""
        return E_AC * self.operations * (1.0 - self.denoised)


def attention_sparsity(network: Network, activity: Activity) -> list[BlockSparsity]:
    """A row for each block, from the counts of its integer model."""
    return [
        BlockSparsity(
            block=block,
            samples=len(activity.kept),
            entries=network.time_steps * network.heads * network.tokens**2,
            head_dim=network.head_dim,
            scored=int(activity.scored[:, block].sum()),
            kept=int(activity.kept[:, block].sum()),
        )
        for block in range(network.depth)
    ]
