# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""How a network is trained: everything that the integer model does not need to know."""

from dataclasses import dataclass
from typing import Literal

from ds2ta.checked import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ds2ta.errors import NetworkError
from ds2ta.golden.data.recordings import Recordings
from ds2ta.modelrules import MAX_TAU
from ds2ta.network import Network

__all__ = [
    "Arithmetic",
    "Distillation",
    "EventAugmentation",
    "ImageAugmentation",
    "Phase",
    "Preset",
    "ShortStart",
    "TrainingConfig",
    "adjusted",
    "phases",
]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arithmetic(_Group):
    """Fused neurons (`golden/training/fused.py`): the same function with other roundings, several times faster."""

    compiled: bool = True  # their passes through torch.compile, where there is a compiler
    precision: Literal["float32", "bfloat16"] = "bfloat16"  # of activations and products; weights are float32


class ShortStart(_Group):
    """So many epochs of the float phase see fewer time steps of an image: most of what is learned by then does
    not depend on their number, and their cost is in proportion to it."""

    epochs: int = Field(ge=1)  # after those of the short starts before it
    steps: int = Field(ge=1, le=16)


class ImageAugmentation(_Group):
    """Random changes of images; see `golden/training/augment.py` for the operations."""

    crop: int = Field(4, ge=0)  # largest shift, pixels, black outside
    flip: bool = True  # left to right, every other image
    operations: int = Field(0, ge=0, le=4)  # of RandAugment's kind, on each image
    strength: float = Field(0.3, ge=0, le=1)  # of their full range
    erase: int = Field(0, ge=0)  # side of a square that is made grey
    mixup: float = Field(0.0, ge=0)  # alpha of the beta distribution, 0: off
    cutmix: float = Field(0.0, ge=0)
    mixed: float = Field(1.0, ge=0, le=1)  # share of batches that are mixed, by one or the other


class Distillation(_Group):
    """Learning from a teacher's answers too (Hinton et al. 2015): the loss is `(1 - weight)` times that of the
    labels plus `weight T**2 KL(teacher || student)`, both distributions softened by the temperature T."""

    weight: float = Field(0.5, gt=0, le=1)
    temperature: float = Field(2.0, gt=0, le=100)
    quantized: bool = True  # in the quantized phases as well


class EventAugmentation(_Group):
    """Random changes of event frames, after Li et al. 2022 (neuromorphic data augmentation)."""

    flip: bool = False
    roll: int = Field(3, ge=0)  # largest shift, pixels
    rotation: float = Field(15.0, ge=0)  # degrees
    shear: float = Field(0.15, ge=0)
    erase: int = Field(0, ge=0)  # side of a square without events
    drop: float = Field(0.0, ge=0, lt=1)  # largest share of events that are dropped


