"""The record of quality on one page: slices, distributions, decay, numbers and warnings. It names no patient."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts import Acquisition, Array, MapSet
from ..errors import MissingDependencyError
from ..files import writing
from ..scene.colors import RATE, color_table
from ..scene.windows import GREY, preset
from ..steps import LARGE_RESIDUAL_RAD
from .record import QualityRecord
from .summary import Row, echo_rows, subtitle, summary_rows
from .views import Planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_A4_INCHES = (8.27, 11.69)
_DOTS_PER_INCH = 125
_MOST_BYTES = 400_000
_INK, _FAINT, _ALARM, _FINE = "#20242c", "#7a808c", "#b3460e", "#2e6f40"
_OUTLINE = "#59e0ff"
#: Characters in a line of the warnings, and the most lines.
_LINE, _MOST_LINES = 148, 14
_SMALL, _TEXT, _HEADING = 6.0, 7.0, 8.5
#: Heights of a line of the warnings and of a panel's title, the least of the tables, and the width of a block, inches.
_LINE_INCHES, _TITLE_INCHES, _NUMBERS_INCHES, _BLOCK_INCHES = 0.135, 0.27, 4.1, 3.5
#: Width of a colour bar over the height of its panel.
_BAR = 0.05
#: Left and right edge of everything, as shares of the width.
_EDGES = (0.045, 0.955)
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": _TEXT,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
}


@dataclass(frozen=True, eq=False)
class _Panel:
    """One map: title, values, or none, window and colours."""

    title: str
    unit: str
    data: Array | None
    minimum: float
    maximum: float
    table: str


def write_quality_picture(path: Path, record: QualityRecord, acquisition: Acquisition, maps: MapSet) -> None:
    """Draw the page as PNG, A4 upright.

    Parameters
    ----------
    path : Path
        The PNG file.
    record : QualityRecord
        Of :func:`.record.quality_record` for the same acquisition and maps.
    acquisition : Acquisition
        What was measured.
    maps : MapSet
        With ``brain_mask``; maps that are not there leave their panels empty.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("The quality picture needs matplotlib: pip install matplotlib.") from error
    with rc_context(_STYLE):
        figure = Figure(figsize=_A4_INCHES, dpi=_DOTS_PER_INCH, facecolor="white")
        canvas: Any = FigureCanvasAgg(figure)
        _draw(figure, record, acquisition, maps)
        canvas.draw()
        content = encoded(np.asarray(canvas.buffer_rgba())[..., :3])
    with writing(path) as temporary:
        temporary.write_bytes(content)


def encoded(pixels: Array, most_bytes: int = _MOST_BYTES) -> bytes:
    """As PNG with 32 levels of each colour, or 16 if the file gets too large: noise fills files.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
        sRGB.
    most_bytes : int
        Aimed at; with 16 levels the file is taken as it is.
    """
    from PIL import Image

    for bits in (5, 4):
        low = np.uint8(2 ** (8 - bits) - 1)
        levels = pixels & ~low | pixels >> np.uint8(bits)
        content = io.BytesIO()
        Image.fromarray(levels).save(content, format="PNG", optimize=True, dpi=(_DOTS_PER_INCH,) * 2)
        if content.tell() <= most_bytes:
            break
    return content.getvalue()


def _draw(figure: Figure, record: QualityRecord, acquisition: Acquisition, maps: MapSet) -> None:
    """Head, magnitude over the whole width, six maps, numbers; the magnitude gives way to many warnings."""
    lines = _warning_lines(record)
    planes = Planes(acquisition.grid, maps.array("brain_mask"))
    head = 0.80 + _LINE_INCHES * len(lines)
    row = min(_BLOCK_INCHES / (sum(planes.widths) + _BAR), 1.6)
    small = 3.0 * (row + _TITLE_INCHES)
    large = min(max(_A4_INCHES[1] - head - small - _NUMBERS_INCHES, row), 2.0 * row) + _TITLE_INCHES
    parts: Any = figure.subfigures(
        4, 1, hspace=0.0, height_ratios=[head, large, small, _A4_INCHES[1] - head - large - small]
    )
    _draw_head(parts[0], record, lines, head)
    panels = _panels(acquisition, maps)
    _draw_slices(parts[1], panels[:1], planes, (1, 1), large)
    _draw_slices(parts[2], panels[1:], planes, (3, 2), small)
    _draw_numbers(parts[3], record, acquisition, maps)


def _warning_lines(record: QualityRecord) -> list[tuple[str, bool]]:
    """Lines of the box, and whether each is an alarm."""
    if not (record.warnings or record.reported):
        return [("Nothing doubtful was found. Look at the mask's outline all the same.", False)]
    lines = [
        (line, text in record.warnings)
        for text in dict.fromkeys((*record.warnings, *record.reported))
        for line in textwrap.wrap(text, _LINE, initial_indent="• ", subsequent_indent="   ")
    ]
    if len(lines) > _MOST_LINES:
        return [*lines[: _MOST_LINES - 1], ("… more stands in the record.", True)]
    return lines


