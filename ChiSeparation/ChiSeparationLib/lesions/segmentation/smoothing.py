"""Gaussian smoothing inside a mask: what lies outside does not darken the border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Less of the Gaussian inside the mask than this says nothing.
_LEAST_WEIGHT = 1e-3


def smoothed_inside(values: Volume, mask: Mask, sigma_mm: float, voxel_size_mm: Sequence[float]) -> Volume:
    """Mean of the values inside a mask, weighted by a Gaussian: G∗(m v) / G∗m.

    Parameters
    ----------
    values : ndarray of float32, shape (I, J, K)
        Any.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that count.
    sigma_mm : float
        Of the Gaussian, mm.
    voxel_size_mm : sequence of float
        Length of a voxel along i, j, k in mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 where no voxel of the mask is near.
    """
    from scipy import ndimage

    sigma = [sigma_mm / size for size in voxel_size_mm]
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="constant", truncate=3.0)
    total = ndimage.gaussian_filter(np.where(mask, values, np.float32(0)), sigma, mode="constant", truncate=3.0)
    near = weight > _LEAST_WEIGHT
    return np.divide(total, weight, out=np.zeros_like(total), where=near)
