"""A summary of every map: unit, method, mean and spread in the brain, as CSV."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from ChiSepPreprocessLib.artifacts import Kind, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing


@dataclass(frozen=True)
class MapSummary:
    """One map in numbers.

    Parameters
    ----------
    name, unit, method : str
        As the map carries them.
    mean, sd : float
        In the brain mask, in the map's unit; sd with n − 1.
    voxels : int
        Number of voxels in the brain mask.
    """

    name: str
    unit: str
    method: str
    mean: float
    sd: float
    voxels: int


def summarise_maps(maps: MapSet) -> tuple[MapSummary, ...]:
    """Mean and standard deviation of every real-valued map in ``brain_mask``.

    Raises
    ------
    InputError
        If there is no brain mask, or it has fewer than two voxels.
    """
    brain = maps.array("brain_mask")
    if np.count_nonzero(brain) < 2:
        raise InputError("brain_mask", f"{np.count_nonzero(brain)} voxels", "at least two voxels inside")
    return tuple(_summary(one, one.data[brain]) for one in maps.values() if one.spec.kind is Kind.REAL)


def _summary(one: Map, values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> MapSummary:
    inside = values.astype(np.float64)
    spread = float(inside.std(ddof=1))
    return MapSummary(one.name, one.spec.unit, one.method, float(inside.mean()), spread, len(inside))


def write_summary_csv(path: Path, summaries: tuple[MapSummary, ...]) -> None:
    """Write one row for each map, UTF-8.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(column.name for column in fields(MapSummary))
        writer.writerows(astuple(one) for one in summaries)
