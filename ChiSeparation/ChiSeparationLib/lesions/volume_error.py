r"""How exactly a lesion's volume is known.

It is uncertain in the voxels that the lesion's surface crosses. A plane with the normal :math:`n` crosses
:math:`\sum_a |n_a|` cells of a unit grid for each unit of its area, and that is how many voxel faces lie between inside
and outside where it is drawn in voxels; so the faces :math:`F = F_i + F_j + F_k` of a lesion are the number of voxels
that its surface crosses. Each of them, of volume :math:`v`, is rounded to in or out, an error with a variance of 1/12
voxel. A contour drawn :math:`\delta` too far out all around adds :math:`\delta A`, where the surface is
:math:`A = \frac{2}{3} \sum_a F_a v / d_a`, with the voxel's edges :math:`d_a`, as faces show a surface without a
preferred direction 3/2 times too large:

.. math:: \sigma_V^2 = \frac{F v^2}{12} + (\delta A)^2
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid

Labels = NDArray[np.int64]


def volume_errors_mm3(labels: Labels, count: int, grid: Grid, contour_error_mm: float) -> NDArray[np.float64]:
    """Standard deviation of each lesion's volume; the work grows with the voxels of lesions.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        Lesions 1, 2, …, ``count``; 0 outside.
    count : int
        Number of lesions.
    grid : Grid
        Where the voxels lie.
    contour_error_mm : float
        δ, mm.

    Returns
    -------
    ndarray, shape (count,)
        mm³.
    """
    padded = np.pad(labels, 1)
    places, flat = np.flatnonzero(padded), padded.ravel()
    lesions, voxel_mm3 = flat[places], grid.voxel_volume_mm3
    faces, surface_mm2 = np.zeros(count), np.zeros(count)
    strides = (padded.shape[1] * padded.shape[2], padded.shape[2], 1)
    for stride, length_mm in zip(strides, grid.voxel_size_mm, strict=True):
        for step in (-stride, stride):
            found = counted(lesions[flat[places + step] != lesions], count)
            faces += found
            surface_mm2 += found * (2 / 3 * voxel_mm3 / length_mm)
    return np.asarray(np.sqrt(faces / 12 * voxel_mm3**2 + (contour_error_mm * surface_mm2) ** 2))


def counted(labels: Labels, count: int) -> NDArray[np.int64]:
    """Voxels of 1, 2, …, ``count``."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:]