def _draw_head(part: SubFigure, record: QualityRecord, lines: Sequence[tuple[str, bool]], inches: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, right = _EDGES
    part.text(left, 1 - 0.30 / inches, "Quality of acquisition and maps", fontsize=13, weight="bold", va="center")
    part.text(left, 1 - 0.50 / inches, subtitle(record), color=_FAINT, va="center")
    color = _ALARM if record.warnings else _FAINT if record.reported else _FINE
    high, height = 1 - 0.64 / inches, (_LINE_INCHES * len(lines) + 0.08) / inches
    part.add_artist(FancyBboxPatch((left, high - height), right - left, height, boxstyle="square,pad=0", linewidth=0.9,
                                   edgecolor=color, facecolor="#fdf3ec" if record.warnings else "#f5f6f8",
                                   transform=part.transSubfigure))  # fmt: skip
    for number, (line, is_alarm) in enumerate(lines):
        place = high - (0.04 + _LINE_INCHES * (number + 0.5)) / inches
        part.text(left + 0.008, place, line, color=_ALARM if is_alarm else _INK, va="center_baseline")


def _panels(acquisition: Acquisition, maps: MapSet) -> list[_Panel]:
    mask = maps.array("brain_mask")
    magnitude = acquisition.gre_magnitude[..., 0]
    bright = float(np.percentile(magnitude[mask], 99.5))
    panels = [_Panel("Magnitude, first echo, and mask", "a.u.", magnitude, 0.0, bright, GREY)]
    for name, title in (("total_field", "Total field − median"), ("r2star", "R2*"), ("local_field", "Local field"),
                        ("r2", "R2"), ("r2prime", "R2′")):  # fmt: skip
        window, data = preset(name), None
        if name in maps:
            centre = np.median(maps.array(name)[mask]) if name == "total_field" else 0.0
            data = np.where(mask, maps.array(name) - centre, 0.0)
        panels.append(_Panel(title, window.unit, data, window.minimum, window.maximum, window.color_table))
    missed = np.where(mask, maps.array("phase_residual"), 0.0) if "phase_residual" in maps else None
    residual = _Panel("Phase residual, mean over echoes", "rad", missed, 0.0, LARGE_RESIDUAL_RAD, RATE)
    return [*panels[:5], residual, *panels[5:]]


def _draw_slices(
    part: SubFigure, panels: Sequence[_Panel], planes: Planes, shape: tuple[int, int], inches: float
) -> None:
    rows, columns = shape
    title = _TITLE_INCHES / (inches / rows)
    grid = part.add_gridspec(
        rows, columns, left=_EDGES[0], right=_EDGES[1] - 0.02, wspace=0.13,
        top=1 - 0.8 * title / rows, bottom=0.2 * title / rows, hspace=title / (1 - title),
    )  # fmt: skip
    for number, panel in enumerate(panels):
        place = grid[number // columns, number % columns]
        inner = place.subgridspec(1, 4, width_ratios=[*planes.widths, _BAR], wspace=0.02)
        _draw_panel([part.add_subplot(inner[0, column]) for column in range(4)], panel, planes)


def _draw_panel(axes: Sequence[Axes], panel: _Panel, planes: Planes) -> None:
    from matplotlib.colors import ListedColormap

    colors = "gray" if panel.table == GREY else ListedColormap(color_table(panel.table))
    axes[0].set_title(f"{panel.title} ({panel.unit})", loc="left", fontsize=_TEXT + 0.5, weight="bold", pad=3)
    for axis in axes[:3]:
        axis.set(xticks=[], yticks=[], facecolor="black")
        axis.spines[:].set_visible(False)
    if panel.data is None:
        axes[1].text(0.5, 0.5, "not available", color="white", ha="center", va="center", transform=axes[1].transAxes)
        axes[3].set_axis_off()
        return
    for axis, view, plane, outline in zip(
        axes, planes.views, planes.cut(panel.data), planes.cut(planes.mask), strict=False
    ):
        image = axis.imshow(plane, cmap=colors, vmin=panel.minimum, vmax=panel.maximum, aspect=view.aspect,
                            interpolation="hanning")  # fmt: skip
        if panel.table == GREY:
            axis.contour(outline, levels=[0.5], colors=[_OUTLINE], linewidths=0.7)
            _letter(axis, view.left, 0.03, 0.5, "left")
            _letter(axis, view.right, 0.97, 0.5, "right")
            _letter(axis, view.top, 0.5, 0.95, "center")
    bar = axes[3].figure.colorbar(image, cax=axes[3])
    bar.ax.tick_params(labelsize=_SMALL, length=1.5, width=0.5, pad=1.5)
    bar.set_ticks(np.linspace(panel.minimum, panel.maximum, 3).tolist())
    bar.outline.set_visible(False)


def _letter(axis: Axes, letter: str, x: float, y: float, align: str) -> None:
    from matplotlib.patheffects import withStroke

    axis.text(x, y, letter, color="white", fontsize=_SMALL, weight="bold", ha=align, va="center",
              transform=axis.transAxes, path_effects=[withStroke(linewidth=1.5, foreground="black")])  # fmt: skip


def _draw_numbers(part: SubFigure, record: QualityRecord, acquisition: Acquisition, maps: MapSet) -> None:
    grid = part.add_gridspec(2, 2, left=_EDGES[0] + 0.035, right=_EDGES[1], top=0.93, bottom=0.09,
                             wspace=0.14, hspace=0.52, width_ratios=[0.8, 1.0])  # fmt: skip
    _draw_rates(part.add_subplot(grid[0, 0]), record, maps)
    _draw_decay(part.add_subplot(grid[1, 0]), record, acquisition, maps)
    column = grid[:, 1].subgridspec(2, 1, height_ratios=[len(record.echoes) + 1.0, 18], hspace=0.15)
    _draw_table(part.add_subplot(column[0]), "Echoes", echo_rows(record), (0.20, 0.43, 0.63, 0.80, 1.0))
    _draw_table(part.add_subplot(column[1]), "Record", summary_rows(record), (1.0,))


def _plain(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=_HEADING, weight="bold", pad=4)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=_SMALL, length=2, width=0.5)


def _draw_rates(axis: Axes, record: QualityRecord, maps: MapSet) -> None:
    _plain(axis, "R2* and R2′ in the brain")
    mask, edges, rates = maps.array("brain_mask"), np.linspace(0.0, 60.0, 121), record.relaxation
    for name, title, median, color in (("r2star", "R2*", rates.r2star_per_s, "#7b3f8f"),
                                       ("r2prime", "R2′", rates.r2prime_per_s, "#d9822b")):  # fmt: skip
        if name in maps:
            values = maps.array(name)[mask]
            percent = 100.0 * np.histogram(values[values > 0], edges)[0] / values.size
            axis.stairs(percent, edges, color=color, fill=True, alpha=0.35)
            axis.stairs(percent, edges, color=color, linewidth=0.9, label=f"{title}, median {median or 0.0:.1f} 1/s")
    axis.set(xlabel="1/s", ylabel="% of voxels", xlim=(0, 60), ylim=(0, None))
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=_TEXT)


