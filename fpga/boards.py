# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The boards: device, pins, clock, what is on the chip, and which model and machine it gets by default.

Pins and electrical standards come from amaranth-boards; nothing here was tried on a physical board.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amaranth.build import Attrs, Resource
from amaranth.build.plat import Platform
from amaranth_boards.resources import UARTResource

from ds2ta.errors import FitError
from ds2ta.files import model_path
from ds2ta.fpga.boot_format import BLOCK
from ds2ta.gateware.machines import ICE40, MACHINES, machine_choices
from ds2ta.hw.sdram import IS42S16160G, SdramChip
from ds2ta.model import IntegerModel

__all__ = ["BOARDS", "Board", "BoardFlash", "Fitting", "Pin", "find_board"]


@dataclass(frozen=True)
class Pin:
    """A pin by its resource in amaranth-boards, and its part where the resource has parts."""

    resource: str
    number: int = 0
    part: str | None = None


@dataclass(frozen=True)
class BoardFlash:
    """The serial flash that holds the bitstream, and behind it a model.

    bitstream, model: where each begins. pins: resource with the parts cs, copi, cipo, wp, hold. clock: whether its
    part clk is a pin; on ECP5 it is the configuration's, which a primitive drives (USRMCLK). hz: of its clock at
    most. loader: arguments of openFPGALoader for a bitstream, model_loader: for a model, whose place `{model}`
    stands for. size: of the chip.
    """

    bitstream: int
    model: int
    pins: Pin
    loader: tuple[str, ...]
    model_loader: tuple[str, ...]
    clock: bool = False
    hz: float = 25e6
    size: int = 16 << 20

    def check_places(self, board: str, *, bitstream: int, image: int) -> None:
        """Raise `FitError` unless so many bytes of each lie behind each other on the chip."""
        if self.bitstream + bitstream > self.model:
            raise FitError(
                f"{board}: its bitstream of {bitstream} bytes ends at {self.bitstream + bitstream:#x}, the model "
                f"begins at {self.model:#x}: take a smaller machine, or move the model in fpga/boards.py"
            )
        most = self.size - self.model - BLOCK  # of which the board takes no more
        if image > most:
            raise FitError(
                f"{board}: an image of {image} bytes at {self.model:#x} of a flash of {self.size}: {most} may be "
                "there; take a smaller model"
            )


@dataclass(frozen=True)
class Fitting:
    """How a network is built on a board: the core's clock, the machine's choices, and a seed of place and route
    that meets the clock."""

    core_hz: float
    choices: Mapping[str, int | str]
    seed: int = 1


@dataclass(frozen=True)
class Board:
    """One board.

    platform: class in `amaranth_boards`, as module:class.
    family: `ice40` or `ecp5`, of the synthesis and of the tools behind it.
    limits: what the device has, keyed as in `fpga.report`: luts (logic cells, or LUTs with their carries),
      registers, block_rams, single_port_rams, multipliers.
    crystal: the pin of the clock, and its frequency `crystal_hz`. core_hz: the core's clock by default.
    uart: resource with the parts rx and tx. busy, error: LEDs. high: pins that stay high.
    sdram: what its resource `sdram` is, or nothing.
    extra: resources that amaranth-boards lacks. seed: of place and route, one that meets `core_hz`.
    model: name of the shipped model that it is built for by default, with the machine `choices`.
    networks: by name, those that have a machine, clock and seed of their own here.
    loader: arguments of openFPGALoader; usb: (vendor, product) of what that tool talks to.
    flash: what holds a bitstream, and a model, without power.
    """

    name: str
    title: str
    platform: str
    family: str
    limits: Mapping[str, int]
    crystal: Pin
    crystal_hz: int
    core_hz: float
    model: str
    choices: Mapping[str, int | str]
    loader: tuple[str, ...]
    usb: tuple[int, int]
    busy: Pin
    error: Pin
    flash: BoardFlash
    uart: Pin = field(default=Pin("uart"))
    high: tuple[Pin, ...] = ()
    seed: int = 1
    extra: tuple[Resource, ...] = ()
    sdram: SdramChip | None = None
    networks: Mapping[str, Fitting] = field(default_factory=dict)

    @property
    def bitstream(self) -> str:
        """File name of its bitstream."""
        return f"{self.name}.bin" if self.family == "ice40" else f"{self.name}.bit"

    @property
    def model_path(self) -> Path:
        return model_path(self.model)

    def fitting(self, model: IntegerModel, choices: Mapping[str, int | str] = MappingProxyType({})) -> Fitting:
        """How a model is built here: as its network is, or with the board's machine, or the network's own where its
        weights lie in the board's SDRAM; changed by `choices`."""
        found = self.networks.get(model.network.name)
        if found is None:
            own = machine_choices(model, None)
            streams = self.sdram and own.get("weights") == "stream" and "weights" not in choices
            found = Fitting(self.core_hz, own if streams else self.choices, self.seed)
        return replace(found, choices={**found.choices, **choices})

    def make_platform(self) -> Platform:
        """A fresh platform object (Amaranth takes one for each build)."""
        module, _, name = self.platform.partition(":")
        platform = getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()
        platform.add_resources(self.extra)
        return platform


