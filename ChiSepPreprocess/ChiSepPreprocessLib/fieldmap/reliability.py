"""How far the measured field can be trusted, in Hz.

Two things make it wrong: thermal noise, which the magnitude predicts, and phase that was there before any time had
passed and was not removed, as beside air and at the rim, where its smooth estimate fails. The latter shows: echoes
then miss the line through zero by more than noise does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..quantities import TWO_PI

#: Neighbourhood (standard deviation, mm) in which misfits are pooled: wide enough that noise averages out.
_POOL_MM = 3.0


def estimate_noise_sigma(misfit: Array, mask: Array, n_echoes: int) -> float:
    """Noise of the real and the imaginary part, from what the field leaves unexplained.

    The median over the mask, so that parts with systematic misfit do not count. Unlike air it cannot have been
    masked by the scanner, and has the noise of the brain where that varies in space.

    Parameters
    ----------
    misfit : ndarray, shape (I, J, K)
        Of a :class:`~ChiSepPreprocessLib.fieldmap.combine.FieldFit`, a.u.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    n_echoes : int
        At least two.

    Returns
    -------
    float
        a.u.

    Raises
    ------
    InputError
        If there is one echo only, or nothing in the mask.
    """
    from scipy.stats import chi2

    if n_echoes < 2 or not mask.any():
        raise InputError("noise", f"{n_echoes} echoes, {int(mask.sum())} voxels", "at least two echoes and a mask")
    freedom = n_echoes - 1
    return float(np.median(misfit[mask]) * np.sqrt(freedom / chi2.median(freedom)))


def noise_sigma_hz(magnitude: Array, echo_times_s: Sequence[float], mask: Array, noise_sigma: float) -> Array:
    """Standard deviation of the weighted average by noise alone: σ / (2π √Σ |S|² TE²), the Cramér-Rao bound.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K, E)
        a.u.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        Where to compute.
    noise_sigma : float
        Of the real and the imaginary part, a.u.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Hz; 0 outside the mask; infinite where there is no signal.
    """
    second = _moments(magnitude[mask], echo_times_s)[2]
    sigma = np.zeros(mask.shape, np.float32)
    with np.errstate(divide="ignore"):
        sigma[mask] = noise_sigma / (TWO_PI * np.sqrt(second))
    return sigma


def field_sigma_hz(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, noise_sigma: float, misfit: Array,
    voxel_size_mm: Sequence[float],
) -> Array:  # fmt: skip
    """Expected error of the weighted average: noise, and the phase offset that the misfit tells of.

    An offset φ₀ shifts the field by φ₀ S₁/(2π S₂) and leaves Σ |S|² δφ² = φ₀² (S₀ − S₁²/S₂), with S_n = Σ |S|² TEⁿ.
    Of the misfit pooled around a voxel, what exceeds noise is taken for such an offset.

    Parameters
    ----------
    magnitude, echo_times_s, mask, noise_sigma
        As for :func:`noise_sigma_hz`; a single echo tells of noise only.
    misfit : ndarray, shape (I, J, K)
        Of :func:`~ChiSepPreprocessLib.fieldmap.combine.combine_echoes` by magnitude, a.u.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Hz; 0 outside the mask; infinite where there is no signal.
    """
    sigma = noise_sigma_hz(magnitude, echo_times_s, mask, noise_sigma)
    if len(echo_times_s) == 1:
        return sigma
    zeroth, first, second = _moments(magnitude[mask], echo_times_s)
    pooled = _pooled(misfit, mask, voxel_size_mm)[mask]
    excess = np.maximum(pooled - noise_sigma**2, 0) * (len(echo_times_s) - 1)
    determinant = np.maximum(zeroth * second - first**2, np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = excess * first**2 / (determinant * second) / TWO_PI**2
    sigma[mask] = np.sqrt(sigma[mask] ** 2 + np.where(second > 0, shift, 0))
    return sigma


def _moments(magnitude: Array, echo_times_s: Sequence[float]) -> tuple[Array, Array, Array]:
    """Σ |S|² TEⁿ for n = 0, 1, 2, shape (N,)."""
    times = np.asarray(echo_times_s)
    power = np.square(magnitude, dtype=np.float32)
    zeroth, first, second = (power @ (times**n).astype(np.float32) for n in range(3))
    return zeroth, first, second


def _pooled(misfit: Array, mask: Array, voxel_size_mm: Sequence[float]) -> Array:
    """Mean square misfit around each voxel, from inside the mask."""
    from scipy.ndimage import gaussian_filter

    sigma = [_POOL_MM / size for size in voxel_size_mm]
    squares = np.where(mask, np.square(misfit, dtype=np.float32), np.float32(0))
    share = gaussian_filter(mask.astype(np.float32), sigma)
    return np.asarray(gaussian_filter(squares, sigma) / np.maximum(share, np.float32(1e-6)))
