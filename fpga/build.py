# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""From a model to a bitstream: the board top in the board's wrapper, synthesis, place and route, packing.

Amaranth's platform gives the RTLIL, the pin constraints and the command lines of the tools; synthesis is that of
`gateware.synthesis`, which leaves out the collision logic of the memories and maps ECP5 accumulators better than
`platform.build` would; nextpnr and the packers are those of YoWASP. The same sources, seed and tools give the same
bits, on any machine: all tools are WebAssembly or deterministic, and see neither paths nor time. A nextpnr of the
user's own may take the place of theirs; its version is then one of the tools.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ds2ta.errors import Ds2taError, FitError
from ds2ta.files import BUILD
from ds2ta.fpga.boards import Board
from ds2ta.fpga.design import TIMING, TOP, Design, design
from ds2ta.fpga.report import RESOURCES, Blocks, critical_path, packed, resources, timing
from ds2ta.fpga.tool_log import PHASES, Watch
from ds2ta.fpga.tools import run_tool
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.synthesis import synthesize_rtlil
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model, model_digest

__all__ = ["TimingError", "build", "build_board", "check_fit", "last_seconds", "up_to_date"]

_REPORT = "report.json"
#: Block -> the machine parameter that makes it smaller.
_SMALLER = {
    "engine": "lanes",
    "weight_store": "lanes",
    "tasa": "drain_lanes",
    "lif": "drain_lanes",
    "parameters": "drain_lanes",
    "head": "drain_lanes",
    "attention": "score_channels",
    "zero_skip": "buffer_rows",
    "reader": "row_lanes",
    "residual": "row_lanes",
    "bank_a": "row_lanes",
    "bank_b": "row_lanes",
}


class TimingError(FitError):
    """The routed design does not reach its clock."""


