# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The tables of `docs/results.md`, made from the record and the models, so that they cannot go stale unseen."""

import math
from collections.abc import Callable, Iterable, Mapping

from ds2ta.golden.operations import PARTS
from ds2ta.golden.sparsity import BlockSparsity
from ds2ta.model import IntegerModel
from ds2ta.records.markdown import fill, table
from ds2ta.records.results import bits_of
from ds2ta.records.rtl_runs import read_runs

__all__ = ["TABLES", "bits_rows", "render_page"]

Models = Mapping[str, IntegerModel]
_NONE = "No row is recorded yet."


def render_page(page: str, record: Mapping, models: Models) -> str:
    """The page with its tables made anew: those of `TABLES`, between `<!-- NAME -->` and `<!-- /NAME -->`."""
    for name, lines in TABLES.items():
        page = fill(page, name, lines(record, models))
    return page


def _table(header: tuple[str, ...], rows: Iterable[tuple]) -> list[str]:
    rows = list(rows)
    return table(header, rows) if rows else [_NONE]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _error(percent: float, samples: int) -> str:
    """One standard error of a share that was counted over so many samples."""
    share = percent / 100.0
    return f"{100.0 * math.sqrt(share * (1.0 - share) / samples):.2f}"


def _trained(about: Mapping, bits: int, made: Mapping, name: str) -> tuple:
    return (
        f"`{name}`",
        about["data"],
        bits,
        _percent(about.get("float_accuracy")),
        _percent(about["integer_accuracy"]),
        _error(about["integer_accuracy"], about["test_samples"]),
        about["test_samples"],
        about.get("seed", ""),
        f"{about['seconds']:.0f}, {about.get('threads', '?')}" if about.get("seconds") is not None else "",
        f"`{about['command']}`",
        made.get("hardware", "not recorded"),
        made.get("date", ""),
    )


_TRAINED = (
    "model",
    "data",
    "bits",
    "float %",
    "integer %",
    "standard error",
    "test samples",
    "seed",
    "seconds, threads",
    "command",
    "hardware",
    "date",
)


def _accuracy_table(record: Mapping, models: Models) -> list[str]:
    rows = [
        _trained(model.provenance, bits_of(model), record["accuracy"].get(name, {}), name)
        for name, model in models.items()
    ]
    return _table(_TRAINED, rows)


def bits_rows(record: Mapping, models: Models) -> list[dict]:
    """Accuracy against bits, by model and bits: the recorded models of other widths, and the shipped one of the
    same network."""
    found = [dict(row) for row in record["bits"]]
    for name in dict.fromkeys(row["model"] for row in record["bits"]):
        if name in models and bits_of(models[name]) not in [row["bits"] for row in found if row["model"] == name]:
            own = {"model": name, "bits": bits_of(models[name])}
            found.append({**models[name].provenance, **record["accuracy"].get(name, {}), **own})
    return sorted(found, key=lambda row: (row["model"], row["bits"]))


def _bits_table(record: Mapping, models: Models) -> list[str]:
    return _table(_TRAINED, [_trained(row, row["bits"], row, row["model"]) for row in bits_rows(record, models)])


def _sparsity_table(record: Mapping, _: Models) -> list[str]:
    header = (
        "model",
        "block",
        "samples",
        "zeros in S, %",
        "zeros after NSAD, %",
        "operations, dense",
        "energy before, nJ",
        "energy after, nJ",
        "kept entries, golden",
        "kept entries, RTL",
        "on samples",
        "command",
        "hardware",
        "date",
    )
    rows = []
    for name, found in record["activity"].items():
        rtl = found.get("rtl")
        for block in (BlockSparsity(**item) for item in found["blocks"]):
            counts = ("", "", "")
            if rtl:
                counts = (rtl["kept_golden"][block.block], rtl["kept"][block.block], rtl["samples"])
            rows.append(
                (
                    f"`{name}`",
                    block.block,
                    block.samples,
                    _percent(100 * block.score),
                    _percent(100 * block.denoised),
                    block.operations,
                    _percent(1e9 * block.energy_before),
                    _percent(1e9 * block.energy_after),
                    *counts,
                    f"`{found['command']}`",
                    found["hardware"],
                    found["date"],
                )
            )
    return _table(header, rows)


def _work_table(record: Mapping, _: Models) -> list[str]:
    header = ("model", "operations", "a sample", *(f"{part}, %" for part in PARTS), "command")
    rows = []
    for name, found in record["activity"].items():
        parts = {part["part"]: part for part in found["work"]}
        for key in ("dense", "done"):
            total = sum(part[key] for part in parts.values())
            shares = (f"{100 * parts[part][key] / total:.1f}" if part in parts else "" for part in PARTS)
            rows.append((f"`{name}`", key, f"{total:.0f}", *shares, f"`{found['command']}`"))
    return _table(header, rows)


def _rtl_table(record: Mapping, _: Models) -> list[str]:
    header = ("model", "samples", "what", "result", "command", "hardware", "date")
    rows = []
    for name, found in record["activity"].items():
        if rtl := found.get("rtl"):
            equal = "equal" if rtl["events"] == rtl["events_golden"] else "NOT EQUAL"
            result = (
                f"{equal}: {rtl['events']} events; {rtl['right']} of {rtl['samples']} right; "
                f"{rtl['cycles']:.0f} cycles a sample"
            )
            what = f"events of every pass and logits, {rtl['machine']} lanes, against golden"
            run = (f"`{found['command']}`", found["hardware"], found["date"])
            rows.append((f"`{name}`", rtl["samples"], what, result, *run))
    for name, seen in read_runs().items():
        result = (
            f"{seen['mismatches']} mismatches; {seen['accuracy']:.0f} % right; "
            f"{seen['cycles']['mean']:.0f} cycles a sample ({seen['cycles']['min']} to {seen['cycles']['max']})"
        )
        lanes = f"{seen['lanes']} x {seen['time_steps']} lanes"
        what = f"every layer, kept entry, logit and counter, {lanes}, against golden"
        about = (f"`{seen['command']}`", seen["machine"], seen["date"])
        rows.append((f"`{name}`", seen["samples"], what, result, *about))
    return _table(header, rows)


def _speed_table(record: Mapping, _: Models) -> list[str]:
    """A row without a peer (the integer golden model) leaves its columns empty."""
    titles = {
        "what": "what",
        "precision": "precision",
        "threads": "threads",
        "batch": "batch",
        "ours": "ours",
        "spikingjelly": "SpikingJelly",
        "spikingjelly_version": "its version",
        "spikingjelly_backend": "its backend",
        "ratio": "ratio",
        "ratio_by_cpu_time": "ratio by CPU time",
        "unit": "unit",
        "load": "load",
        "command": "command",
        "hardware": "hardware",
        "date": "date",
    }
    styles = {"ours": ".4g", "spikingjelly": ".4g", "ratio": ".2f", "ratio_by_cpu_time": ".2f"}

    def cell(row: Mapping, key: str) -> str:
        value = row.get(key)
        if value is None:
            return ""
        return format(value, styles.get(key, "")) if key != "command" else f"`{value}`"

    return _table(tuple(titles.values()), (tuple(cell(row, key) for key in titles) for row in record["speed"]))


TABLES: dict[str, Callable[[Mapping, Models], list[str]]] = {
    "accuracy": _accuracy_table,
    "bits": _bits_table,
    "sparsity": _sparsity_table,
    "work": _work_table,
    "rtl": _rtl_table,
    "speed": _speed_table,
}
