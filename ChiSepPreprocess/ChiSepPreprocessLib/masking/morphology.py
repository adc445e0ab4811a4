"""Morphology on masks, in millimetres on anisotropic grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Mask = NDArray[np.bool_]


def erode_mm(mask: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> Mask:
    """Keep the voxels whose sphere of ``radius_mm`` lies inside the mask; outside the volume is outside the mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Any mask.
    radius_mm : float
        Distance to the nearest outside voxel's centre that is too near, mm; 0 keeps the mask.
    voxel_size_mm : sequence of float
        Length of a voxel along i, j, k in mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The voxels farther than ``radius_mm`` from every outside voxel.

    Raises
    ------
    InputError
        If the radius is negative.
    """
    padded = np.pad(mask, 1)
    return (_distance_mm(padded, radius_mm, voxel_size_mm) > radius_mm)[1:-1, 1:-1, 1:-1]


def dilate_mm(mask: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> Mask:
    """Add the voxels within ``radius_mm`` of the mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Any mask.
    radius_mm : float
        Reach, mm.
    voxel_size_mm : sequence of float
        Length of a voxel along i, j, k in mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The voxels whose centre lies within ``radius_mm`` of a masked voxel's centre.

    Raises
    ------
    InputError
        If the radius is negative.
    """
    if not mask.any():
        return mask.copy()
    return _distance_mm(~mask, radius_mm, voxel_size_mm) <= radius_mm


def _distance_mm(inside: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> NDArray[np.float64]:
    from scipy.ndimage import distance_transform_edt

    if not radius_mm >= 0:
        raise InputError("radius", f"{radius_mm} mm", "a length ≥ 0 mm")
    distance: NDArray[np.float64] = distance_transform_edt(inside, sampling=tuple(voxel_size_mm))
    return distance


def largest_component(mask: Mask) -> Mask:
    """Keep the largest part connected through voxel faces; an empty mask stays empty."""
    from scipy.ndimage import label

    labels, count = label(mask)
    if count <= 1:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def fill_holes(mask: Mask) -> Mask:
    """Fill cavities that are closed in three dimensions."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask), dtype=np.bool_)
