"""Regions of one patient against normative means and standard deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_INCHES, _PANEL_INCHES, _NAMES_INCHES, _DOTS_PER_INCH, _FONT_SIZE = 0.24, 3.2, 1.6, 150, 8.0
_INK, _BAND = "#20242c", "#cfdbe6"


def write_normative_plot(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw a panel for each method (column) and map (row): the patient's means over the band of mean ± 2 SD.

    Parameters
    ----------
    path : Path
        PNG file.
    rows : sequence of mapping
        With ``method``, ``map``, ``unit``, ``region``, ``mean``, ``normative_mean``, ``normative_sd`` and ``z_score``;
        those without normative values are left out.

    Raises
    ------
    InputError
        If none has a normative value.
    OutputError
        If it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = [row for row in rows if row["z_score"] is not None]
    if not known:
        raise InputError("plot", "no region with a normative value", "at least one")
    methods, maps = (list(dict.fromkeys(row[key] for row in known)) for key in ("method", "map"))
    regions = len({row["region"] for row in known})
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": _FONT_SIZE, "text.color": _INK}):
        size = (_PANEL_INCHES * len(methods) + _NAMES_INCHES, (_ROW_INCHES * regions + 0.9) * len(maps))
        figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
        panels = figure.subplots(len(maps), len(methods), squeeze=False)
        for line, name in zip(panels, maps, strict=True):
            for axes, method in zip(line, methods, strict=True):
                _panel(axes, [row for row in known if (row["map"], row["method"]) == (name, method)])
                axes.set_title(f"{name}, {method}", fontsize=_FONT_SIZE)
        with writing(path) as temporary:
            FigureCanvasAgg(figure).print_png(str(temporary))  # type: ignore[no-untyped-call]


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        axes.set_axis_off()
        return
    places = np.arange(len(rows))[::-1]
    means, spreads = (np.array([row[key] for row in rows]) for key in ("normative_mean", "normative_sd"))
    axes.barh(places, 4 * spreads, left=means - 2 * spreads, height=0.6, color=_BAND)
    axes.vlines(means, places - 0.3, places + 0.3, color="white")
    axes.scatter([row["mean"] for row in rows], places, s=14, color=_INK, zorder=3)
    for place, row in zip(places, rows, strict=True):
        text = f"z = {row['z_score']:+.1f}"
        axes.annotate(text, (1.0, float(place)), xycoords=("axes fraction", "data"), va="center", fontsize=6)
    axes.set_yticks(places, [row["region"] for row in rows])
    axes.set_xlabel(f"mean ({rows[0]['unit']}); band: normative mean ± 2 SD")
