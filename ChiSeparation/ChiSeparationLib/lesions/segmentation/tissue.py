"""Statistics of the brain's own tissue in FLAIR: its level everywhere, its spread, and where fluid is.

Intensity scale and coil sensitivity are unknown, so nothing absolute is used. With the smoothed image g(x), the slow
field b(x) is the smoothed intensity of normal tissue relative to its median, and

    z(x) = (g(x) / b(x) − m) / s ,

where m is the median and s = (P75 − P25) / 1.349 the robust standard deviation of g/b in tissue (grey and white matter
together: in FLAIR they overlap) without what lies more than three s away, fluid and lesions. b, m and s are found in
turns. Fluid is z < −3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.resampling import index_matrix, shrunk

from .smoothing import Mask, Volume

#: Below so many SD from the median, tissue is fluid; above, on either side, it does not count as normal.
OUTLIER_SD = 3.0

#: Scale of the coil sensitivity's changes, mm: longer than any lesion is wide, shorter than the head.
_FIELD_MM = 20.0

#: Blocks on which the slow field is found, mm, and how little normal tissue nearby leaves it at 1.
_COARSE_MM, _LEAST_SHARE = 4.0, 1e-3

_ROUNDS = 4
#: Standard deviations between the quartiles of a Gaussian. Quartiles, as no other measure is as sure to hold grey and
#: white matter both: the median deviation forgets the smaller part where they differ clearly.
_QUARTILES_SD = 1.349
_LEAST_VOXELS = 1000


@dataclass(frozen=True, eq=False)
class TissueMap:
    """FLAIR in units of its own tissue.

    Parameters
    ----------
    z : ndarray of float32, shape (I, J, K)
        Robust standard deviations above the median of normal tissue; 0 outside the brain.
    fluid : ndarray of bool, shape (I, J, K)
        Cerebrospinal fluid, and everything outside the brain.
    median, spread : float
        Of normal tissue, in the image's units after the slow field is taken out.
    field_range : tuple of float
        Smallest and largest value of the slow field in the brain, 1 on average.
    """

    z: Volume
    fluid: Mask
    median: float
    spread: float
    field_range: tuple[float, float]


def tissue_map(smooth: Volume, brain: Mask, interior: Mask, grid: Grid) -> TissueMap:
    """Hold the image against its own normal tissue.

    Parameters
    ----------
    smooth : ndarray of float32, shape (I, J, K)
        FLAIR with its noise suppressed.
    brain : ndarray of bool, shape (I, J, K)
        Brain.
    interior : ndarray of bool, shape (I, J, K)
        Brain without its rim, for the statistics.
    grid : Grid
        Of the image.

    Raises
    ------
    InputError
        If there is too little of the brain, or it has no contrast.
    """
    if np.count_nonzero(interior) < _LEAST_VOXELS:
        raise InputError("brain mask", f"{np.count_nonzero(brain)} voxels", "the whole brain",
                         "Check that the mask is the brain of this image.")  # fmt: skip
    flat, field = smooth, np.ones_like(smooth)
    median, spread = _robust(flat[interior])
    for _ in range(_ROUNDS):
        normal = interior & (np.abs(flat - median) < OUTLIER_SD * spread)
        field = _slow_field(smooth, normal, brain, grid)
        flat = smooth / field
        median, spread = _robust(flat[interior])
    z = np.where(brain, (flat - median) / spread, np.float32(0)).astype(np.float32)
    ends = np.percentile(field[brain], (0.5, 99.5)).tolist()
    return TissueMap(z, ~brain | (z < -OUTLIER_SD), median, spread, (ends[0], ends[1]))


def _robust(values: Volume) -> tuple[float, float]:
    """Median and robust standard deviation without outliers: fluid is darker, lesions are brighter than tissue."""
    near = values
    for _ in range(6):
        low, median, high = (float(one) for one in np.percentile(near, (25, 50, 75)))
        spread = (high - low) / _QUARTILES_SD
        near = values[np.abs(values - median) < OUTLIER_SD * spread]
        if not spread > 1e-4 * abs(median):
            raise InputError("FLAIR", "the same value in most of the brain", "an image with contrast")
    return median, spread


def _slow_field(smooth: Volume, normal: Mask, brain: Mask, grid: Grid) -> Volume:
    """Smoothed intensity of normal tissue, 1 on average; found on a coarse grid, as it is smooth."""
    from scipy import ndimage

    share, coarse = shrunk(normal, grid, _COARSE_MM)
    total, _ = shrunk(np.where(normal, smooth, np.float32(0)), grid, _COARSE_MM)
    sigma = [_FIELD_MM / size for size in coarse.voxel_size_mm]
    weight, level = (ndimage.gaussian_filter(one, sigma, mode="constant", truncate=3.0) for one in (share, total))
    mean = float(total.sum() / share.sum())
    # Where no normal tissue is near, the field is what it is on average.
    local = (level + _LEAST_SHARE * mean) / (weight + _LEAST_SHARE) / mean
    matrix = index_matrix(coarse, grid)
    field = ndimage.affine_transform(
        local.astype(np.float32), matrix[:3, :3], matrix[:3, 3], smooth.shape, order=1, mode="nearest"
    )
    return np.where(brain, field, np.float32(1)).astype(np.float32)
