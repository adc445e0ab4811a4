"""Compiled loop of the total variation's split; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _moved(here: Array, ahead: Array, kinds: Array, dual: Array, scale: float, moved: Array, kept: Array) -> None:
    """``moved`` is ``∇x + u`` of one line and axis, 0 where the kind is 0; ``kept`` is its part of kind 1."""
    count, zero = len(ahead), np.float32(0)
    for k in range(count):
        value = (ahead[k] - here[k]) * scale + dual[k]
        moved[k] = value if kinds[k] else zero
    for k in range(count):
        kept[k] = moved[k] if kinds[k] == 1 else zero
    moved[count:], kept[count:] = zero, zero


@njit(cache=True, nogil=True, error_model="numpy")
def _length_shares(kept_i: Array, kept_j: Array, kept_k: Array, limit: float, share: Array) -> None:
    """What clipping to a length of ``limit`` leaves of each vector."""
    for k in range(len(share)):
        share[k] = limit / max(np.sqrt(kept_i[k] ** 2 + kept_j[k] ** 2 + kept_k[k] ** 2), limit)


@njit(cache=True, nogil=True, error_model="numpy")
def _clip(kept: Array, share: Array, limit: float, isotropic: bool) -> None:
    for k in range(len(kept)):
        kept[k] = kept[k] * share[k] if isotropic else min(max(kept[k], -limit), limit)


@njit(cache=True, nogil=True, error_model="numpy")
def _add(values: Array, line: Array, scale: float) -> None:
    for k in range(len(values)):
        values[k] += line[k] * scale


@njit(cache=True, nogil=True, error_model="numpy")
def _add_adjoint(
    moved: tuple[Array, Array, Array], scales: Array, i: int, j: int, low: int, high: int, result: Array
) -> None:
    """Add ``∇ᵀ`` of a line's differences but for what they give to the next plane."""
    here = result[i, j, low:high]
    for k in range(high - low):
        here[k] -= moved[0][k] * scales[0] + moved[1][k] * scales[1] + moved[2][k] * scales[2]
    if j + 1 < result.shape[1]:
        _add(result[i, j + 1, low:high], moved[1], scales[1])
    _add(result[i, j, low + 1 : high + 1], moved[2], scales[2])


@njit(cache=True, nogil=True, error_model="numpy")
def shrink(first: int, last: int, volume: Array, kinds: Array, spans: Array, dual: Array, scales: Array, limit: float,
           isotropic: bool, following: Array, result: Array) -> None:  # fmt: skip
    """One sweep of ``u' = clip(∇x + u)`` and ``∇ᵀ(∇x + u − 2u')`` over the planes from ``first`` up to ``last``.

    ``kinds`` 0 is no part of the split, 1 is shrunk, 2 is free; a free difference keeps no dual. ``spans`` (I, J, 2)
    are the first voxel of each line along k with another kind than 0, and the first after the last: the rest, half
    of a brain's box, is left alone. ``dual`` (3, I, J, K) is ``u``, ``following`` takes ``u'``: two arrays, as the
    plane before the first is worked out again from ``u``, in which its own thread may be. The last plane of an axis
    has no difference.
    """
    length_i, length_j, length_k = volume.shape
    lines = np.empty((7, length_k), np.float32)
    result[first:last] = 0
    for i in range(max(first - 1, 0), last):
        for j in range(length_j):
            low, high = spans[i, j]
            if low == high:
                continue
            # Slices of one line, not of several, are known to be contiguous: only then are loops vectorised.
            here, share = slice(low, high), lines[6, : high - low]
            moved = (lines[0, : high - low], lines[1, : high - low], lines[2, : high - low])
            kept = (lines[3, : high - low], lines[4, : high - low], lines[5, : high - low])
            if i >= first:
                kept = (following[0, i, j, here], following[1, i, j, here], following[2, i, j, here])
            ahead = (volume[min(i + 1, length_i - 1), j, here], volume[i, min(j + 1, length_j - 1), here],
                     volume[i, j, low + 1 : high + 1])  # fmt: skip
            for axis in range(3):
                _moved(volume[i, j, here], ahead[axis], kinds[axis, i, j, here], dual[axis, i, j, here], scales[axis],
                       moved[axis], kept[axis])  # fmt: skip
            _length_shares(kept[0], kept[1], kept[2], limit, share)
            for axis in range(3):
                _clip(kept[axis], share, limit, isotropic)
                _add(moved[axis], kept[axis], np.float32(-2))
            if i + 1 < last:
                _add(result[i + 1, j, here], moved[0], scales[0])
            if i >= first:
                _add_adjoint(moved, scales, i, j, low, high, result)