def _draw_decay(axis: Axes, record: QualityRecord, acquisition: Acquisition, maps: MapSet) -> None:
    _plain(axis, "Decay of the brain's mean signal")
    times_ms = [echo.time_ms for echo in record.echoes]
    mean = acquisition.gre_magnitude[maps.array("brain_mask")].mean(axis=0, dtype=np.float64)
    if len(times_ms) > 1 and mean.min() > 0:
        slope, start = np.polyfit(times_ms, np.log(mean), 1)
        line = np.linspace(0.0, 1.05 * times_ms[-1], 100)
        axis.plot(line, np.exp(start + slope * line), color=_FAINT, linewidth=1.0,
                  label=f"one exponential, {-1e3 * slope:.1f} 1/s")  # fmt: skip
    axis.plot(times_ms, mean, "o", color="#7b3f8f", markersize=4, label="measured")
    if record.signal.noise is not None:
        axis.axhline(record.signal.noise, color=_ALARM, linewidth=0.8, linestyle="--", label="noise")  # fmt: skip
    axis.set(xlabel="echo time (ms)", ylabel="signal (a.u.)", xlim=(0, 1.05 * times_ms[-1]), ylim=(0, None))
    axis.legend(frameon=False, fontsize=_TEXT)


def _draw_table(axis: Axes, title: str, rows: Sequence[Row], places: Sequence[float]) -> None:
    """Rows of text from the top; the first cell to the left, the others end at ``places``."""
    axis.set_axis_off()
    axis.set_title(title, loc="left", fontsize=_HEADING, weight="bold", pad=4)
    for number, row in enumerate(rows):
        y = 1.0 - (number + 0.6) / len(rows)
        style: dict[str, Any] = {"va": "center", "fontsize": _TEXT, "transform": axis.transAxes}
        style["color"] = _ALARM if row.is_broken else _FAINT if row.is_heading else _INK
        style["weight"] = "bold" if row.is_broken else "normal"
        axis.text(0.0, y, row.cells[0], **style)
        for x, cell in zip(places, row.cells[1:], strict=True):
            axis.text(x, y, cell, ha="right", **style)
        axis.plot([0, 1], [y - 0.5 / len(rows)] * 2, color="#e4e6ea", linewidth=0.5, transform=axis.transAxes)
