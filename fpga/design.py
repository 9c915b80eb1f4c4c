# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What decides about the bits of a bitstream: the board top in the board's wrapper, as RTLIL, with the constraints
and the command lines of the tools that follow, all from Amaranth's platform of the board."""

import hashlib
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from amaranth.hdl import ClockDomain, Const, Elaboratable, Instance, Module, ResetSignal
from amaranth.lib import io

from ds2ta.errors import FitError
from ds2ta.fpga.boards import Board, Pin
from ds2ta.fpga.boot import BootFlash, boot_flash
from ds2ta.fpga.clocks import ClockGenerator, find_pll
from ds2ta.fpga.report import RESOURCES
from ds2ta.fpga.sdram_pads import CHIP_DOMAIN, PHASE, SdramPads, margins
from ds2ta.fpga.tools import tool_versions
from ds2ta.fpga.top import BoardTop
from ds2ta.gateware.area import AROUND, BLOCK_BITS, Estimate, estimate
from ds2ta.gateware.compiler import Program, fit
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.memories import by_rows
from ds2ta.gateware.synthesis import TARGETS, synthesize_rtlil
from ds2ta.hw.store import without_collision_logic
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, model_digest

__all__ = [
    "OFF",
    "TIMING",
    "TOP",
    "Design",
    "Hardware",
    "area_on",
    "check_memories",
    "design",
    "flash_of",
    "hardware",
    "refuse_area",
]

#: Name of the top module, and of nextpnr's report of timing.
TOP = "top"
TIMING = "timing.json"
#: By how much an estimate of LUTs or registers may be off, by test.
OFF = 0.1
#: Family -> more options of nextpnr. On the accelerator alone the pass gave 27.0 instead of 25.4 MHz.
_OPTIONS = {"ice40": ["--opt-timing"], "ecp5": []}


class _Wrapper(Elaboratable):
    """`BoardTop` behind a board's pins and clock, one that `boots` with the pins of its flash."""

    def __init__(self, board: Board, top: BoardTop, wanted_hz: float, *, boots: bool):
        self._board, self._top, self._boots = board, top, boots
        self._pll = find_pll(board.family, board.crystal_hz, wanted_hz)
        if top.memory and self._pll:
            self._pll = replace(self._pll, phase=PHASE)

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        groups = {}

        def port(pin: Pin, part: str | None = None):
            key = pin.resource, pin.number
            if key not in groups:
                groups[key] = platform.request(*key, dir="-")
            name = part or pin.part
            return getattr(groups[key], name) if name else groups[key]

        board, top = self._board, self._top
        second = ""
        if top.memory:
            second = CHIP_DOMAIN
            m.domains += ClockDomain(second, reset_less=True)
            m.submodules.sdram = SdramPads(top.sdram, platform.request("sdram", 0, dir="-"))
        m.submodules.clock = ClockGenerator(
            family=board.family,
            port=port(board.crystal),
            crystal_hz=board.crystal_hz,
            pll=self._pll,
            second=second,
        )
        m.submodules.board = top
        m.submodules.pin_rx = rx = io.Buffer(io.Direction.Input, port(board.uart, "rx"))
        m.d.comb += top.rx.eq(rx.i)
        outputs = {"tx": port(board.uart, "tx"), "busy": port(board.busy), "error": port(board.error)}
        for name, pin in outputs.items():
            m.submodules[f"pin_{name}"] = buffer = io.Buffer(io.Direction.Output, pin)
            m.d.comb += buffer.o.eq(getattr(top, name))
        for number, pin in enumerate(board.high):
            m.submodules[f"pin_high{number}"] = buffer = io.Buffer(io.Direction.Output, port(pin))
            m.d.comb += buffer.o.eq(1)
        if self._boots:
            self._connect_flash(m, port)
        return m

    def _connect_flash(self, m: Module, port: Callable[[Pin, str], io.PortLike]) -> None:
        """The flash, with nothing written, and nothing held."""
        flash, top = self._board.flash, self._top
        outputs = {"cs": top.flash_cs, "copi": top.flash_copi, "wp": Const(0), "hold": Const(0)}
        if flash.clock:
            outputs["clk"] = top.flash_sck
        else:
            # the vendor's tool refuses a constant here
            m.submodules.flash_clock = Instance(
                "USRMCLK", i_USRMCLKI=top.flash_sck, i_USRMCLKTS=ResetSignal("sync")
            )
        for name, value in outputs.items():
            m.submodules[f"pin_flash_{name}"] = buffer = io.Buffer(io.Direction.Output, port(flash.pins, name))
            m.d.comb += buffer.o.eq(value)
        m.submodules.pin_flash_cipo = cipo = io.Buffer(io.Direction.Input, port(flash.pins, "cipo"))
        m.d.comb += top.flash_cipo.eq(cipo.i)


