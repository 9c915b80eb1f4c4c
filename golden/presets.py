"""Named networks with their recipes: what `ds2ta train NAME` makes."""

from dataclasses import dataclass

from ds2ta.golden.recipe import TrainingConfig
from ds2ta.network import InputSpec, Network, StemConv

__all__ = ["PRESETS", "Preset"]

_DIGIT = InputSpec(kind="image", channels=1, height=8, width=8, bits=5)  # pixels are 0..16


@dataclass(frozen=True)
class Preset:
    """A network and how to train it."""

    network: Network
    config: TrainingConfig


def _stem(*channels: int, pool: int) -> tuple[StemConv, ...]:
    return tuple(StemConv(channels=count, pool=index == pool) for index, count in enumerate(channels))


# 16 tokens give smaller sums A V than the paper's 64: scale 1/4 (its event-data setting), not 1/8. Tau is kept
# small because every guard bit widens each neuron, and on digits a wider range of tau gains nothing.
PRESETS = {
    "digits-tiny": Preset(
        network=Network(
            name="digits-tiny",
            input=_DIGIT,
            time_steps=4,
            stem=_stem(4, 8, 16, 32, pool=2),  # 8x8 pixels to 4x4 tokens
            embed_dim=32,
            heads=2,
            depth=1,
            hidden_dim=64,
            window=3,
            residual="or",
        ),
        config=TrainingConfig(
            epochs_float=110,
            epochs_quantized=50,
            epochs_frozen=8,
            batch=32,
            rate_float=0.015,
            rate_quantized=0.004,
            sparsity=0.0,
            initial_tau=2.0,
            max_tau=2,
            initial_denoiser_threshold=1.0,
            attention_scale=0.25,
        ),
    ),
    "digits-small": Preset(
        network=Network(
            name="digits-small",
            input=_DIGIT,
            time_steps=4,
            stem=_stem(8, 16, 32, 64, pool=2),
            embed_dim=64,
            heads=2,
            depth=2,
            hidden_dim=128,
            window=3,
            residual="add",
        ),
        config=TrainingConfig(
            epochs_float=50,
            epochs_quantized=25,
            epochs_frozen=5,
            batch=32,
            rate_float=0.01,
            rate_quantized=0.004,
            sparsity=0.0,
            initial_tau=2.0,
            max_tau=3,
            attention_scale=0.25,
        ),
    ),
}
