"""Ventricular cerebrospinal fluid, the reference region of QSM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.box import Box, bounding_box
from ChiSepPreprocessLib.morphology import erode_mm

from ..physics.operators import Vector


@dataclass(frozen=True, kw_only=True)
class CsfOptions:
    """Options of the search for ventricular CSF; the defaults are those of MEDI+0.

    Parameters
    ----------
    r2star_below_per_s : float
        CSF decays more slowly than this, 1/s.
    centre_radius_mm : float
        Ventricles are looked for within this distance of the brain's centroid, mm.
    erosion_mm : float
        Distance from the brain's edge that is left out, mm.
    central_components : int
        How many of the largest central pieces are kept.
    """

    r2star_below_per_s: float = 5.0
    centre_radius_mm: float = 30.0
    erosion_mm: float = 10.0
    central_components: int = 3


def csf_mask(
    r2star_per_s: NDArray[Any], brain_mask: NDArray[np.bool_], voxel_size_mm: Vector, options: CsfOptions | None = None
) -> NDArray[np.bool_]:
    """Voxels of slow decay that are connected with the largest such pieces at the brain's centre.

    The mask is eroded by the Euclidean distance to the nearest voxel outside, the centre is a sphere about the
    centroid, and voxels are connected through faces.

    Parameters
    ----------
    r2star_per_s : ndarray, shape (I, J, K)
        1/s.
    brain_mask : ndarray of bool, shape (I, J, K)
        Brain.
    voxel_size_mm : tuple of float
        Along i, j, k.
    options : CsfOptions
        Defaults if left out.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Empty if no such voxel exists.

    References
    ----------
    Liu et al., Magn Reson Med 79:2795 (2018), MEDI+0.
    """
    options = options or CsfOptions()
    return ventricles(r2star_per_s < options.r2star_below_per_s, brain_mask, voxel_size_mm, options)


def ventricles(
    csf: NDArray[np.bool_], brain_mask: NDArray[np.bool_], voxel_size_mm: Vector, options: CsfOptions | None = None
) -> NDArray[np.bool_]:
    """Central part of candidates for CSF, without the sulci; see :func:`csf_mask`."""
    from scipy.ndimage import label

    options, found = options or CsfOptions(), np.zeros_like(brain_mask)
    deep = csf & erode_mm(brain_mask, options.erosion_mm, voxel_size_mm)
    if not deep.any():
        return found
    centre, near = _central_sphere(brain_mask, voxel_size_mm, options.centre_radius_mm)
    pieces, _ = label(deep[centre] & near)
    sizes = np.bincount(pieces.ravel(), minlength=1)
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][: options.central_components]
    seeds = np.zeros_like(deep)
    seeds[centre] = np.isin(pieces, largest[sizes[largest] > 0])
    box = bounding_box(deep)
    whole, count = label(deep[box])
    chosen = np.zeros(count + 1, dtype=bool)
    chosen[whole[seeds[box]]] = True
    found[box] = chosen[whole]
    return found


def _central_sphere(mask: NDArray[np.bool_], voxel_size_mm: Vector, radius_mm: float) -> tuple[Box, NDArray[np.bool_]]:
    """Box of a sphere about a mask's centroid, and the sphere in it."""
    offsets, spans = [], []
    for axis, (length, size_mm) in enumerate(zip(mask.shape, voxel_size_mm, strict=True)):
        counts = np.count_nonzero(mask, axis=tuple({0, 1, 2} - {axis}))
        offset = (np.arange(length) - np.average(np.arange(length), weights=counts)) * size_mm
        first, last = np.searchsorted(offset, -radius_mm), np.searchsorted(offset, radius_mm, side="right")
        spans.append(slice(int(first), int(last)))
        offsets.append(offset[spans[-1]])
    i, j, k = np.meshgrid(*offsets, indexing="ij", sparse=True)
    return (spans[0], spans[1], spans[2]), np.square(i) + np.square(j) + np.square(k) <= radius_mm**2