class TrainingConfig(BaseModel):
    """Settings of `train`; the structure of the network is `ds2ta.network.Network`. Epochs run in three phases:
    float, quantization-aware, and quantization-aware with frozen batch-norm statistics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | Recordings = "digits"
    seed: int = Field(0, ge=0, lt=1 << 31)
    threads: int = Field(1, ge=1, le=64)

    epochs_float: int = Field(60, ge=1)
    epochs_quantized: int = Field(30, ge=1)
    epochs_frozen: int = Field(10, ge=0)
    batch: int = Field(64, ge=2)
    rate_float: float = Field(4e-3, gt=0)
    rate_quantized: float = Field(1e-3, gt=0)
    rate_frozen: float = Field(1e-4, gt=0)
    shape_rate: float = Field(0.1, gt=0)  # of tau and NSAD, times the rate: b has (s-c)**2 as its lever
    weight_decay: float = Field(0.02, ge=0)
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    step_loss: float = Field(0.0, ge=0, le=1)  # share of the mean loss of single time steps (TET, Deng et al. 2022)
    average: float = Field(0.0, ge=0, lt=1)  # decay of a moving average of the weights, 0: none
    validation: int = Field(0, ge=0)  # training samples that are held out instead of the test samples, to choose on
    validate_every: int = Field(1, ge=1)  # epochs between two looks at them
    sparsity: float = Field(0.0, ge=0)  # weight of the mean share of non-zero spike words, by synaptic work

    shift: float = Field(0.5, ge=0)  # augmentation: pixels, degrees, relative size
    rotation: float = Field(6.0, ge=0)
    zoom: float = Field(0.06, ge=0, lt=1)

    bits: int = Field(4, ge=2, le=8)
    layer_bits: dict[str, int] = Field({})  # exceptions by layer name
    firing_threshold: float = Field(1.0, gt=0)  # of the scaled neuron; theta = tau_m * firing_threshold
    least_gain: float = Field(1e-3, ge=0)  # of batch norm, whose |gamma| counts as no less: so a channel comes back
    surrogate_slope: float = Field(4.0, gt=0)  # of the scaled neuron
    initial_tau: float = Field(4.0, ge=0, le=MAX_TAU)
    max_tau: int = Field(MAX_TAU, ge=0, le=MAX_TAU)  # a lower one keeps the guard bits, and so the neurons, narrow
    tau_sharing: Literal["layer", "qkv"] = "qkv"  # q, k, v one tau each, or one for the three; proj has its own
    initial_denoiser_threshold: float = Field(3.0, ge=0)
    attention_scale: float = Field(0.125, gt=0)  # of Q K^T, folded into the threshold after A x V
    attention_firing: float = Field(0.5, gt=0)

    # groups that small networks do without: absent, training is the plain way
    arithmetic: Arithmetic | None = None
    short_starts: tuple[ShortStart, ...] | None = None  # in order, from the first epoch on
    images: ImageAugmentation | None = None  # instead of shift, rotation and zoom
    events: EventAugmentation | None = None
    distillation: Distillation | None = None

    @model_validator(mode="after")
    def _short_starts_fit(self) -> "TrainingConfig":
        short = sum(start.epochs for start in self.short_starts or ())
        if short > self.epochs_float:
            raise ValueError(f"short_starts take {short} epochs, epochs_float is {self.epochs_float}")
        return self

    def steps_of(self, epoch: int) -> int | None:
        """Time steps of an image in this epoch (from 0, over all phases); None: all that the network has."""
        for start in self.short_starts or ():
            if epoch < start.epochs:
                return start.steps
            epoch -= start.epochs
        return None

    @property
    def fused(self) -> bool:
        return self.arithmetic is not None

    @property
    def compiled(self) -> bool:
        return self.arithmetic is not None and self.arithmetic.compiled

    @property
    def low_precision(self) -> bool:
        return self.arithmetic is not None and self.arithmetic.precision == "bfloat16"

    def attention_threshold(self, leak_shift: int) -> int:
        """Whole threshold of the LIF after A x V, in counts: 8 for tau_m = 2, scale 1/8 and firing at 0.5."""
        return max(1, round(self.attention_firing * 2**leak_shift / self.attention_scale))

    def bits_of(self, layer: str) -> int:
        """Weight bits of one layer."""
        return self.layer_bits.get(layer, self.bits)


@dataclass(frozen=True)
class Preset:
    """A network and how to train it."""

    network: Network
    config: TrainingConfig


def adjusted(config: TrainingConfig, **asked: object) -> TrainingConfig:
    """The recipe with those of the values that are not None, checked. `NetworkError` names the option."""
    asked = {key: value for key, value in asked.items() if value is not None}
    try:
        return TrainingConfig.model_validate(config.model_dump(mode="json") | asked)
    except ValidationError as error:
        first = error.errors()[0]
        raise NetworkError(f"--{first['loc'][0]} {first['input']}: {first['msg'].lower()}") from None


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one optimizer."""

    name: str
    epochs: int
    rate: float
    quantized: bool = True
    frozen_statistics: bool = False


def phases(config: TrainingConfig) -> tuple[Phase, ...]:
    """The phases of a recipe, in order; those without epochs left out."""
    found = (
        Phase("float", config.epochs_float, config.rate_float, quantized=False),
        Phase("quantized", config.epochs_quantized, config.rate_quantized),
        Phase("frozen", config.epochs_frozen, config.rate_frozen, frozen_statistics=True),
    )
    return tuple(phase for phase in found if phase.epochs)
