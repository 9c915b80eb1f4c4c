# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What people see in the numbers of a model: classes, pictures or recordings, and where the samples come from.

`docs/model-file.md`, section 7, specifies it. Nothing here changes a logit, so a model's digest leaves it out.
"""

from typing import Literal

from ds2ta.checked import BaseModel, ConfigDict, Field, model_validator

__all__ = ["About", "Events", "Pixels", "SampleOrigin"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Pixels(_Frozen):
    """How a picture becomes a sample: a pixel of brightness v, 0..255, has the value
    `black + (white - black) v / 255`, rounded to nearest."""

    colours: Literal["grey", "rgb"]
    black: int = Field(ge=0, le=255)
    white: int = Field(ge=0, le=255)
    fit: Literal["crop", "pad", "stretch"]

    @property
    def channels(self) -> int:
        return 3 if self.colours == "rgb" else 1

    @model_validator(mode="after")
    def _two_levels(self) -> "Pixels":
        if self.black == self.white:
            raise ValueError(f"black and white: both are {self.black}, they must differ")
        return self


class Events(_Frozen):
    """How a recording of events becomes frames. `microseconds`: of all frames together; None is the whole
    recording."""

    cut: Literal["count", "time"]
    microseconds: int | None = Field(ge=1, le=3_600_000_000)
    sensor_height: int = Field(ge=1, le=4096)
    sensor_width: int = Field(ge=1, le=4096)

    @model_validator(mode="after")
    def _time_has_a_span(self) -> "Events":
        if self.cut == "count" and self.microseconds is not None:
            raise ValueError(f"microseconds: {self.microseconds} with runs of equal count, it must be null")
        return self


class SampleOrigin(_Frozen):
    """Where the samples of a file come from; `pass_on`: whether their licence lets them be passed on, None where it
    does not say."""

    source: str = Field(min_length=1, max_length=200)
    licence: str = Field(min_length=1, max_length=200)
    pass_on: bool | None


class About(_Frozen):
    """All of it; what is not known is left out. `classes` has a name for each class, or none at all."""

    classes: tuple[str, ...] = ()
    pixels: Pixels | None = None
    events: Events | None = None
    samples: SampleOrigin | None = None

    def class_name(self, number: int) -> str | None:
        """The name of a class, where there are names."""
        return self.classes[number] if self.classes else None