#: Everything is loaded by the host, so that one bitstream runs any model that its machine holds.
_LOADED: dict[str, int | str] = {"weights": "ram", "tables": "ram"}
#: Fits the 56 block RAMs and 28 multipliers of the smaller ECP5.
_MEDIUM: dict[str, int | str] = {"lanes": 32, "row_lanes": 16, "drain_lanes": 8}
#: Room for checker and host link on the UP5K: a few percent more cycles than on the model's own machine, for fewer
#: logic cells.
_SMALL: dict[str, int | str] = {"tables": "ram", "drain_lanes": 2, "counter_width": 16}
_ECP5_25 = {"luts": 24_288, "registers": 24_288, "block_rams": 56, "single_port_rams": 0, "multipliers": 28}
_ECP5_85 = {"luts": 83_640, "registers": 83_640, "block_rams": 208, "single_port_rams": 0, "multipliers": 156}
_ULX3S: dict[str, Any] = {
    "family": "ecp5",
    "crystal": Pin("clk25"),
    "crystal_hz": 25_000_000,
    "busy": Pin("led", 0),
    "error": Pin("led", 1),
    # GPIO0 of the ESP32: low means its button is pressed, upon which some firmware loads another bitstream
    "high": (Pin("esp32", part="gpio0"),),
    # boards came with one of two chips; of the smaller one every address is one of the larger, too
    "sdram": IS42S16160G,
    "loader": ("--board", "ulx3s"),
    # IS25LP128 or W25Q128; boards of the first series have 4 MB
    "flash": BoardFlash(
        bitstream=0,
        model=2 << 20,  # a bitstream of the 85F has 1.9 MB where nothing of it can be compressed
        pins=Pin("spi_flash"),
        loader=("--board", "ulx3s", "--write-flash"),
        model_loader=("--board", "ulx3s", "--write-flash", "--offset", "{model}"),
    ),
    "usb": (0x0403, 0x6015),
}

BOARDS = {
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            title="iCEBreaker (iCE40 UP5K)",
            platform="icebreaker:ICEBreakerPlatform",
            family="ice40",
            limits={
                "luts": 5_280,
                "registers": 5_280,
                "block_rams": 30,
                "single_port_rams": 4,
                "multipliers": 8,
            },
            crystal=Pin("clk12"),
            crystal_hz=12_000_000,
            core_hz=30e6,
            model="digits-tiny",
            choices=MACHINES["digits-tiny"] | ICE40 | _SMALL,
            busy=Pin("led_g"),
            error=Pin("led_r"),
            loader=("--board", "ice40_generic", "--write-flash"),
            flash=BoardFlash(  # W25Q128JV
                bitstream=0,
                model=1 << 20,
                pins=Pin("spi_flash_1x"),
                clock=True,
                loader=("--board", "ice40_generic", "--write-flash"),
                model_loader=("--board", "ice40_generic", "--write-flash", "--offset", "{model}"),
            ),
            usb=(0x0403, 0x6010),
        ),
        Board(
            name="ulx3s_85f",
            title="ULX3S-85F (ECP5)",
            platform="ulx3s:ULX3S_85F_Platform",
            limits=_ECP5_85,
            core_hz=65e6,
            model="digits-small",
            choices=MACHINES["digits-small"] | _LOADED,
            seed=1,
            networks={
                # widths for weights that are trained, not the random ones of `ds2ta.records.paper_scale`
                "vit-4-384": Fitting(50e6, MACHINES["vit-4-384"] | {"param_width": 14, "acc_width": 16}),
            },
            **_ULX3S,
        ),
        Board(
            name="ulx3s_25f",
            title="ULX3S-25F (ECP5)",
            platform="ulx3s:ULX3S_25F_Platform",
            limits=_ECP5_25,
            core_hz=75e6,
            model="digits-small",
            choices=MACHINES["digits-small"] | _LOADED | _MEDIUM,
            networks={"mid-96": Fitting(65e6, MACHINES["mid-96"])},
            **_ULX3S,
        ),
        Board(
            name="orangecrab",
            title="OrangeCrab r0.2 (ECP5-25F)",
            platform="orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
            family="ecp5",
            limits=_ECP5_25,
            crystal=Pin("clk"),
            crystal_hz=48_000_000,
            core_hz=96e6,
            model="digits-small",
            choices=MACHINES["digits-small"] | _LOADED | _MEDIUM,
            busy=Pin("rgb_led", part="g"),
            error=Pin("rgb_led", part="r"),
            # no USB serial port: a 3.3 V adapter at the pins 0 (RX) and 1 (TX) of the feather connector
            extra=(UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33")),),
            loader=("--board", "orangeCrab"),
            # W25Q128JV; its bootloader writes what it calls bitstream and firmware to these places
            flash=BoardFlash(
                bitstream=0x08_0000,
                model=0x10_0000,
                pins=Pin("spi_flash_1x"),
                loader=("--board", "orangeCrab"),
                model_loader=("--board", "orangeCrab", "--altsetting", "1"),
            ),
            usb=(0x1209, 0x5AF0),
        ),
    )
}


def find_board(name: str) -> Board:
    """The board of that name. Raises `FitError` with the list of those there are."""
    if name not in BOARDS:
        raise FitError(f"board {name!r}: must be one of {', '.join(BOARDS)}")
    return BOARDS[name]
