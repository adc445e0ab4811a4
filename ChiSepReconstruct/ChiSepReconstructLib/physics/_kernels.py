"""Compiled loops of regions and operators; import only inside functions, as numba takes long to load.

``spans`` (I, J, 2) are the first voxel of a region in each line along k and the one after the last, ``starts`` (I, J)
where the line begins in the region's vectors, which are handed over flat.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def gather(first: int, last: int, volume: Array, spans: Array, starts: Array, values: Array) -> None:
    """Write the lines of the planes from ``first`` up to ``last`` into a vector."""
    for i in range(first, last):
        for j in range(volume.shape[1]):
            low, high = spans[i, j]
            start = starts[i, j]
            values[start : start + high - low] = volume[i, j, low:high]


@njit(cache=True, nogil=True)
def scatter(first: int, last: int, values: Array, spans: Array, starts: Array, volume: Array) -> None:
    """Write a vector into the lines of the planes from ``first`` up to ``last``; the volume may be a larger one."""
    for i in range(first, last):
        for j in range(spans.shape[1]):
            low, high = spans[i, j]
            start = starts[i, j]
            volume[i, j, low:high] = values[start : start + high - low]


@njit(cache=True, nogil=True, inline="always")
def _add_difference(row: Array, here: Array, there: Array, weights: Array, scale: float) -> None:
    """Add ``scale · weight · (here − there)``, without a branch, so that several are done at once."""
    for k in range(len(row)):
        row[k] += scale * weights[k] * (here[k] - there[k])


@njit(cache=True, nogil=True)
def weighted_laplacian(first: int, last: int, volume: Array, weights: Array, scales: Array, spans: Array,
                       starts: Array, result: Array) -> None:  # fmt: skip
    """Write ``∇ᵀ W ∇ x`` in a region's lines in the planes from ``first`` up to ``last`` into its vector.

    ``weights`` (3, I, J, K) belong to forward differences, of which the last plane of an axis has none;
    ``scales`` are the inverse squared voxel sizes.
    """
    length_i, length_j, length_k = volume.shape
    for i in range(first, last):
        for j in range(length_j):
            low, high = spans[i, j]
            start, line = starts[i, j], slice(low, high)
            row, here = result[start : start + high - low], volume[i, j, line]
            row[:] = 0
            if i + 1 < length_i:
                _add_difference(row, here, volume[i + 1, j, line], weights[0, i, j, line], scales[0])
            if i > 0:
                _add_difference(row, here, volume[i - 1, j, line], weights[0, i - 1, j, line], scales[0])
            if j + 1 < length_j:
                _add_difference(row, here, volume[i, j + 1, line], weights[1, i, j, line], scales[1])
            if j > 0:
                _add_difference(row, here, volume[i, j - 1, line], weights[1, i, j - 1, line], scales[1])
            until, begin = min(high, length_k - 1), max(low, 1)
            _add_difference(row[: until - low], volume[i, j, low:until], volume[i, j, low + 1 : until + 1],
                            weights[2, i, j, low:until], scales[2])  # fmt: skip
            _add_difference(row[begin - low :], volume[i, j, begin:high], volume[i, j, begin - 1 : high - 1],
                            weights[2, i, j, begin - 1 : high - 1], scales[2])  # fmt: skip
