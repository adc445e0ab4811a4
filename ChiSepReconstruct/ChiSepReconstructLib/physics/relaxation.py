"""The reversible relaxation that susceptibility causes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .relaxivity import Relaxivity


def r2prime_from_chi(
    chi_para_ppm: NDArray[Any], chi_dia_ppm: NDArray[Any], constants: Relaxivity
) -> NDArray[np.floating[Any]]:
    """R2′ in 1/s: ``R2′ = D₊ χ_para + D₋ χ_dia`` with both susceptibilities as magnitudes in ppm.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021).
    """
    total: NDArray[np.floating[Any]] = constants.para_hz_per_ppm * chi_para_ppm + constants.dia_hz_per_ppm * chi_dia_ppm
    return total
