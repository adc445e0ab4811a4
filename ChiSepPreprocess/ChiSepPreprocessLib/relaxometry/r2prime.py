"""R2′, the reversible part of R2*."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..errors import InputError

#: Pseudo-R2 of brain at 3 T, the constant of the chi-separation toolbox of Seoul National University
#: for scans without a spin echo, 1/s.
PSEUDO_R2_3T_PER_S = 13.0

#: R2′ over R2* of brain at 3 T in the same toolbox's option that scales R2*.
R2PRIME_SHARE_OF_R2STAR = 0.19

#: A difference below this is more than the noise of usual scans, 1/s.
_CLEARLY_NEGATIVE_PER_S = -2.0
_RIM_VOXELS = 2


@dataclass(frozen=True)
class NegativeR2Prime:
    """Where R2* is smaller than R2, which cannot be.

    Parameters
    ----------
    fraction : float
        Share of the mask. Noise alone makes some where R2′ is small.
    clear_fraction : float
        Share of the mask where R2* − R2 is below −2 1/s.
    median_per_s : float
        Median of the negative differences, 1/s; 0 if there are none.
    rim_fraction, inner_fraction : float
        Share of the mask's outer two voxels, and of the rest. Misregistration fills the rim; R2
        that is too large, from a wrong transmit field or echo train, fills both.
    """

    fraction: float
    clear_fraction: float
    median_per_s: float
    rim_fraction: float
    inner_fraction: float


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
    _check(r2star, r2, mask)
    difference = np.where(mask, r2star - r2, 0).astype(np.float32)
    return np.maximum(difference, 0), np.count_nonzero(difference < 0) / np.count_nonzero(mask)


def _check(r2star: Array, r2: Array, mask: Array) -> None:
    check_volume("r2star", r2star, mask.shape)
    check_volume("r2", r2, mask.shape)
    if not mask.any():
        raise InputError("mask", "no voxel inside", "a mask with voxels inside")


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


def negative_r2prime(r2star: Array, r2: Array, mask: NDArray[np.bool_]) -> NegativeR2Prime:
    """How much of R2* − R2 is negative, how strongly and where.

    Parameters
    ----------
    r2star, r2 : ndarray, shape (I, J, K)
        1/s, on one grid.
    mask : ndarray of bool, shape (I, J, K)
        Brain.

    Returns
    -------
    NegativeR2Prime
        Shares and size.

    Raises
    ------
    InputError
        If shapes disagree or the mask is empty.
    """
    from scipy import ndimage

    _check(r2star, r2, mask)
    difference = r2star[mask] - r2[mask]
    negative = difference < 0
    inner = ndimage.binary_erosion(mask, iterations=_RIM_VOXELS)[mask]
    return NegativeR2Prime(
        fraction=_share(negative),
        clear_fraction=_share(difference < _CLEARLY_NEGATIVE_PER_S),
        median_per_s=float(np.median(difference[negative])) if negative.any() else 0.0,
        rim_fraction=_share(negative[~inner]),
        inner_fraction=_share(negative[inner]),
    )


def _share(true: NDArray[np.bool_]) -> float:
    return float(true.mean()) if true.size else 0.0


def r2prime_scaled(r2star: Array, mask: Array, share: float = R2PRIME_SHARE_OF_R2STAR) -> Array:
    """R2′ from R2* alone: a constant share of it, for scans without a spin echo.

    The default of 0.19 is that of the chi-separation toolbox (SNU-LIST, option ``is_scaling``). Unlike a constant
    pseudo-R2 it leaves no voxel at 0; like it, it is a convention, not a measurement.

    Parameters
    ----------
    r2star : ndarray, shape (I, J, K)
        1/s.
    mask : ndarray of bool, shape (I, J, K)
        Brain; 0 elsewhere.
    share : float
        R2′ over R2*.

    Returns
    -------
    ndarray, shape (I, J, K)
        1/s.

    Raises
    ------
    InputError
        If shapes disagree or the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise InputError("share of R2′ in R2*", share, "0 to 1")
    _check(r2star, r2star, mask)
    return np.where(mask, np.maximum(r2star, 0) * share, 0).astype(np.float32)
