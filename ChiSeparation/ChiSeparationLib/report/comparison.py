"""Methods side by side on one data set: each map in numbers, its difference from the first method, runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Kind, MapSet
from ChiSepPreprocessLib.files import write_csv, writing
from ChiSepPreprocessLib.quality.views import Planes

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_WIDTH_INCHES, _ROW_INCHES, _DOTS_PER_INCH, _FONT_SIZE = 8.0, 2.2, 125, 8.0
#: Share of the brain's voxels inside the window of a picture, percent.
_WINDOW_PERCENT = 99.0


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One map by one method.

    Parameters
    ----------
    name, unit, method : str
        As the map carries them.
    mean, sd : float
        Where the map is valid, in its unit; sd with n − 1.
    voxels : int
        Number of voxels there.
    seconds : float or None
        How long the method took for all its maps.
    against : str
        First method that gives this map, with which it is compared; empty for that method itself.
    difference, difference_sd : float or None
        Mean and standard deviation of this map minus that of the first method.
    correlation : float or None
        Pearson's, with the first method's map.
    """

    name: str
    unit: str
    method: str
    mean: float
    sd: float
    voxels: int
    seconds: float | None
    against: str = ""
    difference: float | None = None
    difference_sd: float | None = None
    correlation: float | None = None


def compare_methods(results: Mapping[str, MapSet], seconds: Mapping[str, float]) -> tuple[MethodRow, ...]:
    """Every map that a method made, the same maps of several methods together.

    Parameters
    ----------
    results : mapping of str to MapSet
        Maps by method, on one grid.
    seconds : mapping of str to float
        Runtime by method, s.

    Returns
    -------
    tuple of MethodRow
        Empty for fewer than two methods.
    """
    if len(results) < 2:
        return ()
    return tuple(
        _row(method, maps, name, seconds, first)
        for name, made in _made(results).items()
        for first in [next(iter(made.items()))]
        for method, maps in made.items()
    )


def _made(results: Mapping[str, MapSet]) -> dict[str, dict[str, MapSet]]:
    """By artifact, the methods that made it."""
    names = dict.fromkeys(
        name for method, maps in results.items() for name, one in maps.items()
        if one.method == method and one.spec.kind is Kind.REAL
    )  # fmt: skip
    return {
        name: {key: maps for key, maps in results.items() if name in maps and maps[name].method == key}
        for name in names
    }


def _valid(maps: MapSet) -> Array:
    return maps.array("field_mask" if "field_mask" in maps else "brain_mask")


def _row(method: str, maps: MapSet, name: str, seconds: Mapping[str, float], first: tuple[str, MapSet]) -> MethodRow:
    mask, one = _valid(maps), maps[name]
    x = one.data[mask].astype(np.float64)
    plain = MethodRow(
        name=name, unit=one.spec.unit, method=method, mean=float(x.mean()), sd=float(x.std(ddof=1)),
        voxels=int(x.size), seconds=seconds.get(method),
    )  # fmt: skip
    if method == first[0]:
        return plain
    other = first[1].array(name)[mask].astype(np.float64)
    varies = x.std() > 0 and other.std() > 0
    difference = x - other
    return MethodRow(
        **{**asdict(plain), "against": first[0], "difference": float(difference.mean()),
           "difference_sd": float(difference.std(ddof=1)),
           "correlation": float(np.corrcoef(x, other)[0, 1]) if varies else None}
    )  # fmt: skip


def write_comparison_csv(path: Path, rows: tuple[MethodRow, ...]) -> None:
    """Write one row for each map and method, UTF-8.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_csv(path, [column.name for column in fields(MethodRow)], (asdict(one) for one in rows))


def write_difference_pictures(folder: Path, results: Mapping[str, MapSet]) -> Iterator[tuple[str, Path]]:
    """Draw each map that several methods give: the first method's, and the difference of every other from it.

    Parameters
    ----------
    folder : Path
        Gets ``difference-NAME.png``.
    results : mapping of str to MapSet
        Maps by method, on one grid.

    Yields
    ------
    name : str
        Artifact.
    path : Path
        Its picture.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    for name, made in _made(results).items():
        if len(made) > 1:
            path = folder / f"difference-{name}.png"
            _draw(path, name, made)
            yield name, path


def _draw(path: Path, name: str, made: Mapping[str, MapSet]) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    (first, maps), *others = made.items()
    mask, unit = _valid(maps), maps[name].spec.unit
    planes = Planes(maps.grid, mask)
    base = np.where(mask, maps.array(name), 0.0)
    rows: list[tuple[str, Array]] = [(f"{name} ({unit}), {first}", base)]
    rows += [
        (f"{method} − {first} ({unit})", np.where(mask, other.array(name) - base, 0.0)) for method, other in others
    ]
    # One window for all differences, so that they can be compared by eye.
    limits = [_window(base[mask])] + [_window(np.concatenate([one[mask] for _, one in rows[1:]]))] * len(others)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": _FONT_SIZE}):
        size = (_WIDTH_INCHES, _ROW_INCHES * len(rows))
        figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for number, (part, (title, volume), limit) in enumerate(zip(parts, rows, limits, strict=True)):
            _draw_row(part, title, volume, planes, limit, "RdBu_r" if number or base.min() < 0 else "gray")
        with writing(path) as temporary:
            FigureCanvasAgg(figure).print_png(str(temporary))  # type: ignore[no-untyped-call]


def _window(values: Array) -> float:
    return float(np.percentile(np.abs(values), _WINDOW_PERCENT)) or 1.0


def _draw_row(part: SubFigure, title: str, volume: Array, planes: Planes, limit: float, colours: str) -> None:
    panels: Any = part.subplots(1, 3, width_ratios=planes.widths)
    lowest = 0.0 if colours == "gray" else -limit
    for axes, plane, view in zip(panels, planes.cut(volume), planes.views, strict=True):
        image = axes.imshow(plane, cmap=colours, vmin=lowest, vmax=limit, aspect=view.aspect, interpolation="nearest")
        axes.set_axis_off()
    part.suptitle(title, fontsize=_FONT_SIZE)
    part.colorbar(image, ax=panels, fraction=0.02, pad=0.01)
