"""How far the measured field can be trusted, in Hz.

Two things make it wrong: thermal noise, which the magnitude predicts, and phase that was there before any time had
passed and was not removed, as beside air and at the rim, where its smooth estimate fails. The latter shows: echoes
then miss the fitted line by more than noise does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from .combine import FieldFit

#: Neighbourhood (standard deviation, mm) in which misfits are pooled: wide enough that noise averages out.
_POOL_MM = 3.0
#: Median expected error where nothing tells the noise, Hz: that of two echoes 5 ms apart with a signal-to-noise ratio
#: of 45.
_UNKNOWN_HZ = 1.0


def estimate_noise_sigma(fit: FieldFit, mask: Array) -> float:
    """Noise of the real and the imaginary part, from what the field leaves unexplained.

    The median over the mask, so that parts with systematic misfit do not count. Unlike air it cannot have been
    masked by the scanner, and has the noise of the brain where that varies in space.

    Parameters
    ----------
    fit : FieldFit
        Field and misfit.
    mask : ndarray of bool, shape (I, J, K)
        Brain.

    Returns
    -------
    float
        a.u.; 0 if unknown, as no degree of freedom is left: two echoes in the complex fit, one in the average.

    Raises
    ------
    InputError
        If nothing is in the mask.
    """
    from scipy.stats import chi2

    if not mask.any():
        raise InputError("noise", "an empty mask", "at least one voxel inside")
    freedom = fit.degrees_of_freedom
    if freedom == 0:
        return 0.0
    return float(np.median(fit.misfit[mask]) * np.sqrt(freedom / chi2.median(freedom)))


def field_sigma_hz(fit: FieldFit, mask: Array, noise_sigma: float, voxel_size_mm: Sequence[float]) -> Array:
    """Expected error of the field: noise, and what a misfit beyond noise tells of.

    The variance is g² σ² + h² max(d² − σ², 0), with the gains g of noise and h of excess misfit, and the mean square
    misfit d² around a voxel. For the average that excess is taken for a phase offset that was left, for the complex
    fit, which has no offset, for more noise: g = h.

    Parameters
    ----------
    fit : FieldFit
        Gains and misfit.
    mask : ndarray of bool, shape (I, J, K)
        Where the field was fitted.
    noise_sigma : float
        Of the real and the imaginary part, a.u.; 0 for unknown, which gives a relative error: as g, with a median
        of 1 Hz.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Hz, positive and finite; very large where there is no signal, 0 outside the mask.
    """
    if noise_sigma == 0:
        return np.asarray(fit.noise_gain * np.float32(_UNKNOWN_HZ / np.median(fit.noise_gain[mask])))
    # In units of the noise, so that single precision holds the squares.
    excess = np.sqrt(np.maximum(_pooled(fit.misfit / np.float32(noise_sigma), mask, voxel_size_mm) - 1, 0))
    return np.asarray(np.float32(noise_sigma) * np.hypot(fit.noise_gain, fit.excess_gain * excess))


def _pooled(misfit: Array, mask: Array, voxel_size_mm: Sequence[float]) -> Array:
    """Mean square misfit around each voxel, from inside the mask."""
    from scipy.ndimage import gaussian_filter

    sigma = [_POOL_MM / size for size in voxel_size_mm]
    squares = np.where(mask, np.square(misfit, dtype=np.float32), np.float32(0))
    share = gaussian_filter(mask.astype(np.float32), sigma)
    return np.asarray(gaussian_filter(squares, sigma) / np.maximum(share, np.float32(1e-6)))
