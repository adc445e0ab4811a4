"""Compiled loops of the operators; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, inline="always")
def _add_difference(row: Array, here: Array, there: Array, weights: Array, scale: float) -> None:
    """Add ``scale · weight · (here − there)``, without a branch, so that several are done at once."""
    for k in range(len(row)):
        row[k] += scale * weights[k] * (here[k] - there[k])


@njit(cache=True, nogil=True)
def weighted_laplacian(first: int, last: int, volume: Array, weights: Array, scales: Array, result: Array) -> None:
    """Write ``∇ᵀ W ∇ x`` into the planes from ``first`` up to ``last``.

    ``weights`` (3, I, J, K) belong to forward differences, of which the last plane of an axis has none;
    ``scales`` are the inverse squared voxel sizes.
    """
    length_i, length_j, _ = volume.shape
    for i in range(first, last):
        for j in range(length_j):
            row, here = result[i, j], volume[i, j]
            row[:] = 0
            if i + 1 < length_i:
                _add_difference(row, here, volume[i + 1, j], weights[0, i, j], scales[0])
            if i > 0:
                _add_difference(row, here, volume[i - 1, j], weights[0, i - 1, j], scales[0])
            if j + 1 < length_j:
                _add_difference(row, here, volume[i, j + 1], weights[1, i, j], scales[1])
            if j > 0:
                _add_difference(row, here, volume[i, j - 1], weights[1, i, j - 1], scales[1])
            _add_difference(row[:-1], here[:-1], here[1:], weights[2, i, j], scales[2])
            _add_difference(row[1:], here[1:], here[:-1], weights[2, i, j], scales[2])
