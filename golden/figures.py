# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Figures of a network, drawn with matplotlib: attention maps, denoisers, accuracy against bits, cycles by pass.

Arrays in, files out; `golden/plot.py` finds the arrays. Equal input gives equal files: matplotlib's own defaults
instead of the user's, its bundled font, no date in the metadata, a fixed salt for the names inside an SVG.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = [
    "FORMATS",
    "HeadMap",
    "attention_figure",
    "bits_figure",
    "cycles_figure",
    "denoiser_figure",
    "draw",
    "map_figure",
]

#: Format -> metadata without what changes from day to day.
FORMATS: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
_STYLE: dict[str, Any] = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "ds2ta", "savefig.dpi": 150}
_ACROSS = 4  # heads side by side
_HEAT = "Reds"  # its zero is white: the picture alone
_KINDS = ("#8c8c8c", "#1f4e9c", "#c9a13b", "#8a63b8", "#4f9a5b")
_BEFORE, _AFTER, _LEARNED = "#9a9a9a", "#1f4e9c", "#d1571b"


@dataclass(frozen=True)
class HeadMap:
    """One head of one sample: `score` and `denoised` `[grid height, grid width]`, the mean entry of each key over
    queries and time steps; the shares of zeros in the whole maps."""

    score: np.ndarray
    denoised: np.ndarray
    score_zeros: float
    denoised_zeros: float