@dataclass(frozen=True)
class Hardware:
    """Everything that decides about the bits of a bitstream, but for contents: those of a machine whose stores are
    all loaded."""

    board: Board
    machine: Machine
    clock_hz: float
    seed: int
    rtlil: str
    constraints: Mapping[str, str]  # file name -> text
    commands: Sequence[Sequence[str]]  # of place and route and of packing
    tools: Mapping[str, str]  # their versions, by `tool_versions`
    nextpnr: Path | None  # of the user's own

    def digest_with(self, model_sha256: str) -> str:
        """SHA-256 over the design, how it is synthesized, its constraints, the tools and their options, and the
        digest of the model that its report speaks of. Two designs of one digest have the same bits."""
        with tempfile.TemporaryDirectory() as folder:
            script = TARGETS[self.board.family][0](self.rtlil, TOP, Path(folder))
            sides = {path.name: path.read_text() for path in sorted(Path(folder).iterdir())}
        code = [inspect.getsource(part) for part in (synthesize_rtlil, without_collision_logic)]
        flow = [*code, script, sides, self.constraints, self.commands, self.tools]
        parts = [self.rtlil, flow, model_sha256]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Design(Hardware):
    """Hardware that holds a model, or that a host loads with it."""

    model: IntegerModel
    program: Program  # of the model, which a host loads

    @property
    def digest(self) -> str:
        """See `digest_with`."""
        return self.digest_with(model_digest(self.model))


def design(
    board: Board,
    *,
    model: IntegerModel | None = None,
    choices: Mapping[str, int | str] | None = None,
    clock_hz: float | None = None,
    seed: int | None = None,
    boots: bool = False,
    nextpnr: Path | None = None,
) -> Design:
    """Elaborate `board` with the machine that `model` (default: the board's) needs there. `choices` change those of
    its `Board.fitting`, and `clock_hz` and `seed` are of that by default; the rest is as in `hardware`."""
    model = model or load_model(board.model_path)
    fitting = board.fitting(model, choices or {})
    machine, program = fit(model, **fitting.choices)
    check_memories(board, machine)
    refuse_area(board, area_on(board, machine, fitting.core_hz), most=1 + OFF)
    found = hardware(
        board,
        machine,
        clock_hz=fitting.core_hz if clock_hz is None else clock_hz,
        seed=fitting.seed if seed is None else seed,
        boots=boots,
        nextpnr=nextpnr,
    )
    parts = {item.name: getattr(found, item.name) for item in fields(found)}
    return Design(**parts, model=model, program=program)


def hardware(
    board: Board,
    machine: Machine,
    *,
    clock_hz: float,
    seed: int,
    boots: bool = False,
    nextpnr: Path | None = None,
) -> Hardware:
    """Elaborate `board` with `machine` at the clock nearest to `clock_hz` that its PLL reaches. It `boots` from its
    flash, or waits for a host. Place and route is PyPI's, or the user's own `nextpnr`. Raises `FitError` for what
    cannot fit."""
    tools = tool_versions(board.family, nextpnr)
    wanted_hz = clock_hz
    pll = find_pll(board.family, board.crystal_hz, wanted_hz)
    clock_hz = pll.hz if pll else board.crystal_hz
    boot = flash_of(board, clock_hz) if boots else None
    top = BoardTop(machine, clock_hz=round(clock_hz), memory=board.sdram, boot=boot)
    if top.memory:
        if pll is None:
            raise FitError(
                f"clock: {clock_hz / 1e6:g} MHz is the crystal's, an SDRAM needs two phases; take another"
            )
        margins(top.memory, clock_hz, replace(pll, phase=PHASE).second_phase)
    options = ["--seed", str(seed), "--timing-allow-fail", "--report", TIMING]
    options += _OPTIONS[board.family]
    with by_rows():
        plan = board.make_platform().prepare(
            _Wrapper(board, top, wanted_hz, boots=boots),
            TOP,
            emit_src=False,
            debug_verilog=False,
            nextpnr_opts=options,
        )
    commands = json.loads(plan.files[f"build_{TOP}.json"])["commands"]
    return Hardware(
        board=board,
        machine=machine,
        clock_hz=clock_hz,
        seed=seed,
        rtlil=_with_blocks(plan.files[f"{TOP}.il"]),
        constraints={name: text for name, text in plan.files.items() if name.endswith((".pcf", ".lpf"))},
        commands=[command for command in commands if command[0].startswith(("nextpnr", "icepack", "ecppack"))],
        tools=tools,
        nextpnr=nextpnr,
    )


