"""Interpolation loops, compiled with numba; import this module inside functions only.

Series are (I, J, K, echo), so that the weights of a point serve all its echoes. ``matrix``
(3, 4) takes target voxels to source voxels. A voxel reaches half its length beyond its centre;
outside of the source's voxels the result is 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
#: Indices that should be whole numbers differ from them by rounding.
_ROUNDING = 1e-9


@njit(cache=True, nogil=True)
def _is_outside(position: float, length: int) -> bool:
    return position < -0.5 - _ROUNDING or position >= length - 0.5 - _ROUNDING


@njit(cache=True, nogil=True)
def _bracket(position: float, length: int) -> tuple[int, int, np.float32]:
    """Neighbours of a position and the weight of the second; constant beyond the outermost centres."""
    low = int(np.floor(position))
    share = np.float32(position - low)
    return min(max(low, 0), length - 1), min(max(low + 1, 0), length - 1), share


@njit(cache=True, nogil=True)
def linear(source: Array, matrix: Array, result: Array) -> None:
    """Trilinear interpolation of every echo at once."""
    ni, nj, nk, n_echoes = source.shape
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                x, y, z = _position(matrix, i, j, k)
                if _is_outside(x, ni) or _is_outside(y, nj) or _is_outside(z, nk):
                    continue
                i0, i1, u = _bracket(x, ni)
                j0, j1, v = _bracket(y, nj)
                k0, k1, w = _bracket(z, nk)
                for e in range(n_echoes):
                    a = (_ONE - w) * source[i0, j0, k0, e] + w * source[i0, j0, k1, e]
                    b = (_ONE - w) * source[i0, j1, k0, e] + w * source[i0, j1, k1, e]
                    c = (_ONE - w) * source[i1, j0, k0, e] + w * source[i1, j0, k1, e]
                    d = (_ONE - w) * source[i1, j1, k0, e] + w * source[i1, j1, k1, e]
                    result[i, j, k, e] = (_ONE - u) * ((_ONE - v) * a + v * b) + u * ((_ONE - v) * c + v * d)


@njit(cache=True, nogil=True)
def nearest(source: Array, matrix: Array, result: Array) -> None:
    """Value of the nearest voxel, for labels and masks."""
    ni, nj, nk, n_echoes = source.shape
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                x, y, z = _position(matrix, i, j, k)
                if _is_outside(x, ni) or _is_outside(y, nj) or _is_outside(z, nk):
                    continue
                i0, j0, k0 = _round(x, ni), _round(y, nj), _round(z, nk)
                for e in range(n_echoes):
                    result[i, j, k, e] = source[i0, j0, k0, e]


@njit(cache=True, nogil=True)
def _position(matrix: Array, i: int, j: int, k: int) -> tuple[float, float, float]:
    return (
        matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3],
        matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3],
        matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3],
    )


@njit(cache=True, nogil=True)
def _round(position: float, length: int) -> int:
    return min(max(int(np.floor(position + 0.5)), 0), length - 1)


@njit(cache=True, nogil=True)
def cubic(first: int, last: int, coefficients: Array, matrix: Array, wanted: Array, result: Array) -> None:
    """Cubic B-spline at the wanted voxels; the coefficients reach two voxels beyond their positions."""
    ni, nj, nk = coefficients.shape
    for i in range(first, last):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                if not wanted[i, j, k]:
                    continue
                x, y, z = _position(matrix, i, j, k)
                i0, j0, k0 = _below(x, ni), _below(y, nj), _below(z, nk)
                u, v, w = _spline(x - i0), _spline(y - j0), _spline(z - k0)
                total = _ZERO
                for a in range(4):
                    plane = _ZERO
                    for b in range(4):
                        line = _ZERO
                        for c in range(4):
                            line += w[c] * coefficients[i0 + a - 1, j0 + b - 1, k0 + c - 1]
                        plane += v[b] * line
                    total += u[a] * plane
                result[i, j, k] = total


@njit(cache=True, nogil=True)
def _below(position: float, length: int) -> int:
    """Last voxel at or before a position, away from the volume's edge."""
    return min(max(int(np.floor(position)), 1), length - 3)


@njit(cache=True, nogil=True)
def _spline(share: float) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Weights of the four neighbours, the second of which lies ``share`` of a voxel before the position."""
    rest = 1.0 - share
    first, last = rest**3 / 6.0, share**3 / 6.0
    second, third = 2.0 / 3.0 - share**2 + 3.0 * last, 2.0 / 3.0 - rest**2 + 3.0 * first
    return np.float32(first), np.float32(second), np.float32(third), np.float32(last)


@njit(cache=True, nogil=True)
def add_layer(first: int, last: int, values: Array, known_since: Array, layer: int) -> None:
    """Set voxels that touch known ones to the mean of these; ``known_since`` is 0 where nothing is known."""
    ni, nj, nk = values.shape
    for i in range(first, last):
        for j in range(nj):
            for k in range(nk):
                if known_since[i, j, k] != 0:
                    continue
                total, count = _ZERO, 0
                for x in range(max(i - 1, 0), min(i + 2, ni)):
                    for y in range(max(j - 1, 0), min(j + 2, nj)):
                        for z in range(max(k - 1, 0), min(k + 2, nk)):
                            if 0 < known_since[x, y, z] <= layer:
                                total += values[x, y, z]
                                count += 1
                if count > 0:
                    values[i, j, k] = total / np.float32(count)
                    known_since[i, j, k] = layer + 1
