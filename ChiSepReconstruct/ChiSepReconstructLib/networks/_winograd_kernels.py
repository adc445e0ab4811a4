"""Transforms of Winograd's convolution, compiled with numba; import this module inside functions only.

A tile is 4×4×4 outputs of a 3×3×3 convolution. :func:`analyse` turns the 6×6×6 voxels that they depend on into 216
values for each channel, :func:`synthesise` turns 216 products into the outputs. Both are one transform of 6 values
along each axis, from the points 0, ±3/4, ±3/2 and ∞ (see :mod:`winograd`), for 16 channels at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]

_LANES = 16
_POINTS = 216
#: Distances of neighbours along the three axes of a tile's values.
_ALONG_I, _ALONG_J, _ALONG_K = 36 * _LANES, 6 * _LANES, _LANES
_A, _B = np.float32(3 / 4), np.float32(3 / 2)
_A2, _B2, _A3, _B3 = _A * _A, _B * _B, _A * _A * _A, _B * _B * _B
_SUM, _PRODUCT = _A2 + _B2, _A2 * _B2
_ZERO = np.float32(0)
# Unsigned indices: LLVM makes vector instructions of loops only where it sees that no index counts from the end.
_u = np.uintp


@intrinsic
def _move(typing_context: Any, target: Any, to: Any, source: Any, start: Any) -> Any:
    """Copy 16 values through vector registers; a loop would become 16 scalar moves."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        lanes = ir.VectorType(ir.FloatType(), _LANES)

        def pointer(place: int) -> Any:
            array = context.make_array(signature.args[place])(context, builder, given[place])
            return builder.bitcast(builder.gep(array.data, [given[place + 1]]), lanes.as_pointer())

        builder.store(builder.load(pointer(2), align=4), pointer(0), align=4)
        return context.get_dummy_value()

    return types.void(target, types.uintp, source, types.uintp), generate


@njit(nogil=True, cache=True, inline="always")
def _copy(target: Array, to: int, source: Array, start: int, width: int) -> None:
    if width == _u(_LANES):
        _move(target, _u(to), source, _u(start))
    else:
        for lane in range(_u(width)):
            target[_u(to) + lane] = source[_u(start) + lane]


@njit(nogil=True, cache=True, fastmath={"contract"}, inline="always")
def _forward(values: Array, first: int, step: int) -> None:
    """The six values at a distance of ``step`` from ``first`` on, in place: the rows of Bᵀ."""
    for lane in range(_u(_LANES)):
        at = _u(first) + lane
        d0, d1, d2 = values[at], values[at + _u(step)], values[at + _u(2 * step)]
        d3, d4, d5 = values[at + _u(3 * step)], values[at + _u(4 * step)], values[at + _u(5 * step)]
        even_a, odd_a = d4 - _B2 * d2, _A * (d3 - _B2 * d1)
        even_b, odd_b = d4 - _A2 * d2, _B * (d3 - _A2 * d1)
        values[at] = d4 - _SUM * d2 + _PRODUCT * d0
        values[at + _u(step)] = even_a + odd_a
        values[at + _u(2 * step)] = even_a - odd_a
        values[at + _u(3 * step)] = even_b + odd_b
        values[at + _u(4 * step)] = even_b - odd_b
        values[at + _u(5 * step)] = d5 - _SUM * d3 + _PRODUCT * d1


@njit(nogil=True, cache=True, fastmath={"contract"}, inline="always")
def _backward(values: Array, first: int, step: int) -> None:
    """Four values from the six at a distance of ``step`` from ``first`` on, in place: the rows of Aᵀ."""
    for lane in range(_u(_LANES)):
        at = _u(first) + lane
        m0, m1, m2 = values[at], values[at + _u(step)], values[at + _u(2 * step)]
        m3, m4, m5 = values[at + _u(3 * step)], values[at + _u(4 * step)], values[at + _u(5 * step)]
        even_a, odd_a, even_b, odd_b = m1 + m2, m1 - m2, m3 + m4, m3 - m4
        values[at] = m0 + even_a + even_b
        values[at + _u(step)] = _A * odd_a + _B * odd_b
        values[at + _u(2 * step)] = _A2 * even_a + _B2 * even_b
        values[at + _u(3 * step)] = _A3 * odd_a + _B3 * odd_b + m5