def check_fit(board: Board, used: Mapping[str, int], blocks: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse a design that uses more of a resource than the device has: one line with the resource, the need, the
    limit, and the machine parameter to lower, which is that of the largest block that has one."""
    for name, need in used.items():
        if need <= (limit := board.limits[name]):
            continue
        largest = max(_SMALLER, key=lambda block: blocks.get(block, {}).get(name, 0))
        mend = "set shifters=logic" if name == "multipliers" else f"lower {_SMALLER[largest]}"
        share = blocks.get(largest, {}).get(name, 0)
        raise FitError(
            f"{board.name}: needs {need} {RESOURCES[name]}, has {limit}: {mend} ({largest} takes {share})"
        )


def up_to_date(folder: Path, wanted: Design) -> dict | None:
    """The report in `folder` where it holds the bitstream of exactly this design."""
    try:
        report = json.loads((folder / _REPORT).read_text())
        bits = (folder / wanted.board.bitstream).read_bytes()
    except (OSError, ValueError):
        return None
    same = report["digest"] == wanted.digest and report["sha256"] == hashlib.sha256(bits).hexdigest()
    return report if same else None


def _pack(board: Board, command: Sequence[str], folder: Path) -> str:
    """Make the bitstream of a routed design; its SHA-256."""
    code, said = run_tool(command, folder)
    if code:
        raise Ds2taError(f"{board.name}: {command[0]} failed in {folder}: {_last_line(said)}")
    product = next(word for word in command if word.endswith((".bin", ".bit")))
    os.replace(folder / product, folder / board.bitstream)
    return hashlib.sha256((folder / board.bitstream).read_bytes()).hexdigest()


def last_seconds(folder: Path) -> dict[str, float]:
    """Seconds of each phase of the build that lies in `folder`, if one does."""
    try:
        return json.loads((folder / _REPORT).read_text())["seconds"]
    except (OSError, ValueError, KeyError):
        return {}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else builds into the folder while the block runs: of two at once neither's files would be whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Ds2taError(
                f"{folder}: another build is at work there; wait for its end, or give --out another folder"
            ) from None
        yield


def build(
    wanted: Design,
    *,
    cycles: Sequence[int],
    work: Mapping[str, Any] = MappingProxyType({}),
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    watch: Watch | None = None,
) -> dict:
    """Build the bitstream into `folder` (default `build/fpga/<board>/`) and return the report, which lies beside it
    as `report.json`; nothing is done where both are there already. `cycles` are the exact cycles of some images,
    `work` what the adders do meanwhile, which the report holds too.
    `progress` is told each step, `watch` all that the tools say; the report has the seconds of each phase.

    Raises `FitError` where the design does not fit, before place and route, and `TimingError` where the routed
    design misses its clock; then the report is written, and no bitstream; `Ds2taError` where another build is at
    work in the folder."""
    folder = folder or BUILD / "fpga" / wanted.board.name
    with _alone(folder):
        if (found := up_to_date(folder, wanted)) is not None:
            return found | {"work": dict(work)}
        return _build(wanted, cycles, work, folder, progress, watch or Watch(lambda *_: None))


def _build(
    wanted: Design,
    cycles: Sequence[int],
    work: Mapping[str, Any],
    folder: Path,
    progress: Callable[[str], None],
    watch: Watch,
) -> dict:
    """See `build`."""
    board = wanted.board
    for name in (board.bitstream, _REPORT, TIMING, f"{TOP}.tim"):
        (folder / name).unlink(missing_ok=True)
    progress("synthesis")
    watch.phase("synthesis")
    netlist = synthesize_rtlil(wanted.rtlil, TOP, board.family, watch.yosys, watch.tell)
    watch.end()
    mapped = json.loads(netlist.json.read_text())
    blocks = Blocks(mapped, top=TOP)
    counts, needs = blocks.counts(board.family), resources(board.family, netlist.cells)
    check_fit(board, needs, counts)  # what no packing can make fit
    progress(f"place and route, seed {wanted.seed}")
    watch.phase("placement")
    for name, text in wanted.constraints.items():
        (folder / name).write_text(text)
    (folder / f"{TOP}.json").write_text(_without_places(mapped))
    place, pack = wanted.commands
    log = folder / f"{TOP}.tim"
    code, said = run_tool(place, folder, nextpnr=wanted.nextpnr, log=log, line=watch.nextpnr, tick=watch.tell)
    watch.end()
    used = packed(board.family, log.read_text()) if log.exists() else {}
    check_fit(board, used, counts)
    if code:
        raise Ds2taError(f"{board.name}: {place[0]} failed in {folder}: {_last_line(said)}")
    routed = json.loads((folder / TIMING).read_text())
    fmax_hz, held = timing(routed, wanted.clock_hz)
    report = {
        "board": board.name,
        "title": board.title,
        "model": wanted.model.network.name,
        "model_sha256": model_digest(wanted.model),
        "machine": wanted.machine.model_dump(),
        "operations_per_cycle": wanted.machine.lanes * wanted.machine.time_steps * wanted.machine.events,
        "resources": {
            name: {"used": used.get(name, needs[name]), "mapped": needs[name], "available": board.limits[name]}
            for name in RESOURCES
        },
        "blocks": counts,
        "timing": {
            "fmax_hz": fmax_hz,
            "clock_hz": wanted.clock_hz,
            "crystal_hz": board.crystal_hz,
            "held": held,
            "critical_path": critical_path(routed, blocks),
        },
        "cycles_per_image": sum(cycles) / len(cycles),
        "images": len(cycles),
        "images_per_second": wanted.clock_hz * len(cycles) / sum(cycles),
        "work": dict(work),
        "seed": wanted.seed,
        "tools": wanted.tools,
        "digest": wanted.digest,
        "sha256": None,
    }
    if held:
        progress("packing")
        watch.phase("packing")
        report["sha256"] = _pack(board, pack, folder)
        watch.end()
    # a netlist that was there already says how long it took when it was made
    taken = watch.seconds | ({"synthesis": netlist.seconds} if netlist.seconds is not None else {})
    report["seconds"] = {name: round(taken[name], 1) for name in PHASES if name in taken}
    (folder / _REPORT).write_text(json.dumps(report, indent=1) + "\n")
    if not held:
        raise TimingError(_miss(report))
    return report


def build_board(
    board: Board,
    *,
    cycles: Callable[[IntegerModel, Machine, Program], Sequence[int]],
    work: Callable[[IntegerModel, Machine, Program], Mapping[str, Any]] = lambda *_: {},
    model: Path | None = None,
    choices: Mapping[str, int | str] | None = None,
    clock_hz: float | None = None,
    seed: int | None = None,
    tries: int = 1,
    boots: bool = False,
    nextpnr: Path | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    watch: Watch | None = None,
) -> dict:
    """`build` for a board and a model file (default: the board's), with up to `tries` seeds, from `seed` upwards,
    until one reaches the clock. `cycles` gives the exact cycles of some images of a model on a machine, from its
    program there, `work` what the adders do meanwhile."""
    loaded = load_model(model or board.model_path)
    first = board.fitting(loaded).seed if seed is None else seed
    for number in range(first, first + tries):
        wanted = design(
            board,
            model=loaded,
            choices=choices,
            clock_hz=clock_hz,
            seed=number,
            boots=boots,
            nextpnr=nextpnr,
        )
        try:
            on_it = loaded, wanted.machine, wanted.program
            return build(
                wanted, cycles=cycles(*on_it), work=work(*on_it), folder=folder, progress=progress, watch=watch
            )
        except TimingError as error:
            if number == first + tries - 1:
                raise
            progress(str(error))
    raise FitError(f"tries: {tries} must be at least 1")


def _without_places(netlist: dict) -> str:
    """A netlist as nextpnr shall read it: without `src`, which tells where the packages are installed."""
    for kind in ("cells", "netnames"):
        for item in netlist["modules"][TOP][kind].values():
            item["attributes"].pop("src", None)
    return json.dumps(netlist)


def _miss(report: Mapping) -> str:
    """One line about a clock that is not reached."""
    clock, path = report["timing"], report["timing"]["critical_path"]
    short = 1e9 / clock["fmax_hz"] - 1e9 / clock["clock_hz"]
    return (
        f"{report['board']}: timing missed by {short:.1f} ns: {clock['fmax_hz'] / 1e6:.2f} MHz routed, "
        f"{clock['clock_hz'] / 1e6:g} MHz wanted; critical path {' - '.join(path['blocks'])}, "
        f"{path['logic_ns']} ns logic, {path['routing_ns']} ns routing; lower --clock or give --tries"
    )


def _last_line(said: str) -> str:
    errors = re.findall(r"^ERROR: .*", said, re.M)
    return (errors or said.strip().splitlines() or ["no output"])[-1][:200]
