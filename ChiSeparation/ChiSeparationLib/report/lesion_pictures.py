"""Key slices of a lesion report: FLAIR or magnitude, χ_para and χ_dia with the lesions' outlines, drawn from the maps.

Slices are near-axial planes of the maps' own grid, anterior up, the patient's right on the left. Nothing is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.quality.views import to_ras

from ..lesions.grades import Grade
from ..lesions.reading import Lesion
from .lesion_study import LesionStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Outline of each grade: warm above the white matter, cool below, so that red-green blindness does not matter.
GRADE_COLORS: Mapping[Grade | None, str] = {
    Grade.HYPER: "#ff5a1f",
    Grade.SUBTLE_HYPER: "#ffc14d",
    Grade.ISO: "#f5f5f5",
    Grade.SUBTLE_HYPO: "#7fd3ff",
    Grade.HYPO: "#4a90ff",
    None: "#57d977",
}
NOT_GRADED = "not graded"
#: Outlines on FLAIR and magnitude, which are not graded.
_PLACE_COLOR = "#ee82ff"

#: Largest susceptibility shown, ppb: white matter has 17 (para) and 29 (dia), so that both sides of it are seen.
WINDOW_PPB = 60.0

#: Slices nearer than this show the same.
_APART_MM = 6.0
#: Weight of a lesion without findings; of others it is added to the sizes of their grades' ranks.
_SOME = 0.25
#: Share of the brain's voxels that are darker than white in the anatomical image, percent.
_WHITE_PERCENT = 99.5
#: Numbers beside outlines; more would hide the slice.
_MOST_NUMBERS = 12
_MARGIN_VOXELS = 3
_TITLES = {"flair": "FLAIR", "magnitude": "GRE magnitude", "chi_para": f"χ para, 0 to {WINDOW_PPB:g} ppb",
           "chi_dia": f"χ dia, 0 to {WINDOW_PPB:g} ppb"}  # fmt: skip
#: Of the picture: titles above, between panels, legend below; inches.
_TITLE_INCHES, _GAP_INCHES, _LEGEND_INCHES = 0.2, 0.04, 0.24


@dataclass(frozen=True, eq=False)
class KeySlices:
    """Which slices a report shows, and how lesions are coloured in them.

    Parameters
    ----------
    study : LesionStudy
        Lesions, maps and grades.
    suggestions : bool
        Where no reader graded, colour by the computed suggestion, with a dashed line.
    most : int
        Number of slices at most.
    """

    study: LesionStudy
    suggestions: bool = False
    most: int = 2

    @cached_property
    def pipeline(self) -> str:
        """The pipeline whose maps are shown: the first that was graded, else the first."""
        return next((one.pipeline for one in self.study.sources if one.pipeline in self.study.maps),
                    next(iter(self.study.maps)))  # fmt: skip

    @cached_property
    def panels(self) -> tuple[str, ...]:
        """Images side by side."""
        maps = self.study.maps[self.pipeline]
        anatomy = next((name for name in ("flair", "magnitude") if name in self.study.images), None)
        return (*([anatomy] if anatomy else []), *(name for name in ("chi_para", "chi_dia") if name in maps))

    def grade(self, lesion: Lesion, map_name: str) -> tuple[Grade | None, bool]:
        """First reader's grade, or the suggestion; and whether it is a suggestion."""
        for source in self.study.sources:
            said = self.study.judgement(lesion.lesion_id, map_name, source)
            if source.pipeline == self.pipeline and said is not None and said.grade is not None:
                return said.grade, False
        suggested = self.study.suggested(lesion.lesion_id, map_name, self.pipeline) if self.suggestions else None
        return suggested, suggested is not None

    @cached_property
    def slices(self) -> tuple[int, ...]:
        """Indices along the patient's axis, from superior to inferior, which show the clearest findings."""
        shares = self._shares()
        chosen: list[int] = []
        for _ in range(self.most):
            scores = shares.sum(axis=0)
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                break
            chosen.append(best)
            near = np.abs(np.arange(scores.size) - best) * self.voxel_size_mm[2] < _APART_MM
            shares[shares[:, best] > 0] = 0.0  # a lesion counts once
            shares[:, near] = 0.0
        return tuple(sorted(chosen, reverse=True)) or (self.turned_labels.shape[2] // 2,)

    def _shares(self) -> NDArray[np.float64]:
        """How much of each lesion every slice shows, weighted by how clear its grades are; shape (lesions, slices)."""
        lesions, depth = self.study.reading.lesions, self.turned_labels.shape[2]
        i, j, k = np.nonzero(self.turned_labels)
        rows = np.zeros(int(self.turned_labels.max(initial=0)) + 1, dtype=np.intp)
        rows[[self.study.label(lesion) for lesion in lesions]] = np.arange(len(lesions))
        places = rows[self.turned_labels[i, j, k]] * depth + k
        areas = np.bincount(places, minlength=len(lesions) * depth).reshape(len(lesions), depth)
        weights = [_SOME + sum(abs(grade.rank) for name in self.panels if (grade := self.grade(lesion, name)[0]))
                   for lesion in lesions]  # fmt: skip
        largest = areas.max(axis=1, initial=1, keepdims=True)
        return np.asarray(areas / largest * np.reshape(weights, (-1, 1)))

    @cached_property
    def turned_labels(self) -> NDArray[Any]:
        """Labels with axes towards right, anterior, superior."""
        return turned(self.study.lesions.data, self.study.grid)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Brain, turned."""
        maps = self.study.maps[self.pipeline]
        name = next(name for name in ("brain_mask", "field_mask") if name in maps)
        return turned(maps.array(name), self.study.grid)

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """The brain and a little more, turned."""
        if not self.inside.any():
            x, y, z = (slice(0, size) for size in self.inside.shape)
            return x, y, z
        return bounding_box(self.inside, margin=_MARGIN_VOXELS)

    def image(self, name: str) -> Array:
        """One panel's volume, turned."""
        maps = self.study.maps[self.pipeline]
        return turned(maps.array(name) if name in maps else self.study.images[name], self.study.grid)

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Along right, anterior and superior."""
        axes, _ = to_ras(self.study.grid)
        x, y, z = (self.study.grid.voxel_size_mm[axis] for axis in axes)
        return x, y, z


def turned(volume: Array, grid: Grid) -> Array:
    """A volume with its axes towards right, anterior and superior, without interpolation."""
    axes, signs = to_ras(grid)
    return np.transpose(volume, axes)[tuple(slice(None, None, sign) for sign in signs)]


def picture_height_inches(key: KeySlices, width_inches: float) -> float:
    """Height of the picture that fills a width."""
    return len(key.slices) * _panel_inches(key, width_inches)[1] + _TITLE_INCHES + _LEGEND_INCHES


def _panel_inches(key: KeySlices, width_inches: float) -> tuple[float, float]:
    """Width and height of a panel, with its gap."""
    x_mm, y_mm, _ = key.voxel_size_mm
    columns, rows = (part.stop - part.start for part in key.box[:2])
    width = width_inches / len(key.panels)
    return width, width * rows * y_mm / (columns * x_mm)


def draw_key_slices(figure: Figure, key: KeySlices, left: float, top: float, width_inches: float) -> None:
    """Draw the slices in rows and the images in columns, and below them the legend.

    Parameters
    ----------
    figure : Figure
        Of any size.
    key : KeySlices
        What is drawn.
    left, top : float
        Upper left corner, inches from the figure's.
    width_inches : float
        Width; the height follows, see :func:`picture_height_inches`.
    """
    wide, high = figure.get_size_inches()
    width, height = _panel_inches(key, width_inches)
    for row, index in enumerate(key.slices):
        for column, name in enumerate(key.panels):
            x, y = left + column * width, top + _TITLE_INCHES + (row + 1) * height
            size = ((width - _GAP_INCHES) / wide, (height - _GAP_INCHES) / high)
            panel = figure.add_axes((x / wide, 1 - y / high, *size), facecolor="black")
            _draw_panel(panel, key, name, index)
            if row == 0:
                panel.set_title(_TITLES[name], fontsize=8, pad=3)
    _draw_legend(figure, key, left + width_inches / 2, top + picture_height_inches(key, width_inches))


def _draw_panel(axes: Any, key: KeySlices, name: str, index: int) -> None:
    data, x_mm, y_mm = key.image(name), *key.voxel_size_mm[:2]
    low, high = _window(name, data, key.inside)
    axes.imshow(
        _plane(data, index, key.box), cmap="gray", vmin=low, vmax=high, aspect=y_mm / x_mm, interpolation="bilinear"
    )
    labels = _plane(key.turned_labels, index, key.box)
    numbers = set(_largest(labels))
    lesions = {key.study.label(lesion): lesion for lesion in key.study.reading.lesions}
    for label in np.unique(labels[labels > 0]).tolist():
        _draw_lesion(axes, labels == label, *_look(key, lesions[label], name), str(label) if label in numbers else "")
    axes.set_axis_off()
    for x, side in ((0.02, "R"), (0.98, "L")):
        axes.text(x, 0.5, side, transform=axes.transAxes, color="white", fontsize=7, va="center",
                  ha="left" if side == "R" else "right")  # fmt: skip


def _plane(volume: Array, index: int, box: tuple[slice, slice, slice]) -> Array:
    """Axial, first row at the top: anterior up, the patient's right on the left."""
    return np.asarray(volume[box[0], box[1], index][::-1, ::-1].T)


def _window(name: str, data: Array, inside: NDArray[np.bool_]) -> tuple[float, float]:
    if name in ("chi_para", "chi_dia"):
        return 0.0, WINDOW_PPB / 1e3
    values = data[inside]
    return 0.0, float(np.percentile(values, _WHITE_PERCENT)) if values.size and values.max() > 0 else 1.0


def _look(key: KeySlices, lesion: Lesion, name: str) -> tuple[str, str]:
    """Colour and line of an outline; anatomy shows where lesions are, not how they were graded."""
    if name not in ("chi_para", "chi_dia"):
        return _PLACE_COLOR, "solid"
    grade, is_suggestion = key.grade(lesion, name)
    return GRADE_COLORS[grade], "dashed" if is_suggestion else "solid"


def _largest(labels: Array) -> list[int]:
    found, counts = np.unique(labels[labels > 0], return_counts=True)
    return [int(found[place]) for place in np.argsort(-counts, kind="stable")[:_MOST_NUMBERS]]


def _draw_lesion(axes: Any, mask: NDArray[np.bool_], color: str, line: str, number: str) -> None:
    from matplotlib.patheffects import withStroke

    for path in outlines(mask):
        axes.plot(path[:, 0], path[:, 1], color=color, linestyle=line, linewidth=0.9, solid_joinstyle="round")
    if number:
        rows, columns = np.nonzero(mask)
        axes.annotate(number, (columns.max() + 0.5, rows.min() - 0.5), xytext=(1, 1), textcoords="offset points",
                      fontsize=5.5, color="white", path_effects=[withStroke(linewidth=1.2, foreground="black")],
                      annotation_clip=True)  # fmt: skip


def outlines(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Edges between a mask's voxels and the rest, as closed lines of (x, y) corners in pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        One lesion in one slice.

    Yields
    ------
    ndarray, shape (N, 2)
        First corner again at the end.
    """
    starts = _edges(mask)
    while starts:
        corner, line = next(iter(starts)), []
        while corner in starts:
            line.append(corner)
            corner = starts[corner].pop()
            if not starts[line[-1]]:
                del starts[line[-1]]
        yield np.array([*line, corner], dtype=np.float64) - 0.5


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Each edge from its first corner to its second, the inside always on the same hand."""
    padded = np.pad(mask, 1)
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    inside = padded[1:-1, 1:-1]
    for outside, first, second in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)), (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)), (padded[1:-1, :-2], (0, 1), (0, 0)),
    ):  # fmt: skip
        for row, column in np.argwhere(inside & ~outside).tolist():
            found.setdefault((column + first[0], row + first[1]), []).append((column + second[0], row + second[1]))
    return found


