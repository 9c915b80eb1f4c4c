# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The record of the last builds of all boards, `docs/boards.json`, and the table made from it.

`ds2ta build --board all --record` renews those of the boards with their own models, and `--board NAME --model FILE
--record` that of another network which the board has a fitting for. Each entry carries the digest of all that its
bitstream was made from, which a test computes again, without place and route: a changed design makes the record
stale.
"""

import json
from collections.abc import Iterable, Mapping

from ds2ta.files import DOCS
from ds2ta.records.markdown import table

__all__ = ["RECORD", "board_table", "read_boards", "record_key", "write_boards"]

RECORD = DOCS / "boards.json"


def record_key(board: str, network: str) -> str:
    """Where the report of a board with a network stands."""
    return f"{board}/{network}"


def read_boards() -> dict[str, dict]:
    """Board and network, as `record_key` joins them, -> report of the recorded build, of those that have one."""
    return json.loads(RECORD.read_text()) if RECORD.is_file() else {}


def write_boards(reports: Iterable[Mapping]) -> None:
    """Put reports of builds in the place of the older ones of the same boards and networks."""
    anew = {record_key(report["board"], report["model"]): report for report in reports}
    known = dict(sorted((read_boards() | anew).items()))
    RECORD.write_text(json.dumps(known, indent=1) + "\n")


def board_table(reports: Iterable[Mapping]) -> list[str]:
    """Markdown: one row for each board and network."""
    header = (
        "board",
        "model",
        "lanes P x T",
        "LUT",
        "FF",
        "block RAM",
        "SPRAM",
        "DSP",
        "Fmax, MHz",
        "clock, MHz",
        "cycles an image",
        "images/s",
        "critical path",
    )
    rows = []
    for report in reports:
        clock, path = report["timing"], report["timing"]["critical_path"]
        times = f"{path['logic_ns']:.1f} ns logic, {path['routing_ns']:.1f} ns routing"
        used = (f"{used['used']} of {used['available']}" for used in report["resources"].values())
        rows.append(
            (
                report["title"],
                report["model"],
                f"{report['machine']['lanes']} x {report['machine']['time_steps']}",
                *used,
                f"{clock['fmax_hz'] / 1e6:.1f}",
                f"{clock['clock_hz'] / 1e6:g}",
                f"{report['cycles_per_image']:.0f}",
                f"{report['images_per_second']:.0f}",
                f"{', '.join(path['blocks'])}: {times}",
            )
        )
    return table(header, rows)
