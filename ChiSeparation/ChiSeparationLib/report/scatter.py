"""Means of regions, estimate against truth, as Figure 5 of Kim et al. 2025 draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ChiSepPreprocessLib.artifacts import ARTIFACTS
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing
from ChiSepReconstructLib.evaluation.regions import RegionComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUSCEPTIBILITY = ("chi_total", "chi_para", "chi_dia")
_PANEL_INCHES, _DOTS_PER_INCH, _FONT_SIZE = 2.6, 150, 8.0
_INK, _FAINT, _ACCENT = "#20242c", "#7a808c", "#1f5f8b"


def write_scatter(
    path: Path,
    found: Mapping[str, Mapping[str, RegionComparison]],
    *,
    reference: str = "truth",
    unit_of: Callable[[str], str] = lambda name: ARTIFACTS[name].unit,
) -> None:
    """Draw a panel for each estimate (column) and map (row): a point a region, the line, its slope and R².

    Where there are susceptibility maps, only they are drawn.

    Parameters
    ----------
    path : Path
        PNG file.
    found : mapping
        Estimate → artifact → comparison with a truth.
    reference : str
        What the truth is called.
    unit_of : callable
        Unit of an artifact's means.

    Raises
    ------
    InputError
        If nothing was compared with a truth.
    OutputError
        If it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for maps in found.values() for name, one in maps.items() if one.line))
    if not names:
        raise InputError("plot", "no regions with a truth", "a label map and a truth", "Add --labels and --truth.")
    names = [name for name in names if name in _SUSCEPTIBILITY] or names
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": _FONT_SIZE, "text.color": _INK}):
        size = (_PANEL_INCHES * len(found) + 0.4, _PANEL_INCHES * len(names) + 0.2)
        figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
        panels = figure.subplots(len(names), len(found), squeeze=False)
        for row, name in zip(panels, names, strict=True):
            compared = [maps.get(name) for maps in found.values()]
            limits = _limits([one for one in compared if one])
            for axes, label, one in zip(row, found, compared, strict=True):
                _panel(axes, one, limits) if one else axes.set_axis_off()
                axes.set_title(f"{name}, {label}" if one else "", fontsize=_FONT_SIZE)
                axes.set(xlabel=f"{reference} ({unit_of(name)})", ylabel=f"estimate ({unit_of(name)})")
        with writing(path) as temporary:
            FigureCanvasAgg(figure).print_png(str(temporary))  # type: ignore[no-untyped-call]


def _limits(compared: Sequence[RegionComparison]) -> tuple[float, float]:
    """Common to a row, so that its panels can be compared by eye."""
    means = [region.mean for one in compared for region in (*one.estimate, *(one.truth or ()))]
    margin = 0.06 * (max(means) - min(means) or 1.0)
    return min(0.0, min(means)) - margin, max(means) + margin


def _panel(axes: Axes, one: RegionComparison, limits: tuple[float, float]) -> None:
    if one.truth is None or one.line is None:
        return
    x, ends = [region.mean for region in one.truth], np.array(limits)
    axes.plot(ends, ends, color=_FAINT, linewidth=0.8, linestyle="--")
    axes.plot(ends, one.line.slope * ends + one.line.intercept, color=_ACCENT, linewidth=1.2)
    axes.scatter(x, [region.mean for region in one.estimate], s=12, color=_INK, zorder=3)
    explained = "" if one.line.r_squared is None else f"\nR² = {one.line.r_squared:.3f}"
    axes.text(0.05, 0.95, f"slope = {one.line.slope:.3f}{explained}", transform=axes.transAxes, va="top")
    axes.set(xlim=limits, ylim=limits, aspect="equal")
