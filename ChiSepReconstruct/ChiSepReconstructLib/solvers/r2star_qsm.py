"""R2*-QSM: χ-separation from gradient echoes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T

from ..physics.relaxivity import Relaxivity
from ..solution import Solution
from .chi_sep_medi import JointOptions, separate_jointly
from .closed_form import separate_maps

#: Field strength at which the published constant holds, T.
_REFERENCE_T = 3.0


@dataclass(frozen=True, kw_only=True)
class R2StarQsmOptions(JointOptions):
    """Options of R2*-QSM: those of the joint objective, with R2* as decay.

    Parameters
    ----------
    hz_per_ppm_at_3t : float
        ``r`` of ``R2* = r (χ₊ + χ₋)``, Hz/ppm, scaled with B0. R2 has no term of its own: it is taken to be
        proportional to R2* and is contained in ``r``, which is therefore larger than that of R2′.
    regularised : bool
        Fit field and R2* in one objective; without, take the closed form ``½ (R2*/r ± χ)``.
    """

    hz_per_ppm_at_3t: float = 274.0
    regularised: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1.0 <= self.hz_per_ppm_at_3t <= 1e5:
            raise InputError("constant of R2*", f"{self.hz_per_ppm_at_3t} Hz/ppm", "1 to 100000 Hz/ppm")

    def constants(self, scan: ScanParameters) -> Relaxivity:
        """Constant at the field strength that the reference frequency tells, for both kinds of sources."""
        field_strength_t = scan.reference_frequency_hz / GAMMA_HZ_PER_T
        value = self.hz_per_ppm_at_3t * field_strength_t / _REFERENCE_T
        return Relaxivity(para_hz_per_ppm=value, dia_hz_per_ppm=value, preset="dimov2022 (R2*)",
                          field_strength_t=field_strength_t)  # fmt: skip


def run(maps: MapSet, mask: NDArray[np.bool_], options: R2StarQsmOptions, report: Reporter) -> Solution:
    """χ-separation from R2* and the local field.

    References
    ----------
    Dimov et al., J Neuroimaging 32:852 (2022); Dimov et al., Tomography 8:1544 (2022).
    """
    constants = options.constants(maps.scan)
    if not options.regularised:
        return separate_maps(maps, mask, "r2star", constants, options.qsm, report)
    return separate_jointly(maps, mask, "r2star", mask, constants, options, report)
