"""A summary of every map: unit, method, mean and spread in the brain, as CSV."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from ChiSepPreprocessLib.artifacts import Kind, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing

#: Maps that are zero outside the field mask.
_OF_THE_FIELD = ("local_field", "chi_total", "chi_para", "chi_dia")


@dataclass(frozen=True)
class MapSummary:
    """One map in numbers.

    Parameters
    ----------
    name, unit, method : str
        As the map carries them.
    mean, sd : float
        In the region, in the map's unit; sd with n − 1.
    region : str
        Mask in which the map is valid: the field mask for fields and susceptibilities, else the brain mask.
    voxels : int
        Number of voxels in the region.
    """

    name: str
    unit: str
    method: str
    mean: float
    sd: float
    region: str
    voxels: int


def summarise_maps(maps: MapSet) -> tuple[MapSummary, ...]:
    """Mean and standard deviation of every real-valued map where it is valid.

    Raises
    ------
    InputError
        If there is no brain mask, or a mask has fewer than two voxels.
    """
    return tuple(_summary(one, maps) for one in maps.values() if one.spec.kind is Kind.REAL)


def _summary(one: Map, maps: MapSet) -> MapSummary:
    region = "field_mask" if one.name in _OF_THE_FIELD and "field_mask" in maps else "brain_mask"
    mask = maps.array(region)
    voxels = int(np.count_nonzero(mask))
    if voxels < 2:
        raise InputError(region, f"{voxels} voxels", "at least two voxels inside")
    inside = one.data[mask].astype(np.float64)
    return MapSummary(
        one.name, one.spec.unit, one.method, float(inside.mean()), float(inside.std(ddof=1)), region, voxels
    )


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
