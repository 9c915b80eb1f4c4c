# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The demonstration: real images through the pins of a simulated board, by the driver that serves real ones."""

import numpy as np
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ds2ta.errors import ImageError
from ds2ta.fpga.host import Board, BoardResult
from ds2ta.fpga.progress import Bars
from ds2ta.fpga.top import DEFAULT_BAUD
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import STORES
from ds2ta.golden import slow
from ds2ta.model import IntegerModel
from ds2ta.sim.virtual import VirtualBoard

__all__ = ["demo", "picture"]

_SHADES = " ░▒▓█"
_PLAIN_SHADES = " .+#@"
_CAPTION = 24  # columns of a panel, at least
_FRAME = 4  # of them its sides
_BITS = 10  # of a byte on the line


def picture(sample: np.ndarray, console: Console) -> Text:
    """A sample as text, two columns a pixel: the mean over its channels and, of frames, over time; the largest
    value is white."""
    values = sample.reshape(-1, *sample.shape[-2:]).mean(axis=0)
    values = values / max(1, values.max())
    shades = _SHADES if console.encoding.lower().startswith("utf") else _PLAIN_SHADES
    text = Text(no_wrap=True)
    for row in values:
        for value in row:
            if console.color_system:
                grey = round(255 * value)
                text.append("  ", style=f"on rgb({grey},{grey},{grey})")
            else:
                text.append(2 * shades[round(value * (len(shades) - 1))])
        text.append("\n")
    return text


def _panel(number: int, result: BoardResult, label: int, equal: bool, seconds: float, body: Text) -> Panel:
    width = max(_CAPTION, max(len(line) for line in body.plain.splitlines()) + _FRAME)
    *_, second, first = sorted(result.logits)
    body.append(f"class {result.class_index}", style="bold")
    body.append(" = label\n" if result.class_index == label else f", label {label}\n")
    body.append(f"margin {first - second}\n{result.cycles} cycles\nlink {1000 * seconds:.1f} ms\n")
    style = "green" if equal else "bold red"
    body.append("equals golden" if equal else "DIFFERS from golden", style=style)
    return Panel(body, title=f"image {number}", border_style=style, width=width)


def demo(
    model: IntegerModel,
    machine: Machine,
    *,
    count: int,
    clock_hz: int,
    baud: int = DEFAULT_BAUD,
    console: Console,
) -> int:
    """Classify the first `count` held-out samples of the model file on a virtual board, show each, and compare
    class and logits with the slow golden model. Returns how many differ."""
    if not 1 <= count <= len(model.samples):
        carried = f"1..{len(model.samples)}" if len(model.samples) else "none"
        raise ImageError(f"demo of {count} images: {model.network.name} carries {carried}")
    console.print(f"building the board for {model.network.name} (about a minute where the design is new)")
    virtual = VirtualBoard(machine, model, clock_hz=clock_hz, baud=baud)
    with virtual, Board.open(virtual.device, baud=baud) as board:
        found = board.identify()
        console.print(
            f"{virtual.device}: {found.machine.lanes} x {found.machine.time_steps} lanes at "
            f"{found.clock_hz / 1e6:g} MHz, UART at {baud} baud, register map {found.version[0]}.{found.version[1]}"
        )
        with Bars(console) as bars:
            board.load(model, progress=bars)
        console.print(f"{model.network.name} loaded: {board.traffic.sent} bytes sent; memory check: good")
        show = _Show(model, board, baud, console)
        results = board.infer(model.samples[:count], each=show)
        show.flush()
        scans = board.read("scans")[0]
        crcs = board.read("check_found", count=len(STORES))
    memories = ", ".join(f"{name} {crc:08x}" for name, crc in zip(STORES, crcs, strict=True))
    cycles = [result.cycles for result in results]
    mean = sum(cycles) / count
    table = Table(show_header=False)
    for row in (
        ("equal to golden (class and logits)", f"{count - show.different} of {count}"),
        ("equal to the label", f"{show.right} of {count}"),
        ("memories", f"good in {scans} scans: {memories}"),
        ("cycles an image", f"{mean:.0f} ({min(cycles)} to {max(cycles)})"),
        (f"images/s at {clock_hz / 1e6:g} MHz", f"{clock_hz / mean:.0f}; {count / show.wire:.0f} over this UART"),
    ):
        table.add_row(*row)
    console.print(table)
    return show.different


class _Show:
    """Shows results as they come, in rows of panels as wide as the console."""

    def __init__(self, model: IntegerModel, board: Board, baud: int, console: Console):
        self._model, self._traffic, self._baud, self._console = model, board.traffic, baud, console
        self._bytes = self._moved()
        self._row: list[Panel] = []
        self.different = self.right = 0
        self.wire = 0.0  # seconds on the line

    def _moved(self) -> int:
        return self._traffic.sent + self._traffic.received

    def __call__(self, number: int, result: BoardResult) -> None:
        sample, label = self._model.samples[number], int(self._model.labels[number])
        seconds = (self._moved() - self._bytes) * _BITS / self._baud
        self._bytes = self._moved()
        logits = slow.run(self._model, sample)["logits"]
        equal = result.logits == tuple(logits.tolist()) and result.class_index == int(logits.argmax())
        self.wire += seconds
        self.different += not equal
        self.right += result.class_index == label
        image = picture(sample, self._console)
        panel = _panel(number, result, label, equal, seconds, image)
        if self._row and sum(one.width or 0 for one in self._row) + (panel.width or 0) > self._console.width:
            self.flush()
        self._row.append(panel)

    def flush(self) -> None:
        if self._row:
            self._console.print(Columns(self._row, padding=0))
        self._row = []
