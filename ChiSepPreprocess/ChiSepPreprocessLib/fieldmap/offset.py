"""The phase offset that is left after unwrapping, from all echoes.

The offset of the first two echoes (MCPC-3D-S) is extrapolated and smoothed widely; what that leaves
shifts the average by a smooth field as large as the local one. With all echoes unwrapped the offset is the
intercept of each voxel's line, known many times better, so that little smoothing suffices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..coils.smoothing import smooth_phase
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes

#: Intercepts farther from 0 than this many standard deviations count less and less: flow, and voxels beside air.
_FAR = 3.0
_MEDIAN_TO_SIGMA = 1.4826
#: One Gaussian flattens an offset's curvature; the next finds most of that in what is left.
_PASSES = 2


def remove_remaining_offset(
    unwrapped: Array,
    magnitude: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    sigma_mm: float,
) -> None:
    """Subtract the smooth part of the phase at echo time zero, in place.

    With weights |S|², the line through a voxel's phases has the intercept φ₀ = φ̄ − s T̄ of variance
    σ² (1/Σ|S|² + T̄²/Σ|S|²(TE − T̄)²), whose inverse weights the Gaussian mean. Two passes.

    Parameters
    ----------
    unwrapped : ndarray of float32, shape (I, J, K, E)
        rad; changed inside the mask.
    magnitude : ndarray, shape (I, J, K, E)
        a.u.
    echo_times_s : sequence of float
        E ≥ 2 times, s; with one echo nothing is done.
    mask : ndarray of bool, shape (I, J, K)
        Where to compute.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    sigma_mm : float
        Standard deviation of the Gaussian, mm; 0 does nothing.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    from ._kernels import subtract

    check_echoes(unwrapped, magnitude, echo_times_s, mask)
    if len(echo_times_s) < 2 or sigma_mm == 0:
        return
    box = bounding_box(mask)
    inside, boxed = mask[box], unwrapped[box]
    sigma_voxels = [sigma_mm / size for size in voxel_size_mm]
    for _ in range(_PASSES):
        smooth = _smooth_offset(boxed, magnitude[box], echo_times_s, inside, sigma_voxels)
        in_slabs(subtract, len(inside), smooth, inside, boxed)


def _smooth_offset(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], mask: Array, sigma_voxels: Sequence[float]
) -> Array:
    """Weighted Gaussian mean of the phase at echo time zero, rad."""
    from ._kernels import intercepts

    offset, precision = (np.zeros(mask.shape, np.float32) for _ in range(2))
    times = np.asarray(echo_times_s, dtype=np.float64)
    in_slabs(intercepts, len(mask), phase, magnitude, mask, times, offset, precision)
    spread = _FAR * _MEDIAN_TO_SIGMA * float(np.median(np.abs(offset[mask])))
    # Single precision must hold the squares of the weights, whatever the unit of the magnitude.
    precision /= precision.max() or np.float32(1)
    precision /= (1 + (offset / max(spread, 1e-6)) ** 2) ** 2
    return smooth_phase(offset, mask, sigma_voxels, precision)
