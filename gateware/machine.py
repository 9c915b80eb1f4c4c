# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The parameters of one accelerator, with their limits, and the smallest set that holds a given model."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ds2ta.errors import FitError
from ds2ta.hw.bank import SpikeBank
from ds2ta.hw.payloads import MEMORY_BITS
from ds2ta.hw.residual import Residual
from ds2ta.hw.store import single_port_rams_of

__all__ = ["RING_STEP", "Machine", "highest", "machine_from_dict"]

_POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
#: A ring of weights has a multiple of so many rows, whatever the rows of spikes.
RING_STEP = 32


class Machine(BaseModel):
    """One accelerator. The first group of parameters is a choice (speed against area); the second is what the
    models to be run need, computed by `gateware.compiler.fit` from interval analysis, or set larger by hand for a
    machine that loads models at run time.

    Every number is checked against its limit here, once, for all users: generator, compiler, command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # choices
    lanes: int = Field(8, ge=4, le=512, description="output channels computed at once (P), multiple of row_lanes")
    row_lanes: int = Field(8, ge=4, le=32, description="channels in a row of spike memory (g), power of two")
    drain_lanes: int = Field(2, ge=1, le=32, description="TASA and LIF lanes (R), power of two")
    score_channels: int = Field(8, ge=1, le=32, description="channels popcounted a cycle (B), power of two")
    buffer_rows: int = Field(16, ge=2, le=64, description="rows waiting between scan and engine, power of two")
    weights: Literal["rom", "ram", "spram", "stream"] = Field(
        "rom", description="weight store; stream: a ring in front of an external memory"
    )
    tables: Literal["rom", "ram"] = Field("rom", description="program, neuron parameters and denoiser tables")
    samples: Literal["any", "images"] = Field("any", description="samples taken; images alone save logic")
    shifters: Literal["logic", "multipliers"] = Field("logic", description="what the TASA shifters are made of")
    pipeline: Literal["short", "long", "deep"] = Field(
        "short",
        description="long: registers behind every block RAM, for a fast clock on ECP5; deep: also in front of the "
        "weights', for a large ECP5",
    )
    counter_width: int = Field(24, ge=8, le=32, description="bits of the layer counters")
    # needs
    time_steps: int = Field(4, ge=1, le=16, description="time steps (T)")
    leak_shift: int = Field(1, ge=1, le=4, description="k of tau_m = 2**k")
    weight_bits: int = Field(4, ge=2, le=8, description="bits of a stored weight")
    max_shift: int = Field(0, ge=0, le=7, description="highest bit plane of an activation")
    max_planes: int = Field(1, ge=1, le=5, description="bit planes of the residual stream")
    max_window: int = Field(3, ge=1, le=4, description="taps of the temporal window (T_AW)")
    max_tau: int = Field(7, ge=0, le=7, description="largest attenuation shift")
    acc_width: int = Field(12, ge=4, le=40, description="bits of a synaptic accumulator")
    current_width: int = Field(20, ge=4, le=64, description="bits of an input current")
    param_width: int = Field(20, ge=4, le=48, description="bits of a bias or margin")
    membrane_width: int = Field(20, ge=4, le=64, description="bits of a membrane potential")
    attention_width: int = Field(12, ge=2, le=40, description="bits of the membrane after A x V")
    logit_width: int = Field(16, ge=4, le=64, description="bits of a logit")
    denoiser_bits: int = Field(6, ge=1, le=8, description="bits of a denoiser table entry")
    bank_rows: int = Field(256, ge=4, le=1 << 20, description="rows in each of the two spike banks")
    weight_rows: int = Field(256, ge=1, le=1 << 22, description="rows in the weight store")
    parameter_rows: int = Field(64, ge=1, le=1 << 20, description="rows in the neuron parameter store")
    denoiser_entries: int = Field(1, ge=1, le=1 << 20, description="entries in the denoiser store")
    instructions: int = Field(16, ge=2, le=256, description="instructions in the program store")
    max_count: int = Field(64, ge=4, le=1 << 16, description="largest loop count (positions, tiles, rows of a tap)")
    max_tokens: int = Field(16, ge=1, le=1024, description="tokens of the attention unit")
    max_heads: int = Field(4, ge=1, le=64, description="heads of the attention unit")
    max_head_dim: int = Field(32, ge=4, le=128, description="channels of a head")
    max_channels: int = Field(1, ge=1, le=4, description="input channels")
    max_bits: int = Field(8, ge=1, le=8, description="bits of an input value")
    max_classes: int = Field(10, ge=2, le=1024, description="classes")
    # a need and a choice that came later: the registers of a device list the parameters in this order
    max_lines: int = Field(1, ge=1, le=64, description="output lines of a narrow convolution computed at once")
    events: int = Field(
        1, ge=1, le=2, description="spike words added at once; 2 take two ports of the weight memory"
    )
    ring_rows: int = Field(
        0, ge=0, le=1 << 16, description="rows of weights on the chip where they are a stream, multiple of 32"
    )
    memory_bits: int = Field(0, ge=0, le=128, description="bits of a word of the external memory: 16, 32, 64, 128")
    banks: Literal["block", "spram"] = Field(
        "block", description="spike banks: block RAM, or the single-port RAM of a UP5K"
    )
    bank_a_rows: int = Field(
        0,
        ge=0,
        le=1 << 20,
        description="rows of bank A where they are fewer, else 0; a power of two takes larger inputs, in bands",
    )

    @model_validator(mode="after")
    def _whole(self) -> "Machine":
        for key in ("row_lanes", "drain_lanes", "score_channels", "buffer_rows"):
            if (value := getattr(self, key)) not in _POWERS:
                below = 1 << value.bit_length() - 1
                raise ValueError(
                    f"{key}: {value} must be a power of two; {key}={below} or {key}={2 * below} is one"
                )
        if self.lanes % self.row_lanes:
            whole = -(-self.lanes // self.row_lanes) * self.row_lanes
            least = self.lanes & -self.lanes
            raise ValueError(
                f"lanes: {self.lanes} must be a multiple of row_lanes, {self.row_lanes}; "
                + " or ".join([f"lanes={whole}"] + [f"row_lanes={least}"] * (4 <= least < self.row_lanes))
                + " mends it"
            )
        for key in ("drain_lanes", "score_channels"):
            if (value := getattr(self, key)) > self.row_lanes:
                raise ValueError(
                    f"{key}: {value} must be at most row_lanes, {self.row_lanes}; {key}={self.row_lanes} mends it"
                )
        if self.events > 1 and self.weights == "spram":
            raise ValueError(
                f"events: {self.events} at once need a weight memory of two read ports, single-port RAM has one; "
                "events=1 or weights=ram mends it"
            )
        if self.single_port and self.registered:
            raise ValueError(
                "banks: spram is read and written in turns, which no long pipeline waits for; "
                "pipeline=short or banks=block mends it"
            )
        if self.bank_a_rows:
            self._check_banks()
        if self.weights == "stream":
            if not self.ring_rows or self.ring_rows % RING_STEP:
                whole = max(1, self.ring_rows // RING_STEP) * RING_STEP
                raise ValueError(
                    f"ring_rows: {self.ring_rows} must be a multiple of {RING_STEP} from {RING_STEP} to "
                    f"{highest('ring_rows')} where weights=stream; ring_rows={whole} is one"
                )
            if self.memory_bits not in MEMORY_BITS:
                raise ValueError(
                    f"memory_bits: {self.memory_bits} must be one of {', '.join(map(str, MEMORY_BITS))} "
                    "where weights=stream; memory_bits=16 is one"
                )
        elif self.ring_rows or self.memory_bits:
            mend = " ".join(f"{key}=0" for key in ("ring_rows", "memory_bits") if getattr(self, key))
            raise ValueError(f"weights: {self.weights} takes no ring_rows and no memory_bits; {mend} mends it")
        if self.acc_width < (least := self.weight_bits + self.max_shift):
            raise ValueError(
                f"acc_width: {self.acc_width} must be at least weight_bits + max_shift, {least}; "
                f"acc_width={least} mends it"
            )
        if self.logit_width < self.acc_width:
            raise ValueError(
                f"logit_width: {self.logit_width} must be at least acc_width, {self.acc_width}; "
                f"logit_width={self.acc_width} mends it"
            )
        if self.max_head_dim % self.row_lanes:
            whole = -(-self.max_head_dim // self.row_lanes) * self.row_lanes
            raise ValueError(
                f"max_head_dim: {self.max_head_dim} must be a multiple of row_lanes, {self.row_lanes}; "
                f"max_head_dim={whole} mends it"
            )
        if self.max_lines * self.row_lanes > self.lanes:
            raise ValueError(
                f"max_lines: {self.max_lines} lines of at least row_lanes, {self.row_lanes}, channels do not "
                f"fit {self.lanes} lanes; max_lines={self.lanes // self.row_lanes} mends it"
            )
        return self

    def _check_banks(self) -> None:
        """A bank A of its own size."""
        if not 4 <= self.bank_a_rows <= self.bank_rows:
            raise ValueError(
                f"bank_a_rows: {self.bank_a_rows} must be from 4 to bank_rows, {self.bank_rows}, or 0; "
                f"bank_a_rows={4 if self.bank_a_rows < 4 else self.bank_rows} mends it"
            )
        if self.single_port:
            raise ValueError(
                f"bank_a_rows: {self.bank_a_rows}: banks of single-port RAM are of equal size; banks=block or "
                "bank_a_rows=0 mends it"
            )

    @property
    def bands(self) -> bool:
        """An input that is larger than bank A may come in bands: its addresses wrap, so its rows are a ring."""
        return self.bank_a_rows.bit_count() == 1

    def rows_of(self, bank: int) -> int:
        """Rows of bank A (0) or B (1)."""
        return self.bank_a_rows if self.bank_a_rows and bank == 0 else self.bank_rows

    @property
    def streams(self) -> bool:
        """Weights come from an external memory."""
        return self.weights == "stream"

    @property
    def single_port(self) -> bool:
        """A spike bank is read or written in a cycle, not both."""
        return self.banks == "spram"

    @property
    def single_port_rams(self) -> dict[str, int]:
        """Single-port RAMs of a UP5K in the weight store and in both banks."""
        row = SpikeBank.words_of(self.slots, self.drain_lanes * self.time_steps)
        return {
            "weights": single_port_rams_of(self.weight_rows, self.lanes * self.weight_bits)
            * (self.weights == "spram"),
            "banks": 2 * single_port_rams_of(self.bank_rows, row * 16) * self.single_port,
        }

    @property
    def row_words(self) -> int:
        """Words of the external memory in a row of weights; 0 without one."""
        return -(-self.lanes * self.weight_bits // self.memory_bits) if self.streams else 0

    @property
    def memory_address_bits(self) -> int:
        """Bits of the number of a word of the external memory."""
        return max(1, (self.weight_rows * self.row_words - 1).bit_length())

    @property
    def tile_space(self) -> int:
        """Rows of the address space in which weight rows lie, from 0."""
        return self.ring_rows if self.streams else self.weight_rows

    @property
    def registered(self) -> bool:
        """A pipeline with registers behind block RAMs."""
        return self.pipeline != "short"

    @property
    def slots(self) -> int:
        """Slots of a row: what one drain group writes."""
        return self.row_lanes // self.drain_lanes

    @property
    def weight_latency(self) -> int:
        """Cycles of a read of the weight store."""
        if self.weights == "spram" or not self.registered:
            return 1
        return 3 if self.pipeline == "deep" else 2

    @property
    def interleave(self) -> int:
        """Channels of a bit plane in a row of the input."""
        return 1 << (self.max_channels - 1).bit_length()

    @property
    def max_spacing(self) -> int:
        """Cycles of the longest drain of a token."""
        return max(8, self.lanes // self.drain_lanes * self.time_steps * (self.time_steps + self.max_rest))

    @property
    def max_rest(self) -> int:
        """Cycles that the drain may have to wait behind the steps of a group: joining the residual stream takes one
        for each of its planes, and pooling four, more with a single port, while a group comes every
        `time_steps`."""
        return max(0, Residual.longest_period(self.max_planes, self.single_port) - self.time_steps)


def highest(key: str) -> int:
    """The upper limit of a numeric key."""
    return next(rule.le for rule in Machine.model_fields[key].metadata if hasattr(rule, "le"))


def machine_from_dict(values: dict) -> Machine:
    """Checked construction. Raises `FitError` naming the first bad key, its value and the limit."""
    try:
        return Machine(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        prefix = f"machine: {where}: " if where else "machine: "
        got = f" (got {first['input']!r:.60})" if where else ""
        raise FitError(prefix + first["msg"].removeprefix("Value error, ") + got) from None
