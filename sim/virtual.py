# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The virtual board: the Verilated board top behind a pseudo-terminal, for the unchanged host driver.

Everything between the pins is the design that goes onto a board: UART with its clock divider, link, registers,
memory check, accelerator. `board.cpp` plays the other end of the cable, bit by bit.
"""

import contextlib
import re
import subprocess
from math import ceil
from pathlib import Path

from ds2ta.errors import Ds2taError, FitError
from ds2ta.fpga.boot import BootFlash
from ds2ta.fpga.top import DEFAULT_BAUD, SDRAM_ROUND_TRIP, BoardTop
from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.verilog import emit
from ds2ta.hw.sdram import SdramChip
from ds2ta.model import IntegerModel
from ds2ta.modelfile import model_digest
from ds2ta.sim.flash_chip import HEADER
from ds2ta.sim.verilator import build_simulator, primitives

__all__ = ["VirtualBoard", "VirtualBoardError", "build_board"]

_MAIN = Path(__file__).with_name("board.cpp")
_SDRAM = Path(__file__).with_name("sdram_board.hpp")
_MEMORY = re.compile(r"^  reg \[\d+:0\] (\w+) *\[\d+:\d+\];", re.M)
_END = 10.0  # seconds


class VirtualBoardError(Ds2taError):
    """The simulated board does not start, or is gone."""


def _published(*sources: str) -> str:
    """Verilator control file that lets the main program find the memories."""
    lines = ["`verilator_config"]
    for text in sources:
        for module in re.finditer(r"^module (\w+).*?^endmodule", text, re.M | re.S):
            lines += [f'public_flat_rw -module "{module[1]}" -var "{name}"' for name in _MEMORY.findall(module[0])]
    return "\n".join([*lines, ""])


def _sdram(chip: SdramChip, clock_hz: float) -> str:
    """The SDRAM's model for such a chip, in front of the main program."""
    times = {
        name: ceil(getattr(chip, f"t_{name.lower()}") * clock_hz / 1e9 - 1e-6)
        for name in ("RP", "RCD", "RAS", "RC", "RFC", "WR")
    }
    values = {
        "ROW_BITS": chip.row_bits,
        "COLUMN_BITS": chip.column_bits,
        "EXTRA": SDRAM_ROUND_TRIP - 1,
        **times,
        "REFRESH": int(chip.refresh * clock_hz / 1e9),
    }
    return "".join(f"#define SDRAM_{name} {value}\n" for name, value in values.items()) + _SDRAM.read_text()


def build_board(verilog: str, name: str, *, memory: str = "") -> Path:
    """The program of a board top with ports rx, tx and busy, built at most once for equal Verilog. `memory`: text
    in front of the main program, the model of what else is on the board."""
    sources = [verilog, *(Path(path).read_text() for path in primitives(verilog))]
    return build_simulator(
        "board",
        name,
        verilog,
        memory + _MAIN.read_text(),
        files={"memories.vlt": _published(*sources), HEADER.name: HEADER.read_text()},
        options=["-O3", "--x-assign", "fast", "--x-initial", "fast"],
        optimize="-O2",
    )


class VirtualBoard:
    """A running board; a context manager. `device` is what the host driver opens: the pseudo-terminal, or `link`,
    a symbolic link to it that goes with the board.

    Parameters: `machine`; `model`: what its ROM stores hold, where it has any; `clock_hz` and `baud`, as the design
    is built for them (the simulated cable has the baud rate of whoever opens `device`); `flash`: the design loads a
    model at power-up, from the file `image` in its flash, which is checked by nobody else; `memory`:
    the SDRAM on the board, for weights that are a stream."""

    def __init__(
        self,
        machine: Machine,
        model: IntegerModel | None = None,
        *,
        clock_hz: int,
        baud: int = DEFAULT_BAUD,
        link: Path | str | None = None,
        memory: SdramChip | None = None,
        flash: BootFlash | None = None,
        image: Path | str | None = None,
    ):
        kinds, program_in_rom, digest = {machine.weights, machine.tables}, None, b""
        if "rom" in kinds:
            if model is None:
                raise FitError("virtual board: a machine with ROM stores needs the model that they hold")
            program_in_rom = compile_model(model, machine)
            digest = bytes.fromhex(model_digest(model)) if kinds == {"rom"} else b""
        top = BoardTop(
            machine, program_in_rom, clock_hz=clock_hz, baud=baud, digest=digest, memory=memory, boot=flash
        )
        model_of_memory = _sdram(memory, clock_hz) if memory and machine.streams else ""
        program = build_board(emit(top, "board_top"), "board_top", memory=model_of_memory)
        arguments = [str(clock_hz), str(link or "")]
        if flash is not None and image is not None:
            arguments += [str(image), str(flash.address), str(flash.size)]
        # The board ends with its standard input, and so with this process, however that ends.
        self._process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin  # they were asked for
        assert self._process.stdout
        assert self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self.terminal = self._stdout.readline().strip()
        if not self.terminal:
            raise VirtualBoardError(f"virtual board: {self._process.communicate()[1].strip() or 'did not start'}")
        self.device = str(link) if link else self.terminal

    def __enter__(self) -> "VirtualBoard":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process_id(self) -> int:
        """Of the simulator."""
        return self._process.pid

    def flip(self, scope: str, memory: str, word: int, bit: int) -> None:
        """Turn one bit of a memory over, as a particle does; `scope` is the path of its module below the top."""
        where = f"{scope}.{memory}[{word}], bit {bit}"
        self._tell(f"flip TOP.board_top.{scope} {memory} {word} {bit}", "flipped", where)

    def fill(self, path: Path | str) -> None:
        """Put the words of a file (`stores.memory_image`) into the SDRAM from word 0 on, past the pins, which would
        take hours for networks of the paper's size."""
        self._tell(f"fill {Path(path).resolve()}", "filled", f"fill {path}")

    def turn(self, word: int, bits: int) -> None:
        """Turn bits of a word of the SDRAM over."""
        self._tell(f"turn {word} {bits}", "turned", f"turn {word} {bits}")

    def _tell(self, command: str, wanted: str, what: str) -> None:
        try:
            self._stdin.write(command + "\n")
            self._stdin.flush()
            answer = self._stdout.readline().strip()
        except (OSError, ValueError):  # the pipe is broken, or closed
            answer = ""
        if answer != wanted:
            raise VirtualBoardError(f"virtual board: {what}: {answer or 'it is gone'}")

    def wait(self) -> int:
        """Until the board ends by itself; its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """End it; the link goes too."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        self._stderr.close()
