"""Morphology on masks, in millimetres on anisotropic grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .box import bounding_box
from .distance import distance_mm
from .errors import InputError

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
    kept = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask)
        kept[box] = ~_near_outside(np.pad(mask[box], 1), radius_mm, voxel_size_mm)[1:-1, 1:-1, 1:-1]
    return kept


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
    grown = mask.copy()
    if mask.any():
        box = bounding_box(mask, int(max(radius_mm, 0) // min(voxel_size_mm)) + 1)
        grown[box] = _near_outside(~mask[box], radius_mm, voxel_size_mm)
    return grown


def open_mm(mask: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> Mask:
    """Keep what a sphere of ``radius_mm`` inside the mask can reach: erosion, then dilation.

    Parameters
    ----------
    mask, radius_mm, voxel_size_mm
        As for :func:`erode_mm`.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Part of ``mask``.

    Raises
    ------
    InputError
        If the radius is negative.
    """
    return dilate_mm(erode_mm(mask, radius_mm, voxel_size_mm), radius_mm, voxel_size_mm)


def close_mm(mask: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> Mask:
    """Add what no sphere of ``radius_mm`` outside the mask can reach: dilation, then erosion.

    Parameters
    ----------
    mask, radius_mm, voxel_size_mm
        As for :func:`erode_mm`; space outside the volume is outside the mask.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Holds ``mask``.

    Raises
    ------
    InputError
        If the radius is negative.
    """
    margin = [int(radius_mm // size) + 1 for size in voxel_size_mm]
    padded = np.pad(mask, [(n, n) for n in margin])
    closed = erode_mm(dilate_mm(padded, radius_mm, voxel_size_mm), radius_mm, voxel_size_mm)
    return closed[tuple(slice(n, -n) for n in margin)]


def _near_outside(mask: Mask, radius_mm: float, voxel_size_mm: Sequence[float]) -> Mask:
    """Voxels with the centre of an outside one within a radius."""
    if not radius_mm >= 0:
        raise InputError("radius", f"{radius_mm} mm", "a length ≥ 0 mm")
    return np.isfinite(distance_mm(mask, radius_mm, voxel_size_mm))


def largest_component(mask: Mask) -> Mask:
    """Keep the largest part connected through voxel faces; an empty mask stays empty."""
    from scipy.ndimage import label

    kept = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask)
        labels, _ = label(mask[box])
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        kept[box] = labels == sizes.argmax()
    return kept


def fill_holes(mask: Mask) -> Mask:
    """Fill cavities that are closed in three dimensions."""
    from scipy.ndimage import label

    filled = mask.copy()
    if mask.any():
        box = bounding_box(mask)
        outside, _ = label(~np.pad(mask[box], 1))
        filled[box] = (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled
