# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The core's clock: from the board's crystal, through a PLL where the core runs at another frequency, and the reset
that holds the core until that clock is steady."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ds2ta.errors import FitError

__all__ = ["LIMITS", "ClockGenerator", "Pll", "StartReset", "find_pll"]

#: Block RAM of an iCE40 reads zeroes for about 3 us after configuration (icestorm issue 76); five times that.
_RESET_SECONDS = 15e-6

#: Of the ECP5, as the vendor's tool and ecppll set it.
_LOOP_FILTER = {
    "ICP_CURRENT": "12",
    "LPF_RESISTOR": "8",
    "MFG_ENABLE_FILTEROPAMP": "1",
    "MFG_GMCREF_SEL": "2",
}


@dataclass(frozen=True)
class _Limits:
    """What the data sheets allow, in Hz: phase detector, oscillator, output."""

    detector: tuple[float, float]
    oscillator: tuple[float, float]
    output: tuple[float, float]


LIMITS = {
    "ice40": _Limits(detector=(10e6, 133e6), oscillator=(533e6, 1066e6), output=(16e6, 275e6)),
    "ecp5": _Limits(detector=(3.125e6, 400e6), oscillator=(400e6, 800e6), output=(10e6, 400e6)),
}


@dataclass(frozen=True)
class Pll:
    """A setting: `hz = crystal_hz * feedback / (reference * output)` on iCE40, where the loop closes before the
    output divider, and `crystal_hz * feedback / reference` on ECP5, where it closes behind it."""

    family: str
    crystal_hz: int
    reference: int
    feedback: int
    output: int
    phase: float | None = None  # of a second clock, ECP5 alone, in periods behind the first

    @property
    def steps(self) -> int:
        """The second clock's phase, in periods of the oscillator."""
        return round((self.phase or 0) * self.output)

    @property
    def second_phase(self) -> float:
        """What the second clock's phase really is, in periods."""
        return self.steps / self.output

    @property
    def hz(self) -> float:
        divided = self.reference * self.output if self.family == "ice40" else self.reference
        return self.crystal_hz * self.feedback / divided

    @property
    def detector_hz(self) -> float:
        return self.crystal_hz / self.reference

    @property
    def oscillator_hz(self) -> float:
        return self.hz * self.output

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """Parameters of the vendor's cell that hold this setting."""
        if self.family == "ice40":
            bounds = (17e6, 26e6, 44e6, 66e6, 101e6)  # of the loop filter's ranges 1 to 5
            return {
                "FEEDBACK_PATH": "SIMPLE",
                "DIVR": self.reference - 1,
                "DIVF": self.feedback - 1,
                "DIVQ": self.output.bit_length() - 1,
                "FILTER_RANGE": 1 + sum(self.detector_hz >= bound for bound in bounds),
            }
        half = self.output // 2  # a period, as the vendor's tool sets it
        second: dict[str, int | str] = {
            "CLKOS_DIV": self.output,
            "CLKOS_ENABLE": "ENABLED",
            "CLKOS_CPHASE": half + self.steps,
            "CLKOS_FPHASE": 0,
        }
        return {
            "FEEDBK_PATH": "CLKOP",
            "CLKI_DIV": self.reference,
            "CLKFB_DIV": self.feedback,
            "CLKOP_DIV": self.output,
            "CLKOP_ENABLE": "ENABLED",
            "CLKOP_CPHASE": half,
            "CLKOP_FPHASE": 0,
            **(second if self.phase is not None else {}),
        }


def _settings(family: str, crystal_hz: int) -> Iterator[Pll]:
    references: Sequence[int]
    outputs: Sequence[int]
    if family == "ice40":
        references, feedbacks, outputs = range(1, 17), range(1, 129), [1 << q for q in range(1, 7)]
    else:
        references, feedbacks, outputs = range(1, 129), range(1, 129), range(1, 129)
    limits = LIMITS[family]
    for reference in references:
        if not limits.detector[0] <= crystal_hz / reference <= limits.detector[1]:
            continue
        for feedback in feedbacks:
            for output in outputs:
                setting = Pll(family, crystal_hz, reference, feedback, output)
                if limits.oscillator[0] <= setting.oscillator_hz <= limits.oscillator[1]:
                    yield setting


