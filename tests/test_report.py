"""The README's tables are those of the recorded figures, and the figures are those of this hardware."""

from ds2ta.files import ROOT
from ds2ta.records.readme import read_figures, render, source_digest

STALE = "run `ds2ta bench --record`"


def test_readme_shows_the_recorded_figures():
    text = (ROOT / "README.md").read_text()
    assert render(text, read_figures()) == text, STALE


def test_figures_belong_to_the_hardware():
    """Any change of the netlists or of the models makes the recorded figures old."""
    assert read_figures()["sources"] == source_digest(), STALE


def test_render_shows_a_changed_figure():
    figures = read_figures()
    figures["cycles"][0]["cycles_per_image"] += 1
    text = (ROOT / "README.md").read_text()
    assert render(text, figures) != text
