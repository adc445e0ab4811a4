"""Compiled loops of the operators; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def weighted_laplacian(first: int, last: int, volume: Array, weights: Array, scales: Array, result: Array) -> None:
    """Write ``∇ᵀ W ∇ x`` into the planes from ``first`` up to ``last``.

    ``weights`` (3, I, J, K) belong to forward differences, of which the last plane of an axis has none;
    ``scales`` are the inverse squared voxel sizes.
    """
    length_i, length_j, length_k = volume.shape
    scale_i, scale_j, scale_k = scales
    for i in range(first, last):
        for j in range(length_j):
            for k in range(length_k):
                here = volume[i, j, k]
                total = here * 0
                if i + 1 < length_i:
                    total += scale_i * weights[0, i, j, k] * (here - volume[i + 1, j, k])
                if i > 0:
                    total += scale_i * weights[0, i - 1, j, k] * (here - volume[i - 1, j, k])
                if j + 1 < length_j:
                    total += scale_j * weights[1, i, j, k] * (here - volume[i, j + 1, k])
                if j > 0:
                    total += scale_j * weights[1, i, j - 1, k] * (here - volume[i, j - 1, k])
                if k + 1 < length_k:
                    total += scale_k * weights[2, i, j, k] * (here - volume[i, j, k + 1])
                if k > 0:
                    total += scale_k * weights[2, i, j, k - 1] * (here - volume[i, j, k - 1])
                result[i, j, k] = total
