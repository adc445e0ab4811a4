"""What is measured in a lesion, in one χ map, and against the white matter around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .regions import Mask, Region, RegionOptions

Values = Mapping[str, float | None]

#: Constant tissue has a standard deviation of a few rounding errors; contrasts in units of those mean nothing.
_NO_SPREAD_PPB = 1e-6


class Code(NamedTuple):
    """A coded concept of DICOM: value, scheme and meaning."""

    value: str
    scheme: str
    meaning: str


#: Scheme of the concepts that no standard has; their values are the measures' keys without the unit, and never change
#: their meaning.
PRIVATE_SCHEME = "99CHISEP"

#: What every map of this module measures.
SUSCEPTIBILITY_CODE = Code("126396", "DCM", "Magnetic Susceptibility")

UNIT_CODES: Mapping[str, Code] = MappingProxyType({
    "1": Code("1", "UCUM", "no units"),
    "mm": Code("mm", "UCUM", "millimeter"),
    "mm3": Code("mm3", "UCUM", "cubic millimeter"),
    "ppb": Code("[ppb]", "UCUM", "parts per billion"),
})  # fmt: skip


@dataclass(frozen=True)
class MeasureSpec:
    """One measure.

    Parameters
    ----------
    key : str
        Its name in tables.
    unit : str
        One of :data:`UNIT_CODES`.
    description : str
        Its meaning.
    standard : Code or None
        The concept of a public scheme, where there is one: a quantity, or how a map's values are summed up.
    """

    key: str
    unit: str
    description: str
    standard: Code | None = None

    @property
    def code(self) -> Code:
        """The public concept, else a private one."""
        return self.standard or Code(self.key.removesuffix(f"_{self.unit}"), PRIVATE_SCHEME, self.description)

    @property
    def unit_code(self) -> Code:
        """UCUM code of the unit."""
        return UNIT_CODES[self.unit]


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


_GEOMETRY = (
    MeasureSpec("voxels", "1", "number of voxels of the whole lesion"),
    MeasureSpec("volume_mm3", "mm3", "volume of the whole lesion", _sct("118565006", "Volume")),
    MeasureSpec("centroid_r_mm", "mm", "centre of the lesion's voxels, to the patient's right"),
    MeasureSpec("centroid_a_mm", "mm", "centre of the lesion's voxels, to anterior"),
    MeasureSpec("centroid_s_mm", "mm", "centre of the lesion's voxels, to superior"),
    MeasureSpec("outside_fraction", "1", "share of the lesion outside the valid field"),
)
_VALUES = (
    MeasureSpec("mean_ppb", "ppb", "mean in the lesion", _sct("373098007", "Mean")),
    MeasureSpec("sd_ppb", "ppb", "standard deviation in the lesion", _sct("386136009", "Standard Deviation")),
    MeasureSpec("median_ppb", "ppb", "median in the lesion", _sct("373099004", "Median")),
    MeasureSpec("p10_ppb", "ppb", "10th percentile in the lesion",
                _sct("371890005", "10th Percentile Value of population")),
    MeasureSpec("p90_ppb", "ppb", "90th percentile in the lesion",
                _sct("371887004", "90th Percentile Value of population")),
    MeasureSpec("core_mean_ppb", "ppb", "mean in the core"),
    MeasureSpec("rim_mean_ppb", "ppb", "mean in the rim"),
    MeasureSpec("nawm_voxels", "1", "voxels of normal-appearing white matter (NAWM) around it"),
    MeasureSpec("nawm_mean_ppb", "ppb", "mean of the NAWM"),
    MeasureSpec("nawm_sd_ppb", "ppb", "standard deviation of the NAWM"),
    MeasureSpec("contrast_ppb", "ppb", "mean in the lesion minus mean of the NAWM"),
    MeasureSpec("contrast_sd", "1", "contrast in standard deviations of the NAWM"),
    MeasureSpec("rim_contrast_ppb", "ppb", "mean in the rim minus mean of the NAWM"),
    MeasureSpec("core_contrast_ppb", "ppb", "mean in the core minus mean of the NAWM"),
    MeasureSpec("rim_edge_sd", "1", "rim over the brighter of core and NAWM, in NAWM SD"),
    MeasureSpec("rim_sign_score", "1", "share of the rim brighter than core and NAWM"),
)  # fmt: skip

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
    chi_ppb: NDArray[np.floating],
    region: Region,
    valid: Mask,
    nawm: Mask,
    options: RegionOptions,
    rim_rise_sd: float = 1.0,
) -> MapMeasures:
    """Measure one lesion in one map.

    The rim sign is what readers look for on QSM and phase: an edge brighter than both the lesion's core and the tissue
    around it, along most of the lesion. With the brighter of both means ``b = max(core, NAWM)`` and the NAWM's standard
    deviation ``s``, ``rim_edge_sd = (rim mean - b) / s``, and ``rim_sign_score`` is the share of the rim's voxels above
    ``b + rim_rise_sd * s``: 0, none of it, to 1, a closed rim.

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
    options : RegionOptions
        Smallest numbers of voxels: fewer of NAWM give no contrast, fewer of the core no rim sign.
    rim_rise_sd : float
        How far a voxel of the rim must stand out, in standard deviations of the NAWM.

    References
    ----------
    Kaunzner et al., Brain 142:133 (2019), doi:10.1093/brain/awy296 (rim on QSM); Bagnato et al., Brain 147:2913 (2024),
    doi:10.1093/brain/awae013 (consensus on paramagnetic rim lesions).
    """
    values: dict[str, float | None] = dict.fromkeys(MAP_MEASURES)
    inside = chi_ppb[region.lesion & valid].astype(np.float64)
    around = chi_ppb[region.shell & nawm].astype(np.float64)
    values["nawm_voxels"] = float(around.size)
    if inside.size == 0:
        return MapMeasures(values, "the whole lesion lies outside the valid field")
    values.update(_inside(inside))
    core, rim = (chi_ppb[part & valid].astype(np.float64) for part in (region.core, region.rim))
    values.update(core_mean_ppb=_mean(core), rim_mean_ppb=_mean(rim))
    if around.size < options.minimum_nawm_voxels:
        return MapMeasures(values, f"{around.size} voxels of white matter around the lesion, "
                                   f"{options.minimum_nawm_voxels} are needed")  # fmt: skip
    values.update(nawm_mean_ppb=float(around.mean()), nawm_sd_ppb=float(around.std(ddof=1)))
    values.update(_contrasts(values))
    if core.size >= options.minimum_core_voxels and rim.size:
        values.update(_rim_sign(rim, values, rim_rise_sd))
    return MapMeasures(values)


def _inside(values: NDArray[np.float64]) -> dict[str, float | None]:
    p10, median, p90 = np.percentile(values, (10, 50, 90))
    return {
        "mean_ppb": float(values.mean()),
        "sd_ppb": float(values.std(ddof=1)) if values.size > 1 else None,
        "median_ppb": float(median),
        "p10_ppb": float(p10),
        "p90_ppb": float(p90),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None


def _rim_sign(rim: NDArray[np.float64], values: Values, rise_sd: float) -> dict[str, float | None]:
    core, nawm, spread = (values[key] or 0.0 for key in ("core_mean_ppb", "nawm_mean_ppb", "nawm_sd_ppb"))
    brighter = max(core, nawm)
    above = rim > brighter + max(rise_sd * spread, _NO_SPREAD_PPB)
    return {"rim_edge_sd": in_spreads(float(rim.mean()) - brighter, spread), "rim_sign_score": float(above.mean())}


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
