"""What is measured in a lesion, in one χ map, and against the white matter around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .regions import Mask, Region

Values = Mapping[str, float | None]

#: Constant tissue has a standard deviation of a few rounding errors; contrasts in units of those mean nothing.
_NO_SPREAD_PPB = 1e-6


@dataclass(frozen=True)
class MeasureSpec:
    """One measure: its key, unit and meaning."""

    key: str
    unit: str
    description: str


_GEOMETRY = (
    MeasureSpec("voxels", "1", "number of voxels of the whole lesion"),
    MeasureSpec("volume_mm3", "mm3", "volume of the whole lesion"),
    MeasureSpec("centroid_r_mm", "mm", "centre of the lesion's voxels, to the patient's right"),
    MeasureSpec("centroid_a_mm", "mm", "centre of the lesion's voxels, to anterior"),
    MeasureSpec("centroid_s_mm", "mm", "centre of the lesion's voxels, to superior"),
    MeasureSpec("outside_fraction", "1", "share of the lesion outside the valid field; left out of the other measures"),
)
_VALUES = (
    MeasureSpec("mean_ppb", "ppb", "mean in the lesion"),
    MeasureSpec("median_ppb", "ppb", "median in the lesion"),
    MeasureSpec("p10_ppb", "ppb", "10th percentile in the lesion"),
    MeasureSpec("p90_ppb", "ppb", "90th percentile in the lesion"),
    MeasureSpec("core_mean_ppb", "ppb", "mean in the core"),
    MeasureSpec("rim_mean_ppb", "ppb", "mean in the rim"),
    MeasureSpec("nawm_voxels", "1", "voxels of normal-appearing white matter (NAWM) around the lesion"),
    MeasureSpec("nawm_mean_ppb", "ppb", "mean of the NAWM"),
    MeasureSpec("nawm_sd_ppb", "ppb", "standard deviation of the NAWM (n − 1)"),
    MeasureSpec("contrast_ppb", "ppb", "mean in the lesion minus mean of the NAWM"),
    MeasureSpec("contrast_sd", "1", "contrast in standard deviations of the NAWM"),
    MeasureSpec("rim_contrast_ppb", "ppb", "mean in the rim minus mean of the NAWM"),
    MeasureSpec("core_contrast_ppb", "ppb", "mean in the core minus mean of the NAWM"),
)

#: Measures of a lesion's shape and place.
GEOMETRY_MEASURES: Mapping[str, MeasureSpec] = MappingProxyType({spec.key: spec for spec in _GEOMETRY})

#: Measures in one map.
MAP_MEASURES: Mapping[str, MeasureSpec] = MappingProxyType({spec.key: spec for spec in _VALUES})


@dataclass(frozen=True)
class MapMeasures:
    """Values by the keys of :data:`MAP_MEASURES`; ``None`` where there is nothing to measure.

    Parameters
    ----------
    values : mapping
        In the units of the table.
    missing : str
        Why values are missing; empty if none is missing for want of voxels.
    """

    values: Values
    missing: str = ""


def measure_map(
    chi_ppb: NDArray[np.floating], region: Region, valid: Mask, nawm: Mask, minimum_nawm_voxels: int
) -> MapMeasures:
    """Measure one lesion in one map.

    Parameters
    ----------
    chi_ppb : ndarray
        The map in the region's box, ppb.
    region : Region
        The lesion.
    valid : ndarray of bool
        Where the map can be trusted, in the box.
    nawm : ndarray of bool
        Where the map is valid and normal-appearing white matter may be, in the box; the shell is cut out of it.
    minimum_nawm_voxels : int
        Fewer voxels give no contrast.
    """
    values: dict[str, float | None] = dict.fromkeys(MAP_MEASURES)
    inside = chi_ppb[region.lesion & valid].astype(np.float64)
    around = chi_ppb[region.shell & nawm].astype(np.float64)
    values["nawm_voxels"] = float(around.size)
    if inside.size == 0:
        return MapMeasures(values, "the whole lesion lies outside the valid field")
    p10, median, p90 = np.percentile(inside, (10, 50, 90))
    values.update(mean_ppb=float(inside.mean()), median_ppb=float(median), p10_ppb=float(p10), p90_ppb=float(p90))
    values["core_mean_ppb"] = _mean(chi_ppb[region.core & valid])
    values["rim_mean_ppb"] = _mean(chi_ppb[region.rim & valid])
    if around.size < minimum_nawm_voxels:
        return MapMeasures(values, f"{around.size} voxels of white matter around the lesion, "
                                   f"{minimum_nawm_voxels} are needed")  # fmt: skip
    values.update(nawm_mean_ppb=float(around.mean()), nawm_sd_ppb=float(around.std(ddof=1)))
    values.update(_contrasts(values))
    return MapMeasures(values)


def _mean(values: NDArray[np.floating]) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None


def _contrasts(values: Values) -> dict[str, float | None]:
    contrast = _difference(values["mean_ppb"], values["nawm_mean_ppb"])
    spread = values["nawm_sd_ppb"]
    return {
        "contrast_ppb": contrast,
        "contrast_sd": in_spreads(contrast, spread),
        "rim_contrast_ppb": _difference(values["rim_mean_ppb"], values["nawm_mean_ppb"]),
        "core_contrast_ppb": _difference(values["core_mean_ppb"], values["nawm_mean_ppb"]),
    }


def in_spreads(contrast_ppb: float | None, nawm_sd_ppb: float | None) -> float | None:
    """Contrast in standard deviations of the NAWM; ``None`` where the NAWM is constant or unknown."""
    if contrast_ppb is None or nawm_sd_ppb is None or nawm_sd_ppb < _NO_SPREAD_PPB:
        return None
    return contrast_ppb / nawm_sd_ppb


def _difference(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference
