"""Distance to the nearest voxel outside a mask, exact, on anisotropic grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .threads import in_slabs


def distance_mm(inside: NDArray[np.bool_], most_mm: float, voxel_size_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance from each voxel's centre to that of the nearest voxel outside, as far as ``most_mm``.

    Squared distances are minima over one axis after the other: min over n of d²(x + n) + (n h)².

    Parameters
    ----------
    inside : ndarray of bool, shape (I, J, K)
        Any mask; what lies beyond the volume does not count as outside.
    most_mm : float
        Reach of the search, mm. The cost grows with it.
    voxel_size_mm : sequence of float
        Length h of a voxel along i, j, k in mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        mm; 0 outside the mask, infinite where the distance is larger than ``most_mm``.
    """
    from ._distance_kernels import nearest

    squares = np.where(inside, np.float32(np.inf), np.float32(0)).ravel()
    period, rows = inside.size, inside.size // max(inside.shape[2], 1)
    # Rounding must not decide about voxels that lie just at the reach.
    limit = np.float32((most_mm * (1 + 1e-6)) ** 2)
    for length, size_mm in zip(inside.shape, voxel_size_mm, strict=True):
        stride = period // max(length, 1)
        reach = int(min(most_mm * (1 + 1e-6) / size_mm, length - 1))
        steps = np.square(np.arange(reach + 1) * float(size_mm)).astype(np.float32)
        found = np.empty_like(squares)
        in_slabs(nearest, rows, squares, inside.shape[2], period, stride, steps, found)
        squares, period = found, stride
    squares[squares > limit] = np.inf
    return np.sqrt(squares, out=squares).reshape(inside.shape)