def draw(figure: Callable[..., Figure], *arguments: object, kind: str, description: str | None = None) -> bytes:
    """The file that a figure function gives, in one of `FORMATS`; `description` is put into its metadata."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]  # its stubs list every key as a literal
        made, target = figure(*arguments), io.BytesIO()
        FigureCanvasAgg(made)
        made.savefig(target, format=kind, metadata=FORMATS[kind] | {"Description": description})
    return target.getvalue()


def attention_figure(title: str, caption: str, picture: np.ndarray, step: int, heads: Sequence[HeadMap]) -> Figure:
    """`caption` says what the `picture` shows, which is `[height, width]` or RGB, 0..1; `step` pixels lie between
    the middles of two tokens. For each head the map before NSAD above the one after it, each with its own colour
    scale, over a pale picture."""
    bands = -(-len(heads) // _ACROSS)
    across = min(len(heads), _ACROSS)
    figure = Figure(figsize=(max(8.0, 2.7 * (across + 1)), 0.9 + 5.0 * bands), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(2 * bands, across + 1, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    panels[0, 0].imshow(picture, cmap="gray", vmin=0.0, vmax=1.0)
    panels[0, 0].set_title(caption, fontsize=9)
    for number, head in enumerate(heads):
        row, column = 2 * (number // _ACROSS), 1 + number % _ACROSS
        for panel, name, values, zeros in (
            (panels[row, column], "S, before NSAD", head.score, head.score_zeros),
            (panels[row + 1, column], "A, after NSAD", head.denoised, head.denoised_zeros),
        ):
            heat = ScalarMappable(Normalize(0.0, float(values.max()) or 1.0), _HEAT)
            panel.imshow(_over(picture, heat.to_rgba(values)[..., :3], step))
            panel.set_title(f"head {number}: {name}\n{100 * zeros:.2f} % zeros", fontsize=9)
            bar = figure.colorbar(heat, ax=panel, fraction=0.046, pad=0.03)
            bar.ax.tick_params(labelsize=7)
            bar.locator = MaxNLocator(4)
            bar.update_ticks()
    return figure


def _over(picture: np.ndarray, colours: np.ndarray, step: int) -> np.ndarray:
    """Colours `[grid height, grid width, 3]` times the pale grey picture, ink on white, with two dots a pixel: a
    token of a pooled stem begins and ends in the middle of a pixel."""
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    pale = 0.4 + 0.6 * (grey if grey.mean() > 0.4 else 1.0 - grey)
    places = [(np.arange(2 * size) - 0.5) / 2 for size in grey.shape]  # of the dots, in pixels
    rows, columns = (
        np.minimum(np.floor(place / step + 0.5).astype(int), count - 1)
        for place, count in zip(places, colours.shape[:2], strict=True)
    )
    return pale.repeat(2, axis=0).repeat(2, axis=1)[..., None] * colours[rows][:, columns]


def map_figure(title: str, scores: np.ndarray, denoised: np.ndarray) -> Figure:
    """`scores` and `denoised` `[time steps, heads, queries, keys]`: for each head the map S above the map A, each
    the sum over time steps. What is zero in every step is white."""
    heads = scores.shape[1]
    figure = Figure(figsize=(max(6.0, 0.7 + 2.6 * heads), 7.0), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(2, heads, squeeze=False)
    for row, (name, maps) in enumerate((("S, before NSAD", scores), ("A, after NSAD", denoised))):
        for head, panel in enumerate(panels[row]):
            total = maps[:, head].sum(axis=0)
            shown = np.ma.masked_equal(total, 0)
            panel.imshow(shown, cmap="magma_r", vmin=0.0, vmax=float(total.max()) or 1.0)
            zeros = float((maps[:, head] == 0).mean())
            panel.set_title(f"head {head}: {name}\n{100 * zeros:.1f} % zeros", fontsize=9)
            panel.tick_params(labelsize=7)
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for panel in panels[:, 0]:
        panel.set_ylabel("query token", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("key token", fontsize=8)
    return figure


def denoiser_figure(
    title: str, tables: np.ndarray, scores: np.ndarray, learned: tuple[np.ndarray, np.ndarray] | None
) -> Figure:
    """`tables` `[heads, d + 1]`, entries for scores 0..d; `scores` `[heads, d + 1]`, the share of each score in the
    maps of real samples; `learned`: scores `[m]` and the formula's values `[heads, m]` before rounding."""
    heads, entries = tables.shape
    across = min(heads, _ACROSS)
    rows = -(-heads // across)
    figure = Figure(figsize=(max(6.0, 1.0 + 3.6 * across), 1.3 + 2.7 * rows), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(rows, across, squeeze=False)
    axis, top = np.arange(entries), max(int(tables.max()), entries - 1)
    for number, panel in enumerate(panels.flat):
        if number >= heads:
            panel.set_axis_off()
            continue
        share = panel.twinx()
        share.bar(axis, scores[number], width=0.8, color="#e4e4e4")
        share.set_yscale("log")
        share.set_ylim(1e-5, 1.0)
        share.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        share.tick_params(labelsize=7, colors="#8a8a8a")
        if number % across == across - 1 or number == heads - 1:
            share.set_ylabel("share of the scores", fontsize=8, color="#8a8a8a")
        panel.set_zorder(share.get_zorder() + 1)
        panel.set_frame_on(False)
        panel.plot(axis, axis, color=_BEFORE, linestyle=":", linewidth=1, label="identity (no denoiser)")
        if learned is not None:
            panel.plot(learned[0], learned[1][number], color=_LEARNED, linewidth=1.2, label="learned formula")
        panel.step(axis, tables[number], where="mid", color=_AFTER, linewidth=1.2, label="integer table")
        panel.plot(axis, tables[number], ".", color=_AFTER, markersize=4)
        removed = np.flatnonzero(tables[number][1:] == 0).size
        panel.set_title(f"head {number}: {removed} of {entries - 1} scores above 0 give 0", fontsize=9)
        panel.set_ylim(-0.03 * top, 1.05 * top)
        panel.set_xlim(-0.6, entries - 0.4)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("score s")
        if number % across == 0:
            panel.set_ylabel("entry of the map A")
    lines, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(lines), fontsize=8)
    return figure


def bits_figure(title: str, rows: Iterable[Mapping]) -> Figure:
    """Rows of one network with `bits`, `integer_accuracy`, `float_accuracy`, `test_samples`."""
    rows = sorted(rows, key=lambda row: row["bits"])
    bits = [row["bits"] for row in rows]
    found = np.array([row["integer_accuracy"] for row in rows])
    error = np.sqrt(found * (100.0 - found) / [row["test_samples"] for row in rows])
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    panel = figure.subplots()
    panel.set_title(title, fontsize=11)
    for value in sorted({row["float_accuracy"] for row in rows if row.get("float_accuracy") is not None}):
        panel.axhline(value, color=_LEARNED, linestyle="--", linewidth=1, label=f"float, {value:.2f} %")
    panel.errorbar(
        bits, found, yerr=error, color=_AFTER, marker="o", capsize=3, label="integer (bar: one standard error)"
    )
    for x, y in zip(bits, found, strict=True):
        panel.annotate(f"{y:.2f}", (x, y), xytext=(6, -11), textcoords="offset points", fontsize=8)
    panel.set_xticks(bits)
    panel.set_xlim(min(bits) - 0.5, max(bits) + 0.5)
    panel.set_xlabel("bits of a weight")
    panel.set_ylabel("held-out accuracy, %")
    panel.grid(axis="y", color="#e4e4e4")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def cycles_figure(models: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Title -> passes with `pass`, `kind` and `cycles`, in the order in which they run, from top to bottom."""
    across = 2
    rows = -(-len(models) // across)
    figure = Figure(figsize=(10.0, 4.1 * rows), layout="constrained")
    panels = figure.subplots(rows, across, squeeze=False)
    kinds = dict.fromkeys(item["kind"] for passes in models.values() for item in passes)
    colours = dict(zip(kinds, _KINDS, strict=False))
    for panel, (title, passes) in zip(panels.flat, models.items(), strict=False):
        cycles = np.array([item["cycles"] for item in passes])
        places = np.arange(len(passes))
        panel.barh(places, cycles, color=[colours[item["kind"]] for item in passes], height=0.75)
        for place, value in zip(places, cycles, strict=True):
            text = f" {value:,.0f}  {100 * value / cycles.sum():.0f} %"
            panel.text(value, place, text, va="center", fontsize=7, color="#444444")
        panel.set_yticks(places, [item["pass"] for item in passes], fontsize=7.5)
        panel.invert_yaxis()
        panel.set_xlim(0, 1.22 * cycles.max())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.tick_params(axis="x", labelsize=7.5)
        panel.set_title(title, fontsize=10)
        panel.set_axisbelow(True)
        panel.grid(axis="x", color="#e4e4e4")
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    for panel in list(panels.flat)[len(models) :]:
        panel.set_axis_off()
    marks = [Rectangle((0, 0), 1, 1, color=colours[kind]) for kind in kinds]
    figure.legend(marks, list(kinds), loc="outside lower center", ncols=len(marks), fontsize=8)
    return figure
