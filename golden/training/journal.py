# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What a training run writes while it goes: a CSV of its losses, and TensorBoard where that package is installed.

The CSV belongs to the checkpoint: after an interruption, lines of steps that the checkpoint does not hold are taken
away, so that the file is the one of an uninterrupted run (but for the seconds). TensorBoard is told to forget them.
"""

import csv
import os
from pathlib import Path

from ds2ta.errors import DataError

__all__ = ["FIELDS", "Journal", "journal_path", "read_journal"]

FIELDS = ("phase", "epoch", "step", "loss", "rate", "seconds", "accuracy")


def journal_path(path: str | os.PathLike, kind: str = ".csv") -> Path:
    """The journal beside a state: `run.safetensors` has `run.csv`, any other name gets the ending behind it."""
    path = Path(path)
    return path.with_suffix(kind) if path.suffix == ".safetensors" else path.with_name(path.name + kind)


class Journal:
    """Lines of a run whose checkpoint is `path`; without a path, nothing is written. Steps count from the start of
    their epoch, which has `steps`; line (epoch, step) says what was lost in the steps since the line before, and
    the last one of an epoch the accuracy on held-out samples, percent, where it was measured."""

    def __init__(self, path: str | os.PathLike | None, *, epoch: int, step: int, steps: int):
        self._file = self._board = None
        self._steps = steps
        if path is None:
            return
        place = journal_path(path)
        kept = [row for row in read_journal(place) if (row["epoch"], row["step"]) <= (epoch, step)]
        partial = place.with_name(place.name + ".partial")
        try:
            with partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(kept)
            partial.replace(place)  # a run that is killed here still has its history
            self._file = place.open("a", newline="")
        except OSError as error:
            raise DataError(f"{place}: cannot be written ({error.strerror}); give another --state") from None
        self._writer = csv.DictWriter(self._file, FIELDS)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(journal_path(path, ".tensorboard"), purge_step=epoch * steps + step + 1)

    def write(self, **row) -> None:
        """One line; keys are `FIELDS`, `epoch` counts whole epochs done."""
        if self._file is None:
            return
        self._writer.writerow(row)
        self._file.flush()
        if self._board is not None:
            step = row["epoch"] * self._steps + row["step"]
            self._board.add_scalar(f"loss/{row['phase']}", row["loss"], step)
            self._board.add_scalar("rate", row["rate"], step)
            if row.get("accuracy") is not None:
                self._board.add_scalar(f"held-out accuracy/{row['phase']}", row["accuracy"], step)

    def close(self) -> None:
        for part in (self._file, self._board):
            if part is not None:
                part.close()


def read_journal(path: str | os.PathLike) -> list[dict]:
    """The whole lines of a journal; none where there is no file. A line that was cut off is the end."""
    path = Path(path)
    found: list[dict] = []
    if not path.is_file():
        return found
    with path.open(newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                numbers: dict[str, float | None] = {name: float(row[name]) for name in ("loss", "rate", "seconds")}
                numbers["accuracy"] = float(row["accuracy"]) if row["accuracy"] else None
                found.append({**row, **numbers, "epoch": int(row["epoch"]), "step": int(row["step"])})
            except (KeyError, TypeError, ValueError):
                break
            if set(row) != set(FIELDS):
                found.pop()
                break
    return found
