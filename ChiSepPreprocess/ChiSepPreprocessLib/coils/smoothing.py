"""Smoothing of phase in the complex plane."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..threads import in_slabs

#: The Gaussian ends after this many standard deviations.
_TRUNCATE = 3.0


def check_sigma_mm(sigma_mm: Sequence[float]) -> None:
    """Check the standard deviation of a Gaussian along i, j, k in mm; 0 leaves an axis as it is.

    Raises
    ------
    InputError
        If it is not three finite numbers from 0.
    """
    numbers = all(isinstance(sigma, int | float) and 0 <= sigma < math.inf for sigma in sigma_mm)
    if not numbers or len(sigma_mm) != 3:
        raise InputError("smoothing sigma_mm", f"{sigma_mm} mm", "three finite numbers, each 0 mm or more")


def smooth_phase(phase: Array, mask: Array, sigma_voxels: Sequence[float], weight: Array | None = None) -> Array:
    """Angle of the Gaussian-smoothed exp(i ``phase``), taken from inside the mask.

    The mean slope along each axis is set aside while smoothing: a Gaussian that is cut off by the
    mask's border would flatten it there.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K)
        rad; wraps do not matter.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that count, unless their phase is not finite.
    sigma_voxels : sequence of float
        Standard deviation along i, j, k, voxels.
    weight : ndarray, shape (I, J, K), optional
        How much each voxel counts; all alike without it.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        rad, within ±π; continued outside the mask as far as the Gaussian reaches, 0 beyond.
    """
    from ._kernels import angle_with_ramp

    signal = masked_phasors(phase, mask, weight)
    slopes = mean_slopes(signal)
    _turn(signal, -slopes)
    angle = np.zeros(phase.shape, np.float32)
    in_slabs(angle_with_ramp, phase.shape[0], _smooth(signal, sigma_voxels), slopes, angle)
    return angle


def masked_phasors(phase: Array, mask: Array, weight: Array | None = None) -> Array:
    """Weight × exp(i phase) inside the mask where both are finite, 0 elsewhere."""
    from ._kernels import phasors

    signal = np.zeros(phase.shape, np.complex64)
    weights = np.zeros((0, 0, 0), np.float32) if weight is None else weight
    in_slabs(phasors, phase.shape[0], phase, weights, mask, signal)
    return signal


def mean_slopes(signal: Array) -> Array:
    """Mean phase step of a complex volume along i, j, k, rad per voxel."""
    from ._kernels import add_steps

    sums = np.zeros((signal.shape[0], 3), np.complex128)
    in_slabs(add_steps, signal.shape[0], signal, sums)
    return np.angle(sums.sum(axis=0))


def _turn(signal: Array, slopes: Array) -> None:
    """Multiply by exp(i Σ slope × index), in place."""
    for axis, slope in enumerate(slopes):
        ramp = np.exp(1j * slope * np.arange(signal.shape[axis])).astype(np.complex64)
        signal *= ramp.reshape([-1 if other == axis else 1 for other in range(3)])


def _smooth(signal: Array, sigma_voxels: Sequence[float]) -> Array:
    """Separable Gaussian of a complex volume; what lies outside counts as 0."""
    from ._kernels import smooth_across_rows, smooth_along_rows

    numbers = signal.view(np.float32)
    for axis, sigma in enumerate(sigma_voxels):
        smooth, taps = np.zeros_like(numbers), _taps(sigma)
        if axis == 2:
            in_slabs(smooth_along_rows, numbers.shape[0], 2, numbers, taps, smooth)
        else:
            in_slabs(smooth_across_rows, numbers.shape[1 - axis], axis, numbers, taps, smooth)
        numbers = smooth
    return numbers.view(np.complex64)


def _taps(sigma: float) -> Array:
    radius = int(_TRUNCATE * sigma + 0.5)
    distance = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (distance / sigma) ** 2) if sigma > 0 else np.ones(1)
    return (taps / taps.sum()).astype(np.float32)
