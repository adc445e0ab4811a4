"""QSM-ARCS: separation from gradient echoes alone, with a relaxometric constant that the scan itself tells.

Re-implemented from the idea that the abstract publishes: one orientation, gradient echoes only, a relaxometric constant
estimated for each scan. Not to be known from public sources, and assumed here, is how it is estimated. As the sum
``χ₊ + χ₋`` is at least ``|χ|``, R2* is at least ``R₀ + a|χ|``, and equal where one source stands alone, so that a low
quantile of R2* over the paramagnetic range of QSM, where iron stands almost alone, runs along that line.

``R₀`` stands for R2 of all tissue, and both sources share ``a``, as without R2 neither can be told apart. Iron raises
R2 too, so ``a`` holds more than R2′: on simulated heads of 118 Hz/ppm it comes out near 250, with a low ``R₀``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T

from ..physics.relaxivity import Relaxivity, relaxivity
from ..solution import Solution
from .closed_form import separate
from .qsm import QsmOptions, quantitative_susceptibility

#: Bins of χ with fewer voxels are left out; fewer bins than this tell no line.
_FEWEST_VOXELS, _FEWEST_BINS = 20, 4

#: A line that rises less is flat but for rounding; tissue has 40 and more, even at 1 T.
_LEAST_HZ_PER_PPM = 1.0


@dataclass(frozen=True, kw_only=True)
class ArcsOptions:
    """Options of QSM-ARCS.

    Parameters
    ----------
    quantile : float
        Of R2* in a bin of χ, taken for the rate of one source alone.
    lowest_ppm, highest_ppm : float
        Range of χ in which the line is fitted.
    bins : int
        Into which the range is divided.
    qsm : QsmOptions
        How the susceptibility is found from the local field.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    quantile: float = 0.05
    lowest_ppm: float = 0.02
    highest_ppm: float = 0.15
    bins: int = 13
    qsm: QsmOptions = field(default_factory=lambda: QsmOptions(method="tkd"))

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise InputError("quantile of QSM-ARCS", self.quantile, "a share above 0 and below 1")
        if not 0 <= self.lowest_ppm < self.highest_ppm <= 10:
            raise InputError("range of χ of QSM-ARCS", f"{self.lowest_ppm} to {self.highest_ppm} ppm",
                             "two values from 0 to 10 ppm, rising")  # fmt: skip
        if not _FEWEST_BINS <= self.bins <= 1000:
            raise InputError("bins of QSM-ARCS", self.bins, f"{_FEWEST_BINS} to 1000")


def adaptive_constant(
    chi_ppm: NDArray[np.float32], r2star_per_s: NDArray[np.float32], options: ArcsOptions
) -> tuple[float, float] | None:
    """Line ``R2* = R₀ + aχ`` along the low quantile of R2* over the paramagnetic range.

    Parameters
    ----------
    chi_ppm, r2star_per_s : ndarray, shape (N,)
        Of the brain's voxels.
    options : ArcsOptions
        See there.

    Returns
    -------
    constant_hz_per_ppm, baseline_per_s : float
        ``a`` and ``R₀``; None where too few bins are filled, or R2* does not rise.
    """
    edges = np.linspace(options.lowest_ppm, options.highest_ppm, options.bins + 1)
    bin_of, centres, rates, counts = np.digitize(chi_ppm, edges), [], [], []
    for number in range(1, options.bins + 1):
        inside = bin_of == number
        if (count := int(inside.sum())) >= _FEWEST_VOXELS:
            centres.append(float(np.median(chi_ppm[inside])))
            rates.append(float(np.quantile(r2star_per_s[inside], options.quantile)))
            counts.append(count)
    if len(centres) < _FEWEST_BINS:
        return None
    slope, baseline = np.polyfit(centres, rates, 1, w=np.sqrt(counts))
    return (float(slope), max(float(baseline), 0.0)) if slope > _LEAST_HZ_PER_PPM else None


def run(maps: MapSet, mask: NDArray[np.bool_], options: ArcsOptions, report: Reporter) -> Solution:
    """QSM, referenced to CSF, the scan's constant, then the closed form.

    References
    ----------
    Kan et al., NeuroImage 296:120676 (2024).
    """
    qsm = quantitative_susceptibility(maps, mask, options.qsm, report.span(0.0, 0.8))
    chi = qsm.maps["chi_total"]
    report("relaxometric constant", 0.9)
    constants, baseline, warnings = _constants(maps, mask, chi, options)
    excess = np.maximum(maps.array("r2star") - np.float32(baseline), 0.0)
    para, dia = (one * mask for one in separate(chi, excess, constants))
    record = {**qsm.record, "relaxivity": asdict(constants), "baseline_per_s": round(baseline, 3)}
    return Solution({"chi_total": chi, "chi_para": para, "chi_dia": dia}, record, (*warnings, *qsm.warnings))


def _constants(
    maps: MapSet, mask: NDArray[np.bool_], chi: NDArray[np.float32], options: ArcsOptions
) -> tuple[Relaxivity, float, tuple[str, ...]]:
    field_strength_t = maps.scan.reference_frequency_hz / GAMMA_HZ_PER_T
    line = adaptive_constant(chi[mask], maps.array("r2star")[mask], options)
    if line is None:
        fallback = relaxivity("shin2021", field_strength_t)
        baseline = float(np.quantile(maps.array("r2star")[mask], options.quantile))
        return fallback, baseline, ("R2* does not rise with QSM in enough voxels to tell a relaxometric constant; the "
                                    "constant shin2021 is taken instead.",)  # fmt: skip
    found = Relaxivity(para_hz_per_ppm=line[0], dia_hz_per_ppm=line[0], preset="estimated from the scan",
                       field_strength_t=field_strength_t)  # fmt: skip
    return found, line[1], ()