def _draw_legend(figure: Figure, key: KeySlices, centre: float, bottom: float) -> None:
    """Colours of the grades, in one line."""
    from matplotlib.lines import Line2D

    wide, high = figure.get_size_inches()
    used = [*Grade, None]
    handles = [Line2D([], [], color=GRADE_COLORS[one], linewidth=2.0) for one in used]
    names = [one.value if one else NOT_GRADED for one in used]
    if key.suggestions:
        handles.append(Line2D([], [], color="#f5f5f5", linewidth=1.2, linestyle="dashed"))
        names.append("suggestion, no reading")
    figure.legend(handles, names, loc="lower center", bbox_to_anchor=(centre / wide, 1 - bottom / high),
                  ncols=len(names), fontsize=6, facecolor="#2b3138", edgecolor="#2b3138", labelcolor="white",
                  framealpha=1.0, handlelength=1.3, handletextpad=0.5, columnspacing=1.0, borderpad=0.5,
                  borderaxespad=0.0)  # fmt: skip


def caption(key: KeySlices) -> str:
    """What the picture shows, in words."""
    shown = ", ".join(str(number + 1) for number in key.slices)
    text = (f"Axial slices {shown} of {key.turned_labels.shape[2]}, counted from below; maps of {key.pipeline}. "
            "Outlines on χ para and χ dia have the colour of the grade there")  # fmt: skip
    readers = [one.title for one in key.study.sources if one.pipeline == key.pipeline]
    by = f" by {readers[0]}" if len(readers) > 1 else ""
    return f"{text}{by}. Numbers are those of the table."
