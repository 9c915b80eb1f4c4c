"""What a training run writes while it goes: a CSV of its losses, and TensorBoard where that package is installed.

The CSV belongs to the checkpoint: after an interruption, lines of steps that the checkpoint does not hold are taken
away, so that the file is the one of an uninterrupted run (but for the seconds).
"""

import csv
import os
from pathlib import Path

__all__ = ["FIELDS", "Journal", "read_journal"]

FIELDS = ("phase", "epoch", "step", "loss", "rate", "seconds")


class Journal:
    """Lines of a run whose checkpoint is `path`; without a path, nothing is written. Steps count from the start of
    their epoch; line (epoch, step) says what was lost in the steps since the line before."""

    def __init__(self, path: str | os.PathLike | None, *, epoch: int, step: int):
        self._file = self._board = None
        if path is None:
            return
        path = Path(path).with_suffix(".csv")
        kept = [row for row in read_journal(path) if (row["epoch"], row["step"]) <= (epoch, step)]
        self._file = path.open("w", newline="")
        self._writer = csv.DictWriter(self._file, FIELDS)
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._file.flush()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(path.with_suffix(".tensorboard"))

    def write(self, **row) -> None:
        """One line; keys are `FIELDS`, `epoch` counts whole epochs done."""
        if self._file is None:
            return
        self._writer.writerow(row)
        self._file.flush()
        if self._board is not None:
            self._board.add_scalar(f"loss/{row['phase']}", row["loss"], row["epoch"] * 1_000_000 + row["step"])

    def close(self) -> None:
        for part in (self._file, self._board):
            if part is not None:
                part.close()


def read_journal(path: str | os.PathLike) -> list[dict]:
    """The whole lines of a journal; none where there is no file."""
    path, found = Path(path), []
    if not path.is_file():
        return found
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if None in row.values() or None in row:
                break  # cut off in the middle of a line
            numbers = {name: float(row[name]) for name in ("loss", "rate", "seconds")}
            found.append({**row, **numbers, "epoch": int(row["epoch"]), "step": int(row["step"])})
    return found
