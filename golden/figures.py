"""Figures of a network, drawn with matplotlib: attention maps, denoiser curves, accuracy against bits.

Arrays in, files out; `golden/plot.py` finds the arrays. Equal input gives equal files: matplotlib's own defaults
instead of the user's, its bundled font, no date in the metadata, a fixed salt for the names inside an SVG.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = ["FORMATS", "HeadMap", "attention_figure", "bits_figure", "denoiser_figure", "draw"]

#: Format -> metadata without what changes from day to day.
FORMATS = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
_STYLE = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "ds2ta", "savefig.dpi": 150}
_ACROSS = 4  # heads side by side
_HEAT = "Reds"  # its zero is white: the picture alone
_BEFORE, _AFTER, _LEARNED = "#9a9a9a", "#1f4e9c", "#d1571b"


@dataclass(frozen=True)
class HeadMap:
    """One head of one sample: `score` and `denoised` `[grid height, grid width]`, the mean entry of each key over
    queries and time steps; the shares of zeros in the whole maps."""

    score: np.ndarray
    denoised: np.ndarray
    score_zeros: float
    denoised_zeros: float


def draw(figure: Callable[..., Figure], *arguments: object, kind: str) -> bytes:
    """The file that a figure function gives, in one of `FORMATS`."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        made, target = figure(*arguments), io.BytesIO()
        FigureCanvasAgg(made)
        made.savefig(target, format=kind, metadata=FORMATS[kind])
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