@njit(nogil=True, cache=True, inline="always")
def _load(values: Array, flat: Array, shape: Any, corner: Any, channel: int, width: int) -> None:
    """The 6×6×6 voxels from a corner on; 0 beyond the array, and in lanes beyond ``width``."""
    (i0, j0, k0), (ni, nj, nk, channels) = corner, shape
    if width == _LANES and 0 <= i0 <= ni - 6 and 0 <= j0 <= nj - 6 and 0 <= k0 <= nk - 6:
        first = ((i0 * nj + j0) * nk + k0) * channels + channel
        for line in range(36):
            row = first + (line // 6 * nj + line % 6) * nk * channels
            for place in range(6):
                _move(values, _u((line * 6 + place) * _LANES), flat, _u(row + place * channels))
        return
    for a in range(6):
        for b in range(6):
            row_is_inside = 0 <= i0 + a < ni and 0 <= j0 + b < nj
            start = (((i0 + a) * nj + j0 + b) * nk + k0) * channels + channel
            for c in range(6):
                at = ((a * 6 + b) * 6 + c) * _LANES
                if row_is_inside and 0 <= k0 + c < nk:
                    _copy(values, at, flat, start + c * channels, width)
                else:
                    for lane in range(_u(_LANES)):
                        values[_u(at) + lane] = _ZERO


@njit(nogil=True, cache=True)
def analyse(source: Array, origin: Array, tiles: Array, spectrum: Array, channel: int) -> None:
    """Transform what tiles depend on.

    Parameters
    ----------
    source : float32 array, shape (I, J, K, C)
        0 beyond its ends.
    origin : int array, shape (3,)
        The voxel of the volume at which ``source`` begins.
    tiles : int array, shape (T, 3)
        The voxels of the volume at which the tiles begin.
    spectrum : float32 array, shape (216, at least T, at least channel + C)
        Where the result goes, from ``channel`` on.
    channel : int
    """
    channels, (rows, depth) = source.shape[3], spectrum.shape[1:]
    flat, out = source.reshape(-1), spectrum.reshape(-1)
    values = np.zeros(_POINTS * _LANES, np.float32)
    for t in range(len(tiles)):
        corner = (tiles[t, 0] - 1 - origin[0], tiles[t, 1] - 1 - origin[1], tiles[t, 2] - 1 - origin[2])
        for first in range(0, channels, _LANES):
            width = min(_LANES, channels - first)
            _load(values, flat, source.shape, corner, first, width)
            for line in range(36):
                _forward(values, line * _ALONG_J, _ALONG_K)
            for a in range(6):
                for c in range(6):
                    _forward(values, a * _ALONG_I + c * _ALONG_K, _ALONG_J)
            for line in range(36):
                _forward(values, line * _ALONG_K, _ALONG_I)
            start = t * depth + channel + first
            for point in range(_POINTS):
                _copy(out, point * rows * depth + start, values, point * _LANES, width)


@njit(nogil=True, cache=True)
def synthesise(spectrum: Array, bias: Array, tiles: Array, target: Array, origin: Array, channel: int) -> None:
    """Transform products back, add the bias, set negatives to 0.

    Parameters
    ----------
    spectrum : float32 array, shape (216, at least T, C)
    bias : float32 array, shape (C,)
    tiles : int array, shape (T, 3)
        The voxels of the volume at which the tiles begin.
    target : float32 array, shape (I, J, K, at least channel + C)
        Where the result goes, from ``channel`` on; what lies beyond its ends is dropped.
    origin : int array, shape (3,)
        The voxel of the volume at which ``target`` begins.
    channel : int
    """
    rows, depth = spectrum.shape[1:]
    given, flat = spectrum.reshape(-1), target.reshape(-1)
    values, shift = np.zeros(_POINTS * _LANES, np.float32), np.zeros(_LANES, np.float32)
    for t in range(len(tiles)):
        corner = (tiles[t, 0] - origin[0], tiles[t, 1] - origin[1], tiles[t, 2] - origin[2])
        for first in range(0, depth, _LANES):
            width = min(_LANES, depth - first)
            _copy(shift, 0, bias, first, width)
            for point in range(_POINTS):
                _copy(values, point * _LANES, given, (point * rows + t) * depth + first, width)
            for line in range(36):
                _backward(values, line * _ALONG_K, _ALONG_I)
            for a in range(4):
                for c in range(6):
                    _backward(values, a * _ALONG_I + c * _ALONG_K, _ALONG_J)
                for b in range(4):
                    _backward(values, a * _ALONG_I + b * _ALONG_J, _ALONG_K)
            _store(values, shift, flat, target.shape, corner, channel + first, width)


@njit(nogil=True, cache=True, inline="always")
def _store(values: Array, shift: Array, flat: Array, shape: Any, corner: Any, channel: int, width: int) -> None:
    """The 4×4×4 outputs with their bias, rectified, to a corner; what lies beyond the array is dropped."""
    (i0, j0, k0), (ni, nj, nk, channels) = corner, shape
    for a in range(max(-i0, 0), min(ni - i0, 4)):
        for b in range(max(-j0, 0), min(nj - j0, 4)):
            line = _u(a * _ALONG_I + b * _ALONG_J)
            for c in range(_u(4)):
                for lane in range(_u(_LANES)):
                    at = line + c * _u(_LANES) + lane
                    values[at] = max(values[at] + shift[lane], _ZERO)
            start = (((i0 + a) * nj + j0 + b) * nk + k0) * channels + channel
            for d in range(max(-k0, 0), min(nk - k0, 4)):
                _copy(flat, start + d * channels, values, line + _u(d * _LANES), width)
