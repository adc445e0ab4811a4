"""The relaxometric constant of a scan: R2′ against QSM in deep grey matter, where iron makes nearly all of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

from ..physics.relaxivity import Relaxivity
from .regions import Line, RegionStatistics, fit_line, region_statistics

#: The five regions, with the names that atlases give them; side and punctuation are ignored.
DEEP_GREY: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "caudate": ("caudate", "caudate nucleus", "cn", "cau", "cd"),
    "putamen": ("putamen", "put", "pu"),
    "pallidum": ("pallidum", "globus pallidus", "gp", "gpe", "gpi"),
    "red nucleus": ("red nucleus", "rn"),
    "substantia nigra": ("substantia nigra", "sn"),
})  # fmt: skip

_SIDES = frozenset({"left", "right", "l", "r", "lh", "rh", "bilateral"})


@dataclass(frozen=True)
class RelaxivityEstimate:
    """A relaxometric constant with what it rests on.

    Parameters
    ----------
    line : Line
        R2′ (1/s) against χ (ppm): the slope is the constant in Hz/ppm, with standard error and R².
    chi, r2prime : tuple of RegionStatistics
        The points of the regression.
    field_strength_t : float
        B0 of the scan, T.
    """

    line: Line
    chi: tuple[RegionStatistics, ...]
    r2prime: tuple[RegionStatistics, ...]
    field_strength_t: float

    @property
    def hz_per_ppm(self) -> float:
        """R2′ (1/s) for each ppm at the scan's field strength."""
        return self.line.slope

    def constants(self) -> Relaxivity:
        """The constant for both kinds of sources, as separation methods take it.

        Raises
        ------
        InputError
            If it is not positive.
        """
        value = self.hz_per_ppm
        return Relaxivity(para_hz_per_ppm=value, dia_hz_per_ppm=value, preset="estimated in deep grey matter",
                          field_strength_t=self.field_strength_t)  # fmt: skip


def deep_grey_labels(names: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """Labels of the five regions, both sides together, by the names of a label map.

    Raises
    ------
    InputError
        If one of the regions is not among them.
    """
    found = {
        region: tuple(label for label, name in names.items() if _plain(name) in known)
        for region, known in DEEP_GREY.items()
    }
    missing = [region for region, labels in found.items() if not labels]
    if missing:
        raise InputError("label names", f"no {', '.join(missing)}", f"all of {', '.join(DEEP_GREY)}",
                         "Name these regions so in the file of label names.")  # fmt: skip
    return found


def _plain(name: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()
    return " ".join(word for word in words if word not in _SIDES)


def estimate_relaxivity(
    r2prime_per_s: NDArray[Any],
    chi_total_ppm: NDArray[Any],
    labels: NDArray[Any],
    regions: Mapping[str, Iterable[int]],
    mask: NDArray[np.bool_],
    field_strength_t: float,
) -> RelaxivityEstimate:
    """Regress the regions' mean R2′ on their mean QSM: the slope is the relaxometric constant.

    The zero of the QSM moves the intercept alone.

    Parameters
    ----------
    r2prime_per_s : ndarray, shape (I, J, K)
        1/s.
    chi_total_ppm : ndarray, shape (I, J, K)
        QSM, ppm; of several head orientations for the constant of the paper.
    labels : ndarray of int, shape (I, J, K)
        0 is the background.
    regions : mapping of str to iterable of int
        Labels of each region, such as :func:`deep_grey_labels` gives; three regions or more.
    mask : ndarray of bool, shape (I, J, K)
        Where both maps are valid.
    field_strength_t : float
        B0 of the scan, T, at which the constant holds.

    Returns
    -------
    RelaxivityEstimate
        With standard error and R².

    Raises
    ------
    InputError
        If shapes differ, a region has no voxel in the mask, fewer than three are given, or they do not differ.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021); Kim et al. 2025 (χ-sepnet): 114 Hz/ppm, R² 0.93, at 2.89 T.
    """
    merged, names = np.zeros(labels.shape, dtype=np.int32), dict(enumerate(regions, start=1))
    for number, name in names.items():
        merged[np.isin(labels, list(regions[name]))] = number
    chi, r2prime = (region_statistics(one, merged, names, mask) for one in (chi_total_ppm, r2prime_per_s))
    if len(chi) < max(len(names), 3):
        empty = sorted(set(names.values()) - {one.name for one in chi})
        raise InputError("regions for the relaxometric constant", f"no voxel of {', '.join(empty) or 'a third region'}",
                         "three regions or more, each with voxels where both maps are valid")  # fmt: skip
    line = fit_line([one.mean for one in chi], [one.mean for one in r2prime])
    return RelaxivityEstimate(line, chi, r2prime, field_strength_t)
