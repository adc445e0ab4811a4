"""R2′, the reversible part of R2*."""

from __future__ import annotations

import numpy as np

from ..artifacts import Array, check_volume
from ..errors import InputError

#: Pseudo-R2 of brain at 3 T, the constant of the chi-separation toolbox of Seoul National University
#: for scans without a spin echo, 1/s.
PSEUDO_R2_3T_PER_S = 13.0


def r2prime_measured(r2star: Array, r2: Array, mask: Array) -> tuple[Array, float]:
    """R2′ = max(R2* − R2, 0).

    Parameters
    ----------
    r2star, r2 : ndarray, shape (I, J, K)
        1/s, on one grid.
    mask : ndarray of bool, shape (I, J, K)
        Brain; 0 elsewhere.

    Returns
    -------
    r2prime : ndarray, shape (I, J, K)
        1/s.
    negative_fraction : float
        Share of the mask where R2* < R2. Noise makes some; many point to biased R2 (transmit field) or to
        misregistration.

    Raises
    ------
    InputError
        If shapes disagree or the mask is empty.
    """
    check_volume("r2star", r2star, mask.shape)
    check_volume("r2", r2, mask.shape)
    count = int(np.count_nonzero(mask))
    if not count:
        raise InputError("mask", "no voxel inside", "a mask with voxels inside")
    difference = np.where(mask, r2star - r2, 0).astype(np.float32)
    return np.maximum(difference, 0), np.count_nonzero(difference < 0) / count


def r2prime_pseudo(r2star: Array, mask: Array, r2_per_s: float = PSEUDO_R2_3T_PER_S) -> Array:
    """R2′ from R2* alone: max(R2* − constant, 0), for scans without a spin echo.

    The default of 13 1/s is the pseudo-R2 that the chi-separation toolbox (SNU-LIST) takes at 3 T. It is a
    convention, not a measurement: R2 differs between tissues, lesions and field strengths.

    Parameters
    ----------
    r2star : ndarray, shape (I, J, K)
        1/s.
    mask : ndarray of bool, shape (I, J, K)
        Brain; 0 elsewhere.
    r2_per_s : float
        The constant, 1/s.

    Returns
    -------
    ndarray, shape (I, J, K)
        1/s.

    Raises
    ------
    InputError
        If shapes disagree or the constant is negative.
    """
    if not r2_per_s >= 0:
        raise InputError("pseudo-R2", f"{r2_per_s} 1/s", "a rate ≥ 0")
    return r2prime_measured(r2star, np.full(mask.shape, r2_per_s, dtype=np.float32), mask)[0]