def find_pll(family: str, crystal_hz: int, wanted_hz: float) -> Pll | None:
    """The setting whose clock is nearest to `wanted_hz` (`.hz` tells what it reaches), of those the one with the
    smallest dividers and an oscillator in the middle of its range. None where the crystal itself is wanted.
    Raises `FitError` outside of the PLL's range."""
    if wanted_hz == crystal_hz:
        return None
    low, high = LIMITS[family].output
    if not low <= wanted_hz <= high:
        raise FitError(
            f"clock: {wanted_hz / 1e6:g} MHz is out of reach, the PLL makes {low / 1e6:g} to {high / 1e6:g} MHz; "
            f"give one of these, or the crystal's {crystal_hz / 1e6:g} MHz"
        )
    middle = sum(LIMITS[family].oscillator) / 2
    return min(
        _settings(family, crystal_hz),
        key=lambda it: (abs(it.hz - wanted_hz), it.reference, abs(it.oscillator_hz - middle), it.output),
    )


class StartReset(wiring.Component):
    """The reset of a clock of `hz`: high from configuration until `lock` (which may change at any time) has been
    high for 15 us, and again from three cycles after it falls. In a domain without a reset, of that clock."""

    def __init__(self, *, hz: float):
        self._last = round(hz * _RESET_SECONDS)
        super().__init__({"lock": In(1), "reset": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        locked, count = Signal(), Signal(range(self._last + 1))
        m.submodules.locked = FFSynchronizer(self.lock, locked)
        with m.If(~locked):
            m.d.sync += [self.reset.eq(1), count.eq(0)]
        with m.Elif(count == self._last):
            m.d.sync += self.reset.eq(0)
        with m.Else():
            m.d.sync += count.eq(count + 1)
        return m


class ClockGenerator(Elaboratable):
    """Drives the domain `sync`, which its parent defines: the clock from the crystal at `port` (a pin as requested
    with `dir="-"`) by `pll`, or by nothing where that is None, and the reset, high from configuration until the PLL
    has been locked for 15 us, and again whenever it loses the lock. `second`: the domain of the PLL's second clock,
    which its parent defines too, without a reset."""

    def __init__(self, *, family: str, port: io.PortLike, crystal_hz: int, pll: Pll | None, second: str = ""):
        self._second = second
        self._family, self._port, self._pll = family, port, pll
        self._start = StartReset(hz=pll.hz if pll else crystal_hz)

    def elaborate(self, platform):
        m = Module()
        m.domains.start = ClockDomain(reset_less=True, local=True)
        m.submodules.start = start = DomainRenamer("start")(self._start)
        core_clock, lock = Signal(), Signal()
        second: list = []
        if self._second:
            assert self._pll is not None  # the crystal has one phase
            assert self._pll.phase is not None
            hz = f"{self._pll.hz / 1e6:g}"
            second = [("a", "FREQUENCY_PIN_CLKOS", hz), ("i", "ENCLKOS", Const(0))]
            second.append(("o", "CLKOS", ClockSignal(self._second)))
        if self._pll is None:
            m.submodules.pin = pin = io.Buffer(io.Direction.Input, self._port)
            m.d.comb += [core_clock.eq(pin.i), lock.eq(1)]
        elif self._family == "ice40":
            m.submodules.pll = Instance(
                "SB_PLL40_PAD",
                *[("p", *parameter) for parameter in self._pll.parameters.items()],
                ("i", "PACKAGEPIN", self._port.io),
                ("i", "RESETB", Const(1)),
                ("i", "BYPASS", Const(0)),
                ("o", "PLLOUTGLOBAL", core_clock),
                ("o", "LOCK", lock),
            )
        else:
            m.submodules.pin = pin = io.Buffer(io.Direction.Input, self._port)
            m.submodules.pll = Instance(
                "EHXPLLL",
                *[("p", *parameter) for parameter in self._pll.parameters.items()],
                ("a", "FREQUENCY_PIN_CLKI", f"{self._pll.crystal_hz / 1e6:g}"),
                ("a", "FREQUENCY_PIN_CLKOP", f"{self._pll.hz / 1e6:g}"),
                *[("a", *attribute) for attribute in _LOOP_FILTER.items()],
                ("i", "CLKI", pin.i),
                ("i", "CLKFB", core_clock),
                *[("i", name, Const(0)) for name in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PLLWAKESYNC")],
                *[("i", name, Const(1)) for name in ("PHASEDIR", "PHASESTEP", "PHASELOADREG")],
                ("i", "ENCLKOP", Const(0)),
                ("o", "CLKOP", core_clock),
                *second,
                ("o", "LOCK", lock),
            )
        m.d.comb += [
            ClockSignal("start").eq(core_clock),
            ClockSignal("sync").eq(core_clock),
            ResetSignal("sync").eq(start.reset),
            start.lock.eq(lock),
        ]
        return m