def flash_of(board: Board, clock_hz: float) -> BootFlash:
    """The flash that a board's design loads a model from, by a core of `clock_hz`."""
    flash = board.flash
    return boot_flash(clock_hz=clock_hz, most_hz=flash.hz, address=flash.model, size=flash.size)


def _with_blocks(text: str) -> str:
    """RTLIL whose cells say in their `src`, which synthesis hands on, what module they are of."""
    lines, module = [], ""
    for line in text.split("\n"):
        if line.startswith("module "):
            module = line.removeprefix("module \\")
        elif re.match(r"  (cell|process) ", line):
            lines.append(f'  attribute \\src "{module}"')
        lines.append(line)
    return "\n".join(lines)


def area_on(board: Board, machine: Machine, clock_hz: float) -> Estimate:
    """What `machine` takes on a board, without synthesis."""
    return estimate(BoardTop(machine, clock_hz=round(clock_hz), memory=board.sdram), board.family, AROUND)


def refuse_area(board: Board, area: Estimate, *, most: float) -> None:
    """Refuse a machine whose memories or multipliers, of which the estimate is exact, or whose LUTs or registers by
    more than the factor `most` exceed those of a board."""
    over = {
        name: (need, limit)
        for name, (need, limit) in area.over(board.limits).items()
        if name not in ("luts", "registers") or need > most * limit
    }
    if over:
        short = ", ".join(f"about {need} {RESOURCES[name]} of {limit}" for name, (need, limit) in over.items())
        raise FitError(
            f"{board.name}: {short}; --optimize looks for a smaller machine, `ds2ta plan` says what other boards "
            "hold"
        )


def check_memories(board: Board, machine: Machine) -> None:
    """What needs no synthesis to see: more bits in the weight store than the memories for it can hold, or more in
    single-port RAM than there is."""
    width = machine.lanes * machine.weight_bits
    rows = "ring_rows" if machine.streams else "weight_rows"
    wanted = f"{rows} {getattr(machine, rows)} of {machine.lanes} lanes"
    single, kind, need = machine.single_port_rams, "single_port_rams", 0
    if machine.weights != "spram":
        kind, need = "block_rams", -(-width * machine.tile_space // BLOCK_BITS[board.family])
        mend = "set weights=spram" if board.limits["single_port_rams"] else "take a smaller model"
    if need <= board.limits[kind]:
        kind, need = "single_port_rams", sum(single.values())
        kinds = {"weights": "weights=ram", "banks": "banks=block"}
        mends = [kinds[name] for name, many in single.items() if many]
        if single["banks"]:
            wanted = f"bank_rows {machine.bank_rows} of {machine.row_lanes} channels in both banks" + (
                f", and {wanted}," if single["weights"] else ""
            )
        if not board.limits[kind]:
            mend = f"set {' '.join(mends)}"
        elif single["banks"]:
            mend = f"set {' or '.join(mends)}, or row_lanes, or lanes, to less"
        else:
            mend = "take a smaller model"
    if need > board.limits[kind]:
        raise FitError(
            f"{board.name}: {need} {RESOURCES[kind]} needed for {wanted} alone, it has {board.limits[kind]}: {mend}"
        )
