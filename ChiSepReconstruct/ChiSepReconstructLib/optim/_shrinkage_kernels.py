"""Compiled loop of the total variation's split; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _limited_row(volume: Array, kinds: Array, dual: Array, scales: Array, limit: float, isotropic: bool,
                 i: int, j: int, row: Array, kept: Array) -> None:  # fmt: skip
    """Write ``u' = clip(∇x + u)`` into ``kept`` and ``∇x + u − 2u'`` into ``row``, both (3, K), for one line along k.

    ``kinds`` 0 is no part of the split, 1 is shrunk, 2 is free; a free difference keeps no dual.
    """
    length_i, length_j, length_k = volume.shape
    ahead_i, ahead_j = min(i + 1, length_i - 1), min(j + 1, length_j - 1)
    for k in range(length_k):
        here = volume[i, j, k]
        row[0, k] = (volume[ahead_i, j, k] - here) * scales[0] + dual[0, i, j, k]
        row[1, k] = (volume[i, ahead_j, k] - here) * scales[1] + dual[1, i, j, k]
    for k in range(length_k - 1):
        row[2, k] = (volume[i, j, k + 1] - volume[i, j, k]) * scales[2] + dual[2, i, j, k]
    row[2, length_k - 1] = 0
    for k in range(length_k):
        for axis in range(3):
            kept[axis, k] = row[axis, k] if kinds[axis, i, j, k] == 1 else np.float32(0)
        if isotropic:
            length = np.sqrt(kept[0, k] ** 2 + kept[1, k] ** 2 + kept[2, k] ** 2)
            share = limit / max(length, limit)
            for axis in range(3):
                kept[axis, k] *= share
        else:
            for axis in range(3):
                kept[axis, k] = min(max(kept[axis, k], -limit), limit)
        for axis in range(3):
            row[axis, k] = row[axis, k] - 2 * kept[axis, k] if kinds[axis, i, j, k] else np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_adjoint(row: Array, scales: Array, i: int, j: int, result: Array) -> None:
    """Add ``∇ᵀ`` of a line's differences but for what they give to the next plane."""
    _, length_j, length_k = result.shape
    if j + 1 < length_j:
        for k in range(length_k):
            result[i, j + 1, k] += row[1, k] * scales[1]
    for k in range(length_k):
        result[i, j, k] -= row[0, k] * scales[0] + row[1, k] * scales[1] + row[2, k] * scales[2]
    for k in range(length_k - 1):
        result[i, j, k + 1] += row[2, k] * scales[2]


@njit(cache=True, nogil=True, error_model="numpy")
def shrink(first: int, last: int, volume: Array, kinds: Array, dual: Array, scales: Array, limit: float,
           isotropic: bool, following: Array, result: Array) -> None:  # fmt: skip
    """One sweep of ``u' = clip(∇x + u)`` and ``∇ᵀ(∇x + u − 2u')`` over the planes from ``first`` up to ``last``.

    ``dual`` (3, I, J, K) is ``u``, ``following`` takes ``u'``: two arrays, as the plane before the first is worked
    out again from ``u``, in which its own thread may be. The last plane of an axis has no difference.
    """
    _, length_j, length_k = volume.shape
    row, kept = np.empty((3, length_k), np.float32), np.empty((3, length_k), np.float32)
    result[first:last] = 0
    for i in range(max(first - 1, 0), last):
        for j in range(length_j):
            _limited_row(volume, kinds, dual, scales, limit, isotropic, i, j, row, kept)
            if i + 1 < last:
                for k in range(length_k):
                    result[i + 1, j, k] += row[0, k] * scales[0]
            if i >= first:
                following[:, i, j] = kept
                _add_adjoint(row, scales, i, j, result)
